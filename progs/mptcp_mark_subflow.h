/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs that act on subflows share. */
#ifndef __MPTCP_MARK_SUBFLOW_H__
#define __MPTCP_MARK_SUBFLOW_H__

/*
 * Callbacks that tell when the kernel has given a join its id. A join that is
 * accepted while the MPTCP socket is locked does not have one yet.
 */
#define PENDING_FLAGS	(BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG)

/* For a socket that is not NULL. To look is faster than to call bpf_skc_to_mptcp_sock() */
static bool is_subflow(const struct bpf_sock *ssk)
{
	return bpf_core_cast(ssk, struct tcp_sock)->is_mptcp;
}

/* ssk must be the socket of a subflow */
static struct mptcp_subflow_context *subflow_of(const void *ssk)
{
	return bpf_core_cast(bpf_core_cast(ssk, struct inet_connection_sock)->icsk_ulp_data,
			     struct mptcp_subflow_context);
}

/*
 * The callback flags of a socket are shared with all other programs. Remember
 * in *ours those that nobody had set before, and clear no others.
 */
static void ask_for(struct bpf_sock_ops *skops, __u32 *ours, int flags)
{
	int present = skops->bpf_sock_ops_cb_flags;

	*ours |= ~present & flags;
	bpf_sock_ops_cb_flags_set(skops, present | flags);
}

/* Of all of *ours but some */
static void let_go(struct bpf_sock_ops *skops, __u32 *ours, __u32 kept)
{
	bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags & ~(*ours & ~kept));
	*ours &= kept;
}

#endif /* __MPTCP_MARK_SUBFLOW_H__ */
