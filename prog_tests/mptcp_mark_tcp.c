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
	    mark_connect_fd(env, fd) || mark_send(&env->conn, SERVER, MARK_BULK))
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
	{ "plain", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP } },
	{ "plain_marked", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP, 0x77 } },
	{ "plain_to_mptcp", 1, test_plain, &(const struct plain_case){ IPPROTO_MPTCP } },
	/* The peer does not know of MPTCP: the SYN-ACK is plain */
	{ "fallback_syn", 1, test_fallback, FALLBACK(IPPROTO_TCP) },
	/* The option does not come through but on SYNs: from the third ACK on */
	{ "fallback_ack", 1, test_fallback, FALLBACK(IPPROTO_MPTCP, "reset tcp option mptcp") },
	/* Somebody changes the data on the way: the peer sends MP_FAIL, RFC 8684 section 3.7 */
	{ "fallback_data", 1, test_fallback, FALLBACK(IPPROTO_MPTCP, "@ih,0,16 set 0x5858", true) },
};

void test_mptcp_mark_tcp(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
