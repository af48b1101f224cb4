// SPDX-License-Identifier: GPL-2.0
/* Links, programs and maps pinned in the BPF file system, and who may change them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "mptcp_mark_user.h"

#define LOCK_TRIES	3000	/* of 10 ms each */

/* BPFFS may be open to all, as /tmp is: what is not root's alone is not ours */
static void check_pins(void)
{
	struct stat st;

	if (lstat(PINS, &st)) {
		if (errno != ENOENT)
			die("%s: %s", PINS, strerror(errno));
	} else if (!S_ISDIR(st.st_mode) || st.st_uid || st.st_mode & 022) {
		die("%s is not a folder that root alone can write to: remove it", PINS);
	}
}

/* One caller at a time changes what is attached and pinned, until it ends or unlocks */
int lock(int cgroup)
{
	int fd = open_cgroup_root(), i;

	if (fd < 0)
		fd = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; i++) {
		if (i == LOCK_TRIES)
			die("another process has cgroup2 locked: 'lslocks' shows which");
		usleep(10000);
	}
	check_pins();
	return fd;
}

void pin_path(char *path, __u64 cgroup_id, const char *name)
{
	snprintf(path, PATH_SIZE, "%s/%llu/%s", PINS, (unsigned long long)cgroup_id, name);
}

bool is_pinned(__u64 cgroup_id, const char *name)
{
	char path[PATH_SIZE];

	pin_path(path, cgroup_id, name);
	return !access(path, F_OK);
}

bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* A tracing link cannot be detached: its program goes some time after the last reference */
static void detach(int link)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info), zero = 0;
	int prog, map;

	if (!bpf_link_detach(link) || errno != EOPNOTSUPP ||
	    bpf_link_get_info_by_fd(link, &info, &len))
		return;
	prog = bpf_prog_get_fd_by_id(info.prog_id);
	map = map_of_program(prog, "mptcpify_cgroup");
	bpf_map_delete_elem(map, &zero);
	close(map);
	close(prog);
}

void mount_bpffs(void)
{
	if (is_bpffs(BPFFS))
		return;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=700"))
		die("a BPF file system cannot be mounted at %s: %s", BPFFS, strerror(errno));
	say("mounted a BPF file system at %s", BPFFS);
}

void unpin(__u64 cgroup_id, const char *name)
{
	char path[PATH_SIZE];
	int link;

	pin_path(path, cgroup_id, name);
	link = bpf_obj_get(path);
	if (link < 0)
		return;
	detach(link);
	close(link);
	unlink(path);
}

void update(__u64 cgroup_id, const char *name, struct bpf_program *prog)
{
	char path[PATH_SIZE];
	int link;

	pin_path(path, cgroup_id, name);
	link = bpf_obj_get(path);
	if (link < 0 || bpf_link_update(link, bpf_program__fd(prog), NULL))
		die("%s cannot be given the new program: %s", path, strerror(errno));
	close(link);
}

/* Detached first, as the kernel frees a link some time after its last pin is gone */
void remove_pins(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	char path[PATH_SIZE];
	int link;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		link = bpf_obj_get(path);
		detach(link);	/* programs and maps are no links: not an error */
		close(link);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

/*
 * Of cgroups whose program is gone, or never came as 'policy load' was killed. The map
 * of all policies goes with the last of them
 */
static void forget_stale_policies(void)
{
	int policies = bpf_obj_get(POLICIES);
	__u64 key, next;
	bool more;

	if (policies < 0)
		return;
	more = !bpf_map_get_next_key(policies, NULL, &next);
	while (more) {
		key = next;
		more = !bpf_map_get_next_key(policies, &key, &next);
		if (!is_pinned(key, "mptcp_policy"))
			bpf_map_delete_elem(policies, &key);
	}
	if (bpf_map_get_next_key(policies, NULL, &key))
		unlink(POLICIES);
	close(policies);
}

/* The program first: no policy for an instant is better than that of an ancestor, too */
void remove_cgroup_pins(__u64 cgroup_id)
{
	char dir[PATH_SIZE];

	pin_path(dir, cgroup_id, "");
	remove_pins(dir);
	forget_stale_policies();
	rmdir(PINS);	/* where no other cgroup has any */
}

/* The folder for the pins of a cgroup */
void make_pin_dir(__u64 cgroup_id)
{
	char dir[PATH_SIZE];

	mount_bpffs();
	pin_path(dir, cgroup_id, "");
	if (mkdir(PINS, 0700) && errno != EEXIST)
		die("%s: %s", PINS, strerror(errno));
	check_pins();
	if (mkdir(dir, 0700) && errno != EEXIST)
		die("%s: %s", dir, strerror(errno));
}

/* Instead of what is pinned there. On failure, all of a cgroup that had nothing is removed */
void pin(__u64 cgroup_id, const char *name, int fd, bool is_new)
{
	char path[PATH_SIZE];
	int err;

	if (fd < 0)
		return;
	pin_path(path, cgroup_id, name);
	unlink(path);
	if (!bpf_obj_pin(fd, path))
		return;
	err = errno;
	if (is_new)
		remove_cgroup_pins(cgroup_id);
	die("%s cannot be pinned: %s", path, strerror(err));
}

/* Of cgroups that are gone */
void remove_stale_pins(int root)
{
	struct dirent *entry;
	DIR *d = opendir(PINS);
	char dir[PATH_SIZE];
	__u64 id;
	int cgroup;

	while (d && (entry = readdir(d))) {
		id = strtoull(entry->d_name, NULL, 10);
		if (!id)
			continue;
		cgroup = open_cgroup_by_id(root, id);
		if (cgroup >= 0) {
			close(cgroup);
		} else if (errno == ESTALE) {
			pin_path(dir, id, "");
			remove_pins(dir);
		}
	}
	if (d)
		closedir(d);
	forget_stale_policies();
	rmdir(PINS);	/* where no other cgroup has any */
}
