// SPDX-License-Identifier: GPL-2.0
/* Joins that a server accepts while it has its socket locked: rules 4 and 8. */
#include "mptcp_mark_busy.h"

/* A join of a link comes while the server is busy, and gets its id: as many subflows then */
static int join_late(struct mark_env *env, int link)
{
	struct busy_server busy;

	return busy_server_start(env, &busy) ||
	       busy_server_go_on(env, &busy, mark_endpoint(env, link) || mark_wait_pending(env, 1),
				 link) ||
	       mark_settle(env, link, link);
}

/* Joins accepted while busy send with their mark, before and after they get their ids */
static void test_pending(struct mark_env *env)
{
	int joins = env->n;

	if (mark_watch_links(env, SERVER, AF_INET, mark_ordinals, joins + 2) ||
	    mark_start_server(env, MARK_CGROUP, AF_INET, 1) ||
	    mark_join_busy(env, AF_INET, joins) || mark_settle(env, 2, joins + 1))
		return;
	mark_expect(env, SERVER, mark_ordinals, joins + 1);
	/* Another one, when nothing is pending, goes on from there */
	if (mark_join(env, AF_INET, joins + 2, joins + 2) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect(env, SERVER, mark_ordinals, joins + 2);
	mark_expect_stats(env, joins + 2, 0);
}

/* The first that is late, of a connection that has three subflows */
static void test_pending_later(struct mark_env *env)
{
	if (mark_watch_links(env, SERVER, AF_INET, mark_ordinals, 4) ||
	    mark_start_server(env, MARK_CGROUP, AF_INET, 3) || join_late(env, 4))
		return;
	mark_expect(env, SERVER, mark_ordinals, 4);
}

/* Between two that are late, joins come while the program is not attached */
static void test_missed(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 2, 0, 4, 5 };

	if (mark_start_server(env, MARK_CGROUP, AF_INET, 1) || join_late(env, 2))
		return;
	mark_detach(&env->skel->links.mptcp_mark);
	if (mark_join(env, AF_INET, 3, 3) || mark_attach_ours(env->skel, env->cgroup_fd) ||
	    mark_join(env, AF_INET, 4, 4) || join_late(env, 5))
		return;
	mark_expect(env, SERVER, mark, 5);
}

/*
 * What a late join leaves behind, written by hand: the last ordinal, and the first id
 * that does not tell its own. A join that was given its id after that goes on from the
 * last one; an older one has its own.
 */
static void test_counted(struct mark_env *env)
{
	const struct {
		__u32 last, first_id, earlier, unused;	/* struct subflow_count */
	} count = { .last = 3, .first_id = env->n };
	const __u32 mark[] = { 1, 2, env->n == 3 ? 4 : 3 };

	if (mark_start(env, AF_INET, NULL, 2) ||
	    !ASSERT_OK(bpf_map__update_elem(env->skel->maps.subflow_counts, &env->conn.fd[CLIENT],
					    sizeof(int), &count, sizeof(count), BPF_NOEXIST),
		       "count") ||
	    mark_endpoint(env, 3))
		return;
	mark_expect(env, CLIENT, mark, 3);
}

/*
 * The application has set an option before: with their ids, the kernel gives
 * the joins the options of the MPTCP socket, SO_MARK among them, and sends before
 * any program is called again. The next packet received brings their mark back:
 * that of the base and mask with which they were accepted.
 */
static void test_synced(struct mark_env *env)
{
	static const __u32 mark[] = { 0x101, 0x102, 0x103 };
	struct busy_server busy;
	int family = env->n, err;

	mark_configure(env->skel, 0x100, 0xfff);
	if (mark_watch_links(env, SERVER, family, mark, 3) ||
	    mark_start_server(env, MARK_CGROUP, family, 1) ||
	    mark_set_nodelay(env) || busy_server_start(env, &busy))
		return;
	err = mark_join_pending(env, family, 2);
	/* Not for those that are pending: their next packet may come at once */
	mark_configure(env->skel, 0x2000, 0xf000);
	busy_server_end(&busy);
	if (err || mark_transfer(&env->conn, SERVER, MARK_BULK, MARK_BULK + busy.size) ||
	    mark_settle(env, 2, 3))
		return;
	mark_expect(env, SERVER, mark, 3);
	mark_expect_stats(env, 3, 0);
	ASSERT_EQ(mark_counted(env, SERVER, family == AF_INET ? "10.0.1.1" : "dead:beef:1::1",
			       "wrong"), 0, "subflow 1 with another mark");
	if (mark_counted(env, SERVER, "", "wrong"))
		mark_xfail("__mptcp_finish_join() replaces the mark before it sends");
	/* From now on, they keep it */
	if (!mark_unwatch(env, SERVER) && !mark_watch_links(env, SERVER, family, mark, 3))
		mark_send(&env->conn, SERVER, MARK_BULK);
}

static const struct mark_test tests[] = {
	{ "pending", 4, test_pending, .n = 2 },
	{ "many_pending", 9, test_pending, .n = 7 },
	{ "pending_later", 4, test_pending_later },
	{ "missed", 5, test_missed },
	{ "counted", 3, test_counted, .n = 3 },
	{ "counted_older", 3, test_counted, .n = 4 },
	{ "synced", 3, test_synced, .n = AF_INET },
	{ "synced_ipv6", 3, test_synced, .n = AF_INET6, .ipv6 = true },
};

void test_mptcp_mark_busy(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
