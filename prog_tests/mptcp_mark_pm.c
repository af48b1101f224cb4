// SPDX-License-Identifier: GPL-2.0
/* Whatever path manager and endpoints create the subflows: rules 1 and 2. */
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include "mptcp_mark_helpers.h"

/* As many joins as the kernel's path manager opens */
static void test_subflows(struct mark_env *env)
{
	if (!mark_start_watched(env, AF_INET, 8))
		mark_expect(env, CLIENT, mark_ordinals, 9);
}

static void test_signal(struct mark_env *env)
{
	if (mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal\n"
				 "mptcp endpoint add 10.0.3.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 3))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
}

/* From both client addresses to the one announced, and from the second to the first */
static void test_fullmesh(struct mark_env *env)
{
	if (mark_watch(env, CLIENT, "ip saddr 10.0.1.1 ip daddr 10.0.1.2", "1") ||
	    mark_watch(env, CLIENT, "ip saddr 10.0.1.1 ip daddr 10.0.2.2", "{ 2, 3, 4 }") ||
	    mark_watch(env, CLIENT, "ip saddr 10.0.2.1", "{ 2, 3, 4 }") ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_ip(env, CLIENT, "mptcp endpoint add 10.0.1.1 subflow fullmesh\n"
				 "mptcp endpoint add 10.0.2.1 subflow fullmesh") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 4))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 4);
}

struct genl_msg {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char attrs[2048];
};

#define payload(nla)	((void *)(nla) + NLA_HDRLEN)

static struct nlattr *put(struct genl_msg *msg, int type, const void *data, int len)
{
	struct nlattr *nla = (void *)msg + NLMSG_ALIGN(msg->nl.nlmsg_len);

	nla->nla_type = type;
	nla->nla_len = NLA_HDRLEN + len;
	memcpy(payload(nla), data, len);
	msg->nl.nlmsg_len = NLMSG_ALIGN(msg->nl.nlmsg_len) + NLA_ALIGN(nla->nla_len);
	return nla;
}

static void put_addr(struct genl_msg *msg, int type, const char *addr4, __u8 id, __u16 port)
{
	struct nlattr *nest = put(msg, type | NLA_F_NESTED, NULL, 0);
	struct in_addr in = { inet_addr(addr4) };
	__u16 family = AF_INET;

	put(msg, MPTCP_PM_ADDR_ATTR_FAMILY, &family, sizeof(family));
	put(msg, MPTCP_PM_ADDR_ATTR_ID, &id, sizeof(id));
	put(msg, MPTCP_PM_ADDR_ATTR_ADDR4, &in, sizeof(in));
	if (port)
		put(msg, MPTCP_PM_ADDR_ATTR_PORT, &port, sizeof(port));
	nest->nla_len = (void *)msg + msg->nl.nlmsg_len - (void *)nest;
}

/* An attribute of a type, in a nest or in a message, where it must be */
static struct nlattr *get(void *attrs, int type)
{
	struct nlattr *nla = attrs;

	while ((nla->nla_type & NLA_TYPE_MASK) != type)
		nla = (void *)nla + NLA_ALIGN(nla->nla_len);
	return nla;
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

/* The family mptcp_pm, and its group of events */
static int genl_open(struct mark_env *env, int end, __u16 *family, __u32 *events)
{
	int fd = mark_socket(env, end, MARK_CGROUP, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	struct genl_msg msg = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = GENL_ID_CTRL,
			.nlmsg_flags = NLM_F_REQUEST },
		.genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
	};
	struct nlattr *group;

	put(&msg, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME, sizeof(MPTCP_PM_NAME));
	if (!ASSERT_OK(genl_talk(fd, &msg), "family mptcp_pm")) {
		close(fd);
		return -1;
	}
	*family = *(__u16 *)payload(get(msg.attrs, CTRL_ATTR_FAMILY_ID));
	group = payload(get(msg.attrs, CTRL_ATTR_MCAST_GROUPS));
	while (strcmp(payload(get(payload(group), CTRL_ATTR_MCAST_GRP_NAME)),
		      MPTCP_PM_EV_GRP_NAME))
		group = (void *)group + NLA_ALIGN(group->nla_len);
	*events = *(__u32 *)payload(get(payload(group), CTRL_ATTR_MCAST_GRP_ID));
	return fd;
}

static int create_subflow(struct mark_env *env, int fd, int family, __u32 token)
{
	struct genl_msg msg = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.genl = { .cmd = MPTCP_PM_CMD_SUBFLOW_CREATE, .version = 1 },
	};

	put_addr(&msg, MPTCP_PM_ATTR_ADDR, "10.0.2.1", 2, 0);
	put(&msg, MPTCP_PM_ATTR_TOKEN, &token, sizeof(token));
	put_addr(&msg, MPTCP_PM_ATTR_ADDR_REMOTE, "10.0.1.2", 0,
		 ntohs(get_socket_local_port(env->listen_fd)));
	return ASSERT_OK(genl_talk(fd, &msg), "create subflow") ? 0 : -1;
}

#define USERSPACE_JOINS	100

/* Subflows created over netlink: more than the kernel's path manager can have */
static void test_userspace(struct mark_env *env)
{
	struct mark_table table;
	int client_fd, server_fd, i;
	__u32 events;
	__u16 family;

	client_fd = genl_open(env, CLIENT, &family, &events);
	server_fd = genl_open(env, SERVER, &family, &events);
	/* Without a listener for its events, a userspace path manager accepts no joins */
	if (!ASSERT_OK(setsockopt(server_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &events,
				  sizeof(events)), "listen for events") ||
	    mark_watch_link(env, CLIENT, AF_INET, 1, 1) ||
	    mark_watch(env, CLIENT, "ip saddr 10.0.2.1", "2-101") ||
	    mark_sysctls(env, "net/mptcp/pm_type", "1") || mark_listen(env, "10.0.1.2") ||
	    mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 1) ||
	    mark_get_table(env->conn.fd[CLIENT], &table) < 0)
		goto close;
	for (i = 0; i < USERSPACE_JOINS; i++)
		if (create_subflow(env, client_fd, family, table.hdr.token))
			goto close;
	if (mark_wait_subflows(env, CLIENT, USERSPACE_JOINS + 1))
		goto close;
	ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &table), USERSPACE_JOINS + 1, "total");
	/* The entries that are in a page, which is all that BPF sees of a buffer */
	for (i = 0; i < 80; i++)
		ASSERT_EQ(table.subflow[i].mark, i + 1, "mark");
	mark_expect_stats(env, USERSPACE_JOINS + 1, 0);
close:
	mark_close(&client_fd);
	mark_close(&server_fd);
}

static const struct mark_test tests[] = {
	{ "subflows", 9, test_subflows },
	{ "signal", 3, test_signal },
	{ "fullmesh", 2, test_fullmesh },
	{ "userspace", 2, test_userspace },
};

void test_mptcp_mark_pm(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
