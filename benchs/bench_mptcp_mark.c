// SPDX-License-Identifier: GPL-2.0
/*
 * What marking costs, and how far it goes: bench_mptcp_mark FILE [BENCH …], in
 * the folder of the BPF objects. JSON lines go to FILE. Without a name, all run.
 * For scripts/bench.sh: the first process of its namespaces, which end with it.
 */
#include <sys/wait.h>
#include "bench_mptcp_mark.h"

#define KSFT_FAIL	1

static const struct bench {
	const char *name;
	void (*run)(void);
} benches[] = {
	{ "cost", bench_cost },
	{ "others", bench_others },
	{ "rate", bench_rate },
	{ "bulk", bench_bulk },
	{ "table", bench_table },
	{ "at_once", bench_at_once },
	{ "in_turn", bench_in_turn },
};

int cgroup_fd;
__u64 cgroup_id;
const char *bench_name = "bench";

/* Returns whether the benchmark failed */
static bool run(const struct bench *bench)
{
	int status = 0;
	pid_t pid;

	bench_name = bench->name;
	pid = fork();
	if (!pid) {
		bench->run();
		exit(0);
	}
	waitpid(pid, &status, 0);
	while (wait(NULL) > 0)
		;		/* processes that it had started, killed with it */
	return pid < 0 || status;
}

static const struct bench *find_bench(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(benches); i++)
		if (!strcmp(name, benches[i].name))
			return &benches[i];
	fprintf(stderr, "no benchmark '%s'. There are:", name);
	for (i = 0; i < ARRAY_SIZE(benches); i++)
		fprintf(stderr, " %s", benches[i].name);
	fprintf(stderr, "\n");
	exit(KSFT_FAIL);
}

int main(int argc, char **argv)
{
	bool chosen[ARRAY_SIZE(benches)] = {}, failed = false;
	int i;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE [BENCH ...]\n", argv[0]);
		return KSFT_FAIL;
	}
	for (i = 2; i < argc; i++)
		chosen[find_bench(argv[i]) - benches] = true;
	if (report_open(argv[1])) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return KSFT_FAIL;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (setup_cgroup_environment())
		return KSFT_FAIL;
	cgroup_fd = create_and_get_cgroup(MARK_CGROUP);
	cgroup_id = get_cgroup_id(MARK_CGROUP);
	for (i = 0; i < ARRAY_SIZE(benches); i++)
		if (argc == 2 || chosen[i])
			failed |= run(&benches[i]);
	close(cgroup_fd);
	cleanup_cgroup_environment();

	printf("The values of all rounds are in %s.\n", argv[1]);
	return failed ? KSFT_FAIL : 0;
}
