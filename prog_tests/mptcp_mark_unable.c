// SPDX-License-Identifier: GPL-2.0
/* Marking fails, and nobody but the counters notices: rule 12. */
#include "mptcp_mark_helpers.h"
#include "mptcp_mark_unable.skel.h"

static void test_unable(struct mark_env *env)
{
	static const __u32 unmarked[] = { 0, 0, 0 };
	struct mptcp_mark_unable *unable;

	unable = mptcp_mark_unable__open_and_load();
	if (!ASSERT_OK_PTR(unable, "load mptcp_mark_unable"))
		return;
	if (ASSERT_OK(bpf_link__update_program(env->skel->links.mptcp_mark,
					       unable->progs.mptcp_mark), "replace") &&
	    !mark_start(env, AF_INET, 2) && !mark_byte(&env->conn))
		mark_expect(env, unmarked, 3);
	ASSERT_EQ(unable->data_mark_cnt->mark_stats.marked, 0, "counted as marked");
	ASSERT_EQ(unable->data_mark_cnt->mark_stats.failed, 3, "counted as failed");
	mptcp_mark_unable__destroy(unable);
}

static const struct mark_test tests[] = {
	{ "counted", 3, test_unable },
};

void test_mptcp_mark_unable(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
