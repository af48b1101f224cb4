// SPDX-License-Identifier: GPL-2.0
/* The sockets of the cgroup and what is below it, and no others: rule 5. */
#include "mptcp_mark_helpers.h"

#define NESTED	MARK_CGROUP "/nested"

/* A connection of three subflows from a cgroup, or from the root where NULL */
static int start_from(struct mark_env *env, const char *cgroup)
{
	return mark_endpoints(env, AF_INET, 2) || mark_listen(env, "10.0.1.2") ||
	       mark_connect_from(env, "10.0.1.2", cgroup, IPPROTO_MPTCP, &env->conn) ||
	       mark_wait_subflows(env->conn.client_fd, 3);
}

/* Without the program there is no table: ask the others, by what FULL_INFO has */
static void expect_untouched(struct mark_env *env)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct sockaddr_in *local;
	__u64 tcp[MARK_MAX];
	struct mark_seen seen;
	int i, n;

	n = mark_full_info(env->conn.client_fd, sub, tcp);
	if (!ASSERT_EQ(n, 3, "subflows") || mark_see(env, false, &seen))
		return;
	for (i = 0; i < n; i++) {
		local = (void *)&sub[i].local;
		ASSERT_EQ(mark_from_diag(seen.ss, AF_INET, &local->sin_addr, local->sin_port), 0,
			  "mark by inet_diag");
		ASSERT_EQ(mark_from_nft(seen.nft, AF_INET, &local->sin_addr, local->sin_port), 0,
			  "mark by nft");
	}
	mark_unsee(&seen);
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, 0, "counted as marked");
}

static void test_outside(struct mark_env *env)
{
	if (!start_from(env, NULL))
		expect_untouched(env);
}

static void test_nested(struct mark_env *env)
{
	int fd = create_and_get_cgroup(NESTED);

	if (!ASSERT_OK_FD(fd, "create cgroup"))
		return;
	if (!start_from(env, NESTED))
		mark_expect(env, mark_ordinals, 3);
	close(fd);
	mark_disconnect(&env->conn);
	remove_cgroup(NESTED);
}

/* Two programs on one cgroup, each with bits of its own */
static void test_multi(struct mark_env *env)
{
	static const __u32 mark[] = { 0x21, 0x22, 0x23 };
	struct mptcp_mark *other;

	env->skel->data_mark_cfg->mark_config.mask = 0xf;
	other = mptcp_mark__open();
	if (!ASSERT_OK_PTR(other, "open another"))
		return;
	other->data_mark_cfg->mark_config.base = 0x20;
	other->data_mark_cfg->mark_config.mask = 0xf0;
	if (ASSERT_OK(mptcp_mark__load(other), "load another") &&
	    !mark_attach(other, env->cgroup_fd) && !start_from(env, MARK_CGROUP))
		mark_expect(env, mark, 3);
	mptcp_mark__destroy(other);
}

/* The socket decides, not who uses it: connected from elsewhere in all respects */
static void test_used_elsewhere(struct mark_env *env)
{
	struct sockaddr_storage addr;
	socklen_t len;
	struct mark_place place;
	int err;

	if (mark_endpoints(env, AF_INET, 2) || mark_listen(env, "10.0.1.2") ||
	    mark_socket(env, IPPROTO_MPTCP, &addr, &len) || mark_enter(env->server, NULL, &place))
		return;
	err = connect(env->conn.client_fd, (void *)&addr, len);
	mark_leave(&place);
	if (!ASSERT_OK(err, "connect") || mark_accept(env, &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 3))
		return;
	mark_expect(env, mark_ordinals, 3);
}

static const struct mark_test tests[] = {
	{ "outside", 3, test_outside },
	{ "nested", 3, test_nested },
	{ "multi", 3, test_multi },
	{ "used_elsewhere", 3, test_used_elsewhere },
};

void test_mptcp_mark_scope(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
