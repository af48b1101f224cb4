# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the kselftests of this folder: namespaces that end with the test, and KTAP.

KSFT_FAIL=1
KSFT_SKIP=4

self="$(readlink -f "$0")"
dir="${self%/*}"
me="${0##*/}"

# Of the tests, and of the environment: cgroups have names that start with it
state=/run/mptcp_mark
# The results of a test, a line each, which tap_print() makes KTAP of
results="$state/results"

# Exit code where the machine lacks something: 1, or 4 for a kselftest
missing_rc=1

die()
{
	echo "$me: $*" >&2
	exit 1
}

# As in mptcp_lib.sh: where all features are expected, to lack one is a failure
expects_all()
{
	[ "${SELFTESTS_MPTCP_LIB_EXPECT_ALL_FEATURES:-}" = 1 ]
}

missing()
{
	echo "$me: $*" >&2
	[ "$missing_rc" -eq "$KSFT_SKIP" ] || exit "$missing_rc"
	if expects_all; then
		echo "1..1"
		echo "not ok 1 $me # missing feature: $*"
		exit "$KSFT_FAIL"
	fi
	echo "1..0 # SKIP $*"
	exit "$KSFT_SKIP"
}

check_root()
{
	[ "$EUID" -eq 0 ] || missing "must be root: use sudo"
}

# $@: capabilities, with their numbers, which root need not have, as in a container
check_capabilities()
{
	local capability held

	# PROC_USER_INIT_INO, include/linux/proc_ns.h; without CONFIG_USER_NS, there is no file
	[[ ! -e /proc/self/ns/user ||
	   "$(stat -L -c %i /proc/self/ns/user)" = $((0xeffffffd)) ]] ||
		missing "root of a user namespace has CAP_SYS_ADMIN only in there: run it outside"
	held="$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
	for capability in "$@"; do
		(((0x$held >> ${capability#*=}) & 1)) ||
			missing "root has no CAP_${capability%=*} here: run it where it has"
	done
}

# type -P also finds a file that is not executable, if there is no other
is_tool()
{
	[ -x "$(type -P "$1")" ]
}

# There, and not broken
check_tool()
{
	local why version=-V

	is_tool "$1" || missing "no $1: install it, or run 'make setup'"
	[ "$1" != tcpdump ] || version=--version
	why="$("$1" "$version" 2>&1 >/dev/null)" || missing "$1 does not work: ${why##*$'\n'}"
}

# $@: tools
check_machine()
{
	local tool

	[ -z "${MPTCP_MARK_CONTAINED:-}" ] || return 0	# it was done before
	check_root
	for tool in awk find grep mkdir mktemp mount sed sort stat; do
		is_tool "$tool" || missing "no $tool: install it"
	done
	check_capabilities DAC_OVERRIDE=1 NET_ADMIN=12 SYS_ADMIN=21
	[[ " $* " != *" tcpdump "* ]] || check_capabilities SETGID=6 SETUID=7 NET_RAW=13
	[[ "$(ulimit -n)" = unlimited || "$(ulimit -n)" -ge 128 ]] ||
		missing "no more than $(ulimit -n) open files are allowed: ulimit -n 1024"
	[ -e /proc/sys/net/mptcp/enabled ] ||
		missing "this kernel has no MPTCP: use one with CONFIG_MPTCP=y"
	[ "$(cat /proc/sys/net/mptcp/enabled)" != 0 ] ||
		missing "MPTCP is disabled: sysctl net.mptcp.enabled=1"
	[ -e /sys/kernel/btf/vmlinux ] ||
		missing "this kernel has no BTF: use one with CONFIG_DEBUG_INFO_BTF=y"
	for tool in "$@"; do
		check_tool "$tool"
	done
}

# ---- Namespaces

# Where cgroup2 is mounted, if that is nowhere hidden by another mount
cgroup_root()
{
	local place type

	while read -r _ place type _; do
		printf -v place %b "$place"	# a space is \040
		if [ "$type" = cgroup2 ] && [ "$(stat -f -c %T "$place")" = cgroup2fs ]; then
			echo "$place"
			return
		fi
	done </proc/self/mounts
} 2>/dev/null

# The second cgroup hierarchy of a machine, where it has one, is the same
mount_cgroups()
{
	mkdir -p "$state/cgroup2" || missing "$state/cgroup2 cannot be made"
	if ! mount -t cgroup2 none "$state/cgroup2"; then
		missing "this kernel has no cgroup2: use one with CONFIG_CGROUPS=y"
	fi
}

is_empty_cgroup()
{
	grep -qx "populated 0" "$1/cgroup.events" 2>/dev/null
}

# $1: a cgroup without processes
remove_cgroup()
{
	find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null
}

remove_stale_cgroups()
{
	local cgroup

	for cgroup in "$state"/cgroup2/mptcp_mark-*; do
		! is_empty_cgroup "$cgroup" || remove_cgroup "$cgroup"
	done
}

# Into a cgroup of our own, which nobody takes for a stale one once we are in
enter_cgroup()
{
	local try

	for ((try = 0; try < 3; try++)); do
		contained_cgroup="$(mktemp -d "$state/cgroup2/mptcp_mark-XXXXXX")" &&
			echo $$ >"$contained_cgroup/cgroup.procs" && return
	done 2>/dev/null
	missing "cgroups cannot be made here"
}

leave_cgroup()
{
	local deadline=$((SECONDS + 20))

	echo $$ >"$state/cgroup2/cgroup.procs"
	until is_empty_cgroup "$contained_cgroup" || [ "$SECONDS" -ge "$deadline" ]; do
		sleep 0.02
	done
	remove_cgroup "$contained_cgroup"
}

end_contained()
{
	trap '' INT TERM
	# shellcheck disable=SC2046 # an id a word
	kill -KILL $(jobs -p)
	wait
	leave_cgroup
	exit "$1"
} 2>/dev/null

# Run this script again, with the arguments given, in mount, pid and network
# namespaces and in a cgroup of its own. All of that ends with this process, however
# that ends, but for an empty cgroup, of which the next call takes care. Within, /run
# and /sys/fs/bpf have nothing of the machine. The exit code is in $contained_rc.
contain()
{
	if [ "${MPTCP_MARK_CONTAINED:-}" != mounts ]; then
		[[ "$dir" != /run/* ]] || missing "$dir is below /run: move it elsewhere"
		unshare --mount true 2>/dev/null || missing "namespaces cannot be made here"
		MPTCP_MARK_CONTAINED=mounts exec unshare --mount --propagation private \
			"$BASH" "$self" "$@"
	fi
	mount -t tmpfs none /run || missing "no tmpfs can be mounted at /run"
	mount_cgroups
	remove_stale_cgroups
	enter_cgroup
	trap 'end_contained 130' INT
	trap 'end_contained 143' TERM

	# Killed with its parent, unshare kills what is in its namespaces
	contained_cgroup="$contained_cgroup" MPTCP_MARK_CONTAINED=all \
		setpriv --pdeathsig KILL \
		unshare --fork --kill-child --pid --mount-proc --net \
		"$BASH" "$self" "$@" </dev/null &
	wait "$!"
	# shellcheck disable=SC2034 # of the caller
	contained_rc=$?
	trap '' INT TERM
	leave_cgroup
	trap - INT TERM
}

# In the process that contain() starts, the first of its namespace
is_contained()
{
	[[ "${MPTCP_MARK_CONTAINED:-}" = all && $$ -eq 1 ]] || return
	unset MPTCP_MARK_CONTAINED
	# Or this script would take itself for one that is still to be contained
	if ! mount -t bpf none /sys/fs/bpf || ! ip link set lo up; then
		die "namespaces cannot be set up"
	fi
}

# Become a command that takes a cgroup below ours for the root. There, cgroup_helpers of
# selftests/bpf make cgroups of their own, and find no controllers that they could enable
as_cgroup_root()
{
	local root="$contained_cgroup/root"

	if ! mkdir "$root" || ! echo "$BASHPID" >"$root/cgroup.procs"; then
		die "$root cannot be made"
	fi
	exec unshare --cgroup "$@"
}

# ---- KTAP

# $1: ok or not ok, $2: name, the rest: what comes behind "# ", if anything
tap_add()
{
	local result="$1" name="$2"
	shift 2

	if [[ "$*" == SKIP* ]] && expects_all; then
		result="not ok"
		set -- "missing feature:${*#SKIP}"
	fi
	printf '%s\t%s\t%s\n' "$result" "${name//#/}" "$*" >>"$results"
}

# All of them, and the exit code for it
tap_print()
{
	local result name note n=0 pass=0 fail=0 xfail=0 skip=0

	echo "TAP version 13"
	echo "1..$(wc -l <"$results")"
	while IFS=$'\t' read -r result name note; do
		echo "$result $((++n)) $name${note:+ # $note}"
		case "$result $note" in
		"not ok "*) fail=$((fail + 1)) ;;
		*" SKIP"*) skip=$((skip + 1)) ;;
		*" XFAIL"*) xfail=$((xfail + 1)) ;;
		*) pass=$((pass + 1)) ;;
		esac
	done <"$results"
	echo "# Totals: pass:$pass fail:$fail xfail:$xfail xpass:0 skip:$skip error:0"
	[ "$fail" -eq 0 ] && [ "$n" -gt 0 ] || return "$KSFT_FAIL"
	[ "$skip" -lt "$n" ] || return "$KSFT_SKIP"
}
