// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options that BPF sets on one subflow of an MPTCP connection: where it
 * can, who sees them, and what undoes them.
 *
 * Kernels differ in what they know. So the measure of a subflow is a TCP socket
 * of the same kernel, on which the same program sets the same at the same hook.
 */
#include "mptcp_sockopt_helpers.h"

/* What came of each option, in the words of the matrix */
struct outcomes {
	const char *of[NR];
};

/* On the subflow of a link, as read now, by two witnesses */
static void judge(struct mark_env *env, int end, int family, int link, struct outcomes *out)
{
	struct sockopt_subflow subflows[LINKS + 1] = {};
	struct sockopt_result *then = skel->bss->results, *now = subflows[link].results;
	char cmd[128], ss[4096] = "";
	bool read, seen;
	FILE *f;
	int i;

	read_subflows(env, end, subflows);
	snprintf(cmd, sizeof(cmd), family == AF_INET ?
		 "ss -tnieomHO --inet-sockopt --tos %s 10.0.%d.1 2>/dev/null" :
		 "ss -tnieomHO --inet-sockopt --tos %s [dead:beef:%d::1] 2>/dev/null",
		 end == CLIENT ? "src" : "dst", link);
	f = mark_popen(env->netns[end], cmd, "r");
	if (f) {
		fread(ss, 1, sizeof(ss) - 1, f);
		ASSERT_OK(pclose(f), "ss");
	}
	for (i = 0; i < NR; i++) {
		read = !(rows[i].flags & UNREAD);
		seen = !rows[i].ss || strstr(ss, rows[i].ss);
		if (then[i].set)
			out->of[i] = errno_name(-then[i].set);
		else if (read && then[i].get && rows[i].flags & AS_TCP)
			out->of[i] = "accepted";	/* and cannot be read */
		else if (read && !is_set(i, &then[i]))
			out->of[i] = "ignored";
		else if (read ? !is_set(i, &now[i]) : !seen)
			out->of[i] = "lost";
		else
			out->of[i] = seen ? "set" : "not seen";
	}
}

/* What all kernels know is set */
static void expect_set(const struct outcomes *out)
{
	int i;

	for (i = 0; i < NR; i++) {
		if (is_of(i, AF_INET) && !(rows[i].flags & (AS_TCP | REFUSED)))
			ASSERT_STREQ(out->of[i], "set", rows[i].name);
	}
}

static void report_lasting(const char *column, const struct outcomes *out)
{
	int i;

	for (i = 0; i < NR; i++) {
		if (is_of(i, AF_INET) && !(rows[i].flags & REFUSED) && out->of[i])
			report("lasting", rows[i].name, column, out->of[i]);
	}
}

/* Over MPTCP with a join by each of links 2 and 3, or over TCP from link 2 */
static int connect_over(struct mark_env *env, int family, int proto, const char *server_cgroup)
{
	const char *server = family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";
	const char *client = family == AF_INET ? "10.0.2.1" : "dead:beef:2::1";
	int *fd = env->conn.fd, off = 0;
	struct sockaddr_storage sa;
	socklen_t len;

	if (mark_listen_from(env, server, server_cgroup, proto) ||
	    !ASSERT_OK(setsockopt(env->listen_fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)),
		       "setsockopt(SO_REUSEADDR)"))
		return -1;
	fd[CLIENT] = mark_socket(env, CLIENT, MARK_CGROUP, family, SOCK_STREAM, proto);
	/* No join while the server is in a system call: see late_join() */
	if (proto == IPPROTO_MPTCP)
		return mark_connect_fd(env, fd[CLIENT]) ||
		       mark_endpoints(env, family, 2, LINKS) ||
		       mark_wait_subflows(env, CLIENT, LINKS) ||
		       mark_wait_subflows(env, SERVER, LINKS);
	if (!ASSERT_OK(make_sockaddr(family, client, 0, &sa, &len), "address") ||
	    !ASSERT_OK(bind(fd[CLIENT], (void *)&sa, len), "bind") ||
	    !ASSERT_OK(connect_fd_to_fd(fd[CLIENT], env->listen_fd, MARK_TIMEOUT_MS), "connect"))
		return -1;
	/* Nothing is sent, as on a join */
	fd[SERVER] = accept(env->listen_fd, NULL, NULL);
	return ASSERT_OK_FD(fd[SERVER], "accept") ? 0 : -1;
}

/* Until an end has no subflows any more: the kernel closes them in its own time */
static int disconnect(struct mark_env *env, int end)
{
	struct sockopt_subflow subflows[LINKS + 1];

	mark_disconnect(&env->conn);
	mark_close(&env->listen_fd);
	return mark_wait(!read_subflows(env, end, subflows));
}

/* ---- Where options can be set */

/* The other subflows, and the MPTCP socket, do not have what was set on that of link 2 */
static void expect_others_unchanged(struct mark_env *env, int end)
{
	struct sockopt_subflow subflows[LINKS + 1] = {};
	struct sockopt_result r;
	socklen_t len;
	int i;

	if (!ASSERT_EQ(read_subflows(env, end, subflows), LINKS, "subflows"))
		return;
	for (i = 0; i < NR; i++) {
		if (rows[i].flags & (REFUSED | UNREAD) || skel->bss->results[i].set)
			continue;
		ASSERT_FALSE(is_set(i, &subflows[1].results[i]), rows[i].name);
		ASSERT_FALSE(is_set(i, &subflows[3].results[i]), rows[i].name);
		r = (struct sockopt_result){};
		len = sizeof(r.value);
		if (!getsockopt(env->conn.fd[end], rows[i].level, rows[i].opt, &r.value, &len))
			ASSERT_FALSE(is_set(i, &r), rows[i].name);
	}
}

static int set_on_link_2(struct mark_env *env, enum sockopt_hook hook, int family, int proto,
			 struct outcomes *out)
{
	bool passive = hook == HOOK_PASSIVE_ESTABLISHED, iter = hook == HOOK_ITER;
	struct sockopt_subflow subflows[LINKS + 1];
	int end = passive ? SERVER : CLIENT;

	if (set_hook(env, end, iter ? HOOK_NONE : hook, 2) ||
	    connect_over(env, family, proto, passive ? MARK_CGROUP : NULL))
		return -1;
	if (iter && !set_hook(env, end, hook, 2))
		read_subflows(env, end, subflows);
	if (mark_wait(READ_ONCE(skel->bss->calls)))
		return -1;
	skel->bss->hook = HOOK_NONE;
	judge(env, end, family, 2, out);
	if (proto == IPPROTO_MPTCP)
		expect_others_unchanged(env, end);
	return disconnect(env, end);
}

/* A subflow takes the options as a TCP socket does, and it alone */
static void as_tcp(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct outcomes tcp, mptcp;
	int i, n, family;

	for (n = 0; n < (mark_has_ipv6() ? 2 : 1); n++) {
		family = families[n];
		if (set_on_link_2(env, hook, family, IPPROTO_TCP, &tcp) ||
		    set_on_link_2(env, hook, family, IPPROTO_MPTCP, &mptcp) ||
		    mark_ip(env, CLIENT, "mptcp endpoint flush"))
			return;
		for (i = 0; i < NR; i++) {
			bool tos6 = rows[i].level == SOL_IP && family == AF_INET6;

			if (!is_of(i, family))
				continue;
			ASSERT_STREQ(mptcp.of[i], tcp.of[i], rows[i].name);
			if (rows[i].flags & REFUSED)
				ASSERT_STREQ(mptcp.of[i], "EINVAL", rows[i].name);
			else if (!(rows[i].flags & AS_TCP) && !tos6)
				ASSERT_STREQ(mptcp.of[i], "set", rows[i].name);
			if (family == AF_INET || rows[i].level == SOL_IPV6)
				report("subflow", rows[i].name, hooks[hook].name, mptcp.of[i]);
			else if (tos6 && rows[i].opt == IP_TOS)
				report("subflow", "IP_TOS over IPv6", hooks[hook].name,
				       mptcp.of[i]);
		}
	}
}

/*
 * All subflows that a listener accepts have what was set on it, as TCP sockets do, but
 * for joins: mptcp_sockopt_sync_locked() sets TCP_NOTSENT_LOWAT
 */
static void listener(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	struct outcomes tcp, mptcp;
	int i, link;

	if (set_hook(env, SERVER, hook, 0) ||
	    connect_over(env, AF_INET, IPPROTO_TCP, MARK_CGROUP))
		return;
	judge(env, SERVER, AF_INET, 2, &tcp);
	if (disconnect(env, SERVER) || set_hook(env, SERVER, hook, 0) ||
	    connect_over(env, AF_INET, IPPROTO_MPTCP, MARK_CGROUP) ||
	    !ASSERT_EQ(skel->bss->calls, 1, "listeners"))
		return;
	for (link = 1; link <= LINKS; link++) {
		judge(env, SERVER, AF_INET, link, &mptcp);
		for (i = 0; i < NR; i++) {
			/* connect_over() clears SO_REUSEADDR of the listener */
			if (!is_of(i, AF_INET) || rows[i].flags & DEVICE ||
			    !strcmp(rows[i].name, "SO_REUSEADDR"))
				continue;
			ASSERT_FALSE(!strcmp(tcp.of[i], "ignored"), rows[i].name);
			ASSERT_STREQ(mptcp.of[i], link > 1 && rows[i].flags & MSK ? "lost" :
				     tcp.of[i], rows[i].name);
			if (link <= 2)
				report("subflow", rows[i].name, link == 1 ? hooks[hook].name :
				       "TCP_LISTEN: joins", mptcp.of[i]);
		}
	}
}

#define WATCHES	5

/* Of each watch, the packets with the mark, and with another one */
static bool read_watches(struct mark_env *env, int end, int count[WATCHES][2])
{
	FILE *f = mark_popen(env->netns[end], mark_has_ipv6() ?
			     "nft list table inet watch | grep -o 'packets [0-9]*'" :
			     "nft list table ip watch | grep -o 'packets [0-9]*'", "r");
	int i;

	for (i = 0; f && i < 2 * WATCHES; i++)
		ASSERT_EQ(fscanf(f, " packets %d", &count[i / 2][i % 2]), 1, "counter");
	return f && ASSERT_OK(pclose(f), "nft list");
}

/* All packets of the subflow of link 2 carry what was set, those of link 1 nothing of it */
static void watch_wire(struct mark_env *env, enum sockopt_hook hook, int family)
{
	const char *format = family == AF_INET ? "ip %s 10.0.%d.1" : "ip6 %s dead:beef:%d::1";
	int end = hook == HOOK_PASSIVE_ESTABLISHED ? SERVER : CLIENT;
	char addr[64], match[256];
	int link, count[WATCHES][2];

	for (link = 1; link <= 2; link++) {
		snprintf(addr, sizeof(addr), format, end == CLIENT ? "saddr" : "daddr", link);
		snprintf(match, sizeof(match), "%s meta priority 0:%x %s dscp %d oifname eth%d",
			 addr, link == 2 ? 5 : 0, family == AF_INET ? "ip" : "ip6",
			 link == 2 ? 0x48 >> 2 : 0, link);
		if (mark_watch(env, end, addr, link == 2 ? "0xeb9f" : "0") ||
		    mark_watch(env, end, match, link == 2 ? "0xeb9f" : "0"))
			return;
	}
	snprintf(match, sizeof(match), "%s tcp flags syn tcp option maxseg size 1234", addr);
	if (mark_watch(env, end, match, "0xeb9f") || set_hook(env, end, hook, 2) ||
	    connect_over(env, family, IPPROTO_MPTCP, end == SERVER ? MARK_CGROUP : NULL) ||
	    mark_send(&env->conn, end, 1 << 20) ||
	    /* nft does not read all counters at once */
	    mark_wait(read_watches(env, end, count) && count[1][0] == count[0][0] &&
		      count[3][0] == count[2][0]))
		return;
	for (link = 0; link < 2; link++) {
		ASSERT_GT(count[2 * link][0], 0, "packets with the mark");
		ASSERT_EQ(count[2 * link][1], 0, "packets with another mark");
	}
	ASSERT_EQ(count[4][0] > 0, end == CLIENT, "SYNs with the maximum segment size");
	ASSERT_EQ(count[4][1], 0, "such SYNs without the mark");
}

static void wire(struct mark_env *env, enum sockopt_hook hook, int family)
{
	watch_wire(env, hook, family);
	env->watches[CLIENT] = 0;
	env->watches[SERVER] = 0;
}

/* With a maximum of 5 MB/s, 2 MB take 0.4 s */
static void pacing(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	__u64 start;

	if (set_hook(env, CLIENT, hook, 1) || mark_start(env, AF_INET, NULL, 1))
		return;
	start = get_time_ns();
	if (!mark_send(&env->conn, CLIENT, 2000000))
		ASSERT_GT(get_time_ns() - start, 300000000, "nanoseconds");
}

/* ---- What lasts */

/*
 * The application sets each of them, too: that replaces what BPF set, where MPTCP
 * takes the option. No other option changes.
 */
static void set_by_application(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	struct sockopt_subflow subflows[LINKS + 1] = {};
	struct sockopt_result was[NR], *now = subflows[2].results;
	struct outcomes out;
	union sockopt_value app;
	int i, j, err;

	if (set_hook(env, CLIENT, hook, 2) ||
	    connect_over(env, AF_INET, IPPROTO_MPTCP, NULL))
		return;
	judge(env, CLIENT, AF_INET, 2, &out);
	expect_set(&out);
	out = (struct outcomes){};
	read_subflows(env, CLIENT, subflows);
	for (i = 0; i < NR; i++) {
		if (!is_of(i, AF_INET))
			continue;
		app = rows[i].app;
		memcpy(was, now, sizeof(was));
		err = setsockopt(env->conn.fd[CLIENT], rows[i].level, rows[i].opt, &app,
				 sizeof(app));
		read_subflows(env, CLIENT, subflows);
		for (j = 0; j < NR; j++) {
			if (j == i || !strcmp(rows[j].name, "TCP_WINDOW_CLAMP") ||
			    (rows[i].opt == IP_TOS && !strcmp(rows[j].name, "SO_PRIORITY")))
				continue;
			ASSERT_OK(memcmp(&now[j], &was[j], sizeof(was[j])), rows[j].name);
		}
		if (rows[i].flags & (REFUSED | UNREAD) || skel->bss->results[i].set)
			continue;
		if (rows[i].app_read)
			app.num = rows[i].app_read;
		out.of[i] = err || rows[i].flags & MSK ? "stays" : "replaced";
		ASSERT_OK(memcmp(&now[i].value, *out.of[i] == 's' ? &was[i].value : &app,
				 sizeof(app)), rows[i].name);
	}
	report_lasting("the application sets it", &out);
}

/* A join is accepted while the server is in a system call, after it set an option or not */
static void late_join(struct mark_env *env, enum sockopt_hook hook, int sets_option)
{
	struct busy_server busy = {};
	struct outcomes out = {};
	int i, err, lost = 0, off = 0;

	if (set_hook(env, SERVER, hook, 2) || mark_start_server(env, MARK_CGROUP, AF_INET, 1) ||
	    (sets_option && !ASSERT_OK(setsockopt(env->conn.fd[SERVER], SOL_SOCKET, SO_KEEPALIVE,
						  &off, sizeof(off)), "setsockopt")) ||
	    busy_server_start(env, &busy))
		return;
	err = mark_endpoint(env, 2) || mark_wait(READ_ONCE(skel->bss->calls));
	if (busy_server_go_on(env, &busy, err, 2))
		return;
	judge(env, SERVER, AF_INET, 2, &out);
	for (i = 0; i < NR; i++) {
		if (!is_of(i, AF_INET) || rows[i].flags & (REFUSED | AS_TCP) ||
		    !strcmp(out.of[i], "set"))
			continue;
		/* The kernel sets TCP_NOTSENT_LOWAT in any case */
		ASSERT_TRUE(rows[i].flags & (sets_option ? SYNCED : MSK), rows[i].name);
		ASSERT_STREQ(out.of[i], "lost", rows[i].name);
		lost++;
	}
	if (lost)
		mark_xfail("__mptcp_finish_join() replaces what BPF set on the join");
	report_lasting(sets_option ? "late join, options set" : "late join", &out);
}

/* Disconnected and connected again, the first subflow keeps what a TCP socket keeps */
static void reconnect(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	static const int protos[] = { IPPROTO_TCP, IPPROTO_MPTCP };
	struct outcomes out[2] = {};
	int i;

	for (i = 0; i < 2; i++) {
		if (set_hook(env, CLIENT, hook, 2 - i) ||
		    connect_over(env, AF_INET, protos[i], NULL))
			return;
		skel->bss->hook = HOOK_NONE;
		if (!ASSERT_EQ(skel->bss->calls, 1, "subflows whose options were set") ||
		    mark_reconnect(env))
			return;
		judge(env, CLIENT, AF_INET, 2 - i, &out[i]);
		if (disconnect(env, CLIENT))
			return;
	}
	for (i = 0; i < NR; i++) {
		if (!(rows[i].flags & AS_TCP))
			ASSERT_STREQ(out[1].of[i], out[0].of[i], rows[i].name);
	}
	report_lasting("connected again", &out[1]);
}

/* A connection that falls back to TCP keeps what was set */
static void fallback(struct mark_env *env, enum sockopt_hook hook, int unused)
{
	struct outcomes out;

	if (set_hook(env, CLIENT, hook, 1) ||
	    mark_listen_from(env, "10.0.1.2", NULL, IPPROTO_TCP) ||
	    mark_connect(env, "10.0.1.2") || mark_send(&env->conn, SERVER, 1))
		return;
	judge(env, CLIENT, AF_INET, 1, &out);
	expect_set(&out);
	report_lasting("falls back to TCP", &out);
}

#define CASE(_name, _run, _hook, ...)						\
	{ _name, LINKS, run_case,						\
	  &(const struct sockopt_case){ _run, HOOK_##_hook, __VA_ARGS__ } }

static const struct mark_test tests[] = {
	CASE("bind4", as_tcp, BIND4),
	CASE("connect4", as_tcp, CONNECT4),
	CASE("tcp_connect", as_tcp, TCP_CONNECT),
	CASE("active_established", as_tcp, ACTIVE_ESTABLISHED),
	CASE("passive_established", as_tcp, PASSIVE_ESTABLISHED),
	CASE("rtt", as_tcp, RTT),
	CASE("state", as_tcp, STATE),
	CASE("iter", as_tcp, ITER),
	CASE("listener", listener, LISTEN),
	CASE("wire", wire, TCP_CONNECT, AF_INET),
	CASE("wire_accepted", wire, PASSIVE_ESTABLISHED, AF_INET),
	{ "wire_ipv6", LINKS, run_case,
	  &(const struct sockopt_case){ wire, HOOK_TCP_CONNECT, AF_INET6 }, .ipv6 = true },
	CASE("pacing", pacing, TCP_CONNECT),
	CASE("application", set_by_application, TCP_CONNECT),
	CASE("late_join", late_join, PASSIVE_ESTABLISHED, false),
	CASE("late_join_synced", late_join, PASSIVE_ESTABLISHED, true),
	CASE("reconnect", reconnect, TCP_CONNECT),
	CASE("fallback", fallback, TCP_CONNECT),
};

void test_mptcp_sockopt(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
