// SPDX-License-Identifier: GPL-2.0
/* mptcp_mark_user status: where the program is attached, and what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "progs/mptcp_mark.h"
#include "mptcp_mark.skel.h"
#include "json_writer.h"
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

#define MAX_ATTACHED	4096

static json_writer_t *json;
static __u32 attached[MAX_ATTACHED];	/* programs that some cgroup has */
static int num_attached;

static const char *const by_names[] = {
	[BY_NOBODY] = "nobody",
	[BY_ATTACH] = "attach",
	[BY_LINK] = "process",
	[BY_OTHERS] = "other",
};

static void print_json(const char *path, const struct attachment *att,
		       const struct mptcp_mark_config *config, const struct mptcp_mark_stats *stats)
{
	jsonw_start_object(json);
	jsonw_string_field(json, "cgroup", path);
	jsonw_lluint_field(json, "cgroup_id", att->cgroup_id);
	jsonw_uint_field(json, "prog_id", att->prog_id);
	jsonw_string_field(json, "by", by_names[att->by]);
	jsonw_bool_field(json, "table", att->table);
	if (att->by == BY_ATTACH)	/* of others, it is not known */
		jsonw_bool_field(json, "mptcpify", att->mptcpify);
	if (config && stats) {
		jsonw_uint_field(json, "base", config->base);
		jsonw_uint_field(json, "mask", config->mask);
		jsonw_lluint_field(json, "marked", stats->marked);
		jsonw_lluint_field(json, "failed", stats->failed);
		jsonw_lluint_field(json, "pending", stats->pending);
	}
	jsonw_end_object(json);
}

static void print_text(const char *path, const struct attachment *att,
		       const struct mptcp_mark_config *config, const struct mptcp_mark_stats *stats)
{
	printf("%s: ", path);
	if (config && stats)
		printf("base %#x mask %#x%s%s, marked %llu failed %llu pending %llu",
		       config->base, config->mask, att->table ? " table" : "",
		       att->mptcpify ? " mptcpify" : "",
		       stats->marked, stats->failed, stats->pending);
	else
		printf("another version of the program");
	printf(", program %u by %s\n", att->prog_id, by_names[att->by]);
}

/* Of a cgroup that has a policy */
static bool print_policy(int cgroup, const char *path, __u64 id)
{
	struct mptcp_ruleset set;
	__u32 prog_id;
	int prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, false, "mptcp_policy", &prog_id);
	bool known = prog >= 0 && policy_of_program(prog, &set);

	close(prog);
	if (prog < 0)
		return false;
	if (json) {
		jsonw_start_object(json);
		jsonw_string_field(json, "cgroup", path);
		jsonw_lluint_field(json, "cgroup_id", id);
		jsonw_uint_field(json, "prog_id", prog_id);
		if (known)
			jsonw_uint_field(json, "policy_rules", set.num);
		jsonw_end_object(json);
	} else if (known) {
		printf("%s: policy of %u rule%s, program %u\n", path, set.num,
		       set.num == 1 ? "" : "s", prog_id);
	} else {
		printf("%s: policy of another version, program %u\n", path, prog_id);
	}
	return true;
}

static bool print_status(int cgroup, const char *path)
{
	struct mptcp_mark__data_mark_cfg *config = NULL;
	struct mptcp_mark__data_mark_cnt *counters = NULL;
	struct attachment att;

	find_attachment(cgroup, false, &att);
	if (att.by != BY_NOBODY) {
		if (is_own_version(att.prog)) {
			config = map_memory(att.config, sizeof(*config));
			counters = map_memory(att.stats, sizeof(*counters));
		}
		(json ? print_json : print_text)(path, &att, config ? &config->mark_config : NULL,
						 counters ? &counters->mark_stats : NULL);
		if (num_attached < MAX_ATTACHED)
			attached[num_attached++] = att.prog_id;
	}
	close_attachment(&att);
	return att.by != BY_NOBODY || print_policy(cgroup, path, att.cgroup_id);
}

static void print_all_cgroups(int root)
{
	char link[64], path[PATH_SIZE] = "";
	char *const paths[] = { path, NULL };
	FTSENT *entry;
	int cgroup;
	FTS *tree;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	if (readlink(link, path, sizeof(path) - 1) < 0)
		die("%s: %s", link, strerror(errno));
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	while (tree && (entry = fts_read(tree))) {
		if (entry->fts_info != FTS_D)
			continue;
		cgroup = open(entry->fts_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (cgroup >= 0)	/* it may have gone */
			print_status(cgroup, entry->fts_path);
		close(cgroup);
	}
	if (tree)
		fts_close(tree);
}

/* As those that 'load' pinned for others to attach */
static void print_not_attached(void)
{
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		int prog = bpf_prog_get_fd_by_id(id), i;

		if (prog >= 0 && !bpf_prog_get_info_by_fd(prog, &info, &len) &&
		    info.type == BPF_PROG_TYPE_SOCK_OPS && !strcmp(info.name, "mptcp_mark")) {
			for (i = 0; i < num_attached && attached[i] != id; i++)
				;
			if (i == num_attached && json) {
				jsonw_start_object(json);
				jsonw_uint_field(json, "prog_id", id);
				jsonw_end_object(json);
			} else if (i == num_attached) {
				printf("program %u is attached to no cgroup here\n", id);
			}
		}
		close(prog);
	}
}

int do_status(const char *path, const struct mark_options *options)
{
	int cgroup = path ? open_cgroup(path) : open_cgroup_root();
	bool found = true;

	if (cgroup >= 0) {
		int locked = lock(cgroup);

		remove_stale_pins(cgroup);
		close(locked);
	}
	if (options->json) {
		json = jsonw_new(stdout);
		jsonw_pretty(json, false);
		jsonw_start_array(json);
	}
	if (path) {
		found = print_status(cgroup, path);
	} else {
		if (cgroup >= 0)
			print_all_cgroups(cgroup);
		print_not_attached();
	}
	if (json) {
		jsonw_end_array(json);
		jsonw_destroy(&json);
	}
	if (!found)
		die("mptcp_mark is not attached to %s, and it has no policy", path);
	return 0;
}
