// SPDX-License-Identifier: GPL-2.0
/* The example in selftests/bpf numbers subflows by a map that fills up
 *
 * Seen: after 100 connections, progs/mptcp_subflow.c gives mark 1 to all subflows of
 * all later ones.
 *
 * Why: it counts them in a map of 100 tokens that nothing is deleted from.
 *
 * Kernels: shown on 7.3, with the example of 7.3, which 6.12 does not load.
 *
 * How bad: a fault of the example, which others follow; the test itself opens one
 * connection only.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "repro.h"
#include "mptcp_subflow.skel.h"

#define NR 101

int main(void)
{
	int listener, client, server, cgroup, value;
	socklen_t len = sizeof(value);
	struct mptcp_subflow *skel;

	start();
	cgroup = join_cgroup();
	skel = mptcp_subflow__open_and_load();
	if (!skel)
		result(CANNOT, "BPF: the kernel does not load mptcp_subflow.bpf.o");
	skel->bss->pid = getpid();
	if (!bpf_program__attach_cgroup(skel->progs.mptcp_subflow, cgroup) ||
	    !bpf_program__attach_cgroup(skel->progs._getsockopt_subflow, cgroup))
		result(CANNOT, "BPF: the kernel does not attach mptcp_subflow.bpf.o: %m");

	sh("ip mptcp endpoint add 10.0.0.2 subflow");
	listener = new_listener();
	for (int i = 1; i <= NR; i++) {
		client = new_client();
		server = must(accept(listener, NULL, NULL));
		talk(client, server);
		wait_joins(client, 1);
		/* answered by the example: -2 if the marks are not 1, 2 */
		if (getsockopt(client, SOL_SOCKET, SO_MARK, &value, &len)) {
			if (errno != 2)
				result(CANNOT, "connection %d: %m", i);
			result(FAULT, "the marks of connection %d are not 1, 2", i);
		}
		close(client);
		close(server);
	}
	result(RIGHT, "the marks of %d connections are 1, 2", NR);
}
