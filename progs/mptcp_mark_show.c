// SPDX-License-Identifier: GPL-2.0
/*
 * The live subflows of a network namespace, a line each: token, subflow id,
 * mark, local > remote. Pinned (bpftool iter pin), it is read with cat.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

char _license[] SEC("license") = "GPL";

SEC("iter/tcp")
int mptcp_mark_show(struct bpf_iter__tcp *ctx)
{
	struct mptcp_subflow_context *subflow;
	struct seq_file *seq = ctx->meta->seq;
	struct sock_common *skc = ctx->sk_common;
	struct mptcp_sock *msk;
	struct tcp_sock *tp;
	struct sock *ssk;
	__u16 lport, rport;

	if (!skc || skc->skc_state == TCP_LISTEN || skc->skc_state == TCP_CLOSE)
		return 0;

	/* Requests and TIME_WAIT are no full sockets, plain TCP no subflows */
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !tp->is_mptcp)
		return 0;

	ssk = &tp->inet_conn.icsk_inet.sk;
	subflow = bpf_core_cast(tp->inet_conn.icsk_ulp_data, struct mptcp_subflow_context);
	msk = bpf_core_cast(subflow->conn, struct mptcp_sock);
	lport = ssk->sk_num;
	rport = bpf_ntohs(ssk->sk_dport);

	BPF_SEQ_PRINTF(seq, "%08x %-3u 0x%08x ", msk->token, subflow->subflow_id, ssk->sk_mark);
	if (skc->skc_family == AF_INET6)
		BPF_SEQ_PRINTF(seq, "[%pI6]:%u > [%pI6]:%u\n", &ssk->sk_v6_rcv_saddr, lport,
			       &ssk->sk_v6_daddr, rport);
	else
		BPF_SEQ_PRINTF(seq, "%pI4:%u > %pI4:%u\n", &skc->skc_rcv_saddr, lport,
			       &skc->skc_daddr, rport);
	return 0;
}
