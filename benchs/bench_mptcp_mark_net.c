// SPDX-License-Identifier: GPL-2.0
/* The network of the benchmarks, and connections over it. */
#include <sched.h>
#include "bench_mptcp_mark.h"

#define SERVER_ADDR	"10.0.1.2"
#define NETS_MAX	12
#define TRIES		50	/* for a connection, until that is a limit */
#define STALL_NS	5e9	/* a join has come by then, or does not */

/* All ports, and none kept by TIME_WAIT: as many connections in a row as wanted */
#define SYSCTLS									\
	"set -e\n"								\
	"sysctl -q -w net.ipv4.ip_local_port_range='1024 65535'"		\
	" net.ipv4.tcp_max_tw_buckets=0 net.core.somaxconn=4096\n"

/* As mark_links(), for namespaces without a name. $server: that of the server */
static const char client_setup[] = SYSCTLS
	"for i in 1 2 3; do\n"
	"	ip link add eth$i index 10$i type veth peer name eth$i netns $server\n"
	"	ip link set eth$i up\n"
	"	ip addr add 10.0.$i.1/24 dev eth$i\n"
	"	ip rule add from 10.0.$i.1 table 10$i\n"
	"	ip route add default table 10$i via 10.0.$i.2\n"
	"done\n"
	"ip mptcp limits set subflows 2 add_addr_accepted 0\n"
	"ip mptcp endpoint add 10.0.2.1 id 2 subflow\n"
	"ip mptcp endpoint add 10.0.3.1 id 3 subflow\n";

static const char server_setup[] = SYSCTLS
	"for i in 1 2 3; do\n"
	"	ip link set eth$i up\n"
	"	ip addr add 10.0.$i.2/24 dev eth$i\n"
	"done\n"
	"ip mptcp limits set subflows 2 add_addr_accepted 0\n";

static struct {
	int client, server;		/* namespaces */
	int listen_fd;			/* outside of the cgroup */
} nets[NETS_MAX], *net;

long replaced;

static void netns_enter(int fd)
{
	if (setns(fd, CLONE_NEWNET))
		die("setns: %s", strerror(errno));
}

static int new_netns(void)
{
	if (unshare(CLONE_NEWNET))
		die("no network namespace: %s", strerror(errno));
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

void net_enter(int i)
{
	net = &nets[i];
	netns_enter(net->client);
}

/*
 * On one CPU: where the scheduler happens to place the process, beside the kernel's
 * workers or not, makes more than any program.
 */
void nets_open(int n)
{
	struct network_helper_opts opts = { .backlog = 4096, .proto = IPPROTO_MPTCP };
	char server[64];
	cpu_set_t one;
	int i;

	for (i = 0; i < n; i++) {
		nets[i].server = new_netns();
		snprintf(server, sizeof(server), "/proc/%d/fd/%d", getpid(), nets[i].server);
		setenv("server", server, 1);
		nets[i].client = new_netns();
		if (system(client_setup))
			die("the client could not be set up");
		netns_enter(nets[i].server);
		if (system(server_setup))
			die("the server could not be set up");
		nets[i].listen_fd = start_server_str(AF_INET, SOCK_STREAM, SERVER_ADDR, 0, &opts);
		if (nets[i].listen_fd < 0)
			die("no listener: %s", strerror(errno));
	}
	/* What is opened from here on is in the cgroup */
	if (join_parent_cgroup(MARK_CGROUP))
		die("the cgroup could not be joined");
	net_enter(0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* A connection that has carried a byte; returns 0 or an error */
static int open_conn(int proto, struct mark_conn *c)
{
	struct network_helper_opts opts = { .proto = proto, .timeout_ms = MARK_TIMEOUT_MS };
	char byte = 'm';

	c->fd[SERVER] = -1;
	c->fd[CLIENT] = connect_to_fd_opts(net->listen_fd, &opts);
	if (c->fd[CLIENT] < 0)
		return -errno;
	c->fd[SERVER] = accept4(net->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (c->fd[SERVER] >= 0 && send(c->fd[CLIENT], &byte, 1, 0) == 1 &&
	    recv(c->fd[SERVER], &byte, 1, 0) == 1)
		return 0;
	return -errno;
}

void net_connect_plain(struct mark_conn *c)
{
	int err = open_conn(IPPROTO_TCP, c);

	if (err)
		die("no connection: %s", strerror(-err));
}

/* 0, or -EPROTO after a fallback to TCP, or -ETIMEDOUT */
static int wait_for_joins(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u64 start = get_time_ns();
	__u8 state[MARK_MAX];

	while (!mark_has_subflows(fd, SUBFLOWS)) {
		if (mark_full_info(fd, sub, state) < 0)
			return -EPROTO;
		if (ns_since(start) > STALL_NS)
			return -ETIMEDOUT;
		sched_yield();		/* there is no shorter wait */
	}
	return 0;
}

int net_try_connect(struct mark_conn *c)
{
	int i, err;

	for (i = 0; i < TRIES; i++) {
		err = open_conn(IPPROTO_MPTCP, c) ?: wait_for_joins(c->fd[CLIENT]);
		if (!err)
			return 0;
		mark_disconnect(c);
		replaced++;
	}
	return err;
}

void net_connect(struct mark_conn *c)
{
	int err = net_try_connect(c);

	if (err)
		die("no connection with %d subflows: %s", SUBFLOWS, strerror(-err));
}
