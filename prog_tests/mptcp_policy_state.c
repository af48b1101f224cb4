// SPDX-License-Identifier: GPL-2.0
/* What the policy keeps for a subflow, counts of it, and asks for: rules 12, 14, 18. */
#include "mptcp_mark_busy.h"
#include "mptcp_policy_helpers.h"

#define BACKUP_FLAGS	(BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | \
			 BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
#define MARKS(...)	((const __u32[]){ __VA_ARGS__ })

static const struct mptcp_policy_rule by_backup[] = {
	{ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(7) },
	{ RULE_MARK(8) },
};

static int apply(struct mark_env *env, struct mptcp_policy *skel,
		 const struct mptcp_policy_rule *rules, int n)
{
	char nothing;

	return !ASSERT_OK(policy_set(skel, skel->bss->own_cgroup, rules, n), "set policy") ||
	       policy_iterate(env, CLIENT, skel->progs.mptcp_policy_apply, &nothing, 1);
}

/* A subflow comes to a rule of a new policy that has the number of its old one */
static void test_same_number(struct mark_env *env)
{
	static const struct mptcp_policy_rule later[] = {
		{ RULE_ORDINAL(9), RULE_MARK(5) },
		{ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(6) },
		{ RULE_MARK(8) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);

	if (!skel)
		return;
	if (!mark_start(env, AF_INET, NULL, 3) &&
	    ASSERT_OK(policy_set(skel, skel->bss->own_cgroup, later, 3), "set policy") &&
	    !mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup"))
		mark_expect(env, CLIENT, MARKS(8, 6, 8), 3);
	mptcp_policy__destroy(skel);
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
	mptcp_policy__destroy(skel);
}

/* What is set twice on a late join counts once */
static void test_late_join(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), .actions = SETS(CONGESTION), .congestion = "nonesuch" },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};
	struct busy_server busy = {};
	struct mptcp_ruleset set;
	int err;

	if (!skel)
		return;
	if (mark_start_server(env, MARK_CGROUP, AF_INET, 1) || mark_set_nodelay(env) ||
	    busy_server_start(env, &busy))
		goto destroy;
	err = mark_endpoint(env, 2) ||
	      mark_wait(!policy_get(skel, &set) && set.stats[0].matched == 1);
	busy_server_end(&busy);
	if (err || mark_transfer(&env->conn, SERVER, MARK_BULK, MARK_BULK + busy.size) ||
	    mark_wait_subflows(env, SERVER, 2) || mark_poke(env, 2, 2) ||
	    /* It lets go of the callbacks when it has the id */
	    mark_wait(!policy_values(env, SERVER, v, 2) && !v[1].cb_flags) ||
	    policy_get(skel, &set))
		goto destroy;
	ASSERT_EQ(set.stats[0].matched, 1, "matched");
	ASSERT_EQ(set.stats[0].refused[MPTCP_SET_CONGESTION], 1, "refused");
	ASSERT_EQ(set.unmatched, 1, "unmatched");
destroy:
	mptcp_policy__destroy(skel);
}

/* The kernel chooses the address late, and no rule fits */
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
	mptcp_policy__destroy(skel);
}

/* Callbacks are asked for where a rule names backup, and only there */
static void test_flags(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { RULE_MARK(9) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};

	if (!skel)
		return;
	if (mark_start(env, AF_INET, NULL, 2) || policy_values(env, CLIENT, v, 2))
		goto destroy;
	ASSERT_EQ(v[1].cb_flags, 0, "without backup");
	if (apply(env, skel, by_backup, 2) || policy_values(env, CLIENT, v, 2))
		goto destroy;
	ASSERT_EQ(v[1].cb_flags, BACKUP_FLAGS, "with backup");
	if (!apply(env, skel, rules, 1) && !policy_values(env, CLIENT, v, 2))
		ASSERT_EQ(v[1].cb_flags, 0, "without backup again");
destroy:
	mptcp_policy__destroy(skel);
}

/* A client that the network lets do without MPTCP alone opened its connection all the same */
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
		goto destroy;
	for (i = 0; i < 2 && !mark_connect(env, "10.0.1.2"); i++)
		mark_disconnect(&env->conn);
	ASSERT_EQ(i, 2, "connections");
	if (!policy_get(skel, &set))
		ASSERT_EQ(set.stats[0].matched, 0, "accepted");
destroy:
	mptcp_policy__destroy(skel);
}

/* The first subflow has died: the others are still those that they are */
static void test_first_died(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), RULE_MARK(2) }, { RULE_MARK(9) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);

	if (!skel)
		return;
	if (mark_start(env, AF_INET, NULL, 3))
		goto destroy;
	if (!mark_number(env, CLIENT, "ss -HtK src 10.0.1.1 2>/dev/null | wc -l")) {
		mark_skip("sockets cannot be destroyed: CONFIG_INET_DIAG_DESTROY=y");
		goto destroy;
	}
	if (!mark_wait_subflows(env, CLIENT, 2) && !apply(env, skel, rules, 2))
		mark_expect(env, CLIENT, MARKS(2, 9), 2);
destroy:
	mptcp_policy__destroy(skel);
}

static const struct mark_test tests[] = {
	{ "same_number", 3, test_same_number },
	{ "same_rule", 2, test_same_rule },
	{ "late_join", 2, test_late_join },
	{ "no_rule", 2, test_no_rule },
	{ "flags", 2, test_flags },
	{ "fallback", 1, test_fallback },
	{ "first_died", 3, test_first_died },
};

void test_mptcp_policy_state(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
