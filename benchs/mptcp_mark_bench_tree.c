// SPDX-License-Identifier: GPL-2.0
/* The tree's own example, less the congestion control that it sets as well. */
#include "bpf_tracing_net.h"
#include <bpf/bpf_helpers.h>

static long (* const set_option)(void *ctx, int level, int name, void *val, int len) =
	(void *)BPF_FUNC_setsockopt;

static __always_inline long set_mark(void *ctx, int level, int name, void *val, int len)
{
	return level == SOL_SOCKET ? set_option(ctx, level, name, val, len) : 0;
}

#define bpf_setsockopt set_mark
#include "mptcp_subflow.c"
