#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# For vmtest.sh -n, in a VM: upstream's own MPTCP tests, first without our program,
# then with it attached to the root cgroup. Whatever they give, it is the same.
# Prints what kselftest's runner would.

me="selftests: mptcp_mark: ${0##*/}"

die()
{
	echo "# ${0##*/}: $*"
	echo "not ok 1 $me"
	exit 1
}

# $1: the install tree of our tests, $2: that of upstream's
ours="$(realpath "$1")"
theirs="$(realpath "$2")"
user="$ours/mptcp_mark/mptcp_mark_user"
root="$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)"
logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
rc=0

# How many subflows our program marked
marked()
{
	"$user" status "$root" | sed -nE 's/.* marked ([0-9]+) .*/\1/p'
}

# A result a line, without what differs from run to run; the exit code of the test
results()
{
	local code=0

	"$@" >"$logs/output" 2>&1 || code=$?
	echo "exit code $code"
	sed -nE -e 's/^(# )?((not )?ok [0-9].*[^ ]) *#? *time=.*/\2/p;t' \
		-e 's/^(# )?((not )?ok [0-9].*)/\2/p' -e 's/^#[0-9/]+ +(.*:(OK|SKIP|FAIL).*)/\1/p' \
		"$logs/output"
	return "$code"
}

# $1: number, the rest: a test of theirs
neighbour()
{
	local n="$1" name passed marked why
	shift

	name="$*"
	results "$@" >"$logs/without"
	if [ $? -eq 4 ]; then	# KSFT_SKIP
		why="$(sed -n 's/^\[SKIP\] *//p' "$logs/output" | tail -n 1)"
		echo "# ok $n - $name # SKIP ${why:-it says not why}"
		return
	fi
	"$user" attach "$root" -t -b "$base" >"$logs/attach" 2>&1 ||
		die "our program cannot be attached: $(tail -n 1 "$logs/attach")"
	results "$@" >"$logs/with"
	marked="$(marked)"
	"$user" detach "$root"
	passed="$(grep -cE '^ok |:OK' "$logs/with")"
	if [ "$passed" -eq 0 ] || [ "${marked:-0}" -eq 0 ]; then
		echo "# not ok $n - $name: $passed pass, ${marked:-0} subflows are marked"
		rc=1
	elif cmp -s "$logs/without" "$logs/with"; then
		echo "# ok $n - $name: $passed of $(grep -vc '^exit' "$logs/with") pass," \
		     "with our program, which marked $marked subflows, as without"
	else
		diff "$logs/without" "$logs/with" | sed 's/^/#   /'
		echo "# not ok $n - $name: other results with our program"
		rc=1
	fi
}

echo "# $me"
echo "# TAP version 13"
# A kernel that our program cannot be loaded on has nothing to compare
why="$("$ours/mptcp_mark/mptcp_mark_progs.sh" -t mptcp_mark/ipv4 2>&1 |
       sed -n 's/.*# SKIP *\(this kernel has no .*\)/\1/p' | head -n 1)"
if [ -n "$why" ]; then
	echo "# 1..0 # SKIP $why"
	echo "ok 1 $me # SKIP"
	exit 4	# KSFT_SKIP
fi
echo "# 1..3"
cd "$theirs/bpf" || die "no $theirs/bpf"
base=0		# their example marks, too: ours runs last, and gives the same
neighbour 1 ./test_progs -t mptcp
cd "$theirs/net/mptcp" || die "no $theirs/net/mptcp"
base=0x10100	# mptcp_connect.sh routes mark 1
if command -v ping >/dev/null; then
	neighbour 2 ./mptcp_connect.sh -4 -d 0 -l 0% -r 0 -f 100000
else
	echo "# ok 2 - ./mptcp_connect.sh # SKIP no ping"
fi
neighbour 3 ./mptcp_join.sh -f -b
[ "$rc" -eq 0 ] && echo "ok 1 $me" || echo "not ok 1 $me"
exit "$rc"
