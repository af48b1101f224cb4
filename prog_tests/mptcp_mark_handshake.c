// SPDX-License-Identifier: GPL-2.0
/* SYN cookies and Fast Open, marked at both ends; and fallback to TCP: rules 4, 6. */
#include "mptcp_mark_busy.h"

enum { PLAIN, SYNCOOKIES, FASTOPEN };

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

/* It was opened, and counts once, though TCP calls it accepted, too */
static void test_to_itself(struct mark_env *env)
{
	if (!mark_connect_itself(env))
		mark_expect_stats(env, 1, 0);
}

/* A socket that has fallen back answers as TCP does, which knows no SOL_MPTCP */
static bool has_fallen_back(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];

	return mark_full_info(fd, sub, state) == -EOPNOTSUPP;
}

static int change_packets(struct mark_env *env, const char *rule)
{
	if (!SYS_NOFAIL("ip netns exec %s nft '\n"
			"add table ip rewrite\n"
			"add chain ip rewrite out { type filter hook output priority 100; }\n"
			"add rule ip rewrite out tcp flags & syn == 0 %s'",
			env->netns[CLIENT], rule))
		return 0;
	mark_skip("nft or the kernel does not take: %s", rule);
	env->watches[CLIENT] = 0;
	return -1;
}

struct fallback_case {
	int listener;		/* protocol */
	const char *change;	/* of the packets that are no SYNs, by nft */
	bool data;		/* they change once data has come through, with checksums */
};

/* The mark is that of an MPTCP connection, before the fallback and after it */
static void test_fallback(struct mark_env *env)
{
	const struct fallback_case *c = env->data;
	struct mark_table table;
	int fd;

	if (mark_watch_link(env, CLIENT, AF_INET, 1, 1) ||
	    (c->data && mark_sysctl(env, "net/mptcp/checksum_enabled", "1")) ||
	    (c->change && !c->data && change_packets(env, c->change)) ||
	    mark_listen_from(env, "10.0.1.2", NULL, c->listener) || mark_connect(env, "10.0.1.2"))
		return;
	fd = env->conn.fd[CLIENT];
	if ((c->data && change_packets(env, c->change)) ||
	    mark_wait(mark_send(&env->conn, CLIENT, 64) || has_fallen_back(fd)) ||
	    mark_send(&env->conn, CLIENT, MARK_BULK) || mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	if (ASSERT_EQ(mark_get_table(fd, &table), 1, "subflows in the table"))
		ASSERT_EQ(table.subflow[0].mark, 1, "mark");
	mark_expect_stats(env, 1, 0);
}

#define FALLBACK(...) (&(const struct fallback_case){ __VA_ARGS__ })

static const struct mark_test tests[] = {
	{ "plain", 3, test_both, .n = PLAIN },
	{ "syncookies", 3, test_both, .n = SYNCOOKIES },
	{ "fastopen", 3, test_both, .n = FASTOPEN },
	{ "to_itself", 1, test_to_itself },
	/* The peer does not know of MPTCP: the SYN-ACK is plain */
	{ "fallback_syn", 1, test_fallback, FALLBACK(IPPROTO_TCP) },
	/* The option does not come through but on SYNs: from the third ACK on */
	{ "fallback_ack", 1, test_fallback, FALLBACK(IPPROTO_MPTCP, "reset tcp option mptcp") },
	/* Somebody changes the data on the way: the peer sends MP_FAIL, RFC 8684 section 3.7 */
	{ "fallback_data", 1, test_fallback, FALLBACK(IPPROTO_MPTCP, "@ih,0,16 set 0x5858", true) },
};

void test_mptcp_mark_handshake(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
