// SPDX-License-Identifier: GPL-2.0
/*
 * What marking costs, and how far it goes: bench_mptcp_mark FILE [BENCH …], in
 * the folder of the BPF objects. JSON lines go to FILE. Without a name, all run.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "bench_mptcp_mark.h"

#define KSFT_FAIL	1
#define KSFT_SKIP	4

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

static sigset_t signals;	/* that end us, and the one of the end of a benchmark */
static int interrupted;

/* Returns whether the benchmark failed */
static bool run(const struct bench *bench)
{
	int sig, status = 0;
	pid_t pid;

	bench_name = bench->name;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_UNBLOCK, &signals, NULL);
		bench->run();
		exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		sig = sigwaitinfo(&signals, NULL);
		if (sig <= 0 || sig == SIGCHLD)
			continue;
		interrupted = sig;
		kill(pid, SIGKILL);
	}
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

static void check_machine(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (geteuid() || fd < 0) {
		fprintf(stderr, "skipped: takes root, CONFIG_MPTCP=y and net.mptcp.enabled=1\n");
		exit(KSFT_SKIP);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	static const int signal_nrs[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	bool chosen[ARRAY_SIZE(benches)] = {}, failed = false;
	int i;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE [BENCH ...]\n", argv[0]);
		return KSFT_FAIL;
	}
	for (i = 2; i < argc; i++)
		chosen[find_bench(argv[i]) - benches] = true;
	check_machine();
	if (report_open(argv[1])) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return KSFT_FAIL;
	}
	sigemptyset(&signals);
	for (i = 0; i < ARRAY_SIZE(signal_nrs); i++)
		sigaddset(&signals, signal_nrs[i]);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (setup_cgroup_environment())
		return KSFT_FAIL;
	cgroup_fd = create_and_get_cgroup(MARK_CGROUP);
	cgroup_id = get_cgroup_id(MARK_CGROUP);
	for (i = 0; i < ARRAY_SIZE(benches) && !interrupted; i++)
		if (argc == 2 || chosen[i])
			failed |= run(&benches[i]);
	close(cgroup_fd);
	cleanup_cgroup_environment();

	printf("The values of all rounds are in %s.\n", argv[1]);
	if (interrupted)
		return 128 + interrupted;
	return failed ? KSFT_FAIL : 0;
}
