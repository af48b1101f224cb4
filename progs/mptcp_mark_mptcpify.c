// SPDX-License-Identifier: GPL-2.0
/*
 * The TCP sockets that the processes of a cgroup and of its descendants create
 * become MPTCP ones, for programs that do not know of it.
 */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef SOCK_TYPE_MASK
#define SOCK_TYPE_MASK	0xf	/* include/linux/net.h */
#endif

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} mptcpify_cgroup SEC(".maps");

SEC("fmod_ret/update_socket_protocol")
int BPF_PROG(mptcp_mark_mptcpify, int family, int type, int protocol)
{
	if ((family == AF_INET || family == AF_INET6) &&
	    (type & SOCK_TYPE_MASK) == SOCK_STREAM &&
	    (!protocol || protocol == IPPROTO_TCP) &&
	    bpf_current_task_under_cgroup(&mptcpify_cgroup, 0) == 1)
		return IPPROTO_MPTCP;

	return protocol;
}
