// SPDX-License-Identifier: GPL-2.0
/* What the mark is made of: base, mask, and the application's: rule 2. */
#include "mptcp_mark_helpers.h"

struct value_case {
	__u32 base, mask;
	__u32 app;		/* SO_MARK of the application, set before connect */
	__u32 expected[3];
};

static void test_case(struct mark_env *env)
{
	const struct value_case *c = env->data;
	socklen_t len = sizeof(__u32);
	__u32 mark;
	int fd;

	if (c->base || c->mask != ~0U)	/* not the defaults */
		mark_configure(env->skel, c->base, c->mask);
	if (mark_prepare(env, AF_INET, c->expected, 3))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (mark_set(fd, c->app) || mark_connect_fd(env, fd))
		return;
	mark_expect(env, CLIENT, c->expected, 3);
	if (ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len), "getsockopt(SO_MARK)"))
		ASSERT_EQ(mark, c->app, "mark of the MPTCP socket");
}

#define CASE(_name, _base, _mask, _app, ...)					\
	{ _name, 3, test_case,							\
	  &(const struct value_case){ _base, _mask, _app, { __VA_ARGS__ } } }

static const struct mark_test tests[] = {
	CASE("base",	     0x100,   ~0U,     0,      0x101, 0x102, 0x103),
	CASE("defaults",     0,	      ~0U,     ~0U,    1, 2, 3),
	CASE("high_mask",    0x50000, 0xf0000, 0xab,   0x500ab, 0x500ab, 0x500ab),
	CASE("base_outside", 0xf00,   0xff,    0xab00, 0xab01, 0xab02, 0xab03),
	CASE("wraps_to_0",   0xff,    0xff,    0xaa00, 0xaa00, 0xaa01, 0xaa02),
	CASE("empty_mask",   0x100,   0,       0xab,   0xab, 0xab, 0xab),
	CASE("mark_0",	     ~0U,     ~0U,     0xab,   0, 1, 2),
};

void test_mptcp_mark_value(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
