// SPDX-License-Identifier: GPL-2.0
/* What an application notices: connections, throughput, a read of the table. */
#include <pthread.h>
#include "bench_mptcp_mark.h"

#define CONNS		(TREE_RIGHT - WARM_UP - 1)	/* and one to look at */
#define RATE_ROUNDS	(10 * ROUNDS)
#define BULK_ROUNDS	(6 * ROUNDS)
#define TABLE_ROUNDS	(10 * ROUNDS)
#define BULK_SIZE	(256UL << 20)
#define CHUNK		(256UL << 10)
#define READS		20000

/* Of the median connection: one that waited for the scheduler or the host says nothing */
struct speed {
	double per_second;	/* connections with all their subflows, opened and closed */
	double setup_us;	/* from connect until all subflows are established */
};

static int time_conns(const struct net *net, struct prog *p, struct speed *speed)
{
	struct figure cycle = {}, setup = {};
	struct mark_conn c = { { -1, -1 } };
	__u64 opened;
	int i, err;

	if (prog_attach(p))
		return -1;

	err = net_warm_up(net);
	for (i = 0; i < CONNS && !err; i++) {
		opened = get_time_ns();
		err = net_connect_all(net, &c);
		figure_add(&setup, us_since(opened));
		mark_disconnect(&c);
		figure_add(&cycle, us_since(opened));
	}
	speed->per_second = 1e6 / figure_median(&cycle);
	speed->setup_us = figure_median(&setup);

	if (!err)
		err = net_connect_all(net, &c);
	if (err)
		fail("connection %d: %s", i, strerror(errno));
	else
		err = net_check(p->variant, 1);
	mark_disconnect(&c);
	prog_detach(p);
	return err;
}

void bench_rate(void)
{
	static const enum variant order[] = { OURS, KERNEL_ID, CONSTANT, EMPTY, TREE, NONE };
	static struct figure rate[VARIANTS] = {
		[OURS] = { "connections per second, of those with none", "", AT_LEAST, 0.98 },
		[KERNEL_ID] = { "  per second, the kernel's id as mark", "" },
		[CONSTANT] = { "  per second, a constant mark", "" },
		[EMPTY] = { "  per second, an empty program", "" },
		[TREE] = { "  per second, the tree's mptcp_subflow", "" },
		[NONE] = { "  per second, no program", "/s" },
	}, setup[VARIANTS] = {
		[OURS] = { "connect to all established, of that with none", "", AT_MOST, 1.02 },
		[KERNEL_ID] = { "  to established, the kernel's id as mark", "" },
		[CONSTANT] = { "  to established, a constant mark", "" },
		[EMPTY] = { "  to established, an empty program", "" },
		[TREE] = { "  to established, the tree's mptcp_subflow", "" },
		[NONE] = { "  to established, no program", "us" },
	};
	long before, lost[VARIANTS] = {};
	struct speed speed[VARIANTS], s;
	struct prog progs[VARIANTS];
	enum variant variant;
	struct net net;
	int i, round, err = 0;
	bool right;

	if (nets_open(&net, 1))
		return;
	run_on_cpu(0);
	for (round = 0; round < RATE_ROUNDS; round++) {
		err = progs_load(progs, order, ARRAY_SIZE(order));
		for (i = 0; i < ARRAY_SIZE(order) && !err; i++) {
			variant = in_turn(order, ARRAY_SIZE(order), round, i);
			before = incomplete();
			if (prog_exists(variant))
				err = time_conns(&net, &progs[variant], &speed[variant]);
			lost[variant] += incomplete() - before;
		}
		if (err)
			break;
		for (i = 0; i < ARRAY_SIZE(order); i++) {
			variant = order[i];
			if (!prog_exists(variant))
				continue;
			s = speed[variant];
			if (variant != NONE) {
				s.per_second /= speed[NONE].per_second;
				s.setup_us /= speed[NONE].setup_us;
			}
			figure_add(&rate[variant], s.per_second);
			figure_add(&setup[variant], s.setup_us);
		}
		progs_unload(progs, order, ARRAY_SIZE(order));
		progress("rate", round + 1, RATE_ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(order); i++)
		figure_report(&rate[order[i]]);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		figure_report(&setup[order[i]]);
	/* These are opened again: the figures above do not show them */
	right = lost[OURS] <= lost[NONE] + round * CONNS / 1000;
	fact_report("  connections that had no three subflows", right, 0, 0,
		    "%ld of %d; %ld with no program", lost[OURS], round * CONNS, lost[NONE]);
	if (!right)
		fail("rate: the program costs connections their subflows");
}

static void *send_bulk(void *arg)
{
	static char buf[CHUNK];
	int fd = *(int *)arg;
	size_t left = BULK_SIZE;
	ssize_t n;

	run_on_cpu(1);		/* the receiver is on 0 */
	while (left) {
		n = send(fd, buf, left < CHUNK ? left : CHUNK, 0);
		if (n < 0)
			break;
		left -= n;
	}
	return NULL;
}

/* What the client sent by each link: a subflow has one */
static void bytes_sent(__u64 *bytes)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "r");
	unsigned long long sent;
	char line[256];
	int link;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " eth%d: %*u %*u %*u %*u %*u %*u %*u %*u %llu", &link, &sent) == 2)
			bytes[link - 1] = sent;
	if (f)
		fclose(f);
}

/* Of what all subflows sent, that of the one which sent the least */
static double least_share(const __u64 *before, const __u64 *after)
{
	__u64 least = -1ULL, all = 0;
	int i;

	for (i = 0; i < SUBFLOWS; i++) {
		all += after[i] - before[i];
		if (after[i] - before[i] < least)
			least = after[i] - before[i];
	}
	return (double)least / all;
}

static int time_bulk(const struct net *net, struct prog *p, double *mb_per_second, double *share)
{
	__u64 before[SUBFLOWS] = {}, after[SUBFLOWS] = {};
	static char buf[CHUNK];
	struct mark_conn c = { { -1, -1 } };
	pthread_t sender;
	size_t got = 0;
	ssize_t n;
	__u64 start;
	int err;

	if (prog_attach(p))
		return -1;
	err = net_connect_all(net, &c);
	if (err) {
		fail("bulk: %s", strerror(errno));
		goto detach;
	}
	bytes_sent(before);
	start = get_time_ns();
	err = pthread_create(&sender, NULL, send_bulk, &c.fd[CLIENT]);
	if (err) {
		fail("bulk: no thread to send: %s", strerror(err));
		goto detach;
	}
	while (got < BULK_SIZE) {
		n = recv(c.fd[SERVER], buf, CHUNK, 0);
		if (n <= 0)
			break;
		got += n;
	}
	*mb_per_second = BULK_SIZE / us_since(start);
	pthread_join(sender, NULL);
	bytes_sent(after);
	*share = least_share(before, after);
	if (got != BULK_SIZE)
		fail("bulk: %zu bytes of %lu came: %s", got, BULK_SIZE, strerror(errno));
	err = got != BULK_SIZE || net_check(p->variant, 1) ? -1 : 0;
detach:
	mark_disconnect(&c);
	prog_detach(p);
	return err;
}

void bench_bulk(void)
{
	static const enum variant order[] = { NONE, OURS };
	static struct figure ratio = {
		"bulk throughput, of that with no program", "", AT_LEAST, 0.99
	}, absolute = {
		"  bulk throughput, no program", "MB/s"
	}, least = {
		"  least share of a subflow, mptcp_mark", ""
	};
	double mb_per_second[VARIANTS], share[VARIANTS];
	struct prog progs[VARIANTS];
	enum variant variant;
	struct net net;
	int i, round, err = 0;

	if (nets_open(&net, 1) || progs_load(progs, order, ARRAY_SIZE(order)))
		return;
	run_on_cpu(0);
	for (round = 0; round < BULK_ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(order) && !err; i++) {
			variant = in_turn(order, ARRAY_SIZE(order), round, i);
			err = time_bulk(&net, &progs[variant], &mb_per_second[variant],
					&share[variant]);
		}
		if (err)
			break;
		figure_add(&ratio, mb_per_second[OURS] / mb_per_second[NONE]);
		figure_add(&absolute, mb_per_second[NONE]);
		figure_add(&least, share[OURS]);
		progress("bulk", round + 1, BULK_ROUNDS);
	}
	figure_report(&ratio);
	figure_report(&absolute);
	figure_report(&least);
	if (least.n && figure_median(&least) < 0.01)
		fail("bulk: not all subflows carry data");
}

/* Nanoseconds of a read of the table, marks included */
static double time_table(int fd)
{
	struct mark_table table;
	__u64 start = get_time_ns();
	socklen_t len;
	int i;

	for (i = 0; i < READS; i++) {
		len = sizeof(table);
		if (getsockopt(fd, SOL_MPTCP_MARK, MPTCP_MARK_TABLE, &table, &len) ||
		    table.hdr.total != SUBFLOWS) {
			fail("no table: %s", strerror(errno));
			return -1;
		}
	}
	return us_since(start) / READS * 1e3;
}

static double time_full_info(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u64 start = get_time_ns();
	__u8 state[MARK_MAX];
	int i;

	for (i = 0; i < READS; i++) {
		if (mark_full_info(fd, sub, state) == SUBFLOWS)
			continue;
		fail("no MPTCP_FULL_INFO: %s", strerror(errno));
		return -1;
	}
	return us_since(start) / READS * 1e3;
}

void bench_table(void)
{
	static struct figure ratio = {
		"read of the table, of MPTCP_FULL_INFO", "", AT_MOST, 1.5
	}, info_hooked = {
		"  MPTCP_FULL_INFO, of that with no program", ""
	}, absolute = {
		"  read of the table", "ns"
	}, info = {
		"  MPTCP_FULL_INFO with no program", "ns"
	};
	double table_ns, info_ns, hooked_ns;
	struct bpf_link *link;
	struct mark_conn c;
	struct net net;
	struct prog p;
	int i, round;

	if (nets_open(&net, 1) || prog_load(&p, OURS) || prog_attach(&p))
		return;
	run_on_cpu(0);
	for (round = 0; round < TABLE_ROUNDS; round++) {
		/* Others each time: where they lie in memory makes 3 % */
		if (net_connect_all(&net, &c) || net_check(OURS, 1)) {
			fail("table: %s", strerror(errno));
			break;
		}
		for (i = 0; i < 2; i++) {
			/* The kernel's answer, with nothing attached that looks at it */
			if ((round + i) % 2 == 0) {
				info_ns = time_full_info(c.fd[CLIENT]);
				continue;
			}
			link = table_attach();
			if (!link)
				break;
			table_ns = time_table(c.fd[CLIENT]);
			hooked_ns = time_full_info(c.fd[CLIENT]);
			bpf_link__destroy(link);
		}
		mark_disconnect(&c);
		if (i < 2 || info_ns < 0 || table_ns < 0 || hooked_ns < 0)
			break;
		figure_add(&ratio, table_ns / info_ns);
		figure_add(&info_hooked, hooked_ns / info_ns);
		figure_add(&absolute, table_ns);
		figure_add(&info, info_ns);
		progress("table", round + 1, TABLE_ROUNDS);
	}
	figure_report(&ratio);
	figure_report(&info_hooked);
	figure_report(&absolute);
	figure_report(&info);
}

/* Other getsockopt() calls in the cgroup, with the program and without */
void bench_getsockopt(void)
{
	static struct {
		int type, level, name;
		struct figure ratio, none;
	} calls[] = {
		{ SOCK_STREAM, SOL_SOCKET, SO_ERROR,
		  { "SO_ERROR of TCP, of that with no program", "", AT_MOST, 1.02 },
		  { "  SO_ERROR of TCP, no program", "ns" } },
		{ SOCK_STREAM, SOL_TCP, TCP_INFO,
		  { "TCP_INFO of TCP, of that with no program", "", AT_MOST, 1.02 },
		  { "  TCP_INFO of TCP, no program", "ns" } },
		{ SOCK_DGRAM, SOL_SOCKET, SO_ERROR,
		  { "SO_ERROR of UDP, of that with no program", "", AT_MOST, 1.02 },
		  { "  SO_ERROR of UDP, no program", "ns" } },
	};
	char answer[256];
	socklen_t len;
	__u64 start;
	double ns[2];
	struct net net;
	struct prog p;
	int i, j, n, fd, round;

	if (nets_open(&net, 1) || prog_load(&p, OURS))
		return;
	run_on_cpu(0);
	for (round = 0; round < TABLE_ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(calls); i++) {
			fd = socket(AF_INET, calls[i].type, 0);
			for (j = 0; j < 2; j++) {
				bool with = (round + j) & 1;

				if (with && prog_attach(&p))
					return;
				start = get_time_ns();
				for (n = 0; n < READS; n++) {
					len = sizeof(answer);
					getsockopt(fd, calls[i].level, calls[i].name, answer, &len);
				}
				ns[with] = us_since(start) / READS * 1e3;
				if (with)
					prog_detach(&p);
			}
			close(fd);
			figure_add(&calls[i].ratio, ns[1] / ns[0]);
			figure_add(&calls[i].none, ns[0]);
		}
		progress("getsockopt", round + 1, TABLE_ROUNDS);
	}
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		figure_report(&calls[i].ratio);
		figure_report(&calls[i].none);
	}
}
