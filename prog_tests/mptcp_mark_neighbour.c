// SPDX-License-Identifier: GPL-2.0
/* Other programs work as if ours were not there: rules 14 and 15. */
#include "mptcp_mark_busy.h"
#include "mptcp_mark_neighbour.skel.h"

#define SOL_CUSTOM	0xdeadbeef
#define PARSE_ALL	BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG
#define KEEP_ALL	(~0)

enum order { BEFORE_OURS, AFTER_OURS, CHILD, PARENT };

struct flags_case {
	enum order order;
	int keep, ask_for;
	int op;				/* of the callbacks that are looked at */
	bool expected;			/* whether they come in the end */
	const char *xfail;		/* why they may not */
};

/* Ours and the neighbour's, which run in the order of attachment, children first */
static int attach_both(struct mark_env *env, struct mptcp_mark_neighbour *other, enum order order)
{
	int ours = order == PARENT ? env->nested_fd : env->cgroup_fd;
	int theirs = order == CHILD ? env->nested_fd : env->cgroup_fd;

	mark_detach(&env->skel->links.mptcp_mark);
	return (order == AFTER_OURS && mark_attach_ours(env->skel, ours)) ||
	       mark_attach(other->progs.neighbour, &other->links.neighbour, theirs) ||
	       (order != AFTER_OURS && mark_attach_ours(env->skel, ours));
}

/* The client sends a packet on each join, and it comes to the server */
static int poke_and_wait(struct mark_env *env)
{
	const char *server = env->netns[SERVER];
	const char *came = "nft list table ip came | grep -c 'packets [1-9]' | grep -qx 2";

	return mark_run_with(server, "nft -f -",
			     "table ip came {\n"
			     "chain in {\n"
			     "type filter hook input priority filter;\n"
			     "ip saddr 10.0.2.1 counter\n"
			     "ip saddr 10.0.3.1 counter\n"
			     "}\n}\n") ||
	       mark_poke(env, 2, 3) ||
	       mark_wait(!SYS_NOFAIL("ip netns exec %s %s", server, came));
}

/* The server sends on one join after the other, while the other subflows are backups */
static int send_on_joins(struct mark_env *env)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;

	return mark_ip(env, CLIENT, "mptcp endpoint change id 1 backup\n"
				    "mptcp endpoint change id 3 backup") ||
	       mark_wait(READ_ONCE(stats->pending) == 1 ||
			 mark_send(&env->conn, SERVER, MARK_BULK)) ||
	       mark_ip(env, CLIENT, "mptcp endpoint change id 3 nobackup\n"
				    "mptcp endpoint change id 2 backup") ||
	       mark_wait(READ_ONCE(stats->pending) == 0 ||
			 mark_send(&env->conn, SERVER, MARK_BULK));
}

/* Joins that wait for their ids: the program asks for callbacks, and lets go again */
static void test_flags(struct mark_env *env)
{
	const struct flags_case *c = env->data;
	struct mptcp_mark_neighbour *other;
	int on = 1;
	__u32 before, *called;

	other = mptcp_mark_neighbour__open_and_load();
	if (!ASSERT_OK_PTR(other, "load neighbour"))
		return;
	other->bss->keep = c->keep;
	other->bss->ask_for = c->ask_for;
	/* An endpoint for the initial subflow, so that it can be a backup */
	if (attach_both(env, other, c->order) || mark_endpoint(env, 1) ||
	    mark_start_server(env, c->order == CHILD || c->order == PARENT ? MARK_NESTED :
				 MARK_CGROUP, AF_INET, 0) ||
	    !ASSERT_OK(setsockopt(env->conn.fd[SERVER], SOL_TCP, TCP_NODELAY, &on, sizeof(on)),
		       "setsockopt(TCP_NODELAY)") ||
	    mark_join_busy(env, AF_INET, 2) ||
	    (c->keep ? mark_settle(env, 2, 3) : send_on_joins(env)))
		goto destroy;
	mark_expect(env, SERVER, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);

	called = &other->bss->called[c->op];
	before = READ_ONCE(*called);
	if (poke_and_wait(env))
		goto destroy;
	if (c->xfail && READ_ONCE(*called) == before)
		mark_xfail(c->xfail);
	else if (c->expected)
		mark_wait(READ_ONCE(*called) > before ||
			  mark_send(&env->conn, SERVER, MARK_BULK));
	else
		ASSERT_EQ(READ_ONCE(*called), before, "called");
destroy:
	mptcp_mark_neighbour__destroy(other);
}

/* Its answer and the table, of one socket */
static void test_getsockopt(struct mark_env *env)
{
	struct mptcp_mark_neighbour *other = mptcp_mark_neighbour__open_and_load();
	int fds[] = { env->cgroup_fd, env->nested_fd }, i;
	socklen_t len;
	char answer;

	if (!ASSERT_OK_PTR(other, "load neighbour") || mark_listen(env, "10.0.1.2") ||
	    mark_connect_from(env, "10.0.1.2", MARK_NESTED, &env->conn))
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (mark_attach(other->progs.neighbour_getsockopt,
				&other->links.neighbour_getsockopt, fds[i]))
			break;
		len = sizeof(answer);
		ASSERT_OK(getsockopt(env->conn.fd[CLIENT], SOL_CUSTOM, 1, &answer, &len),
			  "their getsockopt");
		ASSERT_EQ(len, 1, "length");
		ASSERT_EQ(answer, 'n', "answer");
		mark_expect(env, CLIENT, mark_ordinals, 1);
		mark_detach(&other->links.neighbour_getsockopt);
	}
destroy:
	mptcp_mark_neighbour__destroy(other);
}

#define SHARED	"both want one flag, which has no count of its owners"

#define CASE(...) (&(const struct flags_case){ __VA_ARGS__ })

static const struct mark_test tests[] = {
	{ "before", 3, test_flags, CASE(BEFORE_OURS, KEEP_ALL, PARSE_ALL,
					BPF_SOCK_OPS_PARSE_HDR_OPT_CB, true) },
	{ "child", 3, test_flags, CASE(CHILD, KEEP_ALL, PARSE_ALL,
				       BPF_SOCK_OPS_PARSE_HDR_OPT_CB, true) },
	{ "after", 3, test_flags, CASE(AFTER_OURS, KEEP_ALL, PARSE_ALL,
				       BPF_SOCK_OPS_PARSE_HDR_OPT_CB, true, SHARED) },
	{ "parent", 3, test_flags, CASE(PARENT, KEEP_ALL, PARSE_ALL,
					BPF_SOCK_OPS_PARSE_HDR_OPT_CB, true, SHARED) },
	{ "other_flag", 3, test_flags, CASE(BEFORE_OURS, KEEP_ALL, BPF_SOCK_OPS_RTT_CB_FLAG,
					    BPF_SOCK_OPS_RTT_CB, true) },
	{ "takes_flags", 3, test_flags, CASE(AFTER_OURS, 0, BPF_SOCK_OPS_RTT_CB_FLAG,
					     BPF_SOCK_OPS_RTT_CB, true) },
	{ "none_left", 3, test_flags, CASE(AFTER_OURS, KEEP_ALL, 0,
					   BPF_SOCK_OPS_PARSE_HDR_OPT_CB, false) },
	{ "getsockopt", 1, test_getsockopt },
};

void test_mptcp_mark_neighbour(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
