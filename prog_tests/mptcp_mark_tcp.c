// SPDX-License-Identifier: GPL-2.0
/* Plain TCP is left alone: rule 6. */
#include "mptcp_mark_helpers.h"

struct plain_case {
	int listener;		/* protocol */
	__u32 app;		/* SO_MARK of the application, set before connect */
};

/* A plain TCP connection, to a listener of either kind: both ends are as they were */
static void test_plain(struct mark_env *env)
{
	const struct plain_case *c = env->data;
	int fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_TCP);

	if (mark_watch_link(env, CLIENT, AF_INET, 1, c->app) ||
	    mark_watch_link(env, SERVER, AF_INET, 1, 0) || mark_set(fd, c->app) ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, c->listener) ||
	    mark_connect_fd(env, fd) || mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	mark_expect_stats(env, 0, 0);
}

static const struct mark_test tests[] = {
	{ "plain", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP, 0x77 } },
	{ "plain_to_mptcp", 1, test_plain, &(const struct plain_case){ IPPROTO_MPTCP } },
};

void test_mptcp_mark_tcp(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
