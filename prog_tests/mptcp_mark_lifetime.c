// SPDX-License-Identifier: GPL-2.0
/* Subflows that come and go, connections that come again: rules 7 and 8. */
#include "mptcp_mark_helpers.h"

/* The ordinal of a subflow that is gone is not given again */
static void test_no_reuse(struct mark_env *env)
{
	static const __u32 removed[] = { 1, 3 }, added[] = { 1, 3, 4 };

	if (mark_watch_link(env, CLIENT, AF_INET, 4, 4) ||
	    mark_start(env, AF_INET, mark_ordinals, 3) ||
	    mark_ip(env, CLIENT, "mptcp endpoint delete id 2"))
		return;
	mark_expect(env, CLIENT, removed, 2);
	if (!mark_endpoint(env, 4))
		mark_expect(env, CLIENT, added, 3);
}

/* The initial address, removed and added again, gets a new ordinal */
static void test_initial_removed(struct mark_env *env)
{
	static const __u32 removed[] = { 2, 3 }, added[] = { 2, 3, 4 };

	if (mark_start(env, AF_INET, mark_ordinals, 3) ||
	    mark_ip(env, CLIENT, "mptcp endpoint delete id 0 10.0.1.1"))
		return;
	mark_expect(env, CLIENT, removed, 2);
	/* The server has handled RM_ADDR: it would close a new subflow of id 0 */
	if (!mark_wait_subflows(env, SERVER, 2) && !mark_watched(env, CLIENT) &&
	    !mark_watch(env, CLIENT, "ip saddr 10.0.1.1 tcp flags syn", "4") &&
	    !mark_endpoint(env, 1))
		mark_expect(env, CLIENT, added, 3);
}

/* Disconnect, and connect the same socket again: the ordinals start at 1 */
static void test_reconnect(struct mark_env *env)
{
	int i, err = mark_start(env, AF_INET, mark_ordinals, 3);

	for (i = 0; i < 3 && !err; i++) {
		mark_expect(env, CLIENT, mark_ordinals, 3);
		err = i < 2 && mark_reconnect(env);
	}
	mark_expect_stats(env, 9, 0);
}

static const struct mark_test tests[] = {
	{ "no_reuse", 4, test_no_reuse },
	{ "initial_removed", 3, test_initial_removed },
	{ "reconnect", 3, test_reconnect },
};

void test_mptcp_mark_lifetime(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
