#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Kill the tests and the demonstration, or other commands, at random moments, and look
# for what they leave behind: in namespaces and a cgroup of our own, where nothing else
# is.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [ROUNDS [COMMAND]...]
	  ROUNDS   how often to send SIGKILL, 200 if not given; SIGINT and SIGTERM
	           a tenth of it each
	  COMMAND  of words: what to kill instead
	USAGE
}

# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$(readlink -f "$0")")/../mptcp_mark_lib.sh"
# shellcheck source=scripts/left-behind.sh
. "$dir/left-behind.sh"

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
esac
rounds="${1:-200}"
[[ "$rounds" =~ ^[1-9][0-9]{0,4}$ ]] || die "ROUNDS is a number from 1 on, not '$1'"
check_machine unshare setpriv

cd "$dir/.." || exit 1
commands=("${@:2}")
[ "$#" -gt 1 ] || commands=(./mptcp_mark.sh "./mptcp_mark.sh --demo" ./mptcp_mark_progs.sh)
durations=()
rc=0

# $1: log, the rest: a command, in a cgroup namespace: its cgroups are below ours
start()
{
	local log="$1"
	shift

	# Job control, or it would not see SIGINT
	set -m
	# shellcheck disable=SC2086 # of words
	unshare --cgroup $1 >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
}

# $1: what was done; $2: none, if no cgroup may be there either
look()
{
	if ! settles no_others; then
		echo "$1: processes are left:"
		others
		rc=1
	fi
	if ! nothing_is_left; then
		echo "$1: this is left:"
		cat "$state/new"
		rc=1
	fi
	if [ "$2" = none ] && [ -n "$(cgroups)" ]; then
		echo "$1: cgroups are left:"
		cgroups
		rc=1
	fi
}

# One run of each, for how long it takes and to see that all is well
run_each()
{
	local command began i=0

	for command in "${commands[@]}"; do
		began="${EPOCHREALTIME/[.,]/}"
		start "$state/log" "$command"
		if ! wait "$pid"; then
			tail -n 20 "$state/log"
			echo "$command fails"
			rc=1
		fi
		durations[i++]=$((${EPOCHREALTIME/[.,]/} - began))
	done
}

# $1: signal, $2: how often. At any moment of any of the commands
kill_at_random()
{
	local signal="$1" n="$2" i command us killed=0

	for ((i = 0; i < n; i++)); do
		command=$((i % ${#commands[@]}))
		us=$((SRANDOM % durations[command]))
		start "$state/log" "${commands[command]}"
		sleep "$(printf '%d.%06d' $((us / 1000000)) $((us % 1000000)))"
		! kill "-$signal" "$pid" 2>/dev/null || killed=$((killed + 1))
		{ wait "$pid"; } 2>/dev/null
		settles no_others || break
	done
	echo "SIG$signal: $killed of $n before the end, $(cgroups | wc -l) cgroups are there"
}

kill_all()
{
	note_things
	run_each
	look "one run of each" none
	kill_at_random KILL "$rounds"
	look "SIGKILL" cgroups
	run_each
	look "SIGKILL, and one run of each" none
	kill_at_random INT $(((rounds + 9) / 10))
	look "SIGINT" none
	kill_at_random TERM $(((rounds + 9) / 10))
	look "SIGTERM" none
	[ "$rc" -ne 0 ] || echo "nothing is left"
} 2>&1

if is_contained; then
	kill_all
	exit "$rc"
fi
contain "$@"
exit "$contained_rc"
