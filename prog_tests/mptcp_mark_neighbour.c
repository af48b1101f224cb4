// SPDX-License-Identifier: GPL-2.0
/* Other programs work as if ours were not there: rules 14 and 15. */
#include "mptcp_mark_busy.h"
#include "mptcp_mark_neighbour.skel.h"

#define SOL_CUSTOM	0xdeadbeef
#define PARSE_ALL	BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG
#define STATE		BPF_SOCK_OPS_STATE_CB_FLAG
#define RTT		BPF_SOCK_OPS_RTT_CB_FLAG
#define PARSED		BPF_SOCK_OPS_PARSE_HDR_OPT_CB
#define ALL		(~0)

enum order { BEFORE_OURS, AFTER_OURS, CHILD, PARENT };

static struct mptcp_mark_neighbour *other;

struct flags_case {
	enum order order;
	int keep, ask_for, let_go;	/* as in progs/mptcp_mark_neighbour.c */
	int op;				/* of the callbacks that are looked at */
	bool expected;			/* whether they come in the end */
	const char *xfail;		/* why they may not */
};

/* Ours and the neighbour's, which run in the order of attachment, children first */
static int attach_both(struct mark_env *env, enum order order)
{
	int ours = order == PARENT ? env->nested_fd : env->cgroup_fd;
	int theirs = order == CHILD ? env->nested_fd : env->cgroup_fd;

	mark_detach(&env->skel->links.mptcp_mark);
	mark_detach(&other->links.neighbour);
	memset(other->bss, 0, sizeof(*other->bss));
	return (order == AFTER_OURS && mark_attach_ours(env->skel, ours)) ||
	       mark_attach(other->progs.neighbour, &other->links.neighbour, theirs) ||
	       (order != AFTER_OURS && mark_attach_ours(env->skel, ours));
}

/* The client sends two packets on each of two joins, and they come to the server */
static int poke_and_wait(struct mark_env *env)
{
	int before = mark_mib(env, SERVER, "MPTcpExtMPPrioRx");

	return mark_poke(env, 2, 3) ||
	       mark_wait(mark_mib(env, SERVER, "MPTcpExtMPPrioRx") >= before + 4);
}

/* Joins that wait for their ids: the program asks for callbacks, and lets go again */
static void test_flags(struct mark_env *env)
{
	const struct flags_case *c = env->data;
	const char *cgroup = c->order == CHILD || c->order == PARENT ? MARK_NESTED : MARK_CGROUP;
	__u64 *pending = &env->skel->data_mark_cnt->mark_stats.pending;
	__u32 before, *called = &other->bss->called[c->op];

	if (attach_both(env, c->order))
		return;
	other->bss->keep = c->keep;
	other->bss->ask_for = c->ask_for;
	other->bss->let_go = c->let_go;
	if (mark_start_server(env, cgroup, AF_INET, 1) || mark_set_nodelay(env) ||
	    mark_join_busy(env, AF_INET, 2))
		return;
	/* Where our flags are gone, it takes their RTT callbacks: data, and not just a packet */
	if (c->keep ? mark_settle(env, 2, 3) :
	    mark_wait(!READ_ONCE(*pending) || mark_send(&env->conn, SERVER, MARK_BULK)))
		return;
	mark_expect(env, SERVER, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);

	before = READ_ONCE(*called);
	if (c->xfail)
		ASSERT_GT(before, 0, "called while joins were pending");
	if (poke_and_wait(env))
		return;
	if (c->xfail && READ_ONCE(*called) == before)
		mark_xfail(c->xfail);
	else if (c->expected)
		mark_wait(READ_ONCE(*called) > before ||
			  mark_send(&env->conn, SERVER, MARK_BULK));
	else
		ASSERT_EQ(READ_ONCE(*called), before, "called");
}

/* Nobody is called who did not ask: at subflows that we open, and at plain TCP */
static void test_unasked(struct mark_env *env)
{
	int op, fd;

	if (attach_both(env, AFTER_OURS) || mark_start(env, AF_INET, NULL, 3) ||
	    mark_send(&env->conn, CLIENT, MARK_BULK))
		return;
	mark_disconnect(&env->conn);
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_TCP);
	if (mark_connect_fd(env, fd) || mark_send(&env->conn, CLIENT, MARK_BULK))
		return;
	ASSERT_EQ(other->bss->called[BPF_SOCK_OPS_TCP_CONNECT_CB], 4, "called for each SYN");
	for (op = BPF_SOCK_OPS_RTO_CB; op < ARRAY_SIZE(other->bss->called); op++)
		ASSERT_EQ(other->bss->called[op], 0, "called unasked");
}

/* Its answer to a callback of which we do not know */
static void test_reply(struct mark_env *env)
{
	if (attach_both(env, BEFORE_OURS) || mark_sysctl(env, "net/ipv4/tcp_ecn", "0") ||
	    mark_watch(env, CLIENT, "tcp flags & (syn | ecn | cwr) == syn | ecn | cwr", "1"))
		return;
	other->bss->answers = BPF_SOCK_OPS_NEEDS_ECN;
	other->bss->answer = 1;
	mark_start(env, AF_INET, NULL, 1);
}

/* Its answer and the table, of one socket */
static void test_getsockopt(struct mark_env *env)
{
	struct bpf_link **link = &other->links.neighbour_getsockopt;
	int fds[] = { env->cgroup_fd, env->nested_fd }, i;
	socklen_t len;
	char answer;

	if (mark_listen(env, "10.0.1.2") ||
	    mark_connect_from(env, "10.0.1.2", MARK_NESTED, &env->conn))
		return;
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (mark_attach(other->progs.neighbour_getsockopt, link, fds[i]))
			return;
		len = sizeof(answer);
		ASSERT_OK(getsockopt(env->conn.fd[CLIENT], SOL_CUSTOM, 1, &answer, &len),
			  "their getsockopt");
		ASSERT_EQ(len, 1, "length");
		ASSERT_EQ(answer, 'n', "answer");
		mark_expect(env, CLIENT, mark_ordinals, 1);
		mark_detach(link);
	}
}

#define SHARED	"both want one flag, which has no count of its owners"

#define CASE(...) (&(const struct flags_case){ __VA_ARGS__ })

static const struct mark_test tests[] = {
	{ "before", 3, test_flags, CASE(BEFORE_OURS, ALL, PARSE_ALL, 0, PARSED, true) },
	{ "child", 3, test_flags, CASE(CHILD, ALL, PARSE_ALL, 0, PARSED, true) },
	{ "after", 3, test_flags, CASE(AFTER_OURS, ALL, PARSE_ALL, 0, PARSED, true, SHARED) },
	{ "parent", 3, test_flags, CASE(PARENT, ALL, PARSE_ALL, 0, PARSED, true, SHARED) },
	{ "other_flag", 3, test_flags, CASE(BEFORE_OURS, ALL, RTT, 0, BPF_SOCK_OPS_RTT_CB, true) },
	{ "takes_flags", 3, test_flags, CASE(AFTER_OURS, 0, RTT, 0, BPF_SOCK_OPS_RTT_CB, true) },
	{ "lets_go", 3, test_flags, CASE(BEFORE_OURS, ALL, PARSE_ALL | STATE, PARSE_ALL, PARSED) },
	{ "none_left", 3, test_flags, CASE(AFTER_OURS, ALL, 0, 0, PARSED) },
	{ "unasked", 3, test_unasked },
	{ "reply", 1, test_reply },
	{ "getsockopt", 1, test_getsockopt },
};

void test_mptcp_mark_neighbour(void)
{
	other = mptcp_mark_neighbour__open_and_load();
	if (ASSERT_OK_PTR(other, "load neighbour"))
		mark_run(tests, ARRAY_SIZE(tests));
	mptcp_mark_neighbour__destroy(other);
}
