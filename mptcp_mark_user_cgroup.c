// SPDX-License-Identifier: GPL-2.0
/* Cgroups, the programs attached to them, and the pins of their links. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <bpf/bpf.h>
#include "mptcp_mark_user.h"

#define FILEID_KERNFS	0xfe	/* include/linux/exportfs.h */
#define MAX_PROGS	64	/* BPF_CGROUP_MAX_PROGS, kernel/bpf/cgroup.c */
#define MAX_MAPS	64	/* MAX_USED_MAPS, include/linux/bpf_verifier.h */

static bool is_cgroup(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC;
}

int open_cgroup(const char *path)
{
	int cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (cgroup < 0)
		die("cgroup %s: %s", path, strerror(errno));
	if (!is_cgroup(cgroup))
		die("%s is no cgroup of version 2", path);
	return cgroup;
}

/* Where cgroup2 is mounted, or -1 */
int open_cgroup_root(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *mount;
	int root = -1;

	while (mounts && root < 0 && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2"))
			continue;
		root = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* Another mount may hide it */
		if (root >= 0 && !is_cgroup(root)) {
			close(root);
			root = -1;
		}
	}
	if (mounts)
		endmntent(mounts);
	return root;
}

int open_cgroup_by_id(int root, __u64 id)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(id)];
	} u = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };

	memcpy(u.handle.f_handle, &id, sizeof(id));
	return open_by_handle_at(root, &u.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

__u64 cgroup_id_of(int cgroup)
{
	struct stat st;

	if (fstat(cgroup, &st))
		die("cgroup: %s", strerror(errno));
	return st.st_ino;
}

int map_of_program(int prog, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 ids[MAX_MAPS], len = sizeof(info);
	int map;

	info.nr_map_ids = MAX_MAPS;
	info.map_ids = (unsigned long)ids;
	if (bpf_prog_get_info_by_fd(prog, &info, &len))
		return -1;
	for (__u32 i = 0; i < info.nr_map_ids; i++) {
		struct bpf_map_info map_info = {};

		len = sizeof(map_info);
		map = bpf_map_get_fd_by_id(ids[i]);
		if (map >= 0 && !bpf_map_get_info_by_fd(map, &map_info, &len) &&
		    !strcmp(map_info.name, name))
			return map;
		close(map);
	}
	return -1;
}

/* Two programs of one tag have the same instructions */
bool read_tag(int prog, __u8 tag[BPF_TAG_SIZE])
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_prog_get_info_by_fd(prog, &info, &len))
		return false;
	memcpy(tag, info.tag, BPF_TAG_SIZE);
	return true;
}

/* The program of that name which is attached to a cgroup, or -1 */
int find_program(int cgroup, enum bpf_attach_type type, bool effective, const char *name,
		 __u32 *id)
{
	LIBBPF_OPTS(bpf_prog_query_opts, query);
	__u32 ids[MAX_PROGS];

	query.query_flags = effective ? BPF_F_QUERY_EFFECTIVE : 0;
	query.prog_ids = ids;
	query.prog_cnt = MAX_PROGS;
	/* Without an answer, ours would seem not to be there */
	if (bpf_prog_query_opts(cgroup, type, &query)) {
		if (errno == EPERM && !effective)
			die("to look at attached programs takes CAP_NET_ADMIN and CAP_SYS_ADMIN");
		return -1;
	}
	for (__u32 i = 0; i < query.prog_cnt; i++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		int prog = bpf_prog_get_fd_by_id(ids[i]);

		if (prog < 0 && errno == EPERM && !effective)
			die("to look at attached programs takes CAP_SYS_ADMIN");
		/* The kernel keeps the first 15 characters of a name */
		if (prog >= 0 && !bpf_prog_get_info_by_fd(prog, &info, &len) &&
		    !strncmp(info.name, name, BPF_OBJ_NAME_LEN - 1)) {
			*id = ids[i];
			return prog;
		}
		close(prog);
	}
	return -1;
}

static bool has_link(__u64 cgroup_id, __u32 prog_id)
{
	__u32 id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = {};
		__u32 len = sizeof(info);
		int link = bpf_link_get_fd_by_id(id);
		bool found;

		found = link >= 0 && !bpf_link_get_info_by_fd(link, &info, &len) &&
			info.type == BPF_LINK_TYPE_CGROUP && info.prog_id == prog_id &&
			info.cgroup.cgroup_id == cgroup_id;
		close(link);
		if (found)
			return true;
	}
	return false;
}

/*
 * Effective: what acts on the sockets of a cgroup, by order or by a policy, may be
 * attached to an ancestor.
 */
void find_attachment(int cgroup, bool effective, struct attachment *att)
{
	__u32 id;
	int table;

	memset(att, 0, sizeof(*att));
	att->cgroup_id = cgroup_id_of(cgroup);
	att->config = -1;
	att->stats = -1;
	att->counts = -1;
	att->prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, effective, "mptcp_mark",
				 &att->prog_id);
	if (att->prog < 0 && effective)
		att->prog = find_program(cgroup, BPF_CGROUP_SOCK_OPS, true, "mptcp_policy",
					 &att->prog_id);
	if (att->prog < 0)
		return;
	att->config = map_of_program(att->prog, ".data.mark_cfg");
	att->stats = map_of_program(att->prog, ".data.mark_cnt");
	att->counts = map_of_program(att->prog, "subflow_counts");
	if (effective)
		return;

	table = find_program(cgroup, BPF_CGROUP_GETSOCKOPT, false, "mptcp_mark_table", &id);
	att->table = table >= 0;
	close(table);
	att->mptcpify = is_pinned(att->cgroup_id, "mptcp_mark_mptcpify");
	if (is_pinned(att->cgroup_id, "mptcp_mark"))
		att->by = BY_ATTACH;
	else
		att->by = has_link(att->cgroup_id, att->prog_id) ? BY_LINK : BY_OTHERS;
}

void close_attachment(struct attachment *att)
{
	close(att->prog);
	close(att->config);
	close(att->stats);
	close(att->counts);
}
