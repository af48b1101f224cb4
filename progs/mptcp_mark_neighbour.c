// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody else's programs on the same cgroups: one asks for callbacks of
 * accepted joins, counts all that come, and answers to one; the other one answers
 * a getsockopt().
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SOL_CUSTOM	0xdeadbeef

char _license[] SEC("license") = "GPL";

int keep, ask_for;	/* flags to keep as a join is accepted, and to set */
int let_go;		/* flags to clear again as its state changes */
__u32 answers;		/* the callback that it answers to, or 0 */
int answer;
__u32 called[BPF_SOCK_OPS_WRITE_HDR_OPT_CB + 1];	/* by op */

SEC("sockops")
int neighbour(struct bpf_sock_ops *skops)
{
	bool join = (bpf_ntohl(skops->remote_ip4) >> 8 & 0xff) > 1;	/* 10.0.link.1 */
	int flags = skops->bpf_sock_ops_cb_flags;
	__u32 op = skops->op;

	if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && join)
		bpf_sock_ops_cb_flags_set(skops, (flags & keep) | ask_for);
	if (op == BPF_SOCK_OPS_STATE_CB && join && let_go)
		bpf_sock_ops_cb_flags_set(skops, flags & ~let_go);
	if (answers && op == answers)
		skops->reply = answer;
	if (op <= BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		__sync_fetch_and_add(&called[op], 1);
	return 1;
}

SEC("cgroup/getsockopt")
int neighbour_getsockopt(struct bpf_sockopt *ctx)
{
	__u8 *answer = ctx->optval;

	if (ctx->level != SOL_CUSTOM)
		return 1;
	if ((void *)(answer + 1) > ctx->optval_end)
		return 0;
	*answer = 'n';
	ctx->optlen = 1;
	ctx->retval = 0;
	return 1;
}
