/* SPDX-License-Identifier: GPL-2.0 */
/* What the reproducers share. Each is run with an empty network namespace of
 * its own: clients and servers are on its loopback device.
 */
#ifndef REPRO_H
#define REPRO_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SOL_MPTCP	284
#define MPTCP_INFO	1
#define MPTCP_FULL_INFO	4

#ifndef IP_LOCAL_PORT_RANGE	/* not in every libc's headers yet */
#define IP_LOCAL_PORT_RANGE	51
#endif

#define PORT		10000

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* struct mptcp_full_info up to its mptcp_info */
struct full_info {
	__u32 size_tcpinfo_kernel, size_tcpinfo_user;
	__u32 size_sfinfo_kernel, size_sfinfo_user;
	__u32 num_subflows, size_arrays_user;
	__u64 subflow_info, tcp_info;
};

enum result { RIGHT = 0, FAULT = 1, CANNOT = 4 };

static inline __printf(2, 3) __noreturn void result(enum result code, const char *fmt, ...)
{
	va_list args;

	printf("%s: ", code == RIGHT ? "right" : code == FAULT ? "FAULT" : "cannot be tried");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(code);
}

/* What needs no explanation, as it is not what is tried */
#define must(expr) ({						\
	long __ret = (long)(expr);				\
								\
	if (__ret < 0)						\
		result(CANNOT, "%s: %m", #expr);		\
	__ret;							\
})

static inline void sh(const char *cmd)
{
	if (system(cmd))
		result(CANNOT, "failed: %s", cmd);
}

/* The first thing that each of them does */
static inline void start(void)
{
	char cmdline[4096] = "";
	FILE *file = fopen("/proc/cmdline", "r");

	if (!file || !fgets(cmdline, sizeof(cmdline), file) ||
	    !strstr(cmdline, "mptcp_mark.reproducer=1"))
		result(CANNOT, "in a VM only, booted with mptcp_mark.reproducer=1");
	fclose(file);
	setvbuf(stdout, NULL, _IOLBF, 0);

	must(unshare(CLONE_NEWNET));
	sh("ip link set lo up");
	sh("for i in 1 2 3; do ip address add 10.0.0.$i/32 dev lo || exit; done");
	sh("ip mptcp limits set subflow 8 add_addr_accepted 8");
}

static inline int join_cgroup(void)
{
	char path[64];
	FILE *file;

	sprintf(path, "/sys/fs/cgroup/repro.%d", getpid());
	must(mkdir(path, 0755));
	strcat(path, "/cgroup.procs");
	file = fopen(path, "w");
	if (!file || fprintf(file, "%d", getpid()) < 0 || fclose(file))
		result(CANNOT, "%s: %m", path);
	*strrchr(path, '/') = '\0';
	return must(open(path, O_RDONLY));
}

static const struct sockaddr_in server_addr = {
	.sin_family = AF_INET,
	.sin_port = __builtin_bswap16(PORT),
	.sin_addr.s_addr = __builtin_bswap32(0x0a000001),
};

static inline int new_socket(void)
{
	return must(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP + 256));
}

static inline int new_listener(void)
{
	int fd = new_socket(), one = 1;

	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(bind(fd, (struct sockaddr *)&server_addr, sizeof(server_addr)));
	must(listen(fd, 128));
	return fd;
}

static inline int new_client(void)
{
	int fd = new_socket();

	must(connect(fd, (struct sockaddr *)&server_addr, sizeof(server_addr)));
	return fd;
}

/* Both ends have to know of each other for a join */
static inline void talk(int from, int to)
{
	char byte = 0;

	must(send(from, &byte, 1, 0));
	must(recv(to, &byte, 1, 0));
}

/* Wait for joins: the first field of struct mptcp_info counts them */
static inline void wait_joins(int fd, int nr)
{
	for (int i = 0; i < 200; i++) {
		__u8 joins = 0;
		socklen_t len = sizeof(joins);

		must(getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &joins, &len));
		if (joins >= nr)
			return;
		usleep(50000);
	}
	result(CANNOT, "no %d joins after 10 s", nr);
}

/* The kernel log from now on */
static inline int watch_log(void)
{
	int fd = must(open("/dev/kmsg", O_RDONLY | O_NONBLOCK));

	must(lseek(fd, 0, SEEK_END));
	return fd;
}

/* Whether the kernel complained that something slept where it must not */
static inline bool slept(int fd)
{
	static const char * const words[] = {
		"Voluntary context switch within RCU",
		"sleeping function called from invalid context",
		"scheduling while atomic",
		"Illegal context switch in RCU",
	};
	char line[8192];
	bool found = false;
	ssize_t len;

	while ((len = read(fd, line, sizeof(line) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		line[len < 0 ? 0 : len] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (strstr(line, words[i])) {
				printf("kernel: %s\n", words[i]);
				found = true;
			}
	}
	return found;
}

#endif
