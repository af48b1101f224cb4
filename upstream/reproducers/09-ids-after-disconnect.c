// SPDX-License-Identifier: GPL-2.0
/* The ids of subflows go on after a disconnect, and the first is 0
 *
 * Seen: MPTCP_FULL_INFO has ids 1, 2, 3 in the first connection of a socket, and 0,
 * 4, 5 in the one after connect(AF_UNSPEC). No BPF is needed.
 *
 * Why: __mptcp_subflow_disconnect() (net/mptcp/protocol.c) clears the id of the
 * first subflow with all else in its context, as it is kept for the next
 * connection, and mptcp_disconnect() does not set the counter back.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: who tells subflows apart by their ids does not know the first.
 */
#include "repro.h"

/* Sorted, as conn_list need not be */
static int ids(int fd, __u32 *id, int max)
{
	struct full_info info = {
		.size_sfinfo_user = sizeof(*id),
		.size_arrays_user = max,
		.subflow_info = (uintptr_t)id,
	};
	socklen_t len = sizeof(info);

	must(getsockopt(fd, SOL_MPTCP, MPTCP_FULL_INFO, &info, &len));
	for (__u32 i = 0; i < info.num_subflows; i++)
		for (__u32 j = i + 1; j < info.num_subflows; j++)
			if (id[j] < id[i]) {
				__u32 tmp = id[i];

				id[i] = id[j];
				id[j] = tmp;
			}
	return info.num_subflows;
}

int main(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int listener, client, server, faults = 0;
	__u32 id[8];

	start();
	listener = new_listener();
	sh("ip mptcp endpoint add 10.0.0.2 subflow && ip mptcp endpoint add 10.0.0.3 subflow");
	client = new_socket();
	for (int round = 1; round <= 2; round++) {
		must(connect(client, (struct sockaddr *)&server_addr, sizeof(server_addr)));
		server = must(accept(listener, NULL, NULL));
		talk(client, server);
		wait_joins(client, 2);
		usleep(200000);
		if (ids(client, id, 8) != 3)
			result(CANNOT, "no three subflows");
		printf("connection %d: ids %u, %u, %u\n", round, id[0], id[1], id[2]);
		faults += id[0] != 1 || id[1] != 2 || id[2] != 3;
		must(connect(client, &none, sizeof(none)));
		close(server);
	}
	if (faults)
		result(FAULT, "the ids do not start again");
	result(RIGHT, "the ids start again");
}
