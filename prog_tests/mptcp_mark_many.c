// SPDX-License-Identifier: GPL-2.0
/* Many connections, at once and in turn: each has its marks 1, 2, 3. */
#include <sys/resource.h>
#include "mptcp_mark_helpers.h"

#define SUBFLOWS	3
#define AT_ONCE		1000
#define IN_TURN		200	/* or as many as MPTCP_MARK_IN_TURN says */

static const __u32 mark[SUBFLOWS] = { 1, 2, 3 };

/* Two file descriptors for each connection */
static int raise_limit(rlim_t fds)
{
	struct rlimit limit;

	if (!ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit"))
		return -1;
	if (limit.rlim_cur >= fds)
		return 0;
	limit.rlim_cur = fds;
	if (limit.rlim_max < fds)
		limit.rlim_max = fds;
	return ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit") ? 0 : -1;
}

static void test_at_once(struct mark_env *env, int listen_fd)
{
	static struct mark_conn conn[AT_ONCE];
	struct mark_seen seen;
	int i, n;

	if (raise_limit(2 * AT_ONCE + 100))
		return;

	for (n = 0; n < AT_ONCE; n++)
		if (mark_connect(env, listen_fd, &conn[n]))
			goto disconnect;
	for (i = 0; i < n; i++)
		if (mark_wait_subflows(conn[i].client_fd, SUBFLOWS))
			goto disconnect;

	if (mark_see(env, &seen))
		goto disconnect;
	for (i = 0; i < n; i++)
		mark_check(&seen, conn[i].client_fd, mark, SUBFLOWS);
	mark_unsee(&seen);
disconnect:
	for (i = 0; i < n; i++)
		mark_disconnect(&conn[i]);
}

static void test_in_turn(struct mark_env *env, int listen_fd)
{
	const char *times = getenv("MPTCP_MARK_IN_TURN");
	int i, n = times ? atoi(times) : IN_TURN;
	struct mark_conn conn;
	struct mark_seen seen;

	if (!ASSERT_GT(n, 0, "MPTCP_MARK_IN_TURN"))
		return;

	for (i = 0; i < n; i++) {
		/* Ports come again in the long run: look at the last connection only */
		if (i == n - 1 && mark_forget(env))
			return;
		if (mark_connect(env, listen_fd, &conn))
			return;
		if (mark_wait_subflows(conn.client_fd, SUBFLOWS))
			goto disconnect;
		if (i < n - 1)
			mark_disconnect(&conn);
	}

	if (!mark_see(env, &seen)) {
		mark_check(&seen, conn.client_fd, mark, SUBFLOWS);
		mark_unsee(&seen);
	}
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, (__u64)n * SUBFLOWS, "marked");
disconnect:
	mark_disconnect(&conn);
}

static void run(void (*test)(struct mark_env *env, int listen_fd))
{
	struct mark_env env;
	int listen_fd;

	if (mark_env_open(&env, SUBFLOWS))
		return;
	if (!mark_endpoints(&env, AF_INET, SUBFLOWS - 1)) {
		listen_fd = mark_listen(&env, AF_INET);
		if (listen_fd >= 0) {
			test(&env, listen_fd);
			close(listen_fd);
		}
	}
	mark_env_close(&env);
}

void test_mptcp_mark_many(void)
{
	if (test__start_subtest("at_once"))
		run(test_at_once);
	if (test__start_subtest("in_turn"))
		run(test_in_turn);
}
