/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The network of a test: a client and a server namespace with links between them,
 * their endpoints, and nftables, which counts for each link what leaves with the
 * right mark, and what leaves with any other.
 *
 * What returns int returns 0, or something else once an assertion has failed.
 */
#ifndef __MPTCP_MARK_NET_H__
#define __MPTCP_MARK_NET_H__

#include <test_progs.h>
#include "network_helpers.h"

/* Joins wait for the machine's work queues, where other connections can be first */
#ifndef MARK_TIMEOUT_MS
#define MARK_TIMEOUT_MS	30000
#endif

enum mark_end { CLIENT, SERVER };

struct mark_conn {
	int fd[2];			/* by end */
};

struct mark_env {
	char netns[2][32];		/* by end */
	struct netns_obj *netns_obj[2];
	int watches[2];			/* by end */
	struct mptcp_mark *skel;
	struct mptcp_mark_table *table;
	struct bpf_link **own;		/* of a program of the test, detached in the end */
	int cgroup_fd, nested_fd, listen_fd;
	struct mark_conn conn;		/* the connection of tests that need one only */
	const void *data;		/* of the subtest */
	int n;
};

/* Wait until this holds, or fail */
#define mark_wait(condition)							\
	({									\
		__u64 deadline = get_time_ns() + MARK_TIMEOUT_MS * 1000000ULL;	\
		bool holds;							\
										\
		while (!(holds = (condition)) && get_time_ns() < deadline)	\
			usleep(1000);						\
		!ASSERT_TRUE(holds, #condition);				\
	})

/* A command in a namespace, to write to it or to read what it prints */
static inline FILE *mark_popen(const char *netns, const char *cmd, const char *mode)
{
	struct nstoken *ns = open_netns(netns);
	FILE *f;

	if (!ASSERT_OK_PTR(ns, "enter namespace"))
		return NULL;
	f = popen(cmd, mode);
	close_netns(ns);
	ASSERT_OK_PTR(f, cmd);
	return f;
}

/* A program, reading what it is to do from its standard input */
static inline int __printf(3, 4) mark_run_with(const char *netns, const char *cmd,
					       const char *fmt, ...)
{
	FILE *f = mark_popen(netns, cmd, "w");
	va_list ap;

	if (!f)
		return -1;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	return !ASSERT_OK(pclose(f), cmd);
}

#define mark_ip(env, end, fmt, ...) \
	mark_run_with((env)->netns[end], "ip -batch -", fmt "\n", ##__VA_ARGS__)

static inline bool mark_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP);

	close(fd);
	return fd >= 0;
}

/*
 * What ip is to do at an end for each of some links: in its words, %1$d is the link,
 * and %2$s the client's namespace
 */
static inline int mark_ip_links(struct mark_env *env, int end, int family, int first, int last,
				const char *words)
{
	/* For ip without -6, rules are those of IPv4. IPv6 can be off by default */
	FILE *f = mark_popen(env->netns[end], family == AF_INET6 ?
			     "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip -6 -batch -" :
			     "ip -batch -", "w");
	int link;

	if (!f)
		return -1;
	for (link = first; link <= last; link++)
		fprintf(f, words, link, env->netns[CLIENT]);
	return !ASSERT_OK(pclose(f), "ip -batch -");
}

/* The number that a command prints at an end */
static inline int __printf(3, 4) mark_number(struct mark_env *env, int end, const char *fmt, ...)
{
	char cmd[128];
	va_list ap;
	int n = -1;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	f = mark_popen(env->netns[end], cmd, "r");
	if (f) {
		ASSERT_EQ(fscanf(f, "%i", &n), 1, cmd);
		pclose(f);
	}
	return n;
}

/*
 * Links 1 to n: link i has 10.0.i.1 and dead:beef:i::1 at the client, .2 and
 * ::2 at the server. What the client sends from an address leaves by its link.
 * Both ends of a link have another index, or the kernel reports the carrier late:
 * linkwatch_urgent_event(), net/core/link_watch.c
 */
static inline int mark_links(struct mark_env *env, int n)
{
	return mark_ip_links(env, SERVER, AF_INET, 1, n,
			     "link add eth%1$d index 10%1$d type veth peer eth%1$d netns %2$s\n"
			     "link set eth%1$d up\n"
			     "addr add 10.0.%1$d.2/24 dev eth%1$d\n") ||
	       mark_ip_links(env, CLIENT, AF_INET, 1, n,
			     "link set eth%1$d up\n"
			     "addr add 10.0.%1$d.1/24 dev eth%1$d\n"
			     "rule add from 10.0.%1$d.1 table 10%1$d\n"
			     "route add default table 10%1$d via 10.0.%1$d.2\n") ||
	       (mark_has_ipv6() &&
		(mark_ip_links(env, SERVER, AF_INET6, 1, n,
			       "addr add dead:beef:%1$d::2/64 dev eth%1$d nodad\n") ||
		 mark_ip_links(env, CLIENT, AF_INET6, 1, n,
			       "addr add dead:beef:%1$d::1/64 dev eth%1$d nodad\n"
			       "rule add from dead:beef:%1$d::1 table 10%1$d\n"
			       "route add default table 10%1$d via dead:beef:%1$d::2\n"))) ||
	       /* Until it has a carrier, the server answers nothing */
	       mark_wait(mark_number(env, SERVER, "ip -o link | grep -c 'state UP'") == n) ||
	       mark_ip(env, SERVER, "mptcp limits set subflows 8 add_addr_accepted 8") ||
	       mark_ip(env, CLIENT, "mptcp limits set subflows 8 add_addr_accepted 8");
}

/* 'subflow' endpoints at the client's ends of links */
static inline int mark_endpoints(struct mark_env *env, int family, int first, int last)
{
	return mark_ip_links(env, CLIENT, family, first, last, family == AF_INET ?
			     "mptcp endpoint add 10.0.%1$d.1 id %1$d subflow\n" :
			     "mptcp endpoint add dead:beef:%1$d::1 id %1$d subflow\n");
}

static inline int mark_endpoint(struct mark_env *env, int link)
{
	return mark_endpoints(env, AF_INET, link, link);
}

/* Without IPv6, the kernel has no family inet */
#define MARK_NFT	(mark_has_ipv6() ? "inet" : "ip")

/*
 * From now on, count what leaves this end and matches: packets with this mark,
 * in nft's words, and packets with another one. SYN-ACKs have no full socket yet,
 * and so no mark for nft. Resets can be for sockets that are gone.
 */
static inline int mark_watch(struct mark_env *env, int end, const char *match, const char *mark)
{
	env->watches[end]++;
	return mark_run_with(env->netns[end], "nft -f -",
			     "table %s watch {\n"
			     "chain out {\n"
			     "type filter hook output priority filter;\n"
			     "%s tcp flags & rst == 0 socket mark %s counter comment right\n"
			     "%s tcp flags & rst == 0 socket mark != %s counter comment wrong\n"
			     "}\n}\n",
			     MARK_NFT, match, mark, match, mark);
}

/* What goes by a link: the client's addresses tell links apart */
static inline int mark_watch_link(struct mark_env *env, int end, int family, int link, __u32 mark)
{
	char match[64], value[16];

	snprintf(match, sizeof(match), family == AF_INET ? "ip %s 10.0.%d.1" :
		 "ip6 %s dead:beef:%d::1", end == CLIENT ? "saddr" : "daddr", link);
	snprintf(value, sizeof(value), "%u", mark);
	return mark_watch(env, end, match, value);
}

/* Links 1 to n carry these marks */
static inline int mark_watch_links(struct mark_env *env, int end, int family, const __u32 *mark,
				   int n)
{
	int link, err = 0;

	for (link = 1; link <= n && !err; link++)
		err = mark_watch_link(env, end, family, link, mark[link - 1]);
	return err;
}

/* How many watches of an end, of those that match, have counted what is right, or wrong */
static inline int mark_counted(struct mark_env *env, int end, const char *match, const char *what)
{
	return mark_number(env, end,
			   "nft list table %s watch | grep '%s .*packets [1-9].*%s' | wc -l",
			   MARK_NFT, match, what);
}

static inline int mark_unwatch(struct mark_env *env, int end)
{
	env->watches[end] = 0;
	return mark_run_with(env->netns[end], "nft -f -", "delete table %s watch\n", MARK_NFT);
}

/* Stop watching. Each watch must have seen packets, and none with another mark */
static inline int mark_watched(struct mark_env *env, int end)
{
	if (!env->watches[end])
		return 0;
	/* Sockets that were closed send their last packets in their own time */
	mark_wait(mark_counted(env, end, "", "right") == env->watches[end]);
	ASSERT_EQ(mark_counted(env, end, "", "wrong"), 0, "watches with packets of another mark");
	return mark_unwatch(env, end);
}

#endif /* __MPTCP_MARK_NET_H__ */
