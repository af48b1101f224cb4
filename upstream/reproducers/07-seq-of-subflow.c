// SPDX-License-Identifier: GPL-2.0
/* Some options leave subflows that have them marked as out of sync
 *
 * Seen: after TCP_NODELAY and others, the setsockopt_seq of the subflow is not that
 * of its MPTCP socket, though the option was set on both. Those of IP and IPv6 that are
 * tried on a socket of their own can be set before connect() only.
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
	int family;		/* of a socket of its own, or 0 */
} options[] = {
	{ "SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 1, 0 },	/* that is right anyway */
	{ "IP_TOS", SOL_IP, IP_TOS, 16, 0 },
	{ "TCP_NODELAY", SOL_TCP, TCP_NODELAY, 1, 0 },
	{ "TCP_CORK", SOL_TCP, TCP_CORK, 1, 0 },
	{ "TCP_KEEPIDLE", SOL_TCP, TCP_KEEPIDLE, 10, 0 },
	{ "TCP_KEEPINTVL", SOL_TCP, TCP_KEEPINTVL, 10, 0 },
	{ "TCP_KEEPCNT", SOL_TCP, TCP_KEEPCNT, 3, 0 },
	{ "TCP_MAXSEG", SOL_TCP, TCP_MAXSEG, 1000, 0 },
	{ "IP_FREEBIND", SOL_IP, IP_FREEBIND, 1, AF_INET },
	{ "IP_TRANSPARENT", SOL_IP, IP_TRANSPARENT, 1, AF_INET },
	{ "IP_BIND_ADDRESS_NO_PORT", SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1, AF_INET },
	{ "IP_LOCAL_PORT_RANGE", SOL_IP, IP_LOCAL_PORT_RANGE, 40000, AF_INET },
	{ "IPV6_V6ONLY", SOL_IPV6, IPV6_V6ONLY, 1, AF_INET6 },
	{ "IPV6_TRANSPARENT", SOL_IPV6, IPV6_TRANSPARENT, 1, AF_INET6 },
	{ "IPV6_FREEBIND", SOL_IPV6, IPV6_FREEBIND, 1, AF_INET6 },
};

int main(void)
{
	int listener, client, tried = 0, faults = 0;
	struct repro *skel;
	struct look *now;

	start();
	skel = LOAD("look_at_msk");
	now = (struct look *)&skel->bss->look;
	listener = new_listener();
	client = new_client();
	talk(client, must(accept(listener, NULL, NULL)));
	wait_joins(client, 0);	/* which it cannot if this is plain TCP */

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int fd = client;

		if (options[i].family)
			fd = socket(options[i].family, SOCK_STREAM, IPPROTO_TCP + 256);
		if (fd < 0 || setsockopt(fd, options[i].level, options[i].option,
					 &options[i].value, sizeof(int))) {
			printf("%s: %m\n", options[i].name);
			continue;
		}
		look(fd, LOOK);
		if (now->nr != 1)
			result(CANNOT, "%s: %u subflows", options[i].name, now->nr);
		tried++;
		if (now->subflows[0].seq == now->seq)
			continue;
		printf("%s: the socket has seq %#x, its subflow %#x\n", options[i].name,
		       now->seq, now->subflows[0].seq);
		faults++;
		/* in sync again */
		must(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &options[0].value, sizeof(int)));
	}
	if (faults)
		result(FAULT, "%d of %d options leave the subflow out of sync", faults, tried);
	if (tried < 8)
		result(CANNOT, "only %d options could be set", tried);
	result(RIGHT, "none of %d options leaves the subflow out of sync", tried);
}
