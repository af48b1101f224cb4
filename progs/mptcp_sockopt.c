// SPDX-License-Identifier: GPL-2.0
/*
 * Set each option that bpf_setsockopt() knows on one subflow of an MPTCP
 * connection, or on its MPTCP socket, at one of the hooks that hold it, and
 * read it back there. The iterator reads the options of all subflows.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "mptcp_sockopt.h"

char _license[] SEC("license") = "GPL";

struct sockopt_option options[SOCKOPT_MAX] SEC(".data.options");
struct sockopt_result results[SOCKOPT_MAX];
struct sockopt_subflow subflow;		/* what the iterator writes */
__u32 hook, link, calls;

/* Each is read back at once: some change others */
static __always_inline void do_options(void *ctx, struct sockopt_result *to, bool set)
{
	__u32 i;

	bpf_for(i, 0, SOCKOPT_MAX) {
		struct sockopt_option *o = &options[i];
		struct sockopt_result *r = &to[i];
		__u32 len = o->len;

		if (!len)
			break;
		barrier_var(len);	/* two comparisons, as the verifier of 6.12 wants them */
		if (len > sizeof(o->value))
			break;
		if (set)
			r->set = bpf_setsockopt(ctx, o->level, o->name, &o->value, len);
		r->get = bpf_getsockopt(ctx, o->level, o->name, &r->value, len);
	}
}

static __always_inline void set_options(void *ctx)
{
	do_options(ctx, results, true);
	__sync_fetch_and_add(&calls, 1);
}

/* The client has 10.0.link.1 or dead:beef:link::1, whichever end this socket is of */
static __u32 link_of(const struct sock_common *skc)
{
	struct in6_addr local, remote;

	if (skc->skc_family == AF_INET) {
		__u32 local4 = bpf_ntohl(skc->skc_rcv_saddr);

		return (local4 & 0xff) == 1 ? local4 >> 8 & 0xff :
					      bpf_ntohl(skc->skc_daddr) >> 8 & 0xff;
	}
	if (!bpf_core_field_exists(skc->skc_v6_daddr))	/* no CONFIG_IPV6 */
		return 0;
	local = skc->skc_v6_rcv_saddr;
	remote = skc->skc_v6_daddr;
	return bpf_ntohs(local.in6_u.u6_addr8[15] == 1 ? local.in6_u.u6_addr16[2] :
							 remote.in6_u.u6_addr16[2]);
}

/* The subflow whose options are to be set */
static bool wanted(__u32 here, void *sk)
{
	return hook == here && sk &&
	       link_of(&bpf_core_cast(sk, struct sock)->__sk_common) == link;
}

/* Not bound yet: the address is that of the call */
SEC("?cgroup/bind4")
int on_bind4(struct bpf_sock_addr *ctx)
{
	if (hook == HOOK_BIND4 && (bpf_ntohl(ctx->user_ip4) >> 8 & 0xff) == link)
		set_options(ctx);
	return 1;
}

SEC("?cgroup/bind6")
int on_bind6(struct bpf_sock_addr *ctx)
{
	if (hook == HOOK_BIND4 && bpf_ntohl(ctx->user_ip6[1]) >> 16 == link)
		set_options(ctx);
	return 1;
}

SEC("?cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	if (wanted(HOOK_CONNECT4, ctx->sk))
		set_options(ctx);
	return 1;
}

SEC("?cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	if (wanted(HOOK_CONNECT4, ctx->sk))
		set_options(ctx);
	return 1;
}

SEC("?sockops")
int on_sockops(struct bpf_sock_ops *skops)
{
	void *sk = skops->sk;
	__u32 here;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		here = HOOK_TCP_CONNECT;
		if (hook == HOOK_RTT || hook == HOOK_STATE)
			bpf_sock_ops_cb_flags_set(skops, BPF_SOCK_OPS_RTT_CB_FLAG |
							 BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		here = HOOK_ACTIVE_ESTABLISHED;
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		here = HOOK_PASSIVE_ESTABLISHED;
		break;
	case BPF_SOCK_OPS_RTT_CB:
		here = HOOK_RTT;
		break;
	case BPF_SOCK_OPS_STATE_CB:
		here = HOOK_STATE;
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		here = HOOK_LISTEN;
		break;
	default:
		return 1;
	}
	/* The first time: RTT and STATE callbacks come again */
	if (wanted(here, sk) && !calls)
		set_options(skops);
	return 1;
}

/* Reads the options of each TCP socket that has a link, and sets them on one */
SEC("iter/tcp")
int on_iter(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	tp = skc && skc->skc_state == BPF_TCP_ESTABLISHED ? bpf_skc_to_tcp_sock(skc) : NULL;
	if (!tp)
		return 0;
	subflow.link = link_of(skc);
	if (wanted(HOOK_ITER, tp))
		set_options(tp);
	do_options(tp, subflow.results, false);
	bpf_seq_write(ctx->meta->seq, &subflow, sizeof(subflow));
	return 0;
}

static bool wanted_msk(__u32 here, struct bpf_sock *sk)
{
	return hook == here && sk && sk->protocol == IPPROTO_MPTCP;
}

SEC("?cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->level != SOCKOPT_LEVEL)
		return 1;
	if (wanted_msk(HOOK_SETSOCKOPT, ctx->sk))
		set_options(ctx->sk);
	ctx->optlen = -1;
	return 1;
}

SEC("?cgroup/getsockname4")
int on_getsockname4(struct bpf_sock_addr *ctx)
{
	if (wanted_msk(HOOK_GETSOCKNAME, ctx->sk))
		set_options(ctx);
	return 1;
}

SEC("?cgroup/getpeername4")
int on_getpeername4(struct bpf_sock_addr *ctx)
{
	if (wanted_msk(HOOK_GETPEERNAME, ctx->sk))
		set_options(ctx);
	return 1;
}

SEC("?cgroup/sock_create")
int on_sock_create(struct bpf_sock *ctx)
{
	if (hook == HOOK_SOCK_CREATE && ctx->protocol == IPPROTO_MPTCP)
		set_options(ctx);
	return 1;
}

SEC("?lsm_cgroup/socket_post_create")
int BPF_PROG(on_post_create, struct socket *sock, int family, int type, int protocol, int kern)
{
	struct sock *sk = sock->sk;

	if (hook == HOOK_POST_CREATE && sk && protocol == IPPROTO_MPTCP && !kern)
		set_options(sk);
	return 1;
}
