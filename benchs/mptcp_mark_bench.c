// SPDX-License-Identifier: GPL-2.0
/* Programs that the benchmarks compare ours with. */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("sockops")
int bench_empty(struct bpf_sock_ops *skops)
{
	return 1;
}

/* The least that a program can do to set a mark at all */
SEC("sockops")
int bench_constant(struct bpf_sock_ops *skops)
{
	int mark = 7;

	if (skops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	return 1;
}
