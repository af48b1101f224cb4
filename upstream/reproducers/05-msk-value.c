// SPDX-License-Identifier: GPL-2.0
/* An option that BPF sets on an MPTCP socket does nothing, with success
 *
 * Seen: a cgroup/setsockopt program sets SO_MARK on a connected MPTCP socket: 0 is
 * returned, and getsockopt() tells the new mark, but no subflow has it.
 *
 * Why: __bpf_setsockopt() (net/core/filter.c) goes to sk_setsockopt() at once, and
 * so past mptcp_setsockopt(), which forwards options to the subflows.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: traffic is not treated as the program, and the application, believe.
 */
#include "repro_bpf.h"

int main(void)
{
	int listener, client;
	struct repro *skel;
	struct look *look_ptr;

	start();
	skel = LOAD("look_at_msk");
	look_ptr = (struct look *)&skel->bss->look;
	listener = new_listener();
	client = new_client();
	talk(client, must(accept(listener, NULL, NULL)));

	look(client, LOOK_SET_MARK);
	if (look_ptr->nr != 1)
		result(CANNOT, "%u subflows instead of one", look_ptr->nr);
	if (look_ptr->mark != look_ptr->subflows[0].mark)
		result(FAULT, "SO_MARK returned %d: the socket has mark %u, its subflow %u",
		       skel->bss->err, look_ptr->mark, look_ptr->subflows[0].mark);
	result(RIGHT, "SO_MARK returned %d: the socket has mark %u, its subflow %u",
	       skel->bss->err, look_ptr->mark, look_ptr->subflows[0].mark);
}
