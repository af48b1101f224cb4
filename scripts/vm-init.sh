#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# /init of the VMs of vmtest.sh. It runs the command that /vmtest names, in /root, and
# prints what the command prints through the kernel log: the lines of both stay whole,
# in order, and with the time, on any console.
# shellcheck disable=SC2154 # of /vmtest

export HOME=/root LANG=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Why the tests cannot run on this kernel, if they cannot
missing()
{
	if [ ! -e /proc/sys/net/mptcp/enabled ]; then
		echo "no MPTCP in this kernel: CONFIG_MPTCP=y"
	elif [ ! -e /sys/kernel/btf/vmlinux ]; then
		echo "no BTF in this kernel: CONFIG_DEBUG_INFO_BTF=y"
	elif [ ! -e /proc/sys/net/core/bpf_jit_enable ]; then
		echo "no BPF JIT in this kernel: CONFIG_BPF_JIT=y"
	fi
}

run()
{
	local why=

	echo "vmtest: up $(uname -r)"
	[ -n "$unchecked" ] || why="$(missing)"
	if [ -n "$why" ]; then
		echo "vmtest: skip $why"
		return
	fi
	# Of older trees, it has none
	kselftest/mptcp_mark/test_progs --help 2>&1 | grep -q watchdog-timeout &&
		export KSELFTEST_MPTCP_MARK_PROGS_SH_ARGS="--watchdog-timeout=$test_limit"
	"${command[@]}"
	echo "vmtest: exit code $?"
	# The first scan finds what is not used now, the second what still is not
	if [ -w /sys/kernel/debug/kmemleak ]; then
		{
			echo scan && sleep 6 && echo scan
		} >/sys/kernel/debug/kmemleak ||
			echo "vmtest: kmemleak: kmemleak does not scan: it gave up"
		sed 's/^/vmtest: kmemleak: /' /sys/kernel/debug/kmemleak
	fi
}

# A record of the kernel log has room for about 1000 bytes. The command may leave
# processes behind that hold the pipe: the last line ends it, too
log()
{
	perl -e '
		open(my $log, ">", "/dev/kmsg") or die;
		while (<STDIN>) {
			chomp;
			for my $part ($_ eq "" ? "" : unpack("(a900)*", $_)) {
				syswrite($log, "<5>vm| $part\n");
			}
			last if $_ eq "vmtest: end";
		}'
}

while read -r type dir; do
	mkdir -p "$dir"
	mount -t "$type" none "$dir"
done <<-MOUNTS
	devtmpfs /dev
	devpts /dev/pts
	tmpfs /dev/shm
	proc /proc
	sysfs /sys
	tmpfs /run
	cgroup2 /sys/fs/cgroup
	bpf /sys/fs/bpf
	debugfs /sys/kernel/debug
	tracefs /sys/kernel/tracing
MOUNTS
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
ip link set lo up
cd /root || exit

# shellcheck source=/dev/null
. /vmtest
if [ -n "$shell" ]; then
	echo "The tests are in kselftest/; exit ends the VM"
	setsid --ctty bash -i <>"/dev/$console" >&0 2>&0
else
	{ run; echo "vmtest: end"; } </dev/null 2>&1 | log
fi
busybox reboot -f
