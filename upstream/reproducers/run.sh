#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boot a kernel image in QEMU, with nothing but the reproducers in its memory,
# and run them there. The kernel has MPTCP and BTF built in. Exit code: 0 if all
# are right or cannot be tried, 1 if a fault shows or the kernel complains.

set -eu -o pipefail

usage="Usage: ${0##*/} [-o OUT] KERNEL [NAME...]
  -o OUT  where make put the reproducers: build
  NAME    those to run, as 04: all, in the same boot, what may be fatal last"

OUT=build
if [ "${1:-}" = -o ]; then
	OUT="$2"
	shift 2
fi
[ -e "${1:-}" ] || { echo "$usage"; exit 1; }
kernel="$1"
shift
[ "$#" -gt 0 ] || set -- 01 02 05 06 07 08 09 10 11 12 03 04

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,tmp,repro}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$OUT"/[0-9]* "$root/repro"
# A shell that does not prefer busybox's ip
tools=("$(command -v ip)" /bin/sh)
{ printf '%s\n' "${tools[@]}"; ldd "${tools[@]}" | grep -o '/[^ :)]*'; } | sort -u |
	cpio -pdL --quiet "$root"
cat >"$root/init" <<-INIT
	#!/bin/sh
	/bin/busybox --install -s /bin 2>/dev/null
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	mount -t devtmpfs dev /dev
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t cgroup2 cgroup /sys/fs/cgroup
	echo "repro: \$(uname -r)"
	for name in $*; do
		echo "repro: \$name"
		/repro/\$name-*
		echo "repro: \$name: exit code \$?"
	done
	echo "repro: end"
	poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$OUT/initramfs.gz"

timeout "${LIMIT:-900}" qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu qemu64,+rdrand,+rdseed \
	-smp 2 -m 1G -nodefaults -display none -no-reboot -serial stdio \
	-kernel "$kernel" -initrd "$OUT/initramfs.gz" </dev/null \
	-append "console=ttyS0 loglevel=5 no_timer_check panic=-1 oops=panic lsm=bpf mitigations=off \
		 rcupdate.rcu_cpu_stall_timeout=300 mptcp_mark.reproducer=1" |
	tr -d '\r' | tee "$OUT/console" || true
grep -q '^repro: end' "$OUT/console" &&
	! grep -qE 'exit code 1$|WARNING: |BUG: |INFO: ' "$OUT/console"
