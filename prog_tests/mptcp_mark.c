// SPDX-License-Identifier: GPL-2.0
/* Three subflows, marked 1, 2, 3: the first thing to see. */
#include "mptcp_mark_helpers.h"

#define SUBFLOWS	3

static void test_family(int family)
{
	static const __u32 mark[SUBFLOWS] = { 1, 2, 3 };
	struct mark_conn conn;
	struct mark_seen seen;
	struct mark_env env;
	int listen_fd;

	if (mark_env_open(&env, SUBFLOWS))
		return;
	if (mark_endpoints(&env, family, SUBFLOWS - 1))
		goto close_env;

	listen_fd = mark_listen(&env, family);
	if (listen_fd < 0)
		goto close_env;
	if (mark_connect(&env, listen_fd, &conn))
		goto close_listener;

	if (!mark_wait_subflows(conn.client_fd, SUBFLOWS) && !mark_see(&env, &seen)) {
		mark_check(&seen, conn.client_fd, mark, SUBFLOWS);
		mark_unsee(&seen);
	}
	ASSERT_EQ(env.skel->data_mark_cnt->mark_stats.marked, SUBFLOWS, "counted as marked");
	ASSERT_EQ(env.skel->data_mark_cnt->mark_stats.failed, 0, "counted as failed");

	mark_disconnect(&conn);
close_listener:
	close(listen_fd);
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
