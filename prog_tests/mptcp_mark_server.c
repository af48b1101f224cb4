// SPDX-License-Identifier: GPL-2.0
/* The subflows that this end accepts, by the same rules: rules 4 and 8. */
#include "mptcp_mark_busy.h"

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
	    mark_start_server(env, MARK_CGROUP, c->family, 2) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect(env, SERVER, c->expected, 3);
	mark_expect_stats(env, 3, 0);
}

/* The kernel at the server counted some of these */
static bool counted(struct mark_env *env, const char *name)
{
	return !SYS_NOFAIL("ip netns exec %s nstat -asz %s | grep -q '%s *[1-9]'",
			   env->netns[SERVER], name, name);
}

/* Both ends are in the cgroup: 1, 2, 3 at each. With cookies, or Fast Open */
static void test_both(struct mark_env *env)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int *fd = env->conn.fd;
	char byte = 'm';

	if (env->n == SYNCOOKIES && access("/proc/sys/net/ipv4/tcp_syncookies", F_OK)) {
		mark_skip("no SYN cookies: CONFIG_SYN_COOKIES=y");
		return;
	}
	if (mark_watch_links(env, SERVER, AF_INET, mark_ordinals, 3) ||
	    mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) ||
	    (env->n == SYNCOOKIES && mark_sysctl(env, SERVER, "net/ipv4/tcp_syncookies", "2")) ||
	    /* Without a cookie: ip-sysctl.rst */
	    (env->n == FASTOPEN && mark_sysctls(env, "net/ipv4/tcp_fastopen", "0x607")) ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, IPPROTO_MPTCP))
		return;
	if (env->n != FASTOPEN) {
		if (mark_connect(env, "10.0.1.2"))
			return;
	} else {
		fd[CLIENT] = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM,
					 IPPROTO_MPTCP);
		if (!ASSERT_OK(getsockname(env->listen_fd, (void *)&addr, &len), "getsockname") ||
		    !ASSERT_EQ(sendto(fd[CLIENT], &byte, 1, MSG_FASTOPEN, (void *)&addr, len), 1,
			       "sendto"))
			return;
		fd[SERVER] = accept(env->listen_fd, NULL, NULL);
		if (!ASSERT_OK_FD(fd[SERVER], "accept") ||
		    !ASSERT_EQ(recv(fd[SERVER], &byte, 1, 0), 1, "recv") ||
		    mark_send(&env->conn, CLIENT, 1))
			return;
	}
	if (mark_join(env, AF_INET, 2, 2) || mark_join(env, AF_INET, 3, 3) ||
	    mark_send(&env->conn, SERVER, 1 << 16))
		return;
	mark_expect(env, SERVER, mark_ordinals, 3);
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 6, 0);
	if (env->n == SYNCOOKIES)
		ASSERT_TRUE(counted(env, "TcpExtSyncookiesRecv"), "a SYN cookie came back");
	if (env->n == FASTOPEN)
		ASSERT_TRUE(counted(env, "TcpExtTCPFastOpenPassive"), "data in the SYN");
}

/*
 * The client announces its second address, with a port: the server joins there,
 * and the client accepts. With the first of these joins, the client opens one
 * from its third address. Connected for the second time, the kernel's ids
 * are no longer the ordinals.
 */
static void test_opened_and_accepted(struct mark_env *env)
{
	int fd, times = env->n, err;

	if (mark_ip(env, CLIENT, "mptcp endpoint add 10.0.2.1 id 2 signal port 10100"))
		return;
	if (mark_listen_from(env, "10.0.1.2", NULL, IPPROTO_MPTCP))
		goto flush;
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
flush:
	/*
	 * The listener on the port keeps its namespace for ever, if that goes first:
	 * mptcp_subflow_create_socket(), net/mptcp/subflow.c
	 */
	mark_ip(env, CLIENT, "mptcp endpoint flush");
}

/* Joins accepted while busy send with their mark, before and after they get their ids */
static void test_busy(struct mark_env *env)
{
	int joins = env->n;

	if (mark_watch_links(env, SERVER, AF_INET, mark_ordinals, joins + 2) ||
	    mark_start_server(env, MARK_CGROUP, AF_INET, 0) ||
	    mark_join_busy(env, AF_INET, joins) || mark_settle(env, 2, joins + 1))
		return;
	mark_expect(env, SERVER, mark_ordinals, joins + 1);
	/* Another one, when nothing is pending, goes on from there */
	if (mark_join(env, AF_INET, joins + 2, joins + 2) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect(env, SERVER, mark_ordinals, joins + 2);
	mark_expect_stats(env, joins + 2, 0);
}

/*
 * The application has set an option before: with their ids, the kernel gives
 * the joins the options of the MPTCP socket, SO_MARK among them, and sends before
 * any program is called again. The next packet received brings their mark back:
 * that of the base and mask with which they were accepted.
 */
static void test_busy_sync(struct mark_env *env)
{
	static const __u32 mark[] = { 0x101, 0x102, 0x103 };
	int family = env->n, on = 1, count[3][2];

	mark_configure(env->skel, 0x100, 0xfff);
	if (mark_watch_links(env, SERVER, family, mark, 3) ||
	    mark_start_server(env, MARK_CGROUP, family, 0) ||
	    !ASSERT_OK(setsockopt(env->conn.fd[SERVER], SOL_TCP, TCP_NODELAY, &on, sizeof(on)),
		       "setsockopt(TCP_NODELAY)") ||
	    mark_join_busy(env, family, 2))
		return;
	mark_configure(env->skel, 0x2000, 0xf000);
	if (mark_settle(env, 2, 3))
		return;
	mark_expect(env, SERVER, mark, 3);
	mark_expect_stats(env, 3, 0);
	if (mark_counts(env, SERVER, count))
		return;
	ASSERT_EQ(count[0][1], 0, "packets of subflow 1 with another mark");
	if (count[1][1] || count[2][1])
		mark_xfail("__mptcp_finish_join() replaces the mark before it sends");
	/* From now on, they keep it */
	if (!mark_unwatch(env, SERVER) && !mark_watch_links(env, SERVER, family, mark, 3))
		mark_send(&env->conn, SERVER, MARK_BULK);
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
	{ "busy", 4, test_busy, .n = 2 },
	{ "busy_many", 9, test_busy, .n = 7 },
	{ "busy_sync", 3, test_busy_sync, .n = AF_INET },
	{ "busy_sync_ipv6", 3, test_busy_sync, .n = AF_INET6, .ipv6 = true },
};

void test_mptcp_mark_server(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
