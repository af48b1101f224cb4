// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options that BPF sets on an MPTCP socket, with no, one and three
 * subflows, and after a fallback: what the kernel accepts, and whom it reaches.
 * A kernel that refuses all of them is right, too.
 */
#include "mptcp_sockopt_helpers.h"

/* By the hook's own system call; or when the socket was made */
static int set_on_msk(struct mark_env *env, enum sockopt_hook hook)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int fd = env->conn.fd[CLIENT];
	int any = 0, err = 0;

	if (hook < HOOK_SOCK_CREATE && set_hook(env, CLIENT, hook, 0))
		return -1;
	if (hook == HOOK_SETSOCKOPT)
		err = setsockopt(fd, SOCKOPT_LEVEL, 0, &any, sizeof(any));
	else if (hook == HOOK_GETSOCKNAME)
		err = getsockname(fd, (void *)&addr, &len);
	else if (hook == HOOK_GETPEERNAME)
		err = getpeername(fd, (void *)&addr, &len);
	WRITE_ONCE(skel->bss->hook, HOOK_NONE);
	return ASSERT_OK(err, "call the program") &&
	       ASSERT_EQ(skel->bss->calls, 1, "MPTCP sockets whose options were set") ? 0 : -1;
}

/* What is accepted is on the MPTCP socket; the rest is refused, by its level */
static void expect_msk(enum sockopt_hook hook)
{
	struct sockopt_result *r = skel->bss->results;
	bool all_refused = r[0].set == -EOPNOTSUPP;
	int i;

	for (i = 0; i < NR; i++) {
		if (!is_of(i, AF_INET))
			continue;
		report("msk", rows[i].name, hooks[hook].name,
		       r[i].set ? errno_name(-r[i].set) : "accepted");
		/* SO_TXREHASH: some kernels accept it, others do not */
		if (all_refused || (r[i].set && !strcmp(rows[i].name, "SO_TXREHASH")))
			ASSERT_EQ(r[i].set, -EOPNOTSUPP, rows[i].name);
		else if (rows[i].flags & REFUSED || rows[i].level == SOL_TCP)
			ASSERT_EQ(r[i].set, -EINVAL, rows[i].name);
		else if (!(rows[i].flags & AS_TCP) && ASSERT_OK(r[i].set, rows[i].name) &&
			 !(rows[i].flags & UNREAD))
			ASSERT_TRUE(is_set(i, &r[i]), rows[i].name);
	}
}

/* Which of the accepted options do these subflows have? Returns how many are missing */
static int look(struct mark_env *env, enum sockopt_hook hook, int first, int last,
		const char *column)
{
	struct sockopt_subflow subflows[LINKS + 1] = {};
	int i, link, have, missing = 0;

	ASSERT_GE(read_subflows(env, CLIENT, subflows), last - first + 1, "subflows");
	for (i = 0; i < NR; i++) {
		if (!is_of(i, AF_INET) || skel->bss->results[i].set ||
		    rows[i].flags & (DEVICE | UNREAD))
			continue;
		for (have = 0, link = first; link <= last; link++)
			have += is_set(i, &subflows[link].results[i]);
		/* All of them, or none */
		if (have)
			ASSERT_EQ(have, last - first + 1, rows[i].name);
		missing += !have;
		if (hook == HOOK_SETSOCKOPT)
			report("reach", rows[i].name, column, have ? "yes" : "no");
	}
	return missing;
}

static int new_socket(struct mark_env *env)
{
	env->conn.fd[CLIENT] = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM,
					   IPPROTO_MPTCP);
	return env->conn.fd[CLIENT] < 0 ? -1 : 0;
}

static int new_connection(struct mark_env *env, int proto)
{
	return new_socket(env) || mark_listen_from(env, "10.0.1.2", NULL, proto) ||
	       mark_connect_fd(env, env->conn.fd[CLIENT]);
}

/* These return how many options the subflows that there are lack, or -1 */
static int set_without_subflows(struct mark_env *env, enum sockopt_hook hook)
{
	int missing;

	if (mark_endpoints(env, AF_INET, 2, LINKS) || set_hook(env, CLIENT, hook, 0) ||
	    new_socket(env) || set_on_msk(env, hook) || mark_listen(env, "10.0.1.2") ||
	    mark_connect_fd(env, env->conn.fd[CLIENT]) || mark_wait_subflows(env, CLIENT, LINKS))
		return -1;
	missing = look(env, hook, 1, 1, "before connect(): the initial subflow");
	look(env, hook, 2, LINKS, "its joins");
	return missing;
}

static int set_with_one_subflow(struct mark_env *env, enum sockopt_hook hook)
{
	struct linger off = {};
	int missing;

	if (new_connection(env, IPPROTO_MPTCP) || set_on_msk(env, hook))
		return -1;
	missing = look(env, hook, 1, 1, "one subflow: that");
	if (mark_join(env, AF_INET, 2, 2))
		return -1;
	look(env, hook, 2, 2, "a later join");
	if (!ASSERT_OK(setsockopt(env->conn.fd[CLIENT], SOL_SOCKET, SO_LINGER, &off, sizeof(off)),
		       "setsockopt(SO_LINGER)") ||
	    mark_join(env, AF_INET, 3, 3))
		return -1;
	look(env, hook, 3, 3, "a join after setsockopt()");
	return missing;
}

static int set_with_three_subflows(struct mark_env *env, enum sockopt_hook hook)
{
	if (mark_endpoints(env, AF_INET, 2, LINKS) || new_connection(env, IPPROTO_MPTCP) ||
	    mark_wait_subflows(env, CLIENT, LINKS) || set_on_msk(env, hook))
		return -1;
	return look(env, hook, 1, LINKS, "three subflows: all of them");
}

static int set_after_fallback(struct mark_env *env, enum sockopt_hook hook)
{
	if (new_connection(env, IPPROTO_TCP) || set_on_msk(env, hook))
		return -1;
	return look(env, hook, 1, 1, "after a fallback");
}

static void msk(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	static int (* const moments[])(struct mark_env *, enum sockopt_hook) = {
		set_without_subflows, set_with_one_subflow, set_with_three_subflows,
		set_after_fallback
	};
	int last = hook >= HOOK_SOCK_CREATE ? 0 : ARRAY_SIZE(moments) - 1;
	int i, n, missing = 0;

	for (i = hook == HOOK_GETPEERNAME; i <= last; i++) {
		n = moments[i](env, hook);
		mark_disconnect(&env->conn);
		mark_close(&env->listen_fd);
		if (n < 0 || mark_ip(env, CLIENT, "mptcp endpoint flush"))
			return;
		missing += n;
	}
	expect_msk(hook);
	if (missing)
		mark_xfail("success on the MPTCP socket, and its subflows do not get the value");
}

#define CASE(_name, _hook)							\
	{ _name, LINKS, run_case, &(const struct sockopt_case){ msk, HOOK_##_hook } }

static const struct mark_test tests[] = {
	CASE("setsockopt", SETSOCKOPT),
	CASE("getsockname", GETSOCKNAME),
	CASE("getpeername", GETPEERNAME),
	CASE("sock_create", SOCK_CREATE),
	CASE("socket_post_create", POST_CREATE),
};

void test_mptcp_sockopt_msk(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
