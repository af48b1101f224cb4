// SPDX-License-Identifier: GPL-2.0
/* The subflows that a server accepts, by the same rules: rule 4. */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "mptcp_mark_helpers.h"

/* A connection accepted in the cgroup, opened from one too or from outside */
static int start_server_side(struct mark_env *env, const char *client_cgroup, int joins)
{
	return mark_nft(env, false) || mark_endpoints(env, AF_INET, joins) ||
	       mark_listen_proto(env, "10.0.1.2", MARK_CGROUP, IPPROTO_MPTCP) ||
	       mark_connect_from(env, "10.0.1.2", client_cgroup, IPPROTO_MPTCP, &env->conn) ||
	       mark_wait_subflows(env->conn.server_fd, joins + 1);
}

/* A subflow that the server has not sent on since its mark came shows none to nft */
static void expect_at_server(struct mark_env *env, const __u32 *mark, int n)
{
	struct mark_seen seen;

	if (mark_see(env, true, &seen))
		return;
	seen.quiet = true;
	mark_check(&seen, env->conn.server_fd, mark, n);
	mark_unsee(&seen);
}

static __u64 marked(struct mark_env *env)
{
	return env->skel->data_mark_cnt->mark_stats.marked;
}

/*
 * Send until packets have come by all subflows and the server has their marks, and
 * has counted those that waited for their ids
 */
static void wait_for_marks(struct mark_env *env, int n)
{
	__u64 deadline = mark_now_ms() + MARK_TIMEOUT_MS;
	static char buf[1 << 20];
	struct mark_table table;
	int i, right;

	do {
		if (send(env->conn.client_fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 &&
		    !ASSERT_EQ(errno, EAGAIN, "send"))
			return;
		while (recv(env->conn.server_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			;
		if (mark_get_table(env->conn.server_fd, &table) != n)
			return;
		for (i = 0, right = 0; i < n; i++)
			right += table.entry[i].mark == mark_ordinals[i];
	} while ((right < n || marked(env) < n) && mark_now_ms() < deadline);
}

static void test_server(struct mark_env *env)
{
	if (start_server_side(env, NULL, 2))
		return;
	/* A look at its table can have locked the socket as a join came */
	wait_for_marks(env, 3);
	expect_at_server(env, mark_ordinals, 3);
	ASSERT_EQ(marked(env), 3, "counted as marked");
}

static void test_both(struct mark_env *env)
{
	if (start_server_side(env, MARK_CGROUP, 2) ||
	    mark_wait_subflows(env->conn.client_fd, 3))
		return;
	expect_at_server(env, mark_ordinals, 3);
	mark_expect(env, mark_ordinals, 3);
}

/* A page that nobody has: who reads it waits until it is filled in */
struct absent_page {
	void *addr;
	size_t size;
	int uffd;
};

static void absent_page_close(struct absent_page *page)
{
	munmap(page->addr, page->size);
	mark_close(&page->uffd);
}

static int absent_page_open(struct absent_page *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	/* O_NONBLOCK, or poll(2) does not wait: userfaultfd_poll(), fs/userfaultfd.c */
	page->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (page->uffd < 0) {
		printf("%s:SKIP:no userfaultfd(2): %s\n", __func__, strerror(errno));
		test__skip();
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

static int absent_page_wait(struct absent_page *page)
{
	struct pollfd pfd = { .fd = page->uffd, .events = POLLIN };

	return ASSERT_EQ(poll(&pfd, 1, MARK_TIMEOUT_MS), 1, "read of absent page") &&
	       ASSERT_EQ(pfd.revents, POLLIN, "event of absent page") ? 0 : -1;
}

static void absent_page_fill(struct absent_page *page)
{
	struct uffdio_zeropage zero = {
		.range = { .start = ptr_to_u64(page->addr), .len = page->size },
	};

	ASSERT_OK(ioctl(page->uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
}

struct sender {
	struct absent_page page;
	pthread_t thread;
	int fd;
};

static void *send_page(void *arg)
{
	struct sender *s = arg;

	return (void *)send(s->fd, s->page.addr, s->page.size, 0);
}

/* What inet_diag has of the joins at the server, by the client's ends of them */
static void expect_joins_at_server(struct mark_env *env, const __u32 *mark, int n)
{
	__u64 tcp[MARK_MAX], deadline = mark_now_ms() + MARK_TIMEOUT_MS;
	struct mark_subflow_info sub[MARK_MAX];
	struct sockaddr_in *end;
	__s64 at_server[n];
	int i, there;
	char *ss;

	if (!ASSERT_EQ(mark_full_info(env->conn.client_fd, sub, tcp), n, "client's subflows"))
		return;
	/* It has them with the third ACK, after the client */
	do {
		ss = mark_ss(env->server);
		if (!ss)
			return;
		for (i = 1, there = 1; i < n; i++) {
			end = (void *)&sub[i].local;
			at_server[i] = mark_from_diag(ss, AF_INET, &end->sin_addr, end->sin_port);
			there += at_server[i] != MARK_NO_SOCKET;
		}
		free(ss);
	} while (there < n && mark_now_ms() < deadline);

	for (i = 1; i < n; i++)
		ASSERT_EQ(at_server[i], mark[i], "mark by inet_diag");
	/* Counted when they have their ids: that they have none is the point */
	ASSERT_EQ(marked(env), 1, "counted as marked");
}

/*
 * Two joins arrive while the server is in send(2), with its socket locked: the
 * kernel numbers them as it unlocks. They have their marks before and after.
 */
static int join_while_busy(struct mark_env *env)
{
	struct sender sender;
	void *sent = NULL;
	char buf[1 << 16];
	int err = -1;

	if (absent_page_open(&sender.page))
		return -1;
	sender.fd = env->conn.server_fd;
	if (!ASSERT_OK(pthread_create(&sender.thread, NULL, send_page, &sender), "thread"))
		goto close_page;

	if (!absent_page_wait(&sender.page) && !mark_endpoints(env, AF_INET, 2) &&
	    !mark_wait_subflows(env->conn.client_fd, 3)) {
		expect_joins_at_server(env, mark_ordinals, 3);
		err = 0;
	}
	absent_page_fill(&sender.page);
	pthread_join(sender.thread, &sent);
	if (!ASSERT_EQ((ssize_t)sent, sender.page.size, "sent") ||
	    !ASSERT_EQ(recv(env->conn.client_fd, buf, sender.page.size, MSG_WAITALL),
		       sender.page.size, "received") ||
	    mark_wait_subflows(env->conn.server_fd, 3))
		err = -1;
close_page:
	absent_page_close(&sender.page);
	return err;
}

static void test_busy(struct mark_env *env)
{
	if (!start_server_side(env, NULL, 0) && !join_while_busy(env))
		expect_at_server(env, mark_ordinals, 3);
}

/*
 * The same, and the server has set an option of its socket before: as it
 * numbers the joins, the kernel copies the options to them, SO_MARK included.
 * The marks come back with the next packet from the client.
 */
static void test_busy_sync(struct mark_env *env)
{
	int on = 1;

	if (start_server_side(env, NULL, 0) ||
	    !ASSERT_OK(setsockopt(env->conn.server_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)),
		       "setsockopt(SO_KEEPALIVE)") ||
	    join_while_busy(env))
		return;
	wait_for_marks(env, 3);
	ASSERT_EQ(marked(env), 3, "counted as marked");
	if (!mark_forget(env->server))
		expect_at_server(env, mark_ordinals, 3);
}

static const struct mark_test tests[] = {
	{ "server", 3, test_server },
	{ "both", 3, test_both },
	{ "busy", 3, test_busy },
	{ "busy_sync", 3, test_busy_sync },
};

void test_mptcp_mark_both(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
