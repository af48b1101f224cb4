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
#define SETTLE_S	5

struct held {
	long n;
	int err;	/* why no more */
};

/* A process that holds connections, as it can open so many files only, until killed */
static pid_t hold(enum variant v, long most, long base, struct held *held)
{
	static struct mark_conn conn[HOLD_MAX];
	int i, answer[2];
	pid_t pid;

	*held = (struct held){};
	if (pipe(answer))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (held->n < most && !(held->err = net_try_connect(&conn[held->n])))
			progress(base + ++held->n, AT_ONCE);
		for (i = 0; i < held->n; i++)
			if (!conn_is_right(v, &conn[i]))
				die("%s: wrong marks of connection %d", prog_name(v), i);
		write(answer[1], held, sizeof(*held));
		pause();
	}
	close(answer[1]);
	if (pid < 0 || read(answer[0], held, sizeof(*held)) != sizeof(*held))
		die("a process with connections ended");
	close(answer[0]);
	return pid;
}

/* As many connections as there can be, with the marks of a program; why no more */
static long fill(enum variant v, int *err)
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
		net_enter(i);
		pid[i] = hold(v, MIN(most, AT_ONCE - n), n, &held);
		n += held.n;
	}
	while (i--) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	*err = held.err ?: n < AT_ONCE ? -EMFILE : 0;
	return n;
}

void bench_at_once(void)
{
	static const enum variant order[] = { OURS, TABLE };
	struct figure ratio = { "at_once_ratio", NULL, AT_LEAST, 0.98 };
	long without, with;
	char line[128];
	int err;

	nets_open(HOLDERS);
	progs_load(order, ARRAY_SIZE(order));
	prog_attach(TABLE);
	without = fill(NONE, &err);
	prog_attach(OURS);
	with = fill(OURS, &err);
	snprintf(line, sizeof(line),
		 "%ld connections are marked at once, %%.2f times those without a program; limit: %s",
		 with, err == -EPROTO ? "MPTCP tokens" : err ? strerror(-err) : "none was met");
	ratio.line = line;
	figure_add(&ratio, (double)with / without);
	figure_report(&ratio);
}

/* Returns how many are marked wrong */
static long take_turns(long n)
{
	struct mark_conn c;
	long i, wrong = 0;

	for (i = 0; i < n; i++) {
		net_connect(&c);
		wrong += !conn_is_right(OURS, &c);
		mark_disconnect(&c);
		progress(i, n);
	}
	return wrong;
}

/* Kernel memory, some time after what was closed is freed */
static double slab_mb(void)
{
	double kb;
	FILE *f;

	sleep(SETTLE_S);
	f = popen("sed -n 's/^Slab: *//p' /proc/meminfo", "r");
	if (!f || fscanf(f, "%lf", &kb) != 1)
		die("no Slab in /proc/meminfo");
	pclose(f);
	return kb / 1e3;
}

void bench_in_turn(void)
{
	static const enum variant order[] = { OURS, TABLE };
	struct figure memory = { "in_turn_memory_mb", NULL, AT_MOST, LEAK_MB };
	char line[128];
	double before;
	long wrong;

	nets_open(1);
	progs_load(order, ARRAY_SIZE(order));
	prog_attach(OURS);
	prog_attach(TABLE);
	take_turns(FIRST);
	before = slab_mb();
	wrong = take_turns(IN_TURN);
	figure_add(&memory, slab_mb() - before);
	snprintf(line, sizeof(line),
		 "of %d connections in turn, %ld are marked wrong; the kernel has %%.1f MB more then",
		 IN_TURN, wrong);
	memory.line = line;
	figure_report(&memory);
	if (wrong || memory.value[0] > LEAK_MB)
		die("%ld connections marked wrong, %.1f MB more", wrong, memory.value[0]);
}
