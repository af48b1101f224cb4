// SPDX-License-Identifier: GPL-2.0
/* The programs that the benchmarks compare, and a look at their marks. */
#include "bench_mptcp_mark.h"
#include "prog_tests/mptcp_policy_helpers.h"

static const struct {
	const char *name, *file, *prog;
	__u32 mark[SUBFLOWS];
} variants[] = {
	[NONE] = { "no program" },
	[EMPTY] = { "an empty program", "mptcp_mark_bench.bpf.o", "bench_empty" },
	[CONSTANT] = { "a constant mark", "mptcp_mark_bench.bpf.o", "bench_constant", { 7, 7, 7 } },
	[OURS] = { "mptcp_mark", "mptcp_mark.bpf.o", "mptcp_mark", { 1, 2, 3 } },
	[TREE] = { "upstream's mptcp_subflow", "mptcp_subflow.bpf.o", "mptcp_subflow",
		   { 1, 2, 3 } },
	[TABLE] = { "the table", "mptcp_mark_table.bpf.o", "mptcp_mark_table" },
	[POLICY] = { "a policy of 1 rule", .mark = { 7, 7, 7 } },
	[POLICY_32] = { "a policy of 32 rules", .mark = { 7, 7, 7 } },
	[POLICY_BACKUP] = { "a policy that names backup", .mark = { 7, 7, 7 } },
};

static struct {
	struct bpf_object *obj;
	struct mptcp_policy *policy;	/* instead of obj */
	struct bpf_program *prog;
	struct bpf_link *link;
} progs[VARIANTS];

const char *prog_name(enum variant v)
{
	return variants[v].name;
}

int prog_fd(enum variant v)
{
	return progs[v].prog ? bpf_program__fd(progs[v].prog) : -1;
}

/* The last rule fits, and its mark is 7 */
static void load_policy(enum variant v)
{
	struct mptcp_policy_rule rules[MPTCP_POLICY_RULES];
	struct mptcp_policy *skel = mptcp_policy__open();
	int i, n = 0;

	/* from 10.1.0.0/24, 10.1.1.0/24, … */
	for (i = 0; v == POLICY_32 && i < MPTCP_POLICY_RULES - 1; i++)
		rules[n++] = (struct mptcp_policy_rule){
			RULE_MARK(8),
			.from.byte = { [10] = 0xff, 0xff, 10, 1, i, 0 },
			.from_mask.byte = { [0 ... 14] = 0xff },
		};
	if (v == POLICY_BACKUP)
		rules[n++] = (struct mptcp_policy_rule){ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(8) };
	rules[n++] = (struct mptcp_policy_rule){ RULE_MARK(7) };

	if (!skel)
		die("mptcp_policy: %s", strerror(errno));
	skel->bss->own_cgroup = cgroup_id;
	bpf_program__set_autoload(skel->progs.mptcp_policy_apply, false);
	if (mptcp_policy__load(skel) || policy_set(skel, rules, n))
		die("mptcp_policy: %s", strerror(errno));
	progs[v].policy = skel;
	progs[v].prog = skel->progs.mptcp_policy;
}

/* One program of an object */
static struct bpf_program *load(const char *file, const char *name, struct bpf_object **obj)
{
	struct bpf_program *prog;

	*obj = bpf_object__open_file(file, NULL);
	if (!*obj)
		die("%s: %s", file, strerror(errno));
	bpf_object__for_each_program(prog, *obj)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
	if (bpf_object__load(*obj))
		die("%s: %s", file, strerror(errno));
	return bpf_object__find_program_by_name(*obj, name);
}

void progs_load(const enum variant *order, int n)
{
	enum variant v;
	int i;

	for (i = 0; i < n; i++) {
		v = order[i];
		if (v >= POLICY)
			load_policy(v);
		else if (v != NONE && !access(variants[v].file, R_OK))
			progs[v].prog = load(variants[v].file, variants[v].prog, &progs[v].obj);
	}
}

void progs_unload(void)
{
	enum variant v;

	for (v = 0; v < VARIANTS; v++) {
		prog_detach(v);
		mptcp_policy__destroy(progs[v].policy);
		bpf_object__close(progs[v].obj);
	}
	memset(progs, 0, sizeof(progs));
}

void prog_attach(enum variant v)
{
	if (!progs[v].prog)
		return;
	progs[v].link = bpf_program__attach_cgroup(progs[v].prog, cgroup_fd);
	if (!progs[v].link)
		die("%s could not be attached: %s", prog_name(v), strerror(errno));
}

void prog_replace(enum variant attached, enum variant v)
{
	if (bpf_link__update_program(progs[attached].link, progs[v].prog))
		die("%s could not be attached: %s", prog_name(v), strerror(errno));
}

void prog_detach(enum variant attached)
{
	mark_detach(&progs[attached].link);
}

bool conn_is_right(enum variant v, const struct mark_conn *c)
{
	const __u32 *mark = variants[v].mark;
	struct mark_table table;
	socklen_t len = sizeof(table);
	int i;

	if (getsockopt(c->fd[CLIENT], SOL_MPTCP_MARK, MPTCP_MARK_TABLE, &table, &len) ||
	    table.hdr.total != SUBFLOWS)
		return false;
	for (i = 0; i < SUBFLOWS; i++)
		if (table.subflow[i].id != i + 1 || table.subflow[i].mark != mark[i])
			return false;
	return true;
}
