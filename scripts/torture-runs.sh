# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For torture.sh: the lines that run the tests again and again.
# shellcheck disable=SC2154 # of the other files

limit="$(sed -n 's/^timeout=//p' "$dir/../settings")"

# $1: log, the rest: a command, which must succeed in half of the time that kselftest
# gives it, if no other time is set. Cgroups of its own are below ours
seconds=$((limit / 2))
run_once()
{
	local log="$1"
	shift

	timeout -k 5 "$seconds" unshare --cgroup "$@" >"$log" 2>&1 </dev/null
}

# $1: what it was, $2: its exit code; the output is in $state/out
result()
{
	if [ "$2" -eq 0 ]; then
		ok "$1"
	else
		not_ok "$1: exit code $2" "$state/out"
	fi
}

# $1: how often; the rest: what runs all tests, if they are not to run as they are
run_often()
{
	local n="$1" i command began worst=0
	shift

	for ((i = 1; i <= n; i++)); do
		for command in ./mptcp_mark.sh ./mptcp_mark_progs.sh; do
			began="${EPOCHREALTIME/[.,]/}"
			run_once "$state/out" "$@" "$command" ||
				not_ok "run $i of $n, $command" "$state/out"
			began=$((${EPOCHREALTIME/[.,]/} - began))
			worst=$((began > worst ? began : worst))
		done
		echo "$i of $n, the longest so far took $((worst / 1000)) ms"
	done
	[ "$rc" -ne 0 ] || ok "$n runs of $n, the longest took $((worst / 1000)) ms of $limit s"
}

line_idle()
{
	run_often 25
}

line_busy()
{
	local i pids=()

	for ((i = 0; i < 2 * $(nproc); i++)); do
		while :; do :; done &
		pids+=("$!")
	done
	run_often 25
	kill "${pids[@]}"
	wait "${pids[@]}"
} 2>/dev/null

# A cgroup of the hierarchy that has the memory controller
memory_cgroup()
{
	local place

	place="$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2 }' /proc/self/mounts)"
	if [ -n "$place" ]; then
		rmdir "$place"/mptcp_mark-* 2>/dev/null	# of lines that were killed
		mktemp -d "$place/mptcp_mark-XXXXXX"
	elif [ -e "$contained_cgroup/memory.max" ]; then
		echo "$contained_cgroup"
	fi
}

# Little more than they take at most, 90 MB: with less, the kernel kills some
line_memory()
{
	local cgroup bytes=$((96 << 20))

	cgroup="$(memory_cgroup)"
	if [ -z "$cgroup" ]; then
		echo "ok - little memory # SKIP no memory controller: CONFIG_MEMCG=y"
		return
	fi
	echo "$bytes" >"$cgroup/memory.limit_in_bytes" || echo "$bytes" >"$cgroup/memory.max"
	echo "$BASHPID" >"$cgroup/cgroup.procs"
	run_often 25
	[ "$cgroup" = "$contained_cgroup" ] || echo "$BASHPID" >"${cgroup%/*}/cgroup.procs"
	[ "$cgroup" = "$contained_cgroup" ] || rmdir "$cgroup"
} 2>/dev/null

line_one_cpu()
{
	run_often 25 taskset -c "$(taskset -cp $$ | grep -o '[0-9]*$')"
}

# An ip that makes namespaces with receive packet steering. With veth alone, the processor
# that sends a packet receives it at once; with steering, another one may, as with real links
# shellcheck disable=SC2016 # of another shell
steer='#!/bin/bash
ip="$(PATH="${PATH#*:}" type -P ip)"
"$ip" "$@" || exit
[ "$1 $2" != "netns add" ] ||
	"$ip" netns exec "$3" tee /proc/sys/net/core/rps_default_mask <<<"$mask" >/dev/null'

# By each processor, since the machine runs
steered()
{
	cut -d ' ' -f 10 /proc/net/softnet_stat
}

line_rps()
{
	local before

	if [ ! -e /proc/sys/net/core/rps_default_mask ]; then
		echo "ok - receive packet steering # SKIP no rps_default_mask: CONFIG_RPS=y"
		return
	fi
	if [ "$(nproc)" -eq 1 ]; then
		echo "ok - receive packet steering # SKIP one processor"
		return
	fi
	before="$(steered)"
	# The tests have a /run of their own
	mount -t tmpfs none /dev/shm || exit
	echo "$steer" >/dev/shm/ip
	chmod +x /dev/shm/ip
	# Of the first 32 processors
	run_often "${short:-25}" env PATH="/dev/shm:$PATH" \
		mask="$(taskset -p $$ | grep -oE '[0-9a-f]{1,8}$')"
	umount /dev/shm
	[ "$(steered)" != "$before" ] || not_ok "no packet was steered"
}

line_copies()
{
	local rounds=10 i copy pids=()

	[ -z "$short" ] || rounds=1
	for ((i = 0; i < rounds; i++)); do
		pids=()
		for copy in 1 2 3 4; do
			touch "$state/log$copy"
			{
				run_once "$state/log$copy" ./mptcp_mark.sh &&
					run_once "$state/log$copy" ./mptcp_mark_progs.sh
			} &
			pids+=("$!")
		done
		for copy in 1 2 3 4; do
			wait "${pids[copy - 1]}" ||
				not_ok "copy $copy in round $i" "$state/log$copy"
		done
	done
	rm -f "$state"/log?
	[ "$rc" -ne 0 ] || ok "four copies, $rounds times"
}

# $1: how often, the rest: commands, if others than the tests
kill_often()
{
	unshare --cgroup scripts/kill-test.sh "$@" >"$state/out" 2>&1
	result "kill-test.sh $*, $(grep "^SIG" "$state/out" | paste -sd ';')" "$?"
}

line_signals()
{
	if [ -n "$short" ]; then
		kill_often 6 ./mptcp_mark.sh "./mptcp_mark.sh --demo" \
			"./mptcp_mark_progs.sh -t mptcp_mark_cgroup"
	else
		kill_often 200
	fi
}

line_bench()
{
	kill_often 20 "make bench BENCH=bulk" \
		"scripts/bench.sh build/bpf build/bench.jsonl bulk"
}

line_table()
{
	local calls=$((short ? 100000 : 1000000))

	MPTCP_MARK_CALLS="$calls" run_once "$state/out" \
		./mptcp_mark_progs.sh -w "$seconds" -t mptcp_mark_table/threads
	result "$calls calls" "$?"
}

# What the kernel has for a cgroup: slab, sockets and BPF
kernel_memory()
{
	cat "$1/memory.kmem.usage_in_bytes" || awk '$1 == "kernel" { print $2 }' "$1/memory.stat"
} 2>/dev/null

# Flat: in the last fifth of the time no more than in the second, but for what 1 byte for
# each connection makes. The first fifth takes longer than the minute of TIME_WAIT
line_joins()
{
	local n=$((short ? 200 : 160000)) seconds=3600 cgroup pid

	cgroup="$(memory_cgroup)"
	{
		[ -z "$cgroup" ] || echo "$BASHPID" >"$cgroup/cgroup.procs"
		MPTCP_MARK_CHURN="$n" run_once "$state/out" \
			./mptcp_mark_progs.sh -w "$seconds" -t mptcp_mark_many/churn
	} &
	pid=$!
	: >"$state/log"
	while kill -0 "$pid" 2>/dev/null; do
		[ -z "$cgroup" ] || kernel_memory "$cgroup" >>"$state/log"
		sleep 0.2
	done
	wait "$pid"
	result "$n connections, $(grep -o '[0-9]* subflows marked' "$state/out")" "$?"
	[ -n "$cgroup" ] || return
	[ "$cgroup" = "$contained_cgroup" ] || rmdir "$cgroup"
	[ -z "$short" ] || return	# too soon to tell
	mapfile -t bytes < <(awk '{ all[NR] = $1 }
		END {
			for (i = 1; i <= NR; i++) {
				if (i > NR / 5 && i <= 2 * NR / 5) { early += all[i]; n++ }
				if (i > 4 * NR / 5) { late += all[i]; m++ }
			}
			printf "%d\n%d\n", early / n, late / m
		}' "$state/log")
	if ((bytes[1] > bytes[0] * 5 / 4 + n)); then
		not_ok "kernel memory grows from ${bytes[0]} to ${bytes[1]} bytes"
	else
		ok "kernel memory: ${bytes[0]} bytes early, ${bytes[1]} late"
	fi
}

# As the caller, with the network of the host: the archive has the kernel
line_vm()
{
	local log

	log="$(mktemp -t mptcp_mark-vm-XXXXXX)" || exit
	if ./vmtest.sh -k 7.3 -t 9000 -e '
		sysctl -qw net.core.bpf_jit_harden=2
		for run in 1 2 3 4 5; do
			kselftest/run_kselftest.sh -o 1800 -c mptcp_mark || exit
		done' >"$log" 2>&1; then
		ok "five runs on 7.3"
	else
		not_ok "five runs on 7.3" "$log"
	fi
	rm "$log"
}
