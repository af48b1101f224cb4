#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tests where it is hard for them: for long, in hostile surroundings, and with what
# they take gone or failing. Whatever comes, they work, or say in one line why not.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-s] [LINE]...
	  -s      a short form of each line, where it has one: minutes instead of hours, and
	          the same each time
	  LINE    these alone, instead of all; the result of each is KTAP, with a line for
	          each of its cases behind "# "
	  --list  the lines that there are

	A program mptcp_mark that somebody else loads meanwhile, and has not attached for
	half a minute, is taken for one that is left behind.
	USAGE
}

# Name, yes if it has a short form, what it is
lines()
{
	cat <<-LINES
	idle          no   the tests, over and over
	busy          no   the same, with each processor busy
	memory        no   the same, with little memory
	one_cpu       no   the same, on one processor
	rps           yes  the same, with receive packet steering
	copies        yes  four copies of everything at once
	signals       yes  SIGKILL, SIGINT and SIGTERM at random moments
	surroundings  yes  names taken, full disk, no cgroup2, odd environment and limits
	tools         yes  each tool that is needed gone, broken or too old
	capabilities  yes  not root, in a user namespace, without a capability
	options       yes  random options of the script and of the tool
	policies      yes  policies, changed at random
	steps         yes  each step of the set-up fails
	table         yes  the table asked for by many threads, while subflows come and go
	joins         yes  joins and resets, links down and up, endpoints, base changed
	bench         no   signals during make bench
	vm            no   the tests in a VM, over and over, with bpf_jit_harden
	LINES
}

# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$(readlink -f "$0")")/../mptcp_mark_lib.sh"
# shellcheck source=scripts/left-behind.sh
. "$dir/left-behind.sh"
# shellcheck source=scripts/torture-runs.sh
. "$dir/torture-runs.sh"
# shellcheck source=scripts/torture-cases.sh
. "$dir/torture-cases.sh"

# What the kernel says of itself when something is wrong with it
kernel_messages()
{
	dmesg | awk -v last="$1" '
		found && /WARNING|BUG|Oops|Call Trace|refcount|stall|leak|hung task/
		$0 == last { found = 1 }'
}

# shellcheck disable=SC2317 # of the other files
ok()
{
	echo "ok - $1"
}

# $1: name, with why; the rest: files with what was printed
not_ok()
{
	echo "not ok - $1"
	shift
	tail -qn 300 "$@" | sed 's/^/#   /'
	rc=1
}

# What a line leaves behind: processes, and all that things() and cgroups() know
look()
{
	settles no_others || not_ok "$1: processes are left" <(others)
	nothing_is_left || not_ok "$1: something is left" "$state/new"
	[ -z "$(cgroups)" ] || not_ok "$1: cgroups are left" <(cgroups)
}

# $1: a line, by itself: in namespaces and a cgroup of its own, which end with it
run_line()
{
	local last

	if [ "$1" = vm ]; then
		line_vm
		exit "$rc"
	fi
	if ! is_contained; then
		contain ${short:+-s} --line "$1"
		exit "$contained_rc"
	fi
	note_things
	last="$(dmesg | tail -n 1)"
	"line_$1"
	kernel_messages "$last" >"$state/log"
	[ ! -s "$state/log" ] || not_ok "the kernel has something to say" "$state/log"
	look "in the end"
	exit "$rc"
}

# Of the lines that are asked for, or all
run_lines()
{
	local line n=0 began

	[ "$#" -gt 0 ] ||
		mapfile -t selected < <(lines |
			awk -v short="$short" '!short || $2 == "yes" { print $1 }')
	echo "TAP version 13"
	echo "1..${#selected[@]}"
	for line in "${selected[@]}"; do
		began="$SECONDS"
		echo "# $line"
		if setpriv --pdeathsig TERM "$BASH" "$0" ${short:+-s} --line "$line" 2>&1 |
		   sed -u 's/^/# /'; then
			echo "ok $((++n)) $line # time=$((SECONDS - began))s"
		else
			echo "not ok $((++n)) $line # time=$((SECONDS - began))s"
			rc=1
		fi
	done
}

short=
alone=
selected=()
rc=0
while [ "$#" -gt 0 ]; do
	case "$1" in
	-h | --help)
		usage
		exit 0
		;;
	--list)
		lines
		exit 0
		;;
	-s) short=1 ;;
	--line) alone=1 ;;
	*)
		lines | grep -q "^$1 " || die "no line '$1': see --list"
		selected+=("$1")
		;;
	esac
	shift
done

# Files that were inherited would count where few may be open
for fd in "/proc/$$/fd"/*; do
	[[ "${fd##*/}" -le 2 || "$fd" -ef "$0" ]] || eval "exec ${fd##*/}>&-"
done

# The short form does the same each time
RANDOM="${short:-$SRANDOM}"
set -o pipefail
cd "$dir/.." || exit 1
check_machine lsns setpriv taskset unshare
[[ -x mptcp_mark_user && -x test_progs ]] || die "no tests are here: run make first"
[ -z "$alone" ] || run_line "${selected[0]}"
[ -z "$alone" ] || exit 1	# an error of bash ends a function, not the script
run_lines "${selected[@]}"
exit "$rc"
