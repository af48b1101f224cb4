/* SPDX-License-Identifier: GPL-2.0 */
/* The records that the iterator of progs/mptcp_policy_read.c writes. */
#ifndef __MPTCP_POLICY_READ_H__
#define __MPTCP_POLICY_READ_H__

/* What bpf_getsockopt() says of a subflow */
struct mptcp_policy_values {
	__u32 token;		/* of the connection, at this end */
	__u32 id;		/* subflow_id, net/mptcp/protocol.h */
	__u32 mark;
	__u32 tos;		/* IP_TOS, or IPV6_TCLASS of an IPv6 socket */
	__u32 priority;
	__u32 pacing;		/* bytes per second */
	__u32 user_timeout;	/* ms */
	__u32 syncnt;
	__u32 keepalive;
	__u32 keep_idle;	/* s */
	__u32 keep_intvl;	/* s */
	__u32 keep_cnt;
	__u32 cb_flags;		/* BPF_SOCK_OPS_*_CB_FLAG */
	__u32 reserved;
	char congestion[16];
};

#endif /* __MPTCP_POLICY_READ_H__ */
