// SPDX-License-Identifier: GPL-2.0
/* What a program itself takes, as the kernel measures it (bpf_stats). */
#include "bench_mptcp_mark.h"

static void get_stats(enum variant v, double *ns, double *calls)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_prog_get_info_by_fd(prog_fd(v), &info, &len))
		die("bpf_prog_info: %s", strerror(errno));
	*ns = info.run_time_ns;
	*calls = info.run_cnt;
}

/* What a program takes while connections open: per subflow of MPTCP, or per call */
static double measure(enum variant v, bool plain)
{
	double ns, calls, ns_before = 0, calls_before = 0;
	struct mark_conn conn[TREE_CONNS];
	int i;

	prog_attach(v);
	for (i = 0; i < TREE_CONNS; i++) {
		if (i == WARM_UP)
			get_stats(v, &ns_before, &calls_before);
		(plain ? net_connect_plain : net_connect)(&conn[i]);
	}
	get_stats(v, &ns, &calls);
	prog_attach(TABLE);
	for (i = 0; i < TREE_CONNS; i++) {
		if (!plain && !conn_is_right(v, &conn[i]))
			die("%s: wrong marks of connection %d", prog_name(v), i);
		mark_disconnect(&conn[i]);
	}
	prog_detach(TABLE);
	prog_detach(v);
	return (ns - ns_before) /
	       (plain ? calls - calls_before : (TREE_CONNS - WARM_UP) * SUBFLOWS);
}

void bench_cost(void)
{
	static const enum variant order[] = {
		EMPTY, CONSTANT, OURS, TREE, POLICY, POLICY_32, POLICY_BACKUP
	}, plain[] = { EMPTY, OURS, POLICY }, table[] = { TABLE };
	static struct figure subflow[VARIANTS], more = {
		"mark_more_ns",
		"mptcp_mark takes %.0f ns more than a constant mark for each subflow", AT_MOST, 76
	}, rule_1 = {
		"policy_ratio", "a policy of 1 rule takes %.2f times as long as mptcp_mark",
		AT_MOST, 1.3
	}, rules_32 = {
		"policy_32_ratio",
		"a policy of 32 rules, of which the last fits, takes %.2f times as long as mptcp_mark",
		AT_MOST, 2.5
	}, call[VARIANTS] = {
		[OURS] = { "mark_plain_ns",
			   "for plain TCP, a call of mptcp_mark takes %.1f ns more than an empty one",
			   AT_MOST, 10 },
		[POLICY] = { "policy_plain_ns",
			     "for plain TCP, a call of a policy takes %.1f ns more than an empty one",
			     AT_MOST, 10 },
	};
	double ns[VARIANTS], call_ns[VARIANTS];
	char line[128];
	enum variant v;
	int i, round;

	nets_open(1);
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		die("bpf_stats: %s", strerror(errno));
	for (round = 0; round < ROUNDS; round++) {
		progs_load(order, ARRAY_SIZE(order));
		progs_load(table, 1);
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			v = order[(round + i) % ARRAY_SIZE(order)];
			if (prog_fd(v) < 0)
				continue;
			ns[v] = measure(v, false);
			figure_add(&subflow[v], ns[v]);
		}
		for (i = 0; i < ARRAY_SIZE(plain); i++) {
			v = plain[(round + i) % ARRAY_SIZE(plain)];
			call_ns[v] = measure(v, true);
		}
		progs_unload();
		figure_add(&more, ns[OURS] - ns[CONSTANT]);
		figure_add(&rule_1, ns[POLICY] / ns[OURS]);
		figure_add(&rules_32, ns[POLICY_32] / ns[OURS]);
		figure_add(&call[OURS], call_ns[OURS] - call_ns[EMPTY]);
		figure_add(&call[POLICY], call_ns[POLICY] - call_ns[EMPTY]);
		progress(round + 1, ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		snprintf(line, sizeof(line), "%-26s takes %%4.0f ns for each subflow  ",
			 prog_name(order[i]));
		subflow[order[i]].name = prog_name(order[i]);
		subflow[order[i]].line = line;
		subflow[order[i]].bar = 40;
		figure_report(&subflow[order[i]]);
	}
	figure_report(&more);
	figure_report(&rule_1);
	figure_report(&rules_32);
	figure_report(&call[OURS]);
	figure_report(&call[POLICY]);
}
