// SPDX-License-Identifier: GPL-2.0
/* What the kernel has of what the programs take, and why it refused one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "mptcp_mark_user.h"

static char reason[256];

/* The last line of text up to end, without what libbpf puts in front of its own */
static void keep_line(const char *text, const char *end)
{
	const char *start;

	while (end > text && end[-1] == '\n')
		end--;
	for (start = end; start > text && start[-1] != '\n'; start--)
		;
	if (!strncmp(start, "libbpf: ", 8))
		start += 8;
	snprintf(reason, sizeof(reason), "%.*s", (int)(end - start), start);
}

/*
 * libbpf says first what went wrong, and then what it therefore gives up: keep
 * the first, or, where the verifier gives a reason, that.
 */
static int keep_reason(enum libbpf_print_level level, const char *format, va_list args)
{
	static char text[1 << 16];
	char *end;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	end = strstr(text, "\nprocessed ");
	if (!end)
		end = strstr(text, "\n-- END PROG LOAD LOG");
	if (end)
		keep_line(text, end);
	else if (!*reason)
		keep_line(text, text + strlen(text));
	return 0;
}

void watch_refusals(void)
{
	libbpf_set_print(keep_reason);
}

/* What the kernel lacks is looked for where it refuses: reading its BTF takes a while */
static void check_kernel(void)
{
	struct btf *btf;

	if (access("/proc/sys/net/mptcp", F_OK))
		die("this kernel has no MPTCP: use one with CONFIG_MPTCP=y");
	if (access("/sys/kernel/btf/vmlinux", F_OK))
		die("this kernel has no BTF: use one with CONFIG_DEBUG_INFO_BTF=y");
	btf = btf__load_vmlinux_btf();
	if (!btf || btf__find_str(btf, "subflow_id") < 0)
		die("this kernel has no subflow_id: use Linux 6.12 or newer");
	btf__free(btf);
}

/* Without CAP_PERFMON, the verifier says that there is no such helper */
static bool is_capable(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	__u64 held;

	if (syscall(SYS_capget, &header, data))
		return true;	/* not known */
	held = data[0].effective | (__u64)data[1].effective << 32;
	return held & (1ULL << CAP_SYS_ADMIN) ||
	       (held & (1ULL << CAP_BPF) && held & (1ULL << CAP_NET_ADMIN) &&
		held & (1ULL << CAP_PERFMON));
}

const char *refusal(void)
{
	struct rlimit files;
	int err = errno;

	/* Nothing that the kernel lacks, and which libbpf says worse */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < 64)
		return "too few files may be open: ulimit -n 1024";
	if (err == EMFILE || err == ENFILE || err == ENOMEM)
		return strerror(err);
	if (err == EPERM || !is_capable())
		return "root lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, or CAP_SYS_ADMIN for all";
	check_kernel();
	return *reason ? reason : "it does not say why";
}
