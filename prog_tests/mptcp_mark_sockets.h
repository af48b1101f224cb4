/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets in the namespaces of mptcp_mark_net.h, in the attached cgroup or outside. */
#ifndef __MPTCP_MARK_SOCKETS_H__
#define __MPTCP_MARK_SOCKETS_H__

#include <sys/param.h>
#include "cgroup_helpers.h"
#include "mptcp_mark_net.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif

#define MARK_CGROUP	"/mptcp_mark"
#define MARK_NESTED	MARK_CGROUP "/nested"
#define MARK_BULK	(2 << 20)	/* bytes, enough for all subflows to send some */

static inline void mark_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void mark_disconnect(struct mark_conn *c)
{
	mark_close(&c->fd[CLIENT]);
	mark_close(&c->fd[SERVER]);
}

/* Elsewhere for a while: sockets are of the namespace and cgroup of their maker */
struct mark_place {
	struct nstoken *ns;
	bool moved;
};

/* Go to the namespace of an end, and to a cgroup: the root where it is NULL */
static inline int mark_enter(struct mark_env *env, int end, const char *cgroup,
			     struct mark_place *place)
{
	place->ns = open_netns(env->netns[end]);
	if (!ASSERT_OK_PTR(place->ns, "enter namespace"))
		return -1;
	/* To change cgroups takes the kernel 10 ms */
	place->moved = !cgroup || strcmp(cgroup, MARK_CGROUP);
	if (place->moved)
		ASSERT_OK(cgroup ? join_cgroup(cgroup) : join_root_cgroup(), "enter cgroup");
	return 0;
}

static inline void mark_leave(struct mark_place *place)
{
	close_netns(place->ns);
	if (place->moved)
		ASSERT_OK(join_cgroup(MARK_CGROUP), "return to cgroup");
}

/* A socket of an end, made in a cgroup */
static inline int mark_socket(struct mark_env *env, int end, const char *cgroup, int domain,
			      int type, int proto)
{
	struct mark_place place;
	int fd;

	if (mark_enter(env, end, cgroup, &place))
		return -1;
	fd = socket(domain, type, proto);
	mark_leave(&place);
	if (ASSERT_OK_FD(fd, "socket"))
		settimeo(fd, MARK_TIMEOUT_MS);
	return fd;
}

/* Listen at the server, from a cgroup or, where that is NULL, unmarked */
static inline int mark_listen_from(struct mark_env *env, const char *addr, const char *cgroup,
				   int proto)
{
	/* With a smaller backlog, SYN cookies lose joins: net/mptcp/syncookies.c */
	struct network_helper_opts opts = { .timeout_ms = MARK_TIMEOUT_MS, .proto = proto,
					    .backlog = 4096 };
	struct mark_place place;

	if (mark_enter(env, SERVER, cgroup, &place))
		return -1;
	env->listen_fd = start_server_str(strchr(addr, ':') ? AF_INET6 : AF_INET, SOCK_STREAM,
					  addr, 0, &opts);
	mark_leave(&place);
	return !ASSERT_OK_FD(env->listen_fd, "listen");
}

static inline int mark_listen(struct mark_env *env, const char *addr)
{
	return mark_listen_from(env, addr, NULL, IPPROTO_MPTCP);
}

/* Send from one end, and receive at the other; more, where some is still to be read */
static inline int mark_transfer(struct mark_conn *c, int end, size_t to_send, size_t to_recv)
{
	static char buf[1 << 16];
	__u64 deadline = get_time_ns() + MARK_TIMEOUT_MS * 1000000ULL;
	ssize_t n;

	while (to_recv && ASSERT_LT(get_time_ns(), deadline, "transfer in time")) {
		if (to_send) {
			n = send(c->fd[end], buf, MIN(sizeof(buf), to_send), MSG_DONTWAIT);
			if (n < 0 && !ASSERT_EQ(errno, EAGAIN, "send"))
				return -1;
			to_send -= MAX(n, 0);
		}
		n = recv(c->fd[!end], buf, MIN(sizeof(buf), to_recv), to_send ? MSG_DONTWAIT : 0);
		if (n == 0 || (n < 0 && (errno != EAGAIN || !to_send)))
			return !ASSERT_GT(n, 0, "recv");
		to_recv -= MAX(n, 0);
	}
	return to_recv ? -1 : 0;
}

static inline int mark_send(struct mark_conn *c, int end, size_t size)
{
	return mark_transfer(c, end, size, size);
}

/*
 * Accept, and only then send a byte, after which the path managers get to work: they
 * open no joins for a socket that is not accepted yet, mptcp_subflow_create_socket()
 */
static inline int mark_accept(struct mark_env *env, struct mark_conn *c)
{
	c->fd[SERVER] = accept(env->listen_fd, NULL, NULL);
	return !ASSERT_OK_FD(c->fd[SERVER], "accept") || mark_send(c, CLIENT, 1);
}

/* Connect the client to an address of the listener, from a cgroup or unmarked */
static inline int mark_connect_from(struct mark_env *env, const char *addr, const char *cgroup,
				    struct mark_conn *c)
{
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	int port = ntohs(get_socket_local_port(env->listen_fd));
	struct sockaddr_storage sa;
	socklen_t len;

	c->fd[SERVER] = -1;
	c->fd[CLIENT] = mark_socket(env, CLIENT, cgroup, family, SOCK_STREAM, IPPROTO_MPTCP);
	return make_sockaddr(family, addr, port, &sa, &len) ||
	       !ASSERT_OK(connect(c->fd[CLIENT], (void *)&sa, len), "connect") ||
	       mark_accept(env, c);
}

static inline int mark_connect(struct mark_env *env, const char *addr)
{
	return mark_connect_from(env, addr, MARK_CGROUP, &env->conn);
}

/*
 * Connect a socket that the test made to the listener's address. If there are no
 * endpoints yet when it is made, or disconnected, the kernel opens no joins for
 * it: mptcp_pm_data_reset(), net/mptcp/pm.c
 */
static inline int mark_connect_fd(struct mark_env *env, int fd)
{
	env->conn.fd[CLIENT] = fd;
	return !ASSERT_OK(connect_fd_to_fd(fd, env->listen_fd, MARK_TIMEOUT_MS), "connect") ||
	       mark_accept(env, &env->conn);
}

/* Disconnect, and connect the same socket again */
static inline int mark_reconnect(struct mark_env *env)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	mark_close(&env->conn.fd[SERVER]);
	return !ASSERT_OK(connect(env->conn.fd[CLIENT], &unspec, sizeof(unspec)), "disconnect") ||
	       mark_connect_fd(env, env->conn.fd[CLIENT]);
}

static inline int mark_set(int fd, __u32 mark)
{
	return !ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)),
			  "setsockopt(SO_MARK)");
}

#endif /* __MPTCP_MARK_SOCKETS_H__ */
