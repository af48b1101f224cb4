/* SPDX-License-Identifier: GPL-2.0 */
/* A server in the cgroup, and joins that come while it has its socket locked. */
#ifndef __MPTCP_MARK_BUSY_H__
#define __MPTCP_MARK_BUSY_H__

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "mptcp_mark_helpers.h"

#define MARK_BULK	(2 << 20)

/* A listener in a cgroup, a connection from outside of it, and joins one by one */
static inline int mark_start_server(struct mark_env *env, const char *cgroup, int family, int joins)
{
	const char *addr = family == AF_INET ? "10.0.1.2" : "dead:beef:1::2";
	int link, err;

	err = mark_listen_from(env, addr, cgroup, IPPROTO_MPTCP) ||
	      mark_connect_from(env, addr, NULL, &env->conn);
	for (link = 2; link <= joins + 1 && !err; link++)
		err = mark_join(env, family, link, link);
	return err;
}

/* The client sends a packet on each of these joins: a change of their priority */
static inline int mark_poke(struct mark_env *env, int first, int last)
{
	int id, err = 0;

	for (id = first; id <= last && !err; id++)
		err = mark_ip(env, CLIENT, "mptcp endpoint change id %d backup\n"
					   "mptcp endpoint change id %d nobackup", id, id);
	return err;
}

/* With that, pending joins get their final mark */
static inline int mark_settle(struct mark_env *env, int first, int last)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;

	return mark_poke(env, first, last) || mark_wait(!READ_ONCE(stats->pending));
}

/* A page backed by userfaultfd: readers block until absent_page_fill() */
struct absent_page {
	void *addr;
	size_t size;
	int uffd;
};

static inline void absent_page_close(struct absent_page *page)
{
	munmap(page->addr, page->size);
	mark_close(&page->uffd);
}

static inline int absent_page_open(struct absent_page *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	/* O_NONBLOCK, or poll(2) does not wait: userfaultfd_poll(), fs/userfaultfd.c */
	page->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (page->uffd < 0) {
		mark_skip("no userfaultfd(2): %s", strerror(errno));
		return -1;
	}
	page->size = sysconf(_SC_PAGESIZE);
	page->addr = mmap(NULL, page->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	reg.range.start = ptr_to_u64(page->addr);
	reg.range.len = page->size;
	if (ASSERT_NEQ(page->addr, MAP_FAILED, "mmap") &&
	    ASSERT_OK(ioctl(page->uffd, UFFDIO_API, &api), "UFFDIO_API") &&
	    ASSERT_OK(ioctl(page->uffd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER"))
		return 0;
	absent_page_close(page);
	return -1;
}

static inline int absent_page_wait(struct absent_page *page)
{
	struct pollfd pfd = { .fd = page->uffd, .events = POLLIN };

	return ASSERT_EQ(poll(&pfd, 1, MARK_TIMEOUT_MS), 1, "read of absent page") &&
	       ASSERT_EQ(pfd.revents, POLLIN, "event of absent page") ? 0 : -1;
}

static inline void absent_page_fill(struct absent_page *page)
{
	struct uffdio_zeropage zero = {
		.range = { .start = ptr_to_u64(page->addr), .len = page->size },
	};

	ASSERT_OK(ioctl(page->uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
}

/* A server that is in send(2) with its socket locked, and then sends a lot more */
struct busy_server {
	struct absent_page page;
	pthread_t thread;
	struct mark_conn *conn;
	bool no_bulk;			/* the page alone, which may not come through */
};

static inline void *send_page_and_bulk(void *arg)
{
	struct busy_server *s = arg;

	if (send(s->conn->fd[SERVER], s->page.addr, s->page.size, 0) != s->page.size)
		return "send";
	if (s->no_bulk)
		return NULL;
	return mark_transfer(s->conn, SERVER, MARK_BULK, MARK_BULK + s->page.size) ?
	       "send the rest" : NULL;
}

static inline int busy_server_start(struct mark_env *env, struct busy_server *s)
{
	s->conn = &env->conn;
	if (absent_page_open(&s->page)) {
		env->watches[SERVER] = 0;
		return -1;
	}
	if (ASSERT_OK(pthread_create(&s->thread, NULL, send_page_and_bulk, s), "thread")) {
		if (!absent_page_wait(&s->page))
			return 0;
		absent_page_fill(&s->page);
		pthread_join(s->thread, NULL);
	}
	absent_page_close(&s->page);
	return -1;
}

static inline int busy_server_end(struct busy_server *s)
{
	void *failed;

	absent_page_fill(&s->page);
	pthread_join(s->thread, &failed);
	absent_page_close(&s->page);
	return ASSERT_NULL(failed, "the server sends") ? 0 : -1;
}

/*
 * Joins come while the server is in a system call: the kernel gives them their
 * ids as it unlocks the socket. One by one, so that links and ordinals agree.
 */
static inline int mark_join_busy(struct mark_env *env, int family, int joins)
{
	struct mptcp_mark_stats *stats = &env->skel->data_mark_cnt->mark_stats;
	struct busy_server busy = {};
	int link, err = 0;

	if (busy_server_start(env, &busy))
		return -1;
	for (link = 2; link <= joins + 1 && !err; link++)
		err = mark_endpoints(env, family, link, link) ||
		      mark_wait(READ_ONCE(stats->pending) == link - 1);
	ASSERT_EQ(stats->marked, 1, "counted as marked");
	return busy_server_end(&busy) || err || mark_wait_subflows(env, SERVER, joins + 1);
}

#endif /* __MPTCP_MARK_BUSY_H__ */
