/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of mptcp_policy share: policies, and the options that subflows have. */
#ifndef __MPTCP_POLICY_HELPERS_H__
#define __MPTCP_POLICY_HELPERS_H__

#include "mptcp_mark_helpers.h"
#include "progs/mptcp_policy.h"
#include "progs/mptcp_policy_read.h"
#include "mptcp_policy.skel.h"
#include "mptcp_policy_read.skel.h"

#define SETS(action)	(1 << MPTCP_SET_##action)

#define MARKS(...)	((const __u32[]){ __VA_ARGS__ })

/* Parts of a rule */
#define RULE_MARK(_mark)							\
	.actions = SETS(MARK), .mark = _mark, .mark_mask = ~0U
#define RULE_IS(bits)		.key_mask.is = bits
#define RULE_ORDINAL(n)		.key.ordinal = n, .key_mask.ordinal = ~0
#define RULE_ENDPOINT(id)	.key.local_id = id, .key_mask.local_id = ~0
#define RULE_REMOTE_ID(id)	.key.remote_id = id, .key_mask.remote_id = ~0

static const struct mptcp_policy_rule by_backup[] = {
	{ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(7) },
	{ RULE_MARK(8) },
};

/* For the cgroup of the program */
static inline int policy_set(struct mptcp_policy *skel, const struct mptcp_policy_rule *rules,
			     int n)
{
	struct mptcp_ruleset set = { .num = n };
	__u64 cgroup = skel->bss->own_cgroup;
	__u32 zero = 0;
	int i, map, err = -1;

	for (i = 0; i < n; i++) {
		set.rules[i] = rules[i];
		set.rules[i].key.is = rules[i].key_mask.is;
		set.looks_at |= mptcp_policy_looks_at(&rules[i]);
	}
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mptcp_ruleset", sizeof(zero), sizeof(set), 1,
			     NULL);
	if (map >= 0 && !bpf_map_update_elem(map, &zero, &set, 0))
		err = bpf_map__update_elem(skel->maps.mptcp_policies, &cgroup, sizeof(cgroup),
					   &map, sizeof(map), 0);
	close(map);
	return err;
}

/* The policy of a cgroup as it is now, with its counters */
static inline int policy_get(struct mptcp_policy *skel, struct mptcp_ruleset *set)
{
	__u64 cgroup = skel->bss->own_cgroup;
	__u32 id, zero = 0;
	int map, err;

	if (!ASSERT_OK(bpf_map__lookup_elem(skel->maps.mptcp_policies, &cgroup, sizeof(cgroup),
					    &id, sizeof(id), 0), "policy of the cgroup"))
		return -1;
	map = bpf_map_get_fd_by_id(id);
	err = bpf_map_lookup_elem(map, &zero, set);
	close(map);
	return ASSERT_OK(err, "policy") ? 0 : -1;
}

static inline int policy_attach(struct mptcp_policy *skel, const char *cgroup, int cgroup_fd,
				const struct mptcp_policy_rule *rules, int n)
{
	skel->bss->own_cgroup = get_cgroup_id(cgroup);
	return !ASSERT_OK(policy_set(skel, rules, n), "set policy") ||
	       mark_attach(skel->progs.mptcp_policy, &skel->links.mptcp_policy, cgroup_fd);
}

/*
 * Instead of mptcp_mark, on the cgroup of the tests, for connections of a family.
 * NULL: failed, or skipped. Detached with the environment.
 */
static inline struct mptcp_policy *policy_start(struct mark_env *env, int family,
						const struct mptcp_policy_rule *rules, int n)
{
	static struct mptcp_policy *skel;	/* loaded once in a process */

	if (family == AF_INET6 && !mark_has_ipv6()) {
		mark_skip("no IPv6: CONFIG_IPV6=y, CONFIG_MPTCP_IPV6=y");
		return NULL;
	}
	if (!skel)
		skel = mptcp_policy__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load mptcp_policy"))
		return NULL;
	mark_detach(&env->skel->links.mptcp_mark);
	env->own = &skel->links.mptcp_policy;
	return policy_attach(skel, MARK_CGROUP, env->cgroup_fd, rules, n) ? NULL : skel;
}

/* Run an iterator over the TCP sockets of an end; what it writes, in bytes */
static inline int policy_iterate(struct mark_env *env, int end, struct bpf_program *prog,
				 void *buf, size_t size)
{
	struct bpf_link *link = bpf_program__attach_iter(prog, NULL);
	struct nstoken *ns = open_netns(env->netns[end]);
	int fd, n = -1;

	if (ASSERT_OK_PTR(link, "attach iterator") && ASSERT_OK_PTR(ns, "enter namespace")) {
		fd = bpf_iter_create(bpf_link__fd(link));
		n = read(fd, buf, size);
		ASSERT_GE(n, 0, "read iterator");
		close(fd);
	}
	close_netns(ns);
	bpf_link__destroy(link);
	return n;
}

/* A policy for the subflows that an end has, too */
static inline int policy_apply(struct mark_env *env, int end, struct mptcp_policy *skel,
			       const struct mptcp_policy_rule *rules, int n)
{
	char nothing;

	return !ASSERT_OK(policy_set(skel, rules, n), "set policy") ||
	       policy_iterate(env, end, skel->progs.mptcp_policy_apply, &nothing, 1);
}

/* The options of the subflows 1 to n of an end */
static inline int policy_values(struct mark_env *env, int end, struct mptcp_policy_values *values,
				int n)
{
	static struct mptcp_policy_read *reader;	/* loaded once in a process */
	struct mptcp_policy_values v[MARK_MAX];
	int i, size, found = 0;
	struct mark_table table;

	if (!reader)
		reader = mptcp_policy_read__open_and_load();
	if (!ASSERT_OK_PTR(reader, "load mptcp_policy_read"))
		return -1;
	if (mark_get_table(env->conn.fd[end], &table) < 0)
		return -1;
	size = policy_iterate(env, end, reader->progs.mptcp_policy_read, v, sizeof(v));
	for (i = 0; i < size / (int)sizeof(v[0]); i++) {
		if (v[i].id < 1 || v[i].id > n || v[i].token != table.hdr.token)
			continue;
		values[v[i].id - 1] = v[i];
		found++;
	}
	return ASSERT_EQ(found, n, "subflows read") ? 0 : -1;
}

/* Of a rule with that comment */
static inline int policy_packets(struct mark_env *env, int end, const char *comment)
{
	return mark_number(env, end,
			   "nft list ruleset | sed -n 's/.*packets \\([0-9]*\\) .*%s.*/\\1/p'",
			   comment);
}

#endif /* __MPTCP_POLICY_HELPERS_H__ */
