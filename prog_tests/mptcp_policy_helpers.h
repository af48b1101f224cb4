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

/* Of a program that is not attached, or whose connections do nothing meanwhile */
static inline int policy_set(struct mptcp_policy *skel, const struct mptcp_policy_rule *rules,
			     int n)
{
	struct mptcp_ruleset set = { .num = n };
	__u32 zero = 0;
	int i;

	for (i = 0; i < n; i++) {
		set.rules[i] = rules[i];
		set.rules[i].key.is = rules[i].key_mask.is;
		set.looks_at |= mptcp_policy_looks_at(&rules[i]);
	}
	return bpf_map__update_elem(skel->maps.mptcp_ruleset, &zero, sizeof(zero), &set,
				    sizeof(set), 0);
}

/* The policy as it is now, with its counters */
static inline int policy_get(struct mptcp_policy *skel, struct mptcp_ruleset *set)
{
	__u32 zero = 0;

	return !ASSERT_OK(bpf_map__lookup_elem(skel->maps.mptcp_ruleset, &zero, sizeof(zero), set,
					       sizeof(*set), 0), "policy");
}

/*
 * The program once more, for another policy: to replace the first one, or for another
 * cgroup. NULL: failed
 */
static inline struct mptcp_policy *policy_twin(struct mptcp_policy *skel, bool replace,
					       const struct mptcp_policy_rule *rules, int n)
{
	struct mptcp_policy *twin = mptcp_policy__open();

	if (!ASSERT_OK_PTR(twin, "open mptcp_policy"))
		return NULL;
	twin->bss->own_cgroup = skel->bss->own_cgroup;
	if (ASSERT_OK(bpf_map__reuse_fd(twin->maps.mptcp_policies,
					bpf_map__fd(skel->maps.mptcp_policies)), "policies") &&
	    (!replace ||
	     ASSERT_OK(bpf_map__reuse_fd(twin->maps.policy_states,
					 bpf_map__fd(skel->maps.policy_states)) ?:
		       bpf_map__reuse_fd(twin->maps.subflow_counts,
					 bpf_map__fd(skel->maps.subflow_counts)), "share state")) &&
	    ASSERT_OK(mptcp_policy__load(twin), "load mptcp_policy") &&
	    ASSERT_OK(policy_set(twin, rules, n), "set policy"))
		return twin;
	mptcp_policy__destroy(twin);
	return NULL;
}

/* With the policy of a twin */
static inline int policy_replace(struct mptcp_policy *skel, struct mptcp_policy *twin)
{
	return !ASSERT_OK(bpf_link__update_program(skel->links.mptcp_policy,
						   twin->progs.mptcp_policy), "replace policy");
}

static inline int policy_attach(struct mptcp_policy *skel, const char *cgroup, int cgroup_fd)
{
	__u64 id = get_cgroup_id(cgroup);
	__u32 unused = 0;

	skel->bss->own_cgroup = id;
	return !ASSERT_NEQ(id, 0, "id of the cgroup") ||
	       !ASSERT_OK(bpf_map__update_elem(skel->maps.mptcp_policies, &id, sizeof(id), &unused,
					       sizeof(unused), 0), "cgroup has a policy") ||
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
	if (!ASSERT_OK_PTR(skel, "load mptcp_policy") ||
	    !ASSERT_OK(policy_set(skel, rules, n), "set policy"))
		return NULL;
	mark_detach(&env->skel->links.mptcp_mark);
	env->own = &skel->links.mptcp_policy;
	return policy_attach(skel, MARK_CGROUP, env->cgroup_fd) ? NULL : skel;
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
