// SPDX-License-Identifier: GPL-2.0
/* The network of the benchmarks, connections over it, and a look at marks. */
#include <sched.h>
#include "bench_mptcp_mark.h"
#include "progs/mptcp_mark_show.h"

#define SERVER_ADDR	"10.0.1.2"

#define CLOSE_TIMEOUT_MS	65000

/* Connections in a row without all subflows, until that is a limit */
#define STALLED_MAX	3
#define FALLBACKS_MAX	20

int net_enter(const struct net *net)
{
	return setns(net->client, CLONE_NEWNET);
}

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/*
 * All ports, and none kept by TIME_WAIT: as many connections in a row as wanted.
 * The limit of joins is that of the endpoints.
 */
static int set_sysctls(void)
{
	FILE *f = popen("sysctl -q -p -", "w");

	if (!f)
		return -1;
	fprintf(f, "net.ipv4.ip_local_port_range = 1024 65535\n"
		   "net.ipv4.tcp_max_tw_buckets = 0\n"
		   "net.core.somaxconn = 4096\n");
	return pclose(f);
}

static int set_links(const struct net *net, bool client)
{
	FILE *f = popen("ip -batch -", "w");
	char server[32];
	int i;

	if (!f)
		return -1;
	snprintf(server, sizeof(server), "/proc/%d/fd/%d", getpid(), net->server);
	for (i = 1; i <= SUBFLOWS; i++) {
		/* Another index than the peer's: see mark_links() */
		if (client)
			fprintf(f, "link add eth%d index %d type veth peer name eth%d netns %s\n",
				i, 100 + i, i, server);
		fprintf(f, "link set eth%d up\n", i);
		fprintf(f, "addr add 10.0.%d.%d/24 dev eth%d\n", i, client ? 1 : 2, i);
		if (!client)
			continue;
		fprintf(f, "rule add from 10.0.%d.1 table 10%d\n", i, i);
		fprintf(f, "route add default table 10%d via 10.0.%d.2\n", i, i);
		if (i > 1)
			fprintf(f, "mptcp endpoint add 10.0.%d.1 id %d subflow\n", i, i);
	}
	fprintf(f, "mptcp limits set subflows %d add_addr_accepted 0\n", SUBFLOWS - 1);
	return pclose(f);
}

static int net_open(struct net *net)
{
	struct network_helper_opts opts = { .backlog = 4096 };

	net->server = new_namespace();
	if (net->server < 0 || set_sysctls())
		return -1;
	net->client = new_namespace();
	if (net->client < 0 || set_sysctls() || set_links(net, true))
		return -1;

	if (setns(net->server, CLONE_NEWNET) || set_links(net, false))
		return -1;
	net->plain_fd = start_server_str(AF_INET, SOCK_STREAM, SERVER_ADDR, 0, &opts);
	opts.proto = IPPROTO_MPTCP;
	net->listen_fd = start_server_str(AF_INET, SOCK_STREAM, SERVER_ADDR, 0, &opts);
	return net->plain_fd < 0 || net->listen_fd < 0 ? -1 : net_enter(net);
}

int net_listen_inside(struct net *net)
{
	close(net->plain_fd);
	net->plain_fd = -1;
	if (!setns(net->server, CLONE_NEWNET))
		net->plain_fd = start_server_str(AF_INET, SOCK_STREAM, SERVER_ADDR, 0, NULL);
	return net->plain_fd < 0 ? -1 : net_enter(net);
}

int nets_open(struct net *net, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!net_open(&net[i]))
			continue;
		fail("the network could not be set up: %s", strerror(errno));
		return -1;
	}
	/* From here on, what is opened is the program's to mark */
	if (!join_parent_cgroup(MARK_CGROUP))
		return 0;
	fail("the cgroup could not be joined");
	return -1;
}

static int open_conn(int listen_fd, int proto, struct mark_conn *c)
{
	struct network_helper_opts opts = { .proto = proto, .timeout_ms = MARK_TIMEOUT_MS };
	char byte = 'm';

	c->fd[SERVER] = -1;
	c->fd[CLIENT] = connect_to_fd_opts(listen_fd, &opts);
	if (c->fd[CLIENT] < 0)
		return -1;
	c->fd[SERVER] = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (c->fd[SERVER] >= 0 && send(c->fd[CLIENT], &byte, 1, 0) == 1 &&
	    recv(c->fd[SERVER], &byte, 1, 0) == 1)
		return 0;
	mark_disconnect(c);
	return -1;
}

int net_connect(const struct net *net, struct mark_conn *c)
{
	return open_conn(net->listen_fd, IPPROTO_MPTCP, c);
}

int net_connect_plain(const struct net *net, struct mark_conn *c)
{
	return open_conn(net->plain_fd, 0, c);
}

/* Until all subflows are established, by the shortest waits there are */
static int conn_wait(const struct mark_conn *c)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u64 deadline = now_ms() + STALL_MS;
	__u8 state[MARK_MAX];
	int i, n, established;

	do {
		n = mark_full_info(c->fd[CLIENT], sub, state);
		if (n < 0) {
			errno = EPROTO;		/* plain TCP: nothing to wait for */
			return -1;
		}
		for (i = 0, established = 0; i < n; i++)
			established += state[i] == TCP_ESTABLISHED;
		if (established == SUBFLOWS)
			return 0;
		sched_yield();
	} while (now_ms() < deadline);
	errno = ETIMEDOUT;
	return -1;
}

int conn_wait_or_another(const struct net *net, struct mark_conn *c)
{
	int stalled = 0, fallbacks = 0;

	while (conn_wait(c)) {
		mark_disconnect(c);
		if (errno == EPROTO ? ++fallbacks == FALLBACKS_MAX : ++stalled == STALLED_MAX)
			return -1;
		count_incomplete(errno == EPROTO);
		if (net_connect(net, c))
			return -1;
	}
	return 0;
}

int net_connect_all(const struct net *net, struct mark_conn *c)
{
	return net_connect(net, c) ?: conn_wait_or_another(net, c);
}

int net_warm_up(const struct net *net)
{
	struct mark_conn c;
	int i;

	for (i = 0; i < WARM_UP; i++) {
		if (net_connect_all(net, &c)) {
			fail("connection %d: %s", i, strerror(errno));
			return -1;
		}
		mark_disconnect(&c);
	}
	return 0;
}

void run_on_cpu(int n)
{
	static cpu_set_t allowed;
	cpu_set_t one;
	int cpu;

	if (!CPU_COUNT(&allowed) && sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	n %= CPU_COUNT(&allowed);
	for (cpu = 0; n >= 0; cpu++)
		n -= !!CPU_ISSET(cpu, &allowed);
	CPU_ZERO(&one);
	CPU_SET(cpu - 1, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

bool conn_is_right(const struct mark_conn *c)
{
	struct mark_table table;
	socklen_t len = sizeof(table);
	int i;

	if (getsockopt(c->fd[CLIENT], SOL_MPTCP_MARK, MPTCP_MARK_TABLE, &table, &len) ||
	    table.hdr.total != SUBFLOWS)
		return false;
	for (i = 0; i < SUBFLOWS; i++)
		if (table.subflow[i].id != i + 1 || table.subflow[i].mark != i + 1)
			return false;
	return true;
}

static bool marks_are(FILE *f, enum variant variant, long n)
{
	long seen[SUBFLOWS] = {};
	struct mptcp_show_subflow s;
	bool right = true;
	int i;

	while (right && fread(&s, sizeof(s), 1, f) == 1)
		if (s.id >= 1 && s.id <= SUBFLOWS && s.mark == prog_mark(variant, s.id))
			seen[s.id - 1]++;
		else
			right = false;
	for (i = 0; i < SUBFLOWS; i++)
		right = right && seen[i] >= n;
	return right;
}

/*
 * Subflows of earlier connections, of other programs, may linger: for as long as
 * the kernel takes to give up what it could not close, a minute at most
 */
int net_check(enum variant variant, long n)
{
	__u64 deadline = now_ms() + CLOSE_TIMEOUT_MS;
	bool right;
	FILE *f;

	do {
		f = subflows_open();
		if (!f) {
			fail("the subflows could not be listed: %s", strerror(errno));
			return -1;
		}
		right = marks_are(f, variant, n);
		fclose(f);
		if (right)
			return 0;
		usleep(10000);
	} while (now_ms() < deadline);
	fail("wrong marks: %s, %ld connections", prog_name(variant), n);
	return -1;
}

const char *limit_name(int err)
{
	switch (err) {
	case EMFILE:
		return "file descriptors (RLIMIT_NOFILE)";
	case ENFILE:
		return "open files (fs.file-max)";
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return "ports (net.ipv4.ip_local_port_range)";
	case ENOMEM:
	case ENOBUFS:
		return "memory";
	case ETIMEDOUT:
		return "subflows that do not come, 3 times in a row";
	case EPROTO:
		return "MPTCP tokens";	/* connections fell back, FALLBACKS_MAX in a row */
	}
	return strerror(err);
}

long memory_kb(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = -1;

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			sscanf(line + strlen(key), ": %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}
