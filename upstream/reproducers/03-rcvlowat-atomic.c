// SPDX-License-Identifier: GPL-2.0
/* SO_RCVLOWAT on an MPTCP socket sleeps in atomic context
 *
 * Seen: an lsm_cgroup program at sock_graft sets SO_RCVLOWAT on the new MPTCP
 * socket in accept() while an iter/tcp program holds its subflow: "BUG: scheduling
 * while atomic". With CONFIG_DEBUG_ATOMIC_SLEEP, it needs no iterator: "sleeping
 * function called from invalid context".
 *
 * Why: as 02, but sock_graft() (include/net/sock.h) calls the hook with
 * sk_callback_lock held.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: needs a program, of root, that does it; then a spinlock is held, with
 * bottom halves disabled, by one who sleeps.
 */
#include "repro_bpf.h"

int main(void)
{
	int listener, client, log;
	struct repro *skel;

	start();
	skel = LOAD("graft_rcvlowat", "hold");
	listener = new_listener();
	client = new_client();
	must(send(client, "x", 1, 0));

	log = watch_log();
	hold_subflows(skel);
	if (!skel->bss->holding)
		result(CANNOT, "the iterator did not find the subflow");
	/* the kernel may kill who does this, or let it hang */
	if (!must(fork())) {
		must(accept(listener, NULL, NULL));
		_exit(0);
	}
	sleep(5);
	if (slept(log) || skel->bss->waited)
		result(FAULT, "SO_RCVLOWAT from BPF slept, and returned %d", skel->bss->err);
	if (!skel->bss->calls)
		result(CANNOT, "the program did not see the socket");
	if (!skel->bss->held)
		result(CANNOT, "the subflow was not held any more");
	result(RIGHT, "SO_RCVLOWAT returned %d, and did not wait", skel->bss->err);
}
