// SPDX-License-Identifier: GPL-2.0
/* A signal endpoint with a port keeps its network namespace for ever
 *
 * Seen: a namespace with such an endpoint is not freed when its last process has
 * gone. No BPF is needed.
 *
 * Why: mptcp_subflow_create_socket() (net/mptcp/subflow.c) takes a reference on the
 * namespace for the subflow of the path manager's listener, which is to be closed
 * when the namespace goes.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: each one leaks all that is in it, devices included; by root of a user
 * namespace, too, up to its limit.
 */
#include <sys/wait.h>
#include "repro.h"

/* Namespaces are counted, for each user namespace: with a limit of one, there is no
 * second one as long as the first is there
 */
static void limit_namespaces(void)
{
	FILE *map;

	must(unshare(CLONE_NEWUSER));
	map = fopen("/proc/self/uid_map", "w");
	if (!map || fputs("0 0 1", map) < 0 || fclose(map))
		result(CANNOT, "no user namespace: %m");
	sh("echo 1 >/proc/sys/user/max_net_namespaces");
}

static const char * const steps[] = {
	"true",
	"ip mptcp endpoint add 127.0.0.1 signal",
	"ip mptcp endpoint add 127.0.0.1 port 10001 signal",
	"true",
	/* and with a join that it accepts, see join() */
	"ip mptcp endpoint add 127.0.0.1 port 10001 signal",
	"true",
};

static void join(void)
{
	int listener, client;

	sh("ip address add 10.0.0.1/32 dev lo");
	sh("ip mptcp limits set subflow 8 add_addr_accepted 8");
	listener = new_listener();
	client = new_client();
	talk(client, must(accept(listener, NULL, NULL)));
	wait_joins(client, 1);
}

/* Run a command in a namespace that goes with it: false if there can be none in 20 s,
 * as the one before stays
 */
static bool run_in_namespace(const char *cmd, bool joined)
{
	int status;

	if (!must(fork())) {
		for (int i = 0; unshare(CLONE_NEWNET); i++) {
			if (errno != ENOSPC || i == 200)
				_exit(2);
			usleep(100000);
		}
		sh("ip link set lo up");
		sh(cmd);
		if (joined)
			join();
		_exit(0);
	}
	must(wait(&status));
	if (status && WEXITSTATUS(status) != 2)
		result(CANNOT, "failed: %s", cmd);
	return !status;
}

int main(void)
{
	start();
	limit_namespaces();
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (!run_in_namespace(steps[i], i == 4))
			result(i > 2 ? FAULT : CANNOT, "after 20 s, this keeps its namespace: %s%s",
			       i ? steps[i - 1] : "nothing", i == 5 ? ", with a join" : "");
	result(RIGHT, "the namespace goes with its last process");
}
