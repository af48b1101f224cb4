/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Beyond the core: joins that come while a server in the cgroup has its socket locked,
 * sysctls, and what the kernel counts.
 */
#ifndef __MPTCP_MARK_BUSY_H__
#define __MPTCP_MARK_BUSY_H__

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "mptcp_mark_helpers.h"

/* At both ends */
static inline int mark_sysctl(struct mark_env *env, const char *name, const char *value)
{
	const char *cmd = "echo %s >/proc/sys/%s\n";

	return mark_run_with(env->netns[CLIENT], "sh", cmd, value, name) ||
	       mark_run_with(env->netns[SERVER], "sh", cmd, value, name);
}

/* To set reno shows nothing where it is the default, which a namespace takes from the machine */
static inline bool mark_reno_is_default(struct mark_env *env)
{
	return mark_number(env, CLIENT, "grep -c reno /proc/sys/net/ipv4/tcp_congestion_control");
}

/* What the kernel at an end has counted, by the names of nstat(8) */
#define mark_mib(env, end, name) \
	mark_number(env, end, "set -- $(nstat -asz %s); echo $3", name)

/* The client connects to itself: both SYNs cross, and the kernel falls back */
static inline int mark_connect_itself(struct mark_env *env)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	env->conn.fd[CLIENT] = fd;
	return !ASSERT_OK(make_sockaddr(AF_INET, "10.0.1.1", 8000, &sa, &len), "address") ||
	       !ASSERT_OK(bind(fd, (void *)&sa, len), "bind") ||
	       !ASSERT_OK(connect(fd, (void *)&sa, len), "connect");
}

/* So that the kernel has options to copy to joins that it gives an id later */
static inline int mark_set_nodelay(struct mark_env *env)
{
	int on = 1;

	return !ASSERT_OK(setsockopt(env->conn.fd[SERVER], SOL_TCP, TCP_NODELAY, &on, sizeof(on)),
			  "setsockopt(TCP_NODELAY)");
}

/* The client sends two packets on each of these joins, changes of their priority */
static inline int mark_poke(struct mark_env *env, int first, int last)
{
	int id, err = 0;

	for (id = first; id <= last && !err; id++)
		err = mark_ip(env, CLIENT, "mptcp endpoint change id %d backup\n"
					   "mptcp endpoint change id %d nobackup", id, id);
	return err;
}

static inline int mark_wait_pending(struct mark_env *env, int n)
{
	return mark_wait(READ_ONCE(env->skel->data_mark_cnt->mark_stats.pending) == n);
}

/* With that, pending joins get their final mark */
static inline int mark_settle(struct mark_env *env, int first, int last)
{
	return mark_poke(env, first, last) || mark_wait_pending(env, 0);
}

/* The client resets its connection */
static inline int mark_reset(struct mark_env *env)
{
	struct linger reset = { .l_onoff = 1 };
	int err = setsockopt(env->conn.fd[CLIENT], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));

	mark_close(&env->conn.fd[CLIENT]);
	return !ASSERT_OK(err, "setsockopt(SO_LINGER)");
}

/*
 * A server that is in send(2) with its socket locked, as it reads a page that is
 * absent until userfaultfd fills it.
 */
struct busy_server {
	void *page;
	size_t size;
	int fd, uffd;
	pthread_t thread;
};

static inline void *send_page(void *arg)
{
	struct busy_server *s = arg;

	send(s->fd, s->page, s->size, MSG_NOSIGNAL);
	return NULL;
}

static inline void busy_server_end(struct busy_server *s)
{
	struct uffdio_zeropage zero = {
		.range = { .start = ptr_to_u64(s->page), .len = s->size },
	};

	ASSERT_OK(ioctl(s->uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
	pthread_join(s->thread, NULL);
	munmap(s->page, s->size);
	close(s->uffd);
}

static inline int busy_server_start(struct mark_env *env, struct busy_server *s)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct pollfd pfd = { .events = POLLIN };

	/* O_NONBLOCK, or poll(2) does not wait: userfaultfd_poll(), fs/userfaultfd.c */
	s->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (s->uffd < 0 && errno != EMFILE) {
		mark_skip("no userfaultfd(2): %s", strerror(errno));
		env->watches[SERVER] = 0;
		return -1;
	}
	if (!ASSERT_OK_FD(s->uffd, "userfaultfd(2)"))
		return -1;
	s->fd = env->conn.fd[SERVER];
	s->size = sysconf(_SC_PAGESIZE);
	s->page = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = ptr_to_u64(s->page);
	reg.range.len = s->size;
	if (!ASSERT_NEQ(s->page, MAP_FAILED, "mmap") ||
	    !ASSERT_OK(ioctl(s->uffd, UFFDIO_API, &api), "UFFDIO_API") ||
	    !ASSERT_OK(ioctl(s->uffd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER") ||
	    !ASSERT_OK(pthread_create(&s->thread, NULL, send_page, s), "thread")) {
		close(s->uffd);
		return -1;
	}
	pfd.fd = s->uffd;
	if (ASSERT_EQ(poll(&pfd, 1, MARK_TIMEOUT_MS), 1, "read of the absent page"))
		return 0;
	busy_server_end(s);
	return -1;
}

/* Once err is 0: it sends on n subflows, before joins have received another packet */
static inline int busy_server_go_on(struct mark_env *env, struct busy_server *s, int err, int n)
{
	busy_server_end(s);
	return err || mark_transfer(&env->conn, SERVER, MARK_BULK, MARK_BULK + s->size) ||
	       mark_wait_subflows(env, SERVER, n);
}

/*
 * Joins come while the server is in a system call: the kernel gives them their
 * ids as it unlocks the socket. One by one, so that links and ordinals agree.
 */
static inline int mark_join_pending(struct mark_env *env, int family, int joins)
{
	int link, err = 0;

	for (link = 2; link <= joins + 1 && !err; link++)
		err = mark_endpoints(env, family, link, link) || mark_wait_pending(env, link - 1);
	ASSERT_EQ(env->skel->data_mark_cnt->mark_stats.marked, 1, "counted as marked");
	return err;
}

/* Then it sends on all of them */
static inline int mark_join_busy(struct mark_env *env, int family, int joins)
{
	struct busy_server busy;

	return busy_server_start(env, &busy) ||
	       busy_server_go_on(env, &busy, mark_join_pending(env, family, joins), joins + 1);
}

#endif /* __MPTCP_MARK_BUSY_H__ */
