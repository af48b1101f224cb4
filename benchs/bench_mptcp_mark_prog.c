// SPDX-License-Identifier: GPL-2.0
/* The programs that the benchmarks compare, and a look at their marks. */
#include "bench_mptcp_mark.h"
#include "prog_tests/mptcp_policy_helpers.h"
#include "progs/mptcp_mark_show.h"

#define CHECK_NS	65e9	/* a minute, and some more */

static const struct {
	const char *name, *file, *prog;
	__u32 mark[SUBFLOWS];
} variants[] = {
	[NONE] = { "no program" },
	[EMPTY] = { "an empty program", "mptcp_mark_bench.bpf.o", "bench_empty" },
	[CONSTANT] = { "a constant mark", "mptcp_mark_bench.bpf.o", "bench_constant", { 7, 7, 7 } },
	[OURS] = { "mptcp_mark", "mptcp_mark.bpf.o", "mptcp_mark", { 1, 2, 3 } },
	[TREE] = { "upstream's mptcp_subflow", "mptcp_subflow.bpf.o", "mptcp_subflow", { 1, 2, 3 } },
	[TABLE] = { "the table", "mptcp_mark_table.bpf.o", "mptcp_mark_table" },
	[POLICY] = { "a policy of one rule", .mark = { 7, 7, 7 } },
	[POLICY_32] = { "a policy, the last of 32 rules", .mark = { 7, 7, 7 } },
	[POLICY_BACKUP] = { "a policy that names backup", .mark = { 7, 7, 7 } },
};

const char *prog_name(enum variant v)
{
	return variants[v].name;
}

/* The last rule fits, and its mark is 7 */
static void load_policy(struct prog *p)
{
	struct mptcp_policy_rule rules[MPTCP_POLICY_RULES];
	int i, n = 0;

	/* from 10.1.0.0/24, 10.1.1.0/24, … */
	for (i = 0; p->variant == POLICY_32 && i < MPTCP_POLICY_RULES - 1; i++)
		rules[n++] = (struct mptcp_policy_rule){
			RULE_MARK(8),
			.from.byte = { [10] = 0xff, 0xff, 10, 1, i, 0 },
			.from_mask.byte = { [0 ... 14] = 0xff },
		};
	if (p->variant == POLICY_BACKUP)
		rules[n++] = (struct mptcp_policy_rule){ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(8) };
	rules[n++] = (struct mptcp_policy_rule){ RULE_MARK(7) };

	p->policy = mptcp_policy__open();
	if (!p->policy)
		die("mptcp_policy: %s", strerror(errno));
	p->prog = p->policy->progs.mptcp_policy;
	p->policy->bss->own_cgroup = cgroup_id;
	bpf_program__set_autoload(p->policy->progs.mptcp_policy_apply, false);
	if (mptcp_policy__load(p->policy) || policy_set(p->policy, cgroup_id, rules, n))
		die("mptcp_policy: %s", strerror(errno));
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

void progs_load(struct prog *progs, const enum variant *order, int n)
{
	struct prog *p;
	int i;

	for (i = 0; i < n; i++) {
		p = &progs[order[i]];
		*p = (struct prog){ .variant = order[i] };
		if (p->variant >= POLICY)
			load_policy(p);
		else if (p->variant != NONE && !access(variants[p->variant].file, R_OK))
			p->prog = load(variants[p->variant].file, variants[p->variant].prog,
				       &p->obj);
	}
}

void progs_unload(struct prog *progs, const enum variant *order, int n)
{
	struct prog *p;
	int i;

	for (i = 0; i < n; i++) {
		p = &progs[order[i]];
		mark_detach(&p->link);
		if (p->policy)
			mptcp_policy__destroy(p->policy);
		else
			bpf_object__close(p->obj);
	}
}

void prog_attach(struct prog *p)
{
	if (!p->prog)
		return;
	p->link = bpf_program__attach_cgroup(p->prog, cgroup_fd);
	if (!p->link)
		die("%s could not be attached: %s", prog_name(p->variant), strerror(errno));
}

enum variant in_turn(const enum variant *order, int n, int round, int i)
{
	return order[(round / 2 + (round & 1 ? n - 1 - i : i)) % n];
}

static FILE *list_subflows(void)
{
	static struct bpf_program *prog;
	static struct bpf_object *obj;
	struct bpf_link *link;
	FILE *f;

	if (!prog)
		prog = load("mptcp_mark_show.bpf.o", "mptcp_mark_show", &obj);
	link = bpf_program__attach_iter(prog, NULL);
	f = link ? fdopen(bpf_iter_create(bpf_link__fd(link)), "r") : NULL;
	if (!f)
		die("the subflows cannot be listed: %s", strerror(errno));
	bpf_link__destroy(link);
	setvbuf(f, NULL, _IOFBF, 1 << 16);	/* the kernel writes as much at once */
	return f;
}

static bool marks_are(const __u32 *mark, long n)
{
	long seen[SUBFLOWS] = {}, others = 0;
	struct mptcp_show_subflow s;
	FILE *f = list_subflows();

	while (fread(&s, sizeof(s), 1, f) == 1)
		if (s.id >= 1 && s.id <= SUBFLOWS && s.mark == mark[s.id - 1])
			seen[s.id - 1]++;
		else
			others++;
	fclose(f);
	return !others && seen[0] >= n && seen[1] >= n && seen[2] >= n;
}

/*
 * Subflows of earlier connections, marked by other programs, can linger for a
 * minute, until the kernel gives up what it could not close.
 */
void check_marks(enum variant variant, long n)
{
	__u64 start = get_time_ns();

	while (!marks_are(variants[variant].mark, n)) {
		if (ns_since(start) > CHECK_NS)
			die("%s: wrong marks of %ld connections", prog_name(variant), n);
		usleep(10000);
	}
}
