/* SPDX-License-Identifier: GPL-2.0 */
/* What progs/mptcp_mark.c shares with user space. */
#ifndef __MPTCP_MARK_H__
#define __MPTCP_MARK_H__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/*
 * The n-th subflow of a connection gets the mark
 * (inherited & ~mask) | ((base + n) & mask), in host order.
 *
 * The map is ".data.mark_cfg". Set base and mask before load, through the
 * skeleton, or at any later time by one store of word into the mmap'ed map: a
 * subflow then gets its mark from the old pair or from the new one. An update
 * by bpf(2) is a memcpy() in the kernel, and promises no such thing.
 */
struct mptcp_mark_config {
	union {
		__u64 word;
		struct {
			__u32 base;	/* added to the ordinal n, which starts at 1 */
			__u32 mask;	/* the bits of SO_MARK to write; the others stay */
		};
	};
};

/* Counters of subflows since load, in the map ".data.mark_cnt" */
struct mptcp_mark_stats {
	__u64 marked;	/* have their mark */
	__u64 failed;	/* have it not, or the kernel may take it away again */
	__u64 pending;	/* accepted while their MPTCP socket was locked: they are marked,
			 * but the kernel may replace the mark when it gives them their
			 * id (__mptcp_finish_join(), net/mptcp/protocol.c). The next
			 * packet received sets it again, and they count as marked.
			 */
};

#endif /* __MPTCP_MARK_H__ */
