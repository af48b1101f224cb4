/* SPDX-License-Identifier: GPL-2.0 */
/* The table of an MPTCP socket's subflows, as progs/mptcp_mark_table.c gives it. */
#ifndef __MPTCP_MARK_TABLE_H__
#define __MPTCP_MARK_TABLE_H__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/*
 * getsockopt(fd, SOL_MPTCP_MARK, MPTCP_MARK_TABLE, table, &len): the live
 * subflows of the MPTCP socket fd, in the order of msk->conn_list (net/mptcp/
 * protocol.h), as a struct mptcp_mark_subflows and the entries that fit. On
 * return, len is the number of bytes written.
 *
 * At most 80 entries are returned, as BPF sees one page of the buffer. total
 * counts all.
 *
 * Errors:
 *   EINVAL	len has no room for struct mptcp_mark_subflows
 *   others	the kernel's own, for a level that it does not know: the socket is
 *		not MPTCP, or the program is not attached to its cgroup
 */
#define SOL_MPTCP_MARK		0x6d61726b	/* a level of its own: the kernel has none such */
#define MPTCP_MARK_TABLE	1

/* One subflow */
struct mptcp_mark_subflow {
	__u32 id;		/* subflow_id, net/mptcp/protocol.h, as in MPTCP_FULL_INFO */
	__u32 mark;		/* SO_MARK, host order */
	__u16 family;		/* AF_INET or AF_INET6 */
	__be16 local_port;	/* network order, as the addresses */
	__be16 remote_port;
	__u16 reserved;		/* 0 */
	__u8 local[16];		/* AF_INET: the first four bytes, */
	__u8 remote[16];	/*          the others are 0 */
};

struct mptcp_mark_subflows {
	__u32 token;		/* local token of the connection, RFC 8684 section 3.2 */
	__u32 total;		/* live subflows, whether or not there is room for them */
	__u32 entry_size;	/* bytes from one entry to the next */
	__u32 reserved;		/* 0 */
	struct mptcp_mark_subflow subflow[];
};

#endif /* __MPTCP_MARK_TABLE_H__ */
