// SPDX-License-Identifier: GPL-2.0
/* Not a fault, but one that a mend of 11 could bring: what the application sets while
 * a join is accepted has to reach it
 *
 * The server is in setsockopt(TCP_KEEPIDLE), and waits for a subflow that an iterator
 * holds, as the join comes. The value is stored after that: whoever syncs the options
 * of the join as it comes has to do it again when the socket is released.
 *
 * Kernels: 7.3 is right, with and without the mend. Needs veth built in.
 */
#include <signal.h>
#include <sys/prctl.h>
#include "repro_bpf.h"

static int to_child[2], to_parent[2];

static void tell(int *to)
{
	must(write(to[1], "x", 1));
}

static void await(int *from)
{
	char byte;

	if (must(read(from[0], &byte, 1)) != 1)
		result(CANNOT, "the other process ended");
}

/* In a namespace of its own: a change of endpoints waits for all sockets of its own */
static void be_client(void)
{
	char byte;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(unshare(CLONE_NEWNET));
	tell(to_parent);
	await(to_child);
	sh("ip link set lo up && ip link set vb up && ip address add 10.9.0.2/24 dev vb");
	sh("ip address add 10.9.0.3/24 dev vb && ip route add 10.0.0.1 dev vb");
	sh("ip mptcp limits set subflow 8");
	fd = new_client();
	must(send(fd, "x", 1, 0));
	must(recv(fd, &byte, 1, 0));
	tell(to_parent);
	await(to_child);
	sh("ip mptcp endpoint add 10.9.0.3 subflow");
	pause();
}

static void *set_option(void *fd)
{
	int value = 77;

	must(setsockopt((long)fd, SOL_TCP, TCP_KEEPIDLE, &value, sizeof(value)));
	return NULL;
}

int main(void)
{
	int listener, pid, held = 0;
	struct repro *skel;
	struct look *now;
	pthread_t thread;
	char cmd[80], byte;
	long server;

	start();
	must(pipe(to_child));
	must(pipe(to_parent));
	pid = must(fork());
	if (!pid)
		be_client();
	await(to_parent);
	sprintf(cmd, "ip link add va type veth peer name vb netns %d", pid);
	sh(cmd);
	sh("ip link set va up && ip address add 10.9.0.1/24 dev va");

	skel = LOAD("accepted_mark", "look_at_msk", "hold");
	skel->data->hold_ms = 6000;
	now = (struct look *)&skel->bss->look;
	listener = new_listener();
	tell(to_child);
	server = must(accept(listener, NULL, NULL));
	must(recv(server, &byte, 1, 0));
	must(send(server, &byte, 1, 0));
	await(to_parent);

	skel->bss->calls = 0;
	hold_subflows(skel);
	pthread_create(&thread, NULL, set_option, (void *)server);
	usleep(200000);
	tell(to_child);
	for (int i = 0; i < 200 && __atomic_load_n(&skel->bss->calls, __ATOMIC_RELAXED) < 2; i++)
		usleep(50000);
	held = skel->bss->holding;
	pthread_join(thread, NULL);
	if (skel->bss->calls < 2 || !held)
		result(CANNOT, "the join did not come in time");

	look(server, LOOK);
	for (unsigned int i = 0; i < now->nr; i++)
		if (now->subflows[i].daddr == inet_addr("10.9.0.3")) {
			printf("mark %u, lowat %u, keepidle %u\n", now->subflows[i].mark,
			       now->subflows[i].notsent_lowat, now->subflows[i].keepidle);
			if (now->subflows[i].keepidle)
				result(RIGHT, "the option reached the join");
			result(FAULT, "the option did not reach the join");
		}
	result(CANNOT, "the join is not there");
}
