// SPDX-License-Identifier: GPL-2.0
/*
 * Let an application read the marks of its subflows. This program costs every
 * getsockopt() of its cgroup: attach it only where somebody asks for the table.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include "mptcp_mark_table.h"

#define EINVAL		22
#define PAGE_ENTRIES	80	/* at most: the buffer is one page */
#define MAX_SUBFLOWS	65536

char _license[] SEC("license") = "GPL";

__u32 zero;	/* from memory, so that the verifier does not follow each value apart */

/* Not inlined: the compiler would rewrite the bounds checks into what is rejected */
static __noinline bool fill_entry(struct mptcp_mark_subflows *table, void *end, __u32 n,
				  const struct mptcp_subflow_context *subflow)
{
	const struct sock *ssk = bpf_core_cast(subflow->tcp_sock, struct sock);
	const struct inet_sock *inet = bpf_core_cast(ssk, struct inet_sock);
	const struct sock_common *skc = &ssk->__sk_common;
	struct mptcp_mark_subflow *e;

	if (n >= PAGE_ENTRIES)
		return false;
	e = &table->subflow[n];
	barrier_var(e);		/* what is checked is what is used */
	if ((void *)(e + 1) > end)
		return false;

	__builtin_memset(e, 0, sizeof(*e));
	e->id = subflow->subflow_id;
	e->mark = ssk->sk_mark;
	e->family = skc->skc_family;
	e->local_port = inet->inet_sport;
	e->remote_port = skc->skc_dport;
	if (e->family == AF_INET) {
		__builtin_memcpy(e->local, &skc->skc_rcv_saddr, sizeof(skc->skc_rcv_saddr));
		__builtin_memcpy(e->remote, &skc->skc_daddr, sizeof(skc->skc_daddr));
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {	/* CONFIG_IPV6 */
		__builtin_memcpy(e->local, &skc->skc_v6_rcv_saddr, sizeof(e->local));
		__builtin_memcpy(e->remote, &skc->skc_v6_daddr, sizeof(e->remote));
	}
	return true;
}

SEC("cgroup/getsockopt")
int mptcp_mark_table(struct bpf_sockopt *ctx)
{
	struct mptcp_mark_subflows *table = ctx->optval;
	struct mptcp_subflow_context *subflow;
	struct list_head *head, *pos;
	__u32 total = 0, filled = zero;
	struct mptcp_sock *msk;
	struct sock *ssk;
	int i;

	if (ctx->level != SOL_MPTCP_MARK || ctx->optname != MPTCP_MARK_TABLE ||
	    !ctx->sk || ctx->sk->protocol != IPPROTO_MPTCP)
		return 1;

	if ((void *)(table + 1) > ctx->optval_end) {
		ctx->retval = -EINVAL;
		return 1;
	}

	/* The kernel runs us with the socket locked: the list is stable */
	msk = bpf_core_cast(ctx->sk, struct mptcp_sock);
	head = &msk->conn_list;
	pos = head->next;
	bpf_for(i, 0, MAX_SUBFLOWS) {
		if (pos == head)
			break;
		subflow = bpf_core_cast(pos, struct mptcp_subflow_context);
		ssk = bpf_core_cast(subflow->tcp_sock, struct sock);
		pos = pos->next;
		if (ssk->sk_state == TCP_CLOSE || ssk->sk_state == TCP_LISTEN)
			continue;

		total++;
		filled += fill_entry(table, ctx->optval_end, filled, subflow);
	}

	table->token = msk->token;
	table->total = total;
	table->entry_size = sizeof(table->subflow[0]);
	table->reserved = 0;
	ctx->optlen = sizeof(*table) + filled * sizeof(table->subflow[0]);
	ctx->retval = 0;
	return 1;
}
