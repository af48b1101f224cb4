// SPDX-License-Identifier: GPL-2.0
/* What an application notices: connections per second, throughput, getsockopt(). */
#include "bench_mptcp_mark.h"

#define RATE_ROUNDS	200
#define CONNS		50	/* with each program, in a round */
#define BULK_SIZE	(64 << 20)
#define CALLS		20000	/* of getsockopt(), in a round */

/*
 * Two programs replace each other for every single connection, so that whatever
 * else the machine does comes to both.
 */
static void rate_round(int round, struct figure *setup, struct figure *cycle)
{
	struct mark_conn c;
	enum variant v;
	__u64 start;
	int i;

	prog_attach(CONSTANT);
	for (i = 0; i < 2 * CONNS; i++) {
		v = (round + i / 2 + i) & 1 ? CONSTANT : OURS;
		prog_replace(CONSTANT, v);
		start = get_time_ns();
		net_connect(&c);
		figure_add(&setup[v], ns_since(start));
		mark_disconnect(&c);
		figure_add(&cycle[v], ns_since(start));
	}
	prog_attach(TABLE);
	prog_replace(CONSTANT, OURS);
	net_connect(&c);
	if (!conn_is_right(OURS, &c))
		die("wrong marks");
	mark_disconnect(&c);
}

void bench_rate(void)
{
	static const enum variant order[] = { CONSTANT, OURS, TABLE };
	static struct figure rate = {
		"rate_ratio",
		"with mptcp_mark, there are %.3f times the connections per second of a constant mark",
		AT_LEAST, 0.995
	}, time = {
		"setup_ratio",
		"with mptcp_mark, it takes %.3f times as long until all three subflows are established",
		AT_MOST, 1.005
	};
	int round;

	nets_open(1);
	for (round = 0; round < RATE_ROUNDS; round++) {
		struct figure setup[VARIANTS] = {}, cycle[VARIANTS] = {};

		progs_load(order, ARRAY_SIZE(order));
		rate_round(round, setup, cycle);
		progs_unload();
		figure_add(&rate, figure_median(&cycle[CONSTANT]) / figure_median(&cycle[OURS]));
		figure_add(&time, figure_median(&setup[OURS]) / figure_median(&setup[CONSTANT]));
		progress(round + 1, RATE_ROUNDS);
	}
	figure_report(&rate);
	figure_report(&time);
	if (replaced > RATE_ROUNDS * CONNS / 1000)
		die("%ld connections did not get their subflows", replaced);
}

/* How long something takes with a program, of what it takes without */
static void compare(enum variant one, struct figure *ratio,
		    double (*time)(enum variant v, const void *arg), const void *arg)
{
	const enum variant order[] = { NONE, one };
	double ns[VARIANTS];
	enum variant v;
	int i, round;

	progs_load(order, ARRAY_SIZE(order));
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			v = order[(round + i) % ARRAY_SIZE(order)];
			prog_attach(v);
			ns[v] = time(v, arg);
			prog_detach(v);
		}
		figure_add(ratio, ns[one] / ns[NONE]);
		progress(round + 1, ROUNDS);
	}
	figure_report(ratio);
}

/* The server sends, as the client asks for callbacks of what it receives */
static double time_bulk(enum variant v, const void *arg)
{
	static char buf[256 << 10];
	struct mark_conn c;
	ssize_t n, got = 0;
	__u64 start;
	double ns;

	net_connect(&c);
	start = get_time_ns();
	while (got < BULK_SIZE) {
		if (send(c.fd[SERVER], buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno != EAGAIN)
			die("send: %s", strerror(errno));
		n = recv(c.fd[CLIENT], buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			die("recv: %s", strerror(errno));
		got += MAX(n, 0);
	}
	ns = ns_since(start);
	mark_disconnect(&c);
	return ns;
}

void bench_bulk(void)
{
	static struct figure ratio = {
		"bulk_ratio",
		"with a policy that names backup, a transfer takes %.2f times as long as with none"
	};

	nets_open(1);
	compare(POLICY_BACKUP, &ratio, time_bulk, NULL);
}

static double time_calls(int fd, int level, int name)
{
	__u64 start = get_time_ns();
	struct mark_table answer;
	socklen_t len;
	int i;

	for (i = 0; i < CALLS; i++) {
		len = sizeof(answer);
		if (getsockopt(fd, level, name, &answer, &len))
			die("getsockopt: %s", strerror(errno));
	}
	return ns_since(start);
}

struct other {
	int type, level, name;
	struct figure ratio;
};

static double time_other(enum variant v, const void *arg)
{
	const struct other *other = arg;
	int fd = socket(AF_INET, other->type, 0);
	double ns = time_calls(fd, other->level, other->name);

	close(fd);
	return ns;
}

/* Calls of getsockopt() that do not ask for marks */
void bench_others(void)
{
	static struct other others[] = {
		{ SOCK_STREAM, SOL_SOCKET, SO_ERROR, { "so_error_tcp",
		  "with mptcp_mark, getsockopt(SO_ERROR) of TCP takes %.3f times as long as without",
		  AT_MOST, 1.02 } },
		{ SOCK_STREAM, SOL_TCP, TCP_INFO, { "tcp_info",
		  "with mptcp_mark, getsockopt(TCP_INFO) of TCP takes %.3f times as long as without",
		  AT_MOST, 1.02 } },
		{ SOCK_DGRAM, SOL_SOCKET, SO_ERROR, { "so_error_udp",
		  "with mptcp_mark, getsockopt(SO_ERROR) of UDP takes %.3f times as long as without",
		  AT_MOST, 1.02 } },
	};
	int i;

	nets_open(1);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		compare(OURS, &others[i].ratio, time_other, &others[i]);
}

/* The table, where it is attached, and what the kernel has for an answer */
static double time_table(enum variant v, const void *arg)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];
	struct mark_conn c;
	__u64 start;
	double ns;
	int i;

	net_connect(&c);
	if (v == TABLE) {
		ns = time_calls(c.fd[CLIENT], SOL_MPTCP_MARK, MPTCP_MARK_TABLE);
	} else {
		start = get_time_ns();
		for (i = 0; i < CALLS; i++)
			if (mark_full_info(c.fd[CLIENT], sub, state) != SUBFLOWS)
				die("MPTCP_FULL_INFO: %s", strerror(errno));
		ns = ns_since(start);
	}
	mark_disconnect(&c);
	return ns;
}

void bench_table(void)
{
	static struct figure ratio = {
		"table_ratio",
		"to read the table of marks takes %.2f times as long as to read MPTCP_FULL_INFO",
		AT_MOST, 0.7
	};

	nets_open(1);
	compare(TABLE, &ratio, time_table, NULL);
}
