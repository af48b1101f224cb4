// SPDX-License-Identifier: GPL-2.0
/* The socket options of the subflows in a network namespace, for the tests. */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "mptcp_policy_read.h"

char _license[] SEC("license") = "GPL";

SEC("iter/tcp")
int mptcp_policy_read(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct mptcp_subflow_context *subflow;
	struct mptcp_policy_values v = {};
	struct tcp_sock *tp;

	if (!skc || skc->skc_state == TCP_LISTEN || skc->skc_state == TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !tp->is_mptcp)
		return 0;
	subflow = bpf_core_cast(tp->inet_conn.icsk_ulp_data, struct mptcp_subflow_context);
	v.token = bpf_core_cast(subflow->conn, struct mptcp_sock)->token;
	v.id = subflow->subflow_id;

#define GET(level, name, value) bpf_getsockopt(tp, level, name, &(value), sizeof(value))
	GET(SOL_SOCKET, SO_MARK, v.mark);
	if (skc->skc_family == AF_INET)
		GET(IPPROTO_IP, IP_TOS, v.tos);
	else
		GET(SOL_IPV6, IPV6_TCLASS, v.tos);
	GET(SOL_SOCKET, SO_PRIORITY, v.priority);
	GET(SOL_SOCKET, SO_MAX_PACING_RATE, v.pacing);
	GET(SOL_TCP, TCP_USER_TIMEOUT, v.user_timeout);
	GET(SOL_TCP, TCP_SYNCNT, v.syncnt);
	GET(SOL_SOCKET, SO_KEEPALIVE, v.keepalive);
	GET(SOL_TCP, TCP_KEEPIDLE, v.keep_idle);
	GET(SOL_TCP, TCP_KEEPINTVL, v.keep_intvl);
	GET(SOL_TCP, TCP_KEEPCNT, v.keep_cnt);
	GET(SOL_TCP, TCP_CONGESTION, v.congestion);
	v.cb_flags = tp->bpf_sock_ops_cb_flags;
	bpf_seq_write(ctx->meta->seq, &v, sizeof(v));
	return 0;
}
