// SPDX-License-Identifier: GPL-2.0
/* What the program itself takes, as the kernel measures it (bpf_stats). */
#include "bench_mptcp_mark.h"

#define CONNS	TREE_RIGHT
#define LISTENS	2000

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
static int measure(const struct net *net, enum variant variant,
		   int (*load)(const struct net *net, enum variant variant), struct stats *s)
{
	struct prog p;
	int err;

	if (prog_attach(&p, variant))
		return -1;
	err = load(net, variant) ?: get_stats(&p, s);
	prog_detach(&p);
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
	static const enum variant order[] = { EMPTY, CONSTANT, OURS, TREE, TREE_MARK };
	static struct figure ratio = {
		"program per marked subflow, of the tree's", "", AT_MOST, 0.65
	}, ratio_mark = {
		"  of the tree's, less its congestion control", "", INFO
	}, more = {
		"  more than a constant bpf_setsockopt()", "ns", AT_MOST, 120
	}, absolute[VARIANTS] = {
		[EMPTY] = { "  an empty program", "ns" },
		[CONSTANT] = { "  a constant bpf_setsockopt()", "ns" },
		[OURS] = { "  mptcp_mark", "ns" },
		[TREE] = { "  the tree's mptcp_subflow", "ns" },
		[TREE_MARK] = { "  the tree's, less its congestion control", "ns" },
	};
	double ns[VARIANTS];
	struct stats s;
	struct net net;
	int i, round;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	for (round = 0; round < 2 * ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			if (!prog_exists(order[i]))
				continue;
			if (measure(&net, order[i], load_subflows, &s))
				return;
			ns[order[i]] = (double)s.ns / (CONNS * SUBFLOWS);
			figure_add(&absolute[order[i]], ns[order[i]]);
		}
		if (prog_exists(TREE)) {
			figure_add(&ratio, ns[OURS] / ns[TREE]);
			figure_add(&ratio_mark, ns[OURS] / ns[TREE_MARK]);
		}
		figure_add(&more, ns[OURS] - ns[CONSTANT]);
		progress("cost", round + 1, 2 * ROUNDS);
	}
	figure_report(&ratio);
	figure_report(&ratio_mark);
	figure_report(&more);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		figure_report(&absolute[order[i]]);
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
		  { "  an empty program", "ns" } },
		{ load_listen, { "sockops call of another kind, more than empty", "ns",
				 AT_MOST, 20 },
		  { "  an empty program", "ns" } },
	};
	struct stats empty, ours;
	double ns;
	struct net net;
	int i, round;

	if (nets_open(&net, 1) || enable_stats() < 0)
		return;
	for (round = 0; round < 2 * ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(loads); i++) {
			if (measure(&net, EMPTY, loads[i].load, &empty) ||
			    measure(&net, OURS, loads[i].load, &ours))
				return;
			ns = (double)empty.ns / empty.calls;
			figure_add(&loads[i].empty, ns);
			figure_add(&loads[i].more, (double)ours.ns / ours.calls - ns);
		}
		progress("others", round + 1, 2 * ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		figure_report(&loads[i].more);
		figure_report(&loads[i].empty);
	}
}
