// SPDX-License-Identifier: GPL-2.0
/* What the mark is made of: base, mask, and the application's: rules 2 and 10. */
#include <pthread.h>
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

/* The kernel rewrites the subflows that there are; later joins compose with that */
static void test_app_later(struct mark_env *env)
{
	static const __u32 expected[] = { 0x5500, 0x5500, 0x5503 };

	mark_configure(env->skel, 0, 0xff);
	if (mark_start(env, AF_INET, mark_ordinals, 2))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 2);
	if (mark_watched(env, CLIENT) || mark_set(env->conn.fd[CLIENT], 0x5500) ||
	    mark_watch_links(env, CLIENT, AF_INET, expected, 3) || mark_endpoint(env, 3))
		return;
	mark_expect(env, CLIENT, expected, 3);
	mark_send(&env->conn, SERVER, MARK_BULK);
}

static bool stop;

static void *change(void *skel)
{
	while (!READ_ONCE(stop)) {
		mark_configure(skel, 0x2000, 0xf000);
		mark_configure(skel, 0x100, 0xfff);
	}
	return NULL;
}

/* Processor 0 for the thread, and the others for us and the kernel's workers */
static void take_apart(pthread_t thread, const cpu_set_t *all)
{
	cpu_set_t one, others = *all;

	if (CPU_COUNT(all) < 2 || !CPU_ISSET(0, all))
		return;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	CPU_CLR(0, &others);
	pthread_setaffinity_np(thread, sizeof(one), &one);
	sched_setaffinity(0, sizeof(others), &others);
}

/* Base and mask change all the time: none is combined with the other's old value */
static void test_change(struct mark_env *env)
{
	int i, j, seen[2] = {};
	struct mark_table table;
	pthread_t thread;
	cpu_set_t all;

	stop = false;
	mark_configure(env->skel, 0x100, 0xfff);
	if (mark_prepare(env, AF_INET, NULL, 9) ||
	    !ASSERT_OK(pthread_create(&thread, NULL, change, env->skel), "thread"))
		return;
	sched_getaffinity(0, sizeof(all), &all);
	take_apart(thread, &all);
	for (i = 0; i < 100 && !mark_connect(env, "10.0.1.2"); i++) {
		if (mark_wait_subflows(env, CLIENT, 9) ||
		    mark_get_table(env->conn.fd[CLIENT], &table) != 9)
			break;
		for (j = 0; j < 9; j++) {
			if (table.subflow[j].mark == 0x2000)
				seen[1]++;
			else if (ASSERT_EQ(table.subflow[j].mark, 0x101 + j, "mark"))
				seen[0]++;
		}
		mark_disconnect(&env->conn);
	}
	sched_setaffinity(0, sizeof(all), &all);
	WRITE_ONCE(stop, true);
	pthread_join(thread, NULL);
	ASSERT_EQ(i, 100, "connections");
	ASSERT_GT(seen[0], 0, "marks of the one pair");
	ASSERT_GT(seen[1], 0, "marks of the other");
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
	{ "app_later", 3, test_app_later },
	{ "change", 9, test_change },
};

void test_mptcp_mark_value(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
