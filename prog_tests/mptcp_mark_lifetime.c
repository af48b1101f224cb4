// SPDX-License-Identifier: GPL-2.0
/*
 * Subflows that come and go, connections that come again, programs that come
 * late: rules 7, 8 and 9.
 */
#include "mptcp_mark_helpers.h"

/* The ordinal of a subflow that is gone is not given again */
static void test_no_reuse(struct mark_env *env)
{
	static const __u32 removed[] = { 1, 3 }, added[] = { 1, 3, 4 };

	if (mark_watch_link(env, CLIENT, AF_INET, 4, 4) ||
	    mark_start_watched(env, AF_INET, 2) ||
	    mark_ip(env, CLIENT, "mptcp endpoint delete id 2") ||
	    mark_wait_subflows(env, CLIENT, 2))
		return;
	mark_expect(env, CLIENT, removed, 2);
	if (!mark_endpoint(env, 4) && !mark_wait_subflows(env, CLIENT, 3))
		mark_expect(env, CLIENT, added, 3);
}

/* The initial address, removed and added again, gets a new ordinal */
static void test_initial_removed(struct mark_env *env)
{
	static const __u32 removed[] = { 2, 3 }, added[] = { 2, 3, 4 };

	if (mark_start_watched(env, AF_INET, 2) ||
	    mark_ip(env, CLIENT, "mptcp endpoint delete id 0 10.0.1.1") ||
	    mark_wait_subflows(env, CLIENT, 2))
		return;
	mark_expect(env, CLIENT, removed, 2);
	if (mark_watched(env, CLIENT) ||
	    mark_watch(env, CLIENT, "ip saddr 10.0.1.1 tcp flags syn", "4") ||
	    mark_endpoint(env, 1) || mark_wait_subflows(env, CLIENT, 3))
		return;
	mark_expect(env, CLIENT, added, 3);
}

/* A subflow that becomes a backup, and is none again, stays what it is */
static void test_backup_changed(struct mark_env *env)
{
	if (mark_start_watched(env, AF_INET, 2) ||
	    mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup\n"
				 "mptcp endpoint change id 2 nobackup") ||
	    mark_send(&env->conn, CLIENT, 1 << 20))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);
}

/* Disconnect, and connect the same socket again: the ordinals start at 1 */
static void test_reconnect(struct mark_env *env)
{
	int i;

	if (mark_start_watched(env, AF_INET, 2))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	for (i = 0; i < 2; i++) {
		if (mark_reconnect(env) || mark_wait_subflows(env, CLIENT, 3))
			return;
		mark_expect(env, CLIENT, mark_ordinals, 3);
	}
	mark_expect_stats(env, 9, 0);
}

/* Add the join of a link, and expect these marks then */
static void join_and_expect(struct mark_env *env, int link, const __u32 *mark, int n)
{
	if (!mark_watch_link(env, CLIENT, AF_INET, link, mark[n - 1]) &&
	    !mark_endpoint(env, link) && !mark_wait_subflows(env, CLIENT, n))
		mark_expect(env, CLIENT, mark, n);
}

/* In the middle of a connection, the joins that follow get their ordinals */
static void test_late_attach(struct mark_env *env)
{
	static const __u32 late[] = { 0, 2, 3 };

	mark_detach(&env->skel->links.mptcp_mark);
	if (mark_watch_link(env, CLIENT, AF_INET, 1, 0) || mark_start(env, AF_INET, 0) ||
	    mark_attach_ours(env->skel, env->cgroup_fd))
		return;
	join_and_expect(env, 2, late, 2);
	join_and_expect(env, 3, late, 3);
}

/* The join in between counts, though nobody marked it; of a second connection, too */
static void test_attach_again(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 0, 3 };
	int again = env->n;

	if (mark_start(env, AF_INET, again) ||
	    (again && (mark_ip(env, CLIENT, "mptcp endpoint delete id 2") || mark_reconnect(env))))
		return;
	mark_detach(&env->skel->links.mptcp_mark);
	join_and_expect(env, again + 2, mark, 2);
	if (!mark_attach_ours(env->skel, env->cgroup_fd))
		join_and_expect(env, again + 3, mark, 3);
}

/* Another program takes the place of ours at once, through the link */
static void test_replace(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 0x102 };
	struct mptcp_mark *other = mptcp_mark__open_and_load();

	if (!ASSERT_OK_PTR(other, "load another"))
		return;
	mark_configure(other, 0x100, ~0U);
	if (!mark_start_watched(env, AF_INET, 0) &&
	    ASSERT_OK(bpf_link__update_program(env->skel->links.mptcp_mark,
					       other->progs.mptcp_mark), "replace"))
		join_and_expect(env, 2, mark, 2);
	mptcp_mark__destroy(other);
}

static const struct mark_test tests[] = {
	{ "no_reuse", 4, test_no_reuse },
	{ "initial_removed", 3, test_initial_removed },
	{ "backup_changed", 3, test_backup_changed },
	{ "reconnect", 3, test_reconnect },
	{ "late_attach", 3, test_late_attach },
	{ "attach_again", 3, test_attach_again, .n = 0 },
	{ "attach_again_reconnected", 4, test_attach_again, .n = 1 },
	{ "replace", 2, test_replace },
};

void test_mptcp_mark_lifetime(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
