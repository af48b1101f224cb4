// SPDX-License-Identifier: GPL-2.0
/* Plain TCP is left alone, fallback to TCP keeps the mark it got: rule 6. */
#include "mptcp_mark_helpers.h"

struct plain_case {
	int listener;		/* protocol */
	__u32 app;		/* SO_MARK of the application, set before connect */
};

/* A plain TCP connection, to a listener of either kind: both ends are as they were */
static void test_plain(struct mark_env *env)
{
	const struct plain_case *c = env->data;
	int fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_TCP);

	if (mark_watch_link(env, CLIENT, AF_INET, 1, c->app) ||
	    mark_watch_link(env, SERVER, AF_INET, 1, 0) || mark_set(fd, c->app) ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, c->listener) ||
	    mark_connect_fd(env, fd) || mark_send(&env->conn, SERVER, 1 << 20))
		return;
	mark_expect_stats(env, 0, 0);
}

/* A socket that has fallen back answers as TCP does, which knows no SOL_MPTCP */
static bool has_fallen_back(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];

	return mark_full_info(fd, sub, state) == -EOPNOTSUPP;
}

/* Send data until the socket has fallen back, then check that the mark is unchanged */
static void expect_fallback(struct mark_env *env)
{
	struct mark_table table;

	/* As TCP, both ways */
	if (mark_wait(mark_send(&env->conn, CLIENT, 64) ||
		      has_fallen_back(env->conn.fd[CLIENT])) ||
	    mark_send(&env->conn, CLIENT, 1 << 20) || mark_send(&env->conn, SERVER, 1 << 20))
		return;
	if (ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &table), 1, "subflows in the table"))
		ASSERT_EQ(table.subflow[0].mark, 1, "mark");
	mark_expect_stats(env, 1, 0);
}

static int change_packets(struct mark_env *env, const char *rule)
{
	if (!SYS_NOFAIL("ip netns exec %s nft '\n"
			"add table ip rewrite\n"
			"add chain ip rewrite out { type filter hook output priority 100; }\n"
			"add rule ip rewrite out %s'", env->netns[CLIENT], rule))
		return 0;
	mark_skip("nft or the kernel does not take: %s", rule);
	env->watches[CLIENT] = 0;
	return -1;
}

/* The peer does not know of MPTCP: the SYN-ACK is plain */
static void test_fallback_syn(struct mark_env *env)
{
	if (!mark_watch_link(env, CLIENT, AF_INET, 1, 1) &&
	    !mark_listen_from(env, "10.0.1.2", NULL, IPPROTO_TCP) &&
	    !mark_connect(env, "10.0.1.2"))
		expect_fallback(env);
}

/* The option does not come through but on SYNs: from the third ACK on */
static void test_fallback_ack(struct mark_env *env)
{
	if (!mark_watch_link(env, CLIENT, AF_INET, 1, 1) &&
	    !change_packets(env, "tcp flags & syn == 0 reset tcp option mptcp") &&
	    !mark_listen(env, "10.0.1.2") && !mark_connect(env, "10.0.1.2"))
		expect_fallback(env);
}

/* Somebody changes the data on the way: the peer sends MP_FAIL, RFC 8684 section 3.7 */
static void test_fallback_data(struct mark_env *env)
{
	if (!mark_sysctls(env, "net/mptcp/checksum_enabled", "1") &&
	    !mark_start_watched(env, AF_INET, 0) && !mark_send(&env->conn, CLIENT, 64) &&
	    !change_packets(env, "tcp flags & syn == 0 @ih,0,16 set 0x5858"))
		expect_fallback(env);
}

static const struct mark_test tests[] = {
	{ "plain", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP } },
	{ "plain_marked", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP, 0x77 } },
	{ "plain_to_mptcp", 1, test_plain, &(const struct plain_case){ IPPROTO_MPTCP } },
	{ "fallback_syn", 1, test_fallback_syn },
	{ "fallback_ack", 1, test_fallback_ack },
	{ "fallback_data", 1, test_fallback_data },
};

void test_mptcp_mark_tcp(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
