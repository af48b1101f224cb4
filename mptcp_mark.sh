#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A client and a server over three links, and a BPF program that marks every
# subflow of the client's MPTCP connections: as a kselftest without options,
# and as an environment to try things in.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-w FILE]
	       ${0##*/} [-c] [-m] [-l PROG] [-b] [-d MS] [-D]
	       ${0##*/} --exec CMD [ARG...] | --show | --clean | --demo [policy] | --help

	Without options: run the end-to-end tests; exit code 0, 1 (failed) or 4 (skipped).
	  -w FILE  capture what the client sends and receives meanwhile, for tcpdump -r

	Bring the environment up: namespaces ns_client and ns_server, an HTTP server
	over MPTCP on port $port, nft counters of marks in the client:
	  -c       cgroups for the client and the server
	  -m       three links and endpoints, for three subflows; otherwise one
	  -l PROG  attach PROG to the client's cgroup: mptcp_mark, by order, or
	           mptcp_policy, with a policy by link; needs -c
	  -b       attach it to the server's cgroup too; needs -l
	  -d MS    delay on the server's links, in milliseconds (netem)
	  -D       show what is done, and trace each marking

	In the environment:
	  --exec   run CMD in the client, its TCP sockets made MPTCP
	  --show   the nft ruleset with its counters, and the subflows
	  --clean  take the environment down
	  --demo   all of it: up, capture, download, what was seen, down
	  --demo policy
	           an upload that moves to a backup, which has a policy

	Variables: SELFTESTS_MPTCP_LIB_EXPECT_ALL_FEATURES=1, to skip is to fail
	USAGE
}

# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$(readlink -f "$0")")/mptcp_mark_lib.sh"
# shellcheck source=mptcp_mark_env.sh
. "$dir/mptcp_mark_env.sh"
# shellcheck source=mptcp_mark_up.sh
. "$dir/mptcp_mark_up.sh"
# shellcheck source=mptcp_mark_policy.sh
. "$dir/mptcp_mark_policy.sh"

# $1: name of the subtest, the rest: what must succeed
subtest()
{
	local name="$1" start="${EPOCHREALTIME/[.,]/}" result=ok
	shift

	printf '%-60s ' "$name"
	if "$@"; then
		echo "[ OK ]"
	else
		result="not ok"
		dump
	fi
	tap_add "$result" "$name" "time=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))ms"
}

# $1: name of the subtest, $2: what prints why it is impossible, and succeeds if it
# is; the rest: what must succeed
subtest_unless()
{
	local name="$1" lacks="$2" why
	shift 2

	if ! why="$("$lacks")"; then
		subtest "$name" "$@"
		return
	fi
	printf '%-60s [SKIP] %s\n' "$name" "$why"
	tap_add ok "$name" "SKIP $why"
}

fail()
{
	echo "[FAIL] $*"
	return 1
}

# $1: what it is, $2: value, $3: value expected
expect()
{
	[ "$2" = "$3" ] || fail "$1: '$2', expected '$3'"
}

expect_intact()
{
	cmp "$state/www/file" "$1" || fail "$1 is not what the server has"
}

has_subflows()
{
	[ "$(number_of_subflows)" -eq "$1" ]
}

# Nothing of the downloads before, whose subflows close in their own time: fresh
# counters, and a note of each source that sends a SYN, with its mark
start_afresh()
{
	rm -f "$state/out" "$state"/*.subflows
	busywait "$BUSYWAIT_TIMEOUT" has_subflows 0 ||
		expect "subflows of before" "$(subflows)" none || return
	in_client nft flush ruleset
	set_up_counters
	in_client nft '
		table ip syn {
			set sources {
				typeof ip saddr . tcp sport . socket mark
				size 1024; flags dynamic;
			}
			chain output {
				type filter hook output priority filter;
				tcp flags & (syn | ack) == syn \
				update @sources { ip saddr . tcp sport . socket mark }
			}
		}'
}

# A download from address $1 over three subflows
test_download()
{
	start_afresh || return
	held_download "http://$1:$port/file" "$state/out" see_subflows "$state/out.subflows" 3 &&
		expect_intact "$state/out"
}

# $1: IP version, $2: mark
counted_packets()
{
	local family=ip

	[ "$1" -eq 4 ] || family=ip6
	in_client nft list table "$family" filter |
		sed -n "s/.*socket mark 0x0*$2 counter packets \([0-9]*\) .*/\1/p"
}

# $1: IP version, the rest: the marks that packets carried, no others did
test_packets()
{
	local version="$1" mark rc=0 want
	shift

	for mark in 0 1 2 3 4 5; do
		want=0
		[[ " $* " != *" $mark "* ]] || want=1
		expect "packets of mark $mark" \
			"$(($(counted_packets "$version" "$mark") > 0))" "$want" || rc=1
	done
	return "$rc"
}

test_syns()
{
	expect "marks of SYNs, one source each" \
		"$(in_client nft list set ip syn sources | grep -o '0x[0-9a-f]*' |
		   sort | xargs)" \
		"0x00000001 0x00000002 0x00000003"
}

test_capture()
{
	local syns rc=0

	syns="$(captured_syns "$1")"
	expect "SYNs with MP_CAPABLE" "$(grep -c capable <<<"$syns")" 1 || rc=1
	expect "SYNs with MP_JOIN" "$(grep -c join <<<"$syns")" 2 || rc=1
	expect "tokens" "$(grep -o 'token [^ ]*' <<<"$syns" | sort -u | wc -l)" 1 || rc=1
	return "$rc"
}

# What the kernel has of the subflows of $2 connections, seen while $1 came
test_subflows()
{
	expect "id and mark of the subflows" \
		"$(marks_by_connection <"$1.subflows")" "$(expected_marks "$2" "${3:-0}")"
}

test_two_at_once()
{
	local pid url="http://10.0.1.2:$port/file" rc=0

	start_afresh || return
	held_download "$url" "$state/one" see_subflows "$state/one.subflows" 6 &
	pid=$!
	# As long as the other one looks, it has written nothing
	held_download "$url" "$state/two" test -s "$state/one" || rc=1
	wait "$pid" || rc=1
	expect_intact "$state/one" || rc=1
	expect_intact "$state/two" || rc=1
	test_subflows "$state/one" 2 || rc=1
	return "$rc"
}

attach_again()
{
	attach_by_attach client "${client_options[@]}" "$@"
}

# Attached without -M meanwhile
test_plain_tcp()
{
	local rc=0

	start_afresh && attach_by_attach client || return
	(enter client curl -s -S -o "$state/out" "http://10.0.1.2:$port/file") || rc=1
	attach_again || return
	expect_intact "$state/out" || rc=1
	test_packets 4 0 || rc=1
	return "$rc"
}

# The mask stays: of 20736, 0x5100, it leaves 0x100
test_base()
{
	local rc=0

	attach_again -m 0xfff && "$user" set "$contained_cgroup/client" -b 020736 || return
	test_download 10.0.1.2 || rc=1
	attach_again || rc=1
	test_subflows "$state/out" 1 0x100 || rc=1
	return "$rc"
}

# The subflow of mark 3 goes, and another one comes
replace_third()
{
	local address id

	see_marks "$state/marks" &&
		address="$(sed -n 's/ 0x00000003//p' "$state/marks")" &&
		id="$(subflows | endpoint_of "$address")" &&
		in_client ip mptcp endpoint delete id "$id" &&
		busywait "$BUSYWAIT_TIMEOUT" has_subflows 2 &&
		in_client ip mptcp endpoint add "$address" subflow &&
		busywait "$BUSYWAIT_TIMEOUT" see_subflows "$state/marks" 3
}

# Those of another connection than in the file $1
see_others()
{
	see_subflows "$1.subflows" 3 && [ "$(token <"$1")" != "$(token <"$1.subflows")" ]
}

token()
{
	awk 'NR == 2 { print $1 }'
}

# The second connection of a socket, whose ids go on from those of the first: the program
# keeps the order. $@: what must not lose it
test_order()
{
	local go rc=0

	start_afresh && mkfifo "$state/fifo" || return
	(enter client python3 -c "
import ctypes, socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)  # IPPROTO_MPTCP
for i in 1, 2:
    s.connect(('10.0.1.2', $port))
    s.send(b'G')
    input()
    ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16)    # AF_UNSPEC: disconnect
" <"$state/fifo") &
	exec {go}>"$state/fifo"
	busywait "$BUSYWAIT_TIMEOUT" see_subflows "$state/out" 3 && echo >&"$go" &&
		busywait "$BUSYWAIT_TIMEOUT" see_others "$state/out" && "$@" && replace_third &&
		see_marks "$state/marks" || rc=1
	echo >&"$go"
	exec {go}>&-
	wait "$!" || rc=1
	rm "$state/fifo"
	expect "marks" "$(cut -d ' ' -f 2 "$state/marks" | sort | xargs)" \
		"0x00000001 0x00000002 0x00000004" || rc=1
	return "$rc"
}

# $1: subflows marked until now
test_stats()
{
	expect "counters" \
		"$("$user" status "$contained_cgroup/client" |
		   grep -o "marked .* failed [0-9]*")" "marked $1 failed 0"
}

ipv6_lacks()
{
	! has_ipv6 && echo "this kernel has no IPv6"
}

tracing_lacks()
{
	! mount_tracing 2>/dev/null && echo "this kernel has no tracefs"
}

# The trace buffer is the machine's, and keeps what was: a base that is not in it
test_trace()
{
	local base=0 mark

	while [ "$base" -eq 0 ] || grep -q "Mark <$((base + 1))>" "$state/tracing/trace"; do
		base=$((SRANDOM & 0xffffff00))
	done
	attach_again -b "$base" && test_download 10.0.1.2 || return
	expect "lines without -D" "$(grep -c "Mark <$((base + 1))>" "$state/tracing/trace")" 0 ||
		return
	attach_again -D -b "$base" && test_download 10.0.1.2 && attach_again || return
	for mark in 1 2 3; do
		expect "lines of mark $mark in the trace" \
			"$(grep -c "Mark <$((base + mark))> : return code <0>" \
			   "$state/tracing/trace")" 1 || return
	done
}

mptcpify_lacks()
{
	local file="$state/tracing/available_filter_functions" why

	if ! why="$(head -n 1 "$file" 2>&1 >/dev/null)" || [ -n "$why" ]; then
		echo "functions cannot be traced here: ${why##*: }"
	else
		! grep -qx update_socket_protocol "$file" &&
			echo "this kernel traces no update_socket_protocol()"
	fi
}

# As all downloads, where that works: by BPF alone
test_mptcpify()
{
	[ -e "$state/mptcpify" ] || fail "$(<"$state/mptcpify.log")" || return
	test_download 10.0.1.2 && test_subflows "$state/out" 1
}

mptcpize_lacks()
{
	! type -P mptcpize >/dev/null && echo "no mptcpize: install it"
}

netem_lacks()
{
	if ! type -P tc >/dev/null; then
		echo "no tc: install it"
	else
		! has_netem && echo "this kernel has no netem"
	fi
}

# No SYN is lost: a connection that takes too many is plain TCP
see_subflows_then_loss()
{
	see_subflows "$1" 3 && set_qdisc netem delay 10ms loss 5%
}

test_netem()
{
	local dropped rc=0

	start_afresh && set_qdisc netem delay 10ms || return
	held_download "http://10.0.1.2:$port/file" "$state/out" \
		see_subflows_then_loss "$state/out.subflows" || rc=1
	expect_intact "$state/out" || rc=1
	test_subflows "$state/out" 1 || rc=1
	test_syns || rc=1
	dropped="$(tc -s -n "$ns_server" qdisc show |
		   sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | awk '{ n += $1 } END { print n }')"
	expect "packets were lost" "$((dropped > 0))" 1 || rc=1
	set_qdisc noqueue || rc=1
	return "$rc"
}

run_tests()
{
	local downloads=4

	: >"$results"
	load_lib
	if ! set_up attach "$contained_cgroup"; then
		tap_add "not ok" "the environment can be set up"
		echo "$me: could not be set up, for the reason above" >&2
		touch "$state/finished"
		return
	fi
	[ -z "$capture" ] || in_client tcpdump -Z root -i any -U -w "$capture" 2>/dev/null &
	start_capture "$state/pcap" || return
	subtest "IPv4: the download is intact" test_download 10.0.1.2
	stop_capture
	subtest "IPv4: marks 1, 2, 3 and no others counted" test_packets 4 1 2 3
	subtest "IPv4: one SYN per mark" test_syns
	subtest "IPv4: one MP_CAPABLE, two MP_JOIN of its token captured" test_capture "$state/pcap"
	subtest "IPv4: subflows 1, 2, 3 have marks 1, 2, 3" test_subflows "$state/out" 1
	subtest_unless "IPv6: the download is intact" ipv6_lacks test_download "[dead:beef:1::2]"
	subtest_unless "IPv6: marks 1, 2, 3 and no others counted" ipv6_lacks test_packets 6 1 2 3
	subtest_unless "IPv6: subflows 1, 2, 3 have marks 1, 2, 3" ipv6_lacks \
		test_subflows "$state/out" 1
	subtest "two downloads at once, each marked 1, 2, 3" test_two_at_once
	subtest "plain TCP is not marked" test_plain_tcp
	subtest "marks follow a base set at run time" test_base
	! has_ipv6 || downloads=5
	subtest "the program counts what it marked" test_stats $((downloads * 3))
	subtest "attached again, a connection keeps its order" test_order attach_again
	subtest_unless "each marking is traced, with -D alone" tracing_lacks test_trace
	subtest_unless "an unmodified program, made MPTCP by BPF" mptcpify_lacks test_mptcpify
	subtest_unless "delay and loss: intact, marked 1, 2, 3" netem_lacks test_netem
	"$user" status "$contained_cgroup/client" -j >"$state/status"
	subtest_unless "a policy by link: marks, options, counters" mptcpize_lacks test_policy
	subtest_unless "a new policy, applied to subflows that exist" mptcpize_lacks test_apply
	subtest "another policy loaded, a connection keeps its order" test_policy_order
	subtest_unless "policies of a cgroup and of one above" mptcpize_lacks test_nested
	subtest "each word of a policy is printed as it was read" test_words
	subtest "policies that cannot be are refused, with the line" test_refusals
	touch "$state/finished"
}

is_unloaded()
{
	"$user" status -j >"$state/out" && ! grep -q "\"prog_id\":$1[,}]" "$state/out"
}

# The kernel lets go of a program in its own time
test_gone()
{
	local prog

	if [ -e "$state/status" ]; then
		# What is pinned on this machine is not ours, and may not be readable
		mount -t bpf none /sys/fs/bpf || return
		prog="$(sed -n 's/.*"prog_id":\([0-9]*\).*/\1/p' "$state/status")"
		[ -n "$prog" ] || fail "it was not attached" || return
		busywait "$BUSYWAIT_TIMEOUT" is_unloaded "$prog" ||
			expect "program" "$prog" none || return
	fi
	[ ! -e "$contained_cgroup" ] || expect "cgroup" "$contained_cgroup" none
}

do_test()
{
	missing_rc="$KSFT_SKIP"
	with_cgroups=1
	links=3
	file_mb=16
	prog=mptcp_mark
	check_environment tcpdump unshare setpriv
	check_capabilities DAC_READ_SEARCH=2	# for "show", to find a cgroup by its id
	if is_contained; then
		run_tests
		exit
	fi
	contain ${capture:+-w "$capture"}
	load_lib
	[ -s "$results" ] || exit "$contained_rc"
	[ -e "$state/finished" ] || tap_add "not ok" "the tests run to their end"
	subtest "everything is gone afterwards" test_gone
	tap_print
}

needs_arg()
{
	[ "$2" -gt 1 ] || die "$1 needs an argument: see --help"
}

capture=
case "${1:-}" in
"")
	do_test
	;;
-w)
	[ "$#" -eq 2 ] || die "-w needs a file, and nothing else"
	capture="$(realpath -m "$2")"
	[[ "$capture" != /run/* ]] || die "-w $2: the tests have a /run of their own"
	{ : >"$capture"; } 2>/dev/null || die "-w $2: cannot be written"
	do_test
	;;
--exec)
	shift
	do_exec "$@"
	;;
--demo)
	[ "$#" -eq 1 ] || [ "$*" = "--demo policy" ] || die "--demo takes 'policy' or nothing"
	do_demo "${@:2}"
	;;
--show | --clean)
	[ "$#" -eq 1 ] || die "$1 takes no argument"
	"do_${1#--}"
	;;
-h | --help)
	usage
	;;
*)
	while [ "$#" -gt 0 ]; do
		case "$1" in
		-c) with_cgroups=1 ;;
		-m) links=3 ;;
		-b) both_ends=1 ;;
		-D) debug=1 ;;
		-l)
			needs_arg "$1" "$#"
			prog="$2"
			shift
			;;
		-d)
			needs_arg "$1" "$#"
			[[ "$2" =~ ^[0-9]+$ ]] || die "-d needs milliseconds, not '$2'"
			delay="$2"
			shift
			;;
		*) die "unknown option '$1': see --help" ;;
		esac
		shift
	done
	do_up
	;;
esac
