// SPDX-License-Identifier: GPL-2.0
/* What BPF sets on an accepted join is overwritten, at times
 *
 * Seen: a sockops program sets SO_MARK and TCP_NOTSENT_LOWAT on a join as it is
 * accepted. Was the server in a system call then, both are lost.
 *
 * Why: __mptcp_finish_join() (net/mptcp/protocol.c) copies the options of the MPTCP
 * socket to the subflow. If that is owned by user space when the join comes, it
 * runs as it is released, after BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: a race that a program can neither see nor avoid; busy servers meet it.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "repro_bpf.h"

static char *page;
static int uffd;

/* A page that the kernel waits for when it copies to it */
static void make_missing_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range.len = getpagesize(),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uffd = must(syscall(SYS_userfaultfd, O_CLOEXEC));
	must(ioctl(uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)page;
	must(ioctl(uffd, UFFDIO_REGISTER, &reg));
}

/* A system call that owns the socket until the page is there */
static void *be_busy(void *fd)
{
	struct full_info info = {
		.size_sfinfo_user = sizeof(__u32),
		.size_arrays_user = 1,
		.subflow_info = (uintptr_t)page,
	};
	socklen_t len = sizeof(info);

	must(getsockopt((long)fd, SOL_MPTCP, MPTCP_FULL_INFO, &info, &len));
	return NULL;
}

int main(void)
{
	struct uffdio_zeropage zero = { .range.len = getpagesize() };
	int listener, client, one = 1;
	struct look_subflow *join = NULL;
	struct uffd_msg msg;
	struct repro *skel;
	struct look *now;
	pthread_t thread;
	long server;

	start();
	skel = LOAD("accepted_mark", "look_at_msk");
	now = (struct look *)&skel->bss->look;
	sh("ip mptcp endpoint add 10.0.0.2 subflow");
	listener = new_listener();
	client = new_client();
	server = must(accept(listener, NULL, NULL));
	must(setsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));

	make_missing_page();
	pthread_create(&thread, NULL, be_busy, (void *)server);
	must(read(uffd, &msg, sizeof(msg)));
	skel->bss->calls = 0;
	/* the answer to the first data lets the client open the join */
	must(send(client, "x", 1, 0));
	for (int i = 0; i < 100 && __atomic_load_n(&skel->bss->calls, __ATOMIC_RELAXED) < 2; i++)
		usleep(50000);
	if (__atomic_load_n(&skel->bss->calls, __ATOMIC_RELAXED) < 2)
		result(CANNOT, "no join came while the server was busy");
	zero.range.start = (uintptr_t)page;
	must(ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(thread, NULL);
	if (skel->bss->calls != 2 || skel->bss->err)
		result(CANNOT, "%d options set, the last with error %d", skel->bss->calls,
		       skel->bss->err);

	look(server, LOOK);
	for (unsigned int i = 0; i < now->nr; i++)
		if (now->subflows[i].port == PORT &&
		    now->subflows[i].daddr == inet_addr("10.0.0.2"))
			join = &now->subflows[i];
	if (!join)
		result(CANNOT, "the join is not there");
	if (join->mark != LOOK_MARK || join->notsent_lowat != LOOK_LOWAT)
		result(FAULT, "set: mark %d, lowat %d; the join has: %u, %u", LOOK_MARK,
		       LOOK_LOWAT, join->mark, join->notsent_lowat);
	result(RIGHT, "the join has the mark %u and lowat %u that were set", join->mark,
	       join->notsent_lowat);
}
