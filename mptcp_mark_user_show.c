// SPDX-License-Identifier: GPL-2.0
/* mptcp_mark_user show: the subflows of a network namespace. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <linux/tcp.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "progs/mptcp_mark_show.h"
#include "mptcp_mark_show.skel.h"
#include "json_writer.h"
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

#define BAR_WIDTH	20
#define SHORT		24	/* room for a number */
#define ADDRESS_SIZE	(INET6_ADDRSTRLEN + 10)

struct subflow {
	struct mptcp_show_subflow s;
	__u32 ordinal;		/* 0: not known */
	__u32 rule;		/* of the policy of its cgroup, 0: none, or not known */
	double sent_rate;	/* bytes per second, of -w */
	double received_rate;
	double share;		/* of what its connection sent and received */
};

struct view {
	struct subflow *subflows;
	size_t num;
	double time;
	bool policy;		/* some subflow is in a cgroup that has one */
};

static struct mptcp_mark_show *skel;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* All that an iterator writes: an array of elements of that size */
static void *read_iterator(struct bpf_program *prog, int map, size_t size, size_t *num)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info = {};
	struct bpf_link *link;
	size_t len = 0, space = 0;
	char *buffer = NULL;
	ssize_t n;
	int fd;

	if (map >= 0) {
		info.map.map_fd = map;
		opts.link_info = &info;
		opts.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(prog, &opts);
	fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	if (fd < 0)
		die("sockets cannot be read: %s", strerror(errno));
	do {
		if (len == space) {
			space = 2 * space + 64 * size;
			buffer = realloc(buffer, space);
			if (!buffer)
				die("out of memory");
		}
		n = read(fd, buffer + len, space - len);
		if (n > 0)
			len += n;
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		die("sockets cannot be read: %s", strerror(errno));
	close(fd);
	bpf_link__destroy(link);
	*num = len / size;
	return buffer;
}

/*
 * The kernel's id is the ordinal, but for a connection that is not the first
 * one of its socket, or whose subflows mptcp_mark counts itself: of these, only
 * the first subflow is sure.
 */
static __u32 ordinal_of(const struct mptcp_show_subflow *s, const struct mptcp_show_count *counts,
			size_t num)
{
	bool again = s->first_id != 1;

	for (size_t i = 0; i < num; i++) {
		if (counts[i].msk != s->msk)
			continue;
		if (again)
			return s->flags & MPTCP_SHOW_INITIAL ? 1 : 0;
		return s->id < counts[i].first_counted ? s->id : 0;
	}
	return again ? 0 : s->id;
}

/* The policy of a cgroup, or of the next one above that has one */
static bool nearest_policy(int cgroup, struct mptcp_ruleset *set)
{
	__u32 id;
	int prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, true, "mptcp_policy", &id);
	bool found = prog >= 0 && policy_of_program(prog, set);

	close(prog);
	return found;
}

static __u32 rule_of(const struct subflow *subflow, const struct mptcp_ruleset *set)
{
	static const __u8 is_backup[] = {
		0, MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_LOCAL,
		MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_REMOTE,
		MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_LOCAL | MPTCP_IS_BACKUP_REMOTE,
	};
	const struct mptcp_show_subflow *s = &subflow->s;
	struct mptcp_policy_subflow key = {
		.key.ordinal = subflow->ordinal,
		.key.local_id = s->local_id,
		.key.remote_id = s->remote_id,
	};

	if (!subflow->ordinal && (set->looks_at & MPTCP_POLICY_ORDINAL))
		return 0;
	memcpy(&key.local, s->local, sizeof(key.local));
	memcpy(&key.remote, s->remote, sizeof(key.remote));
	if (s->family == AF_INET) {
		key.local = (struct mptcp_policy_addr){ .part[2] = htonl(0xffff) };
		memcpy(&key.local.part[3], s->local, sizeof(key.local.part[3]));
		key.remote = (struct mptcp_policy_addr){ .part[2] = htonl(0xffff) };
		memcpy(&key.remote.part[3], s->remote, sizeof(key.remote.part[3]));
	}
	key.key.is = is_backup[s->flags & (MPTCP_SHOW_BACKUP_LOCAL | MPTCP_SHOW_BACKUP_REMOTE)];
	key.key.is |= s->flags & MPTCP_SHOW_OPENED ? MPTCP_IS_OPENED : MPTCP_IS_ACCEPTED;
	key.key.is |= mptcp_policy_is_mapped(&key.remote) ? MPTCP_IS_INET : MPTCP_IS_INET6;
	if (s->flags & MPTCP_SHOW_BOUND)
		if_indextoname(s->ifindex, key.dev.name);
	return mptcp_policy_find(set, &key);
}

/* Of the subflows of those cgroups that mptcp_mark or a policy acts on */
static void find_ordinals(struct view *view)
{
	int root = open_cgroup_root(), cgroup;
	struct mptcp_show_count *counts = NULL;
	struct mptcp_ruleset set;
	struct attachment att;
	bool policy = false;
	size_t num = 0;
	__u64 id = 0;

	/* Subflows of a cgroup often follow one another: the last one is known */
	for (size_t i = 0; i < view->num; i++) {
		struct subflow *subflow = &view->subflows[i];

		if (i == 0 || subflow->s.cgroup != id) {
			free(counts);
			counts = NULL;
			policy = false;
			id = subflow->s.cgroup;
			cgroup = open_cgroup_by_id(root, id);
			if (cgroup >= 0) {
				find_attachment(cgroup, true, &att);
				if (att.counts >= 0)
					counts = read_iterator(skel->progs.mptcp_mark_counts,
							       att.counts, sizeof(*counts), &num);
				close_attachment(&att);
				policy = nearest_policy(cgroup, &set);
			}
			close(cgroup);
		}
		subflow->ordinal = counts ? ordinal_of(&subflow->s, counts, num) : 0;
		subflow->rule = policy ? rule_of(subflow, &set) : 0;
		view->policy = view->policy || policy;
	}
	free(counts);
	close(root);
}

static int compare(const void *a, const void *b)
{
	const struct mptcp_show_subflow *x = &((struct subflow *)a)->s;
	const struct mptcp_show_subflow *y = &((struct subflow *)b)->s;

	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	if (x->msk != y->msk)
		return x->msk < y->msk ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (int)x->local_port - y->local_port;
}

static void read_view(struct view *view)
{
	struct mptcp_show_subflow *records;

	records = read_iterator(skel->progs.mptcp_mark_show, -1, sizeof(*records), &view->num);
	view->time = now();
	view->policy = false;
	view->subflows = calloc(view->num + 1, sizeof(*view->subflows));
	if (!view->subflows)
		die("out of memory");
	for (size_t i = 0; i < view->num; i++)
		view->subflows[i].s = records[i];
	free(records);
	find_ordinals(view);
	qsort(view->subflows, view->num, sizeof(*view->subflows), compare);
}

/* What has changed since the view before */
static void find_rates(struct view *view, const struct view *before)
{
	double seconds = view->time - before->time;
	struct subflow *all = view->subflows, *was;

	for (size_t i = 0; before->num && i < view->num; i++) {
		was = bsearch(&all[i], before->subflows, before->num, sizeof(*was), compare);
		if (!was)
			continue;
		all[i].sent_rate = (all[i].s.sent - was->s.sent) / seconds;
		all[i].received_rate = (all[i].s.received - was->s.received) / seconds;
	}
	for (size_t i = 0, j; i < view->num; i = j) {
		double sum = 0;

		for (j = i; j < view->num && all[j].s.msk == all[i].s.msk; j++)
			sum += all[j].sent_rate + all[j].received_rate;
		for (size_t k = i; sum > 0 && k < j; k++)
			all[k].share = (all[k].sent_rate + all[k].received_rate) / sum;
	}
}

static const char *state_name(__u8 state)
{
	static const char *const names[] = {	/* as ss names them */
		"0", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
		"UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING",
	};

	return state < sizeof(names) / sizeof(*names) ? names[state] : "?";
}

static const char *backup_name(__u8 flags)
{
	static const char *const names[] = { "-", "local", "remote", "both" };

	return names[flags & (MPTCP_SHOW_BACKUP_LOCAL | MPTCP_SHOW_BACKUP_REMOTE)];
}

static char *address(char *out, const struct mptcp_show_subflow *s, const __u8 *addr, __be16 port)
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool v6 = s->family == AF_INET6;

	inet_ntop(s->family, addr, text, sizeof(text));
	snprintf(out, ADDRESS_SIZE, "%s%s%s:%u", v6 ? "[" : "", text, v6 ? "]" : "", ntohs(port));
	return out;
}

/* A number, or "-" where there is none */
static char *number(char *out, long value, bool known)
{
	sprintf(out, known ? "%ld" : "-", value);
	return out;
}

static char *amount(char *out, double bytes)
{
	const char *unit = " kMGTP";

	while (bytes >= 999.95 && unit[1]) {
		bytes /= 1000;
		unit++;
	}
	if (*unit == ' ')
		sprintf(out, "%.0f", bytes);
	else
		sprintf(out, "%.1f%c", bytes, *unit);
	return out;
}

static const char *bar(double share)
{
	static const char full[BAR_WIDTH + 1] = "####################";

	return full + BAR_WIDTH - (int)(share * BAR_WIDTH + 0.5);
}

/* What comes after what both kinds of view have */
static int print_rates(char *line, size_t size, const struct subflow *subflow)
{
	char sent[SHORT], received[SHORT];

	return snprintf(line, size, "%7s %7s %-*s %4.0f%%", amount(sent, subflow->sent_rate),
			amount(received, subflow->received_rate), BAR_WIDTH, bar(subflow->share),
			100 * subflow->share);
}

static int print_more(char *line, size_t size, const struct mptcp_show_subflow *s)
{
	char sent[SHORT], received[SHORT], local_id[SHORT];

	return snprintf(line, size, "%7s %7s %3s %3u %-6s %-8s", amount(sent, s->sent),
			amount(received, s->received),
			number(local_id, s->local_id, s->local_id >= 0), s->remote_id,
			backup_name(s->flags), s->congestion);
}

/* No line is longer than columns, and there are no more than rows; 0: no limit */
static void print_text(const struct view *view, bool rates, int columns, int rows)
{
	char id[SHORT], ord[SHORT], rule[SHORT], local[ADDRESS_SIZE], remote[ADDRESS_SIZE];
	char line[512];
	size_t num = view->num;
	int len;

	if (rows && num + 2 > rows)
		num = rows > 3 ? rows - 3 : 0;
	len = snprintf(line, sizeof(line), "token     id ord %s%s%s local > remote",
		       view->policy ? "rule " : "", "mark       state      dev        rtt/ms ",
		       rates ? " sent/s  recv/s                      share" :
			       "   sent    recv loc rem backup cc      ");
	printf("%.*s\n", columns ?: len, line);
	for (size_t i = 0; i < num; i++) {
		const struct mptcp_show_subflow *s = &view->subflows[i].s;
		__u32 ordinal = view->subflows[i].ordinal;

		len = snprintf(line, sizeof(line), "%08x %3s %3s ", s->token,
			       number(id, s->id, s->id), number(ord, ordinal, ordinal));
		if (view->policy)
			len += snprintf(line + len, sizeof(line) - len, "%4s ",
					number(rule, view->subflows[i].rule,
					       view->subflows[i].rule));
		len += snprintf(line + len, sizeof(line) - len, "0x%08x %-10s %-8s %8.3f ",
				s->mark, state_name(s->state), *s->device ? s->device : "-",
				s->rtt / 1e3);
		len += rates ? print_rates(line + len, sizeof(line) - len, &view->subflows[i]) :
			       print_more(line + len, sizeof(line) - len, s);
		len += snprintf(line + len, sizeof(line) - len, " %s > %s",
				address(local, s, s->local, s->local_port),
				address(remote, s, s->remote, s->remote_port));
		printf("%.*s\n", columns ?: len, line);
	}
	if (num < view->num)
		printf("and %zu more\n", view->num - num);
}

/* A line */
static void print_json(const struct view *view, bool rates)
{
	json_writer_t *json = jsonw_new(stdout);
	char text[ADDRESS_SIZE];

	jsonw_start_array(json);
	for (size_t i = 0; i < view->num; i++) {
		const struct subflow *subflow = &view->subflows[i];
		const struct mptcp_show_subflow *s = &subflow->s;

		jsonw_start_object(json);
		jsonw_uint_field(json, "token", s->token);
		jsonw_uint_field(json, "id", s->id);
		if (subflow->ordinal)
			jsonw_uint_field(json, "ord", subflow->ordinal);
		if (subflow->rule)
			jsonw_uint_field(json, "rule", subflow->rule);
		if (s->local_id >= 0)
			jsonw_uint_field(json, "local_id", s->local_id);
		jsonw_uint_field(json, "remote_id", s->remote_id);
		jsonw_string_field(json, "backup", backup_name(s->flags));
		jsonw_uint_field(json, "mark", s->mark);
		jsonw_string_field(json, "state", state_name(s->state));
		jsonw_string_field(json, "congestion", s->congestion);
		if (*s->device)
			jsonw_string_field(json, "dev", s->device);
		jsonw_uint_field(json, "rtt_us", s->rtt);
		jsonw_lluint_field(json, "sent", s->sent);
		jsonw_lluint_field(json, "received", s->received);
		if (rates) {
			jsonw_lluint_field(json, "sent_rate", subflow->sent_rate);
			jsonw_lluint_field(json, "received_rate", subflow->received_rate);
			jsonw_uint_field(json, "share_percent", 100 * subflow->share + 0.5);
		}
		jsonw_string_field(json, "local", address(text, s, s->local, s->local_port));
		jsonw_string_field(json, "remote", address(text, s, s->remote, s->remote_port));
		jsonw_end_object(json);
	}
	jsonw_end_array(json);
	jsonw_destroy(&json);
}

/* Repaints on a screen of its own, so that the terminal is as before at the end */
static void watch(const struct mark_options *options)
{
	struct timespec wait = { options->watch, 1e9 * (options->watch - (time_t)options->watch) };
	bool terminal = !options->json && isatty(STDOUT_FILENO);
	struct view view, before = {};
	struct winsize size = {};
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGQUIT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	if (terminal)
		printf("\e[?1049h\e[?25l");
	do {
		read_view(&view);
		find_rates(&view, &before);
		if (terminal) {
			ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
			printf("\e[H\e[J");
		}
		if (options->json)
			print_json(&view, true);
		else
			print_text(&view, true, size.ws_col, size.ws_row);
		if (!terminal && !options->json)
			putchar('\n');
		if (fflush(stdout))
			break;
		free(before.subflows);
		before = view;
	} while (sigtimedwait(&ends, NULL, &wait) < 0);
	if (terminal)
		printf("\e[?25h\e[?1049l");
	free(before.subflows);
}

/* A name as of "ip netns", or a path */
static void enter_netns(const char *name)
{
	char path[PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : "/run/netns/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("network namespace %s: %s", name, strerror(errno));
	close(fd);
}

int do_show(const struct mark_options *options)
{
	struct view view;

	if (options->netns)
		enter_netns(options->netns);
	skel = mptcp_mark_show__open_and_load();
	if (!skel)
		die("this kernel does not take the program mptcp_mark_show: %s", refusal());
	if (options->watch) {
		watch(options);
	} else {
		read_view(&view);
		if (options->json)
			print_json(&view, false);
		else
			print_text(&view, false, 0, 0);
		free(view.subflows);
	}
	mptcp_mark_show__destroy(skel);
	return 0;
}
