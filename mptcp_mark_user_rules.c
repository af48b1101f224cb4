// SPDX-License-Identifier: GPL-2.0
/* The rules of a policy: read from text. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "progs/mptcp_policy.h"
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

#define MAX_LINE	1024

/* The rule that is read, and what it says so far */
struct reader {
	const char *file;
	int line;
	char *rest;			/* of the line */
	struct mptcp_policy_rule *rule;
	int prefix_family;		/* of from and to, 0: none yet */
	unsigned int seen;		/* words, by their place in words[] */
};

static void __noreturn __printf(2, 3) refuse(const struct reader *r, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	die("%s:%d: %s", r->file, r->line, text);
}

static char *next_word(struct reader *r)
{
	return strtok_r(NULL, " \t\r\n", &r->rest);
}

static char *take_argument(struct reader *r, const char *word)
{
	char *arg = next_word(r);

	if (!arg)
		refuse(r, "'%s' needs an argument", word);
	return arg;
}

/* A number at the start of text, and what follows it */
static unsigned long long parse_number(struct reader *r, const char *word, const char *text,
				       unsigned long long max, char **end)
{
	unsigned long long value;

	errno = 0;
	value = strtoull(text, end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (!isdigit(*text) || errno || value > max)
		refuse(r, "'%s' takes a number up to %llu, not '%s'", word, max, text);
	return value;
}

static __u32 integer(struct reader *r, const char *word, const char *text, __u32 min, __u32 max)
{
	char *end;
	__u32 value = parse_number(r, word, text, max, &end);

	if (*end || value < min)
		refuse(r, "'%s' takes a number from %u to %u, not '%s'", word, min, max, text);
	return value;
}

/* As tc has them: bits per second, or bytes where the unit is bps */
const struct policy_unit policy_rates[] = {
	{ "gbit", 1e9 }, { "mbit", 1e6 }, { "kbit", 1e3 }, { "bit", 1 }, { "", 1 },
	{ "gibit", 1ULL << 30 }, { "mibit", 1 << 20 }, { "kibit", 1 << 10 },
	{ "gbps", 8e9 }, { "mbps", 8e6 }, { "kbps", 8e3 }, { "bps", 8 },
	{}
};

static __u32 parse_rate(struct reader *r, const char *text)
{
	const struct policy_unit *unit = policy_rates;
	double value;
	char *end;

	if (!strcmp(text, "unlimited"))
		return UNLIMITED;
	value = strtod(text, &end);
	while (unit->name && strcasecmp(unit->name, end))
		unit++;
	if (!isdigit(*text) || !unit->name)
		refuse(r, "'pacing' takes a rate, as 10mbit, or unlimited, not '%s'", text);
	value *= unit->bits / 8;
	if (value < 1 || value >= UNLIMITED)
		refuse(r, "'pacing' takes 1bps to 34gbit, or unlimited, not '%s'", text);
	return value;
}

/* In milliseconds */
static __u32 duration(struct reader *r, const char *word, const char *text, char **end)
{
	unsigned long long value = parse_number(r, word, text, ~0U, end);

	if (!strncmp(*end, "ms", 2)) {
		*end += 2;
	} else if (**end == 's') {
		value *= 1000;
		*end += 1;
	} else {
		refuse(r, "'%s' takes times in s or ms, as 2s, not '%s'", word, text);
	}
	if (value > 0x7fffffff)
		refuse(r, "'%s' takes times up to 2147483s, not '%s'", word, text);
	return value;
}

static void must_be(struct reader *r, __u8 is)
{
	r->rule->key.is |= is;
	r->rule->key_mask.is |= is;
}

static void read_ordinal(struct reader *r, const char *word, char *arg)
{
	r->rule->key.ordinal = integer(r, word, arg, 1, ~0U);
	r->rule->key_mask.ordinal = ~0U;
}

static void read_endpoint(struct reader *r, const char *word, char *arg)
{
	r->rule->key.local_id = integer(r, word, arg, 0, 255);
	r->rule->key_mask.local_id = ~0;
}

static void read_remote_id(struct reader *r, const char *word, char *arg)
{
	r->rule->key.remote_id = integer(r, word, arg, 0, 255);
	r->rule->key_mask.remote_id = ~0;
}

static void read_backup(struct reader *r, const char *word, char *arg)
{
	char *rest = r->rest, *end = NULL;

	/* The next word may belong to it */
	rest += strspn(rest, " \t");
	end = rest + strcspn(rest, " \t\r\n");
	if (end - rest == 5 && !strncmp(rest, "local", 5)) {
		must_be(r, MPTCP_IS_BACKUP_LOCAL);
		next_word(r);
	} else if (end - rest == 6 && !strncmp(rest, "remote", 6)) {
		must_be(r, MPTCP_IS_BACKUP_REMOTE);
		next_word(r);
	} else {
		must_be(r, MPTCP_IS_BACKUP);
	}
}

static void read_family(struct reader *r, const char *word, char *arg)
{
	if (!strcmp(arg, "inet"))
		must_be(r, MPTCP_IS_INET);
	else if (!strcmp(arg, "inet6"))
		must_be(r, MPTCP_IS_INET6);
	else
		refuse(r, "'%s' takes inet or inet6, not '%s'", word, arg);
}

static void read_prefix(struct reader *r, const char *word, char *arg,
			struct mptcp_policy_addr *prefix, struct mptcp_policy_addr *mask)
{
	static const struct mptcp_policy_addr mapped = { .byte = { [10] = 255, [11] = 255 } };
	int family = strchr(arg, ':') ? AF_INET6 : AF_INET;
	int first = family == AF_INET ? V4_BITS : 0, len = 128;
	char *slash = strchr(arg, '/');

	if (slash) {
		*slash = '\0';
		len = first + integer(r, word, slash + 1, 0, 128 - first);
	}
	if (inet_pton(family, arg, &prefix->byte[first / 8]) != 1)
		refuse(r, "'%s' takes an address or a prefix, as 10.0.2.0/24, not '%s'", word, arg);
	if (first)
		prefix->part[2] = htonl(0xffff);
	for (int i = 0; i < len; i++)
		mask->byte[i / 8] |= 0x80 >> i % 8;
	for (int i = 0; i < 16; i++)
		if (prefix->byte[i] & ~mask->byte[i])
			refuse(r, "%s/%d has bits set beyond its prefix length", arg, len - first);
	/* IPv4 is ::ffff:0:0/96 here: in an IPv6 prefix that is shorter, it is not meant */
	if (len < V4_BITS && mptcp_policy_within(&mapped, prefix, mask))
		must_be(r, MPTCP_IS_INET6);
	if (len >= V4_BITS && mptcp_policy_is_mapped(prefix))
		family = AF_INET;
	if (r->prefix_family && r->prefix_family != family)
		refuse(r, "'from' and 'to' are of two families");
	r->prefix_family = family;
}

static void read_from(struct reader *r, const char *word, char *arg)
{
	read_prefix(r, word, arg, &r->rule->from, &r->rule->from_mask);
}

static void read_to(struct reader *r, const char *word, char *arg)
{
	read_prefix(r, word, arg, &r->rule->to, &r->rule->to_mask);
}

static void read_dev(struct reader *r, const char *word, char *arg)
{
	if (strlen(arg) >= MPTCP_POLICY_NAME || strpbrk(arg, "/:"))
		refuse(r, "a device has a name of up to 15 characters, no / and no :, not '%s'",
		       arg);
	memcpy(r->rule->dev.name, arg, strlen(arg));
}

static void read_mark(struct reader *r, const char *word, char *arg)
{
	char *slash = strchr(arg, '/');

	r->rule->mark_mask = ~0U;
	if (slash) {
		*slash = '\0';
		r->rule->mark_mask = integer(r, word, slash + 1, 0, ~0U);
	}
	r->rule->mark = integer(r, word, arg, 0, ~0U);
	if (r->rule->mark & ~r->rule->mark_mask)
		refuse(r, "mark %#x has bits outside of its mask %#x", r->rule->mark,
		       r->rule->mark_mask);
}

/* BPF loads no module, so the kernel must have it already */
static void read_congctl(struct reader *r, const char *word, char *arg)
{
	const char *path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
	FILE *f = fopen(path, "r");
	char name[MPTCP_POLICY_NAME + 1];
	bool found = !f;

	while (f && fscanf(f, "%16s", name) == 1)
		found = found || !strcmp(name, arg);
	if (f)
		fclose(f);
	if (!found || strlen(arg) >= MPTCP_POLICY_NAME)
		refuse(r, "congestion control '%s' is not loaded: modprobe tcp_%s", arg, arg);
	if (!strcmp(arg, "cdg"))
		refuse(r, "congestion control cdg cannot be set by BPF");
	memcpy(r->rule->congestion, arg, strlen(arg));
}

static void read_priority(struct reader *r, const char *word, char *arg)
{
	r->rule->priority = integer(r, word, arg, 0, 0x7fffffff);
}

static void read_tos(struct reader *r, const char *word, char *arg)
{
	r->rule->tos = integer(r, word, arg, 0, 255);
	if (r->rule->tos & 3)
		refuse(r, "the lowest two bits of a TOS are for ECN: '%s'", arg);
}

static void read_pacing(struct reader *r, const char *word, char *arg)
{
	r->rule->pacing = parse_rate(r, arg);
}

static void read_user_timeout(struct reader *r, const char *word, char *arg)
{
	char *end;

	r->rule->user_timeout = duration(r, word, arg, &end);
	if (*end)
		refuse(r, "'%s' takes a time, as 2s, not '%s'", word, arg);
}

static void read_syncnt(struct reader *r, const char *word, char *arg)
{
	r->rule->syncnt = integer(r, word, arg, 1, 127);
}

/* Limits: MAX_TCP_KEEP* of include/net/tcp.h */
static void read_keepalive(struct reader *r, const char *word, char *arg)
{
	__u32 idle, intvl = 0;
	char *end;

	idle = duration(r, word, arg, &end);
	if (*end == '/')
		intvl = duration(r, word, end + 1, &end);
	if (*end != '/' || idle % 1000 || intvl % 1000 || idle < 1000 || intvl < 1000 ||
	    idle > 32767000 || intvl > 32767000)
		refuse(r, "'%s' takes two times of 1s to 32767s and a number, as 10s/2s/3", word);
	r->rule->keep_idle = idle / 1000;
	r->rule->keep_intvl = intvl / 1000;
	r->rule->keep_cnt = integer(r, word, end + 1, 1, 127);
}

static const struct word {
	const char *name;
	void (*read)(struct reader *r, const char *word, char *arg);
	bool has_argument;
	__u32 action;		/* bit of actions, 0: a match */
	__u8 is;		/* all that the word says, where nothing is read */
} words[] = {
	{ "ordinal", read_ordinal, true },
	{ "endpoint", read_endpoint, true },
	{ "remote-id", read_remote_id, true },
	{ "backup", read_backup, false },
	{ "opened", NULL, false, 0, MPTCP_IS_OPENED },
	{ "accepted", NULL, false, 0, MPTCP_IS_ACCEPTED },
	{ "family", read_family, true },
	{ "from", read_from, true },
	{ "to", read_to, true },
	{ "dev", read_dev, true },
	{ "mark", read_mark, true, SETS(MARK) },
	{ "congctl", read_congctl, true, SETS(CONGESTION) },
	{ "skb-priority", read_priority, true, SETS(PRIORITY) },
	{ "tos", read_tos, true, SETS(TOS) },
	{ "pacing", read_pacing, true, SETS(PACING) },
	{ "user-timeout", read_user_timeout, true, SETS(USER_TIMEOUT) },
	{ "syncnt", read_syncnt, true, SETS(SYNCNT) },
	{ "keepalive", read_keepalive, true, SETS(KEEPALIVE) },
	{}
};

const char *policy_action_name(enum mptcp_policy_action action)
{
	const struct word *word = words;

	while (word->action != 1U << action)
		word++;
	return word->name;
}

static void read_word(struct reader *r, const char *name)
{
	const struct word *word = words;
	unsigned int bit;

	while (word->name && strcmp(word->name, name))
		word++;
	if (!word->name)
		refuse(r, "unknown word '%.40s'", name);
	bit = 1U << (word - words);
	if (r->seen & bit)
		refuse(r, "'%s' is given twice", name);
	r->seen |= bit;
	if (!word->action && r->rule->actions)
		refuse(r, "'%s' says which subflows: it goes before what is set on them", name);
	r->rule->actions |= word->action;
	must_be(r, word->is);
	if (word->read)
		word->read(r, name, word->has_argument ? take_argument(r, name) : NULL);
}

static void read_rule(struct reader *r, char *text)
{
	struct mptcp_policy_rule *rule = r->rule;
	char *word = strtok_r(text, " \t\r\n", &r->rest);

	for (; word; word = next_word(r))
		read_word(r, word);
	if (!rule->actions)
		refuse(r, "nothing is set: as 'mark 0x20'");
	if ((rule->key.is & MPTCP_IS_OPENED) && (rule->key.is & MPTCP_IS_ACCEPTED))
		refuse(r, "no subflow is opened and accepted");
	if ((r->prefix_family == AF_INET && (rule->key.is & MPTCP_IS_INET6)) ||
	    (r->prefix_family == AF_INET6 && (rule->key.is & MPTCP_IS_INET)))
		refuse(r, "'family' and the prefix disagree");
}

void policy_read(const char *path, struct mptcp_ruleset *set)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	struct reader r = { .file = f == stdin ? "standard input" : path };
	char text[MAX_LINE + 2];
	int c = 0, len;

	if (!f)
		die("%s: %s", path, strerror(errno));
	memset(set, 0, sizeof(*set));
	while (c != EOF) {
		r.line++;
		r.seen = 0;
		r.prefix_family = 0;
		for (len = 0; (c = getc(f)) != EOF && c != '\n'; text[len++] = c) {
			if (len == MAX_LINE)
				refuse(&r, "a line of more than %d characters", MAX_LINE);
			if (iscntrl(c) && !strchr("\t\r", c ?: 1))
				refuse(&r, "not a text file: byte 0x%x", c);
		}
		text[len] = '\0';
		text[strcspn(text, "#")] = '\0';
		if (strspn(text, " \t\r\n") == strlen(text))
			continue;
		if (set->num == MPTCP_POLICY_RULES)
			refuse(&r, "a policy has up to %d rules", MPTCP_POLICY_RULES);
		r.rule = &set->rules[set->num++];
		read_rule(&r, text);
		set->looks_at |= mptcp_policy_looks_at(r.rule);
	}
	if (ferror(f))
		die("%s: %s", r.file, strerror(errno));
	if (!set->num)
		die("%s has no rules", r.file);
	if (f != stdin)
		fclose(f);
}
