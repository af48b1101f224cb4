// SPDX-License-Identifier: GPL-2.0
/* The subflows that this end accepts, by the same rules: rule 4. */
#include "mptcp_mark_helpers.h"

struct server_case {
	int family;
	__u32 base, mask;
	__u32 expected[3];
};

static void test_server(struct mark_env *env)
{
	const struct server_case *c = env->data;

	mark_configure(env->skel, c->base, c->mask);
	if (mark_watch_links(env, SERVER, c->family, c->expected, 3) ||
	    mark_start_server(env, MARK_CGROUP, c->family, 3) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect(env, SERVER, c->expected, 3);
	mark_expect_stats(env, 3, 0);
}

#define CASE(_family, _base, _mask, ...)					\
	(&(const struct server_case){ _family, _base, _mask, { __VA_ARGS__ } })

static const struct mark_test tests[] = {
	{ "ipv4", 3, test_server, CASE(AF_INET, 0, ~0U, 1, 2, 3) },
	{ "ipv6", 3, test_server, CASE(AF_INET6, 0, ~0U, 1, 2, 3), .ipv6 = true },
	{ "base_mask", 3, test_server, CASE(AF_INET, 0x1f0, 0xff, 0xf1, 0xf2, 0xf3) },
};

void test_mptcp_mark_server(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
