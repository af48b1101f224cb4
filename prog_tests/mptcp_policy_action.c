// SPDX-License-Identifier: GPL-2.0
/*
 * What a rule sets on the subflow that comes to it, and on no other: rule 18.
 * Seen by bpf_getsockopt(), and where it can be by others: inet_diag, the wire.
 */
#include "mptcp_mark_busy.h"
#include "mptcp_policy_helpers.h"

#define SECOND	RULE_ORDINAL(2)

struct action_case {
	int family;
	struct mptcp_policy_rule rule;
	void (*expected)(struct mptcp_policy_values *v);
	const char *wire;		/* in nft's words: so is all that leaves */
	const char *ss;			/* what ss shows of it */
};

/* Count what leaves by link 2: what is so, and what is not */
static int watch_wire(struct mark_env *env, int family, const char *wire)
{
	const char *from = family == AF_INET ? "ip saddr 10.0.2.1" : "ip6 saddr dead:beef:2::1";

	return mark_run_with(env->netns[CLIENT], "nft -f -",
			     "table %s wire {\n"
			     "chain out {\n"
			     "type filter hook output priority filter;\n"
			     "%s tcp flags & rst == 0 %s counter return comment fits\n"
			     "%s tcp flags & rst == 0 counter comment others\n"
			     "}\n}\n", MARK_NFT, from, wire, from);
}

static void expect_wire(struct mark_env *env)
{
	ASSERT_GT(policy_packets(env, CLIENT, "fits"), 0, "packets as the rule says");
	ASSERT_EQ(policy_packets(env, CLIENT, "others"), 0, "other packets");
}

/* What ss says of the subflow of link 2, and not of the two others */
static void expect_ss(struct mark_env *env, const char *text)
{
	const char *netns = env->netns[CLIENT];

	ASSERT_OK(SYS_NOFAIL("ip netns exec %s ss -tneio src 10.0.2.1 | grep -q '%s'", netns, text),
		  "shown by ss");
	ASSERT_NEQ(SYS_NOFAIL("ip netns exec %s ss -tneio not src 10.0.2.1 | grep -q '%s'", netns,
			      text), 0, "shown by ss of other subflows");
}

static bool reno_is_default(struct mark_env *env)
{
	if (!mark_reno_is_default(env))
		return false;
	mark_skip("reno is the default: sysctl net.ipv4.tcp_congestion_control=cubic");
	return true;
}

static void test_action(struct mark_env *env)
{
	const struct action_case *c = env->data;
	struct mptcp_policy *skel = policy_start(env, c->family, &c->rule, 1);
	struct mptcp_policy_values v[3] = {}, expected;
	static const __u64 none[MPTCP_SET_NUM];
	struct mptcp_ruleset set;

	if (!skel || (c->rule.actions & SETS(CONGESTION) && reno_is_default(env)) ||
	    (c->wire && watch_wire(env, c->family, c->wire)) ||
	    mark_start(env, c->family, NULL, 3) || mark_send(&env->conn, CLIENT, 1 << 16) ||
	    policy_values(env, CLIENT, v, 3) || policy_get(skel, &set))
		return;
	if (c->wire)
		expect_wire(env);
	if (c->ss)
		expect_ss(env, c->ss);

	expected = v[0];
	v[1].id = 1;
	v[2].id = 1;
	ASSERT_OK(memcmp(&v[2], &expected, sizeof(expected)), "options of subflow 3");
	c->expected(&expected);
	ASSERT_OK(memcmp(&v[1], &expected, sizeof(expected)), "options of subflow 2");
	ASSERT_EQ(set.stats[0].matched, 1, "matched");
	ASSERT_OK(memcmp(set.stats[0].refused, none, sizeof(none)), "refused");
}

#define EXPECTED(name, ...)							\
	static void expected_##name(struct mptcp_policy_values *v)		\
	{									\
		__VA_ARGS__;							\
	}

EXPECTED(mark, v->mark = 0x20)
EXPECTED(reno, memcpy(v->congestion, "reno", sizeof("reno")))
EXPECTED(priority, v->priority = 5)
EXPECTED(tos, v->tos = 0x28)
EXPECTED(tos_priority, v->tos = 0x28; v->priority = 5)
EXPECTED(pacing, v->pacing = 1250000)
EXPECTED(user_timeout, v->user_timeout = 2000)
EXPECTED(syncnt, v->syncnt = 1)
EXPECTED(keepalive, v->keepalive = 1; v->keep_idle = 10; v->keep_intvl = 2; v->keep_cnt = 3)

/* The other bits of a mark are the application's */
static void test_mark_mask(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ .key.ordinal = 2, .key_mask.ordinal = ~0, .actions = SETS(MARK), .mark = 0x20,
		  .mark_mask = 0xf0 },
	};
	static const __u32 expected[] = { 0x5555, 0x5525, 0x5555 };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	int fd;

	if (!skel)
		return;
	if (!mark_endpoints(env, AF_INET, 2, 3) && !mark_listen(env, "10.0.1.2") &&
	    !mark_watch_links(env, CLIENT, AF_INET, expected, 3)) {
		fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
		if (!mark_set(fd, 0x5555) && !mark_connect_fd(env, fd) &&
		    !mark_wait_subflows(env, CLIENT, 3))
			mark_expect(env, CLIENT, expected, 3);
	}
}

/* The kernel derives a priority from a TOS. What the application wants is not replaced */
static void test_tos_keeps(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ SECOND, .actions = SETS(TOS), .tos = 0x28 },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	struct mptcp_policy_values v[2] = {};
	int fd, priority = 3;

	if (!skel || mark_prepare(env, AF_INET, NULL, 2))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (!ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)),
		       "setsockopt(SO_PRIORITY)") ||
	    mark_connect_fd(env, fd) || mark_wait_subflows(env, CLIENT, 2) ||
	    policy_values(env, CLIENT, v, 2))
		return;
	ASSERT_EQ(v[1].tos, 0x28, "TOS");
	ASSERT_EQ(v[1].priority, priority, "priority");
}

/* The kernel refuses one option: it is counted, and the others are set */
static void test_refused(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ SECOND, .actions = SETS(CONGESTION) | SETS(MARK) | SETS(USER_TIMEOUT),
		  .congestion = "nonesuch", .mark = 7, .mark_mask = ~0U, .user_timeout = 2000 },
	};
	static const __u32 expected[] = { 0, 7, 0 };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	__u64 refused[MPTCP_SET_NUM] = { [MPTCP_SET_CONGESTION] = 1 };
	struct mptcp_policy_values v[3] = {};
	struct mptcp_ruleset set;

	if (!skel)
		return;
	if (!mark_start(env, AF_INET, NULL, 3) && !policy_get(skel, &set) &&
	    !policy_values(env, CLIENT, v, 3)) {
		mark_expect(env, CLIENT, expected, 3);
		ASSERT_EQ(v[1].user_timeout, 2000, "user timeout");
		ASSERT_OK(memcmp(set.stats[0].refused, refused, sizeof(refused)), "refused");
	}
}

/* What progs/mptcp_subflow.c of selftests/bpf does, and its test asserts */
static void test_upstream(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(1), RULE_MARK(1) },
		{ RULE_ORDINAL(2), .actions = SETS(MARK) | SETS(CONGESTION), .mark = 2,
		  .mark_mask = ~0U, .congestion = "reno" },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 2);
	char before[16], congestion[16] = "";
	struct mptcp_policy_values v[2] = {};
	socklen_t len = sizeof(__u32);
	__u32 mark = ~0;
	int fd;

	if (!skel || reno_is_default(env) || mark_start(env, AF_INET, NULL, 2) ||
	    policy_values(env, CLIENT, v, 2))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 2);
	ASSERT_STREQ(v[1].congestion, "reno", "congestion control of subflow 2");

	/* Of the MPTCP socket, and of one that was never connected */
	fd = env->conn.fd[CLIENT];
	ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len), "SO_MARK");
	ASSERT_EQ(mark, 0, "mark of the MPTCP socket");
	len = sizeof(congestion);
	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_CONGESTION, congestion, &len), "TCP_CONGESTION");
	fd = mark_socket(env, CLIENT, NULL, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	len = sizeof(before);
	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_CONGESTION, before, &len), "TCP_CONGESTION");
	close(fd);
	ASSERT_STREQ(congestion, before, "congestion control of the MPTCP socket");
	ASSERT_STREQ(v[0].congestion, before, "congestion control of subflow 1");
}

/* 1 MB at 1 MB/s: the time that it takes, less what may leave at once */
static void test_pacing_rate(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ .actions = SETS(PACING), .pacing = 1000000 },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);
	__u64 start;

	if (!skel)
		return;
	if (!mark_start(env, AF_INET, NULL, 1)) {
		start = get_time_ns();
		if (!mark_send(&env->conn, CLIENT, 1000000))
			ASSERT_GT(get_time_ns() - start, 500000000, "nanoseconds for 1 MB");
	}
}

/* Nothing that the client sends by link 2 arrives */
static int kill_path(struct mark_env *env)
{
	return mark_run_with(env->netns[SERVER], "nft -f -",
			     "table ip dead {\n"
			     "chain in {\n"
			     "type filter hook input priority filter;\n"
			     "ip saddr 10.0.2.1 counter drop comment dead\n"
			     "}\n}\n");
}

static bool has_entries(struct mark_env *env, int n)
{
	struct mark_table table;

	return mark_get_table(env->conn.fd[CLIENT], &table) == n;
}

/* A join sends its SYN once more, and gives up */
static void test_syncnt_seen(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ SECOND, .actions = SETS(SYNCNT), .syncnt = 1 },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);

	if (!skel)
		return;
	if (!mark_sysctl(env, "net/ipv4/tcp_syn_linear_timeouts", "0") &&
	    !kill_path(env) && !mark_endpoint(env, 2) && !mark_listen(env, "10.0.1.2") &&
	    !mark_connect(env, "10.0.1.2") &&
	    !mark_wait(policy_packets(env, SERVER, "dead") == 2) &&
	    !mark_wait(has_entries(env, 1)))
		ASSERT_EQ(policy_packets(env, SERVER, "dead"), 2, "SYNs");
}

/*
 * Without the rule, the subflow stays for minutes. Where data is to go by it, the
 * first one is a backup: what does not arrive is sent again by that.
 */
static void test_dead_path(struct mark_env *env)
{
	const struct mptcp_policy_rule *rule = env->data;
	struct mptcp_policy *skel = policy_start(env, AF_INET, rule, 1);

	if (skel && !mark_ip(env, CLIENT, "mptcp endpoint add 10.0.1.1 id 1 subflow backup") &&
	    !mark_start(env, AF_INET, NULL, 2) && !kill_path(env) &&
	    !mark_send(&env->conn, CLIENT, env->n))
		mark_wait(has_entries(env, 1));
}

#define CASE(_name, _family, _expected, _wire, _ss, _sets, ...)			\
	{ _name, 3, test_action, &(const struct action_case){ _family,		\
	  { SECOND, .actions = _sets, __VA_ARGS__ }, expected_##_expected, _wire, _ss } }

static const struct mark_test tests[] = {
	CASE("mark", AF_INET, mark, "socket mark 0x20", "fwmark:0x20", SETS(MARK),
	     .mark = 0x20, .mark_mask = 0xf0),
	CASE("congestion", AF_INET, reno, NULL, " reno ", SETS(CONGESTION), .congestion = "reno"),
	CASE("priority", AF_INET, priority, "meta priority 0:5", NULL, SETS(PRIORITY),
	     .priority = 5),
	CASE("tos", AF_INET, tos, "ip dscp af11", NULL, SETS(TOS), .tos = 0x28),
	CASE("tclass", AF_INET6, tos, "ip6 dscp af11", NULL, SETS(TOS), .tos = 0x28),
	CASE("tos_priority", AF_INET, tos_priority, "ip dscp af11 meta priority 0:5", NULL,
	     SETS(TOS) | SETS(PRIORITY), .tos = 0x28, .priority = 5),
	CASE("pacing", AF_INET, pacing, NULL, "/10000000bps", SETS(PACING), .pacing = 1250000),
	CASE("user_timeout", AF_INET, user_timeout, NULL, NULL, SETS(USER_TIMEOUT),
	     .user_timeout = 2000),
	CASE("syncnt", AF_INET, syncnt, NULL, NULL, SETS(SYNCNT), .syncnt = 1),
	CASE("keepalive", AF_INET, keepalive, NULL, "timer:(keepalive", SETS(KEEPALIVE),
	     .keep_idle = 10, .keep_intvl = 2, .keep_cnt = 3),
	{ "mark_mask", 3, test_mark_mask },
	{ "tos_keeps", 2, test_tos_keeps },
	{ "refused", 3, test_refused },
	{ "upstream", 2, test_upstream },
	{ "pacing_rate", 1, test_pacing_rate },
	{ "syncnt_seen", 2, test_syncnt_seen },
	{ "user_timeout_seen", 2, test_dead_path, &(const struct mptcp_policy_rule){
		SECOND, .actions = SETS(USER_TIMEOUT), .user_timeout = 1000 }, 1 << 16 },
	{ "keepalive_seen", 2, test_dead_path, &(const struct mptcp_policy_rule){
		SECOND, .actions = SETS(KEEPALIVE), .keep_idle = 1, .keep_intvl = 1,
		.keep_cnt = 1 } },
};

void test_mptcp_policy_action(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
