// SPDX-License-Identifier: GPL-2.0
/* Subflows are marked 1, 2, 3: rules 1 to 3. */
#include "mptcp_mark_helpers.h"

static void test_family(struct mark_env *env)
{
	if (mark_start(env, env->n, mark_ordinals, 3))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);
}

static const struct mark_test tests[] = {
	{ "ipv4", 3, test_family, .n = AF_INET },
	{ "ipv6", 3, test_family, .n = AF_INET6, .ipv6 = true },
};

void test_mptcp_mark(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
