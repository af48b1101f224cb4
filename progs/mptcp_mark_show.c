// SPDX-License-Identifier: GPL-2.0
/*
 * The subflows of a network namespace, as records for mptcp_mark_user, and
 * which MPTCP sockets have their subflows counted by mptcp_mark.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "mptcp_mark_show.h"

char _license[] SEC("license") = "GPL";

/* The cgroup of a socket, where it is not the root */
static __u64 cgroup_id(const struct sock *ssk)
{
	return BPF_CORE_READ(ssk, sk_cgrp_data.cgroup, kn, id);
}

static void fill_addresses(struct mptcp_show_subflow *out, const struct sock_common *skc)
{
	if (skc->skc_family == AF_INET) {
		__builtin_memcpy(out->local, &skc->skc_rcv_saddr, sizeof(skc->skc_rcv_saddr));
		__builtin_memcpy(out->remote, &skc->skc_daddr, sizeof(skc->skc_daddr));
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {	/* CONFIG_IPV6 */
		BPF_CORE_READ_INTO(&out->local, skc, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&out->remote, skc, skc_v6_daddr);
	}
}

static void fill_device(struct mptcp_show_subflow *out, struct sock *ssk)
{
	const struct net_device *dev = BPF_CORE_READ(ssk, sk_dst_cache, dev);

	out->ifindex = ssk->__sk_common.skc_bound_dev_if;
	if (!dev || (out->ifindex && out->ifindex != BPF_CORE_READ(dev, ifindex)))
		return;
	out->ifindex = BPF_CORE_READ(dev, ifindex);
	BPF_CORE_READ_STR_INTO(&out->device, dev, name);
}

SEC("iter/tcp")
int mptcp_mark_show(struct bpf_iter__tcp *ctx)
{
	struct mptcp_subflow_context *subflow, *first;
	struct sock_common *skc = ctx->sk_common;
	struct mptcp_show_subflow out = {};
	struct mptcp_sock *msk;
	struct tcp_sock *tp;
	struct sock *ssk;

	if (!skc || skc->skc_state == TCP_LISTEN || skc->skc_state == TCP_CLOSE)
		return 0;

	/* Requests and TIME_WAIT are no full sockets, plain TCP no subflows */
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !tp->is_mptcp)
		return 0;

	ssk = &tp->inet_conn.icsk_inet.sk;
	subflow = bpf_core_cast(tp->inet_conn.icsk_ulp_data, struct mptcp_subflow_context);
	msk = bpf_core_cast(subflow->conn, struct mptcp_sock);
	out.msk = (unsigned long)subflow->conn;
	if (!out.msk)
		return 0;

	out.cgroup = cgroup_id(ssk);
	out.sent = tp->bytes_sent;
	out.received = tp->bytes_received;
	out.token = msk->token;
	out.id = subflow->subflow_id;
	out.first_id = ~0;
	/* The kernel clears the id of a first subflow that is closed */
	if (msk->first && msk->first->__sk_common.skc_state == TCP_CLOSE) {
		out.first_id = 1;
	} else if (msk->first) {
		first = BPF_CORE_READ((struct inet_connection_sock *)msk->first, icsk_ulp_data);
		out.first_id = BPF_CORE_READ(first, subflow_id);
	}
	out.mark = ssk->sk_mark;
	out.rtt = tp->srtt_us >> 3;
	out.local_id = subflow->local_id;
	out.remote_id = subflow->remote_id;
	out.flags = BPF_CORE_READ_BITFIELD(subflow, request_bkup) ? MPTCP_SHOW_BACKUP_LOCAL : 0;
	out.flags |= BPF_CORE_READ_BITFIELD(subflow, backup) ? MPTCP_SHOW_BACKUP_REMOTE : 0;
	out.flags |= msk->first == (void *)ssk ? MPTCP_SHOW_INITIAL : 0;
	out.flags |= BPF_CORE_READ_BITFIELD(subflow, request_mptcp) ||
		     BPF_CORE_READ_BITFIELD(subflow, request_join) ||
		     (!BPF_CORE_READ_BITFIELD(subflow, mp_capable) &&
		      !BPF_CORE_READ_BITFIELD(subflow, mp_join)) ? MPTCP_SHOW_OPENED : 0;
	out.flags |= skc->skc_bound_dev_if ? MPTCP_SHOW_BOUND : 0;
	out.state = skc->skc_state;
	out.family = skc->skc_family;
	out.local_port = tp->inet_conn.icsk_inet.inet_sport;
	out.remote_port = skc->skc_dport;
	fill_addresses(&out, skc);
	fill_device(&out, ssk);
	BPF_CORE_READ_STR_INTO(&out.congestion, &tp->inet_conn, icsk_ca_ops, name);

	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}

/* As of struct subflow_count in mptcp_mark_order.h */
SEC("iter/bpf_sk_storage_map")
int mptcp_mark_counts(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct mptcp_show_count out = {};
	__u32 *value = ctx->value;

	if (!ctx->sk || !value)
		return 0;
	out.msk = (unsigned long)ctx->sk;
	out.first_counted = value[1];	/* first_id */
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
