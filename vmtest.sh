#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tests on other kernels, each in a VM of QEMU: built once, installed, and run
# there as anywhere else.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-k KERNEL]... [-b [-g] [-c FRAGMENT]...] [-n] [-j N] [-t S] [-i DIR]
	                 [-f PATH]... [-- ARG...]
	       ${0##*/} [-k KERNEL]... [-b [-g] [-c FRAGMENT]...] [-f PATH]... -e CMD | -s

	  -k KERNEL    a kernel image, a folder that a kernel was built in, or a release as
	               6.12: the Debian kernel of it, fetched but not installed.
	               Of each release: all. May be repeated
	  -b           build the kernel of KSRC, with no more than our config and what a VM needs
	  -g           with -b: a debug kernel, kernel/configs/debug.config of KSRC
	  -c FRAGMENT  with -b: a file of configuration options on top of ours. May be repeated
	  -n           run upstream's MPTCP tests instead, with and without our program
	  -e CMD       run the shell command CMD in the VM instead of the tests, in /root
	  -s           a shell in the VM instead of the tests
	  -f PATH      put this file or folder of the host into /root. May be repeated
	  -j N         VMs at a time, instead of as many as there are processors for
	  -t S         seconds that the tests may take, instead of $run_limit; three times that
	               without KVM, and eight times that with -g
	  -i DIR       use what make install INSTALL_PATH=DIR made, build nothing
	  -- ARG...    arguments of run_kselftest.sh, instead of -c mptcp_mark

	Results are KTAP, a test for each kernel. Exit code 0; 1: something failed, or could
	not be run; 4: nothing failed, but a kernel has no MPTCP, BTF or JIT, or all were skipped.

	Variables: KSRC, O, CLANG as for make; PLATFORM, x86_64, aarch64 or s390x, if not
	that of the host; QEMU, the qemu-system-* to use; ROOT, a folder with a root file
	system for the VM, if not one of Debian's packages; APPEND, more for the kernel's
	command line
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

say()
{
	echo "${0##*/}: $*" >&2
}

dir="$(dirname "$(readlink -f "$0")")"
build="$dir/build"
PATH+=:/usr/sbin:/sbin	# for depmod, where the user has them not
# shellcheck disable=SC1091 # not ours
. /etc/os-release
# shellcheck source-path=SCRIPTDIR source=scripts/archive.sh
. "$dir/scripts/archive.sh"
cache="$(cache_dir)"
# shellcheck source-path=SCRIPTDIR source=scripts/vm-kernels.sh
. "$dir/scripts/vm-kernels.sh"
# shellcheck source-path=SCRIPTDIR source=scripts/vm-guest.sh
. "$dir/scripts/vm-guest.sh"
# shellcheck source-path=SCRIPTDIR source=scripts/vm-results.sh
. "$dir/scripts/vm-results.sh"

# What differs between the platforms: QEMU's machine, the console, the kernel's and
# Debian's names
set_platform()
{
	PLATFORM="${PLATFORM:-$(uname -m)}"
	QEMU="${QEMU:-qemu-system-$PLATFORM}"
	case "$PLATFORM" in
	x86_64)
		karch=x86
		apt_arch=amd64
		kernel_type="Linux kernel x86"
		console=ttyS0
		# Without its random numbers, a guest waits for some: a minute
		cpu=qemu64,+rdrand,+rdseed
		machine=(-serial chardev:c)
		;;
	aarch64)
		karch=arm64
		apt_arch=arm64
		kernel_type="Linux kernel ARM64|PE32\+ .*Aarch64"
		console=ttyAMA0
		cpu=cortex-a57
		machine=(-M "virt,gic-version=max" -serial chardev:c)
		;;
	s390x)
		karch=s390
		apt_arch=s390x
		kernel_type="Linux S390"
		console=ttysclp0
		cpu=max
		# Before QEMU 8, vector instructions compute wrong checksums
		[[ "$("$QEMU" --version 2>/dev/null)" != *" version "[1-7].* ]] || cpu+=,vx=off
		machine=(-M s390-ccw-virtio -device "sclpconsole,chardev=c")
		;;
	*)
		die "PLATFORM=$PLATFORM: not one of x86_64, aarch64, s390x"
		;;
	esac
	triplet="$PLATFORM-linux-gnu"
	cross_args=()
	cross=
	sysroot="${ROOT:-$cache/root-$PLATFORM}"
	# For make in another folder, too
	if [ -n "$O" ]; then
		O="$(realpath -m "$O")"
		build="$O/kselftest/mptcp_mark/build"
	fi
	if [ "$PLATFORM" != "$(uname -m)" ]; then
		cross=yes
		cross_args=("ARCH=$karch" "CROSS_COMPILE=$triplet-")
		O="$build/$PLATFORM"
		build="$O/kselftest/mptcp_mark/build"
	fi
	[ -z "$O" ] || export O
	work="$build/vmtest"
}

# The Debian archive, for $1, root or kernels: once a run, in a private apt state
use_archive()
{
	local suites=(bookworm{,-backports} trixie{,-backports})

	[ "$ID" = debian ] ||
		die "kernels and the root are Debian's: elsewhere, give a kernel with -k, and ROOT="
	[ "$1" = kernels ] || suites=("$VERSION_CODENAME")
	apt_state="$work/apt-$1"
	[ ! -e "$apt_state/open" ] || return 0
	say "looking into the Debian archive"
	open_archive "$apt_state" "${suites[@]}" >&2
	touch "$apt_state/open"
}

# What takes long, in a process group of its own: ended as we are, at once
attended()
{
	local rc

	set -m
	"$@" 9>&- &
	building=$!
	set +m
	wait "$building"
	rc=$?
	building=
	return "$rc"
}

find_tools()
{
	local missing=() tool tools=(cpio depmod file setsid zstd)

	[ -z "$cross" ] || tools+=("$triplet-gcc")
	for tool in "${tools[@]}" "$QEMU"; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ "${#missing[@]}" -eq 0 ] ||
		die "no ${missing[*]}: run 'make setup-vm${cross:+ PLATFORM=$PLATFORM}'"
}

# Build and install the tests, as any CI does
install_tests()
{
	install="$work/install"
	say "building the tests"
	attended make -s -C "$dir" "${cross_args[@]}" "${cc[@]}" install \
		INSTALL_PATH="$install" >"$work/make.log" 2>&1 && return
	tail -n 5 "$work/make.log" >&2
	die "the tests do not build: see above, and $work/make.log"
}

# Upstream's MPTCP tests, built from KSRC: nothing is written to it
make_neighbours()
{
	local selftests="$KSRC/tools/testing/selftests" out="$build/neighbours"

	mkdir -p "$out/tests"/{progs,prog_tests} "$neighbours/bpf"
	ln -sf "$selftests"/bpf/progs/mptcp*.c "$out/tests/progs"
	ln -sf "$selftests/bpf/prog_tests/mptcp.c" "$out/tests/prog_tests"
	env -u OUTPUT make -s -C "$out/tests" -f "$dir/Makefile" \
		KSRC="$KSRC" O="$out" "${cross_args[@]}" "${cc[@]}" harness &&
		cp "$out/kselftest/mptcp_mark/build/bpf/test_progs" "$neighbours/bpf" &&
		make -s -C "$KSRC" O="$out" "${cross_args[@]}" headers &&
		make -s -C "$selftests" TARGETS=net/mptcp FORCE_TARGETS=1 \
			"${cross_args[@]}" "${cc[@]}" \
			O="$out" INSTALL_PATH="$neighbours" install &&
		cp "$dir/scripts/neighbours.sh" "$neighbours"
}

install_neighbours()
{
	say "building upstream's MPTCP tests"
	neighbours="$work/neighbours"
	attended make_neighbours >"$work/neighbours.log" 2>&1 && return
	tail -n 5 "$work/neighbours.log" >&2
	die "upstream's tests do not build: see above, and $work/neighbours.log"
}

# ---- The matrix

# Those that are through, in the order of the command line
report_ended()
{
	while [ "$reported" -lt "${#pids[@]}" ] &&
	      ! grep -qx "${pids[reported]}" <<<"$(jobs -rp)"; do
		report "$reported"
		reported=$((reported + 1))
	done
}

run_matrix()
{
	local i pids=()

	ktap_print_header
	ktap_set_plan "${#kernels[@]}"
	for i in "${!kernels[@]}"; do
		mkdir -p "$work/$i"
		reason="$work/$i/reason"
		echo "${kernels[i]}" >"$work/$i/name"
		if ! attended find_kernel "${kernels[i]}" >"$work/$i/image"; then
			[ -s "$reason" ] || echo "could not be had: see above" >"$reason"
			pids[i]=none
			report_ended
			continue
		fi
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
			wait -n
			report_ended
		done
		say "${kernels[i]}: in a VM, for up to $((boot_limit + run_limit)) s"
		run_vm "$work/$i" &
		pids[i]=$!
	done
	while [ "$reported" -lt "${#kernels[@]}" ]; do
		wait -n
		report_ended
	done
	table
}

# A release each
expand_all()
{
	local i

	for i in "${!kernels[@]}"; do
		[ "${kernels[i]}" = all ] || continue
		attended all_releases >"$work/releases"
		if [ -s "$work/releases" ]; then
			mapfile -t -O "${#kernels[@]}" kernels <"$work/releases"
			unset "kernels[i]"
		else
			broken[all]="no kernels are known: see above"
		fi
	done
	kernels=("${kernels[@]}")
}

need_number()
{
	[[ "$2" =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number, not '$2'"
}

kernels=()
fragments=()
files=()
jobs=
to_build=
debug=
limit=
neighbours=
install=
command=
shell=
reported=0
lacking=
building=
declare -A broken=()
while getopts "k:bgc:ne:sf:j:t:i:h" opt; do
	case "$opt" in
	k) kernels+=("$OPTARG") ;;
	b) to_build=1 ;;
	g) debug=-debug ;;
	c)
		grep -qsE '^(CONFIG_|# CONFIG_.* is not set)' "$OPTARG" ||
			die "-c $OPTARG: no file with configuration options"
		fragments+=("$(realpath "$OPTARG")")
		;;
	n) neighbours=1 ;;
	e) command="$OPTARG" ;;
	s) shell=1 ;;
	f)
		[ -r "$OPTARG" ] || die "-f $OPTARG: cannot be read"
		files+=("$(realpath -s "$OPTARG")")
		;;
	j) need_number -j "$OPTARG"; jobs="$OPTARG" ;;
	t) need_number -t "$OPTARG"; limit="$OPTARG" ;;
	i) install="$(realpath -m "$OPTARG")" ;;
	h) usage; exit 0 ;;
	*) exit 1 ;;
	esac
done
shift $((OPTIND - 1))
[ -z "$debug${fragments[*]}" ] || [ -n "$to_build" ] || die "-g and -c need -b"
[ "${#kernels[@]}" -gt 0 ] || [ -n "$to_build" ] || die "no kernel: give -k or -b, see -h"

set_platform
mkdir -p "$work" || exit
exec 9>"$work/lock"
flock -n 9 || die "another ${0##*/} runs in $work: give this one another O="
rm -rf "$work"/[0-9]* "$work"/{apt-*,stop}
trap end_vms EXIT
trap 'exit 130' INT TERM

find_tools
KSRC="$(realpath -m "${KSRC:-$cache/linux}")"
export KSRC
if [ -n "$to_build$neighbours" ] && [ ! -e "$KSRC/tools/testing/selftests/lib.mk" ]; then
	die "$KSRC is no kernel tree: run 'make setup', or give KSRC="
fi
attended get_root || exit
cc=()
[ -z "$cross" ] || cc=("CC=$triplet-gcc --sysroot=$sysroot")
if [ -n "$install" ]; then
	[ -x "$install/run_kselftest.sh" ] || die "-i $install: no run_kselftest.sh there"
else
	install_tests
fi
# shellcheck disable=SC1091 # the tree's
. "$install/kselftest/ktap_helpers.sh"

[ -z "$neighbours" ] || install_neighbours
[ -z "$to_build" ] || build_kernel
expand_all
set_limits

[ "$#" -gt 0 ] || set -- -c mptcp_mark
if [ -n "$command" ]; then
	pack_tests bash -c "$command"
elif [ -n "$neighbours" ]; then
	pack_tests neighbours/neighbours.sh kselftest neighbours
else
	pack_tests kselftest/run_kselftest.sh -o "$run_limit" "$@"
fi || die "cannot be written: $work/tests.cpio.zst"
if [ -n "$shell" ]; then
	[ "${#kernels[@]}" -eq 1 ] || die "-s needs one kernel"
	shell_in_vm "${kernels[0]}"
fi
run_matrix
if [ "$KTAP_CNT_FAIL" -eq 0 ] &&
   { [ -n "$lacking" ] || [ "$KTAP_CNT_SKIP" -eq "${#kernels[@]}" ]; }; then
	ktap_print_totals
	exit "$KSFT_SKIP"
fi
ktap_finished
