/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The place of a subflow in the order in which those of its connection were
 * created, from 1: its ordinal.
 *
 * The kernel numbers the subflows of an MPTCP socket (subflow_id), and that
 * number is the ordinal in most cases. State is kept for the others alone.
 */
#ifndef __MPTCP_MARK_ORDER_H__
#define __MPTCP_MARK_ORDER_H__

#define CREATE		BPF_SK_STORAGE_GET_F_CREATE
#define MAX_TRIES	64	/* to count a join, where other CPUs count others */

/* Kept for MPTCP sockets whose ids do not tell the order */
struct subflow_count {
	union {
		__u64 word;		/* 0: not known yet */
		struct {
			__u32 last;	/* the last ordinal that was given */
			__u32 first_id;	/* the first id that does not tell its ordinal */
		};
	};
	__u32 earlier;			/* ids of connections before this one */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct subflow_count);
} subflow_counts SEC(".maps");

/* Does any program keep something for this socket? Faster than to ask for it */
static bool has_storage(const struct mptcp_sock *msk)
{
	return msk->sk.icsk_inet.sk.sk_bpf_storage;
}

/* After a disconnect, the ids go on from those of the connection before */
static __u32 initial_ordinal(struct mptcp_sock *msk)
{
	__u32 earlier = msk->subflow_id - 2;
	struct subflow_count *count;

	if (!earlier && !has_storage(msk))
		return 1;
	count = bpf_sk_storage_get(&subflow_counts, msk, NULL, earlier ? CREATE : 0);
	if (!count)
		return earlier ? 0 : 1;
	count->last = 1;
	count->first_id = msk->subflow_id;
	count->earlier = earlier;
	return 1;
}

/*
 * A join that is accepted while the MPTCP socket is locked gets its id later,
 * perhaps after younger joins. From the first one on, count the joins.
 */
static __u32 join_ordinal(struct mptcp_sock *msk, __u32 id)
{
	struct subflow_count *count, start = {};
	__u32 ordinal, last, was;
	int i;

	if (id && !has_storage(msk))
		return id;
	count = bpf_sk_storage_get(&subflow_counts, msk, NULL, id ? 0 : CREATE);
	if (!count && !id)	/* another CPU stored something at the same time */
		count = bpf_sk_storage_get(&subflow_counts, msk, NULL, CREATE);
	if (!count)
		return id;

	/*
	 * Read subflow_id only now. A join that another CPU opens meanwhile, and
	 * that found no storage yet, has taken a smaller id as its ordinal.
	 */
	start.first_id = msk->subflow_id;
	start.last = start.first_id - 1;
	__sync_val_compare_and_swap(&count->word, 0, start.word);
	if (id && id < count->first_id)
		return id - count->earlier;

	/* The next one, or a later one if joins came while no program was attached */
	last = count->last;
	for (i = 0; i < MAX_TRIES; i++) {
		ordinal = last + 1;
		if (id && (int)(id - count->earlier - ordinal) > 0)
			ordinal = id - count->earlier;
		was = __sync_val_compare_and_swap(&count->last, last, ordinal);
		if (was == last)
			return ordinal;
		last = was;	/* another CPU took one */
	}
	return 0;
}

#endif /* __MPTCP_MARK_ORDER_H__ */
