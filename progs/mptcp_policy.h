/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A policy for the subflows of the MPTCP connections of a cgroup: rules of which
 * the first that fits a subflow says what socket options it has. Shared by
 * progs/mptcp_policy.c and user space.
 *
 * The map "mptcp_ruleset" of the program has the policy of one cgroup. An update of
 * the program's link replaces both, as a whole.
 */
#ifndef __MPTCP_POLICY_H__
#define __MPTCP_POLICY_H__

#ifndef __VMLINUX_H__
#include <stdbool.h>
#include <linux/types.h>
#endif

#define MPTCP_POLICY_RULES	32
#define MPTCP_POLICY_NAME	16	/* IFNAMSIZ, TCP_CA_NAME_MAX */

/* Properties of a subflow, a bit each */
#define MPTCP_IS_OPENED		0x01	/* by this end */
#define MPTCP_IS_ACCEPTED	0x02
#define MPTCP_IS_INET		0x04	/* IPv4 on the wire, on IPv6 sockets too */
#define MPTCP_IS_INET6		0x08
#define MPTCP_IS_BACKUP		0x10	/* for either end: RFC 8684, section 3.3.8 */
#define MPTCP_IS_BACKUP_LOCAL	0x20	/* this end asked for it: request_bkup */
#define MPTCP_IS_BACKUP_REMOTE	0x40	/* the peer did: backup, net/mptcp/protocol.h */

/* What tells subflows apart, but for addresses and device */
struct mptcp_policy_key {
	union {
		__u64 word;
		struct {
			__u32 ordinal;		/* place in the order of creation, from 1 */
			__u8 local_id;		/* address ids: RFC 8684, section 3.4.1 */
			__u8 remote_id;
			__u8 is;		/* bits MPTCP_IS_* */
			__u8 reserved;
		};
	};
};

/* IPv4 addresses as ::ffff:a.b.c.d */
struct mptcp_policy_addr {
	union {
		__u64 word[2];
		__u8 byte[16];
		__be32 part[4];
	};
};

/* Padded with zeros, so that two are compared at once */
struct mptcp_policy_dev {
	union {
		__u64 word[2];
		char name[MPTCP_POLICY_NAME];
	};
};

struct mptcp_policy_subflow {
	struct mptcp_policy_key key;
	struct mptcp_policy_addr local, remote;
	struct mptcp_policy_dev dev;	/* that it is bound to, or "" */
};

/* What a rule sets, one bit each of its actions */
enum mptcp_policy_action {
	MPTCP_SET_MARK,
	MPTCP_SET_CONGESTION,
	MPTCP_SET_TOS,
	MPTCP_SET_PRIORITY,
	MPTCP_SET_PACING,
	MPTCP_SET_USER_TIMEOUT,
	MPTCP_SET_SYNCNT,
	MPTCP_SET_KEEPALIVE,
	MPTCP_SET_NUM
};

struct mptcp_policy_rule {
	/* Matches: all bits that are set in a mask are compared */
	struct mptcp_policy_key key, key_mask;
	struct mptcp_policy_addr from, from_mask;
	struct mptcp_policy_addr to, to_mask;
	struct mptcp_policy_dev dev;	/* "": any, or none */

	__u32 actions;
	__u32 mark, mark_mask;		/* the other bits of SO_MARK stay */
	__u32 tos;			/* IP_TOS, or IPV6_TCLASS */
	__u32 priority;			/* SO_PRIORITY */
	__u32 pacing;			/* SO_MAX_PACING_RATE, bytes per second */
	__u32 user_timeout;		/* TCP_USER_TIMEOUT, ms */
	__u32 syncnt;			/* TCP_SYNCNT, SYNs sent again */
	__u32 keep_idle;		/* TCP_KEEPIDLE, s; SO_KEEPALIVE is set with it */
	__u32 keep_intvl;		/* TCP_KEEPINTVL, s */
	__u32 keep_cnt;			/* TCP_KEEPCNT, probes */
	char congestion[MPTCP_POLICY_NAME];
};

struct mptcp_policy_stats {
	__u64 matched;			/* times that a subflow came to this rule */
	__u64 refused[MPTCP_SET_NUM];	/* times that the kernel refused to set it */
};

/* What the rules of a policy look at, so that nobody pays for the rest */
#define MPTCP_POLICY_BACKUP	0x01
#define MPTCP_POLICY_ENDPOINT	0x02
#define MPTCP_POLICY_DEV	0x04
#define MPTCP_POLICY_ORDINAL	0x08

struct mptcp_ruleset {
	__u32 num;			/* rules */
	__u32 looks_at;			/* bits MPTCP_POLICY_* */
	__u64 unmatched;		/* subflows that no rule fitted */
	__u64 failed;			/* no memory: changes of these subflows are not seen,
					 * or their order is not known
					 */
	struct mptcp_policy_rule rules[MPTCP_POLICY_RULES];
	struct mptcp_policy_stats stats[MPTCP_POLICY_RULES];
};

/* Is it an IPv4 address? Bytes 8 to 11 are 0, 0, 255, 255, in either byte order */
static inline bool mptcp_policy_is_mapped(const struct mptcp_policy_addr *addr)
{
	return !addr->word[0] && !addr->byte[8] && !addr->byte[9] &&
	       addr->byte[10] == 255 && addr->byte[11] == 255;
}

static inline bool mptcp_policy_within(const struct mptcp_policy_addr *addr,
				       const struct mptcp_policy_addr *prefix,
				       const struct mptcp_policy_addr *mask)
{
	return !((addr->word[0] ^ prefix->word[0]) & mask->word[0]) &&
	       !((addr->word[1] ^ prefix->word[1]) & mask->word[1]);
}

static inline bool mptcp_policy_fits(const struct mptcp_policy_rule *rule,
				     const struct mptcp_policy_subflow *s)
{
	return !((rule->key.word ^ s->key.word) & rule->key_mask.word) &&
	       mptcp_policy_within(&s->local, &rule->from, &rule->from_mask) &&
	       mptcp_policy_within(&s->remote, &rule->to, &rule->to_mask) &&
	       (!rule->dev.word[0] || (rule->dev.word[0] == s->dev.word[0] &&
				       rule->dev.word[1] == s->dev.word[1]));
}

/* The number of the first rule that fits, from 1, or 0 */
static inline __u32 mptcp_policy_find(const struct mptcp_ruleset *policy,
				      const struct mptcp_policy_subflow *s)
{
	__u32 i;

	for (i = 0; i < MPTCP_POLICY_RULES && i < policy->num; i++)
		if (mptcp_policy_fits(&policy->rules[i], s))
			return i + 1;
	return 0;
}

/* The bits MPTCP_POLICY_* of a rule */
static inline __u32 mptcp_policy_looks_at(const struct mptcp_policy_rule *rule)
{
	__u32 looks_at = 0;

	if (rule->key_mask.is & (MPTCP_IS_BACKUP | MPTCP_IS_BACKUP_LOCAL | MPTCP_IS_BACKUP_REMOTE))
		looks_at |= MPTCP_POLICY_BACKUP;
	if (rule->key_mask.local_id)
		looks_at |= MPTCP_POLICY_ENDPOINT;
	if (rule->dev.word[0])
		looks_at |= MPTCP_POLICY_DEV;
	if (rule->key_mask.ordinal)
		looks_at |= MPTCP_POLICY_ORDINAL;
	return looks_at;
}

#endif /* __MPTCP_POLICY_H__ */
