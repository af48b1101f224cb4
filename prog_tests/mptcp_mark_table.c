// SPDX-License-Identifier: GPL-2.0
/* getsockopt(SOL_MPTCP_MARK, MPTCP_MARK_TABLE), asked well and badly: rule 13. */
#include <pthread.h>
#include <sys/mman.h>
#include "mptcp_mark_helpers.h"

#define HDR	sizeof(struct mptcp_mark_subflows)
#define ENTRY	sizeof(struct mptcp_mark_subflow)

static int get_table(int fd, void *table, socklen_t *len)
{
	return getsockopt(fd, SOL_MPTCP_MARK, MPTCP_MARK_TABLE, table, len);
}

static void test_empty(struct mark_env *env)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct mark_table table;
	int fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	env->conn.fd[CLIENT] = fd;
	ASSERT_EQ(mark_get_table(fd, &table), 0, "before the first subflow");
	/* It exists now, but is no connection yet */
	ASSERT_OK(bind(fd, (void *)&any, sizeof(any)), "bind");
	ASSERT_EQ(mark_get_table(fd, &table), 0, "before connect");
	ASSERT_OK(listen(fd, 1), "listen");
	ASSERT_EQ(mark_get_table(fd, &table), 0, "of a listener");
}

/* Address and port of an entry are those of MPTCP_FULL_INFO, the bytes behind them 0 */
static bool same_addr(const __u8 *addr, __be16 port, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *sin6 = (void *)sa;
	const struct sockaddr_in *sin = (void *)sa;
	__u8 expected[16] = {};

	if (sa->ss_family == AF_INET6)
		memcpy(expected, &sin6->sin6_addr, sizeof(sin6->sin6_addr));
	else
		memcpy(expected, &sin->sin_addr, sizeof(sin->sin_addr));
	return !memcmp(addr, expected, sizeof(expected)) && port == sin->sin_port;
}

static void expect_entries(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct mptcp_mark_subflow *s;
	struct mark_table table;
	__u8 state[MARK_MAX];
	int i;

	if (!ASSERT_EQ(mark_get_table(fd, &table), 3, "entries") ||
	    !ASSERT_EQ(mark_full_info(fd, sub, state), 3, "MPTCP_FULL_INFO"))
		return;
	ASSERT_EQ(table.hdr.reserved, 0, "reserved");
	for (i = 0; i < 3; i++) {
		s = &table.subflow[i];
		ASSERT_EQ(s->reserved, 0, "reserved");
		ASSERT_EQ(s->family, sub[i].local.ss_family, "family");
		ASSERT_TRUE(same_addr(s->local, s->local_port, &sub[i].local), "local");
		ASSERT_TRUE(same_addr(s->remote, s->remote_port, &sub[i].remote), "remote");
	}
}

/* All of an entry, at both ends. With IPv6, the joins are to addresses of either family */
static void test_entries(struct mark_env *env)
{
	const char *connect_to = env->data;

	if ((env->n == AF_INET ? mark_endpoints(env, AF_INET, 2, 3) :
	     mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal\n"
				  "mptcp endpoint add dead:beef:3::2 signal")) ||
	    mark_listen_from(env, env->n == AF_INET ? connect_to : "::", MARK_CGROUP,
			     IPPROTO_MPTCP) ||
	    mark_connect(env, connect_to) || mark_wait_subflows(env, CLIENT, 3) ||
	    mark_wait_subflows(env, SERVER, 3))
		return;
	expect_entries(env->conn.fd[CLIENT]);
	expect_entries(env->conn.fd[SERVER]);
}

/* Of every length: the entries that fit, the true total, nothing beyond */
static void test_lengths(struct mark_env *env)
{
	struct mark_table full, table, expected;
	size_t size, fit;
	socklen_t len;
	int err;

	if (mark_start(env, AF_INET, NULL, 3) ||
	    !ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &full), 3, "entries"))
		return;

	for (size = 0; size <= HDR + 4 * ENTRY; size++) {
		fit = size < HDR ? 0 : HDR + MIN((size - HDR) / ENTRY, 3) * ENTRY;
		memset(&table, 0xa5, sizeof(table));
		memcpy(&expected, &table, sizeof(table));
		memcpy(&expected, &full, fit);
		len = size;
		err = get_table(env->conn.fd[CLIENT], &table, &len) ? errno : 0;
		if (!ASSERT_EQ(err, fit ? 0 : EINVAL, "result") ||
		    !ASSERT_EQ(len, fit ?: size, "length") ||
		    !ASSERT_OK(memcmp(&table, &expected, sizeof(table)), "what was written"))
			return;
	}

	/* What cannot be read or written is the kernel's to refuse */
	len = HDR;
	ASSERT_ERR(get_table(env->conn.fd[CLIENT], (void *)1, &len), "bad buffer");
	len = -1;
	ASSERT_ERR(get_table(env->conn.fd[CLIENT], &table, &len), "length below 0");
	mark_expect(env, CLIENT, mark_ordinals, 3);
}

/* A subflow whose SYN has no answer is live, too */
static void test_syn_sent(struct mark_env *env)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];

	if (mark_ip(env, SERVER, "route add blackhole 10.0.2.1") ||
	    mark_prepare(env, AF_INET, mark_ordinals, 2) || mark_connect(env, "10.0.1.2") ||
	    mark_wait(mark_full_info(env->conn.fd[CLIENT], sub, state) == 2))
		return;
	ASSERT_EQ(state[1], TCP_SYN_SENT, "state of subflow 2");
	mark_expect_of(env->conn.fd[CLIENT], mark_ordinals, 2);
}

/* What the program leaves alone has the same answer in the cgroup and outside */
static void test_not_ours(struct mark_env *env)
{
	static const struct {
		int type, proto, level, name;
	} cases[] = {
		{ SOCK_STREAM, IPPROTO_MPTCP, SOL_MPTCP_MARK, MPTCP_MARK_TABLE + 1 },
		{ SOCK_STREAM, IPPROTO_MPTCP, SOL_MPTCP, SOL_MPTCP_MARK },
		{ SOCK_STREAM, IPPROTO_MPTCP, SOL_SOCKET, SO_MARK },
		{ SOCK_STREAM, IPPROTO_TCP, SOL_MPTCP_MARK, MPTCP_MARK_TABLE },
		{ SOCK_STREAM, IPPROTO_TCP, SOL_TCP, TCP_CONGESTION },
		{ SOCK_DGRAM, IPPROTO_UDP, SOL_MPTCP_MARK, MPTCP_MARK_TABLE },
	};
	static const char *const cgroup[2] = { NULL, MARK_CGROUP };
	static char answer[2][2 * 4096];
	int i, j, fd, ret[2], err[2];
	socklen_t len[2];

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (j = 0; j < 2; j++) {
			fd = mark_socket(env, CLIENT, cgroup[j], AF_INET, cases[i].type,
					 cases[i].proto);
			len[j] = sizeof(answer[j]);
			errno = 0;
			ret[j] = getsockopt(fd, cases[i].level, cases[i].name, answer[j], &len[j]);
			err[j] = errno;
			close(fd);
		}
		ASSERT_EQ(ret[1], ret[0], "result");
		ASSERT_EQ(err[1], err[0], "errno");
		ASSERT_EQ(len[1], len[0], "length");
		ASSERT_OK(memcmp(answer[1], answer[0], sizeof(answer[0])), "answer");
	}
}

#define ASKERS		4
#define ASKER_CALLS	5000	/* of each, or as many as MPTCP_MARK_CALLS says */
#define ROUNDS		20	/* that a subflow goes and another one comes */

struct asker {
	pthread_t thread;
	int fd;
	unsigned int seed;
	long calls;		/* still to come, until stop */
	bool *stop;
	char wrong[128];	/* what was */
};

/* What holds for any subflow at any time: with base 0, the mark is the id */
static const char *wrong_in_table(const struct mptcp_mark_subflows *table, socklen_t len, long size)
{
	static const __u8 server[16] = { 10, 0, 1, 2 };
	const struct mptcp_mark_subflow *s = table->subflow;
	__u32 i, j, n = (len - HDR) / ENTRY;

	if (len < HDR || len != HDR + n * ENTRY || n != MIN(table->total, (size - HDR) / ENTRY))
		return "length";
	if (!table->token || table->entry_size != ENTRY || table->reserved || table->total > 4)
		return "header";
	for (i = 0; i < n; i++, s++) {
		for (j = 0; j < i; j++)
			if (table->subflow[j].id == s->id)
				return "two entries of one subflow";
		if (s->mark != s->id || !s->id)
			return "mark";
		if (s->family != AF_INET || s->reserved || !s->local_port || !s->remote_port ||
		    memcmp(s->remote, server, sizeof(server)) || s->local[3] != 1)
			return "entry";
	}
	return NULL;
}

/* With every length, and a buffer that can be written, read alone, or neither */
static void *ask(void *arg)
{
	long page = sysconf(_SC_PAGE_SIZE), size;
	struct asker *a = arg;
	const char *wrong;
	char *mem, *where;
	socklen_t len;

	mem = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || mprotect(mem + 2 * page, page, PROT_READ) ||
	    mprotect(mem + 3 * page, page, PROT_NONE)) {
		snprintf(a->wrong, sizeof(a->wrong), "no memory");
		return NULL;
	}
	while (!*a->wrong && (a->calls-- > 0 || !READ_ONCE(*a->stop))) {
		where = rand_r(&a->seed) % 16 ? mem + rand_r(&a->seed) % (4 * page) :
						(void *)(-1L - rand_r(&a->seed));
		/* The kernel's workers, which open joins, need the socket, too */
		if (!(a->calls % 64))
			usleep(100);
		size = rand_r(&a->seed) % 16 ? rand_r(&a->seed) % (2 * page) :
					       rand_r(&a->seed) - rand_r(&a->seed);
		len = size;
		if (get_table(a->fd, where, &len)) {
			if (errno != EFAULT && errno != EINVAL)
				snprintf(a->wrong, sizeof(a->wrong), "length %ld: errno %d", size,
					 errno);
			continue;
		}
		wrong = wrong_in_table((void *)where, len, size);
		if (wrong)
			snprintf(a->wrong, sizeof(a->wrong), "length %ld, %u written: %s", size,
				 len, wrong);
	}
	munmap(mem, 4 * page);
	return NULL;
}

/* Asked all the time by many threads, well and badly, while subflows come and go */
static void test_threads(struct mark_env *env)
{
	const char *times = getenv("MPTCP_MARK_CALLS");
	struct asker asker[ASKERS] = {};
	int i, n, link, next, id[] = { 0, 1, 2, 3 };
	bool stop = false;

	if (mark_start(env, AF_INET, NULL, 4))
		return;
	for (n = 0; n < ASKERS; n++) {
		asker[n].fd = env->conn.fd[CLIENT];
		asker[n].seed = n;
		asker[n].calls = times ? atol(times) / ASKERS : ASKER_CALLS;
		asker[n].stop = &stop;
		if (!ASSERT_OK(pthread_create(&asker[n].thread, NULL, ask, &asker[n]), "thread"))
			break;
	}
	for (i = 0; i < ROUNDS || (n == ASKERS && asker[0].calls > 0 && !*asker[0].wrong); i++) {
		/*
		 * One endpoint at a time, each with a new id: a peer that is still to handle
		 * an RM_ADDR drops the next one, and may close a new subflow of the same id
		 */
		link = 2 + i % 2;
		next = 5 + i % 250;
		if (mark_ip(env, CLIENT, "mptcp endpoint delete id %d\n"
			    "mptcp endpoint add 10.0.%d.1 id %d subflow", id[link], link, next) ||
		    mark_wait_subflows(env, CLIENT, 4) || mark_wait_subflows(env, SERVER, 4))
			break;
		id[link] = next;
	}
	WRITE_ONCE(stop, true);
	for (i = 0; i < n; i++) {
		pthread_join(asker[i].thread, NULL);
		ASSERT_STREQ(asker[i].wrong, "", "what was wrong");
	}
}

static const struct mark_test tests[] = {
	{ "empty", 1, test_empty },
	{ "ipv4", 3, test_entries, "10.0.1.2", AF_INET },
	{ "ipv6", 3, test_entries, "dead:beef:1::2", AF_INET6, true },
	{ "v4mapped", 3, test_entries, "::ffff:10.0.1.2", AF_INET6, true },
	{ "lengths", 3, test_lengths },
	{ "syn_sent", 2, test_syn_sent },
	{ "not_ours", 1, test_not_ours },
	{ "threads", 4, test_threads },
};

void test_mptcp_mark_table(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
