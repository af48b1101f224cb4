// SPDX-License-Identifier: GPL-2.0
/* SO_RCVLOWAT on a subflow stalls the connection
 *
 * Seen: a BPF program sets SO_RCVLOWAT on a subflow as it is accepted, with
 * success. The peer sends less than that: poll() and recv() never see it.
 *
 * Why: tcp_data_ready() (net/ipv4/tcp_input.c) asks the subflow's threshold
 * before it calls subflow_data_ready(), by which the MPTCP socket learns of data.
 * mptcp_set_rcvlowat() refuses subflows, but sk_setsockopt() (net/core/sock.c)
 * calls it only where sk->sk_socket is that of the MPTCP socket: not before
 * accept(), nor, for a join that is being opened, before it is grafted.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: needs a program, of root, that does it; then data is not delivered.
 */
#include "repro_bpf.h"

int main(void)
{
	struct pollfd fd = { .events = POLLIN };
	int listener, client;
	struct repro *skel;
	char data[100] = "";

	start();
	skel = LOAD("accepted_rcvlowat");
	listener = new_listener();
	client = new_client();
	fd.fd = must(accept(listener, NULL, NULL));
	if (!skel->bss->calls)
		result(CANNOT, "the program did not see the subflow");
	if (skel->bss->err)
		result(RIGHT, "SO_RCVLOWAT is refused on the subflow: %s",
		       strerror(-skel->bss->err));

	must(send(client, data, sizeof(data), 0));
	if (must(poll(&fd, 1, 5000)) == 0)
		result(FAULT, "SO_RCVLOWAT %d was set on it, %zu bytes do not arrive in 5 s",
		       skel->data->rcvlowat, sizeof(data));
	result(RIGHT, "%zd bytes arrive", recv(fd.fd, data, sizeof(data), 0));
}
