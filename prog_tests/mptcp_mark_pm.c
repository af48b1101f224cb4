// SPDX-License-Identifier: GPL-2.0
/* Whatever path manager and endpoints create the subflows: rules 1 and 2. */
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include "mptcp_mark_helpers.h"

/* Not in older trees */
#ifndef MPTCP_PM_ADDR_FLAG_LAMINAR
#define MPTCP_PM_ADDR_FLAG_LAMINAR	0x20
#endif

/* One more subflow each time, up to the eight joins of the default limit */
static void test_subflows(struct mark_env *env)
{
	int n;

	if (mark_listen(env, "10.0.1.2"))
		return;
	for (n = 1; n <= 9; n++) {
		if ((n > 1 && mark_endpoint(env, AF_INET, n)) ||
		    mark_connect(env, "10.0.1.2", &env->conn) ||
		    mark_wait_subflows(env->conn.client_fd, n))
			return;
		mark_expect(env, mark_ordinals, n);
		mark_disconnect(&env->conn);
	}
}

static void test_signal(struct mark_env *env)
{
	if (mark_ip(env->server, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_ip(env->server, "mptcp endpoint add 10.0.3.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 3))
		return;
	mark_expect(env, mark_ordinals, 3);
}

static void test_signal_port(struct mark_env *env)
{
	if (mark_ip(env->server, "mptcp endpoint add 10.0.2.2 signal port 10100"))
		return;
	if (!mark_listen(env, "0.0.0.0") && !mark_connect(env, "10.0.1.2", &env->conn) &&
	    !mark_wait_subflows(env->conn.client_fd, 2))
		mark_expect(env, mark_ordinals, 2);

	/* The kernel's listener on the port keeps its network namespace: for ever,
	 * if that goes first (mptcp_subflow_create_socket(), net/mptcp/subflow.c)
	 */
	mark_ip(env->server, "mptcp endpoint flush");
}

/* From both client addresses to the one announced, and from the second to the first */
static void test_fullmesh(struct mark_env *env)
{
	if (mark_ip(env->server, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_ip(env->client, "mptcp endpoint add 10.0.1.1 subflow fullmesh") ||
	    mark_ip(env->client, "mptcp endpoint add 10.0.2.1 subflow fullmesh") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 4))
		return;
	mark_expect(env, mark_ordinals, 4);
}

static void test_backup(struct mark_env *env)
{
	char *ss, *flags;

	if (mark_ip(env->client, "mptcp endpoint add 10.0.2.1 subflow backup") ||
	    mark_listen(env, "10.0.1.2") || mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 2))
		return;
	mark_expect(env, mark_ordinals, 2);

	/* tcp-ulp-mptcp flags: J, a join by us, and b, a backup of ours */
	ss = mark_output(env->client, "ss -tinHO state established src 10.0.2.1");
	if (ASSERT_OK_PTR(ss, "ss")) {
		flags = strstr(ss, "tcp-ulp-mptcp flags:");
		if (ASSERT_OK_PTR(flags, "flags"))
			ASSERT_LT(strcspn(flags + strlen("tcp-ulp-mptcp flags:"), "b"),
				  strcspn(flags + strlen("tcp-ulp-mptcp flags:"), " "), "a backup");
	}
	free(ss);
}

struct genl_msg {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char attrs[256];
};

static struct nlattr *attr(struct genl_msg *msg, int type, const void *data, int len)
{
	struct nlattr *nla = (void *)msg + NLMSG_ALIGN(msg->nl.nlmsg_len);

	nla->nla_type = type;
	nla->nla_len = NLA_HDRLEN + len;
	memcpy((void *)nla + NLA_HDRLEN, data, len);
	msg->nl.nlmsg_len = NLMSG_ALIGN(msg->nl.nlmsg_len) + NLA_ALIGN(nla->nla_len);
	return nla;
}

static void attr_addr(struct genl_msg *msg, int type, const char *addr4, int id, int port,
		      __u32 flags)
{
	struct nlattr *nest = attr(msg, type | NLA_F_NESTED, NULL, 0);
	__u16 family = AF_INET, port16 = port;
	struct in_addr in = { inet_addr(addr4) };
	__u8 id8 = id;

	attr(msg, MPTCP_PM_ADDR_ATTR_FAMILY, &family, sizeof(family));
	attr(msg, MPTCP_PM_ADDR_ATTR_ID, &id8, sizeof(id8));
	attr(msg, MPTCP_PM_ADDR_ATTR_ADDR4, &in, sizeof(in));
	if (port)
		attr(msg, MPTCP_PM_ADDR_ATTR_PORT, &port16, sizeof(port16));
	if (flags)
		attr(msg, MPTCP_PM_ADDR_ATTR_FLAGS, &flags, sizeof(flags));
	nest->nla_len = (void *)msg + msg->nl.nlmsg_len - (void *)nest;
}

/* Send and get an answer, which takes the place of the request */
static int genl_talk(int fd, struct genl_msg *msg)
{
	struct nlmsgerr *err = NLMSG_DATA(&msg->nl);

	if (!ASSERT_EQ(send(fd, msg, msg->nl.nlmsg_len, 0), msg->nl.nlmsg_len, "netlink send") ||
	    !ASSERT_GT(recv(fd, msg, sizeof(*msg), 0), 0, "netlink recv"))
		return -1;
	return msg->nl.nlmsg_type == NLMSG_ERROR ? err->error : 0;
}

static int genl_open(const char *netns)
{
	return mark_fd(netns, MARK_CGROUP, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
}

static int mptcp_pm_family(int fd)
{
	struct genl_msg msg = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = GENL_ID_CTRL,
			.nlmsg_flags = NLM_F_REQUEST },
		.genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
	};
	struct nlattr *nla = (void *)msg.attrs;

	attr(&msg, CTRL_ATTR_FAMILY_NAME, "mptcp_pm", sizeof("mptcp_pm"));
	if (!ASSERT_OK(genl_talk(fd, &msg), "family mptcp_pm"))
		return -1;
	while (nla->nla_type != CTRL_ATTR_FAMILY_ID)
		nla = (void *)nla + NLA_ALIGN(nla->nla_len);
	return *(__u16 *)((void *)nla + NLA_HDRLEN);
}

static struct genl_msg mptcp_pm_request(int fd, int cmd)
{
	return (struct genl_msg){
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = mptcp_pm_family(fd),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.genl = { .cmd = cmd, .version = 1 },
	};
}

static void create_subflow(struct mark_env *env, int fd, int link)
{
	int port = ntohs(get_socket_local_port(env->listen_fd));
	struct genl_msg msg = mptcp_pm_request(fd, MPTCP_PM_CMD_SUBFLOW_CREATE);
	struct mark_table table;
	char addr[32];

	if (mark_get_table(env->conn.client_fd, &table) < 0)
		return;
	snprintf(addr, sizeof(addr), "10.0.%d.1", link);
	attr_addr(&msg, MPTCP_PM_ATTR_ADDR, addr, link, 0, 0);
	attr(&msg, MPTCP_PM_ATTR_TOKEN, &table.hdr.token, sizeof(table.hdr.token));
	attr_addr(&msg, MPTCP_PM_ATTR_ADDR_REMOTE, "10.0.1.2", 0, port, 0);
	ASSERT_OK(genl_talk(fd, &msg), "create subflow");
}

/* The userspace path manager: subflows created over netlink */
static void test_userspace(struct mark_env *env)
{
	int fd, link;

	if (mark_sysctl(env->client, "net/mptcp/pm_type", "1") ||
	    mark_listen(env, "10.0.1.2") ||
	    mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 1))
		return;
	fd = genl_open(env->client);
	if (fd < 0)
		return;
	for (link = 2; link <= 3; link++)
		create_subflow(env, fd, link);
	close(fd);

	if (!mark_wait_subflows(env->conn.client_fd, 3))
		mark_expect(env, mark_ordinals, 3);
}

/* Over netlink: few versions of ip have the flag */
static int add_laminar(struct mark_env *env, const char *addr, int id)
{
	int fd = genl_open(env->client), err;
	struct genl_msg msg;

	if (fd < 0)
		return -1;
	msg = mptcp_pm_request(fd, MPTCP_PM_CMD_ADD_ADDR);
	attr_addr(&msg, MPTCP_PM_ATTR_ADDR, addr, id, 0, MPTCP_PM_ADDR_FLAG_LAMINAR);
	err = genl_talk(fd, &msg);
	close(fd);
	return ASSERT_OK(err, "add endpoint") ? 0 : -1;
}

/* The address announced is joined from the endpoint, not from that of its link */
static void test_laminar(struct mark_env *env)
{
	static const char *const name[] = { "endp_laminar_max" };
	struct mark_table table;
	struct in_addr local;

	if (mark_btf_lacks(name, 1)) {
		printf("%s:SKIP:this kernel has no 'laminar' endpoints\n", __func__);
		test__skip();
		return;
	}
	if (add_laminar(env, "10.0.3.1", 3) ||
	    mark_ip(env->server, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 2))
		return;
	mark_expect(env, mark_ordinals, 2);
	if (ASSERT_EQ(mark_get_table(env->conn.client_fd, &table), 2, "entries")) {
		memcpy(&local, table.entry[1].local, sizeof(local));
		ASSERT_STREQ(inet_ntoa(local), "10.0.3.1", "address joined from");
	}
}

static const struct mark_test tests[] = {
	{ "subflows", 9, test_subflows },
	{ "signal", 3, test_signal },
	{ "signal_port", 2, test_signal_port },
	{ "fullmesh", 2, test_fullmesh },
	{ "backup", 2, test_backup },
	{ "userspace", 3, test_userspace },
	{ "laminar", 3, test_laminar },
};

void test_mptcp_mark_pm(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
