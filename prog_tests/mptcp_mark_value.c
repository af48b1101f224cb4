// SPDX-License-Identifier: GPL-2.0
/* What the mark is made of: base, mask, and the application's: rules 2 and 10. */
#include "mptcp_mark_helpers.h"

struct value_case {
	__u32 base, mask;
	__u32 app;		/* SO_MARK of the application, set before connect */
	__u32 expected[3];
};

static void expect_msk_mark(int fd, __u32 expected)
{
	socklen_t len = sizeof(__u32);
	__u32 mark = ~expected;

	ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len), "getsockopt(SO_MARK)");
	ASSERT_EQ(mark, expected, "mark of the msk");
}

static void test_case(struct mark_env *env)
{
	const struct value_case *c = env->data;
	struct mptcp_mark_config *config = &env->skel->data_mark_cfg->mark_config;

	config->base = c->base;
	config->mask = c->mask;
	if (mark_endpoints(env, AF_INET, 2) || mark_listen(env, "10.0.1.2") ||
	    mark_connect_app(env, IPPROTO_MPTCP, c->app) ||
	    mark_wait_subflows(env->conn.client_fd, 3))
		return;
	mark_expect(env, c->expected, 3);
	expect_msk_mark(env->conn.client_fd, c->app);
}

/* Between connect and the joins: the kernel rewrites what is there */
static void test_app_before_joins(struct mark_env *env)
{
	static const __u32 rewritten[] = { 0x5500 }, joined[] = { 0x5500, 0x5502, 0x5503 };
	int fd;

	env->skel->data_mark_cfg->mark_config.mask = 0xff;
	if (mark_start(env, AF_INET, 0))
		return;
	mark_expect(env, mark_ordinals, 1);

	fd = env->conn.client_fd;
	if (mark_set(fd, 0x5500) || mark_forget(env->client) || mark_byte(&env->conn))
		return;
	mark_expect(env, rewritten, 1);
	if (mark_endpoints(env, AF_INET, 2) || mark_wait_subflows(fd, 3))
		return;
	mark_expect(env, joined, 3);
	expect_msk_mark(fd, 0x5500);
}

static void test_app_after_joins(struct mark_env *env)
{
	static const __u32 joined[] = { 0x5500, 0x5500, 0x5503 };
	struct mark_seen seen;
	int fd;

	env->skel->data_mark_cfg->mark_config.mask = 0xff;
	if (mark_start(env, AF_INET, 1))
		return;
	mark_expect(env, mark_ordinals, 2);

	fd = env->conn.client_fd;
	if (mark_set(fd, 0x5500) || mark_forget(env->client) ||
	    mark_endpoint(env, AF_INET, 3) ||
	    mark_wait_subflows(fd, 3) || mark_see(env, false, &seen))
		return;
	seen.quiet = true;
	mark_check(&seen, fd, joined, 3);
	mark_unsee(&seen);
}

#define CASE(_name, _base, _mask, _app, ...)					\
	{ _name, 3, test_case,							\
	  &(const struct value_case){ _base, _mask, _app, { __VA_ARGS__ } } }

static const struct mark_test tests[] = {
	CASE("base",	     0x100,   ~0U,     0,      0x101, 0x102, 0x103),
	CASE("no_mask",	     0,	      ~0U,     0xab00, 1, 2, 3),
	CASE("low_mask",     0,	      0xff,    0xab00, 0xab01, 0xab02, 0xab03),
	CASE("high_mask",    0x50000, 0xf0000, 0xab,   0x500ab, 0x500ab, 0x500ab),
	CASE("base_outside", 0xf00,   0xff,    0xab00, 0xab01, 0xab02, 0xab03),
	CASE("wraps_to_0",   0xff,    0xff,    0xaa00, 0xaa00, 0xaa01, 0xaa02),
	CASE("empty_mask",   0x100,   0,       0xab,   0xab, 0xab, 0xab),
	CASE("mark_0",	     ~0U,     ~0U,     0xab,   0, 1, 2),
	{ "app_before_joins", 3, test_app_before_joins },
	{ "app_after_joins", 3, test_app_after_joins },
};

void test_mptcp_mark_value(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
