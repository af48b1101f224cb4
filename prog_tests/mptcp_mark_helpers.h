/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the mptcp_mark tests share: a client and a server namespace with links
 * between them, MPTCP connections over these, and two witnesses of the marks:
 * the table that mptcp_mark_table gives, and nftables, which counts for each
 * link what leaves with the right mark, and what leaves with any other.
 */
#ifndef __MPTCP_MARK_HELPERS_H__
#define __MPTCP_MARK_HELPERS_H__

#include <sys/param.h>
#include <test_progs.h>
#include "cgroup_helpers.h"
#include "network_helpers.h"
#include "progs/mptcp_mark.h"
#include "progs/mptcp_mark_table.h"
#include "mptcp_mark.skel.h"
#include "mptcp_mark_table.skel.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP	284
#endif
/* What the verifier says of calls of kernel functions, where no JIT can do them */
#define MARK_ERRNO_NO_JIT	524

#define MARK_CGROUP	"/mptcp_mark"
#define MARK_NESTED	MARK_CGROUP "/nested"
/* Joins wait for the machine's work queues, where other connections can be first */
#ifndef MARK_TIMEOUT_MS
#define MARK_TIMEOUT_MS	30000
#endif
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

enum mark_end { CLIENT, SERVER };

struct mark_conn {
	int fd[2];			/* by end */
};

struct mark_env {
	char netns[2][32];		/* by end */
	struct netns_obj *netns_obj[2];
	struct mptcp_mark *skel;
	struct mptcp_mark_table *table;
	int cgroup_fd, nested_fd, listen_fd;
	int watches[2];			/* by end */
	struct mark_conn conn;		/* the connection of tests that need one only */
	const void *data;		/* of the subtest */
	int n;
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

static inline __u64 mark_deadline(void)
{
	return get_time_ns() + MARK_TIMEOUT_MS * 1000000ULL;
}

/* Wait until this holds, or fail */
#define mark_wait(condition)							\
	({									\
		__u64 deadline = mark_deadline();				\
		bool holds;							\
										\
		while (!(holds = (condition)) && get_time_ns() < deadline)	\
			usleep(1000);						\
		ASSERT_TRUE(holds, #condition) ? 0 : -1;			\
	})

/* ---- Namespaces: links, endpoints, counters */

/* A command in a namespace, to write to it or to read what it prints */
static inline FILE *mark_popen(const char *netns, const char *cmd, const char *mode)
{
	struct nstoken *ns = open_netns(netns);
	FILE *f;

	if (!ASSERT_OK_PTR(ns, "enter namespace"))
		return NULL;
	f = popen(cmd, mode);
	close_netns(ns);
	ASSERT_OK_PTR(f, cmd);
	return f;
}

static inline int mark_pclose(FILE *f, const char *what)
{
	return ASSERT_OK(pclose(f), what) ? 0 : -1;
}

/* A program, reading what it is to do from its standard input */
static inline int __printf(3, 4) mark_run_with(const char *netns, const char *cmd,
					       const char *fmt, ...)
{
	FILE *f = mark_popen(netns, cmd, "w");
	va_list ap;

	if (!f)
		return -1;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	return mark_pclose(f, cmd);
}

#define mark_ip(env, end, fmt, ...) \
	mark_run_with((env)->netns[end], "ip -batch -", fmt "\n", ##__VA_ARGS__)

static inline bool mark_has_ipv6(void)
{
	return !access("/proc/net/if_inet6", F_OK);
}

/*
 * Links 1 to n: link i has 10.0.i.1 and dead:beef:i::1 at the client, .2 and
 * ::2 at the server. What the client sends from an address leaves by its link.
 */
static inline int mark_links(struct mark_env *env, int n)
{
	bool ipv6 = mark_has_ipv6();
	int i, end, err = 0;
	FILE *f;

	for (end = SERVER; end >= CLIENT && !err; end--) {
		f = mark_popen(env->netns[end], "ip -batch -", "w");
		if (!f)
			return -1;
		for (i = 1; i <= n; i++) {
			/*
			 * Another index than the peer's, or the kernel reports the carrier
			 * late: linkwatch_urgent_event(), net/core/link_watch.c
			 */
			if (end == SERVER) {
				fprintf(f, "link add eth%d index 10%d type veth ", i, i);
				fprintf(f, "peer name eth%d netns %s\n", i, env->netns[CLIENT]);
			}
			fprintf(f, "link set eth%d up\n", i);
			fprintf(f, "addr add 10.0.%d.%d/24 dev eth%d\n", i, end + 1, i);
			if (ipv6)
				fprintf(f, "addr add dead:beef:%d::%d/64 dev eth%d\n",
					i, end + 1, i);
			if (end == SERVER)
				continue;
			fprintf(f, "rule add from 10.0.%d.1 table 10%d\n", i, i);
			fprintf(f, "route add default table 10%d via 10.0.%d.2\n", i, i);
			if (ipv6)
				fprintf(f, "route add default table 10%d via dead:beef:%d::2\n",
					i, i);
		}
		fprintf(f, "mptcp limits set subflows 8 add_addr_accepted 8\n");
		err = mark_pclose(f, "set up links");
	}
	return err;
}

/* 'subflow' endpoints at the client's ends of links */
static inline int mark_endpoints(struct mark_env *env, int family, int first, int last)
{
	/* For ip without -6, rules are those of IPv4 */
	FILE *f = mark_popen(env->netns[CLIENT], "ip -6 -batch -", "w");
	int link;

	if (!f)
		return -1;
	for (link = first; link <= last; link++) {
		if (family == AF_INET) {
			fprintf(f, "mptcp endpoint add 10.0.%d.1 id %d subflow\n", link, link);
			continue;
		}
		fprintf(f, "mptcp endpoint add dead:beef:%d::1 id %d subflow\n", link, link);
		fprintf(f, "rule add from dead:beef:%d::1 table 10%d\n", link, link);
	}
	return mark_pclose(f, "add endpoints");
}

static inline int mark_endpoint(struct mark_env *env, int link)
{
	return mark_endpoints(env, AF_INET, link, link);
}

static inline int mark_sysctl(struct mark_env *env, int end, const char *name, const char *value)
{
	struct nstoken *ns = open_netns(env->netns[end]);
	char path[128];
	int err;

	if (!ASSERT_OK_PTR(ns, "enter namespace"))
		return -1;
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	err = write_sysctl(path, value);
	close_netns(ns);
	return err;
}

static inline int mark_sysctls(struct mark_env *env, const char *name, const char *value)
{
	return mark_sysctl(env, CLIENT, name, value) ?: mark_sysctl(env, SERVER, name, value);
}

/* Without IPv6, the kernel has no family inet */
#define MARK_NFT	(mark_has_ipv6() ? "inet" : "ip")

/*
 * From now on, count what leaves this end and matches: packets with this mark,
 * in nft's words, and packets with another one. SYN-ACKs have no full socket yet,
 * and so no mark for nft. Resets can be for sockets that are gone.
 */
static inline int mark_watch(struct mark_env *env, int end, const char *match, const char *mark)
{
	env->watches[end]++;
	return mark_run_with(env->netns[end], "nft -f -",
			     "table %s watch {\n"
			     "chain out {\n"
			     "type filter hook output priority filter;\n"
			     "%s tcp flags & rst == 0 socket mark %s counter\n"
			     "%s tcp flags & rst == 0 socket mark != %s counter\n"
			     "}\n}\n",
			     MARK_NFT, match, mark, match, mark);
}

/* What goes by a link: the client's addresses tell links apart */
static inline int mark_watch_link(struct mark_env *env, int end, int family, int link, __u32 mark)
{
	char match[64], value[16];

	snprintf(match, sizeof(match), family == AF_INET ? "ip %s 10.0.%d.1" :
		 "ip6 %s dead:beef:%d::1", end == CLIENT ? "saddr" : "daddr", link);
	snprintf(value, sizeof(value), "%u", mark);
	return mark_watch(env, end, match, value);
}

/* Links 1 to n carry these marks */
static inline int mark_watch_links(struct mark_env *env, int end, int family, const __u32 *mark,
				   int n)
{
	int link, err = 0;

	for (link = 1; link <= n && !err; link++)
		err = mark_watch_link(env, end, family, link, mark[link - 1]);
	return err;
}

/* The counters of all watches at an end: count[i][0] right, count[i][1] others */
static inline int mark_counts(struct mark_env *env, int end, int count[][2])
{
	FILE *f = mark_popen(env->netns[end], mark_has_ipv6() ? "nft list table inet watch" :
			     "nft list table ip watch", "r");
	char line[256], *packets;
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		packets = strstr(line, "counter packets ");
		if (packets && n < 2 * env->watches[end]) {
			count[n / 2][n % 2] = atoi(packets + strlen("counter packets "));
			n++;
		}
	}
	if (mark_pclose(f, "nft list"))
		return -1;
	return ASSERT_EQ(n, 2 * env->watches[end], "counters") ? 0 : -1;
}

static inline int mark_unwatch(struct mark_env *env, int end)
{
	env->watches[end] = 0;
	return mark_run_with(env->netns[end], "nft -f -", "delete table %s watch\n", MARK_NFT);
}

/* Stop watching. Each watch must have seen packets, and none with another mark */
static inline int mark_watched(struct mark_env *env, int end)
{
	int count[env->watches[end] + 1][2], i, n = env->watches[end];
	__u64 deadline = mark_deadline();

	if (!n)
		return 0;
	/* Sockets that were closed send their last packets in their own time */
	for (i = 0; i < n && get_time_ns() < deadline; usleep(1000)) {
		if (mark_counts(env, end, count))
			return -1;
		for (i = 0; i < n && count[i][0]; i++)
			;
	}
	for (i = 0; i < n; i++) {
		ASSERT_GT(count[i][0], 0, "packets with the mark");
		ASSERT_EQ(count[i][1], 0, "packets with another mark");
	}
	return mark_unwatch(env, end);
}

/* ---- Sockets */

static inline void mark_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void mark_disconnect(struct mark_conn *c)
{
	mark_close(&c->fd[CLIENT]);
	mark_close(&c->fd[SERVER]);
}

/* Elsewhere for a while: sockets are of the namespace and cgroup of their maker */
struct mark_place {
	struct nstoken *ns;
	bool moved;
};

/* Go to the namespace of an end, and to a cgroup: the root where it is NULL */
static inline int mark_enter(struct mark_env *env, int end, const char *cgroup,
			     struct mark_place *place)
{
	place->ns = open_netns(env->netns[end]);
	if (!ASSERT_OK_PTR(place->ns, "enter namespace"))
		return -1;
	/* To change cgroups takes the kernel 10 ms */
	place->moved = !cgroup || strcmp(cgroup, MARK_CGROUP);
	if (!place->moved ||
	    ASSERT_OK(cgroup ? join_cgroup(cgroup) : join_root_cgroup(), "enter cgroup"))
		return 0;
	close_netns(place->ns);
	return -1;
}

static inline void mark_leave(struct mark_place *place)
{
	close_netns(place->ns);
	if (place->moved)
		ASSERT_OK(join_cgroup(MARK_CGROUP), "return to cgroup");
}

/* A socket of an end, made in a cgroup */
static inline int mark_socket(struct mark_env *env, int end, const char *cgroup, int domain,
			      int type, int proto)
{
	struct mark_place place;
	int fd;

	if (mark_enter(env, end, cgroup, &place))
		return -1;
	fd = socket(domain, type, proto);
	mark_leave(&place);
	if (ASSERT_OK_FD(fd, "socket"))
		settimeo(fd, MARK_TIMEOUT_MS);
	return fd;
}

/* Listen at the server, from a cgroup or, where that is NULL, unmarked */
static inline int mark_listen_from(struct mark_env *env, const char *addr, const char *cgroup,
				   int proto)
{
	struct network_helper_opts opts = { .timeout_ms = MARK_TIMEOUT_MS, .proto = proto };
	struct mark_place place;

	if (mark_enter(env, SERVER, cgroup, &place))
		return -1;
	env->listen_fd = start_server_str(strchr(addr, ':') ? AF_INET6 : AF_INET, SOCK_STREAM,
					  addr, 0, &opts);
	mark_leave(&place);
	return ASSERT_OK_FD(env->listen_fd, "listen") ? 0 : -1;
}

static inline int mark_listen(struct mark_env *env, const char *addr)
{
	return mark_listen_from(env, addr, NULL, IPPROTO_MPTCP);
}

/* Send from one end, and receive at the other; more, where some is still to be read */
static inline int mark_transfer(struct mark_conn *c, int end, size_t to_send, size_t to_recv)
{
	static char buf[1 << 16];
	__u64 deadline = mark_deadline();
	ssize_t n;

	while (to_recv && ASSERT_LT(get_time_ns(), deadline, "transfer in time")) {
		if (to_send) {
			n = send(c->fd[end], buf, MIN(sizeof(buf), to_send), MSG_DONTWAIT);
			if (n < 0 && !ASSERT_EQ(errno, EAGAIN, "send"))
				return -1;
			to_send -= MAX(n, 0);
		}
		n = recv(c->fd[!end], buf, MIN(sizeof(buf), to_recv), to_send ? MSG_DONTWAIT : 0);
		if (n == 0 || (n < 0 && (errno != EAGAIN || !to_send)))
			return ASSERT_GT(n, 0, "recv") ? 0 : -1;
		to_recv -= MAX(n, 0);
	}
	return to_recv ? -1 : 0;
}

static inline int mark_send(struct mark_conn *c, int end, size_t size)
{
	return mark_transfer(c, end, size, size);
}

/* Accept, and send a byte: joins follow once data has come */
static inline int mark_accept(struct mark_env *env, struct mark_conn *c)
{
	c->fd[SERVER] = accept(env->listen_fd, NULL, NULL);
	if (ASSERT_OK_FD(c->fd[SERVER], "accept") && !mark_send(c, CLIENT, 1))
		return 0;
	mark_disconnect(c);
	return -1;
}

/* Connect the client to an address of the listener, from a cgroup or unmarked */
static inline int mark_connect_from(struct mark_env *env, const char *addr, const char *cgroup,
				    struct mark_conn *c)
{
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	int port = ntohs(get_socket_local_port(env->listen_fd));
	struct sockaddr_storage sa;
	socklen_t len;

	*c = (struct mark_conn){ { -1, -1 } };
	c->fd[CLIENT] = mark_socket(env, CLIENT, cgroup, family, SOCK_STREAM, IPPROTO_MPTCP);
	return !make_sockaddr(family, addr, port, &sa, &len) &&
	       ASSERT_OK(connect(c->fd[CLIENT], (void *)&sa, len), "connect") ?
	       mark_accept(env, c) : -1;
}

static inline int mark_connect(struct mark_env *env, const char *addr)
{
	return mark_connect_from(env, addr, MARK_CGROUP, &env->conn);
}

/*
 * Connect a socket that the test made to the listener's address. If there are no
 * endpoints yet when it is made, or disconnected, the kernel opens no joins for
 * it: mptcp_pm_data_reset(), net/mptcp/pm.c
 */
static inline int mark_connect_fd(struct mark_env *env, int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	env->conn.fd[CLIENT] = fd;
	return ASSERT_OK_FD(fd, "socket") &&
	       ASSERT_OK(getsockname(env->listen_fd, (void *)&addr, &len), "getsockname") &&
	       ASSERT_OK(connect(fd, (void *)&addr, len), "connect") ?
	       mark_accept(env, &env->conn) : -1;
}

/* Disconnect, and connect the same socket again */
static inline int mark_reconnect(struct mark_env *env)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	mark_close(&env->conn.fd[SERVER]);
	return ASSERT_OK(connect(env->conn.fd[CLIENT], &unspec, sizeof(unspec)), "disconnect") ?
	       mark_connect_fd(env, env->conn.fd[CLIENT]) : -1;
}

static inline int mark_set(int fd, __u32 mark)
{
	return ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)),
			 "setsockopt(SO_MARK)") ? 0 : -1;
}

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
	int i, total, established = 0;
	__u8 state[MARK_MAX];

	total = mark_full_info(fd, sub, state);
	for (i = 0; i < total; i++)
		established += state[i] == TCP_ESTABLISHED;
	return total == n && established == n;
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

/* The connection of most tests: to server address 1, with so many joins */
static inline int mark_start(struct mark_env *env, int family, int joins)
{
	const char *addr = family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";

	return mark_endpoints(env, family, 2, joins + 1) || mark_listen(env, addr) ||
	       mark_connect(env, addr) || mark_wait_subflows(env, CLIENT, joins + 1);
}

/* The same, with each subflow watched on its link: mark 1 on link 1, … */
static inline int mark_start_watched(struct mark_env *env, int family, int joins)
{
	return mark_watch_links(env, CLIENT, family, mark_ordinals, joins + 1) ?:
	       mark_start(env, family, joins);
}

static inline int mark_get_table(int fd, struct mark_table *table)
{
	socklen_t len = sizeof(*table);

	if (!ASSERT_OK(getsockopt(fd, SOL_MPTCP_MARK, MPTCP_MARK_TABLE, table, &len), "get table"))
		return -1;
	if (!ASSERT_EQ(table->hdr.entry_size, sizeof(table->subflow[0]), "size of an entry"))
		return -1;
	return table->hdr.total;
}

/* Address and port of an entry are those of MPTCP_FULL_INFO */
static inline bool mark_same_addr(const __u8 *addr, __be16 port, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *sin6 = (void *)sa;
	const struct sockaddr_in *sin = (void *)sa;

	__u8 bytes[16] = {};

	if (sa->ss_family == AF_INET6)
		return port == sin6->sin6_port && !memcmp(addr, &sin6->sin6_addr, 16);
	memcpy(bytes, &sin->sin_addr, sizeof(sin->sin_addr));
	return port == sin->sin_port && !memcmp(addr, bytes, 16);
}

/* The subflows of fd are n, marked mark[0], mark[1], …, and those of MPTCP_FULL_INFO */
static inline void mark_expect_of(int fd, const __u32 *mark, int n)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct mptcp_mark_subflow *s;
	struct mark_table table;
	__u8 state[MARK_MAX];
	int i;

	if (!ASSERT_EQ(mark_get_table(fd, &table), n, "subflows in the table") ||
	    !ASSERT_EQ(mark_full_info(fd, sub, state), n, "subflows in MPTCP_FULL_INFO"))
		return;
	for (i = 0; i < n; i++) {
		s = &table.subflow[i];
		ASSERT_EQ(s->mark, mark[i], "mark");
		ASSERT_EQ(s->reserved | table.hdr.reserved, 0, "reserved");
		ASSERT_EQ(s->id, sub[i].id, "id");
		ASSERT_EQ(s->family, sub[i].local.ss_family, "family");
		ASSERT_TRUE(mark_same_addr(s->local, s->local_port, &sub[i].local), "local");
		ASSERT_TRUE(mark_same_addr(s->remote, s->remote_port, &sub[i].remote), "remote");
	}
}

static inline void mark_expect(struct mark_env *env, int end, const __u32 *mark, int n)
{
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
	return ASSERT_OK_PTR(*link, bpf_program__name(prog)) ? 0 : -1;
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
	mark_disconnect(&env->conn);
	mark_watched(env, CLIENT);
	mark_watched(env, SERVER);
	mark_close(&env->listen_fd);
	netns_free(env->netns_obj[CLIENT]);
	netns_free(env->netns_obj[SERVER]);
	mptcp_mark__detach(env->skel);
	mptcp_mark_table__detach(env->table);
	mark_close(&env->nested_fd);
	remove_cgroup(MARK_NESTED);
	mark_close(&env->cgroup_fd);
}

/* The programs as they were loaded, attached to a cgroup of ours; and the network */
static inline int mark_env_open(struct mark_env *env, int links)
{
	int end;

	env->listen_fd = -1;
	env->conn = (struct mark_conn){ { -1, -1 } };
	env->nested_fd = -1;
	mark_configure(env->skel, 0, ~0U);
	env->skel->data_mark_cfg->mark_debug = 0;
	env->skel->data_mark_cnt->mark_stats = (struct mptcp_mark_stats){};

	env->cgroup_fd = test__join_cgroup(MARK_CGROUP);
	if (!ASSERT_OK_FD(env->cgroup_fd, "join cgroup"))
		return -1;
	env->nested_fd = create_and_get_cgroup(MARK_NESTED);
	if (!ASSERT_OK_FD(env->nested_fd, "create cgroup") ||
	    mark_attach_ours(env->skel, env->cgroup_fd) ||
	    mark_attach(env->table->progs.mptcp_mark_table, &env->table->links.mptcp_mark_table,
			env->cgroup_fd))
		goto fail;

	for (end = CLIENT; end <= SERVER; end++) {
		/* Of this process alone: test_progs -j runs tests in parallel */
		snprintf(env->netns[end], sizeof(env->netns[end]), "mark_%c_%d",
			 end == CLIENT ? 'c' : 's', getpid());
		env->netns_obj[end] = netns_new(env->netns[end], false);
		if (!ASSERT_OK_PTR(env->netns_obj[end], "namespace"))
			goto fail;
	}
	/* IPv6 addresses of new links are usable at once, link-local ones too */
	if (mark_has_ipv6() && (mark_sysctls(env, "net/ipv6/conf/all/accept_dad", "0") ||
				mark_sysctls(env, "net/ipv6/conf/default/accept_dad", "0")))
		goto fail;
	if (!mark_links(env, links))
		return 0;
fail:
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
	int end;

	for (end = CLIENT; end <= SERVER; end++) {
		fprintf(stderr, "%s:\n", env->netns[end]);
		mark_run_with(env->netns[end], "sh 1>&2",
			      "ss -aMenit; ss -aneit; nstat -as | grep -i mptcp\n"
			      "ip mptcp endpoint; ip mptcp limits; nft list ruleset; true\n");
	}
}

/* Run the subtests of a table, each in an environment of its own */
static inline void mark_run(const struct mark_test *tests, int n)
{
	struct mptcp_mark_table *table = NULL;
	struct mptcp_mark *skel = NULL;
	const char *lacks = mark_lacks(&skel);
	struct mark_env e;
	int i;

	if (!lacks) {
		table = mptcp_mark_table__open_and_load();
		if (!ASSERT_OK_PTR(skel, "load mptcp_mark") ||
		    !ASSERT_OK_PTR(table, "load mptcp_mark_table"))
			goto destroy;
	}
	for (i = 0; i < n; i++) {
		if (!test__start_subtest(tests[i].name))
			continue;
		if (lacks || (tests[i].ipv6 && !mark_has_ipv6())) {
			mark_skip("%s", lacks ?: "no IPv6: CONFIG_IPV6=y, CONFIG_MPTCP_IPV6=y");
			continue;
		}
		e = (struct mark_env){ .skel = skel, .table = table, .data = tests[i].data,
				       .n = tests[i].n };
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
