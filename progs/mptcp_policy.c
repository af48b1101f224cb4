// SPDX-License-Identifier: GPL-2.0
/*
 * Give each subflow of an MPTCP connection the socket options that a policy has
 * for its path: a list of rules, of which the first that fits counts.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "mptcp_mark_order.h"
#include "mptcp_mark_subflow.h"
#include "mptcp_policy.h"

#define MAX_LEVELS	32	/* of cgroups below the one of the policy */
#define DEV_HASH_SIZE	256	/* NETDEV_HASHENTRIES, include/linux/netdevice.h */
#define DEV_HASH_CHAIN	32	/* as far as a device is looked for */

/* For apply(), besides the number of a rule */
#define NEW		0x100	/* no rule was looked for yet */
#define AGAIN		0x200	/* the kernel may have replaced what the rule had set */

/* Callbacks that tell when a backup flag has changed */
#define BACKUP_FLAGS	(BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | \
			 BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)

char _license[] SEC("license") = "GPL";

/* The id of the cgroup that this program is attached to */
__u64 own_cgroup;

/* The policy of that cgroup: another one comes with another program */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mptcp_ruleset);
} mptcp_ruleset SEC(".maps");

#define POLICY_ID	(((struct bpf_map *)&mptcp_ruleset)->id)

/* The ids of all cgroups that have a policy, for the programs of all of them */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);		/* not used */
} mptcp_policies SEC(".maps");

/* Kept for subflows that have to be looked at again, or whose id is not the ordinal */
struct policy_state {
	__u32 ordinal;
	__u32 flags;		/* callbacks that we asked for, to be cleared again */
	__u32 rule;		/* number of the rule that it came to, or 0 */
	__u32 policy;		/* POLICY_ID of the program that had the rule */
	__u8 is;		/* the bits of its backup flags as they were then */
	bool pending;		/* accepted, and has no id yet */
	bool undecided;		/* opened, and its local address, with its flags, not known yet */
	__u8 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct policy_state);
} policy_states SEC(".maps");

/* The policy of our cgroup, unless a cgroup below that has the socket has its own */
static struct mptcp_ruleset *find_policy(struct sock *sk)
{
	struct cgroup *cgroup = sk->sk_cgrp_data.cgroup, *ancestor;
	__u64 id = cgroup->kn->id;
	int i, level = cgroup->level;
	__u32 zero = 0;

	for (i = 0; id != own_cgroup && i < MAX_LEVELS && --level >= 0; i++) {
		if (bpf_map_lookup_elem(&mptcp_policies, &id))
			return NULL;
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		id = BPF_CORE_READ(ancestor, kn, id);
	}
	return id == own_cgroup ? bpf_map_lookup_elem(&mptcp_ruleset, &zero) : NULL;
}

/* What the kernel's dev_get_by_index() finds */
static void find_dev(struct mptcp_policy_dev *dev, struct sock *sk)
{
	int i, ifindex = sk->__sk_common.skc_bound_dev_if;
	struct net *net = sk->__sk_common.skc_net.net;
	struct hlist_node *node;
	struct net_device *d;

	bpf_probe_read_kernel(&node, sizeof(node),
			      &net->dev_index_head[ifindex & (DEV_HASH_SIZE - 1)]);
	for (i = 0; ifindex && node && i < DEV_HASH_CHAIN; i++) {
		d = (void *)node - bpf_core_field_offset(struct net_device, index_hlist);
		if (BPF_CORE_READ(d, ifindex) == ifindex) {
			BPF_CORE_READ_STR_INTO(&dev->name, d, name);
			return;
		}
		node = BPF_CORE_READ(node, next);
	}
}

static void find_addresses(struct mptcp_policy_subflow *s, struct sock_common *skc)
{
	if (skc->skc_family == AF_INET) {
		s->local.part[2] = bpf_htonl(0xffff);
		s->local.part[3] = skc->skc_rcv_saddr;
		s->remote.part[2] = bpf_htonl(0xffff);
		s->remote.part[3] = skc->skc_daddr;
	} else if (bpf_core_field_exists(skc->skc_v6_daddr)) {	/* CONFIG_IPV6 */
		BPF_CORE_READ_INTO(&s->local, skc, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&s->remote, skc, skc_v6_daddr);
	}
}

static __u8 backup_bits(struct mptcp_subflow_context *subflow)
{
	__u8 is = 0;

	if (BPF_CORE_READ_BITFIELD(subflow, request_bkup))
		is |= MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_LOCAL;
	if (BPF_CORE_READ_BITFIELD(subflow, backup))
		is |= MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_REMOTE;
	return is;
}

/* Not accepted. One that fell back before its SYN, or as both SYNs crossed, asks for nothing */
static bool is_opened(const void *ssk)
{
	struct mptcp_subflow_context *subflow = subflow_of(ssk);

	return BPF_CORE_READ_BITFIELD(subflow, request_mptcp) ||
	       BPF_CORE_READ_BITFIELD(subflow, request_join) ||
	       (!BPF_CORE_READ_BITFIELD(subflow, mp_capable) &&
		!BPF_CORE_READ_BITFIELD(subflow, mp_join));
}

static void describe(struct mptcp_policy_subflow *s, struct mptcp_ruleset *policy,
		     struct sock *sk, __u32 ordinal)
{
	struct mptcp_subflow_context *subflow = subflow_of(sk);

	s->key.ordinal = ordinal;
	s->key.local_id = subflow->local_id;
	s->key.remote_id = subflow->remote_id;
	find_addresses(s, &sk->__sk_common);
	s->key.is = (is_opened(sk) ? MPTCP_IS_OPENED : MPTCP_IS_ACCEPTED) |
		    (mptcp_policy_is_mapped(&s->remote) ? MPTCP_IS_INET : MPTCP_IS_INET6);
	if (policy->looks_at & MPTCP_POLICY_BACKUP)
		s->key.is |= backup_bits(subflow);
	if (policy->looks_at & MPTCP_POLICY_DEV)
		find_dev(&s->dev, sk);
}

/* Inlined, as it has more arguments than a function may have */
static __always_inline void set_option(void *ctx, bool wanted, bool count, __u64 *refused,
				       int level, int name, void *value, int len)
{
	if (wanted && bpf_setsockopt(ctx, level, name, value, len) && count)
		__sync_fetch_and_add(refused, 1);
}

/* A global function, as the verifier looks at these once, not in each context */
__noinline __u32 find_rule(const struct mptcp_ruleset *policy,
			   const struct mptcp_policy_subflow *s)
{
	return policy && s ? mptcp_policy_find(policy, s) : 0;
}

/*
 * Set what the first rule that fits says, unless it is the rule that the subflow
 * had before. ctx is what bpf_setsockopt() takes. Returns the number of the rule.
 */
static __u32 apply(void *ctx, struct mptcp_ruleset *policy, struct sock *sk,
		   struct mptcp_policy_subflow *s, __u32 before)
{
	bool again = before & AGAIN;
	__u32 number = find_rule(policy, s), mark, one = 1;
	struct mptcp_policy_stats *stats;
	struct mptcp_policy_rule *rule;
	__u32 set, priority;

	/* One register, so that the verifier sees that what is checked is what is used */
	barrier_var(number);
	before &= ~AGAIN;
	if (!number && before == NEW)
		__sync_fetch_and_add(&policy->unmatched, 1);
	if (!number || (number == before && !again) || number > MPTCP_POLICY_RULES)
		return number;
	rule = &policy->rules[number - 1];
	stats = &policy->stats[number - 1];
	if (number != before)
		__sync_fetch_and_add(&stats->matched, 1);

#define SET(action, level, name, value)							\
	set_option(ctx, set & (1 << MPTCP_SET_##action), number != before,		\
		   &stats->refused[MPTCP_SET_##action], level, name, &(value), sizeof(value))

	set = rule->actions;
	mark = (sk->sk_mark & ~rule->mark_mask) | (rule->mark & rule->mark_mask);
	SET(MARK, SOL_SOCKET, SO_MARK, mark);
	if (!(set & ~(1 << MPTCP_SET_MARK)))
		return number;		/* most rules set nothing else */
	SET(CONGESTION, SOL_TCP, TCP_CONGESTION, rule->congestion);
	priority = sk->sk_priority;
	/* The kernel has copied another TOS, and its priority: take that of the MPTCP socket */
	if (again && bpf_core_cast(sk, struct inet_sock)->tos != rule->tos)
		priority = BPF_CORE_READ(subflow_of(sk), conn, sk_priority);
	/* Not to be joined with the next load: the verifier wants one kind of pointer in each */
	barrier_var(priority);
	if (set & (1 << MPTCP_SET_PRIORITY))
		priority = rule->priority;
	if (s->key.is & MPTCP_IS_INET6) {
		SET(TOS, SOL_IPV6, IPV6_TCLASS, rule->tos);
	} else {
		SET(TOS, IPPROTO_IP, IP_TOS, rule->tos);
		/* That has changed the priority, too */
		if (set & (1 << MPTCP_SET_TOS))
			set |= 1 << MPTCP_SET_PRIORITY;
	}
	SET(PRIORITY, SOL_SOCKET, SO_PRIORITY, priority);
	SET(PACING, SOL_SOCKET, SO_MAX_PACING_RATE, rule->pacing);
	SET(USER_TIMEOUT, SOL_TCP, TCP_USER_TIMEOUT, rule->user_timeout);
	SET(SYNCNT, SOL_TCP, TCP_SYNCNT, rule->syncnt);
	SET(KEEPALIVE, SOL_TCP, TCP_KEEPIDLE, rule->keep_idle);
	SET(KEEPALIVE, SOL_TCP, TCP_KEEPINTVL, rule->keep_intvl);
	SET(KEEPALIVE, SOL_TCP, TCP_KEEPCNT, rule->keep_cnt);
	SET(KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE, one);
#undef SET
	return number;
}

/* Before the SYN is built, or as a subflow is accepted */
static void handle_new(struct bpf_sock_ops *skops, struct bpf_sock *ssk, struct mptcp_sock *msk)
{
	struct sock *sk = bpf_core_cast(ssk, struct sock);
	struct mptcp_subflow_context *subflow = subflow_of(sk);
	__u32 ordinal, rule, looks_at, id = subflow->subflow_id;
	struct mptcp_policy_subflow s = {};
	struct mptcp_ruleset *policy;
	struct policy_state *state = NULL;
	bool join = msk->first != sk, pending, undecided, backup;

	/* Kept in any case, so that a later policy knows the order */
	ordinal = join ? join_ordinal(msk, id) : initial_ordinal(msk);
	policy = find_policy(sk);
	looks_at = policy ? policy->looks_at : 0;
	pending = join && !id;
	backup = looks_at & MPTCP_POLICY_BACKUP;
	undecided = subflow->local_id < 0 && (backup || (looks_at & MPTCP_POLICY_ENDPOINT));
	if (pending || undecided || backup || id != ordinal)
		state = bpf_sk_storage_get(&policy_states, ssk, NULL, CREATE);
	if (state) {
		state->ordinal = ordinal;
		state->pending = pending;
		state->undecided = undecided;
		state->is = backup_bits(subflow);
		if (pending || backup)
			ask_for(skops, &state->flags, (pending ? PENDING_FLAGS : 0) |
						      (backup ? BACKUP_FLAGS : 0));
	}
	if (!policy)
		return;
	if (!ordinal || (!state && (pending || undecided || backup)))
		__sync_fetch_and_add(&policy->failed, 1);
	if (undecided && state)
		return;
	describe(&s, policy, sk, ordinal);
	rule = apply(skops, policy, sk, &s, NEW);
	if (state) {
		state->rule = rule;
		state->policy = POLICY_ID;
	}
}

/* The subflow has its id now, or its address, or another backup flag? */
static void handle_change(struct bpf_sock_ops *skops, struct bpf_sock *ssk,
			  struct policy_state *state)
{
	bool closed = skops->op == BPF_SOCK_OPS_STATE_CB && skops->args[1] == BPF_TCP_CLOSE;
	struct sock *sk = bpf_core_cast(ssk, struct sock);
	struct mptcp_subflow_context *subflow = subflow_of(sk);
	struct mptcp_policy_subflow s = {};
	struct mptcp_ruleset *policy;
	__u8 is = backup_bits(subflow);
	bool again = false, decided = false, lost = false, backup;
	__u32 before = 0;

	if (state->pending) {
		if (!subflow->subflow_id && !closed) {
			/* Again, as another program may have cleared them */
			ask_for(skops, &state->flags, PENDING_FLAGS);
			return;
		}
		/* The kernel may have replaced what was set as it gave the id */
		state->pending = false;
		again = true;
		lost = !subflow->subflow_id;
	}
	if (state->undecided && subflow->local_id >= 0) {
		state->undecided = false;
		decided = true;
	}
	if (!again && !decided && is == state->is)
		return;

	state->is = is;
	policy = find_policy(sk);
	backup = policy && (policy->looks_at & MPTCP_POLICY_BACKUP);
	if (policy && lost) {
		__sync_fetch_and_add(&policy->failed, 1);
	} else if (policy && !closed && (again || decided || backup)) {
		describe(&s, policy, sk, state->ordinal);
		if (decided || (again && state->policy != POLICY_ID))
			before = NEW;
		else if (state->policy == POLICY_ID)
			before = state->rule;
		state->rule = apply(skops, policy, sk, &s, again ? before | AGAIN : before);
		state->policy = POLICY_ID;
	}
	/* A policy of a cgroup below may need them, too */
	let_go(skops, &state->flags, backup || !policy ? BACKUP_FLAGS : 0);
}

SEC("sockops")
int mptcp_policy(struct bpf_sock_ops *skops)
{
	struct bpf_sock *ssk = skops->sk;
	struct policy_state *state;
	struct mptcp_sock *msk;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:		/* before the SYN is built */
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:	/* before an accepted subflow sends */
	case BPF_SOCK_OPS_RWND_INIT:			/* the local address is known */
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:	/* the peer's backup flag is known */
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:		/* ours may have changed */
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:		/* the peer's may have */
	case BPF_SOCK_OPS_STATE_CB:
	case BPF_SOCK_OPS_RTT_CB:			/* in case that our flags were cleared */
		break;
	default:
		return 1;
	}

	if (!ssk || !is_subflow(ssk))	/* plain TCP */
		return 1;
	if (skops->op != BPF_SOCK_OPS_TCP_CONNECT_CB &&
	    skops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		/* Most sockets have no storage: to see that is faster than to ask for ours */
		if (!bpf_core_cast(ssk, struct sock)->sk_bpf_storage)
			return 1;
		state = bpf_sk_storage_get(&policy_states, ssk, NULL, 0);
		if (state)
			handle_change(skops, ssk, state);
		return 1;
	}
	if (skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && is_opened(ssk))
		return 1;	/* simultaneous open: it has come to its rule */
	msk = bpf_skc_to_mptcp_sock(ssk);
	if (!msk)
		return 1;
	handle_new(skops, ssk, msk);
	return 1;	/* the connection goes on, whatever happened */
}

/*
 * Of a subflow that exists, or 0 if it is not known: after a disconnect, the ids
 * go on from those of the connection before.
 */
static __u32 known_ordinal(struct sock *sk, struct policy_state *state)
{
	struct mptcp_subflow_context *subflow = subflow_of(sk);
	struct mptcp_sock *msk = bpf_core_cast(subflow->conn, struct mptcp_sock);
	struct sock *first;

	if (state)
		return state->ordinal;
	first = msk->first;
	if (first == sk)
		return 1;
	/* The kernel clears the id of a first subflow that is closed */
	if (first && (first->__sk_common.skc_state == TCP_CLOSE ||
		      subflow_of(first)->subflow_id == 1))
		return subflow->subflow_id;
	return 0;
}

/* The policy for the subflows that there are, in the network namespace of the reader */
SEC("iter/tcp")
int mptcp_policy_apply(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct mptcp_policy_subflow s = {};
	struct mptcp_ruleset *policy;
	struct policy_state *state;
	struct tcp_sock *tp;
	struct sock *sk;
	int flags, present;
	__u32 ordinal, rule;

	if (!skc || skc->skc_state == TCP_LISTEN || skc->skc_state == TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !tp->is_mptcp)
		return 0;
	sk = bpf_core_cast(tp, struct sock);
	policy = find_policy(sk);
	if (!policy)
		return 0;

	state = bpf_sk_storage_get(&policy_states, tp, NULL, 0);
	ordinal = known_ordinal(sk, state);
	if (policy->looks_at & MPTCP_POLICY_BACKUP) {
		present = tp->bpf_sock_ops_cb_flags;
		flags = present | BACKUP_FLAGS;
		state = bpf_sk_storage_get(&policy_states, tp, NULL, CREATE);
		if (!state || bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
					     sizeof(flags))) {
			__sync_fetch_and_add(&policy->failed, 1);
		} else {
			state->ordinal = ordinal;
			state->flags |= flags & ~present;
			state->is = backup_bits(subflow_of(sk));
		}
	} else if (state && state->flags && !state->pending) {
		/* The policy before named backup, this one does not */
		flags = tp->bpf_sock_ops_cb_flags & ~state->flags;
		if (!bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
			state->flags = 0;
	}
	describe(&s, policy, sk, ordinal);
	rule = apply(tp, policy, sk, &s, 0);
	if (state) {
		state->rule = rule;
		state->policy = POLICY_ID;
	}
	return 0;
}
