// SPDX-License-Identifier: GPL-2.0
/* Many connections, at once and in turn: each has its marks 1, 2, 3. Rule 11. */
#include <sys/resource.h>
#include "mptcp_mark_helpers.h"

#define AT_ONCE		1000
#define IN_TURN		200	/* or as many as MPTCP_MARK_IN_TURN says */

static void test_at_once(struct mark_env *env)
{
	const struct rlimit fds = { 2 * AT_ONCE + 100, 2 * AT_ONCE + 100 };
	static struct mark_conn conn[AT_ONCE];
	int i, n;

	if (setrlimit(RLIMIT_NOFILE, &fds)) {
		mark_skip("no more open files are allowed than ulimit -n says");
		return;
	}
	if (mark_prepare(env, AF_INET, mark_ordinals, 3))
		return;
	for (n = 0; n < AT_ONCE; n++)
		if (mark_connect_from(env, "10.0.1.2", MARK_CGROUP, &conn[n]))
			break;
	for (i = 0; i < n; i++) {
		if (!mark_wait(mark_has_subflows(conn[i].fd[CLIENT], 3)))
			mark_expect_of(conn[i].fd[CLIENT], mark_ordinals, 3);
		mark_disconnect(&conn[i]);
	}
}

static void test_in_turn(struct mark_env *env)
{
	const char *times = getenv("MPTCP_MARK_IN_TURN");
	int i, n = times ? atoi(times) : IN_TURN;

	if (!ASSERT_GT(n, 0, "MPTCP_MARK_IN_TURN") ||
	    mark_prepare(env, AF_INET, mark_ordinals, 3))
		return;
	for (i = 0; i < n; i++) {
		mark_disconnect(&env->conn);
		if (mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 3))
			return;
	}
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, n * 3, 0);
}

static const struct mark_test tests[] = {
	{ "at_once", 3, test_at_once },
	{ "in_turn", 3, test_in_turn },
};

void test_mptcp_mark_many(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
