// SPDX-License-Identifier: GPL-2.0
/*
 * Give every subflow of an MPTCP connection a mark of its own: 1, 2, 3, … in
 * the order in which they were created.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include "mptcp_mark.h"
#include "mptcp_mark_order.h"
#include "mptcp_mark_subflow.h"

char _license[] SEC("license") = "GPL";

struct mptcp_mark_config mark_config SEC(".data.mark_cfg") = { .mask = ~0U };
SEC(".data.mark_cfg") __u32 mark_debug;		/* not 0: trace each marking */
struct mptcp_mark_stats mark_stats SEC(".data.mark_cnt");

/* Kept for accepted joins until the kernel gives them their id */
struct pending_join {
	struct mptcp_mark_config config;	/* as it was when the join was accepted */
	__u32 ordinal;
	__u32 flags;			/* callbacks that we asked for, to be cleared again */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pending_join);
} pending_joins SEC(".maps");

/* Inlined, as older compilers pass no structures by value */
static __always_inline int set_mark(struct bpf_sock_ops *skops, struct bpf_sock *ssk,
				    __u32 ordinal, struct mptcp_mark_config config)
{
	__u32 mark = (ssk->mark & ~config.mask) | ((config.base + ordinal) & config.mask);
	int err = bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));

	if (mark_debug)
		bpf_printk("Mark <%u> : return code <%d>", mark, err);
	return err;
}

/* Have this program called for each packet received, until the id is there */
static __always_inline int await_id(struct bpf_sock_ops *skops, struct bpf_sock *ssk,
				    __u32 ordinal, struct mptcp_mark_config config)
{
	struct pending_join *join = bpf_sk_storage_get(&pending_joins, ssk, NULL, CREATE);

	if (!join)
		return -1;
	join->config = config;
	join->ordinal = ordinal;
	ask_for(skops, &join->flags, PENDING_FLAGS);
	return 0;
}

/* The kernel may have replaced the mark when it gave the id: set it again */
static void check_pending(struct bpf_sock_ops *skops, struct bpf_sock *ssk, __u32 id)
{
	struct pending_join *join = bpf_sk_storage_get(&pending_joins, ssk, NULL, 0);
	bool closed = skops->op == BPF_SOCK_OPS_STATE_CB && skops->args[1] == BPF_TCP_CLOSE;

	if (!join)
		return;
	if (!id && !closed) {
		/* Again, as another program may have cleared them */
		ask_for(skops, &join->flags, PENDING_FLAGS);
		return;
	}
	if (!id || set_mark(skops, ssk, join->ordinal, join->config))
		__sync_fetch_and_add(&mark_stats.failed, 1);
	else
		__sync_fetch_and_add(&mark_stats.marked, 1);
	__sync_fetch_and_add(&mark_stats.pending, -1);
	let_go(skops, &join->flags, 0);
	bpf_sk_storage_delete(&pending_joins, ssk);
}

SEC("sockops")
int mptcp_mark(struct bpf_sock_ops *skops)
{
	struct bpf_sock *ssk = skops->sk;
	struct mptcp_subflow_context *subflow;
	struct mptcp_mark_config config;
	struct mptcp_sock *msk;
	bool pending = false;
	__u32 ordinal, id;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:		/* before the SYN is built */
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:	/* before an accepted subflow sends */
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:		/* for pending joins */
	case BPF_SOCK_OPS_STATE_CB:
	case BPF_SOCK_OPS_RTT_CB:			/* in case that our flags were cleared */
		break;
	default:
		return 1;
	}

	if (!ssk || !is_subflow(ssk))	/* plain TCP */
		return 1;
	msk = bpf_skc_to_mptcp_sock(ssk);
	if (!msk)
		return 1;
	subflow = subflow_of(ssk);
	id = subflow->subflow_id;
	if (skops->op != BPF_SOCK_OPS_TCP_CONNECT_CB &&
	    skops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		check_pending(skops, ssk, id);
		return 1;
	}

	/* Not accepted, but opened, at both ends at once: it has its mark */
	if (skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    !BPF_CORE_READ_BITFIELD(subflow, mp_capable) &&
	    !BPF_CORE_READ_BITFIELD(subflow, mp_join))
		return 1;
	if (msk->first == (void *)ssk) {
		ordinal = initial_ordinal(msk);
	} else {
		ordinal = join_ordinal(msk, id);
		pending = !id;
	}
	/* One load, so that base and mask belong together */
	config.word = mark_config.word;
	barrier_var(config.word);
	if (!ordinal || set_mark(skops, ssk, ordinal, config) ||
	    (pending && await_id(skops, ssk, ordinal, config)))
		__sync_fetch_and_add(&mark_stats.failed, 1);
	else if (pending)
		__sync_fetch_and_add(&mark_stats.pending, 1);
	else
		__sync_fetch_and_add(&mark_stats.marked, 1);
	return 1;	/* the connection goes on, whatever happened */
}
