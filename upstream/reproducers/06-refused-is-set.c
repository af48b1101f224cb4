// SPDX-License-Identifier: GPL-2.0
/* Options that are refused are set
 *
 * Seen: IP_FREEBIND and others on a connected MPTCP socket give EINVAL, and then
 * getsockopt() tells that they are set. No BPF is needed.
 *
 * Why: mptcp_setsockopt_sol_ip_set() (net/mptcp/sockopt.c) sets the option on the
 * MPTCP socket before it looks if there is a subflow that can have it.
 *
 * Kernels: 6.12 and 7.3 show it.
 *
 * How bad: subflows that join later get an option that the application was told
 * it could not have.
 */
#include "repro.h"

static const struct {
	const char *name;
	int option, value;
} options[] = {
	{ "IP_FREEBIND", IP_FREEBIND, 1 },
	{ "IP_TRANSPARENT", IP_TRANSPARENT, 1 },
	{ "IP_BIND_ADDRESS_NO_PORT", IP_BIND_ADDRESS_NO_PORT, 1 },
	{ "IP_LOCAL_PORT_RANGE", IP_LOCAL_PORT_RANGE, 40000 },
};

int main(void)
{
	int listener, client, refused = 0, faults = 0;

	start();
	listener = new_listener();
	client = new_client();
	must(accept(listener, NULL, NULL));

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int value = options[i].value, ret, error;
		socklen_t len = sizeof(value);

		ret = setsockopt(client, SOL_IP, options[i].option, &value, sizeof(value));
		error = ret ? errno : 0;
		must(getsockopt(client, SOL_IP, options[i].option, &value, &len));
		printf("%s: %s, and then it is %d\n", options[i].name,
		       error ? strerror(error) : "set", value);
		refused += !!error;
		faults += error && value;
	}
	if (!refused)
		result(CANNOT, "nothing was refused");
	if (faults)
		result(FAULT, "%d options were refused, and are set", faults);
	result(RIGHT, "what is refused is not set");
}
