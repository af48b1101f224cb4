#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The C tests: runs test_progs, and reports each of its subtests in KTAP. Its own
# report in JSON (-J) has no subtests but those that failed.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [ARG...]

	Run ./test_progs with these arguments, as -t NAME, -d NAME or -j, and report
	each subtest in KTAP. Exit code 0, 1 (failed) or 4 (skipped).
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

dir="$(dirname "$(readlink -f "$0")")"

# The tree's own: beside us in a tree or when installed, or in the tree that we
# were built from
for lib in "$dir/.." "$dir/build/tree/tools/testing/selftests"; do
	[ -e "$lib/kselftest/ktap_helpers.sh" ] && break
done
[ -e "$lib/kselftest/ktap_helpers.sh" ] ||
	die "kselftest/ktap_helpers.sh of the kernel selftests is not here: run make first"
[ -x "$dir/test_progs" ] || die "test_progs is not here: run make first"
# shellcheck disable=SC1091 # the tree's
. "$lib/kselftest/ktap_helpers.sh"

skip_all()
{
	ktap_print_header
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
esac

[ "$(id -u)" -eq 0 ] || skip_all "must be root: use sudo"
[ -e /proc/sys/net/mptcp/enabled ] ||
	skip_all "this kernel has no MPTCP: use one with CONFIG_MPTCP=y"
[ -e /sys/kernel/btf/vmlinux ] ||
	skip_all "this kernel has no BTF: use one with CONFIG_DEBUG_INFO_BTF=y"
for tool in ip nft ss; do
	command -v "$tool" >/dev/null || skip_all "no $tool: install it, or run 'make setup'"
done

names=()
results=()
reasons=()

# $1: name, $2: OK, SKIP or FAIL, $3: reason
add_result()
{
	names+=("$1")
	results+=("$2")
	reasons+=("$3")
}

# test_progs ended by a signal leaves what it named after its own process ids
remove_left()
{
	local pid ns

	for pid in "$@"; do
		for ns in "mark_c_$pid" "mark_s_$pid"; do
			[ ! -e "/run/netns/$ns" ] || ip netns del "$ns"
		done
		find /sys/fs/cgroup -depth -type d -path "*/cgroup-test-work-dir$pid*" \
			-exec rmdir {} + 2>/dev/null
	done
}

interrupted()
{
	local pids

	pids="$pid $(pgrep -P "$pid")"
	# shellcheck disable=SC2086 # an id a word
	kill $pids 2>/dev/null
	wait "$pid"
	# shellcheck disable=SC2086 # an id a word
	remove_left $pids
	exit 1
}

test_failed()
{
	local i

	for i in "${!names[@]}"; do
		[[ "${names[i]}" != "$1"/* ]] || [ "${results[i]}" != FAIL ] || return 0
	done
	return 1
}

# What test_progs prints of a result: "#5/6     mptcp_mark_pm/laminar:SKIP".
# With -v also each assertion, "test:PASS:what 0 nsec", where what can be of
# several lines; and what tests say of a skip, "test:SKIP:reason". What passes is
# not for read, which takes a system call for each byte
cd "$dir" || exit 1
exec 3< <(exec ./test_progs -v "$@" > >(exec grep -av --line-buffered -e ':PASS:' -e ' nsec$') 2>&1)
pid=$!
trap interrupted INT TERM

reason=
while read -r line <&3; do
	echo "# $line"
	[[ "$line" != *:SKIP:* ]] || reason="${line##*:SKIP:}"
	[[ "$line" =~ ^\#[0-9]+(/[0-9]+)?\ +([^:]+):(OK|SKIP|FAIL) ]] || continue
	result="${BASH_REMATCH[3]}"
	name="${BASH_REMATCH[2]}"
	if [ -n "${BASH_REMATCH[1]}" ]; then
		add_result "$name" "$result" "$reason"
		reason=
	elif [ "$result" = FAIL ] && ! test_failed "$name"; then
		# Outside of any subtest
		add_result "$name" FAIL ""
	fi
done
wait "$pid"
rc=$?
[ "$rc" -le 128 ] || remove_left "$pid"

if [ "$rc" -ne 0 ] && [[ "${results[*]}" != *FAIL* ]]; then
	add_result "test_progs runs to its end" FAIL
	ktap_print_msg "test_progs exits with $rc"
fi

ktap_print_header
ktap_set_plan "${#names[@]}"
for i in "${!names[@]}"; do
	case "${results[i]}" in
	OK)
		ktap_test_pass "${names[i]}"
		;;
	SKIP)
		# ktap_test_skip(), which has no place for the reason
		__ktap_test ok "${names[i]}" "SKIP ${reasons[i]}"
		KTAP_CNT_SKIP=$((KTAP_CNT_SKIP + 1))
		;;
	FAIL)
		ktap_test_fail "${names[i]}"
		;;
	esac
done

if [ "$KTAP_CNT_SKIP" -gt 0 ] && [ "$KTAP_CNT_SKIP" -eq "$KSFT_NUM_TESTS" ]; then
	ktap_print_totals
	exit "$KSFT_SKIP"
fi
ktap_finished
