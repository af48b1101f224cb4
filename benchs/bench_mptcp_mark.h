/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks of mptcp_mark share. Each runs in a process of its own,
 * in namespaces without a name: whatever ends it, they are gone with it.
 */
#ifndef __BENCH_MPTCP_MARK_H__
#define __BENCH_MPTCP_MARK_H__

#include "prog_tests/mptcp_mark_helpers.h"

static inline __u64 now_ms(void)
{
	return get_time_ns() / 1000000;
}

#define SUBFLOWS	3
#define ROUNDS		10	/* at least */
#define ROUNDS_MAX	256
#define STALL_MS	5000	/* a join has come by then, or does not */

/* Marks were wrong, or a benchmark could not run: said, and in the exit code */
void __printf(1, 2) fail(const char *fmt, ...);

/* ---- Programs to compare, attached to the cgroup of the benchmark */

enum variant { NONE, EMPTY, CONSTANT, KERNEL_ID, OURS, TREE, TREE_MARK, VARIANTS };

/*
 * The tree's program is right for 100 connections, the size of its map: what it
 * is compared by, with room for connections that stall
 */
#define TREE_RIGHT	90
#define WARM_UP		10	/* of these, until a program just attached is in the caches */

struct prog {
	enum variant variant;
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_link *link;
};

extern int cgroup_fd;

/* Older trees have no program of their own */
bool prog_exists(enum variant variant);
int prog_load(struct prog *p, enum variant variant);
int prog_attach(struct prog *p);
void prog_detach(struct prog *p);
void prog_unload(struct prog *p);

/*
 * Programs to compare in a round, those that exist. Loaded afresh for each: where
 * code and maps lie in memory makes a tenth of a program's time
 */
int progs_load(struct prog *progs, const enum variant *variant, int n);
void progs_unload(struct prog *progs, const enum variant *variant, int n);

/* The i-th of n in a round: each comes first, and last, as often as any other */
enum variant in_turn(const enum variant *variant, int n, int round, int i);
const char *prog_name(enum variant variant);
__u32 prog_mark(enum variant variant, int ordinal);

/* getsockopt(MPTCP_MARK_TABLE), whatever marks: detached by bpf_link__destroy() */
struct bpf_link *table_attach(void);

/* A line for each subflow of the namespace entered: token, id, mark */
FILE *subflows_open(void);

/* Sockets that have state of the program: 0 or more, or an error */
long prog_state(const struct prog *p);

/* ---- The network: a client and a server with three links between them */

struct net {
	int client, server;		/* namespaces */
	int listen_fd, plain_fd;	/* MPTCP and TCP, outside of the cgroup */
};

/* As many networks as said, before the cgroup is joined: the last one is entered */
int nets_open(struct net *net, int n);
int net_enter(const struct net *net);

/* A listener of plain TCP in the cgroup: what it accepts is the program's to see */
int net_listen_inside(struct net *net);

/* A connection that has carried a byte, its joins to come */
int net_connect(const struct net *net, struct mark_conn *c);
int net_connect_plain(const struct net *net, struct mark_conn *c);

/*
 * Until all its subflows are established. If one does not come for STALL_MS, or the
 * kernel has no token left and falls back to TCP, another connection takes its
 * place. These are counted, and shown with the table.
 */
int conn_wait_or_another(const struct net *net, struct mark_conn *c);

/* A connection with all its subflows */
int net_connect_all(const struct net *net, struct mark_conn *c);

/*
 * This thread stays on the n-th CPU that it may use: where the scheduler happens to
 * place it, beside the kernel's workers or not, makes more than any program
 */
void run_on_cpu(int n);

/* The first connections of a program: closed again, and not to be counted */
int net_warm_up(const struct net *net);

/* By the table, its marks are 1, 2, 3 */
bool conn_is_right(const struct mark_conn *c);

/* The subflows of the namespace are those of n connections, as the program marks */
int net_check(enum variant variant, long n);

/* The limit behind an errno; kilobytes of a line of /proc/meminfo */
const char *limit_name(int err);
long memory_kb(const char *key);

/* ---- Figures */

enum aim { INFO, AT_MOST, AT_LEAST };

/* Of each round a value: reported are their median, and what nine in ten lie between */
struct figure {
	const char *name;
	const char *unit;	/* "": a ratio */
	enum aim aim;
	double target;
	int n;
	double value[ROUNDS_MAX];
};

void figure_add(struct figure *f, double value);
double figure_median(const struct figure *f);
void figure_report(const struct figure *f);

/* A figure that is no measurement: right or not, and reached if as many as wanted */
void __printf(5, 6) fact_report(const char *name, bool right, long want, long got,
				const char *fmt, ...);

/* Connections that did not get all their subflows, of all programs so far */
void count_incomplete(bool fallback);
long incomplete(void);

/* What the environment says of a number, or -1: said */
long number_from(const char *env, long otherwise, long most);

void progress(const char *what, long done, long all);

static inline double us_since(__u64 start_ns)
{
	return (get_time_ns() - start_ns) / 1e3;
}

/* ---- The benchmarks */

void bench_cost(void);
void bench_others(void);
void bench_getsockopt(void);
void bench_rate(void);
void bench_bulk(void);
void bench_table(void);
void bench_at_once(void);
void bench_in_turn(void);

#endif /* __BENCH_MPTCP_MARK_H__ */
