// SPDX-License-Identifier: GPL-2.0
/* Many connections, and marks that change meanwhile: rules 2, 10, 11. */
#include <pthread.h>
#include <sys/resource.h>
#include "mptcp_mark_helpers.h"

#define AT_ONCE		1000
#define IN_TURN		200	/* or as many as MPTCP_MARK_IN_TURN says */
#define CHURN		50	/* or as many as MPTCP_MARK_CHURN says */
#define CHANGES		100	/* of base and mask, seen between subflows of a connection */

static void test_at_once(struct mark_env *env)
{
	const rlim_t files = 2 * AT_ONCE + 100;
	static struct mark_conn conn[AT_ONCE];
	struct rlimit before, fds;
	int i, n;

	getrlimit(RLIMIT_NOFILE, &before);
	fds = (struct rlimit){ MAX(before.rlim_cur, files), MAX(before.rlim_max, files) };
	if (setrlimit(RLIMIT_NOFILE, &fds)) {
		mark_skip("no more open files are allowed than ulimit -n says");
		return;
	}
	if (mark_prepare(env, AF_INET, mark_ordinals, 3))
		goto restore;
	for (n = 0; n < AT_ONCE; n++)
		if (mark_connect_from(env, "10.0.1.2", MARK_CGROUP, &conn[n])) {
			mark_disconnect(&conn[n]);
			break;
		}
	for (i = 0; i < n && !mark_wait(mark_has_subflows(conn[i].fd[CLIENT], 3)); i++)
		mark_expect_of(conn[i].fd[CLIENT], mark_ordinals, 3);
	while (n--)
		mark_disconnect(&conn[n]);
restore:
	setrlimit(RLIMIT_NOFILE, &before);
}

static void test_in_turn(struct mark_env *env)
{
	const char *times = getenv("MPTCP_MARK_IN_TURN");
	int i, n = times ? atoi(times) : IN_TURN;

	if (!ASSERT_GT(n, 0, "MPTCP_MARK_IN_TURN") ||
	    mark_prepare(env, AF_INET, mark_ordinals, 3))
		return;
	for (i = 0; i < n; i++) {
		mark_disconnect(&env->conn);
		if (mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 3))
			return;
	}
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, n * 3, 0);
}

/* An accepted join is listed first, then marked, then established */
static bool was_established(const struct mark_subflow_info *sub, const __u8 *state, int n, __u32 id)
{
	while (n--)
		if (sub[n].id == id)
			return state[n] == TCP_ESTABLISHED;
	return false;
}

/*
 * The high half of each mark is a base that the subflow can have met, the low half its
 * ordinal: at the client the id; at the server, where it comes before the id, no other's
 */
static int look(struct mark_env *env, int end, __u32 first, __u32 last)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct mark_table table;
	struct mptcp_mark_subflow *s = table.subflow;
	__u8 state[MARK_MAX];
	int i, j, n, before;

	before = mark_full_info(env->conn.fd[end], sub, state);
	n = mark_get_table(env->conn.fd[end], &table);
	for (i = 0; i < n; i++) {
		if (end == SERVER && !s[i].mark &&
		    !was_established(sub, state, before, s[i].id))
			continue;
		if (!ASSERT_GE(s[i].mark >> 16, first, "base") ||
		    !ASSERT_LE(s[i].mark >> 16, last, "base") ||
		    (end == CLIENT && !ASSERT_EQ(s[i].mark & 0xffff, s[i].id, "ordinal")))
			return -1;
		for (j = 0; j < i; j++)
			if (!ASSERT_NEQ(s[i].mark & 0xffff, s[j].mark & 0xffff, "ordinals"))
				return -1;
	}
	return n < 0 ? -1 : 0;
}

/* Joins and resets, while the base changes, endpoints come and go, and links fail */
static void test_churn(struct mark_env *env)
{
	const char *times = getenv("MPTCP_MARK_CHURN");
	int i, link, next, id[] = { 0, 1, 2, 3, 4 }, n = times ? atoi(times) : CHURN;
	struct linger reset = { .l_onoff = 1 };
	struct mark_conn all = { { -1, -1 } };

	if (!ASSERT_GT(n, 0, "MPTCP_MARK_CHURN") || mark_endpoints(env, AF_INET, 2, 4) ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, IPPROTO_MPTCP) ||
	    mark_connect(env, "10.0.1.2"))
		return;
	all = env->conn;	/* there all the time: each endpoint makes a join of it */
	for (i = 1; i <= n; i++) {
		mark_configure(env->skel, (i & 0x7fff) << 16, ~0U);
		if (mark_connect(env, "10.0.1.2"))
			break;
		link = i % 3 + 2;
		if (i % 8 == 0 &&
		    mark_ip(env, CLIENT, "link set eth%d down\nlink set eth%d up\n"
			    "route replace default table 10%d via 10.0.%d.2",
			    link, link, link, link))
			break;
		if (i % 8 == 4) {
			/* Not the same id: the peer may close its subflows only later */
			next = 5 + i / 8 % 250;
			if (mark_ip(env, CLIENT, "mptcp endpoint delete id %d\n"
				    "mptcp endpoint add 10.0.%d.1 id %d subflow", id[link], link,
				    next))
				break;
			id[link] = next;
		}
		if (mark_wait(mark_has_subflows(env->conn.fd[CLIENT], 4)))
			break;
		if (look(env, CLIENT, i & 0x7fff, i & 0x7fff) ||
		    look(env, SERVER, i & 0x7fff, i & 0x7fff))
			break;
		if (i % 2)
			setsockopt(env->conn.fd[i / 2 % 2], SOL_SOCKET, SO_LINGER, &reset,
				   sizeof(reset));
		mark_disconnect(&env->conn);
		env->conn = all;
		if (look(env, CLIENT, 0, 0x7fff) || look(env, SERVER, 0, 0x7fff))
			break;
	}
	if (env->conn.fd[CLIENT] != all.fd[CLIENT]) {
		mark_disconnect(&env->conn);
		env->conn = all;
	}
	printf("%s: %llu subflows marked, of %d connections\n", __func__,
	       env->skel->data_mark_cnt->mark_stats.marked, n);
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

/*
 * One processor for the thread, and the others for us and the kernel's workers: false if
 * there is but one
 */
static bool take_apart(pthread_t thread, const cpu_set_t *all)
{
	cpu_set_t one, others = *all;
	int cpu = 0;

	if (CPU_COUNT(all) < 2)
		return false;
	while (!CPU_ISSET(cpu, all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CPU_CLR(cpu, &others);
	pthread_setaffinity_np(thread, sizeof(one), &one);
	sched_setaffinity(0, sizeof(others), &others);
	return true;
}

/*
 * Base and mask change all the time: none is combined with the other's old value. Where
 * the thread runs seldom, it takes more connections to see enough changes. With but one
 * processor, a change between two loads would be by chance.
 */
static void test_change(struct mark_env *env)
{
	__u64 deadline = get_time_ns() + MARK_TIMEOUT_MS * 1000000ULL;
	struct mark_table table;
	int i, seen[2] = {}, changes = 0;
	bool apart, other, before;
	pthread_t thread;
	cpu_set_t all;

	stop = false;
	mark_configure(env->skel, 0x100, 0xfff);
	if (mark_prepare(env, AF_INET, NULL, 9) ||
	    !ASSERT_OK(pthread_create(&thread, NULL, change, env->skel), "thread"))
		return;
	sched_getaffinity(0, sizeof(all), &all);
	apart = take_apart(thread, &all);
	do {
		if (mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 9) ||
		    !ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &table), 9, "subflows"))
			break;
		for (i = 0; i < 9; i++) {
			other = table.subflow[i].mark == 0x2000;
			if (!other && !ASSERT_EQ(table.subflow[i].mark, 0x101 + i, "mark"))
				break;
			seen[other]++;
			changes += i && other != before;
			before = other;
		}
		mark_disconnect(&env->conn);
	} while (i == 9 && get_time_ns() < deadline &&
		 (!seen[0] || !seen[1] || (apart && changes < CHANGES)));
	sched_setaffinity(0, sizeof(all), &all);
	WRITE_ONCE(stop, true);
	pthread_join(thread, NULL);
	printf("%s: %d changes seen\n", __func__, changes);
	ASSERT_GT(seen[0], 0, "marks of the one pair");
	ASSERT_GT(seen[1], 0, "marks of the other");
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

static const struct mark_test tests[] = {
	{ "at_once", 3, test_at_once },
	{ "in_turn", 3, test_in_turn },
	{ "churn", 4, test_churn },
	{ "change", 9, test_change },
	{ "app_later", 3, test_app_later },
};

void test_mptcp_mark_many(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
