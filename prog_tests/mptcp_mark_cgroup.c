// SPDX-License-Identifier: GPL-2.0
/* The sockets of the cgroup and of its descendants: rule 5. */
#include "mptcp_mark_helpers.h"

static void test_nested(struct mark_env *env)
{
	if (!mark_prepare(env, AF_INET, mark_ordinals, 3) &&
	    !mark_connect_from(env, "10.0.1.2", MARK_NESTED, &env->conn))
		mark_expect(env, CLIENT, mark_ordinals, 3);
}

/* Two copies of the program on one cgroup, each with bits of its own */
static void test_multi(struct mark_env *env)
{
	static const __u32 mark[] = { 0x21, 0x22, 0x23 };
	struct mptcp_mark *other = mptcp_mark__open_and_load();

	if (!ASSERT_OK_PTR(other, "load another"))
		return;
	mark_configure(env->skel, 0, 0xf);
	mark_configure(other, 0x20, 0xf0);
	if (!mark_attach_ours(other, env->cgroup_fd) && !mark_start(env, AF_INET, mark, 3))
		mark_expect(env, CLIENT, mark, 3);
	mptcp_mark__destroy(other);
}

static const struct mark_test tests[] = {
	{ "nested", 3, test_nested },
	{ "multi", 3, test_multi },
};

void test_mptcp_mark_cgroup(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
