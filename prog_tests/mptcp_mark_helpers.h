/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the mptcp_mark tests share: a client and a server namespace with links
 * and endpoints between them, an MPTCP connection over these, and the readings
 * of the marks of its subflows by witnesses that know nothing of each other.
 */
#ifndef __MPTCP_MARK_HELPERS_H__
#define __MPTCP_MARK_HELPERS_H__

#include <bpf/btf.h>
#include <test_progs.h>
#include "cgroup_helpers.h"
#include "network_helpers.h"
#include "progs/mptcp_mark.h"
#include "mptcp_mark.skel.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif

#define MARK_CGROUP	"/mptcp_mark"
/* Joins wait for the machine's work queues, where other connections can be first */
#define MARK_TIMEOUT_MS	30000
#define MARK_MAX	65		/* subflows: the initial one and the limit of joins */

/* include/uapi/linux/mptcp.h: not in every libc's headers yet */
#ifndef MPTCP_FULL_INFO
#define MPTCP_FULL_INFO	4
#endif

struct mark_subflow_info {		/* struct mptcp_subflow_info */
	__u32 id;
	struct sockaddr_storage local __aligned(8);
	struct sockaddr_storage remote __aligned(8);
};

struct mark_full_info {			/* struct mptcp_full_info, mptcp_info left out */
	__u32 size_tcpinfo_kernel;
	__u32 size_tcpinfo_user;
	__u32 size_sfinfo_kernel;
	__u32 size_sfinfo_user;
	__u32 num_subflows;
	__u32 size_arrays_user;
	__aligned_u64 subflow_info;
	__aligned_u64 tcp_info;
};

/* The table of the live subflows of a socket, with room for all of them */
struct mark_table {
	struct mptcp_mark_table hdr;
	struct mptcp_mark_entry entry[MARK_MAX];
};

struct mark_conn {
	int client_fd, server_fd;
};

struct mark_env {
	char client[32], server[32];	/* namespaces */
	struct netns_obj *client_ns, *server_ns;
	struct mptcp_mark *skel;
	int cgroup_fd, listen_fd;
	struct mark_conn conn;		/* the connection of tests that need one only */
	const void *data;		/* of the subtest */
};

/* A subtest: its name, the links that it takes, what it does, and with what */
struct mark_test {
	const char *name;
	int links;
	void (*run)(struct mark_env *env);
	const void *data;
};

/* What the witnesses besides the table say of all subflows of the client */
struct mark_seen {
	char *ss, *nft;
	bool server;		/* seen there: subflows differ by their remote ends */
	bool quiet;		/* a subflow may have sent nothing since mark_forget() */
};

static inline __u64 mark_now_ms(void)
{
	return get_time_ns() / 1000000;
}

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

/* ip in a namespace: without -n, for which ip mounts a /sys each time */
static inline int __printf(2, 3) mark_ip(const char *netns, const char *fmt, ...)
{
	char cmd[256] = "ip ";
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd + strlen(cmd), sizeof(cmd) - strlen(cmd), fmt, ap);
	va_end(ap);
	f = mark_popen(netns, cmd, "w");
	return f ? mark_pclose(f, cmd) : -1;
}

/*
 * An end of links 1 to n: link i has 10.0.i.1 and dead:beef:i::1 at the client,
 * .2 and ::2 at the server. What the client sends from an address leaves by its
 * link. Limits for as many joins as endpoints will ask for: a connection takes
 * them as it opens.
 */
static inline int mark_links(struct mark_env *env, int n, bool client)
{
	FILE *f = mark_popen(client ? env->client : env->server, "ip -batch -", "w");
	int i, host = client ? 1 : 2;

	if (!f)
		return -1;
	for (i = 1; i <= n; i++) {
		/*
		 * Another index than the peer's, or the kernel reports the carrier
		 * late: linkwatch_urgent_event(), net/core/link_watch.c
		 */
		if (!client)
			fprintf(f, "link add eth%d index %d type veth peer name eth%d netns %s\n",
				i, 100 + i, i, env->client);
		fprintf(f, "link set eth%d up\n", i);
		fprintf(f, "addr add 10.0.%d.%d/24 dev eth%d\n", i, host, i);
		fprintf(f, "addr add dead:beef:%d::%d/64 dev eth%d\n", i, host, i);
		if (!client)
			continue;
		fprintf(f, "rule add from 10.0.%d.1 table 10%d\n", i, i);
		fprintf(f, "route add default table 10%d via 10.0.%d.2\n", i, i);
		fprintf(f, "route add default table 10%d via dead:beef:%d::2\n", i, i);
	}
	fprintf(f, "mptcp limits set subflows 8 add_addr_accepted 8\n");
	return mark_pclose(f, "set up links");
}

/*
 * nft notes the marks of the packets that leave, those of the socket: per end,
 * of the SYNs per end, and per device; and counts them, for marks up to 9. The
 * end that tells subflows from each other is the client's: the source of what
 * the client sends, the destination of what the server does.
 *
 * No counter in the sets: the kernel would have to get per-CPU memory for each
 * element while it sends a packet, and leaves the element out where it cannot.
 */
static inline int mark_nft(struct mark_env *env, bool client)
{
	FILE *f = mark_popen(client ? env->client : env->server, "nft -f -", "w");
	char e = client ? 's' : 'd';
	int mark;

	if (!f)
		return -1;
	fprintf(f, "table inet flows {\n"
		"set v4 { typeof ip saddr . tcp sport . socket mark; size 65535; flags dynamic; }\n"
		"set v6 { typeof ip6 saddr . tcp sport . socket mark; size 65535; flags dynamic; }\n"
		"set dev { typeof meta oifname . socket mark; size 65535; flags dynamic; }\n"
		"chain out {\n"
		"type filter hook output priority filter;\n"
		"update @v4 { ip %caddr . tcp %cport . socket mark }\n"
		"update @v6 { ip6 %caddr . tcp %cport . socket mark }\n"
		"update @dev { meta oifname . socket mark }\n",
		e, e, e, e);
	for (mark = 0; mark <= 9; mark++)
		fprintf(f, "meta l4proto tcp socket mark %d counter\n", mark);
	fprintf(f, "}\n}\n"
		"table inet syns {\n"
		"set v4 { typeof ip saddr . tcp sport . socket mark; size 65535; flags dynamic; }\n"
		"chain out {\n"
		"type filter hook output priority filter;\n"
		"tcp flags & (syn | ack) == syn\t"
		"update @v4 { ip %caddr . tcp %cport . socket mark }\n"
		"}\n}\n",
		e, e);
	return mark_pclose(f, "set up nft");
}

static inline int mark_sysctl(const char *netns, const char *name, const char *value)
{
	struct nstoken *ns = open_netns(netns);
	char path[128];
	int err;

	if (!ASSERT_OK_PTR(ns, "enter namespace"))
		return -1;
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	err = write_sysctl(path, value);
	close_netns(ns);
	return err;
}

/* IPv6 addresses of new links are usable at once, link-local ones too */
static inline int mark_no_dad(const char *netns)
{
	return mark_sysctl(netns, "net/ipv6/conf/all/accept_dad", "0") ?:
	       mark_sysctl(netns, "net/ipv6/conf/default/accept_dad", "0");
}

static inline void mark_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void mark_disconnect(struct mark_conn *c)
{
	mark_close(&c->client_fd);
	mark_close(&c->server_fd);
}

static inline void mark_env_close(struct mark_env *env)
{
	mark_disconnect(&env->conn);
	mark_close(&env->listen_fd);
	netns_free(env->client_ns);
	netns_free(env->server_ns);
	mptcp_mark__detach(env->skel);
	mark_close(&env->cgroup_fd);
}

static inline int mark_attach(struct mptcp_mark *skel, int cgroup_fd)
{
	skel->links.mptcp_mark = bpf_program__attach_cgroup(skel->progs.mptcp_mark, cgroup_fd);
	if (!ASSERT_OK_PTR(skel->links.mptcp_mark, "attach mptcp_mark"))
		return -1;

	skel->links.mptcp_mark_table =
		bpf_program__attach_cgroup(skel->progs.mptcp_mark_table, cgroup_fd);
	if (!ASSERT_OK_PTR(skel->links.mptcp_mark_table, "attach mptcp_mark_table"))
		return -1;
	return 0;
}

/* The program as it was loaded, attached to a cgroup of ours; and the network */
static inline int mark_env_open(struct mark_env *env, struct mptcp_mark *skel, int links)
{
	*env = (struct mark_env){ .skel = skel, .listen_fd = -1, .conn = { -1, -1 } };

	skel->data_mark_cfg->mark_config = (struct mptcp_mark_config){ .mask = ~0U };
	skel->data_mark_cnt->mark_stats = (struct mptcp_mark_stats){};

	/* Of this process alone: test_progs -j runs tests in parallel */
	snprintf(env->client, sizeof(env->client), "mark_c_%d", getpid());
	snprintf(env->server, sizeof(env->server), "mark_s_%d", getpid());

	env->cgroup_fd = test__join_cgroup(MARK_CGROUP);
	if (!ASSERT_OK_FD(env->cgroup_fd, "join cgroup"))
		return -1;

	if (mark_attach(env->skel, env->cgroup_fd))
		goto fail;

	env->client_ns = netns_new(env->client, false);
	if (!ASSERT_OK_PTR(env->client_ns, "client namespace"))
		goto fail;
	env->server_ns = netns_new(env->server, false);
	if (!ASSERT_OK_PTR(env->server_ns, "server namespace"))
		goto fail;

	if (mark_no_dad(env->client) || mark_no_dad(env->server) ||
	    mark_links(env, links, false) || mark_links(env, links, true) ||
	    mark_nft(env, true))
		goto fail;
	return 0;
fail:
	mark_env_close(env);
	return -1;
}

/* The first of these names that this kernel's BTF does not have, or NULL */
static inline const char *mark_btf_lacks(const char *const names[], int n)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const char *lacks = NULL;
	int i;

	if (!ASSERT_OK_PTR(btf, "BTF of the kernel"))
		return "BTF";
	for (i = 0; i < n && !lacks; i++)
		if (btf__find_str(btf, names[i]) < 0)
			lacks = names[i];
	btf__free(btf);
	return lacks;
}

/* What the program takes */
static inline const char *mark_lacks(void)
{
	static const char *const names[] = {
		"subflow_id", "bpf_rdonly_cast", "bpf_iter_num_new",
	};

	return mark_btf_lacks(names, ARRAY_SIZE(names));
}

/* Run the subtests of a table, each in an environment of its own */
static inline void mark_run(const struct mark_test *tests, int n)
{
	const char *lacks = mark_lacks();
	struct mptcp_mark *skel;
	struct mark_env env;
	int i;

	for (i = 0; i < n && lacks; i++) {
		if (!test__start_subtest(tests[i].name))
			continue;
		printf("%s:SKIP:this kernel has no %s\n", __func__, lacks);
		test__skip();
	}
	if (lacks)
		return;

	skel = mptcp_mark__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load mptcp_mark"))
		return;
	for (i = 0; i < n; i++) {
		if (!test__start_subtest(tests[i].name) ||
		    mark_env_open(&env, skel, tests[i].links))
			continue;
		env.data = tests[i].data;
		tests[i].run(&env);
		mark_env_close(&env);
	}
	mptcp_mark__destroy(skel);
}

/*
 * 'subflow' endpoints at the client's ends of links. For ip without -6, rules
 * are of IPv4: those of IPv6 are added here, as few tests need them.
 */
static inline int mark_endpoints_of(struct mark_env *env, int family, int first, int last)
{
	FILE *f = mark_popen(env->client, "ip -6 -batch -", "w");
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

static inline int mark_endpoint(struct mark_env *env, int family, int link)
{
	return mark_endpoints_of(env, family, link, link);
}

/* As many joins as endpoints at the client, from link 2 on */
static inline int mark_endpoints(struct mark_env *env, int family, int joins)
{
	return joins ? mark_endpoints_of(env, family, 2, joins + 1) : 0;
}

static inline int mark_full_info(int fd, struct mark_subflow_info *sub, __u64 *tcp)
{
	struct mark_full_info info = {
		.size_tcpinfo_user = sizeof(*tcp),
		.size_sfinfo_user = sizeof(*sub),
		.size_arrays_user = MARK_MAX,
		.subflow_info = ptr_to_u64(sub),
		.tcp_info = ptr_to_u64(tcp),
	};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_MPTCP, MPTCP_FULL_INFO, &info, &len))
		return -errno;
	return info.num_subflows;
}

/* Until n subflows, and no more, are established: returns 0, or -1 */
static inline int mark_wait_subflows(int fd, int n)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u64 tcp[MARK_MAX], deadline = mark_now_ms() + MARK_TIMEOUT_MS;
	int i, total, established;

	do {
		total = mark_full_info(fd, sub, tcp);
		for (i = 0, established = 0; i < total; i++)
			/* tcpi_state is the first byte of struct tcp_info */
			established += *(__u8 *)&tcp[i] == TCP_ESTABLISHED;
		if (total == n && established == n)
			return 0;
		usleep(1000);
	} while (mark_now_ms() < deadline);

	ASSERT_EQ(total, n, "subflows");
	ASSERT_EQ(established, n, "subflows established");
	return -1;
}

/* Elsewhere for a while: sockets are of the namespace and cgroup of their maker */
struct mark_place {
	struct nstoken *ns;
	bool moved;
};

/* Go to a namespace, and to a cgroup: the root where it is NULL */
static inline int mark_enter(const char *netns, const char *cgroup, struct mark_place *place)
{
	place->ns = open_netns(netns);
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

/* A socket of a namespace, made in a cgroup */
static inline int mark_fd(const char *netns, const char *cgroup, int domain, int type, int proto)
{
	struct mark_place place;
	int fd;

	if (mark_enter(netns, cgroup, &place))
		return -1;
	fd = socket(domain, type, proto);
	mark_leave(&place);
	ASSERT_OK_FD(fd, "socket");
	return fd;
}

/* Listen at the server, from a cgroup or, where that is NULL, unmarked */
static inline int mark_listen_proto(struct mark_env *env, const char *addr, const char *cgroup,
				    int proto)
{
	struct network_helper_opts opts = {
		.timeout_ms = MARK_TIMEOUT_MS,
		.proto = proto,
	};
	struct mark_place place;

	if (mark_enter(env->server, cgroup, &place))
		return -1;
	env->listen_fd = start_server_str(strchr(addr, ':') ? AF_INET6 : AF_INET, SOCK_STREAM,
					  addr, 0, &opts);
	mark_leave(&place);
	return ASSERT_OK_FD(env->listen_fd, "listen") ? 0 : -1;
}

static inline int mark_listen(struct mark_env *env, const char *addr)
{
	return mark_listen_proto(env, addr, NULL, IPPROTO_MPTCP);
}

/* Carry a byte to the server */
static inline int mark_byte(struct mark_conn *c)
{
	char byte = 'm';

	return ASSERT_EQ(send(c->client_fd, &byte, 1, 0), 1, "send") &&
	       ASSERT_EQ(recv(c->server_fd, &byte, 1, 0), 1, "recv") ? 0 : -1;
}

/* Accept, and carry a byte: joins follow once data has come */
static inline int mark_accept(struct mark_env *env, struct mark_conn *c)
{
	c->server_fd = accept(env->listen_fd, NULL, NULL);
	if (ASSERT_OK_FD(c->server_fd, "accept") && !mark_byte(c))
		return 0;
	mark_disconnect(c);
	return -1;
}

/* Connect the client to an address of the listener, from a cgroup or unmarked */
static inline int mark_connect_from(struct mark_env *env, const char *addr, const char *cgroup,
				    int proto, struct mark_conn *c)
{
	struct network_helper_opts opts = {
		.timeout_ms = MARK_TIMEOUT_MS,
		.proto = proto,
	};
	struct mark_place place;

	*c = (struct mark_conn){ -1, -1 };
	if (mark_enter(env->client, cgroup, &place))
		return -1;
	c->client_fd = connect_to_addr_str(strchr(addr, ':') ? AF_INET6 : AF_INET, SOCK_STREAM,
					   addr, ntohs(get_socket_local_port(env->listen_fd)),
					   &opts);
	mark_leave(&place);
	return ASSERT_OK_FD(c->client_fd, "connect") ? mark_accept(env, c) : -1;
}

static inline int mark_connect(struct mark_env *env, const char *addr, struct mark_conn *c)
{
	return mark_connect_from(env, addr, MARK_CGROUP, IPPROTO_MPTCP, c);
}

/* A socket of the client, to be connected by the test; the listener's address */
static inline int mark_socket(struct mark_env *env, int proto, struct sockaddr_storage *addr,
			      socklen_t *len)
{
	struct network_helper_opts opts = {
		.timeout_ms = MARK_TIMEOUT_MS,
		.proto = proto,
	};
	struct mark_place place;

	*len = sizeof(*addr);
	if (!ASSERT_OK(getsockname(env->listen_fd, (void *)addr, len), "address of listener") ||
	    mark_enter(env->client, MARK_CGROUP, &place))
		return -1;
	env->conn.client_fd = client_socket(AF_INET, SOCK_STREAM, &opts);
	mark_leave(&place);
	return ASSERT_OK_FD(env->conn.client_fd, "socket") ? 0 : -1;
}

static inline int mark_set(int fd, __u32 mark)
{
	return ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)),
			 "setsockopt(SO_MARK)") ? 0 : -1;
}

/* The connection of a socket that the application gave a mark, where that is not 0 */
static inline int mark_connect_app(struct mark_env *env, int proto, __u32 app)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (mark_socket(env, proto, &addr, &len) || (app && mark_set(env->conn.client_fd, app)) ||
	    !ASSERT_OK(connect(env->conn.client_fd, (void *)&addr, len), "connect"))
		return -1;
	return mark_accept(env, &env->conn);
}

/* The connection of most tests: to server address 1, with so many joins */
static inline int mark_start(struct mark_env *env, int family, int joins)
{
	const char *addr = family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";

	return mark_endpoints(env, family, joins) || mark_listen(env, addr) ||
	       mark_connect(env, addr, &env->conn) ||
	       mark_wait_subflows(env->conn.client_fd, joins + 1);
}

/* Witness: the table that the program gives */
static inline int mark_get_table(int fd, struct mark_table *table)
{
	socklen_t len = sizeof(*table);

	if (!ASSERT_OK(getsockopt(fd, SOL_MPTCP, MPTCP_MARK_TABLE, table, &len), "get table"))
		return -1;
	if (!ASSERT_EQ(table->hdr.entry_size, sizeof(table->entry[0]), "size of an entry") ||
	    !ASSERT_EQ(len, sizeof(table->hdr) + table->hdr.total * sizeof(table->entry[0]),
		       "size of the table"))
		return -1;
	return table->hdr.total;
}

/* What a command prints, in a buffer to free() */
static inline char *mark_output(const char *netns, const char *cmd)
{
	FILE *f = mark_popen(netns, cmd, "r");
	char *buf = NULL;
	size_t size = 0;
	ssize_t len;

	if (!f)
		return NULL;
	len = getdelim(&buf, &size, '\0', f);
	if (!pclose(f) && len > 0)
		return buf;
	free(buf);
	return NULL;
}

/*
 * Witnesses: inet_diag, by ss, and nft. The mark of the subflow with this end;
 * negative where they know of none, or of several.
 */
enum { MARK_NO_SOCKET = -1, MARK_NO_PACKET = -2, MARK_MIXED = -3 };

static inline __s64 mark_from_diag(const char *ss, int family, const void *addr, __be16 port)
{
	char name[INET6_ADDRSTRLEN], key[64];
	const char *line, *fwmark, *end;

	inet_ntop(family, addr, name, sizeof(name));
	snprintf(key, sizeof(key), family == AF_INET ? " %s:%u " : " [%s]:%u ", name, ntohs(port));
	line = strstr(ss, key);
	if (!line)
		return MARK_NO_SOCKET;
	/* A mark of 0 is not printed */
	end = strchrnul(line, '\n');
	fwmark = strstr(line, " fwmark:");
	return fwmark && fwmark < end ? strtoul(fwmark + strlen(" fwmark:"), NULL, 0) : 0;
}

static inline __s64 mark_from_nft(const char *nft, int family, const void *addr, __be16 port)
{
	char name[INET6_ADDRSTRLEN], key[64];
	const char *elem;

	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED((struct in6_addr *)addr)) {
		family = AF_INET;
		addr += 12;
	}
	inet_ntop(family, addr, name, sizeof(name));
	snprintf(key, sizeof(key), " %s . %u . ", name, ntohs(port));
	elem = strstr(nft, key);
	if (!elem)
		return MARK_NO_PACKET;
	/* One element: all packets of a subflow carried the same mark */
	if (strstr(elem + 1, key))
		return MARK_MIXED;
	return strtoul(elem + strlen(key), NULL, 0);
}

/* nft forgets the packets that it has seen, at one end */
static inline int mark_forget(const char *netns)
{
	FILE *f = mark_popen(netns, "nft 'flush set inet flows v4; flush set inet flows v6;"
				    "flush set inet flows dev; flush set inet syns v4'", "w");

	return f ? mark_pclose(f, "flush sets") : -1;
}

static inline void mark_unsee(struct mark_seen *seen)
{
	free(seen->ss);
	free(seen->nft);
}

/* Without the device that a socket is bound to: 10.0.2.1%eth2:80 */
static inline char *mark_ss(const char *netns)
{
	char *ss = mark_output(netns, "ss -tenHO state established"), *dev;

	if (!ASSERT_OK_PTR(ss, "ss"))
		return NULL;
	while ((dev = strchr(ss, '%')))
		memmove(dev, strchrnul(dev, ':'), strlen(strchrnul(dev, ':')) + 1);
	return ss;
}

static inline int mark_see(struct mark_env *env, bool server, struct mark_seen *seen)
{
	const char *netns = server ? env->server : env->client;

	*seen = (struct mark_seen){
		.ss = mark_ss(netns),
		.nft = mark_output(netns, "nft -n list table inet flows"),
		.server = server,
	};
	if (seen->ss && ASSERT_OK_PTR(seen->nft, "nft"))
		return 0;
	mark_unsee(seen);
	return -1;
}

/* Address and port of an entry are those of MPTCP_FULL_INFO */
static inline bool mark_same_addr(const __u8 *addr, __be16 port, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *sin6 = (void *)sa;
	const struct sockaddr_in *sin = (void *)sa;

	if (sa->ss_family == AF_INET6)
		return port == sin6->sin6_port && !memcmp(addr, &sin6->sin6_addr, 16);
	return port == sin->sin_port && !memcmp(addr, &sin->sin_addr, 4);
}

/* The subflows of fd are n, marked mark[0], mark[1], …: all witnesses agree */
static inline void mark_check(struct mark_seen *seen, int fd, const __u32 *mark, int n)
{
	struct mark_subflow_info sub[MARK_MAX];
	struct mptcp_mark_entry *e;
	struct mark_table table;
	__u64 tcp[MARK_MAX];
	const __u8 *addr;
	__be16 port;
	__s64 nft;
	int i;

	if (!ASSERT_EQ(mark_get_table(fd, &table), n, "entries of the table") ||
	    !ASSERT_EQ(mark_full_info(fd, sub, tcp), n, "entries of MPTCP_FULL_INFO"))
		return;

	for (i = 0; i < n; i++) {
		e = &table.entry[i];
		addr = seen->server ? e->remote : e->local;
		port = seen->server ? e->remote_port : e->local_port;
		ASSERT_EQ(e->mark, mark[i], "mark by the table");
		ASSERT_EQ(mark_from_diag(seen->ss, e->family, addr, port), mark[i],
			  "mark by inet_diag");
		nft = mark_from_nft(seen->nft, e->family, addr, port);
		if (nft != MARK_NO_PACKET || !seen->quiet)
			ASSERT_EQ(nft, mark[i], "mark by nft");
		ASSERT_EQ(e->id, sub[i].id, "id as in MPTCP_FULL_INFO");
		ASSERT_EQ(e->family, sub[i].local.ss_family, "family as there");
		ASSERT_TRUE(mark_same_addr(e->local, e->local_port, &sub[i].local),
			    "local address as there");
		ASSERT_TRUE(mark_same_addr(e->remote, e->remote_port, &sub[i].remote),
			    "remote address as there");
	}
}

/* The same, of a socket of the client, looked at now */
static inline void mark_expect_of(struct mark_env *env, int fd, const __u32 *mark, int n)
{
	struct mark_seen seen;

	if (mark_see(env, false, &seen))
		return;
	mark_check(&seen, fd, mark, n);
	mark_unsee(&seen);
}

static inline void mark_expect(struct mark_env *env, const __u32 *mark, int n)
{
	mark_expect_of(env, env->conn.client_fd, mark, n);
}

/* By nft's counters, packets of marks 1 to n left the client, of others none */
static inline void mark_expect_counted(struct mark_env *env, int n)
{
	char *nft = mark_output(env->client, "nft -n list chain inet flows out"), key[64], *rule;
	int mark;

	if (!ASSERT_OK_PTR(nft, "nft"))
		return;
	for (mark = 0; mark <= 9; mark++) {
		snprintf(key, sizeof(key), "socket mark 0x%08x counter packets ", mark);
		rule = strstr(nft, key);
		if (ASSERT_OK_PTR(rule, key))
			ASSERT_EQ(atoi(rule + strlen(key)) > 0, mark >= 1 && mark <= n, key);
	}
	free(nft);
}

/* Marks of subflows 1, 2, 3, … at first */
static const __u32 mark_ordinals[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

#endif /* __MPTCP_MARK_HELPERS_H__ */
