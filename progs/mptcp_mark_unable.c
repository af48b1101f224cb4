// SPDX-License-Identifier: GPL-2.0
/* The program, unable to mark: an option that does not exist. For the tests. */
#include "bpf_tracing_net.h"

#undef SO_MARK
#define SO_MARK	0x7fff

#include "mptcp_mark.c"
