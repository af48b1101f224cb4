/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share. Each runs in a process of its own, with networks in
 * namespaces without a name: when the process ends, so do they, its programs and
 * its connections.
 */
#ifndef __BENCH_MPTCP_MARK_H__
#define __BENCH_MPTCP_MARK_H__

#include "prog_tests/mptcp_mark_helpers.h"

#define SUBFLOWS	3		/* of each connection */
#define ROUNDS		100
#define ROUNDS_MAX	256

/* The end of this benchmark: it cannot go on, or something is wrong */
void __printf(1, 2) __noreturn die(const char *fmt, ...);

/* ---- Programs, for the cgroup of the benchmarks */

extern int cgroup_fd;
extern __u64 cgroup_id;

enum variant {
	NONE, EMPTY, CONSTANT, OURS, TREE, TABLE, POLICY, POLICY_32, POLICY_BACKUP, VARIANTS
};

/*
 * The tree's program has a map for 100 connections. Those that are opened again
 * take room in it as well.
 */
#define TREE_CONNS	90
#define WARM_UP		10	/* of these, until a new program is in the caches */

/*
 * Each round loads what it compares again, as the place of a program in memory makes
 * a tenth of its time.
 */
void progs_load(const enum variant *order, int n);
void progs_unload(void);
void prog_attach(enum variant v);
void prog_replace(enum variant attached, enum variant v);
void prog_detach(enum variant attached);
int prog_fd(enum variant v);		/* -1: older trees have no such program */
const char *prog_name(enum variant v);

/* By the table, which must be attached, the connection has the marks of a program */
bool conn_is_right(enum variant v, const struct mark_conn *c);

/* ---- Networks: in each a client, a server, and three links between them */

/* Open n networks, join the cgroup, enter the first client, and stay on one CPU */
void nets_open(int n);
void net_enter(int i);

/*
 * A connection that has carried a byte and has all its subflows. One whose joins
 * do not come, or that falls back to TCP for lack of a token, is replaced.
 */
void net_connect(struct mark_conn *c);
int net_try_connect(struct mark_conn *c);
void net_connect_plain(struct mark_conn *c);
extern long replaced;			/* connections */

/* ---- The report */

enum goal { NO_GOAL, AT_MOST, AT_LEAST };

struct figure {
	const char *name;		/* for machines */
	const char *line;		/* for people, a printf format for the median */
	enum goal goal;
	double limit;
	double bar;			/* what a character of a bar stands for; 0: no bar */
	int n;
	double value[ROUNDS_MAX];	/* by round */
};

int report_open(const char *path);
void figure_add(struct figure *f, double value);
double figure_median(const struct figure *f);
void figure_report(const struct figure *f);
void progress(long done, long all);
extern const char *bench_name;

static inline double ns_since(__u64 start)
{
	return get_time_ns() - start;
}

/* ---- The benchmarks */

void bench_cost(void);
void bench_others(void);
void bench_rate(void);
void bench_bulk(void);
void bench_table(void);
void bench_at_once(void);
void bench_in_turn(void);

#endif /* __BENCH_MPTCP_MARK_H__ */
