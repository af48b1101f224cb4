/* SPDX-License-Identifier: GPL-2.0 */
/* What progs/mptcp_sockopt.c and its test share. */
#ifndef __MPTCP_SOCKOPT_H__
#define __MPTCP_SOCKOPT_H__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define SOCKOPT_MAX	64		/* options in the table */
#define SOCKOPT_LEVEL	0x6f707421	/* setsockopt() at this level calls the program alone */

/* Where the program sets the options */
enum sockopt_hook {
	HOOK_NONE,
	/* hooks that have the TCP socket of a subflow */
	HOOK_BIND4,		/* or bind6 */
	HOOK_CONNECT4,		/* or connect6 */
	HOOK_TCP_CONNECT,
	HOOK_ACTIVE_ESTABLISHED,
	HOOK_PASSIVE_ESTABLISHED,
	HOOK_RTT,
	HOOK_STATE,
	HOOK_ITER,
	/* that of a listener */
	HOOK_LISTEN,
	/* hooks that have the MPTCP socket */
	HOOK_SETSOCKOPT,
	HOOK_GETSOCKNAME,
	HOOK_GETPEERNAME,
	HOOK_SOCK_CREATE,
	HOOK_POST_CREATE,
};

union sockopt_value {
	int num;
	char str[16];
};

/* What the program sets: up to an option with len 0 */
struct sockopt_option {
	int level, name;
	__u32 len;		/* of the value: that of num, or of str */
	union sockopt_value value;
};

/* What came of it: 0 or a negative errno, and the value read back */
struct sockopt_result {
	int set, get;
	union sockopt_value value;
};

/* A subflow, as the iterator reads it */
struct sockopt_subflow {
	__u32 link;		/* n of the client's address, 10.0.n.1 or dead:beef:n::1 */
	struct sockopt_result results[SOCKOPT_MAX];
};

#endif /* __MPTCP_SOCKOPT_H__ */
