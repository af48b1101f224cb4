/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the tests of socket options that BPF sets: a table of the options, and the
 * program, set for a hook and a link.
 *
 * With MPTCP_SOCKOPT_MATRIX=FILE in the environment, what came of each option is
 * written to FILE, for scripts/matrix.sh.
 */
#ifndef __MPTCP_SOCKOPT_HELPERS_H__
#define __MPTCP_SOCKOPT_HELPERS_H__

#include <sys/utsname.h>
#include "mptcp_mark_busy.h"
#include "progs/mptcp_sockopt.h"
#include "mptcp_sockopt.skel.h"

#ifndef SO_TXREHASH
#define SO_TXREHASH	74
#endif

#define LINKS	3

#define REFUSED	1	/* EINVAL: not for BPF */
#define AS_TCP	2	/* a kernel may not know or read it, or it depends on the moment */
#define UNREAD	4	/* bpf_getsockopt() does not tell it: ss does */
#define MSK	8	/* what the application sets goes to the MPTCP socket alone */
#define SYNCED	16	/* the kernel sets it as it puts a late join into its connection */
#define STRING	32
#define DEVICE	64	/* the subflow's: its name if a STRING, or its index */

#define ROW(level, opt, ...)	{ #opt, level, opt, __VA_ARGS__ }

/* What bpf_setsockopt() knows, net/core/filter.c, and some that it does not */
static struct option_row {
	const char *name;
	int level, opt;
	union sockopt_value new, app;	/* to be set by BPF, and by the application */
	int new_read, app_read;		/* what these are read as, where that is not the same */
	unsigned int flags;
	const char *ss;		/* ss shows this of a subflow that has the new value */
} rows[] = {
	ROW(SOL_SOCKET, SO_REUSEADDR, { 1 }, { 0 }),
	ROW(SOL_SOCKET, SO_REUSEPORT, { 1 }, { 0 }),
	ROW(SOL_SOCKET, SO_SNDBUF, { 81230 }, { 71230 }, 162460, 142460, SYNCED, ",tb162460,"),
	ROW(SOL_SOCKET, SO_RCVBUF, { 81240 }, { 71240 }, 162480, 142480, SYNCED, ",rb162480,"),
	ROW(SOL_SOCKET, SO_KEEPALIVE, { 1 }, { 0 }, .flags = SYNCED),
	ROW(SOL_SOCKET, SO_MARK, { 0xeb9f }, { 7 }, .flags = SYNCED, .ss = " fwmark:0xeb9f"),
	ROW(SOL_SOCKET, SO_MAX_PACING_RATE, { 5000000 }, { 4000000 }, .ss = "/40000000bps"),
	ROW(SOL_SOCKET, SO_TXREHASH, { 0 }, { 1 }),
	ROW(SOL_SOCKET, SO_BINDTOIFINDEX, .flags = SYNCED | DEVICE, .ss = "%eth"),
	ROW(SOL_SOCKET, SO_BINDTODEVICE, .flags = SYNCED | DEVICE | STRING | UNREAD, .ss = "%eth"),
	{ "SK_BPF_CB_FLAGS", SOL_SOCKET, 1009, { 1 }, { 0 }, .flags = AS_TCP },
	ROW(SOL_TCP, TCP_NODELAY, { 1 }, { 0 }, .flags = SYNCED),
	ROW(SOL_TCP, TCP_MAXSEG, { 1234 }, { 1000 }, .flags = SYNCED | AS_TCP | UNREAD,
	    .ss = " advmss:1222"),
	ROW(SOL_TCP, TCP_KEEPIDLE, { 1230 }, { 1000 }, .flags = SYNCED),
	ROW(SOL_TCP, TCP_KEEPINTVL, { 123 }, { 100 }, .flags = SYNCED),
	ROW(SOL_TCP, TCP_KEEPCNT, { 12 }, { 10 }, .flags = SYNCED),
	ROW(SOL_TCP, TCP_SYNCNT, { 12 }, { 10 }),
	ROW(SOL_TCP, TCP_WINDOW_CLAMP, { 41234 }, { 31234 }, .flags = AS_TCP),
	ROW(SOL_TCP, TCP_CONGESTION, { .str = "reno" }, { .str = "cubic" },
	    .flags = SYNCED | STRING, .ss = " reno "),
	{ "TCP_THIN_LINEAR_TIMEOUTS", SOL_TCP, 16, { 1 }, { 0 } },
	ROW(SOL_TCP, TCP_USER_TIMEOUT, { 123400 }, { 100 }),
	ROW(SOL_TCP, TCP_NOTSENT_LOWAT, { 1314 }, { 1000 }, .flags = SYNCED | MSK),
	ROW(SOL_TCP, TCP_SAVE_SYN, { 1 }, { 0 }),
	{ "TCP_RTO_MAX_MS", SOL_TCP, 44, { 12340 }, { 10000 }, .flags = AS_TCP },
	ROW(SOL_TCP, TCP_BPF_IW, { 23 }, { 0 }, .flags = AS_TCP | UNREAD, .ss = " cwnd:23 "),
	ROW(SOL_TCP, TCP_BPF_SNDCWND_CLAMP, { 1234 }, { 0 }, .flags = AS_TCP | UNREAD,
	    .ss = " ssthresh:1234 "),
	ROW(SOL_TCP, TCP_BPF_DELACK_MAX, { 32000 }, { 0 }, .flags = AS_TCP),
	ROW(SOL_TCP, TCP_BPF_RTO_MIN, { 32000 }, { 0 }, .flags = AS_TCP),
	ROW(SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, { BPF_SOCK_OPS_RETRANS_CB_FLAG }, { 0 }),
	ROW(SOL_IP, IP_TOS, { 0x48 }, { 0x20 }, .flags = SYNCED, .ss = " tos:0x48"),
	ROW(SOL_IP, IP_TRANSPARENT, { 1 }, { 0 }, .flags = SYNCED | AS_TCP, .ss = "transparent"),
	ROW(SOL_IPV6, IPV6_TCLASS, { 0x48 }, { 0x20 }, .flags = SYNCED, .ss = " tclass:0x48"),
	{ "IPV6_AUTOFLOWLABEL", SOL_IPV6, 70, { 0 }, { 1 } },
	ROW(SOL_IPV6, IPV6_TRANSPARENT, { 1 }, { 0 }, .flags = SYNCED | AS_TCP),
	/* After IP_TOS, which changes it */
	ROW(SOL_SOCKET, SO_PRIORITY, { 5 }, { 4 }, .flags = SYNCED, .ss = " class_id:0x5 "),
	ROW(SOL_SOCKET, SO_INCOMING_CPU, .flags = REFUSED),
	ROW(SOL_SOCKET, SO_LINGER, .flags = REFUSED),
	ROW(SOL_SOCKET, SO_TIMESTAMP, { 1 }, { 1 }, .flags = REFUSED),
	ROW(SOL_SOCKET, SO_BUSY_POLL, .flags = REFUSED),
	ROW(SOL_TCP, TCP_CORK, .flags = REFUSED),
	ROW(SOL_TCP, TCP_QUICKACK, .flags = REFUSED),
	ROW(SOL_TCP, TCP_INQ, { 0 }, { 1 }, .flags = REFUSED),
	ROW(SOL_IP, IP_TTL, { 12 }, { 10 }, .flags = REFUSED),
	ROW(SOL_IP, IP_FREEBIND, { 1 }, { 1 }, .flags = REFUSED),
};

#define NR	ARRAY_SIZE(rows)

/* Instead of reno, in the table */
static bool use_cubic(struct mark_env *env)
{
	const char *available = "/proc/sys/net/ipv4/tcp_available_congestion_control";
	int i;

	if (!mark_number(env, CLIENT, "grep -c cubic %s", available)) {
		mark_skip("no congestion control but reno: modprobe tcp_cubic");
		return false;
	}
	for (i = 0; i < NR; i++) {
		if (rows[i].level != SOL_TCP || rows[i].opt != TCP_CONGESTION)
			continue;
		strscpy(rows[i].new.str, "cubic");
		strscpy(rows[i].app.str, "reno");
		rows[i].ss = " cubic ";
	}
	return true;
}

/* Sockets of this family have the option */
static bool is_of(int i, int family)
{
	return rows[i].level != SOL_IPV6 || family == AF_INET6;
}

static const struct sockopt_hook_info {
	const char *name;		/* in the matrix */
	const char *progs[2];		/* of progs/mptcp_sockopt.c */
	bool may_lack;			/* a kernel may refuse bpf_setsockopt() there */
} hooks[] = {
	[HOOK_BIND4] = { "bind4/6", { "on_bind4", "on_bind6" } },
	[HOOK_CONNECT4] = { "connect4/6", { "on_connect4", "on_connect6" } },
	[HOOK_TCP_CONNECT] = { "TCP_CONNECT", { "on_sockops" } },
	[HOOK_ACTIVE_ESTABLISHED] = { "ACTIVE_ESTABLISHED", { "on_sockops" } },
	[HOOK_PASSIVE_ESTABLISHED] = { "PASSIVE_ESTABLISHED", { "on_sockops" } },
	[HOOK_RTT] = { "RTT", { "on_sockops" } },
	[HOOK_STATE] = { "STATE", { "on_sockops" } },
	[HOOK_ITER] = { "iter/tcp" },
	[HOOK_LISTEN] = { "TCP_LISTEN", { "on_sockops" } },
	[HOOK_SETSOCKOPT] = { "setsockopt", { "on_setsockopt" } },
	[HOOK_GETSOCKNAME] = { "getsockname4", { "on_getsockname4" } },
	[HOOK_GETPEERNAME] = { "getpeername4", { "on_getpeername4" } },
	[HOOK_SOCK_CREATE] = { "sock_create", { "on_sock_create" }, true },
	[HOOK_POST_CREATE] = { "lsm_cgroup/socket_post_create", { "on_post_create" }, true },
};

/* A subtest, with the program loaded and attached for a hook */
struct sockopt_case {
	void (*run)(struct mark_env *env, enum sockopt_hook hook, int arg);
	enum sockopt_hook hook;
	int arg;
};

static struct mptcp_sockopt *skel;

static void report(const char *table, const char *option, const char *column, const char *outcome)
{
	const char *name = getenv("MPTCP_SOCKOPT_MATRIX");
	FILE *f = name ? fopen(name, "a") : NULL;
	struct utsname uts;

	if (!f)
		return;
	uname(&uts);
	fprintf(f, "matrix;%s;%s;%s;%s;%s\n", uts.release, table, option, column, outcome);
	fclose(f);
}

static const char *errno_name(int err)
{
	return strerrorname_np(err) ?: "ENOTSUPP";
}

/* From now on, set the options on the subflow of a link, or on the MPTCP socket: link 0 */
static int set_hook(struct mark_env *env, int end, enum sockopt_hook hook, int link)
{
	struct sockopt_option *o = skel->data_options->options;
	struct nstoken *ns = open_netns(env->netns[end]);
	char device[16] = "";
	int i;

	if (!ASSERT_OK_PTR(ns, "enter namespace"))
		return -1;
	if (link)
		snprintf(device, sizeof(device), "eth%d", link);
	for (i = 0; i < NR; i++, o++) {
		*o = (struct sockopt_option){ rows[i].level, rows[i].opt, sizeof(o->value.num),
					      rows[i].new };
		if (rows[i].flags & STRING)
			o->len = sizeof(o->value.str);
		if (!(rows[i].flags & DEVICE))
			continue;
		if (rows[i].flags & STRING)
			strscpy(o->value.str, device);
		else
			o->value.num = if_nametoindex(device);
	}
	close_netns(ns);
	memset(skel->bss->results, 0, sizeof(skel->bss->results));
	skel->bss->link = link;
	skel->bss->calls = 0;
	WRITE_ONCE(skel->bss->hook, hook);
	return 0;
}

/* The subflows of this end, by link, as the iterator reads them. Returns how many */
static int read_subflows(struct mark_env *env, int end, struct sockopt_subflow *subflows)
{
	struct bpf_link *link = bpf_program__attach_iter(skel->progs.on_iter, NULL);
	struct nstoken *ns = open_netns(env->netns[end]);
	struct sockopt_subflow subflow;
	int fd, n = 0;

	fd = ASSERT_OK_PTR(link, "attach iterator") ? bpf_iter_create(bpf_link__fd(link)) : -1;
	close_netns(ns);
	ASSERT_OK_FD(fd, "iterator");
	for (; read(fd, &subflow, sizeof(subflow)) == sizeof(subflow); n++) {
		if (ASSERT_LE(subflow.link, LINKS, "link"))
			subflows[subflow.link] = subflow;
	}
	close(fd);
	bpf_link__destroy(link);
	return n;
}

/* BPF's value was read */
static bool is_set(int i, const struct sockopt_result *r)
{
	union sockopt_value value = skel->data_options->options[i].value;

	if (rows[i].new_read)
		value.num = rows[i].new_read;
	return !r->get && !memcmp(&value, &r->value, sizeof(value));
}

/* With the iterator, and the program of the hook, which some kernels refuse: a skip */
static void run_case(struct mark_env *env)
{
	const struct sockopt_case *c = env->data;
	const struct sockopt_hook_info *hook = &hooks[c->hook];
	struct bpf_program *progs[2] = {};
	struct bpf_link *links[2] = {};
	int i, err;

	if (mark_reno_is_default(env) && !use_cubic(env))
		return;
	/* It sets marks, too */
	mark_detach(&env->skel->links.mptcp_mark);
	skel = mptcp_sockopt__open();
	if (!ASSERT_OK_PTR(skel, "open"))
		return;
	for (i = 0; i < 2 && hook->progs[i]; i++) {
		progs[i] = bpf_object__find_program_by_name(skel->obj, hook->progs[i]);
		bpf_program__set_autoload(progs[i], true);
	}
	err = mptcp_sockopt__load(skel);
	for (i = 0; i < 2 && progs[i] && !err; i++) {
		links[i] = bpf_program__attach_cgroup(progs[i], env->cgroup_fd);
		err = links[i] ? 0 : -errno;
	}
	if (hook->may_lack && (err == -EINVAL || err == -ESRCH || err == -EPERM ||
			       err == -EOPNOTSUPP || err == -MARK_ERRNO_NO_JIT))
		mark_skip("no bpf_setsockopt() in %s: %s", hook->name, strerror(-err));
	else if (ASSERT_OK(err, "load and attach"))
		c->run(env, c->hook, c->arg);
	bpf_link__destroy(links[0]);
	bpf_link__destroy(links[1]);
	mptcp_sockopt__destroy(skel);
}

#endif /* __MPTCP_SOCKOPT_HELPERS_H__ */
