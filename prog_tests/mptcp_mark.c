// SPDX-License-Identifier: GPL-2.0
/* Subflows are marked 1, 2, 3, whatever their address families: rules 1 to 3. */
#include "mptcp_mark_helpers.h"

static void test_family(struct mark_env *env)
{
	if (mark_start(env, env->n, mark_ordinals, 3))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);
}

struct mixed_case {
	const char *connect_to, *announced;
	int family[2];			/* of subflows 1 and 2 */
};

/* An IPv6 socket, and the join to an address that the server announces */
static void test_mixed(struct mark_env *env)
{
	const struct mixed_case *c = env->data;

	if (mark_watch_link(env, CLIENT, c->family[0], 1, 1) ||
	    mark_watch_link(env, CLIENT, c->family[1], 2, 2) ||
	    mark_ip(env, SERVER, "mptcp endpoint add %s signal", c->announced) ||
	    mark_listen(env, "::") || mark_connect(env, c->connect_to))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 2);
}

#define MIXED(_name, _connect_to, _announced, ...)				\
	{ _name, 2, test_mixed, .ipv6 = true,					\
	  .data = &(const struct mixed_case){ _connect_to, _announced, { __VA_ARGS__ } } }

static const struct mark_test tests[] = {
	{ "ipv4", 3, test_family, .n = AF_INET },
	{ "ipv6", 3, test_family, .n = AF_INET6, .ipv6 = true },
	MIXED("v4mapped", "::ffff:10.0.1.2", "10.0.2.2", AF_INET, AF_INET),
	MIXED("v4_then_v6", "::ffff:10.0.1.2", "dead:beef:2::2", AF_INET, AF_INET6),
	MIXED("v6_then_v4", "dead:beef:1::2", "10.0.2.2", AF_INET6, AF_INET),
};

void test_mptcp_mark(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
