// SPDX-License-Identifier: GPL-2.0
/* What the program itself takes, as the kernel measures it (bpf_stats). */
#include "bench_mptcp_mark.h"

#define CONNS	(TREE_RIGHT - WARM_UP)
#define LISTENS	2000
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
	prog_detach(p);
	s->ns -= before.ns;
	s->calls -= before.calls;
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
	}, ratio_mark = {
		"  of the tree's less its congestion control", ""
	}, least = {
		"  a constant mark, of the tree's", ""
	}, more = {
		"  more than a constant mark", "ns", AT_MOST, 120
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
	struct prog progs[VARIANTS];
	enum variant variant;
	double ns[VARIANTS];
	struct stats s;
	struct net net;
	int i, round;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	run_on_cpu(0);
	for (round = 0; round < COST_ROUNDS; round++) {
		if (progs_load(progs, order, ARRAY_SIZE(order)))
			return;
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			variant = in_turn(order, ARRAY_SIZE(order), round, i);
			if (!prog_exists(variant))
				continue;
			if (measure(&net, &progs[variant], load_subflows, &s))
				return;
			ns[variant] = (double)s.ns / (CONNS * SUBFLOWS);
			figure_add(&absolute[variant], ns[variant]);
			if (variant == EMPTY)
				figure_add(&calls, (double)s.calls / (CONNS * SUBFLOWS));
		}
		if (prog_exists(TREE)) {
			figure_add(&ratio, ns[OURS] / ns[TREE]);
			figure_add(&ratio_mark, ns[OURS] / ns[TREE_MARK]);
			figure_add(&least, ns[CONSTANT] / ns[TREE]);
		}
		figure_add(&more, ns[OURS] - ns[CONSTANT]);
		progs_unload(progs, order, ARRAY_SIZE(order));
		progress("cost", round + 1, COST_ROUNDS);
	}
	figure_report(&ratio);
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

	for (i = 0; i < 5 * CONNS && !err; i++) {
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
	static const enum variant order[] = { EMPTY, OURS };
	struct prog progs[VARIANTS];
	struct stats empty, ours;
	double ns;
	struct net net;
	int i, round;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	for (round = 0; round < COST_ROUNDS; round++) {
		if (progs_load(progs, order, ARRAY_SIZE(order)))
			return;
		for (i = 0; i < ARRAY_SIZE(loads); i++) {
			if (measure(&net, &progs[EMPTY], loads[i].load, &empty) ||
			    measure(&net, &progs[OURS], loads[i].load, &ours))
				return;
			ns = (double)empty.ns / empty.calls;
			figure_add(&loads[i].empty, ns);
			figure_add(&loads[i].more, (double)ours.ns / ours.calls - ns);
		}
		progs_unload(progs, order, ARRAY_SIZE(order));
		progress("others", round + 1, COST_ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		figure_report(&loads[i].more);
		figure_report(&loads[i].empty);
	}
}
