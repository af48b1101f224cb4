// SPDX-License-Identifier: GPL-2.0
/* The verbs that attach the programs, change them and take them away. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "progs/mptcp_mark.h"
#include "mptcp_mark.skel.h"
#include "mptcp_mark_table.skel.h"
#include "mptcp_mark_mptcpify.skel.h"
#include "mptcp_mark_user.h"
#include "mptcp_mark_user_policy.h"

struct programs {
	struct mptcp_mark *mark;
	struct mptcp_mark_table *table;
	struct mptcp_mark_mptcpify *mptcpify;
	int mark_link;		/* -1: none */
	int table_link;
	int mptcpify_link;
};

/* Of a program of our own version: its form is known */
void *map_memory(int map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Once nothing can go wrong any more: an error is one line */
static void warn_of_mask(const struct mark_options *options)
{
	if (options->has_mask && !(options->mask & 1))
		say("with mask %#x, subflows that follow one another get the same mark",
		    options->mask);
}

/* One store, so that no subflow gets the base of one pair and the mask of another */
static void set_config(struct mptcp_mark__data_mark_cfg *memory,
		       const struct mark_options *options, bool keep)
{
	struct mptcp_mark_config config = memory->mark_config;

	if (options->has_base || !keep)
		config.base = options->base;
	if (options->has_mask || !keep)
		config.mask = options->mask;
	__atomic_store_n(&memory->mark_config.word, config.word, __ATOMIC_RELAXED);
	if (!keep)
		memory->mark_debug = options->debug;
}

/* A map of the program that is attached, where it has the form of the new one */
bool keep_map(struct bpf_map *map, int old)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return old >= 0 && !bpf_map_get_info_by_fd(old, &info, &len) &&
	       info.type == bpf_map__type(map) && info.value_size == bpf_map__value_size(map) &&
	       !bpf_map__reuse_fd(map, old);
}

static void load_mark(struct programs *progs, const struct mark_options *options, int old)
{
	struct bpf_map *map;

	progs->mark = mptcp_mark__open();
	if (!progs->mark)
		die("mptcp_mark: %s", strerror(errno));
	set_config(progs->mark->data_mark_cfg, options, false);
	if (old >= 0)
		bpf_object__for_each_map(map, progs->mark->obj)
			if (strcmp(bpf_map__name(map), "mptcp_ma.rodata"))
				keep_map(map, map_of_program(old, bpf_map__name(map)));
	if (mptcp_mark__load(progs->mark))
		die("this kernel does not take the program mptcp_mark: %s", refusal());
}

/* Of the program that this tool has in it, without a program left that nobody needs */
bool is_own_version(int prog)
{
	static __u8 own_tag[BPF_TAG_SIZE];
	static bool has_own_tag;
	struct mark_options options = {};
	struct programs progs;
	__u8 tag[BPF_TAG_SIZE];

	if (!has_own_tag) {
		load_mark(&progs, &options, -1);
		has_own_tag = read_tag(bpf_program__fd(progs.mark->progs.mptcp_mark), own_tag);
		mptcp_mark__destroy(progs.mark);
	}
	return read_tag(prog, tag) && !memcmp(tag, own_tag, sizeof(tag));
}

/* All that is asked for is loaded before anything is attached */
static void load_programs(struct programs *progs, const struct mark_options *options, int cgroup,
			  int old)
{
	__u32 key = 0, value = cgroup;

	memset(progs, 0, sizeof(*progs));
	progs->mark_link = -1;
	progs->table_link = -1;
	progs->mptcpify_link = -1;
	load_mark(progs, options, old);
	if (options->table) {
		progs->table = mptcp_mark_table__open_and_load();
		if (!progs->table)
			die("this kernel does not take the program mptcp_mark_table: %s",
			    refusal());
	}
	if (!options->mptcpify)
		return;
	progs->mptcpify = mptcp_mark_mptcpify__open_and_load();
	if (!progs->mptcpify ||
	    bpf_map__update_elem(progs->mptcpify->maps.mptcpify_cgroup, &key, sizeof(key),
				 &value, sizeof(value), 0) ||
	    mptcp_mark_mptcpify__attach(progs->mptcpify))
		die("this kernel cannot make sockets MPTCP by BPF: use mptcpize, not -M (%s)",
		    refusal());
	progs->mptcpify_link = bpf_link__fd(progs->mptcpify->links.mptcp_mark_mptcpify);
}

static int attach_to(int cgroup, struct bpf_program *prog, enum bpf_attach_type type)
{
	int link = bpf_link_create(bpf_program__fd(prog), cgroup, type, NULL);

	if (link < 0 && errno == EPERM)
		die("a program of this cgroup, or of one above, allows no other one there");
	if (link < 0)
		die("%s cannot be attached: %s", bpf_program__name(prog), strerror(errno));
	return link;
}

/* The links that are not there yet */
static void attach_programs(struct programs *progs, int cgroup, bool mark, bool table)
{
	if (table)
		progs->table_link = attach_to(cgroup, progs->table->progs.mptcp_mark_table,
					      BPF_CGROUP_GETSOCKOPT);
	if (mark)
		progs->mark_link = attach_to(cgroup, progs->mark->progs.mptcp_mark,
					     BPF_CGROUP_SOCK_OPS);
}

static void refuse_policy(const char *path, int cgroup)
{
	__u32 id;

	if (find_program(cgroup, BPF_CGROUP_SOCK_OPS, false, "mptcp_policy", &id) >= 0)
		die("%s has a policy: a cgroup has that or mptcp_mark. 'policy flush' it first",
		    path);
}

static void refuse_attached(const char *path, const struct attachment *att)
{
	switch (att->by) {
	case BY_NOBODY:
		break;
	case BY_ATTACH:
		die("mptcp_mark is attached to %s already, by 'attach': detach it first", path);
	case BY_LINK:
		die("mptcp_mark is attached to %s already, by a process, as 'run'", path);
	case BY_OTHERS:
		die("mptcp_mark is attached to %s already, by other means, as bpftool or systemd",
		    path);
	}
}

int do_run(const char *path, const struct mark_options *options, char **command)
{
	int cgroup = open_cgroup(path), locked = lock(cgroup), rc;
	struct attachment att;
	struct programs progs;

	remove_stale_pins(cgroup);
	refuse_policy(path, cgroup);
	find_attachment(cgroup, false, &att);
	refuse_attached(path, &att);
	load_programs(&progs, options, cgroup, -1);
	attach_programs(&progs, cgroup, true, options->table);
	close(locked);
	warn_of_mask(options);

	rc = wait_for(path, cgroup, command);
	fprintf(stderr, "mptcp_mark_user: marked %llu, failed %llu\n",
		progs.mark->data_mark_cnt->mark_stats.marked,
		progs.mark->data_mark_cnt->mark_stats.failed);
	return rc;
}

/*
 * Where 'attach' was here before: the new program takes over the maps of the
 * old one, so that connections keep their order.
 */
int do_attach(const char *path, const struct mark_options *options)
{
	struct mptcp_mark__data_mark_cfg *config;
	int cgroup = open_cgroup(path);
	struct attachment att;
	struct programs progs;
	bool again, same;

	lock(cgroup);
	remove_stale_pins(cgroup);
	refuse_policy(path, cgroup);
	find_attachment(cgroup, false, &att);
	again = att.by == BY_ATTACH;
	if (!again)
		refuse_attached(path, &att);
	load_programs(&progs, options, cgroup, again ? att.prog : -1);
	make_pin_dir(att.cgroup_id);
	attach_programs(&progs, cgroup, !again, options->table && !att.table);
	if (again) {
		same = is_own_version(att.prog);
		update(att.cgroup_id, "mptcp_mark", progs.mark->progs.mptcp_mark);
		if (!same)
			say("replaced another version of the program");
		/* Of a map that is reused, the skeleton has no memory */
		config = map_memory(bpf_map__fd(progs.mark->maps.data_mark_cfg), sizeof(*config));
		if (!config)
			die("base and mask of %s: %s", path, strerror(errno));
		set_config(config, options, false);
	}
	if (att.table && options->table)
		update(att.cgroup_id, "mptcp_mark_table", progs.table->progs.mptcp_mark_table);
	if (!options->table)
		unpin(att.cgroup_id, "mptcp_mark_table");
	if (!options->mptcpify)
		unpin(att.cgroup_id, "mptcp_mark_mptcpify");
	pin(att.cgroup_id, "mptcp_mark", progs.mark_link, !again);
	pin(att.cgroup_id, "mptcp_mark_table", progs.table_link, !again);
	pin(att.cgroup_id, "mptcp_mark_mptcpify", progs.mptcpify_link, !again);
	warn_of_mask(options);
	return 0;
}

int do_load(const char *dir, const struct mark_options *options)
{
	struct programs progs;
	char path[PATH_SIZE], *slash;
	int err;

	load_programs(&progs, options, -1, -1);
	if (!strncmp(dir, BPFFS "/", strlen(BPFFS "/"))) {
		lock(-1);
		mount_bpffs();
	}
	snprintf(path, sizeof(path), "%s", dir);
	slash = strrchr(path, '/');
	if (!slash || slash == path)
		die("%s is in no BPF file system, as %s is", dir, BPFFS);
	*slash = '\0';
	if (!is_bpffs(path))
		die("%s is in no BPF file system, as %s is", dir, BPFFS);
	if (mkdir(dir, 0700))
		die("%s: %s", dir, strerror(errno));
	err = bpf_object__pin_maps(progs.mark->obj, dir) ?:
	      bpf_object__pin_programs(progs.mark->obj, dir);
	if (!err && progs.table)
		err = bpf_object__pin_programs(progs.table->obj, dir);
	if (err) {
		remove_pins(dir);
		die("%s: %s", dir, refusal());
	}
	warn_of_mask(options);
	return 0;
}

int do_set(const char *path, const struct mark_options *options)
{
	int cgroup = open_cgroup(path);
	struct mptcp_mark__data_mark_cfg *config;
	struct attachment att;

	lock(cgroup);
	find_attachment(cgroup, false, &att);
	if (att.by == BY_NOBODY)
		die("mptcp_mark is not attached to %s", path);
	if (!is_own_version(att.prog))
		die("another version of mptcp_mark is attached to %s: attach it again", path);
	config = map_memory(att.config, sizeof(*config));
	if (!config)
		die("base and mask of %s: %s", path, strerror(errno));
	set_config(config, options, true);
	warn_of_mask(options);
	return 0;
}

int do_detach(const char *path)
{
	int cgroup = open_cgroup(path), locked;
	struct attachment att;
	char dir[PATH_SIZE];

	if (is_pinned(cgroup_id_of(cgroup), "mptcp_policy"))
		return policy_flush(path);
	locked = lock(cgroup);
	remove_stale_pins(cgroup);
	find_attachment(cgroup, false, &att);
	pin_path(dir, att.cgroup_id, "");
	if (att.by == BY_LINK || att.by == BY_OTHERS)
		die("mptcp_mark was attached to %s by %s: end it there", path,
		    att.by == BY_LINK ? "a process, as 'run'" :
		    "other means, as bpftool or systemd");
	if (access(dir, F_OK))
		die("mptcp_mark is not attached to %s", path);
	remove_cgroup_pins(att.cgroup_id);
	close(locked);
	return 0;
}
