// SPDX-License-Identifier: GPL-2.0
/* Three subflows, marked 1, 2, 3: the first thing to see. */
#include "mptcp_mark_helpers.h"

#define SUBFLOWS	3

static void test_family(int family)
{
	static const __u32 mark[SUBFLOWS] = { 1, 2, 3 };
	struct mark_conn conn;
	struct mark_env env;

	if (mark_env_open(&env, SUBFLOWS))
		return;

	if (mark_endpoints(&env, family, SUBFLOWS - 1) || mark_connect(&env, family, &conn))
		goto close_env;

	if (!mark_wait_subflows(conn.client_fd, SUBFLOWS))
		mark_check(&env, conn.client_fd, mark, SUBFLOWS);
	ASSERT_EQ(env.skel->data_mark_cnt->mark_stats.marked, SUBFLOWS, "counted as marked");
	ASSERT_EQ(env.skel->data_mark_cnt->mark_stats.failed, 0, "counted as failed");

	mark_disconnect(&conn);
close_env:
	mark_env_close(&env);
}

void test_mptcp_mark(void)
{
	if (test__start_subtest("ipv4"))
		test_family(AF_INET);
	if (test__start_subtest("ipv6"))
		test_family(AF_INET6);
}
