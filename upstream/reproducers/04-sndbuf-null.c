// SPDX-License-Identifier: GPL-2.0
/* SO_SNDBUF on a new subflow kills the machine
 *
 * Seen: an lsm_cgroup program at inet_csk_clone sets SO_SNDBUF on the new socket as
 * an MPTCP connection is accepted: "BUG: kernel NULL pointer dereference", in
 * softirq, so that the machine dies. Plain TCP is fine.
 *
 * Why: subflow_write_space() (net/mptcp/subflow.c), which sk_setsockopt() calls,
 * uses the MPTCP socket of the subflow. subflow_ulp_clone() has made a new context
 * then, but subflow_syn_recv_sock() has not set its conn yet.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: needs a program, of root, that does it; then any client kills the
 * machine.
 */
#include "repro_bpf.h"

int main(void)
{
	int listener, client, server, sndbuf;
	socklen_t len = sizeof(sndbuf);
	struct repro *skel;

	start();
	skel = LOAD("clone_sndbuf");
	listener = new_listener();
	printf("if nothing follows, the machine has died: FAULT\n");
	client = new_client();
	server = must(accept(listener, NULL, NULL));
	talk(client, server);
	if (!skel->bss->calls || skel->bss->err)
		result(CANNOT, "the program set %d options, the last with error %d",
		       skel->bss->calls, skel->bss->err);
	wait_joins(server, 0);	/* which it cannot if this is plain TCP */
	must(getsockopt(server, SOL_SOCKET, SO_SNDBUF, &sndbuf, &len));
	result(RIGHT, "SO_SNDBUF and TCP_NOTSENT_LOWAT were set, the connection's buffer is %d",
	       sndbuf);
}
