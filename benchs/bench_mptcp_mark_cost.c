// SPDX-License-Identifier: GPL-2.0
/* What the program itself takes, as the kernel measures it (bpf_stats). */
#include "bench_mptcp_mark.h"

#define CONNS		(TREE_RIGHT - WARM_UP)
#define PLAIN_CONNS	500
#define LISTENS		2000
#define COST_ROUNDS	(4 * ROUNDS)

struct stats {
	__u64 ns, calls;
};

static int get_stats(const struct prog *p, struct stats *s)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_prog_get_info_by_fd(bpf_program__fd(p->prog), &info, &len)) {
		fail("bpf_prog_info: %s", strerror(errno));
		return -1;
	}
	*s = (struct stats){ info.run_time_ns, info.run_cnt };
	return 0;
}

/* Run a load with a program, and see what the program took of it */
static int measure(const struct net *net, struct prog *p,
		   int (*load)(const struct net *net, enum variant variant), struct stats *s)
{
	struct stats before;
	int err;

	if (prog_attach(p))
		return -1;
	err = net_warm_up(net) ?: get_stats(p, &before) ?:
	      load(net, p->variant) ?: get_stats(p, s);
	if (err)
		fail("%s: measured no further", prog_name(p->variant));
	prog_detach(p);
	s->ns -= before.ns;
	s->calls -= before.calls;
	return err;
}

/* Each program in a round, and what it took */
static int measure_round(const struct net *net, const enum variant *order, int n, int round,
			 int (*load)(const struct net *net, enum variant variant), struct stats *s)
{
	struct prog progs[VARIANTS];
	enum variant variant;
	int i, err;

	err = progs_load(progs, order, n);
	for (i = 0; i < n && !err; i++) {
		variant = in_turn(order, n, round, i);
		if (prog_exists(variant))
			err = measure(net, &progs[variant], load, &s[variant]);
	}
	if (!err)
		progs_unload(progs, order, n);
	return err;
}

static int enable_stats(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (fd < 0)
		fail("bpf_stats: %s", strerror(errno));
	return fd;
}

static int load_subflows(const struct net *net, enum variant variant)
{
	struct mark_conn conn[CONNS];
	int i, n, err = 0;

	for (n = 0; n < CONNS && !err; n++) {
		err = net_connect_all(net, &conn[n]);
		if (err)
			fail("connection %d: %s", n, strerror(errno));
	}
	if (!err)
		err = net_check(variant, CONNS);
	for (i = 0; i < n; i++)
		mark_disconnect(&conn[i]);
	return err;
}

void bench_cost(void)
{
	static const enum variant order[] = { OURS, KERNEL_ID, CONSTANT, EMPTY, TREE, TREE_MARK };
	static struct figure ratio = {
		"program per marked subflow, of the tree's", "", AT_MOST, 0.65
	}, ratio_beyond = {
		"  the same, each less an empty program's", ""
	}, ratio_mark = {
		"  of the tree's less its congestion control", ""
	}, least = {
		"  a constant mark, of the tree's", ""
	}, more = {
		"  more than a constant mark", "ns", AT_MOST, 76
	}, absolute[VARIANTS] = {
		[OURS] = { "  per subflow, mptcp_mark", "ns" },
		[KERNEL_ID] = { "  per subflow, the kernel's id as mark", "ns" },
		[CONSTANT] = { "  per subflow, a constant mark", "ns" },
		[EMPTY] = { "  per subflow, an empty program", "ns" },
		[TREE] = { "  per subflow, the tree's mptcp_subflow", "ns" },
		[TREE_MARK] = { "  per subflow, less its congestion control", "ns" },
	}, calls = {
		"  calls per subflow, an empty program", ""
	};
	double ns[VARIANTS] = {};
	struct stats s[VARIANTS];
	struct net net;
	int i, round;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	run_on_cpu(0);
	for (round = 0; round < COST_ROUNDS; round++) {
		if (measure_round(&net, order, ARRAY_SIZE(order), round, load_subflows, s))
			break;
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			if (!prog_exists(order[i]))
				continue;
			ns[order[i]] = (double)s[order[i]].ns / (CONNS * SUBFLOWS);
			figure_add(&absolute[order[i]], ns[order[i]]);
		}
		if (prog_exists(TREE)) {
			figure_add(&ratio, ns[OURS] / ns[TREE]);
			/* An empty program's is the kernel's: its calls, and its clock */
			figure_add(&ratio_beyond,
				   (ns[OURS] - ns[EMPTY]) / (ns[TREE] - ns[EMPTY]));
			figure_add(&ratio_mark, ns[OURS] / ns[TREE_MARK]);
			figure_add(&least, ns[CONSTANT] / ns[TREE]);
		}
		figure_add(&more, ns[OURS] - ns[CONSTANT]);
		figure_add(&calls, (double)s[EMPTY].calls / (CONNS * SUBFLOWS));
		progress("cost", round + 1, COST_ROUNDS);
	}
	figure_report(&ratio);
	figure_report(&ratio_beyond);
	figure_report(&ratio_mark);
	figure_report(&least);
	figure_report(&more);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		figure_report(&absolute[order[i]]);
	figure_report(&calls);
}

static int load_plain(const struct net *net, enum variant variant)
{
	struct mark_conn c;
	int i, err = 0;

	for (i = 0; i < PLAIN_CONNS && !err; i++) {
		err = net_connect_plain(net, &c);
		mark_disconnect(&c);
	}
	return err;
}

/* A callback that the program has no use for: BPF_SOCK_OPS_TCP_LISTEN_CB */
static int load_listen(const struct net *net, enum variant variant)
{
	int fd, i, err = 0;

	for (i = 0; i < LISTENS && !err; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		err = listen(fd, 1);
		close(fd);
	}
	return err;
}

void bench_others(void)
{
	static struct {
		int (*load)(const struct net *net, enum variant variant);
		struct figure more, empty;
	} loads[] = {
		{ load_plain, { "sockops call of plain TCP, more than empty", "ns", AT_MOST, 20 },
		  { "  a call of plain TCP, an empty program", "ns" } },
		{ load_listen, { "sockops call of another kind, more than empty", "ns",
				 AT_MOST, 20 },
		  { "  a call of another kind, an empty program", "ns" } },
	};
	static struct figure conn = {
		"  more for a plain TCP connection, both ends", "ns"
	};
	static const enum variant order[] = { EMPTY, OURS };
	struct stats s[VARIANTS];
	struct net net;
	int i, round, err = 0;
	double ns;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	if (net_listen_inside(&net)) {
		fail("no listener in the cgroup: %s", strerror(errno));
		return;
	}
	run_on_cpu(0);
	for (round = 0; round < COST_ROUNDS && !err; round++) {
		for (i = 0; i < ARRAY_SIZE(loads); i++) {
			err = measure_round(&net, order, ARRAY_SIZE(order), round,
					    loads[i].load, s);
			if (err)
				break;
			ns = (double)s[EMPTY].ns / s[EMPTY].calls;
			figure_add(&loads[i].empty, ns);
			figure_add(&loads[i].more, (double)s[OURS].ns / s[OURS].calls - ns);
			if (loads[i].load == load_plain)
				figure_add(&conn, ((double)s[OURS].ns - s[EMPTY].ns) / PLAIN_CONNS);
		}
		progress("others", round + 1, COST_ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		figure_report(&loads[i].more);
		figure_report(&loads[i].empty);
	}
	figure_report(&conn);
	bench_getsockopt();
}
