/* SPDX-License-Identifier: GPL-2.0 */
/* The records that the iterators of progs/mptcp_mark_show.c write. */
#ifndef __MPTCP_MARK_SHOW_H__
#define __MPTCP_MARK_SHOW_H__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define MPTCP_SHOW_BACKUP_LOCAL		1	/* this end asked for backup */
#define MPTCP_SHOW_BACKUP_REMOTE	2	/* the peer did */
#define MPTCP_SHOW_INITIAL		4	/* the first subflow of its connection */
#define MPTCP_SHOW_OPENED		8	/* by this end */
#define MPTCP_SHOW_BOUND		16	/* to its device */

/* A subflow */
struct mptcp_show_subflow {
	__u64 msk;		/* its MPTCP socket, by address */
	__u64 cgroup;		/* id of the cgroup of the subflow */
	__u64 sent;		/* bytes of TCP, those sent again included */
	__u64 received;
	__u32 token;		/* local token of the connection */
	__u32 id;		/* subflow_id, net/mptcp/protocol.h; 0: not known yet */
	__u32 first_id;		/* subflow_id of the first subflow, 1: it is closed, ~0: none */
	__u32 mark;
	__u32 rtt;		/* smoothed, in microseconds */
	__u32 ifindex;		/* of the device it is bound to, or else routed by; 0: none */
	__s16 local_id;		/* of the endpoint; negative: not known yet */
	__be16 local_port;
	__be16 remote_port;
	__u8 remote_id;
	__u8 flags;
	__u8 state;		/* TCP_ESTABLISHED and others, linux/tcp.h */
	__u8 family;
	__u8 reserved[2];
	__u8 local[16];		/* AF_INET: the first four bytes */
	__u8 remote[16];
	char congestion[16];
	char device[16];
};

/* An MPTCP socket whose subflows mptcp_mark counts, from its map subflow_counts */
struct mptcp_show_count {
	__u64 msk;
	__u32 first_counted;
	__u32 reserved;
};

#endif /* __MPTCP_MARK_SHOW_H__ */
