// SPDX-License-Identifier: GPL-2.0
/* Subflows marked 1, 2, 3, over any mix of address families: rules 1 and 2. */
#include "mptcp_mark_helpers.h"

static void test_ipv4(struct mark_env *env)
{
	if (mark_start(env, AF_INET, 2))
		return;
	mark_expect(env, mark_ordinals, 3);
	mark_expect_counted(env, 3);
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, 3, "counted as marked");
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.failed, 0, "counted as failed");
}

static void test_ipv6(struct mark_env *env)
{
	if (mark_start(env, AF_INET6, 2))
		return;
	mark_expect(env, mark_ordinals, 3);
	mark_expect_counted(env, 3);
}

/* Connect an IPv6 socket to address 1, and join as the server announces */
static void run_dual(struct mark_env *env, const char *connect_to, const char *announced)
{
	if (mark_ip(env->server, "mptcp endpoint add %s signal", announced) ||
	    mark_listen(env, "::") || mark_connect(env, connect_to, &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 2))
		return;
	mark_expect(env, mark_ordinals, 2);
}

static void test_v4mapped(struct mark_env *env)
{
	if (mark_endpoints(env, AF_INET, 2) || mark_listen(env, "::") ||
	    mark_connect(env, "::ffff:10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 3))
		return;
	mark_expect(env, mark_ordinals, 3);
}

static void test_v4_then_v6(struct mark_env *env)
{
	run_dual(env, "::ffff:10.0.1.2", "dead:beef:2::2");
}

static void test_v6_then_v4(struct mark_env *env)
{
	run_dual(env, "dead:beef:1::2", "10.0.2.2");
}

static const struct mark_test tests[] = {
	{ "ipv4", 3, test_ipv4 },
	{ "ipv6", 3, test_ipv6 },
	{ "v4mapped", 3, test_v4mapped },
	{ "v4_then_v6", 2, test_v4_then_v6 },
	{ "v6_then_v4", 2, test_v6_then_v4 },
};

void test_mptcp_mark(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
