// SPDX-License-Identifier: GPL-2.0
/* What an application notices: connections per second, throughput, getsockopt(). */
#include "bench_mptcp_mark.h"

#define RATE_ROUNDS	200
#define CONNS		40	/* with each program, in a round */
#define BULK_SIZE	(16 << 20)
#define CALLS		20000	/* of getsockopt(), in a round */

/*
 * Two programs replace each other for every single connection, so that whatever
 * else the machine does comes to both.
 */
static void rate_round(const struct net *net, struct prog *progs, int round,
		       struct figure *setup, struct figure *cycle)
{
	struct bpf_link *link;
	struct mark_conn c;
	enum variant v;
	__u64 start;
	int i;

	prog_attach(&progs[CONSTANT]);
	link = progs[CONSTANT].link;
	for (i = 0; i < 2 * (WARM_UP + CONNS); i++) {
		v = (round + i / 2 + i) & 1 ? CONSTANT : OURS;
		if (bpf_link__update_program(link, progs[v].prog))
			die("replace a program: %s", strerror(errno));
		start = get_time_ns();
		net_connect(net, &c);
		if (i >= 2 * WARM_UP)
			figure_add(&setup[v], ns_since(start));
		mark_disconnect(&c);
		if (i >= 2 * WARM_UP)
			figure_add(&cycle[v], ns_since(start));
	}
	bpf_link__update_program(link, progs[OURS].prog);
	net_connect(net, &c);
	check_marks(OURS, 1);
	mark_disconnect(&c);
}

void bench_rate(void)
{
	static const enum variant order[] = { CONSTANT, OURS };
	static struct figure rate = {
		"rate_ratio",
		"with mptcp_mark, there are %.3f times the connections per second of a constant mark",
		AT_LEAST, 0.995
	}, time = {
		"setup_ratio",
		"with mptcp_mark, it takes %.3f times as long until all subflows are established",
		AT_MOST, 1.005
	};
	struct prog progs[VARIANTS];
	struct net net;
	int round;

	nets_open(&net, 1);
	run_on_one_cpu();
	for (round = 0; round < RATE_ROUNDS; round++) {
		struct figure setup[VARIANTS] = {}, cycle[VARIANTS] = {};

		progs_load(progs, order, ARRAY_SIZE(order));
		rate_round(&net, progs, round, setup, cycle);
		progs_unload(progs, order, ARRAY_SIZE(order));
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
static void compare(struct net *net, enum variant one, struct figure *ratio,
		    double (*time)(const struct net *net, enum variant v, const void *arg),
		    const void *arg)
{
	const enum variant order[] = { NONE, one };
	struct prog progs[VARIANTS];
	double ns[VARIANTS];
	enum variant v;
	int i, round;

	progs_load(progs, order, ARRAY_SIZE(order));
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			v = in_turn(order, ARRAY_SIZE(order), round, i);
			prog_attach(&progs[v]);
			ns[v] = time(net, v, arg);
			mark_detach(&progs[v].link);
		}
		figure_add(ratio, ns[one] / ns[NONE]);
		progress(round + 1, ROUNDS);
	}
	figure_report(ratio);
}

static double time_bulk(const struct net *net, enum variant v, const void *arg)
{
	struct network_helper_opts opts = { .proto = IPPROTO_MPTCP };
	int fd = connect_to_fd_opts(net->listen_fd, &opts);
	__u64 start = get_time_ns();
	double ns;

	if (fd < 0 || send_recv_data(net->listen_fd, fd, BULK_SIZE))
		die("no transfer: %s", strerror(errno));
	ns = ns_since(start);
	close(fd);
	return ns;
}

void bench_bulk(void)
{
	static struct figure ratio = {
		"bulk_ratio",
		"with a policy that names backup, a transfer takes %.2f times as long as with none"
	};
	struct net net;

	nets_open(&net, 1);
	run_on_one_cpu();
	compare(&net, POLICY_BACKUP, &ratio, time_bulk, NULL);
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

static double time_other(const struct net *net, enum variant v, const void *arg)
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
		  "with mptcp_mark, getsockopt(TCP_INFO) of TCP takes %.3f times as long",
		  AT_MOST, 1.02 } },
		{ SOCK_DGRAM, SOL_SOCKET, SO_ERROR, { "so_error_udp",
		  "with mptcp_mark, getsockopt(SO_ERROR) of UDP takes %.3f times as long",
		  AT_MOST, 1.02 } },
	};
	struct net net;
	int i;

	nets_open(&net, 1);
	run_on_one_cpu();
	for (i = 0; i < ARRAY_SIZE(others); i++)
		compare(&net, OURS, &others[i].ratio, time_other, &others[i]);
}

/* The table, where it is attached, and what the kernel has for an answer */
static double time_table(const struct net *net, enum variant v, const void *arg)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u8 state[MARK_MAX];
	struct mark_conn c;
	__u64 start;
	double ns;
	int i;

	net_connect(net, &c);
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
	struct net net;

	nets_open(&net, 1);
	run_on_one_cpu();
	compare(&net, TABLE, &ratio, time_table, NULL);
}
