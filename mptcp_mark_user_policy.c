// SPDX-License-Identifier: GPL-2.0
/* mptcp_mark_user policy: the policies of cgroups. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "mptcp_policy.skel.h"
#include "json_writer.h"
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

/* The policy of a program as it is in the kernel, with its counters; not of another version */
bool policy_of_program(int prog, struct mptcp_ruleset *set)
{
	int map = map_of_program(prog, "mptcp_ruleset");
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	bool found;

	found = map >= 0 && !bpf_map_get_info_by_fd(map, &info, &len) &&
		info.value_size == sizeof(*set) && !bpf_map_lookup_elem(map, &zero, set);
	close(map);
	return found;
}

/* With the maps that the program which is attached has, and that of all policies */
static struct mptcp_policy *open_policy(__u64 cgroup, int old)
{
	struct mptcp_policy *skel = mptcp_policy__open();
	int policies;

	if (!skel)
		die("mptcp_policy: %s", strerror(errno));
	skel->bss->own_cgroup = cgroup;
	policies = bpf_obj_get(POLICIES);
	if (policies < 0 && old >= 0)
		policies = map_of_program(old, "mptcp_policies");
	if (policies >= 0 && !keep_map(skel->maps.mptcp_policies, policies))
		die("policies of another version are loaded: flush them first");
	if (old >= 0) {
		keep_map(skel->maps.subflow_counts, map_of_program(old, "subflow_counts"));
		keep_map(skel->maps.policy_states, map_of_program(old, "policy_states"));
	}
	return skel;
}

static void load_all_but(struct bpf_program *prog, struct mptcp_policy *skel)
{
	bpf_program__set_autoload(prog, false);
	if (mptcp_policy__load(skel))
		die("this kernel does not take the program mptcp_policy: %s", refusal());
}

/* The program that acts on a policy of this cgroup, or -1 */
static int find_policy(int cgroup, const char *path, __u64 id)
{
	__u32 prog_id;
	int prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, false, "mptcp_policy", &prog_id);

	if (prog >= 0 && !is_pinned(id, "mptcp_policy"))
		die("mptcp_policy was attached to %s by other means: end it there", path);
	return prog;
}

static int policy_load(const char *path, const char *file)
{
	int cgroup, prog, link, policies, err;
	__u32 prog_id, zero = 0;
	struct mptcp_policy *skel;
	struct mptcp_ruleset set;
	__u64 id;

	policy_read(file, &set);
	cgroup = open_cgroup(path);
	id = cgroup_id_of(cgroup);
	lock(cgroup);
	remove_stale_pins(cgroup);
	if (find_program(cgroup, BPF_CGROUP_SOCK_OPS, false, "mptcp_mark", &prog_id) >= 0)
		die("mptcp_mark is attached to %s: a cgroup has that or a policy. Detach it first",
		    path);
	prog = find_policy(cgroup, path, id);
	skel = open_policy(id, prog);
	load_all_but(skel->progs.mptcp_policy_apply, skel);
	if (bpf_map__update_elem(skel->maps.mptcp_ruleset, &zero, sizeof(zero), &set,
				 sizeof(set), 0))
		die("policy of %s: %s", path, strerror(errno));
	make_pin_dir(id);
	policies = bpf_map__fd(skel->maps.mptcp_policies);
	if ((access(POLICIES, F_OK) && bpf_obj_pin(policies, POLICIES)) ||
	    bpf_map_update_elem(policies, &id, &zero, 0)) {
		err = errno;
		if (prog < 0)
			remove_cgroup_pins(id);
		die("%s: %s", POLICIES,
		    err == E2BIG ? "no room for one more cgroup" : strerror(err));
	}
	if (prog >= 0) {
		update(id, "mptcp_policy", skel->progs.mptcp_policy);
		return 0;
	}
	link = bpf_link_create(bpf_program__fd(skel->progs.mptcp_policy), cgroup,
			       BPF_CGROUP_SOCK_OPS, NULL);
	err = errno;
	if (link < 0) {
		remove_cgroup_pins(id);
		die("mptcp_policy cannot be attached to %s: %s", path,
		    err == EPERM ? "a program there, or above, allows no other" : strerror(err));
	}
	pin(id, "mptcp_policy", link, true);
	return 0;
}

/* The program that acts on it */
static int get_policy(int cgroup, const char *path, struct mptcp_ruleset *set)
{
	__u32 id;
	int prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, false, "mptcp_policy", &id);

	if (prog < 0)
		die("%s has no policy", path);
	if (!policy_of_program(prog, set))
		die("the policy of %s is of another version: flush it", path);
	return prog;
}

static void show_json(const struct mptcp_ruleset *set)
{
	json_writer_t *json = jsonw_new(stdout);
	char text[RULE_SIZE];

	jsonw_start_object(json);
	jsonw_lluint_field(json, "unmatched", set->unmatched);
	jsonw_lluint_field(json, "failed", set->failed);
	jsonw_name(json, "rules");
	jsonw_start_array(json);
	for (__u32 i = 0; i < set->num; i++) {
		const struct mptcp_policy_stats *stats = &set->stats[i];

		policy_print_rule(text, sizeof(text), &set->rules[i]);
		jsonw_start_object(json);
		jsonw_string_field(json, "rule", text);
		jsonw_lluint_field(json, "matched", stats->matched);
		jsonw_name(json, "refused");
		jsonw_start_object(json);
		for (int j = 0; j < MPTCP_SET_NUM; j++)
			if (stats->refused[j])
				jsonw_lluint_field(json, policy_action_name(j), stats->refused[j]);
		jsonw_end_object(json);
		jsonw_end_object(json);
	}
	jsonw_end_array(json);
	jsonw_end_object(json);
	jsonw_destroy(&json);
}

static void show_text(const struct mptcp_ruleset *set, bool counters)
{
	char text[RULE_SIZE];

	for (__u32 i = 0; i < set->num; i++) {
		policy_print_rule(text, sizeof(text), &set->rules[i]);
		if (!counters) {
			puts(text);
			continue;
		}
		printf("%-56s # rule %u: matched %llu", text, i + 1, set->stats[i].matched);
		for (int j = 0; j < MPTCP_SET_NUM; j++)
			if (set->stats[i].refused[j])
				printf(", %s refused %llu", policy_action_name(j),
				       set->stats[i].refused[j]);
		putchar('\n');
	}
	if (counters)
		printf("# no rule: %llu, failed: %llu\n", set->unmatched, set->failed);
}

static int policy_show(const char *path, bool json)
{
	int cgroup = open_cgroup(path);
	struct mptcp_ruleset set;

	lock(cgroup);
	get_policy(cgroup, path, &set);
	if (json)
		show_json(&set);
	else
		show_text(&set, true);
	return 0;
}

static void apply_here(struct bpf_link *link)
{
	int fd = bpf_iter_create(bpf_link__fd(link));
	char nothing[64];
	ssize_t n;

	if (fd < 0)
		die("sockets cannot be read: %s", strerror(errno));
	do
		n = read(fd, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		die("the policy cannot be applied: %s", strerror(errno));
	close(fd);
}

/* In the network namespaces of these threads, each once */
static void apply_to_threads(FILE *threads, struct bpf_link *link, ino_t **done, size_t *num)
{
	char path[64];
	struct stat st;
	size_t i;
	int tid, ns;

	while (fscanf(threads, "%d", &tid) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", tid);
		ns = open(path, O_RDONLY | O_CLOEXEC);
		if (ns < 0 || fstat(ns, &st))	/* it may have gone */
			continue;
		for (i = 0; i < *num && (*done)[i] != st.st_ino; i++)
			;
		if (i == *num) {
			*done = realloc(*done, ++*num * sizeof(**done));
			if (!*done)
				die("out of memory");
			(*done)[i] = st.st_ino;
			if (setns(ns, CLONE_NEWNET))
				die("network namespace of process %d: %s", tid, strerror(errno));
			apply_here(link);
		}
		close(ns);
	}
}

/* The cgroups below are looked at, too: the program leaves those with a policy alone */
static int policy_apply(const char *path)
{
	char *const paths[] = { (char *)path, NULL };
	int cgroup = open_cgroup(path);
	struct mptcp_policy *skel;
	char name[PATH_SIZE];
	struct mptcp_ruleset set;
	struct bpf_link *link;
	int prog;
	ino_t *done = NULL;
	size_t num = 0;
	FTSENT *entry;
	FILE *threads;
	FTS *tree;

	lock(cgroup);
	prog = get_policy(cgroup, path, &set);
	skel = open_policy(cgroup_id_of(cgroup), prog);
	if (!keep_map(skel->maps.mptcp_ruleset, map_of_program(prog, "mptcp_ruleset")))
		die("the policy of %s cannot be read: %s", path, strerror(errno));
	load_all_but(skel->progs.mptcp_policy, skel);
	link = bpf_program__attach_iter(skel->progs.mptcp_policy_apply, NULL);
	if (!link)
		die("sockets cannot be read: %s", strerror(errno));
	tree = fts_open(paths, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	while (tree && (entry = fts_read(tree))) {
		if (entry->fts_info != FTS_D)
			continue;
		snprintf(name, sizeof(name), "%s/cgroup.threads", entry->fts_path);
		threads = fopen(name, "r");
		if (!threads)
			continue;
		apply_to_threads(threads, link, &done, &num);
		fclose(threads);
	}
	if (!num)
		say("no process is in %s: there is no network namespace to look at", path);
	return 0;
}

/* What is loaded, but may not be what was meant */
static void warn_of(const struct mptcp_ruleset *set)
{
	bool by_id = false, initial = false;

	for (__u32 i = 0; i < set->num; i++) {
		const struct mptcp_policy_rule *rule = &set->rules[i];

		by_id = by_id || (rule->key_mask.local_id && rule->key.local_id);
		initial = initial || !rule->key_mask.local_id || !rule->key.local_id;
	}
	if (by_id && !initial)
		say("no rule fits the initial subflow: its id is 0, whatever its endpoint. %s",
		    "'from PREFIX' matches a link in both roles");
}

static int policy_check(const char *file)
{
	struct mptcp_ruleset set;

	policy_read(file, &set);
	show_text(&set, false);
	warn_of(&set);
	return 0;
}

int policy_flush(const char *path)
{
	int cgroup = open_cgroup(path);
	__u64 id = cgroup_id_of(cgroup);

	lock(cgroup);
	remove_stale_pins(cgroup);
	if (find_policy(cgroup, path, id) < 0 && !is_pinned(id, "mptcp_policy"))
		die("%s has no policy", path);
	remove_cgroup_pins(id);
	return 0;
}

int do_policy(const char *verb, const char *object, const char *file,
	      const struct mark_options *options)
{
	if (!strcmp(verb, "policy load"))
		return policy_load(object, file);
	if (!strcmp(verb, "policy show"))
		return policy_show(object, options->json);
	if (!strcmp(verb, "policy apply"))
		return policy_apply(object);
	if (!strcmp(verb, "policy check"))
		return policy_check(object);
	return policy_flush(object);
}
