// SPDX-License-Identifier: GPL-2.0
/* How many connections there can be, at once and in turn. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "bench_mptcp_mark.h"

#define AT_ONCE		100000
#define HOLDERS		12
#define HOLD_MAX	25000	/* joins are bound to a port: far from all of these */

#define IN_TURN		100000
#define FIRST		2000	/* what these take is kept for the next */

/* A leak would be more than what the machine does besides, and 16 bytes for each */
#define LEAK_MB		(4 + IN_TURN * 16 / 1e6)
#define QUIET_S		3
#define SETTLE_S	60

struct held {
	long n;
	int err;	/* why no more */
};

/* A process that holds connections, as it can open so many files only, until killed */
static pid_t hold(const struct net *net, enum variant v, long most, long base, struct held *held)
{
	int answer[2];
	struct mark_conn c;
	pid_t pid;

	*held = (struct held){};
	if (pipe(answer))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		netns_enter(net->client);
		while (held->n < most && !(held->err = net_try_connect(net, &c)))
			progress(base + ++held->n, AT_ONCE);
		check_marks(v, held->n);
		write(answer[1], held, sizeof(*held));
		pause();
	}
	close(answer[1]);
	if (pid < 0 || read(answer[0], held, sizeof(*held)) != sizeof(*held))
		die("no process to hold connections");
	close(answer[0]);
	return pid;
}

/* As many connections as there can be, with the marks of a program; why no more */
static long fill(const struct net *net, enum variant v, int *err)
{
	struct held held = {};
	struct rlimit fds;
	pid_t pid[HOLDERS];
	long n = 0, most;
	int i;

	getrlimit(RLIMIT_NOFILE, &fds);
	fds.rlim_cur = fds.rlim_max;
	setrlimit(RLIMIT_NOFILE, &fds);
	most = MIN(HOLD_MAX, ((long)fds.rlim_max - 100) / 2);
	for (i = 0; i < HOLDERS && !held.err && n < AT_ONCE; i++) {
		pid[i] = hold(&net[i], v, MIN(most, AT_ONCE - n), n, &held);
		n += held.n;
	}
	while (i--) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	*err = held.err ?: n < AT_ONCE ? EMFILE : 0;
	return n;
}

void bench_at_once(void)
{
	static const enum variant order[] = { NONE, OURS };
	struct figure ratio = { "at_once_ratio", NULL, AT_LEAST, 0.98 };
	struct prog progs[VARIANTS];
	struct net net[HOLDERS];
	long without, with;
	char line[128];
	int err;

	nets_open(net, HOLDERS);
	progs_load(progs, order, ARRAY_SIZE(order));
	without = fill(net, NONE, &err);
	prog_attach(&progs[OURS]);
	with = fill(net, OURS, &err);
	snprintf(line, sizeof(line),
		 "%ld connections are marked at once, %%.2f times those without a program; limit: %s",
		 with, err == EPROTO ? "MPTCP tokens" : err ? strerror(err) : "none was met");
	ratio.line = line;
	figure_add(&ratio, (double)with / without);
	figure_report(&ratio);
}

static bool is_right(const struct mark_conn *c)
{
	struct mark_table table;
	socklen_t len = sizeof(table);
	int i;

	if (getsockopt(c->fd[CLIENT], SOL_MPTCP_MARK, MPTCP_MARK_TABLE, &table, &len) ||
	    table.hdr.total != SUBFLOWS)
		return false;
	for (i = 0; i < SUBFLOWS; i++)
		if (table.subflow[i].id != i + 1 || table.subflow[i].mark != i + 1)
			return false;
	return true;
}

/* Returns how many are marked wrong */
static long take_turns(const struct net *net, long n)
{
	struct mark_conn c;
	long i, wrong = 0;

	for (i = 0; i < n; i++) {
		net_connect(net, &c);
		wrong += !is_right(&c);
		mark_disconnect(&c);
		progress(i, n);
	}
	return wrong;
}

static double slab_mb(void)
{
	FILE *f = popen("sed -n 's/^Slab: *//p' /proc/meminfo", "r");
	double kb;

	if (!f || fscanf(f, "%lf", &kb) != 1)
		die("no Slab in /proc/meminfo");
	pclose(f);
	return kb / 1e3;
}

/* Kernel memory, when what was closed is freed, too */
static double settled_slab_mb(void)
{
	double before, now = slab_mb();
	int i, quiet = 0;

	for (i = 0; i < SETTLE_S && quiet < QUIET_S; i++, quiet++) {
		before = now;
		sleep(1);
		now = slab_mb();
		if (before - now > 0.1)
			quiet = 0;
	}
	return now;
}

void bench_in_turn(void)
{
	static const enum variant order[] = { OURS, TABLE };
	struct figure memory = { "in_turn_memory_mb", NULL, AT_MOST, LEAK_MB };
	struct prog progs[VARIANTS];
	char line[128];
	struct net net;
	double before;
	long wrong;

	nets_open(&net, 1);
	progs_load(progs, order, ARRAY_SIZE(order));
	prog_attach(&progs[OURS]);
	prog_attach(&progs[TABLE]);
	run_on_one_cpu();
	take_turns(&net, FIRST);
	before = settled_slab_mb();
	wrong = take_turns(&net, IN_TURN);
	figure_add(&memory, settled_slab_mb() - before);
	snprintf(line, sizeof(line),
		 "%d connections come in turn, %ld wrong; the kernel has %%.1f MB more then",
		 IN_TURN, wrong);
	memory.line = line;
	figure_report(&memory);
	if (wrong || memory.value[0] > LEAK_MB)
		die("%ld connections marked wrong, %.1f MB more", wrong, memory.value[0]);
}
