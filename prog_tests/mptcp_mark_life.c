// SPDX-License-Identifier: GPL-2.0
/*
 * Subflows that come and go, connections that come again, programs that come
 * late: rules 7, 8 and 9.
 */
#include "mptcp_mark_helpers.h"

/* No state leaks from one connection to another one of the same addresses */
static void test_two_connections(struct mark_env *env)
{
	struct mark_conn second = { -1, -1 };

	if (!mark_start(env, AF_INET, 2) && !mark_connect(env, "10.0.1.2", &second) &&
	    !mark_wait_subflows(second.client_fd, 3)) {
		mark_expect(env, mark_ordinals, 3);
		mark_expect_of(env, second.client_fd, mark_ordinals, 3);
	}
	mark_disconnect(&second);
}

/* The ordinal of a subflow that is gone is not given again */
static void test_no_reuse(struct mark_env *env)
{
	static const __u32 removed[] = { 1, 3 }, added[] = { 1, 3, 4 };
	int fd;

	if (mark_start(env, AF_INET, 2))
		return;
	fd = env->conn.client_fd;
	if (mark_ip(env->client, "mptcp endpoint delete id 2") || mark_wait_subflows(fd, 2))
		return;
	mark_expect(env, removed, 2);

	if (mark_endpoint(env, AF_INET, 4) || mark_wait_subflows(fd, 3))
		return;
	mark_expect(env, added, 3);
}

/* Disconnect, and connect the same socket again: the ordinals start at 1 */
static void test_reconnect(struct mark_env *env)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int fd, i;

	if (mark_start(env, AF_INET, 2))
		return;
	fd = env->conn.client_fd;
	mark_expect(env, mark_ordinals, 3);
	if (!ASSERT_OK(getsockname(env->listen_fd, (void *)&addr, &len), "address of listener"))
		return;

	for (i = 0; i < 2; i++) {
		mark_close(&env->conn.server_fd);
		if (!ASSERT_OK(connect(fd, &unspec, sizeof(unspec)), "disconnect") ||
		    !ASSERT_OK(connect(fd, (void *)&addr, len), "connect again") ||
		    mark_accept(env, &env->conn) || mark_wait_subflows(fd, 3))
			return;
		mark_expect(env, mark_ordinals, 3);
	}
}

/* Add the join of a link, and expect these marks then */
static void join_and_expect(struct mark_env *env, int link, const __u32 *mark, int n)
{
	if (!mark_endpoint(env, AF_INET, link) &&
	    !mark_wait_subflows(env->conn.client_fd, n))
		mark_expect(env, mark, n);
}

static void detach(struct mark_env *env)
{
	bpf_link__destroy(env->skel->links.mptcp_mark);
	env->skel->links.mptcp_mark = NULL;
}

static int attach(struct mark_env *env)
{
	env->skel->links.mptcp_mark =
		bpf_program__attach_cgroup(env->skel->progs.mptcp_mark, env->cgroup_fd);
	return ASSERT_OK_PTR(env->skel->links.mptcp_mark, "attach") ? 0 : -1;
}

/* In the middle of a connection, the joins that follow get their ordinals */
static void test_late_attach(struct mark_env *env)
{
	static const __u32 none[] = { 0 }, late[] = { 0, 2, 3 };

	detach(env);
	if (mark_start(env, AF_INET, 0))
		return;
	mark_expect(env, none, 1);
	if (attach(env))
		return;
	join_and_expect(env, 2, late, 2);
	join_and_expect(env, 3, late, 3);
}

/* The join in between counts, though nobody marked it */
static void test_attach_again(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 0, 3 };

	if (mark_start(env, AF_INET, 0))
		return;
	mark_expect(env, mark, 1);
	detach(env);
	join_and_expect(env, 2, mark, 2);
	if (!attach(env))
		join_and_expect(env, 3, mark, 3);
}

/* Another program takes the place of ours at once, through the link */
static void test_replace(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 0x102 };
	struct mptcp_mark *other;

	other = mptcp_mark__open();
	if (!ASSERT_OK_PTR(other, "open another"))
		return;
	other->data_mark_cfg->mark_config.base = 0x100;
	if (!ASSERT_OK(mptcp_mark__load(other), "load another") || mark_start(env, AF_INET, 0))
		goto destroy;
	mark_expect(env, mark, 1);
	if (ASSERT_OK(bpf_link__update_program(env->skel->links.mptcp_mark,
					       other->progs.mptcp_mark), "replace"))
		join_and_expect(env, 2, mark, 2);
destroy:
	mptcp_mark__destroy(other);
}

static const struct mark_test tests[] = {
	{ "two_connections", 3, test_two_connections },
	{ "no_reuse", 4, test_no_reuse },
	{ "reconnect", 3, test_reconnect },
	{ "late_attach", 3, test_late_attach },
	{ "attach_again", 3, test_attach_again },
	{ "replace", 2, test_replace },
};

void test_mptcp_mark_life(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
