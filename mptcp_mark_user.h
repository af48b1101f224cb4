/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_MARK_USER_H__
#define __MPTCP_MARK_USER_H__

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/compiler.h>

/* What the command line says */
struct mark_options {
	__u32 base;
	__u32 mask;
	bool has_base;
	bool has_mask;
	bool table;
	bool mptcpify;
	bool debug;
	bool json;
	double watch;		/* seconds between two views, 0: one view */
	const char *netns;
};

/* A message in one line, and exit code 1 */
void __noreturn __printf(1, 2) die(const char *format, ...);
void __printf(1, 2) say(const char *format, ...);

/* mptcp_mark_user_cgroup.c: our programs, as they are attached to a cgroup */

#define BPFFS		"/sys/fs/bpf"
#define PINS		BPFFS "/mptcp_mark"
#define POLICIES	PINS "/mptcp_policies"
#define PATH_SIZE	4096

enum attached_by {
	BY_NOBODY,
	BY_ATTACH,	/* links of ours, pinned */
	BY_LINK,	/* links that a process holds: run, or another tool */
	BY_OTHERS,	/* without a link, as bpftool and systemd do */
};

struct attachment {
	enum attached_by by;
	__u64 cgroup_id;
	__u32 prog_id;
	int prog;		/* file descriptors, -1: none */
	int config;
	int stats;
	int counts;
	bool table;
	bool mptcpify;
};

int open_cgroup(const char *path);
int open_cgroup_root(void);
int open_cgroup_by_id(int root, __u64 id);
__u64 cgroup_id_of(int cgroup);
void find_attachment(int cgroup, bool effective, struct attachment *att);
void close_attachment(struct attachment *att);
int map_of_program(int prog, const char *name);
bool read_tag(int prog, __u8 tag[BPF_TAG_SIZE]);
int find_program(int cgroup, enum bpf_attach_type type, bool effective, const char *name,
		 __u32 *id);

/* mptcp_mark_user_pins.c */
struct bpf_program;
int lock(int cgroup);
bool is_bpffs(const char *path);
void mount_bpffs(void);
void pin_path(char *path, __u64 cgroup_id, const char *name);
bool is_pinned(__u64 cgroup_id, const char *name);
void pin(__u64 cgroup_id, const char *name, int fd, bool is_new);
void unpin(__u64 cgroup_id, const char *name);
void update(__u64 cgroup_id, const char *name, struct bpf_program *prog);
void make_pin_dir(__u64 cgroup_id);
void remove_stale_pins(int root);
void remove_pins(const char *dir);
void remove_cgroup_pins(__u64 cgroup_id);

/* mptcp_mark_user_kernel.c: what the kernel has, and why it refused a program */
const char *refusal(void);
void watch_refusals(void);

/* mptcp_mark_user_attach.c */
int do_run(const char *path, const struct mark_options *options, char **command);
int do_attach(const char *path, const struct mark_options *options);
int do_load(const char *dir, const struct mark_options *options);
int do_set(const char *path, const struct mark_options *options);
int do_detach(const char *path);
bool is_own_version(int prog);
void *map_memory(int map, size_t size);
struct bpf_map;
bool keep_map(struct bpf_map *map, int old);

/* mptcp_mark_user_run.c */
int wait_for(const char *path, int cgroup, char **command);

/* mptcp_mark_user_status.c */
int do_status(const char *path, const struct mark_options *options);

/* mptcp_mark_user_show.c */
int do_show(const struct mark_options *options);

/* mptcp_mark_user_policy.c */
int do_policy(const char *verb, const char *object, const char *file,
	      const struct mark_options *options);

#endif /* __MPTCP_MARK_USER_H__ */
