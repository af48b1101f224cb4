// SPDX-License-Identifier: GPL-2.0
/* Connections one after the other: as many as a program may see in its life. */
#include "bench_mptcp_mark.h"

#define IN_TURN		100000	/* or as many as MPTCP_MARK_IN_TURN says */
#define FIRST		2000
#define IN_TURN_TREE	1000

/*
 * More kernel memory than before is a leak: what the machine does besides, and of
 * each. Together less than the smallest object for each connection.
 */
#define SLAB_MB		4
#define LEAK_B		16
#define SETTLE_MS	60000
#define QUIET_S		3

struct turn {
	long n, wrong, first_wrong;
	bool last_right;	/* by the table, and as the kernel lists the subflows */
};

static int take_turns(const struct net *net, enum variant variant, long all, struct turn *turn)
{
	struct mark_conn c;
	bool right;

	*turn = (struct turn){};
	while (turn->n < all) {
		if (net_connect_all(net, &c))
			return -1;
		turn->n++;
		right = conn_is_right(&c);
		if (!right && !turn->wrong++)
			turn->first_wrong = turn->n;
		if (turn->n == all)
			turn->last_right = right && !net_check(variant, 1);
		mark_disconnect(&c);
		if (turn->n % 100 == 0)
			progress("in_turn", turn->n, all);
	}
	return 0;
}

/* When what was closed is freed, too: kB */
static long settled_slab(void)
{
	__u64 deadline = now_ms() + SETTLE_MS;
	long before, now = memory_kb("Slab");
	int quiet = 0;

	while (quiet < QUIET_S && now_ms() < deadline) {
		before = now;
		sleep(1);
		now = memory_kb("Slab");
		quiet = before - now > 100 ? 0 : quiet + 1;
	}
	return now;
}

static void turns_of_ours(const struct net *net, long all)
{
	static struct figure memory = {
		"  kernel memory, more than before", "MB", AT_MOST
	};
	struct turn turn;
	struct prog p;
	char name[64];
	long slab, state;
	bool right;

	if (prog_load(&p, OURS) || prog_attach(&p))
		return;
	snprintf(name, sizeof(name), "%ld connections in turn", all);
	/* What the first ones take is kept for the next: memory as after these */
	if (take_turns(net, OURS, FIRST, &turn)) {
		fail("connection %ld: %s", turn.n, limit_name(errno));
		goto unload;
	}
	slab = settled_slab();
	if (take_turns(net, OURS, all, &turn)) {
		fact_report(name, !turn.wrong, all, turn.n, "%ld; limit: %s", turn.n,
			    limit_name(errno));
		if (turn.wrong)
			fail("in turn: %ld wrong of %ld", turn.wrong, turn.n);
		goto unload;
	}
	figure_add(&memory, (settled_slab() - slab) / 1e3);
	memory.target = SLAB_MB + all * LEAK_B / 1e6;
	state = prog_state(&p);
	right = !turn.wrong && turn.last_right;
	if (!right || state || memory.value[0] > memory.target)
		fail("in turn: %ld wrong of %ld, %ld sockets have state, kernel memory %+.1f MB",
		     turn.wrong, all, state, memory.value[0]);
	fact_report(name, right, all, turn.n, "%ld wrong, the last is %s", turn.wrong,
		    turn.last_right ? "1, 2, 3" : "not 1, 2, 3");
	figure_report(&memory);
	fact_report("  sockets that have state of ours", !state, 0, state, "%ld", state);
unload:
	prog_unload(&p);
}

/* That it is wrong is what the table is to show: no failure of ours */
static void turns_of_the_tree(const struct net *net)
{
	struct turn turn;
	struct prog p;
	char name[64];

	if (prog_load(&p, TREE) || prog_attach(&p))
		return;
	snprintf(name, sizeof(name), "  %d with the tree's program", IN_TURN_TREE);
	if (take_turns(net, TREE, IN_TURN_TREE, &turn))
		fact_report(name, !turn.wrong, 0, turn.n, "%ld; limit: %s", turn.n,
			    limit_name(errno));
	else
		fact_report(name, !turn.wrong, 0, turn.n, "%ld wrong, from number %ld on",
			    turn.wrong, turn.first_wrong);
	prog_unload(&p);
}

void bench_in_turn(void)
{
	long all = number_from("MPTCP_MARK_IN_TURN", IN_TURN, 1000000000);
	struct bpf_link *table;
	struct net net;

	if (all < 0)
		return;
	if (nets_open(&net, 1))
		return;
	table = table_attach();
	if (!table)
		return;
	turns_of_ours(&net, all);
	if (prog_exists(TREE))
		turns_of_the_tree(&net);
	bpf_link__destroy(table);
}
