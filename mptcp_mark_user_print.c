// SPDX-License-Identifier: GPL-2.0
/* The rules of a policy as text that can be read again. */
#include <arpa/inet.h>
#include <stdio.h>
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

static int print_prefix(char *out, size_t size, const char *word,
			const struct mptcp_policy_addr *prefix,
			const struct mptcp_policy_addr *mask)
{
	char text[INET6_ADDRSTRLEN] = "";
	int len = 0, first;

	while (len < 128 && (mask->byte[len / 8] & (0x80 >> len % 8)))
		len++;
	if (!len)
		return 0;
	/* The first 96 bits of an IPv4 prefix are always compared */
	first = len >= V4_BITS && mptcp_policy_is_mapped(prefix) ? V4_BITS : 0;
	inet_ntop(first ? AF_INET : AF_INET6, &prefix->byte[first / 8], text, sizeof(text));
	return len == 128 ? snprintf(out, size, "%s %s ", word, text) :
	       snprintf(out, size, "%s %s/%d ", word, text, len - first);
}

static int print_rate(char *out, size_t size, __u32 bytes)
{
	const struct policy_unit *unit = policy_rates;

	if (bytes == UNLIMITED)
		return snprintf(out, size, "pacing unlimited ");
	while (*unit->name && (unsigned long long)bytes * 8 % (unsigned long long)unit->bits)
		unit++;
	return snprintf(out, size, "pacing %.0f%s ", bytes * 8.0 / unit->bits, unit->name);
}

static int print_time(char *out, size_t size, __u32 ms)
{
	return ms % 1000 ? snprintf(out, size, "%ums", ms) : snprintf(out, size, "%us", ms / 1000);
}

void policy_print_rule(char *out, size_t size, const struct mptcp_policy_rule *rule)
{
	__u8 is = rule->key.is;
	size_t n = 0;

#define ADD(...)	(n += snprintf(out + n, size - n, __VA_ARGS__))
	if (rule->key_mask.ordinal)
		ADD("ordinal %u ", rule->key.ordinal);
	if (rule->key_mask.local_id)
		ADD("endpoint %u ", rule->key.local_id);
	if (rule->key_mask.remote_id)
		ADD("remote-id %u ", rule->key.remote_id);
	if (is & MPTCP_IS_BACKUP)
		ADD("backup ");
	if (is & MPTCP_IS_BACKUP_LOCAL)
		ADD("backup local ");
	if (is & MPTCP_IS_BACKUP_REMOTE)
		ADD("backup remote ");
	if (is & MPTCP_IS_OPENED)
		ADD("opened ");
	if (is & MPTCP_IS_ACCEPTED)
		ADD("accepted ");
	if (is & MPTCP_IS_INET)
		ADD("family inet ");
	if (is & MPTCP_IS_INET6)
		ADD("family inet6 ");
	n += print_prefix(out + n, size - n, "from", &rule->from, &rule->from_mask);
	n += print_prefix(out + n, size - n, "to", &rule->to, &rule->to_mask);
	if (rule->dev.name[0])
		ADD("dev %s ", rule->dev.name);

	if (rule->actions & SETS(MARK))
		ADD(~rule->mark_mask ? "mark %#x/%#x " : "mark %#x ", rule->mark, rule->mark_mask);
	if (rule->actions & SETS(CONGESTION))
		ADD("congctl %s ", rule->congestion);
	if (rule->actions & SETS(TOS))
		ADD("tos %#x ", rule->tos);
	if (rule->actions & SETS(PRIORITY))
		ADD("skb-priority %u ", rule->priority);
	if (rule->actions & SETS(PACING))
		n += print_rate(out + n, size - n, rule->pacing);
	if (rule->actions & SETS(USER_TIMEOUT)) {
		ADD("user-timeout ");
		n += print_time(out + n, size - n, rule->user_timeout);
		ADD(" ");
	}
	if (rule->actions & SETS(SYNCNT))
		ADD("syncnt %u ", rule->syncnt);
	if (rule->actions & SETS(KEEPALIVE))
		ADD("keepalive %us/%us/%u ", rule->keep_idle, rule->keep_intvl, rule->keep_cnt);
#undef ADD
	out[n - 1] = '\0';
}
