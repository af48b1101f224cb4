// SPDX-License-Identifier: GPL-2.0
/* Whatever path manager and endpoints create the subflows: rules 1, 2, 4, 8. */
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include "mptcp_mark_busy.h"
#include "netlink_helpers.h"

/* As many joins as the kernel's path manager opens */
static void test_subflows(struct mark_env *env)
{
	if (!mark_start(env, AF_INET, mark_ordinals, 9))
		mark_expect(env, CLIENT, mark_ordinals, 9);
}

static void test_signal(struct mark_env *env)
{
	if (mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal\n"
				 "mptcp endpoint add 10.0.3.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2"))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
}

struct mixed_case {
	const char *connect_to, *announced;
	int family[2];			/* of subflows 1 and 2 */
};

/* An IPv6 socket, and the join to an address that the server announces */
static void test_mixed(struct mark_env *env)
{
	const struct mixed_case *c = env->data;

	if (mark_watch_link(env, CLIENT, c->family[0], 1, 1) ||
	    mark_watch_link(env, CLIENT, c->family[1], 2, 2) ||
	    mark_ip(env, SERVER, "mptcp endpoint add %s signal", c->announced) ||
	    mark_listen(env, "::") || mark_connect(env, c->connect_to))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 2);
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
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2"))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 4);
}

#define PORT_ENDPOINT	"mptcp endpoint add 10.0.2.1 id 2 signal port 10100"

/*
 * The client announces its second address, with a port: the server joins there,
 * and the client accepts. With the first of these joins, the client opens one
 * from its third address. Connected for the second time, the kernel's ids
 * are no longer the ordinals.
 */
static void test_opened_and_accepted(struct mark_env *env)
{
	int fd, times = env->n, err;

	if (mark_ip(env, CLIENT, PORT_ENDPOINT) || mark_listen(env, "10.0.1.2"))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	err = mark_watch_links(env, CLIENT, AF_INET, mark_ordinals, 3) || mark_connect_fd(env, fd);
	while (!err && times--) {
		if (mark_wait_subflows(env, CLIENT, 2) || mark_join(env, AF_INET, 3, 3) ||
		    mark_send(&env->conn, CLIENT, MARK_BULK))
			break;
		mark_expect(env, CLIENT, mark_ordinals, 3);
		err = times && (mark_ip(env, CLIENT, "mptcp endpoint delete id 3") ||
				mark_reconnect(env));
	}
}

/* The same join, accepted on a port that an ip outside of the cgroup announced */
static void test_port_of_others(struct mark_env *env)
{
	struct mark_place root;
	struct mark_table table;

	if (mark_enter(env, CLIENT, NULL, &root))
		return;
	mark_ip(env, CLIENT, PORT_ENDPOINT);
	mark_leave(&root);
	if (mark_listen(env, "10.0.1.2") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 2) ||
	    mark_get_table(env->conn.fd[CLIENT], &table) != 2)
		return;
	ASSERT_EQ(table.subflow[0].mark, 1, "mark of subflow 1");
	if (!table.subflow[1].mark) {
		mark_expect_stats(env, 1, 0);	/* the program did not see the join */
		mark_xfail("the listener on the port is in the cgroup of ip, and so are its joins");
	} else {
		ASSERT_EQ(table.subflow[1].mark, 2, "mark of subflow 2");
	}
}

/* A message of generic netlink */
struct genl_msg {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char attrs[2048];
};

static void add_addr(struct genl_msg *msg, int type, const char *addr, __u8 id, __u16 port)
{
	struct rtattr *nest = addattr_nest(&msg->nl, sizeof(*msg), type | NLA_F_NESTED);

	addattr16(&msg->nl, sizeof(*msg), MPTCP_PM_ADDR_ATTR_FAMILY, AF_INET);
	addattr8(&msg->nl, sizeof(*msg), MPTCP_PM_ADDR_ATTR_ID, id);
	addattr32(&msg->nl, sizeof(*msg), MPTCP_PM_ADDR_ATTR_ADDR4, inet_addr(addr));
	addattr16(&msg->nl, sizeof(*msg), MPTCP_PM_ADDR_ATTR_PORT, port);
	addattr_nest_end(&msg->nl, nest);
}

/* The number in what genl(8) says of the family mptcp_pm, on the line that matches */
static int family_number(struct mark_env *env, int end, const char *line)
{
	return mark_number(env, end,
			   "genl ctrl get name mptcp_pm | grep '%s' | grep -om1 '0x[0-9a-f]*'",
			   line);
}

static int create_subflow(struct mark_env *env, int fd, int family, __u32 token)
{
	struct genl_msg msg = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.genl = { .cmd = MPTCP_PM_CMD_SUBFLOW_CREATE, .version = 1 },
	};
	struct nlmsgerr *answer = NLMSG_DATA(&msg.nl);

	add_addr(&msg, MPTCP_PM_ATTR_ADDR, "10.0.2.1", 2, 0);
	addattr32(&msg.nl, sizeof(msg), MPTCP_PM_ATTR_TOKEN, token);
	add_addr(&msg, MPTCP_PM_ATTR_ADDR_REMOTE, "10.0.1.2", 0,
		 ntohs(get_socket_local_port(env->listen_fd)));
	return !ASSERT_EQ(send(fd, &msg, msg.nl.nlmsg_len, 0), msg.nl.nlmsg_len, "send") ||
	       !ASSERT_GT(recv(fd, &msg, sizeof(msg), 0), 0, "recv") ||
	       !ASSERT_OK(answer->error, "create subflow");
}

#define USERSPACE_JOINS	100

/* Subflows created over netlink: more than the kernel's path manager can have */
static void test_userspace(struct mark_env *env)
{
	int fd[2], family, events, end, i;
	struct mark_table table;

	if (system("command -v genl >/dev/null")) {
		mark_skip("no genl: iproute2");
		return;
	}
	family = family_number(env, CLIENT, "ID: ");
	events = family_number(env, SERVER, MPTCP_PM_EV_GRP_NAME);
	for (end = CLIENT; end <= SERVER; end++)
		fd[end] = mark_socket(env, end, MARK_CGROUP, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	/* Without a listener for its events, a userspace path manager accepts no joins */
	if (!ASSERT_OK(setsockopt(fd[SERVER], SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &events,
				  sizeof(events)), "listen for events") ||
	    mark_watch_link(env, CLIENT, AF_INET, 1, 1) ||
	    mark_watch(env, CLIENT, "ip saddr 10.0.2.1", "2-101") ||
	    mark_sysctl(env, "net/mptcp/pm_type", "1") || mark_listen(env, "10.0.1.2") ||
	    mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 1) ||
	    mark_get_table(env->conn.fd[CLIENT], &table) < 0)
		goto close;
	for (i = 0; i < USERSPACE_JOINS; i++)
		if (create_subflow(env, fd[CLIENT], family, table.hdr.token))
			goto close;
	if (mark_wait_subflows(env, CLIENT, USERSPACE_JOINS + 1))
		goto close;
	ASSERT_EQ(mark_get_table(env->conn.fd[CLIENT], &table), USERSPACE_JOINS + 1, "total");
	/* The entries that are in a page, which is all that BPF sees of a buffer */
	for (i = 0; i < 80; i++)
		ASSERT_EQ(table.subflow[i].mark, i + 1, "mark");
	mark_expect_stats(env, USERSPACE_JOINS + 1, 0);
close:
	mark_close(&fd[CLIENT]);
	mark_close(&fd[SERVER]);
}

/* A subflow that becomes a backup, and is none again, stays what it is */
static void test_backup_changed(struct mark_env *env)
{
	if (mark_start(env, AF_INET, mark_ordinals, 3) ||
	    mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup\n"
				 "mptcp endpoint change id 2 nobackup") ||
	    mark_send(&env->conn, CLIENT, MARK_BULK))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	mark_expect_stats(env, 3, 0);
}

#define MIXED(_name, _connect_to, _announced, ...)				\
	{ _name, 2, test_mixed, .ipv6 = true,					\
	  .data = &(const struct mixed_case){ _connect_to, _announced, { __VA_ARGS__ } } }

static const struct mark_test tests[] = {
	{ "subflows", 9, test_subflows },
	{ "signal", 3, test_signal },
	MIXED("v4mapped", "::ffff:10.0.1.2", "10.0.2.2", AF_INET, AF_INET),
	MIXED("v4_then_v6", "::ffff:10.0.1.2", "dead:beef:2::2", AF_INET, AF_INET6),
	MIXED("v6_then_v4", "dead:beef:1::2", "10.0.2.2", AF_INET6, AF_INET),
	{ "fullmesh", 2, test_fullmesh },
	{ "backup_changed", 3, test_backup_changed },
	{ "opened_and_accepted", 3, test_opened_and_accepted, .n = 1 },
	{ "reconnect", 3, test_opened_and_accepted, .n = 2 },
	{ "port_of_others", 2, test_port_of_others },
	{ "userspace", 2, test_userspace },
};

void test_mptcp_mark_pm(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
