// SPDX-License-Identifier: GPL-2.0
/*
 * A mark of its own for every subflow of an MPTCP connection, 1, 2, 3, … in
 * the order of creation, and a table to read them back. The kernel numbers the
 * subflows of a connection itself (subflow_id): state is kept where that is
 * not the whole truth, and for those few sockets alone.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include "mptcp_mark.h"

#define EINVAL		22
#define TABLE_MAX	80	/* entries in a page, what the kernel gives us */
#define PENDING_MAX	80	/* more joins than the kernel lets a connection have */

char _license[] SEC("license") = "GPL";

struct mptcp_mark_config mark_config SEC(".data.mark_cfg") = { .mask = ~0U };
struct mptcp_mark_stats mark_stats SEC(".data.mark_cnt");
__u32 zero;	/* a start that the verifier takes for any: loops converge */

/*
 * Of an msk that was disconnected and connected again: how many ids went to
 * its earlier connections. Of a subflow: there while its id is pending.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} mark_state SEC(".maps");

static struct mptcp_subflow_context *subflow_ctx(const void *ssk)
{
	return bpf_core_cast(bpf_core_cast(ssk, struct inet_connection_sock)->icsk_ulp_data,
			     struct mptcp_subflow_context);
}

/*
 * An accepted join that found its msk in use gets its id later, in the order
 * of the join_list. 0: it is no longer there
 */
static __u32 pending_id(struct mptcp_sock *msk, struct mptcp_subflow_context *subflow)
{
	struct list_head *head = &msk->join_list, *pos = head->next;
	__u32 n;

	bpf_for(n, 0, PENDING_MAX) {
		if (pos == head)
			break;
		if (pos == &subflow->node)
			return msk->subflow_id + n;
		pos = pos->next;
	}
	return 0;
}

/* The initial subflow is the first. Its msk has had other connections before? */
static __u32 first_ordinal(struct mptcp_sock *msk)
{
	__u32 earlier = msk->subflow_id - 2, *state;

	if (earlier) {
		state = bpf_sk_storage_get(&mark_state, msk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (state)
			*state = earlier;
		else
			__sync_fetch_and_add(&mark_stats.failed, 1);
	}
	return 1;
}

static __u32 join_ordinal(struct mptcp_sock *msk, __u32 id)
{
	__u32 *earlier = bpf_sk_storage_get(&mark_state, msk, 0, 0);

	return earlier ? id - *earlier : id;
}

static void await_id(struct bpf_sock_ops *skops, bool wait)
{
	int flags = skops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;

	if (wait)
		flags |= BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
	bpf_sock_ops_cb_flags_set(skops, flags);
}

SEC("sockops")
int mptcp_mark(struct bpf_sock_ops *skops)
{
	struct mptcp_subflow_context *subflow;
	struct bpf_sock *ssk = skops->sk;
	__u32 mark, n, mask = mark_config.mask;
	struct mptcp_sock *msk;
	bool pending = false;
	int err;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:		/* before the SYN is built */
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:	/* before an accepted one is used */
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:		/* an id was pending */
		break;
	default:
		return 1;
	}

	/* Hands off plain TCP */
	msk = ssk ? bpf_skc_to_mptcp_sock(ssk) : NULL;
	if (!msk)
		return 1;
	subflow = subflow_ctx(ssk);

	/* Most are ours to open: theirs is the straight way through the code */
	switch (__builtin_expect(skops->op, BPF_SOCK_OPS_TCP_CONNECT_CB)) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		n = subflow->request_join ? join_ordinal(msk, subflow->subflow_id) :
					    first_ordinal(msk);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		n = subflow->subflow_id;
		if (!n) {
			n = pending_id(msk, subflow);
			pending = bpf_sk_storage_get(&mark_state, ssk, 0,
						     BPF_SK_STORAGE_GET_F_CREATE);
			if (pending)
				await_id(skops, true);
		}
		break;
	default:
		n = subflow->subflow_id;
		if (!n || bpf_sk_storage_delete(&mark_state, ssk))
			return 1;
		await_id(skops, false);
		break;
	}

	if (!n)
		return 1;

	/* fwmark bits are shared: those outside the mask stay as inherited */
	mark = (ssk->mark & ~mask) | ((mark_config.base + n) & mask);
	err = bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (mark_config.debug)
		bpf_printk("Mark <%u> : return code <%d>", mark, err);

	if (!pending)
		__sync_fetch_and_add(err ? &mark_stats.failed : &mark_stats.marked, 1);

	/* Whatever happened, the connection goes on */
	return 1;
}

/* Not inlined: optimized with the loop, the checks no longer suit the verifier */
static __noinline bool fill_entry(struct mptcp_mark_table *table, void *end, __u32 n,
				  const struct mptcp_subflow_context *subflow)
{
	const struct sock *ssk = bpf_core_cast(subflow->tcp_sock, struct sock);
	const struct inet_sock *inet = bpf_core_cast(ssk, struct inet_sock);
	const struct sock_common *skc = &ssk->__sk_common;
	struct mptcp_mark_entry *e;

	if (n >= TABLE_MAX)
		return false;
	e = &table->entry[n];
	barrier_var(e);		/* what is checked is what is used */
	if ((void *)(e + 1) > end)
		return false;

	__builtin_memset(e, 0, sizeof(*e));
	e->id = subflow->subflow_id;
	e->mark = ssk->sk_mark;
	e->family = skc->skc_family;
	e->local_port = inet->inet_sport;
	e->remote_port = skc->skc_dport;
	if (e->family == AF_INET6) {
		__builtin_memcpy(e->local, &skc->skc_v6_rcv_saddr, sizeof(e->local));
		__builtin_memcpy(e->remote, &skc->skc_v6_daddr, sizeof(e->remote));
	} else {
		__builtin_memcpy(e->local, &skc->skc_rcv_saddr, sizeof(skc->skc_rcv_saddr));
		__builtin_memcpy(e->remote, &skc->skc_daddr, sizeof(skc->skc_daddr));
	}
	return true;
}

SEC("cgroup/getsockopt")
int mptcp_mark_table(struct bpf_sockopt *ctx)
{
	struct mptcp_mark_table *table = ctx->optval;
	struct mptcp_subflow_context *subflow;
	struct list_head *head, *pos;
	void *end = ctx->optval_end;
	__u32 total = 0, filled = zero;
	struct mptcp_sock *msk;
	struct sock *ssk;
	int i;

	if (ctx->level != SOL_MPTCP || ctx->optname != MPTCP_MARK_TABLE ||
	    !ctx->sk || ctx->sk->protocol != IPPROTO_MPTCP) {
		/* Of a long answer we are shown a page: leave all of it alone */
		if (ctx->optlen > end - ctx->optval)
			ctx->optlen = 0;
		return 1;
	}

	if ((void *)(table + 1) > end) {
		ctx->retval = -EINVAL;
		return 1;
	}

	/* The kernel runs us with the msk locked */
	msk = bpf_core_cast(ctx->sk, struct mptcp_sock);
	head = &msk->conn_list;
	pos = head->next;
	bpf_for(i, 0, TABLE_MAX) {
		if (pos == head)
			break;
		subflow = bpf_core_cast(pos, struct mptcp_subflow_context);
		ssk = bpf_core_cast(subflow->tcp_sock, struct sock);
		pos = pos->next;
		if (ssk->sk_state == TCP_CLOSE || ssk->sk_state == TCP_LISTEN)
			continue;

		total++;
		filled += fill_entry(table, end, filled, subflow);
	}

	table->token = msk->token;
	table->total = total;
	table->entry_size = sizeof(table->entry[0]);
	table->reserved = 0;
	ctx->optlen = sizeof(*table) + filled * sizeof(table->entry[0]);
	ctx->retval = 0;
	return 1;
}
