// SPDX-License-Identifier: GPL-2.0
/* What the policy keeps for a subflow, counts of it, and asks for: rules 12, 14, 18. */
#include "mptcp_mark_busy.h"
#include "mptcp_policy_helpers.h"
#include "mptcp_mark_neighbour.skel.h"

#define BACKUP_FLAGS	(BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | \
			 BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)

/* A subflow comes to a rule of a new policy that has the number of its old one */
static void test_same_number(struct mark_env *env)
{
	static const struct mptcp_policy_rule later[] = {
		{ RULE_ORDINAL(9), RULE_MARK(5) },
		{ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(6) },
		{ RULE_MARK(8) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2), *twin;

	if (!skel || mark_start(env, AF_INET, NULL, 3))
		return;
	twin = policy_twin(skel, true, later, 3);
	if (twin && !policy_replace(skel, twin) &&
	    !mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup"))
		mark_expect(env, CLIENT, MARKS(8, 6, 8), 3);
	mptcp_policy__destroy(twin);
}

/* A backup flag that takes the subflow to no other rule: what the application set stays */
static void test_same_rule(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_IS(MPTCP_IS_BACKUP | MPTCP_IS_ACCEPTED), RULE_MARK(5) },
		{ RULE_MARK(8) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 2);

	if (!skel)
		return;
	if (!mark_start(env, AF_INET, NULL, 2) && !mark_set(env->conn.fd[CLIENT], 6) &&
	    !mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup") &&
	    !mark_send(&env->conn, CLIENT, 1 << 18))
		mark_expect(env, CLIENT, MARKS(6, 6), 2);
}

/*
 * A join comes to a rule while the server is busy, and gets its id. The rule has matched
 * so often then. With a twin, that replaces the policy in between.
 */
static int join_late(struct mark_env *env, struct mptcp_policy *skel, int rule, int matched,
		     struct mptcp_policy *twin)
{
	struct busy_server busy;
	struct mptcp_ruleset set;
	int err;

	if (busy_server_start(env, &busy))
		return -1;
	err = mark_endpoint(env, 2) ||
	      mark_wait(!policy_get(skel, &set) && set.stats[rule].matched == matched) ||
	      (twin && policy_replace(skel, twin));
	return busy_server_go_on(env, &busy, err, 2) || mark_poke(env, 2, 2);
}

/* What is set twice on a late join counts once */
static void test_late_join(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), .actions = SETS(CONGESTION), .congestion = "nonesuch" },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};
	struct mptcp_ruleset set;

	if (!skel || mark_start_server(env, MARK_CGROUP, AF_INET, 1) || mark_set_nodelay(env) ||
	    join_late(env, skel, 0, 1, NULL) ||
	    /* It lets go of the callbacks when it has the id */
	    mark_wait(!policy_values(env, SERVER, v, 2) && !v[1].cb_flags) ||
	    policy_get(skel, &set))
		return;
	ASSERT_EQ(set.stats[0].matched, 1, "matched");
	ASSERT_EQ(set.stats[0].refused[MPTCP_SET_CONGESTION], 1, "refused");
	ASSERT_EQ(set.unmatched, 1, "unmatched");
}

/*
 * With the id, the kernel copies the options of the MPTCP socket: the rule's come back, and
 * what the application has set stays
 */
static void test_late_options(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), .actions = SETS(TOS), .tos = 0x28 },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};
	int priority = 3;

	if (!skel || mark_start_server(env, MARK_CGROUP, AF_INET, 1) ||
	    !ASSERT_OK(setsockopt(env->conn.fd[SERVER], SOL_SOCKET, SO_PRIORITY, &priority,
				  sizeof(priority)), "setsockopt(SO_PRIORITY)") ||
	    join_late(env, skel, 0, 1, NULL) ||
	    mark_wait(!policy_values(env, SERVER, v, 2) && !v[1].cb_flags))
		return;
	ASSERT_EQ(v[1].tos, 0x28, "TOS");
	ASSERT_EQ(v[1].priority, priority, "priority");
}

/* The policy is replaced while a join has no id: the new one counts it, too */
static void test_late_replaced(struct mark_env *env)
{
	static const struct mptcp_policy_rule later[] = { { RULE_ORDINAL(9), RULE_MARK(5) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1), *twin;
	struct mptcp_ruleset set;

	if (!skel)
		return;
	twin = policy_twin(skel, true, later, 1);
	if (twin && !mark_start_server(env, MARK_CGROUP, AF_INET, 1) &&
	    !join_late(env, skel, 0, 2, twin) &&
	    !mark_wait(!policy_get(twin, &set) && set.unmatched))
		ASSERT_EQ(set.unmatched, 1, "unmatched");
	mptcp_policy__destroy(twin);
}

/* A late join whose connection ends before it has its id counts as failed, once */
static void test_late_closed(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct busy_server busy = {};
	struct mptcp_ruleset set;
	int err;

	if (!skel || mark_start_server(env, MARK_CGROUP, AF_INET, 1) ||
	    busy_server_start(env, &busy))
		return;
	err = mark_endpoint(env, 2) ||
	      mark_wait(!policy_get(skel, &set) && set.stats[0].matched == 2) ||
	      mark_reset(env);
	busy_server_end(&busy);
	if (!err && !mark_wait(!policy_get(skel, &set) && set.failed))
		ASSERT_EQ(set.failed, 1, "failed");
}

/* A late join keeps the callbacks that the policy needs, and no others */
static void test_late_flags(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);
	struct mptcp_policy_values v[2] = {};

	if (skel && !mark_start_server(env, MARK_CGROUP, AF_INET, 1) &&
	    !join_late(env, skel, 1, 2, NULL))
		mark_wait(!policy_values(env, SERVER, v, 2) && v[1].cb_flags == BACKUP_FLAGS);
}

/*
 * Another program takes the callbacks away that a late join waits for: after us, but
 * for its own; or before us, where we ask again
 */
static void test_neighbour(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { RULE_ORDINAL(2), RULE_MARK(2) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_mark_neighbour *other = mptcp_mark_neighbour__open_and_load();
	struct mptcp_policy_values v[2] = {};
	bool before = env->n;

	if (!skel || !ASSERT_OK_PTR(other, "load neighbour"))
		goto destroy;
	if (before) {
		mark_detach(env->own);
		other->bss->keep = ~0;
		other->bss->ask_for = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG |
				      BPF_SOCK_OPS_STATE_CB_FLAG;
		other->bss->let_go = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
	} else {
		other->bss->ask_for = BPF_SOCK_OPS_RTT_CB_FLAG;
	}
	if (mark_attach(other->progs.neighbour, &other->links.neighbour, env->cgroup_fd) ||
	    (before && policy_attach(skel, MARK_CGROUP, env->cgroup_fd)) ||
	    mark_start_server(env, MARK_CGROUP, AF_INET, 1) || mark_set_nodelay(env) ||
	    join_late(env, skel, 0, 1, NULL))
		goto destroy;
	mark_wait(!policy_values(env, SERVER, v, 2) &&
		  (v[1].mark == 2 || mark_send(&env->conn, SERVER, MARK_BULK)));
destroy:
	mptcp_mark_neighbour__destroy(other);
}

/* What others answer, to a callback that we do not know and for a socket that is none of ours */
static void test_reply(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_mark_neighbour *other = mptcp_mark_neighbour__open_and_load();
	int fd, proto = env->n;

	if (!skel || !ASSERT_OK_PTR(other, "load neighbour"))
		goto destroy;
	mark_detach(env->own);
	other->bss->answers = proto == IPPROTO_MPTCP ? BPF_SOCK_OPS_NEEDS_ECN :
						       BPF_SOCK_OPS_RWND_INIT;
	other->bss->answer = proto == IPPROTO_MPTCP ? 1 : 2;
	if (mark_attach(other->progs.neighbour, &other->links.neighbour, env->cgroup_fd) ||
	    policy_attach(skel, MARK_CGROUP, env->cgroup_fd) ||
	    mark_sysctl(env, "net/ipv4/tcp_ecn", "0") ||
	    (proto == IPPROTO_MPTCP ?
	     mark_watch(env, CLIENT, "tcp flags & (syn | ecn | cwr) == syn | ecn | cwr", "8") :
	     mark_watch(env, CLIENT, "tcp flags syn tcp window < 6000", "0")) ||
	    mark_listen_from(env, "10.0.1.2", NULL, proto))
		goto destroy;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, proto);
	mark_connect_fd(env, fd);
destroy:
	mptcp_mark_neighbour__destroy(other);
}

/* Flags that were there before a policy was applied are others' */
static void test_flags_of_others(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_mark_neighbour *other = mptcp_mark_neighbour__open_and_load();
	struct mptcp_policy_values v[2] = {};

	if (!skel || !ASSERT_OK_PTR(other, "load neighbour"))
		goto destroy;
	other->bss->keep = ~0;
	other->bss->ask_for = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
	if (mark_attach(other->progs.neighbour, &other->links.neighbour, env->cgroup_fd) ||
	    mark_start_server(env, MARK_CGROUP, AF_INET, 2) ||
	    policy_apply(env, SERVER, skel, by_backup, 2) || policy_values(env, SERVER, v, 2))
		goto destroy;
	ASSERT_EQ(v[1].cb_flags, BACKUP_FLAGS, "with backup");
	if (!policy_apply(env, SERVER, skel, &by_backup[1], 1) && !policy_values(env, SERVER, v, 2))
		ASSERT_EQ(v[1].cb_flags, other->bss->ask_for, "without backup again");
destroy:
	mptcp_mark_neighbour__destroy(other);
}

/* A new policy that does not name backup leaves existing subflows alone when that changes */
static void test_new_subflows(struct mark_env *env)
{
	static const struct mptcp_policy_rule later[] = { { RULE_MARK(9) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2), *twin;

	if (!skel || mark_start(env, AF_INET, NULL, 2))
		return;
	twin = policy_twin(skel, true, later, 1);
	if (twin && !policy_replace(skel, twin) &&
	    !mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup") &&
	    !mark_send(&env->conn, CLIENT, 1 << 16) && !mark_endpoint(env, 3))
		mark_expect(env, CLIENT, MARKS(8, 8, 9), 3);
	mptcp_policy__destroy(twin);
}

/* The id of the endpoint is known late, and then no rule fits: counted once */
static void test_no_rule(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { RULE_ENDPOINT(99), RULE_MARK(7) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_ruleset set;

	if (!skel)
		return;
	if (!mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal") &&
	    !mark_listen(env, "0.0.0.0") && !mark_connect(env, "10.0.1.2") &&
	    !mark_wait_subflows(env, CLIENT, 2) && !policy_get(skel, &set))
		ASSERT_EQ(set.unmatched, 2, "unmatched");
}

/* Callbacks are asked for where a rule names backup, and only there */
static void test_flags(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { RULE_MARK(9) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};

	if (!skel || mark_start(env, AF_INET, NULL, 2) || policy_values(env, CLIENT, v, 2))
		return;
	ASSERT_EQ(v[1].cb_flags, 0, "without backup");
	if (policy_apply(env, CLIENT, skel, by_backup, 2) || policy_values(env, CLIENT, v, 2))
		return;
	ASSERT_EQ(v[1].cb_flags, BACKUP_FLAGS, "with backup");
	if (!policy_apply(env, CLIENT, skel, rules, 1) && !policy_values(env, CLIENT, v, 2))
		ASSERT_EQ(v[1].cb_flags, 0, "without backup again");
}

/*
 * The network drops SYNs with MPTCP. The kernel then opens connections without it:
 * they are still opened, not accepted.
 */
static void test_fallback(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_IS(MPTCP_IS_ACCEPTED), RULE_MARK(8) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_ruleset set;
	int i;

	if (!skel)
		return;
	/* After the first connection, the kernel does not try MPTCP for a while */
	if (mark_run_with(env->netns[CLIENT], "sh", "sysctl -qw %s=0 2>/dev/null || true\n",
			  "net.mptcp.syn_retrans_before_tcp_fallback") ||
	    mark_run_with(env->netns[SERVER], "nft -f -",
			  "table ip hole {\n"
			  "chain in {\n"
			  "type filter hook input priority filter;\n"
			  "tcp option mptcp exists drop\n"
			  "}\n}\n") ||
	    mark_listen(env, "10.0.1.2"))
		return;
	for (i = 0; i < 2 && !mark_connect(env, "10.0.1.2"); i++)
		mark_disconnect(&env->conn);
	ASSERT_EQ(i, 2, "connections");
	if (!policy_get(skel, &set))
		ASSERT_EQ(set.unmatched, 2, "opened");
}

/* It was opened, and comes to its rule once, though TCP calls it accepted, too */
static void test_to_itself(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_ruleset set;

	if (skel && !mark_connect_itself(env) && !policy_get(skel, &set))
		ASSERT_EQ(set.stats[0].matched, 1, "matched");
}

/* Ordinals are still known when the first subflow is gone */
static void test_first_died(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), RULE_MARK(2) }, { RULE_MARK(9) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);

	if (!skel || mark_start(env, AF_INET, NULL, 3))
		return;
	if (!mark_number(env, CLIENT, "ss -HtK src 10.0.1.1 2>/dev/null | wc -l")) {
		mark_skip("sockets cannot be destroyed: CONFIG_INET_DIAG_DESTROY=y");
		return;
	}
	if (!mark_wait_subflows(env, CLIENT, 2) &&
	    /* Meanwhile, a worker of the kernel clears the id of the first */
	    !mark_send(&env->conn, CLIENT, MARK_BULK) &&
	    !policy_apply(env, CLIENT, skel, rules, 2))
		mark_expect(env, CLIENT, MARKS(2, 9), 2);
}

static const struct mark_test tests[] = {
	{ "same_number", 3, test_same_number },
	{ "same_rule", 2, test_same_rule },
	{ "late_join", 2, test_late_join },
	{ "late_options", 2, test_late_options },
	{ "late_replaced", 2, test_late_replaced },
	{ "late_closed", 2, test_late_closed },
	{ "late_flags", 2, test_late_flags },
	{ "takes_flags", 2, test_neighbour, .n = false },
	{ "lets_go", 2, test_neighbour, .n = true },
	{ "reply", 1, test_reply, .n = IPPROTO_MPTCP },
	{ "reply_tcp", 1, test_reply, .n = IPPROTO_TCP },
	{ "flags_of_others", 2, test_flags_of_others },
	{ "new_subflows", 3, test_new_subflows },
	{ "no_rule", 2, test_no_rule },
	{ "flags", 2, test_flags },
	{ "fallback", 1, test_fallback },
	{ "to_itself", 1, test_to_itself },
	{ "first_died", 3, test_first_died },
};

void test_mptcp_policy_state(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
