// SPDX-License-Identifier: GPL-2.0
/* Some options leave subflows that have them marked as out of sync
 *
 * Seen: after TCP_NODELAY and others, the setsockopt_seq of the subflow is not that
 * of its MPTCP socket, though the option was set on both.
 *
 * Why: the functions of these options in net/mptcp/sockopt.c raise the one of the
 * MPTCP socket only.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: subflows that inherit from the listener are synced when they join, once
 * more, and lose what BPF programs set on them. Otherwise invisible.
 */
#include "repro_bpf.h"

static const struct {
	const char *name;
	int level, option, value;
} options[] = {
	{ "SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 1 },	/* that is right anyway */
	{ "IP_TOS", SOL_IP, IP_TOS, 16 },
	{ "TCP_NODELAY", SOL_TCP, TCP_NODELAY, 1 },
	{ "TCP_CORK", SOL_TCP, TCP_CORK, 1 },
	{ "TCP_KEEPIDLE", SOL_TCP, TCP_KEEPIDLE, 10 },
	{ "TCP_KEEPINTVL", SOL_TCP, TCP_KEEPINTVL, 10 },
	{ "TCP_KEEPCNT", SOL_TCP, TCP_KEEPCNT, 3 },
	{ "TCP_MAXSEG", SOL_TCP, TCP_MAXSEG, 1000 },
};

int main(void)
{
	int listener, client, faults = 0;
	struct repro *skel;
	struct look *now;

	start();
	skel = LOAD("look_at_msk");
	now = (struct look *)&skel->bss->look;
	listener = new_listener();
	client = new_client();
	talk(client, must(accept(listener, NULL, NULL)));

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (setsockopt(client, options[i].level, options[i].option,
			       &options[i].value, sizeof(int))) {
			printf("%s: %m\n", options[i].name);
			continue;
		}
		look(client, LOOK);
		if (now->subflows[0].seq == now->seq)
			continue;
		printf("%s: the socket has seq %#x, its subflow %#x\n", options[i].name,
		       now->seq, now->subflows[0].seq);
		faults++;
		/* in sync again */
		must(setsockopt(client, SOL_SOCKET, SO_PRIORITY, &options[0].value, sizeof(int)));
	}
	if (faults)
		result(FAULT, "%d options leave the subflow out of sync", faults);
	result(RIGHT, "no option leaves the subflow out of sync");
}
