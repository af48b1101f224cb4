// SPDX-License-Identifier: GPL-2.0
/* What the benchmarks compare the program to, and look at its state with. */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC("sockops")
int bench_empty(struct bpf_sock_ops *skops)
{
	return 1;
}

/* The least that a program can do to mark at all */
SEC("sockops")
int bench_constant(struct bpf_sock_ops *skops)
{
	int mark = 7;

	if (skops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	return 1;
}

/* The least that gives each subflow its own, in a connection that is its socket's first */
SEC("sockops")
int bench_id(struct bpf_sock_ops *skops)
{
	struct mptcp_subflow_context *subflow;
	struct bpf_sock *ssk;
	__u32 mark;

	if (skops->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
		return 1;
	ssk = skops->sk;
	if (!ssk || !bpf_skc_to_mptcp_sock(ssk))
		return 1;
	subflow = bpf_core_cast(bpf_core_cast(ssk, struct inet_connection_sock)->icsk_ulp_data,
				struct mptcp_subflow_context);
	mark = subflow->subflow_id;
	bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	return 1;
}

/* A byte for each socket that has state in a map */
SEC("iter/bpf_sk_storage_map")
int bench_state(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	char one = 1;

	if (ctx->sk && ctx->value)
		bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}
