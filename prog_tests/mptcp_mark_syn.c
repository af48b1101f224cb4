// SPDX-License-Identifier: GPL-2.0
/* The mark is there when the route of the SYN is looked up: rule 3. */
#include "mptcp_mark_helpers.h"

/* Subflow 2 alone does not get through. It had its ordinal all the same */
static void test_blackhole(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 3 };

	if (mark_watch_link(env, CLIENT, AF_INET, 1, 1) ||
	    mark_watch_link(env, CLIENT, AF_INET, 3, 3) ||
	    mark_ip(env, CLIENT, "rule add pref 10 fwmark 2 blackhole") ||
	    mark_endpoints(env, AF_INET, 2, 3) || mark_listen(env, "10.0.1.2") ||
	    mark_connect(env, "10.0.1.2"))
		return;
	mark_expect(env, CLIENT, mark, 2);
}

/* The third link for mark 2: subflow 2 alone moves there. A strict rp_filter would drop it */
static void test_moved(struct mark_env *env)
{
	if (mark_watch(env, CLIENT, "oifname eth1", "1") ||
	    mark_watch(env, CLIENT, "oifname eth3 ip saddr 10.0.2.1", "2") ||
	    mark_watch(env, CLIENT, "oifname eth3 ip saddr 10.0.3.1", "3") ||
	    mark_ip(env, CLIENT, "rule add pref 10 fwmark 2 table 103") ||
	    mark_run_with(env->netns[SERVER], "sh", "cd /proc/sys/net/ipv4/conf\n"
			  "echo 0 | tee all/rp_filter >eth3/rp_filter\n") ||
	    mark_start(env, AF_INET, NULL, 3))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
}

static const struct mark_test tests[] = {
	{ "blackhole", 3, test_blackhole },
	{ "moved", 3, test_moved },
};

void test_mptcp_mark_syn(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
