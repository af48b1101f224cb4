// SPDX-License-Identifier: GPL-2.0
/* The tests themselves: built from clean and run, ours and the tree's own for MPTCP. */
#include "bench_mptcp_mark.h"

#define TESTS_ROUNDS	10	/* each takes most of a minute: others by MPTCP_MARK_TESTS_ROUNDS */

enum side { SIDE_OURS, SIDE_TREE };

static const struct {
	const char *target, *run;
} sides[] = {
	[SIDE_OURS] = { "harness", "./test_progs" },
	[SIDE_TREE] = { "bench_tree_tests", "./test_progs -t mptcp" },
};

static double seconds(int *status, const char *cmd)
{
	__u64 start = get_time_ns();

	*status = system(cmd);
	return us_since(start) / 1e6;
}

static int time_tests(enum side side, double *build, double *run)
{
	const char *make = getenv("BENCH_MAKE"), *dir = getenv("BENCH_DIR");
	char cmd[4096];
	int status;

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	seconds(&status, cmd);
	snprintf(cmd, sizeof(cmd), "%s OUTPUT=%s %s >%s.log 2>&1", make, dir,
		 sides[side].target, dir);
	*build = seconds(&status, cmd);
	if (status) {
		fail("the tests could not be built: see %s.log", dir);
		return -1;
	}
	snprintf(cmd, sizeof(cmd), "cd %s/build/bpf && exec %s >%s.log 2>&1", dir,
		 sides[side].run, dir);
	*run = seconds(&status, cmd);
	/* Whether those of the tree pass is not ours to say */
	if (status && side == SIDE_OURS) {
		fail("the tests failed: see %s.log", dir);
		return -1;
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s %s.log", dir, dir);
	seconds(&status, cmd);
	return 0;
}

void bench_tests(void)
{
	static struct figure all = {
		"tests built and run, of the tree's own", "", AT_MOST, 1
	}, build = {
		"  built alone", "", AT_MOST, 1
	}, absolute[][2] = {
		[SIDE_OURS] = { { "  ours, built", "s" }, { "  ours, run", "s" } },
		[SIDE_TREE] = { { "  the tree's own, built", "s" },
				{ "  the tree's own, run", "s" } },
	};
	int rounds = number_from("MPTCP_MARK_TESTS_ROUNDS", TESTS_ROUNDS, ROUNDS_MAX);
	int i, side, round, err = 0;
	double s[2][2];

	if (!getenv("BENCH_MAKE") || !getenv("BENCH_DIR")) {
		fail("tests: run by make bench only");
		return;
	}
	unsetenv("MPTCP_MARK_IN_TURN");		/* the tests know it, too */
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 2; i++) {
			side = (round + i) & 1;
			err = time_tests(side, &s[side][0], &s[side][1]);
			if (err)
				break;
			figure_add(&absolute[side][0], s[side][0]);
			figure_add(&absolute[side][1], s[side][1]);
			progress("tests", 2 * round + i + 1, 2 * rounds);
		}
		if (err)
			break;
		figure_add(&all, (s[SIDE_OURS][0] + s[SIDE_OURS][1]) /
				 (s[SIDE_TREE][0] + s[SIDE_TREE][1]));
		figure_add(&build, s[SIDE_OURS][0] / s[SIDE_TREE][0]);
	}
	figure_report(&all);
	figure_report(&build);
	for (i = 0; i < 4; i++)
		figure_report(&absolute[i / 2][i % 2]);
}
