// SPDX-License-Identifier: GPL-2.0
/* The programs that the benchmarks compare, and those that look. */
#include "bench_mptcp_mark.h"

static const struct {
	const char *name, *file, *prog;
	__u32 mark[SUBFLOWS];
} variants[] = {
	[NONE] = { "no program" },
	[EMPTY] = { "an empty program", "mptcp_mark_bench.bpf.o", "bench_empty" },
	[CONSTANT] = { "a constant mark", "mptcp_mark_bench.bpf.o", "bench_constant", { 7, 7, 7 } },
	[KERNEL_ID] = { "the kernel's id as mark", "mptcp_mark_bench.bpf.o", "bench_id",
			{ 1, 2, 3 } },
	[OURS] = { "mptcp_mark", "mptcp_mark.bpf.o", "mptcp_mark", { 1, 2, 3 } },
	[TREE] = { "the tree's mptcp_subflow", "mptcp_subflow.bpf.o", "mptcp_subflow",
		   { 1, 2, 3 } },
	[TREE_MARK] = { "the tree's, less its congestion control", "mptcp_mark_bench_tree.bpf.o",
			"mptcp_subflow", { 1, 2, 3 } },
};

const char *prog_name(enum variant variant)
{
	return variants[variant].name;
}

__u32 prog_mark(enum variant variant, int ordinal)
{
	return variants[variant].mark[ordinal - 1];
}

bool prog_exists(enum variant variant)
{
	return !variants[variant].file || !access(variants[variant].file, R_OK);
}

/* One program of an object, loaded afresh */
static struct bpf_program *load(const char *file, const char *name, struct bpf_object **obj)
{
	struct bpf_program *prog;

	*obj = bpf_object__open_file(file, NULL);
	if (*obj) {
		bpf_object__for_each_program(prog, *obj)
			bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
		if (!bpf_object__load(*obj))
			return bpf_object__find_program_by_name(*obj, name);
		bpf_object__close(*obj);
	}
	fail("program %s of %s could not be loaded: %s", name, file, strerror(errno));
	*obj = NULL;
	return NULL;
}

static struct bpf_link *attach(struct bpf_program *prog)
{
	struct bpf_link *link = bpf_program__attach_cgroup(prog, cgroup_fd);

	if (!link)
		fail("program %s could not be attached: %s", bpf_program__name(prog),
		     strerror(errno));
	return link;
}

int prog_load(struct prog *p, enum variant variant)
{
	*p = (struct prog){ .variant = variant };
	if (variant == NONE)
		return 0;
	p->prog = load(variants[variant].file, variants[variant].prog, &p->obj);
	return p->prog ? 0 : -1;
}

int progs_load(struct prog *progs, const enum variant *variant, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (prog_exists(variant[i]) && prog_load(&progs[variant[i]], variant[i]))
			return -1;
	return 0;
}

enum variant in_turn(const enum variant *variant, int n, int round, int i)
{
	return variant[(round / 2 + (round & 1 ? n - 1 - i : i)) % n];
}

int prog_attach(struct prog *p)
{
	if (p->variant == NONE)
		return 0;
	p->link = attach(p->prog);
	return p->link ? 0 : -1;
}

void prog_detach(struct prog *p)
{
	bpf_link__destroy(p->link);
	p->link = NULL;
}

void prog_unload(struct prog *p)
{
	prog_detach(p);
	bpf_object__close(p->obj);
	p->obj = NULL;
}

void progs_unload(struct prog *progs, const enum variant *variant, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (prog_exists(variant[i]))
			prog_unload(&progs[variant[i]]);
}

struct bpf_link *table_attach(void)
{
	struct bpf_object *obj;
	struct bpf_program *prog = load("mptcp_mark_table.bpf.o", "mptcp_mark_table", &obj);
	struct bpf_link *link = prog ? attach(prog) : NULL;

	/* The link holds the program; loaded afresh, the next one lies elsewhere */
	bpf_object__close(obj);
	return link;
}

/* What a program prints that goes through sockets */
static FILE *open_iter(struct bpf_program *prog, int map_fd)
{
	union bpf_iter_link_info info = { .map.map_fd = map_fd };
	struct bpf_iter_attach_opts opts = { .sz = sizeof(opts) };
	struct bpf_link *link;
	FILE *f;
	int fd;

	if (map_fd >= 0) {
		opts.link_info = &info;
		opts.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(prog, &opts);
	if (!link)
		return NULL;
	fd = bpf_iter_create(bpf_link__fd(link));
	bpf_link__destroy(link);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, "r");
	/* The kernel prints as much as it is asked for */
	setvbuf(f, NULL, _IOFBF, 1 << 16);
	return f;
}

FILE *subflows_open(void)
{
	static struct bpf_object *obj;
	static struct bpf_program *prog;

	if (!prog)
		prog = load("mptcp_mark_show.bpf.o", "mptcp_mark_show", &obj);
	return prog ? open_iter(prog, -1) : NULL;
}

long prog_state(const struct prog *p)
{
	static struct bpf_object *obj;
	static struct bpf_program *prog;
	long n = 0;
	FILE *f;

	if (!prog)
		prog = load("mptcp_mark_bench.bpf.o", "bench_state", &obj);
	if (!prog)
		return -1;
	f = open_iter(prog, bpf_object__find_map_fd_by_name(p->obj, "subflow_counts"));
	if (!f) {
		fail("the state could not be listed: %s", strerror(errno));
		return -1;
	}
	while (getc(f) != EOF)
		n++;
	fclose(f);
	return n;
}
