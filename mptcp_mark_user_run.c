// SPDX-License-Identifier: GPL-2.0
/* mptcp_mark_user run: for as long as a command runs, or until told to end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mptcp_mark_user.h"

/* In the child: into the cgroup, and become the command */
static void __noreturn become(int cgroup, char **command, const sigset_t *mask)
{
	int procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (procs < 0 || write(procs, "0", 1) != 1)
		die("the command cannot enter the cgroup: %s", strerror(errno));
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	say("%s: %s", command[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static bool is_gone(int cgroup)
{
	return faccessat(cgroup, "cgroup.procs", F_OK, 0);
}

/* An interrupt from the terminal reaches the command by itself */
int wait_for(const char *path, int cgroup, char **command)
{
	struct timespec second = { .tv_sec = 1 };
	sigset_t signals, before;
	int status, received;
	pid_t child = -1;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &before);
	signal(SIGCHLD, SIG_DFL);	/* ignored, there would be nothing to wait for */

	if (command) {
		child = fork();
		if (child < 0)
			die("fork: %s", strerror(errno));
		if (!child)
			become(cgroup, command, &before);
	} else {
		printf("attached to %s until interrupted\n", path);
		fflush(stdout);
	}

	for (;;) {
		received = sigtimedwait(&signals, NULL, &second);
		/* The kernel tells nobody of a cgroup that goes away: look */
		if (received < 0 && !command && is_gone(cgroup)) {
			say("cgroup %s is gone", path);
			return 1;
		}
		if (!command && received > 0 && received != SIGCHLD)
			return 0;
		if (command && (received == SIGTERM || received == SIGHUP))
			kill(child, received);
		if (command && waitpid(child, &status, WNOHANG) == child)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}
