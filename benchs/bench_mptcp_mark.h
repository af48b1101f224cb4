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
void __printf(1, 2) __attribute__((noreturn)) die(const char *fmt, ...);

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

struct prog {
	enum variant variant;
	struct bpf_program *prog;	/* NULL: none, or the tree has none */
	struct bpf_link *link;
	struct bpf_object *obj;		/* either of them is its owner */
	struct mptcp_policy *policy;
};

/*
 * Load programs into progs[], by variant. Each round loads them again, as their
 * place in memory makes a tenth of their time.
 */
void progs_load(struct prog *progs, const enum variant *order, int n);
void progs_unload(struct prog *progs, const enum variant *order, int n);
void prog_attach(struct prog *p);

const char *prog_name(enum variant v);

/* The i-th of n in a round, so that each comes first as often as the others */
enum variant in_turn(const enum variant *order, int n, int round, int i);

/* n connections of this namespace have the marks of a program, and there are no others */
void check_marks(enum variant variant, long n);

/* ---- The network: a client, a server, and three links between them */

struct net {
	int client, server;		/* namespaces */
	int listen_fd;			/* MPTCP, outside of the cgroup */
	int plain_fd;			/* TCP, in the cgroup */
};

/* Open n networks, enter the client of the first, and join the cgroup */
void nets_open(struct net *net, int n);
void netns_enter(int fd);

/*
 * A connection that has carried a byte and has all its subflows. One whose joins
 * do not come, or that falls back to TCP for lack of a token, is replaced.
 */
void net_connect(const struct net *net, struct mark_conn *c);
int net_try_connect(const struct net *net, struct mark_conn *c);
void net_connect_plain(const struct net *net, struct mark_conn *c);
extern long replaced;			/* connections */

void run_on_one_cpu(void);

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
