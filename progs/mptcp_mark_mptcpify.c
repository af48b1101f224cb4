// SPDX-License-Identifier: GPL-2.0
/*
 * The TCP sockets that the processes of two cgroups create become MPTCP ones,
 * for programs that do not know of it. Their own children cgroups stay as they
 * are.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef SOCK_TYPE_MASK
#define SOCK_TYPE_MASK	0xf	/* include/linux/net.h */
#endif

char _license[] SEC("license") = "GPL";

/* Ids of the cgroups: the inode numbers of their folders */
__u64 mptcpify_cgroups[2] SEC(".data.cgroups") = { ~0ULL, ~0ULL };

SEC("fmod_ret/update_socket_protocol")
int BPF_PROG(mptcp_mark_mptcpify, int family, int type, int protocol)
{
	__u64 id = bpf_get_current_cgroup_id();

	if (id != mptcpify_cgroups[0] && id != mptcpify_cgroups[1])
		return protocol;

	if ((family == AF_INET || family == AF_INET6) &&
	    (type & SOCK_TYPE_MASK) == SOCK_STREAM &&
	    (!protocol || protocol == IPPROTO_TCP))
		return IPPROTO_MPTCP;

	return protocol;
}
