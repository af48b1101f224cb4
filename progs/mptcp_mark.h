/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mark of its own for every subflow of an MPTCP connection: what
 * progs/mptcp_mark.c shares with user space.
 */
#ifndef __MPTCP_MARK_H__
#define __MPTCP_MARK_H__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/*
 * Settings, in the map ".data.mark_cfg". Set them before load through the
 * skeleton, or at any time by an update of the map: the next subflow follows.
 */
struct mptcp_mark_config {
	__u32 base;	/* the mark of ordinal n is base + n */
	__u32 mask;	/* bits of SO_MARK that are ours to write */
	__u32 debug;	/* not 0: trace each marking (bpf_printk()) */
};

/* Counters, in the map ".data.mark_cnt", since load. */
struct mptcp_mark_stats {
	__u64 marked;	/* subflows that got their mark */
	__u64 failed;	/* subflows left with the mark that they had */
};

/*
 * getsockopt(fd, SOL_MPTCP, MPTCP_MARK_TABLE, table, &len): the live subflows
 * of the MPTCP socket fd, in the kernel's own order (msk->conn_list), as a
 * struct mptcp_mark_table and the entries that fit behind it. On return, len
 * is the number of bytes written.
 *
 * Errors:
 *   EINVAL	len has no room for struct mptcp_mark_table
 *   EOPNOTSUPP	an MPTCP socket, but the program is not attached to its cgroup
 *   others	as the kernel answers SOL_MPTCP for a socket that is not MPTCP
 */
#ifndef SOL_MPTCP
#define SOL_MPTCP		284		/* include/linux/socket.h */
#endif
#define MPTCP_MARK_TABLE	0x6d61726b	/* "mark": far from the kernel's */

/* One subflow. Addresses and ports: struct inet_sock, include/net/inet_sock.h */
struct mptcp_mark_entry {
	__u32 id;		/* subflow_id, net/mptcp/protocol.h, as in MPTCP_FULL_INFO */
	__u32 mark;		/* SO_MARK, host order */
	__u16 family;		/* AF_INET or AF_INET6 */
	__be16 local_port;
	__be16 remote_port;
	__u16 reserved;		/* 0 */
	__u8 local[16];		/* AF_INET: the first four bytes, */
	__u8 remote[16];	/*          the others are 0 */
};

struct mptcp_mark_table {
	__u32 token;		/* local token of the connection, RFC 8684 3.2 */
	__u32 total;		/* live subflows, be there room for them or not */
	__u32 entry_size;	/* bytes from one entry to the next */
	__u32 reserved;		/* 0 */
	struct mptcp_mark_entry entry[];
};

#endif /* __MPTCP_MARK_H__ */
