// SPDX-License-Identifier: GPL-2.0
/* To which sockets the program is attached, and when: rules 5 and 9. */
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

/* Add the join of a link, and expect these marks then */
static void join_and_expect(struct mark_env *env, int link, const __u32 *mark, int n)
{
	if (!mark_watch_link(env, CLIENT, AF_INET, link, mark[n - 1]) &&
	    !mark_endpoint(env, link))
		mark_expect(env, CLIENT, mark, n);
}

/*
 * A program that is attached in the middle of a connection counts the subflows that
 * came before. n is 0: it was never attached before. n is 1: it was, and missed a
 * join of the second connection of a socket.
 */
static void test_attach(struct mark_env *env)
{
	static const __u32 mark[] = { 0, 0, 3 }, again[] = { 1, 0, 3 };
	int first = env->n ? 3 : 2;

	if (!env->n)
		mark_detach(&env->skel->links.mptcp_mark);
	if (mark_start(env, AF_INET, NULL, env->n + 1) ||
	    (env->n && (mark_ip(env, CLIENT, "mptcp endpoint delete id 2") || mark_reconnect(env))))
		return;
	mark_detach(&env->skel->links.mptcp_mark);
	join_and_expect(env, first, env->n ? again : mark, 2);
	if (!mark_attach_ours(env->skel, env->cgroup_fd))
		join_and_expect(env, first + 1, env->n ? again : mark, 3);
}

static const struct mark_test tests[] = {
	{ "nested", 3, test_nested },
	{ "multi", 3, test_multi },
	{ "late_attach", 3, test_attach, .n = 0 },
	{ "attach_again", 4, test_attach, .n = 1 },
};

void test_mptcp_mark_cgroup(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
