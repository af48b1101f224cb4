// SPDX-License-Identifier: GPL-2.0
/* The subflows that this end accepts, by the same rules: rule 4. */
#include "mptcp_mark_helpers.h"

enum { PLAIN, SYNCOOKIES, FASTOPEN };

struct server_case {
	int family;
	__u32 base, mask;
	__u32 expected[3];
};

static void test_server(struct mark_env *env)
{
	const struct server_case *c = env->data;

	mark_configure(env->skel, c->base, c->mask);
	if (mark_watch_links(env, SERVER, c->family, c->expected, 3) ||
	    mark_start_server(env, MARK_CGROUP, c->family, 3) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect(env, SERVER, c->expected, 3);
	mark_expect_stats(env, 3, 0);
}

/* connect() leaves the SYN to the first data, here one byte more */
static int connect_fastopen(struct mark_env *env, int fd)
{
	int on = 1;

	env->conn.fd[CLIENT] = fd;
	return !ASSERT_OK(setsockopt(fd, SOL_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)),
			  "setsockopt(TCP_FASTOPEN_CONNECT)") ||
	       !ASSERT_OK(connect_fd_to_fd(fd, env->listen_fd, MARK_TIMEOUT_MS), "connect") ||
	       !ASSERT_EQ(send(fd, "m", 1, 0), 1, "send") || mark_accept(env, &env->conn) ||
	       mark_transfer(&env->conn, CLIENT, 0, 1);
}

/* Both ends are in the cgroup: 1, 2, 3 at each. With cookies, or Fast Open */
static void test_both(struct mark_env *env)
{
	int fd;

	if (env->n == SYNCOOKIES && access("/proc/sys/net/ipv4/tcp_syncookies", F_OK)) {
		mark_skip("no SYN cookies: CONFIG_SYN_COOKIES=y");
		return;
	}
	if (mark_watch_links(env, SERVER, AF_INET, mark_ordinals, 3) ||
	    mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) ||
	    (env->n == SYNCOOKIES && mark_sysctl(env, "net/ipv4/tcp_syncookies", "2")) ||
	    /* Without a cookie: ip-sysctl.rst */
	    (env->n == FASTOPEN && mark_sysctl(env, "net/ipv4/tcp_fastopen", "0x607")) ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, IPPROTO_MPTCP))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if ((env->n == FASTOPEN ? connect_fastopen(env, fd) : mark_connect_fd(env, fd)) ||
	    mark_join(env, AF_INET, 2, 2) || mark_join(env, AF_INET, 3, 3) ||
	    mark_send(&env->conn, SERVER, 1 << 16))
		return;
	mark_expect(env, SERVER, mark_ordinals, 3);
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 6, 0);
	if (env->n == SYNCOOKIES)
		ASSERT_GT(mark_mib(env, SERVER, "TcpExtSyncookiesRecv"), 0, "cookies came back");
	if (env->n == FASTOPEN)
		ASSERT_EQ(mark_mib(env, SERVER, "TcpExtTCPFastOpenPassive"), 1, "data in a SYN");
}

#define CASE(_family, _base, _mask, ...)					\
	(&(const struct server_case){ _family, _base, _mask, { __VA_ARGS__ } })

static const struct mark_test tests[] = {
	{ "ipv4", 3, test_server, CASE(AF_INET, 0, ~0U, 1, 2, 3) },
	{ "ipv6", 3, test_server, CASE(AF_INET6, 0, ~0U, 1, 2, 3), .ipv6 = true },
	{ "base_mask", 3, test_server, CASE(AF_INET, 0x1f0, 0xff, 0xf1, 0xf2, 0xf3) },
	{ "both", 3, test_both, .n = PLAIN },
	{ "syncookies", 3, test_both, .n = SYNCOOKIES },
	{ "fastopen", 3, test_both, .n = FASTOPEN },
};

void test_mptcp_mark_server(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
