// SPDX-License-Identifier: GPL-2.0
/*
 * Give every subflow of an MPTCP connection a mark of its own: 1, 2, 3, … in
 * the order in which they were created.
 *
 * The kernel numbers the subflows of an MPTCP socket (subflow_id), and that
 * number is the ordinal in most cases. State is kept for the others alone.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include "mptcp_mark.h"

char _license[] SEC("license") = "GPL";

union mptcp_mark_config mark_config SEC(".data.mark_cfg") = { .mask = ~0U };
__u32 mark_debug SEC(".data.mark_cfg");		/* not 0: trace each marking */
struct mptcp_mark_stats mark_stats SEC(".data.mark_cnt");

/* Of an MPTCP socket: subflow_id is the ordinal only below first_counted */
struct subflow_count {
	__u32 first_counted;	/* subflow_id from which on we count ourselves */
	__u32 last;		/* the last ordinal that we gave */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct subflow_count);
} subflow_counts SEC(".maps");

/* Of a subflow that the kernel will put into its connection later */
struct pending_join {
	__u32 ordinal;
	__u32 our_flag;		/* we asked for the callback, and must take it back */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pending_join);
} pending_joins SEC(".maps");

/*
 * After a disconnect, the kernel goes on with the ids of the connection before:
 * count the subflows of the new one instead.
 */
static __u32 initial_ordinal(struct mptcp_sock *msk)
{
	__u64 create = msk->subflow_id == 2 ? 0 : BPF_SK_STORAGE_GET_F_CREATE;
	struct subflow_count *count = bpf_sk_storage_get(&subflow_counts, msk, NULL, create);

	if (!count)
		return create ? 0 : 1;
	count->first_counted = msk->subflow_id;
	count->last = 1;
	return 1;
}

/*
 * A join that was accepted while the MPTCP socket was in use has no id yet, and
 * others can get theirs first: from then on, count the subflows of this socket.
 */
static __u32 join_ordinal(struct mptcp_sock *msk, __u32 id)
{
	struct subflow_count *count = bpf_sk_storage_get(&subflow_counts, msk, NULL, 0);
	struct subflow_count start = { msk->subflow_id, msk->subflow_id - 1 };

	if (!count && !id) {
		count = bpf_sk_storage_get(&subflow_counts, msk, &start,
					   BPF_SK_STORAGE_GET_F_CREATE);
		if (!count)	/* created by another CPU meanwhile, or no memory */
			count = bpf_sk_storage_get(&subflow_counts, msk, NULL, 0);
	}
	if (!count || (id && id < count->first_counted))
		return id;
	return __sync_fetch_and_add(&count->last, 1) + 1;
}

static int set_mark(struct bpf_sock_ops *skops, struct bpf_sock *ssk, __u32 ordinal)
{
	/* One load, so that base and mask belong together */
	union mptcp_mark_config config = { .word = *(volatile __u64 *)&mark_config.word };
	__u32 mark;
	int err;

	mark = (ssk->mark & ~config.mask) | ((config.base + ordinal) & config.mask);
	err = bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (mark_debug)
		bpf_printk("Mark <%u> : return code <%d>", mark, err);
	return err;
}

/* Have this program called for the next packet that comes */
static int await_id(struct bpf_sock_ops *skops, struct bpf_sock *ssk, __u32 ordinal)
{
	int flags = skops->bpf_sock_ops_cb_flags;
	struct pending_join *join;

	join = bpf_sk_storage_get(&pending_joins, ssk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!join)
		return -1;
	join->ordinal = ordinal;
	join->our_flag = ~flags & BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
	return bpf_sock_ops_cb_flags_set(skops, flags | join->our_flag);
}

/* The ordinal of a pending join that the kernel has put into its connection, or 0 */
static __u32 joined_ordinal(struct bpf_sock_ops *skops, struct bpf_sock *ssk, __u32 id)
{
	struct pending_join *join = bpf_sk_storage_get(&pending_joins, ssk, NULL, 0);
	__u32 ordinal;

	if (!join || !id)
		return 0;
	ordinal = join->ordinal;
	bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags & ~join->our_flag);
	bpf_sk_storage_delete(&pending_joins, ssk);
	__sync_fetch_and_add(&mark_stats.pending, -1);
	return ordinal;
}

SEC("sockops")
int mptcp_mark(struct bpf_sock_ops *skops)
{
	struct bpf_sock *ssk = skops->sk;
	struct mptcp_subflow_context *subflow;
	struct mptcp_sock *msk;
	bool pending = false;
	__u32 ordinal, id;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:		/* before the SYN is built */
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:	/* before an accepted one is used */
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:		/* asked for in await_id() */
	case BPF_SOCK_OPS_RTT_CB:			/* if another program took ours away */
	case BPF_SOCK_OPS_STATE_CB:
		break;
	default:
		return 1;
	}

	msk = ssk ? bpf_skc_to_mptcp_sock(ssk) : NULL;
	if (!msk)	/* plain TCP */
		return 1;
	subflow = bpf_core_cast(bpf_core_cast(ssk, struct inet_connection_sock)->icsk_ulp_data,
				struct mptcp_subflow_context);
	id = subflow->subflow_id;

	if (skops->op == BPF_SOCK_OPS_TCP_CONNECT_CB ||
	    skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		pending = skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && !id;
		ordinal = msk->first == (void *)ssk ? initial_ordinal(msk) : join_ordinal(msk, id);
	} else {
		ordinal = joined_ordinal(skops, ssk, id);
		if (!ordinal)
			return 1;
	}

	if (!ordinal || set_mark(skops, ssk, ordinal) ||
	    (pending && await_id(skops, ssk, ordinal)))
		__sync_fetch_and_add(&mark_stats.failed, 1);
	else if (pending)
		__sync_fetch_and_add(&mark_stats.pending, 1);
	else
		__sync_fetch_and_add(&mark_stats.marked, 1);

	/* Whatever happened, the connection goes on */
	return 1;
}
