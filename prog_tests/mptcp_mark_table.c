// SPDX-License-Identifier: GPL-2.0
/* getsockopt(SOL_MPTCP_MARK, MPTCP_MARK_TABLE), asked well and badly: rule 13. */
#include <pthread.h>
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

/* Of every length: the entries that fit, the true total, nothing beyond */
static void test_lengths(struct mark_env *env)
{
	struct mark_table full, table;
	size_t size, fit, end;
	socklen_t len;
	int err;

	if (mark_start(env, AF_INET, 2) ||
	    !ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &full), 3, "entries"))
		return;

	for (size = 0; size <= HDR + 4 * ENTRY; size++) {
		memset(&table, 0xa5, sizeof(table));
		len = size;
		err = get_table(env->conn.fd[CLIENT], &table, &len);
		if (size < HDR) {
			if (!ASSERT_ERR(err, "no room for the header") ||
			    !ASSERT_EQ(errno, EINVAL, "errno"))
				return;
			fit = 0;
		} else {
			fit = HDR + MIN((size - HDR) / ENTRY, 3) * ENTRY;
			if (!ASSERT_OK(err, "room for the header") ||
			    !ASSERT_EQ(len, fit, "length written") ||
			    !ASSERT_OK(memcmp(&table, &full, fit), "table"))
				return;
		}
		for (end = sizeof(table); end > fit && ((__u8 *)&table)[end - 1] == 0xa5; end--)
			;
		if (!ASSERT_EQ(end, fit, "end of what was written"))
			return;
	}

	/* What cannot be read or written is the kernel's to refuse */
	len = HDR;
	ASSERT_ERR(get_table(env->conn.fd[CLIENT], (void *)1, &len), "bad buffer");
	len = -1;
	ASSERT_ERR(get_table(env->conn.fd[CLIENT], &table, &len), "length below 0");
	mark_expect(env, CLIENT, mark_ordinals, 3);
}

/* What the program leaves alone has the same answer in the cgroup and outside */
static void test_not_ours(struct mark_env *env)
{
	static const struct {
		int type, proto, level, name;
	} cases[] = {
		{ SOCK_STREAM, IPPROTO_MPTCP, SOL_MPTCP_MARK, MPTCP_MARK_TABLE + 1 },
		{ SOCK_STREAM, IPPROTO_MPTCP, SOL_MPTCP, MPTCP_MARK_TABLE },
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

struct reader {
	pthread_t thread;
	int fd, reads, wrong;
	bool *stop;
};

/* Never a table with a subflow that is not marked by its id, nor twice */
static void *read_tables(void *arg)
{
	struct reader *r = arg;
	struct mark_table table;
	socklen_t len;
	int i;

	while (!READ_ONCE(*r->stop)) {
		len = sizeof(table);
		if (get_table(r->fd, &table, &len) ||
		    len != HDR + table.hdr.total * ENTRY || table.hdr.total > 9)
			r->wrong++;
		for (i = 0; !r->wrong && i < table.hdr.total; i++)
			if (table.subflow[i].mark != table.subflow[i].id ||
			    (i && table.subflow[i].id <= table.subflow[i - 1].id))
				r->wrong++;
		r->reads++;
	}
	return NULL;
}

static void test_threads(struct mark_env *env)
{
	struct reader reader[2] = {};
	bool stop = false;
	int i, n;

	if (mark_start(env, AF_INET, 2))
		return;
	for (n = 0; n < 2; n++) {
		reader[n].fd = env->conn.fd[CLIENT];
		reader[n].stop = &stop;
		if (!ASSERT_OK(pthread_create(&reader[n].thread, NULL, read_tables, &reader[n]),
			       "thread"))
			break;
	}
	/*
	 * Another id each time: the REMOVE_ADDR of the old one may come late.
	 * A server that still has the old subflow can be at its limit
	 */
	for (i = 0; i < 10; i++)
		if (mark_ip(env, CLIENT, "mptcp endpoint delete id %d", i ? 10 + i : 2) ||
		    mark_wait_subflows(env, CLIENT, 2) || mark_wait_subflows(env, SERVER, 2) ||
		    mark_ip(env, CLIENT, "mptcp endpoint add 10.0.2.1 id %d subflow", 11 + i) ||
		    mark_wait_subflows(env, CLIENT, 3))
			break;
	WRITE_ONCE(stop, true);
	for (i = 0; i < n; i++) {
		pthread_join(reader[i].thread, NULL);
		ASSERT_GT(reader[i].reads, 0, "tables read");
		ASSERT_EQ(reader[i].wrong, 0, "wrong tables");
	}
}

static const struct mark_test tests[] = {
	{ "empty", 1, test_empty },
	{ "lengths", 3, test_lengths },
	{ "not_ours", 1, test_not_ours },
	{ "threads", 3, test_threads },
};

void test_mptcp_mark_table(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
