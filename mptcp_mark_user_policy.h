/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_MARK_USER_POLICY_H__
#define __MPTCP_MARK_USER_POLICY_H__

#include <stddef.h>
#include "progs/mptcp_policy.h"

#define RULE_SIZE	1024	/* room for a rule as text */
#define V4_BITS		96	/* of an IPv6 address, before the IPv4 address in it */
#define UNLIMITED	(~0U)	/* pacing */
#define SETS(action)	(1 << MPTCP_SET_##action)

/* Of a rate: the first that fits is printed */
struct policy_unit {
	const char *name;
	double bits;
};

extern const struct policy_unit policy_rates[];

/* mptcp_mark_user_rules.c */
void policy_read(const char *path, struct mptcp_ruleset *set);
const char *policy_action_name(enum mptcp_policy_action action);

/* mptcp_mark_user_print.c */
void policy_print_rule(char *out, size_t size, const struct mptcp_policy_rule *rule);

/* mptcp_mark_user_policy.c */
bool policy_of_program(int prog, struct mptcp_ruleset *set);
int policy_flush(const char *path);

#endif /* __MPTCP_MARK_USER_POLICY_H__ */
