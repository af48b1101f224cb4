// SPDX-License-Identifier: GPL-2.0
/*
 * Connections at once. Several processes hold them, each in a network of its
 * own: a process has so many file descriptors, an address so many ports.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "bench_mptcp_mark.h"

#define AT_ONCE		100000
#define HOLD_MAX	25000	/* joins are bound to a port: far from all of them */
#define HOLDERS_MAX	64
#define BATCH		500
#define KB_GUESS	64	/* of memory for a connection, until it is known */

/* What a process holds */
struct held {
	long n;
	int err;		/* why no more, or 0 */
	bool right;		/* all marks, by the table and as the kernel lists them */
};

/* Two file descriptors for each connection */
static long conns_per_process(void)
{
	struct rlimit limit = { 2 * HOLD_MAX + 500, 2 * HOLD_MAX + 500 };

	if (setrlimit(RLIMIT_NOFILE, &limit)) {
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return ((long)limit.rlim_cur - 500) / 2;
}

/* A batch is opened, its joins come meanwhile; what is not whole is closed again */
static int hold(const struct net *net, struct mark_conn *conn, long *n, long want)
{
	long opened = *n;
	int err = 0;

	while (*n < want && !err) {
		for (; opened < want && opened < *n + BATCH; opened++)
			if (net_connect(net, &conn[opened])) {
				err = errno;
				break;
			}
		for (; *n < opened; (*n)++)
			if (conn_wait_or_another(net, &conn[*n])) {
				err = errno;
				break;
			}
	}
	while (opened > *n)
		mark_disconnect(&conn[--opened]);
	return err;
}

static bool all_right(const struct mark_conn *conn, long n)
{
	long i;

	for (i = 0; i < n; i++)
		if (!conn_is_right(&conn[i])) {
			fail("wrong marks by the table: connection %ld of %ld", i, n);
			return false;
		}
	return !net_check(OURS, n);
}

static void run_holder(const struct net *net, int ctl)
{
	static struct mark_conn conn[HOLD_MAX];
	struct held held = {};
	long want;

	if (net_enter(net))
		exit(1);
	while (recv(ctl, &want, sizeof(want), 0) == sizeof(want)) {
		held.err = hold(net, conn, &held.n, want);
		held.right = all_right(conn, held.n);
		send(ctl, &held, sizeof(held), 0);
	}
	exit(0);
}

/* A process: how many to hold is sent to it, and what it holds comes back */
static int start_holder(const struct net *net)
{
	int ctl[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl))
		return -1;
	pid = fork();
	if (!pid) {
		close(ctl[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_holder(net, ctl[1]);
	}
	close(ctl[1]);
	if (pid > 0)
		return ctl[0];
	close(ctl[0]);
	return -1;
}

/* One after the other takes what it can, until there are as many as said */
static struct held hold_all(const int *ctl, int holders, long each, long want)
{
	struct held all = { .right = true }, held;
	long share;
	int i;

	for (i = 0; i < holders && !all.err && all.n < want; i++) {
		share = want - all.n < each ? want - all.n : each;
		if (send(ctl[i], &share, sizeof(share), MSG_NOSIGNAL) < 0 ||
		    recv(ctl[i], &held, sizeof(held), 0) != sizeof(held)) {
			fail("a process that held connections is gone");
			held = (struct held){ .err = ECHILD };
		}
		all.n += held.n;
		all.err = held.err;
		all.right &= held.right;
		progress("at_once", all.n, AT_ONCE);
	}
	return all;
}

/* State would be found, if there were some */
static void check_state_is_seen(const struct prog *p)
{
	int map_fd = bpf_object__find_map_fd_by_name(p->obj, "subflow_counts");
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	__u64 value = 1;	/* struct subflow_count */

	if (bpf_map_update_elem(map_fd, &fd, &value, BPF_ANY) || prog_state(p) != 1)
		fail("state of the program would not be found");
	close(fd);
}

static void measure(const struct prog *p, const int *ctl, int holders, long each)
{
	static struct figure memory = {
		"  kernel memory of a connection, both ends", "kB"
	};
	static const long sizes[] = { 1000, 10000, AT_ONCE };
	long slab = memory_kb("Slab"), available = memory_kb("MemAvailable") / 4 * 3;
	long want, state, kb = KB_GUESS;
	const char *limit = NULL;
	struct held held;
	char name[48];
	__u64 start;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(name, sizeof(name), "%ld connections at once", sizes[i]);
		if (limit) {
			fact_report(name, true, sizes[i], 0, "not tried; limit: %s", limit);
			continue;
		}
		want = sizes[i];
		if (want > holders * each) {
			want = holders * each;
			limit = limit_name(EMFILE);
		}
		if (want > available / kb) {
			want = available / kb;
			limit = limit_name(ENOMEM);
		}
		start = get_time_ns();
		held = hold_all(ctl, holders, each, want);
		if (held.err)
			limit = limit_name(held.err);
		state = prog_state(p);
		if (state)
			fail("%ld sockets have state of the program", state);
		/* Of fewer connections, the noise of the machine is larger */
		if (held.n >= 1000)
			kb = (memory_kb("Slab") - slab) / held.n + 1;

		fact_report(name, held.right, sizes[i], held.n,
			    "%ld marked 1, 2, 3 (%.1f s)%s%s", held.n, us_since(start) / 1e6,
			    limit ? "; limit: " : "", limit ?: "");
		fact_report("  that have state of ours", !state, 0, state, "%ld", state);
	}
	if (kb != KB_GUESS)
		figure_add(&memory, kb);
	figure_report(&memory);
}

void bench_at_once(void)
{
	static struct net net[HOLDERS_MAX];
	int ctl[HOLDERS_MAX], holders, started = 0;
	long each = conns_per_process();
	struct bpf_link *table;
	struct prog p;

	holders = (AT_ONCE + each - 1) / each;
	if (holders > HOLDERS_MAX)
		holders = HOLDERS_MAX;
	if (nets_open(net, holders) || prog_load(&p, OURS) || prog_attach(&p))
		return;
	table = table_attach();
	if (!table)
		return;
	check_state_is_seen(&p);

	while (started < holders && (ctl[started] = start_holder(&net[started])) >= 0)
		started++;
	if (started < holders)
		fail("no process to hold connections: %s", strerror(errno));
	else
		measure(&p, ctl, holders, each);

	while (started--)
		close(ctl[started]);
	while (wait(NULL) > 0)
		;
	if (prog_state(&p))
		fail("state of the program is left when all are closed");
	bpf_link__destroy(table);
	prog_unload(&p);
}
