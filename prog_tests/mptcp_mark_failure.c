// SPDX-License-Identifier: GPL-2.0
/* No memory for what the program keeps: only the counters notice. Rule 12. */
#include "mptcp_mark_busy.h"

/* The limit of what BPF may store for a socket, bpf_sk_storage_charge() */
#define OPTMEM	"net/core/optmem_max"

/* The subflows of a second connection of one socket cannot be counted */
static void test_reconnect(struct mark_env *env)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];

	if (mark_start(env, AF_INET, NULL, 2) || mark_sysctl(env, OPTMEM, "0") ||
	    mark_reconnect(env) || mark_wait_subflows(env, CLIENT, 2) ||
	    mark_send(&env->conn, CLIENT, MARK_BULK) ||
	    !ASSERT_EQ(mark_full_info(env->conn.fd[CLIENT], sub, state), 2, "subflows"))
		return;
	/* Two of the first connection, and the join of the second one, by its id */
	if (sub[0].id != 1 && sub[1].id != 1)
		mark_expect_stats(env, 3, 1);
	else	/* the ids start again: nothing has to be kept */
		mark_expect_stats(env, 4, 0);
}

/*
 * Without memory a pending join stays unmarked, if it is the first, or may lose
 * its mark, if it is not. Either way it counts as failed, once.
 */
static void test_pending(struct mark_env *env)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;
	struct busy_server busy;
	int before = env->n, err;

	if (mark_start_server(env, MARK_CGROUP, AF_INET, 1) || busy_server_start(env, &busy))
		return;
	err = (before && (mark_endpoint(env, 2) || mark_wait_pending(env, 1))) ||
	      mark_sysctl(env, OPTMEM, "0") || mark_endpoint(env, 3) ||
	      mark_wait(READ_ONCE(stats->failed) == 1);
	busy_server_end(&busy);
	if (!err && !mark_wait_subflows(env, SERVER, before + 2) &&
	    (!before || !mark_settle(env, 2, 2)))
		mark_expect_stats(env, 1 + before, 1);
}

/* A pending join whose connection ends before it has its id is not pending for ever */
static void test_pending_closed(struct mark_env *env)
{
	struct busy_server busy;
	int err;

	if (mark_start_server(env, MARK_CGROUP, AF_INET, 1) || busy_server_start(env, &busy))
		return;
	err = mark_endpoint(env, 2) || mark_wait_pending(env, 1) || mark_reset(env);
	busy_server_end(&busy);
	if (!err && !mark_wait_pending(env, 0))
		mark_expect_stats(env, 1, 1);
}

static const struct mark_test tests[] = {
	{ "reconnect", 2, test_reconnect },
	{ "first_pending", 3, test_pending, .n = 0 },
	{ "second_pending", 3, test_pending, .n = 1 },
	{ "pending_closed", 2, test_pending_closed },
};

void test_mptcp_mark_failure(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
