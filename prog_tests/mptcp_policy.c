// SPDX-License-Identifier: GPL-2.0
/* Which rule a subflow comes to: rule 17. */
#include "mptcp_policy_helpers.h"

struct match_case {
	enum mark_end end;
	int family;
	const char *endpoints;		/* of the client, beside 2 and 3 on their links */
	struct mptcp_policy_rule rules[3];
	int n;
	__u32 expected[3];
	int unmatched;
};

/* IPv4 prefixes as the policy has them */
#define V4(a, b, c, d)	{ .byte = { [10] = 255, [11] = 255, a, b, c, d } }
#define V4_MASK(a, b, c, d)							\
	{ .byte = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, a, b, c, d } }
#define BEEF(link)	{ .byte = { 0xde, 0xad, 0xbe, 0xef, 0, link } }
#define BEEF_MASK	{ .byte = { 255, 255, 255, 255, 255, 255 } }

/* Three subflows, a link each; the end in question is in the cgroup */
static void test_match(struct mark_env *env)
{
	const struct match_case *c = env->data;
	const char *addr = c->family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";
	bool client = c->end == CLIENT;
	struct mptcp_policy *skel = policy_start(env, c->family, c->rules, c->n);
	struct mptcp_ruleset set;

	if (!skel || mark_watch_links(env, c->end, c->family, c->expected, 3) ||
	    (c->endpoints ? mark_ip(env, CLIENT, "%s", c->endpoints) :
	     mark_endpoints(env, c->family, 2, 3)) ||
	    mark_listen_from(env, addr, client ? NULL : MARK_CGROUP, IPPROTO_MPTCP) ||
	    mark_connect_from(env, addr, client ? MARK_CGROUP : NULL, &env->conn) ||
	    mark_wait_subflows(env, CLIENT, 3) || mark_wait_subflows(env, SERVER, 3) ||
	    mark_send(&env->conn, c->end, 1 << 16))
		return;
	if (client)
		mark_expect(env, CLIENT, c->expected, 3);
	if (!policy_get(skel, &set))
		ASSERT_EQ(set.unmatched, c->unmatched, "subflows that no rule fitted");
}

/* IPv4 on an IPv6 socket is IPv4: its family, and its prefixes */
static void test_v4mapped(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_IS(MPTCP_IS_INET6), RULE_MARK(7) },
		{ .from = V4(10, 0, 2, 0), .from_mask = V4_MASK(255, 255, 255, 0), RULE_MARK(8) },
		{ RULE_IS(MPTCP_IS_INET), RULE_MARK(9) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET6, rules, 3);

	if (!skel || mark_watch_links(env, CLIENT, AF_INET, MARKS(9, 8, 9), 3) ||
	    mark_endpoints(env, AF_INET, 2, 3) || mark_listen(env, "::") ||
	    mark_connect(env, "::ffff:10.0.1.2"))
		return;
	mark_expect(env, CLIENT, MARKS(9, 8, 9), 3);
}

/* Another device has the same place in the kernel's table of 256, and comes first there */
static void test_dev_bucket(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { .dev.name = "eth2", RULE_MARK(7) } };
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 1);

	if (skel &&
	    !mark_ip(env, CLIENT, "link add other index %d type veth peer peer",
		     256 + mark_number(env, CLIENT, "ip -o link show eth2 | cut -d: -f1")) &&
	    !mark_ip(env, CLIENT, "mptcp endpoint add 10.0.2.1 id 2 subflow dev eth2") &&
	    !mark_listen(env, "10.0.1.2") && !mark_connect(env, "10.0.1.2"))
		mark_expect(env, CLIENT, MARKS(0, 7), 2);
}

/* The last of as many rules as a policy can have */
static void test_last(struct mark_env *env)
{
	struct mptcp_policy_rule rules[MPTCP_POLICY_RULES] = {};
	struct mptcp_policy *skel;
	int i;

	for (i = 0; i < MPTCP_POLICY_RULES - 1; i++)
		rules[i] = (struct mptcp_policy_rule){ RULE_ORDINAL(99), RULE_MARK(8) };
	rules[i] = (struct mptcp_policy_rule){ RULE_MARK(7) };
	skel = policy_start(env, AF_INET, rules, MPTCP_POLICY_RULES);
	if (skel && !mark_start(env, AF_INET, NULL, 2))
		mark_expect(env, CLIENT, MARKS(7, 7), 2);
}

#define MATCH(_name, _end, _family, _endpoints, _unmatched, _expected, ...)		\
	{ _name, 3, test_match, &(const struct match_case){ _end, _family, _endpoints,	\
	  { __VA_ARGS__ }, ARRAY_SIZE(((struct mptcp_policy_rule[]){ __VA_ARGS__ })),	\
	  _expected, _unmatched } }
#define EXPECT(...)	{ __VA_ARGS__ }

static const struct mark_test tests[] = {
	MATCH("any", CLIENT, AF_INET, NULL, 0, EXPECT(7, 7, 7), { RULE_MARK(7) }),
	MATCH("none", CLIENT, AF_INET, NULL, 3, EXPECT(0, 0, 0),
	      { RULE_ORDINAL(4), RULE_MARK(7) }),
	MATCH("first", CLIENT, AF_INET, NULL, 0, EXPECT(9, 7, 9),
	      { RULE_ORDINAL(2), RULE_MARK(7) }, { RULE_ENDPOINT(2), RULE_MARK(8) },
	      { RULE_MARK(9) }),
	MATCH("ordinal", CLIENT, AF_INET, NULL, 2, EXPECT(0, 0, 7),
	      { RULE_ORDINAL(3), RULE_MARK(7) }),
	MATCH("endpoint", CLIENT, AF_INET, NULL, 1, EXPECT(0, 8, 7),
	      { RULE_ENDPOINT(3), RULE_MARK(7) }, { RULE_ENDPOINT(2), RULE_MARK(8) }),
	MATCH("endpoint_0", CLIENT, AF_INET, NULL, 2, EXPECT(7, 0, 0),
	      { RULE_ENDPOINT(0), RULE_MARK(7) }),
	MATCH("remote_id", SERVER, AF_INET, NULL, 1, EXPECT(0, 7, 8),
	      { RULE_REMOTE_ID(2), RULE_MARK(7) }, { RULE_REMOTE_ID(3), RULE_MARK(8) }),
	MATCH("opened", CLIENT, AF_INET, NULL, 0, EXPECT(8, 8, 8),
	      { RULE_IS(MPTCP_IS_ACCEPTED), RULE_MARK(7) },
	      { RULE_IS(MPTCP_IS_OPENED), RULE_MARK(8) }),
	MATCH("accepted", SERVER, AF_INET, NULL, 0, EXPECT(8, 8, 8),
	      { RULE_IS(MPTCP_IS_OPENED), RULE_MARK(7) },
	      { RULE_IS(MPTCP_IS_ACCEPTED), RULE_MARK(8) }),
	MATCH("inet", CLIENT, AF_INET, NULL, 0, EXPECT(8, 8, 8),
	      { RULE_IS(MPTCP_IS_INET6), RULE_MARK(7) }, { RULE_IS(MPTCP_IS_INET), RULE_MARK(8) }),
	MATCH("inet6", CLIENT, AF_INET6, NULL, 0, EXPECT(8, 8, 8),
	      { RULE_IS(MPTCP_IS_INET), RULE_MARK(7) }, { RULE_IS(MPTCP_IS_INET6), RULE_MARK(8) }),
	MATCH("from", CLIENT, AF_INET, NULL, 1, EXPECT(0, 7, 8),
	      { .from = V4(10, 0, 2, 1), .from_mask = V4_MASK(255, 255, 255, 255), RULE_MARK(7) },
	      { .from = V4(10, 0, 2, 0), .from_mask = V4_MASK(255, 255, 254, 0), RULE_MARK(8) }),
	MATCH("from_inet6", CLIENT, AF_INET6, NULL, 2, EXPECT(0, 7, 0),
	      { .from = V4(0, 0, 0, 0), .from_mask = V4_MASK(0, 0, 0, 0), RULE_MARK(8) },
	      { .from = BEEF(2), .from_mask = BEEF_MASK, RULE_MARK(7) }),
	MATCH("to", SERVER, AF_INET, NULL, 2, EXPECT(0, 7, 0),
	      { .to = V4(10, 0, 2, 0), .to_mask = V4_MASK(255, 255, 255, 0), RULE_MARK(7) }),
	MATCH("to_inet6", SERVER, AF_INET6, NULL, 2, EXPECT(0, 0, 7),
	      { .to = BEEF(3), .to_mask = BEEF_MASK, RULE_MARK(7) }),
	MATCH("dev", CLIENT, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow dev eth2\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow", 2, EXPECT(0, 7, 0),
	      { .dev.name = "eth3", RULE_MARK(8) },
	      /* Compared to the end, behind the name, too */
	      { .dev.name = "eth2\0\0\0\0x", RULE_MARK(9) },
	      { .dev.name = "eth2", RULE_MARK(7) }),
	MATCH("backup", CLIENT, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow backup", 0, EXPECT(8, 8, 7),
	      { RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(7) }, { RULE_MARK(8) }),
	MATCH("our_backup", CLIENT, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow backup", 0, EXPECT(8, 8, 7),
	      { RULE_IS(MPTCP_IS_BACKUP_REMOTE), RULE_MARK(9) },
	      { RULE_IS(MPTCP_IS_BACKUP_LOCAL), RULE_MARK(7) }, { RULE_MARK(8) }),
	MATCH("their_backup", SERVER, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow backup", 0, EXPECT(8, 8, 7),
	      { RULE_IS(MPTCP_IS_BACKUP_LOCAL), RULE_MARK(9) },
	      { RULE_IS(MPTCP_IS_BACKUP_REMOTE), RULE_MARK(7) }, { RULE_MARK(8) }),
	MATCH("our_backup_alone", CLIENT, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow backup", 2, EXPECT(0, 0, 7),
	      { RULE_IS(MPTCP_IS_BACKUP_LOCAL), RULE_MARK(7) }),
	MATCH("their_backup_alone", SERVER, AF_INET,
	      "mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	      "mptcp endpoint add 10.0.3.1 id 3 subflow backup", 2, EXPECT(0, 0, 7),
	      { RULE_IS(MPTCP_IS_BACKUP_REMOTE), RULE_MARK(7) }),
	{ "v4mapped", 3, test_v4mapped, .ipv6 = true },
	{ "dev_bucket", 2, test_dev_bucket },
	{ "last", 2, test_last },
};

void test_mptcp_policy(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
