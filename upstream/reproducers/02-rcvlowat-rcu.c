// SPDX-License-Identifier: GPL-2.0
/* SO_RCVLOWAT on an MPTCP socket sleeps in an RCU read-side critical section
 *
 * Seen: a cgroup/getsockname4 program sets SO_RCVLOWAT on the MPTCP socket while
 * an iter/tcp program holds a subflow: "Voluntary context switch within RCU
 * read-side critical section!" With CONFIG_DEBUG_ATOMIC_SLEEP, it needs no
 * iterator: "sleeping function called from invalid context".
 *
 * Why: mptcp_set_rcvlowat() (net/mptcp/sockopt.c) takes the lock of each subflow
 * by lock_sock_fast(), which sleeps. BPF calls it with only the lock of the MPTCP
 * socket held, under rcu_read_lock().
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: needs a program, of root, that does it; then an RCU reader sleeps as
 * long as somebody holds the subflow.
 */
#include "repro_bpf.h"

int main(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int listener, client, server, log;
	struct repro *skel;
	pthread_t thread;

	start();
	skel = LOAD("getsockname_rcvlowat", "hold");
	listener = new_listener();
	client = new_client();
	server = must(accept(listener, NULL, NULL));
	talk(client, server);

	log = watch_log();
	thread = hold_subflows(skel);
	if (!skel->bss->holding)
		result(CANNOT, "the iterator did not find the subflow");
	must(getsockname(server, (struct sockaddr *)&addr, &len));
	pthread_join(thread, NULL);
	if (!skel->bss->calls)
		result(CANNOT, "the program did not see the socket");
	/* the kernel complains once only, and not without PREEMPT_RCU */
	if (slept(log) || skel->bss->waited)
		result(FAULT, "SO_RCVLOWAT from BPF slept, and returned %d", skel->bss->err);
	if (!skel->bss->held)
		result(CANNOT, "the subflow was not held any more");
	result(RIGHT, "SO_RCVLOWAT returned %d, and did not wait", skel->bss->err);
}
