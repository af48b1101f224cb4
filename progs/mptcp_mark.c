// SPDX-License-Identifier: GPL-2.0
/*
 * A mark of its own for every subflow of an MPTCP connection, 1, 2, 3, … in
 * the order of creation, and a table to read them back. No state is kept: the
 * kernel numbers the subflows of a connection itself (subflow_id).
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include "mptcp_mark.h"

#define EINVAL		22
#define TABLE_MAX	80	/* entries in a page, what the kernel gives us */

char _license[] SEC("license") = "GPL";

struct mptcp_mark_config mark_config SEC(".data.mark_cfg") = { .mask = ~0U };
struct mptcp_mark_stats mark_stats SEC(".data.mark_cnt");
__u32 zero;	/* a start that the verifier takes for any: loops converge */

static struct mptcp_subflow_context *subflow_ctx(const void *ssk)
{
	return bpf_core_cast(bpf_core_cast(ssk, struct inet_connection_sock)->icsk_ulp_data,
			     struct mptcp_subflow_context);
}

SEC("sockops")
int mptcp_mark(struct bpf_sock_ops *skops)
{
	struct bpf_sock *ssk = skops->sk;
	__u32 mark, mask = mark_config.mask;
	int err;

	/* Before the SYN is built, and before an accepted subflow is used */
	if (skops->op != BPF_SOCK_OPS_TCP_CONNECT_CB &&
	    skops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;

	/* Hands off plain TCP */
	if (!ssk || !bpf_skc_to_mptcp_sock(ssk))
		return 1;

	/* fwmark bits are shared: those outside the mask stay as inherited */
	mark = (ssk->mark & ~mask) |
	       ((mark_config.base + subflow_ctx(ssk)->subflow_id) & mask);
	err = bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));

	__sync_fetch_and_add(err ? &mark_stats.failed : &mark_stats.marked, 1);
	if (mark_config.debug)
		bpf_printk("Mark <%u> : return code <%d>", mark, err);

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
