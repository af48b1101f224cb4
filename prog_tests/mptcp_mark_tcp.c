// SPDX-License-Identifier: GPL-2.0
/* Plain TCP is left alone, fallback to TCP keeps the mark it got: rule 6. */
#include "mptcp_mark_helpers.h"

/* The one socket of a connection that is no longer MPTCP, or never was */
static void expect_one(struct mark_env *env, __u32 mark)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	struct mark_seen seen;

	if (!ASSERT_OK(getsockname(env->conn.client_fd, (void *)&addr, &len), "getsockname") ||
	    mark_see(env, false, &seen))
		return;
	ASSERT_EQ(mark_from_diag(seen.ss, AF_INET, &addr.sin_addr, addr.sin_port), mark,
		  "mark by inet_diag");
	ASSERT_EQ(mark_from_nft(seen.nft, AF_INET, &addr.sin_addr, addr.sin_port), mark,
		  "mark by nft");
	mark_unsee(&seen);
}

struct plain_case {
	int listener;		/* protocol */
	__u32 app;		/* SO_MARK of the application, set before connect */
};

/* A plain TCP connection, to a listener of either kind: both ends are as they were */
static void test_plain(struct mark_env *env)
{
	const struct plain_case *c = env->data;
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	char *ss;

	if (mark_listen_proto(env, "10.0.1.2", MARK_CGROUP, c->listener) ||
	    mark_connect_app(env, IPPROTO_TCP, c->app))
		return;
	expect_one(env, c->app);

	ss = mark_ss(env->server);
	if (ss && ASSERT_OK(getsockname(env->conn.client_fd, (void *)&addr, &len), "getsockname"))
		ASSERT_EQ(mark_from_diag(ss, AF_INET, &addr.sin_addr, addr.sin_port), 0,
			  "mark at the server");
	free(ss);
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, 0, "counted as marked");
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.failed, 0, "counted as failed");
}

static int send_and_recv(struct mark_conn *c)
{
	char buf[64] = "some data";

	return ASSERT_EQ(send(c->client_fd, buf, sizeof(buf), 0), sizeof(buf), "send") &&
	       ASSERT_EQ(recv(c->server_fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf), "recv") ?
	       0 : -1;
}

/* Fallen back, a socket answers as TCP does: it knows no SOL_MPTCP */
static bool has_fallen_back(int fd)
{
	struct mark_subflow_info sub[MARK_MAX];
	__u64 tcp[MARK_MAX];

	return mark_full_info(fd, sub, tcp) == -EOPNOTSUPP;
}

/* It does, by and by, as data goes, and has the mark it had */
static void expect_fallback(struct mark_env *env)
{
	__u64 deadline = mark_now_ms() + MARK_TIMEOUT_MS;
	struct mark_table table;

	while (!has_fallen_back(env->conn.client_fd) && mark_now_ms() < deadline)
		if (send_and_recv(&env->conn))
			return;
	ASSERT_TRUE(has_fallen_back(env->conn.client_fd), "fallback to TCP");

	expect_one(env, 1);
	if (ASSERT_EQ(mark_get_table(env->conn.client_fd, &table), 1, "entries of the table"))
		ASSERT_EQ(table.entry[0].mark, 1, "mark by the table");
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, 1, "counted as marked");
}

/* A rule for the packets that leave the client */
static int nft_rule(struct mark_env *env, const char *rule)
{
	if (!SYS_NOFAIL("ip netns exec %s nft '\n"
			"add chain inet flows mangle { type filter hook output priority 100; };"
			"add rule inet flows mangle %s'", env->client, rule))
		return 0;
	printf("%s:SKIP:nft or the kernel does not take: %s\n", __func__, rule);
	test__skip();
	return -1;
}

/* The kernel at the server counted one of these */
static void expect_counted_once(struct mark_env *env, const char *name)
{
	char cmd[64], *nstat, *value;

	snprintf(cmd, sizeof(cmd), "nstat -asz %s", name);
	nstat = mark_output(env->server, cmd);
	if (ASSERT_OK_PTR(nstat, "nstat")) {
		value = strstr(nstat, name);
		if (ASSERT_OK_PTR(value, name))
			ASSERT_EQ(atoi(value + strlen(name)), 1, name);
	}
	free(nstat);
}

/* The peer does not know of MPTCP: the SYN-ACK is plain */
static void test_fallback_syn(struct mark_env *env)
{
	if (!mark_endpoints(env, AF_INET, 1) &&
	    !mark_listen_proto(env, "10.0.1.2", NULL, IPPROTO_TCP) &&
	    !mark_connect(env, "10.0.1.2", &env->conn))
		expect_fallback(env);
}

/* The peer has MPTCP switched off */
static void test_peer_off(struct mark_env *env)
{
	struct mark_place place;
	int fd;

	if (mark_sysctl(env->server, "net/mptcp/enabled", "0") ||
	    mark_enter(env->server, NULL, &place))
		return;
	fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	mark_leave(&place);
	ASSERT_LT(fd, 0, "MPTCP socket of the peer");
	test_fallback_syn(env);
}

/* The option does not come through but on SYNs: from the third ACK on */
static void test_fallback_ack(struct mark_env *env)
{
	if (!nft_rule(env, "tcp flags & syn == 0 reset tcp option mptcp") &&
	    !mark_endpoints(env, AF_INET, 1) && !mark_listen(env, "10.0.1.2") &&
	    !mark_connect(env, "10.0.1.2", &env->conn))
		expect_fallback(env);
}

/* Somebody changes the data, in the middle: the peer sends MP_FAIL, RFC 8684 3.7 */
static void test_fallback_data(struct mark_env *env)
{
	if (mark_sysctl(env->client, "net/mptcp/checksum_enabled", "1") ||
	    mark_sysctl(env->server, "net/mptcp/checksum_enabled", "1") ||
	    mark_start(env, AF_INET, 0) || send_and_recv(&env->conn))
		return;
	mark_expect(env, mark_ordinals, 1);
	if (nft_rule(env, "tcp flags & syn == 0 @ih,0,16 set 0x5858"))
		return;
	expect_fallback(env);

	expect_counted_once(env, "MPTcpExtMPFailTx");
}

static void test_checksum(struct mark_env *env)
{
	if (!mark_sysctl(env->client, "net/mptcp/checksum_enabled", "1") &&
	    !mark_sysctl(env->server, "net/mptcp/checksum_enabled", "1") &&
	    !mark_start(env, AF_INET, 2))
		mark_expect(env, mark_ordinals, 3);
}

/* Data in the SYN, without a cookie: net.ipv4.tcp_fastopen, ip-sysctl.rst */
static void test_fastopen(struct mark_env *env)
{
	struct sockaddr_storage addr;
	char buf[] = "in the SYN";
	socklen_t len;

	if (mark_sysctl(env->client, "net/ipv4/tcp_fastopen", "0x607") ||
	    mark_sysctl(env->server, "net/ipv4/tcp_fastopen", "0x607") ||
	    mark_endpoints(env, AF_INET, 2) || mark_listen(env, "10.0.1.2") ||
	    mark_socket(env, IPPROTO_MPTCP, &addr, &len) ||
	    !ASSERT_EQ(sendto(env->conn.client_fd, buf, sizeof(buf), MSG_FASTOPEN, (void *)&addr,
			      len), sizeof(buf), "sendto"))
		return;
	env->conn.server_fd = accept(env->listen_fd, NULL, NULL);
	if (!ASSERT_OK_FD(env->conn.server_fd, "accept") ||
	    !ASSERT_EQ(recv(env->conn.server_fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf),
		       "recv") ||
	    mark_byte(&env->conn) || mark_wait_subflows(env->conn.client_fd, 3))
		return;
	mark_expect(env, mark_ordinals, 3);
	expect_counted_once(env, "TcpExtTCPFastOpenPassive");
}

static const struct mark_test tests[] = {
	{ "plain", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP } },
	{ "plain_marked", 1, test_plain, &(const struct plain_case){ IPPROTO_TCP, 0x77 } },
	{ "plain_to_mptcp", 1, test_plain, &(const struct plain_case){ IPPROTO_MPTCP } },
	{ "fallback_syn", 2, test_fallback_syn },
	{ "peer_off", 2, test_peer_off },
	{ "fallback_ack", 2, test_fallback_ack },
	{ "fallback_data", 1, test_fallback_data },
	{ "checksum", 3, test_checksum },
	{ "fastopen", 3, test_fastopen },
};

void test_mptcp_mark_tcp(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
