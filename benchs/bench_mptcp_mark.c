// SPDX-License-Identifier: GPL-2.0
/*
 * What marking costs and how far it goes: bench_mptcp_mark FILE [BENCH …], in
 * the folder of the BPF objects; JSON lines go to FILE. Without a name, all.
 *
 * A process for each benchmark. This one looks after what outlives it: the
 * cgroup. Interrupted, the table holds what there was until then.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "bench_mptcp_mark_report.h"

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
static sig_atomic_t interrupted;
static pid_t child;

static void interrupt(int sig)
{
	interrupted = sig;
	if (child > 0)
		kill(child, SIGTERM);
}

/* What test_progs named after its process id, and leaves when a signal ends it */
static void remove_left(pid_t pid)
{
	static const char * const cmds[] = {
		"ip netns del mark_c_%d", "ip netns del mark_s_%d",
		"find /sys/fs/cgroup -depth -type d -path '*/cgroup-test-work-dir%d*' -delete",
	};
	char cmd[128];
	int i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		snprintf(cmd, sizeof(cmd), cmds[i], pid);
		strcat(cmd, " 2>/dev/null");
		system(cmd);
	}
}

static void run(const struct bench *bench)
{
	siginfo_t info;
	int status;
	pid_t pid;

	child = fork();
	if (!child) {
		setpgid(0, 0);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench->run();
		exit(0);
	}
	if (child < 0) {
		fail("fork: %s", strerror(errno));
		return;
	}
	while (waitid(P_PID, child, &info, WEXITED | WNOWAIT) < 0)
		;
	/* What it started is ours then, and in the cgroup till it ends */
	kill(-child, SIGTERM);
	waitpid(child, &status, 0);
	child = 0;
	while ((pid = wait(NULL)) > 0 || errno == EINTR)
		if (pid > 0 && interrupted)
			remove_left(pid);
	if (!interrupted && (!WIFEXITED(status) || WEXITSTATUS(status)))
		fail("%s ended early", bench->name);
}

static bool wanted(const struct bench *bench, char **names)
{
	bool none = !*names;

	for (; *names; names++)
		if (!strcmp(*names, bench->name))
			return true;
	return none;
}

static int check_names(char **names)
{
	int i;

	for (; *names; names++) {
		for (i = 0; i < ARRAY_SIZE(benches); i++)
			if (!strcmp(*names, benches[i].name))
				break;
		if (i < ARRAY_SIZE(benches))
			continue;
		fprintf(stderr, "no benchmark '%s'. There are:", *names);
		for (i = 0; i < ARRAY_SIZE(benches); i++)
			fprintf(stderr, " %s", benches[i].name);
		fprintf(stderr, "\n");
		return -1;
	}
	return 0;
}

static int check_machine(void)
{
	int fd;

	if (geteuid()) {
		fprintf(stderr, "must be run as root\n");
		return -1;
	}
	fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (fd < 0) {
		fprintf(stderr, "no MPTCP: it takes CONFIG_MPTCP=y and net.mptcp.enabled=1\n");
		return -1;
	}
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = interrupt };
	bool failed;
	int i;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE [BENCH ...]\n", argv[0]);
		return KSFT_FAIL;
	}
	if (check_names(argv + 2))
		return KSFT_FAIL;
	if (check_machine())
		return KSFT_SKIP;
	if (report_open(argv[1])) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return KSFT_FAIL;
	}

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (setup_cgroup_environment())
		return KSFT_FAIL;
	cgroup_fd = create_and_get_cgroup(MARK_CGROUP);
	if (cgroup_fd < 0)
		fail("no cgroup: %s", strerror(errno));
	for (i = 0; cgroup_fd >= 0 && i < ARRAY_SIZE(benches) && !interrupted; i++)
		if (wanted(&benches[i], argv + 2))
			run(&benches[i]);
	close(cgroup_fd);
	cleanup_cgroup_environment();

	failed = report_print();
	printf("\nThe same, with the value of each round: %s\n", argv[1]);
	if (interrupted)
		return 128 + interrupted;
	return failed ? KSFT_FAIL : 0;
}
