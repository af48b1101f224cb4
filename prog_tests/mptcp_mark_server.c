// SPDX-License-Identifier: GPL-2.0
/* The subflows that this end accepts, by the same rules: rules 4 and 8. */
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

#define PORT_ENDPOINT	"mptcp endpoint add 10.0.2.1 id 2 signal port 10100"

/*
 * The client announces its second address, with a port: the server joins there,
 * and the client accepts. With the first of these joins, the client opens one
 * from its third address. Connected for the second time, the kernel's ids
 * are no longer the ordinals.
 */
static void test_opened_and_accepted(struct mark_env *env)
{
	int fd, times = env->n, err;

	if (mark_ip(env, CLIENT, PORT_ENDPOINT) || mark_listen(env, "10.0.1.2"))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	err = mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) || mark_connect_fd(env, fd);
	while (!err && times--) {
		if (mark_wait_subflows(env, CLIENT, 2) || mark_join(env, AF_INET, 3, 3) ||
		    mark_send(&env->conn, CLIENT, MARK_BULK))
			break;
		mark_expect(env, CLIENT, mark_ordinals, 3);
		err = times && (mark_ip(env, CLIENT, "mptcp endpoint delete id 3") ||
				mark_reconnect(env));
	}
}

/* The same join, accepted on a port that an ip outside of the cgroup announced */
static void test_port_of_others(struct mark_env *env)
{
	struct mark_place root;
	struct mark_table table;

	if (mark_enter(env, CLIENT, NULL, &root))
		return;
	mark_ip(env, CLIENT, PORT_ENDPOINT);
	mark_leave(&root);
	if (mark_listen(env, "10.0.1.2") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 2) ||
	    mark_get_table(env->conn.fd[CLIENT], &table) != 2)
		return;
	ASSERT_EQ(table.subflow[0].mark, 1, "mark of subflow 1");
	if (!table.subflow[1].mark)
		mark_xfail("the listener on the port is in the cgroup of ip, and so are its joins");
	else
		ASSERT_EQ(table.subflow[1].mark, 2, "mark of subflow 2");
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
	{ "opened_and_accepted", 3, test_opened_and_accepted, .n = 1 },
	{ "reconnect", 3, test_opened_and_accepted, .n = 2 },
	{ "port_of_others", 2, test_port_of_others },
};

void test_mptcp_mark_server(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
