// SPDX-License-Identifier: GPL-2.0
/* The BPF programs of the reproducers: each loads what it needs, see repro_bpf.h */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "look.h"

#define SOL_SOCKET	1
#define SO_SNDBUF	7
#define SO_RCVLOWAT	18
#define SO_MARK		36
#define SOL_TCP		6
#define TCP_NOTSENT_LOWAT	25
#define IPPROTO_MPTCP	262

char _license[] SEC("license") = "GPL";

void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
#define core_cast(ptr, type)	\
	((type *)bpf_rdonly_cast((ptr), bpf_core_type_id_kernel(type)))

struct look look;
int calls, err;
int holding;		/* an iterator holds the subflow now */
int held, waited;	/* it did as an option was set, and did no more afterwards */
int rcvlowat = 1000000;
int hold_ms = 2000;

static int set(void *ctx, int level, int name, int val)
{
	held = *(volatile int *)&holding;
	err = bpf_setsockopt(ctx, level, name, &val, sizeof(val));
	waited = held && !*(volatile int *)&holding;
	__sync_fetch_and_add(&calls, 1);
	return err;
}

static bool accepted_subflow(struct bpf_sock_ops *skops)
{
	struct bpf_sock *sk = skops->sk;

	return skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && sk &&
	       bpf_skc_to_mptcp_sock(sk);
}

SEC("sockops")
int accepted_rcvlowat(struct bpf_sock_ops *skops)
{
	if (accepted_subflow(skops))
		set(skops, SOL_SOCKET, SO_RCVLOWAT, rcvlowat);
	return 1;
}

SEC("sockops")
int accepted_mark(struct bpf_sock_ops *skops)
{
	if (accepted_subflow(skops) &&
	    !set(skops, SOL_SOCKET, SO_MARK, LOOK_MARK))
		set(skops, SOL_TCP, TCP_NOTSENT_LOWAT, LOOK_LOWAT);
	return 1;
}

SEC("cgroup/getsockname4")
int getsockname_rcvlowat(struct bpf_sock_addr *ctx)
{
	if (ctx->sk && ctx->sk->protocol == IPPROTO_MPTCP)
		set(ctx, SOL_SOCKET, SO_RCVLOWAT, 200000);
	return 1;
}

SEC("lsm_cgroup/sock_graft")
int BPF_PROG(graft_rcvlowat, struct sock *sk, struct socket *parent)
{
	if (sk->sk_protocol == IPPROTO_MPTCP)
		set(sk, SOL_SOCKET, SO_RCVLOWAT, 200000);
	return 1;
}

SEC("lsm_cgroup/inet_csk_clone")
int BPF_PROG(clone_sndbuf, struct sock *newsk, const struct request_sock *req)
{
	if (newsk->sk_protocol == IPPROTO_TCP &&
	    !set(newsk, SOL_SOCKET, SO_SNDBUF, 200000))
		set(newsk, SOL_TCP, TCP_NOTSENT_LOWAT, LOOK_LOWAT);
	return 1;
}

static long hold_on(__u32 i, __u64 *end)
{
	return bpf_ktime_get_ns() > *end;
}

/* The iterator locks the socket while its program runs: for hold_ms */
SEC("iter/tcp")
int hold(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	__u64 end = bpf_ktime_get_ns() + hold_ms * 1000000ULL;

	if (!skc || skc->skc_state != BPF_TCP_ESTABLISHED || skc->skc_num != LOOK_PORT)
		return 0;
	holding = 1;
	for (int i = 0; i < 8; i++)
		bpf_loop(1 << 23, hold_on, &end, 0);
	holding = 0;
	return 0;
}

/* What the kernel has of an MPTCP socket and its subflows, and what comes of an
 * option that is set on the MPTCP socket
 */
SEC("cgroup/setsockopt")
int look_at_msk(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct mptcp_sock *msk;
	struct list_head *pos;
	unsigned int i;

	if (!sk || sk->protocol != IPPROTO_MPTCP || ctx->level != LOOK_LEVEL)
		return 1;
	if (ctx->optname == LOOK_SET_MARK)
		set(sk, SOL_SOCKET, SO_MARK, LOOK_MARK);

	msk = core_cast(sk, struct mptcp_sock);
	look.mark = core_cast(sk, struct sock)->sk_mark;
	look.seq = msk->setsockopt_seq;
	pos = msk->conn_list.next;
	for (i = 0; i < LOOK_MAX; i++) {
		struct mptcp_subflow_context *subflow;
		struct look_subflow *to;
		struct sock *ssk;

		if (pos == &msk->conn_list)
			break;
		/* its first field is the node */
		subflow = core_cast(pos, struct mptcp_subflow_context);
		ssk = core_cast(subflow->tcp_sock, struct sock);
		to = &look.subflows[i];
		to->mark = ssk->sk_mark;
		to->port = ssk->__sk_common.skc_num;
		to->daddr = ssk->__sk_common.skc_daddr;
		to->seq = subflow->setsockopt_seq;
		to->notsent_lowat = core_cast(ssk, struct tcp_sock)->notsent_lowat;
		to->keepidle = core_cast(ssk, struct tcp_sock)->keepalive_time;
		pos = core_cast(pos, struct list_head)->next;
	}
	look.nr = i;
	ctx->optlen = -1;
	return 1;
}
