// SPDX-License-Identifier: GPL-2.0
/* No memory for what the program keeps: only the counters notice. Rule 12. */
#include "mptcp_mark_busy.h"

/* The limit of what BPF may store for a socket, bpf_sk_storage_charge() */
#define OPTMEM	"net/core/optmem_max"

/* Of a second connection of one socket, the subflows cannot be counted */
static void test_reconnect(struct mark_env *env)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int *fd = env->conn.fd;

	if (mark_start(env, AF_INET, 1))
		return;
	mark_close(&fd[SERVER]);
	if (!ASSERT_OK(connect(fd[CLIENT], &unspec, sizeof(unspec)), "disconnect") ||
	    mark_sysctl(env, CLIENT, OPTMEM, "0") ||
	    mark_connect_fd(env, fd[CLIENT]) || mark_wait_subflows(env, CLIENT, 2) ||
	    mark_send(&env->conn, CLIENT, MARK_BULK))
		return;
	/* Two of the first connection, and the join of the second one, by its id */
	mark_expect_stats(env, 3, 1);
}

/*
 * A join that waits for its id: with memory it has its mark, and without it has
 * none, or has one that the kernel may replace.
 */
static void test_pending(struct mark_env *env)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;
	int joins_before = *(const int *)env->data;
	struct busy_server busy;
	int err;

	if (mark_start_server(env, AF_INET, 0) || busy_server_start(env, &busy))
		return;
	err = (joins_before && (mark_endpoint(env, 2) ||
				mark_wait(READ_ONCE(stats->pending) == 1))) ||
	      mark_sysctl(env, SERVER, OPTMEM, "0") || mark_endpoint(env, 3) ||
	      mark_wait(READ_ONCE(stats->failed) == 1);
	if (busy_server_end(&busy) || err || mark_wait_subflows(env, SERVER, joins_before + 2) ||
	    (joins_before && mark_settle(env, 2, 2)))
		return;
	mark_expect_stats(env, 1 + joins_before, 1);
}

static const int first, second = 1;

static const struct mark_test tests[] = {
	{ "reconnect", 2, test_reconnect },
	{ "first_pending", 3, test_pending, &first },
	{ "second_pending", 3, test_pending, &second },
};

void test_mptcp_mark_failure(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
