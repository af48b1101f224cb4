/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the mptcp_mark tests share: what the kernel and mptcp_mark_table say of the
 * subflows of a connection, and an environment for each subtest.
 */
#ifndef __MPTCP_MARK_HELPERS_H__
#define __MPTCP_MARK_HELPERS_H__

#include "progs/mptcp_mark.h"
#include "progs/mptcp_mark_table.h"
#include "mptcp_mark.skel.h"
#include "mptcp_mark_table.skel.h"
#include "mptcp_mark_sockets.h"

#ifndef SOL_MPTCP
#define SOL_MPTCP	284
#endif
/* What the verifier says of calls of kernel functions, where no JIT can do them */
#define MARK_ERRNO_NO_JIT	524

#define MARK_MAX	128		/* subflows of a connection, more than any test has */

/* include/uapi/linux/mptcp.h: not in every libc's headers yet */
#ifndef MPTCP_FULL_INFO
#define MPTCP_FULL_INFO	4
#endif

struct mark_subflow_info {		/* struct mptcp_subflow_info */
	__u32 id;
	struct sockaddr_storage local __aligned(8);
	struct sockaddr_storage remote __aligned(8);
};

struct mark_full_info {			/* struct mptcp_full_info without mptcp_info */
	__u32 size_tcpinfo_kernel;
	__u32 size_tcpinfo_user;
	__u32 size_sfinfo_kernel;
	__u32 size_sfinfo_user;
	__u32 num_subflows;
	__u32 size_arrays_user;
	__aligned_u64 subflow_info;
	__aligned_u64 tcp_info;
};

/* The table of a socket, with room for all of its subflows */
struct mark_table {
	struct mptcp_mark_subflows hdr;
	struct mptcp_mark_subflow subflow[MARK_MAX];
};

/* A subtest: its name, the links that it takes, what it does, and with what */
struct mark_test {
	const char *name;
	int links;
	void (*run)(struct mark_env *env);
	const void *data;
	int n;
	bool ipv6;			/* needs IPv6 */
};

/* Marks of subflows 1, 2, 3, … unless base or mask are set */
static const __u32 mark_ordinals[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

/* Something is missing: a skip that names it, or a failure where nothing may be */
#define mark_skip(fmt, ...)							\
	({									\
		const char *all = getenv("SELFTESTS_MPTCP_LIB_EXPECT_ALL_FEATURES"); \
										\
		printf("%s:SKIP:" fmt "\n", __func__, ##__VA_ARGS__);		\
		if (all && !strcmp(all, "1"))					\
			test__fail();						\
		else								\
			test__skip();						\
	})

/* A failure that is known, and why */
#define mark_xfail(reason)	printf("%s:XFAIL:%s\n", __func__, reason)

/* ---- Subflows */

/* The subflows that are not closed, as in the table, and their TCP states */
static inline int mark_full_info(int fd, struct mark_subflow_info *sub, __u8 *state)
{
	__u64 tcp[MARK_MAX];		/* tcpi_state is the first byte of struct tcp_info */
	struct mark_full_info info = {
		.size_tcpinfo_user = sizeof(tcp[0]),
		.size_sfinfo_user = sizeof(*sub),
		.size_arrays_user = MARK_MAX,
		.subflow_info = ptr_to_u64(sub),
		.tcp_info = ptr_to_u64(tcp),
	};
	socklen_t len = sizeof(info);
	int i, live = 0;

	if (getsockopt(fd, SOL_MPTCP, MPTCP_FULL_INFO, &info, &len))
		return -errno;
	for (i = 0; i < info.num_subflows; i++) {
		sub[live] = sub[i];
		state[live] = *(__u8 *)&tcp[i];
		live += state[live] != TCP_CLOSE;
	}
	return live;
}

/* The connection has n subflows, and all of them are established */
static inline bool mark_has_subflows(int fd, int n)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];
	int i;

	if (mark_full_info(fd, sub, state) != n)
		return false;
	for (i = 0; i < n && state[i] == TCP_ESTABLISHED; i++)
		;
	return i == n;
}

static inline int mark_wait_subflows(struct mark_env *env, int end, int n)
{
	return mark_wait(mark_has_subflows(env->conn.fd[end], n));
}

/* One join more, as an endpoint is added: n subflows then, at both ends */
static inline int mark_join(struct mark_env *env, int family, int link, int n)
{
	return mark_endpoints(env, family, link, link) || mark_wait_subflows(env, CLIENT, n) ||
	       mark_wait_subflows(env, SERVER, n);
}

/* The address of the server on link 1 */
static inline const char *mark_server(int family)
{
	return family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";
}

/* All for n subflows, on links 1 to n that are watched if marks are given; not connected yet */
static inline int mark_prepare(struct mark_env *env, int family, const __u32 *mark, int n)
{
	return (mark && mark_watch_links(env, CLIENT, family, mark, n)) ||
	       mark_endpoints(env, family, 2, n) || mark_listen(env, mark_server(family));
}

/* The connection of most tests */
static inline int mark_start(struct mark_env *env, int family, const __u32 *mark, int n)
{
	return mark_prepare(env, family, mark, n) || mark_connect(env, mark_server(family)) ||
	       mark_wait_subflows(env, CLIENT, n);
}

/* A listener in a cgroup, a connection from outside of it, and n subflows one by one */
static inline int mark_start_server(struct mark_env *env, const char *cgroup, int family, int n)
{
	int link, err;

	err = mark_listen_from(env, mark_server(family), cgroup, IPPROTO_MPTCP) ||
	      mark_connect_from(env, mark_server(family), NULL, &env->conn);
	for (link = 2; link <= n && !err; link++)
		err = mark_join(env, family, link, link);
	return err;
}

static inline int mark_get_table(int fd, struct mark_table *table)
{
	socklen_t len = sizeof(*table);

	return ASSERT_OK(getsockopt(fd, SOL_MPTCP_MARK, MPTCP_MARK_TABLE, table, &len),
			 "get table") &&
	       ASSERT_EQ(table->hdr.entry_size, sizeof(table->subflow[0]), "size of an entry") ?
	       table->hdr.total : -1;
}

/* The subflows of fd are n, marked mark[0], mark[1], …, and those of MPTCP_FULL_INFO */
static inline void mark_expect_of(int fd, const __u32 *mark, int n)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct mark_table table;
	__u8 state[MARK_MAX];
	int i;

	if (!ASSERT_EQ(mark_get_table(fd, &table), n, "subflows in the table") ||
	    !ASSERT_EQ(mark_full_info(fd, sub, state), n, "subflows in MPTCP_FULL_INFO"))
		return;
	for (i = 0; i < n; i++) {
		ASSERT_EQ(table.subflow[i].mark, mark[i], "mark");
		ASSERT_EQ(table.subflow[i].id, sub[i].id, "id");
	}
}

/* The same of the connection, once its n subflows are established */
static inline void mark_expect(struct mark_env *env, int end, const __u32 *mark, int n)
{
	if (!mark_wait_subflows(env, end, n))
		mark_expect_of(env->conn.fd[end], mark, n);
}

/* What the program has counted, all of it */
static inline void mark_expect_stats(struct mark_env *env, int marked, int failed)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;

	ASSERT_EQ(stats->marked, marked, "counted as marked");
	ASSERT_EQ(stats->failed, failed, "counted as failed");
	ASSERT_EQ(stats->pending, 0, "counted as pending");
}

/* ---- The program, and an environment for each subtest */

static inline int mark_attach(struct bpf_program *prog, struct bpf_link **link, int cgroup_fd)
{
	*link = bpf_program__attach_cgroup(prog, cgroup_fd);
	return !ASSERT_OK_PTR(*link, bpf_program__name(prog));
}

static inline int mark_attach_ours(struct mptcp_mark *skel, int cgroup_fd)
{
	return mark_attach(skel->progs.mptcp_mark, &skel->links.mptcp_mark, cgroup_fd);
}

static inline void mark_detach(struct bpf_link **link)
{
	bpf_link__destroy(*link);
	*link = NULL;
}

/* One store, as progs/mptcp_mark.h has it */
static inline void mark_configure(struct mptcp_mark *skel, __u32 base, __u32 mask)
{
	struct mptcp_mark_config config = { .base = base, .mask = mask };

	WRITE_ONCE(skel->data_mark_cfg->mark_config.word, config.word);
}

static inline void mark_env_close(struct mark_env *env)
{
	if (env->own)
		mark_detach(env->own);
	mark_disconnect(&env->conn);
	mark_watched(env, CLIENT);
	mark_watched(env, SERVER);
	mark_close(&env->listen_fd);
	/*
	 * The listener on the port of an endpoint keeps its namespace for ever, if that
	 * goes first: mptcp_subflow_create_socket(), net/mptcp/subflow.c
	 */
	if (env->netns_obj[SERVER])
		mark_ip(env, CLIENT, "mptcp endpoint flush");
	netns_free(env->netns_obj[CLIENT]);
	netns_free(env->netns_obj[SERVER]);
	mptcp_mark__detach(env->skel);
	mptcp_mark_table__detach(env->table);
	mark_close(&env->nested_fd);
	remove_cgroup(MARK_NESTED);
	mark_close(&env->cgroup_fd);
}

static inline struct netns_obj *mark_netns(struct mark_env *env, int end, char name)
{
	/* Of this process alone: test_progs -j runs tests in parallel */
	snprintf(env->netns[end], sizeof(env->netns[end]), "mark_%c_%d", name, getpid());
	return netns_new(env->netns[end], false);
}

/* The programs as they were loaded, attached to a cgroup of ours; and the network */
static inline int mark_env_open(struct mark_env *env, int links)
{
	env->skel->data_mark_cnt->mark_stats = (struct mptcp_mark_stats){};

	env->cgroup_fd = test__join_cgroup(MARK_CGROUP);
	if (!ASSERT_OK_FD(env->cgroup_fd, "join cgroup"))
		return -1;
	env->nested_fd = create_and_get_cgroup(MARK_NESTED);
	env->netns_obj[CLIENT] = mark_netns(env, CLIENT, 'c');
	env->netns_obj[SERVER] = mark_netns(env, SERVER, 's');
	if (ASSERT_OK_FD(env->nested_fd, "create cgroup") &&
	    ASSERT_OK_PTR(env->netns_obj[CLIENT], "client") &&
	    ASSERT_OK_PTR(env->netns_obj[SERVER], "server") && !mark_links(env, links) &&
	    !mark_attach_ours(env->skel, env->cgroup_fd) &&
	    !mark_attach(env->table->progs.mptcp_mark_table, &env->table->links.mptcp_mark_table,
			 env->cgroup_fd))
		return 0;
	mark_env_close(env);
	return -1;
}

/* What the machine lacks for all tests, or NULL */
static inline const char *mark_lacks(struct mptcp_mark **skel)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (fd < 0)
		return "no MPTCP: CONFIG_MPTCP=y, net.mptcp.enabled=1";
	close(fd);
	if (system("command -v ip >/dev/null && ip mptcp limits show >/dev/null 2>&1"))
		return "no 'ip mptcp': iproute2 5.7";
	if (system("nft -c 'add table ip t; add chain ip t c; "
		   "add rule ip t c socket mark 1 counter' 2>/dev/null"))
		return "no 'socket mark' of nft: CONFIG_NF_TABLES_IPV4=y, CONFIG_NFT_SOCKET=y";
	*skel = mptcp_mark__open_and_load();
	if (!*skel && errno == MARK_ERRNO_NO_JIT)
		return "no JIT that can call kernel functions: CONFIG_BPF_JIT=y";
	return NULL;
}

/* What a maintainer wants to see of a subtest that failed */
static inline void mark_dump(struct mark_env *env)
{
	struct mark_table table;
	socklen_t len;
	int end, i;

	for (end = CLIENT; end <= SERVER; end++) {
		fprintf(stderr, "%s:\n", env->netns[end]);
		len = sizeof(table);
		if (!getsockopt(env->conn.fd[end], SOL_MPTCP_MARK, MPTCP_MARK_TABLE, &table, &len))
			for (i = 0; i < table.hdr.total; i++)
				fprintf(stderr, "table: id %u mark %#x\n", table.subflow[i].id,
					table.subflow[i].mark);
		mark_run_with(env->netns[end], "sh 1>&2",
			      "ss -aMenit; ss -aneit; nstat -as | grep -i mptcp\n"
			      "ip mptcp endpoint; ip mptcp limits; nft list ruleset\n"
			      "dmesg | tail -n 10; true\n");
	}
}

/* Run the subtests of a table, each in an environment of its own */
static inline void mark_run(const struct mark_test *tests, int n)
{
	struct mptcp_mark_table *table = NULL;
	struct mptcp_mark *skel = NULL;
	const char *lacks = mark_lacks(&skel);
	struct mptcp_mark_config defaults;
	struct mark_env e;
	int i;

	if (!lacks) {
		table = mptcp_mark_table__open_and_load();
		if (!ASSERT_OK_PTR(skel, "load mptcp_mark") ||
		    !ASSERT_OK_PTR(table, "load mptcp_mark_table"))
			goto destroy;
		defaults = skel->data_mark_cfg->mark_config;
	}
	for (i = 0; i < n; i++) {
		if (!test__start_subtest(tests[i].name))
			continue;
		if (lacks || (tests[i].ipv6 && !mark_has_ipv6())) {
			mark_skip("%s", lacks ?: "no IPv6: CONFIG_IPV6=y, CONFIG_MPTCP_IPV6=y");
			continue;
		}
		e = (struct mark_env){ .skel = skel, .table = table, .data = tests[i].data,
				       .n = tests[i].n, .listen_fd = -1, .conn.fd = { -1, -1 } };
		skel->data_mark_cfg->mark_config = defaults;
		if (mark_env_open(&e, tests[i].links))
			continue;
		tests[i].run(&e);
		if (env.subtest_state->error_cnt)
			mark_dump(&e);
		mark_env_close(&e);
	}
destroy:
	mptcp_mark__destroy(skel);
	mptcp_mark_table__destroy(table);
}

#endif /* __MPTCP_MARK_HELPERS_H__ */
