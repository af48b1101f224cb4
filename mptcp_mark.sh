#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A client and a server over three links, and a BPF program that marks every
# subflow of the client's MPTCP connections: as a kselftest without options,
# and as an environment to try things in. Reads from the bottom upwards.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/}
	       ${0##*/} [-c] [-m] [-l PROG] [-b] [-d MS] [-D]
	       ${0##*/} --exec CMD [ARG...] | --show | --clean | --demo | --help

	Without options: run the end-to-end tests; exit code 0, 1 (failed) or 4 (skipped).

	Bring the environment up: namespaces ns_client and ns_server, an HTTP server
	over MPTCP on port $port, nft counters of marks in the client:
	  -c       cgroups for the client and the server
	  -m       three links and endpoints, for three subflows; otherwise one
	  -l PROG  load PROG (a name as mptcp_mark, or a .bpf.o file) and attach it
	           to the client's cgroup; needs -c
	  -b       attach it to the server's cgroup too; needs -l
	  -d MS    delay on the server's links, in milliseconds (netem)
	  -D       show what is done, and trace each marking

	In the environment:
	  --exec   run CMD in the client, its TCP sockets made MPTCP
	  --show   the nft ruleset with its counters, and the live subflows
	  --clean  take the environment down
	  --demo   all of it: up, capture, download, what was seen, down

	Variables: BPFTOOL, the bpftool to use instead of the one that was built
	USAGE
}

dir="$(dirname "$(readlink -f "$0")")"
port=8000
file_mb=64

# Where the environment keeps its files and its bpffs, and the names of all
# that is its own. The kselftest has others, random ones.
state=/run/mptcp_mark
ns_client=ns_client
ns_server=ns_server

# The tree's own, built with the programs: it is never too old
tool="$dir/bpftool"
[ -x "$tool" ] || tool=bpftool
BPFTOOL="${BPFTOOL:-$tool}"
with_cgroups=0
links=1
prog=
both_ends=0
delay=
debug=0

# Exit code where the machine lacks something: 1, or 4 for the kselftest
missing_rc=1

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

missing()
{
	[ "$missing_rc" -eq 4 ] && echo "1..0 # SKIP $*"
	echo "${0##*/}: $*" >&2
	exit "$missing_rc"
}

run()
{
	[ "$debug" -eq 0 ] || echo "+ $*" >&2
	"$@"
}

# The tree's own shell helpers: beside us in a tree or when installed, or in
# the tree that we were built from
load_lib()
{
	local lib zero="$0"

	for lib in "$dir/.." "$dir/build/tree/tools/testing/selftests"; do
		[ -e "$lib/net/mptcp/mptcp_lib.sh" ] && break
	done
	[ -e "$lib/net/mptcp/mptcp_lib.sh" ] ||
		die "net/mptcp/mptcp_lib.sh of the kernel selftests is not here: run make first"

	# It looks for net/lib.sh from $0
	BASH_ARGV0="$lib/net/mptcp/mptcp_mark.sh"
	# shellcheck disable=SC1091 # the tree's
	. "$lib/net/mptcp/mptcp_lib.sh"
	# An emulated debug kernel takes more than half a minute to start Python
	[ "${KSFT_MACHINE_SLOW:-}" != yes ] || BUSYWAIT_TIMEOUT=$((10 * BUSYWAIT_TIMEOUT))
	BASH_ARGV0="$zero"
}

check_root()
{
	[ "$(id -u)" -eq 0 ] || missing "must be root: use sudo"
}

check_machine()
{
	local tool

	check_root
	[ -e /proc/sys/net/mptcp/enabled ] ||
		missing "this kernel has no MPTCP: use one with CONFIG_MPTCP=y"
	[ "$(cat /proc/sys/net/mptcp/enabled)" != 0 ] ||
		missing "MPTCP is disabled: sysctl net.mptcp.enabled=1"
	for tool in ip ss sysctl "$@"; do
		command -v "$tool" >/dev/null || missing "no $tool: install it, or run 'make setup'"
	done
	ip mptcp limits show >/dev/null 2>&1 ||
		missing "ip has no 'ip mptcp': install iproute2 5.7 or newer"
	check_kernel
}

in_client()
{
	ip netns exec "$ns_client" "$@"
}

has_netem()
{
	tc -n "$ns_server" qdisc replace dev lo root netem 2>/dev/null
}

check_netem()
{
	[ -z "$delay" ] || has_netem ||
		missing "this kernel has no netem, what -d takes: use one with CONFIG_NET_SCH_NETEM"
}

# On the server's links, which the data takes
set_netem()
{
	local i

	for ((i = 1; i <= links; i++)); do
		run tc -n "$ns_server" qdisc replace dev "eth$i" root netem "$@" || return
	done
}

# Links 1 to 3: link i has 10.0.i.1 and dead:beef:i::1 at the client, .2 and
# ::2 at the server. What the client sends from an address leaves by its link.
set_up_links()
{
	local i ns

	# Usable at once, link-local ones too: a SYN-ACK need not wait for them
	for ns in "$ns_client" "$ns_server"; do
		run ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0 || return
	done

	for ((i = 1; i <= links; i++)); do
		# Of peers with one index, the kernel reports the carrier late:
		# linkwatch_urgent_event(), net/core/link_watch.c
		run ip link add "eth$i" index "10$i" netns "$ns_client" type veth \
			peer name "eth$i" netns "$ns_server" || return
		run ip -n "$ns_client" addr add "10.0.$i.1/24" dev "eth$i" || return
		run ip -n "$ns_server" addr add "10.0.$i.2/24" dev "eth$i" || return
		run ip -n "$ns_client" addr add "dead:beef:$i::1/64" dev "eth$i" || return
		run ip -n "$ns_server" addr add "dead:beef:$i::2/64" dev "eth$i" || return
		run ip -n "$ns_client" link set "eth$i" up || return
		run ip -n "$ns_server" link set "eth$i" up || return
		run ip -n "$ns_client" rule add from "10.0.$i.1" table "10$i" || return
		run ip -n "$ns_client" route add default via "10.0.$i.2" table "10$i" || return
		run ip -n "$ns_client" -6 rule add from "dead:beef:$i::1" table "10$i" || return
		run ip -n "$ns_client" -6 route add default via "dead:beef:$i::2" \
			table "10$i" || return
	done
	[ -z "$delay" ] || set_netem delay "${delay}ms" || return

	run ip -n "$ns_client" mptcp limits set subflows "$((links - 1))" || return
	run ip -n "$ns_server" mptcp limits set subflows "$((links - 1))" || return
	for ((i = 2; i <= links; i++)); do
		run ip -n "$ns_client" mptcp endpoint add "10.0.$i.1" subflow || return
		run ip -n "$ns_client" mptcp endpoint add "dead:beef:$i::1" subflow || return
	done
}

set_up_counters()
{
	local mark rules=

	for mark in 5 4 3 2 1 0; do
		rules+="tcp dport $port socket mark $mark counter;"
	done
	run ip netns exec "$ns_client" nft "
		table inet filter {
			chain output6 { $rules }
			chain output {
				type filter hook output priority filter;
				meta nfproto ipv6 goto output6;
				$rules
			}
		}"
}

cgroup_root()
{
	awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts
}

set_up_cgroups()
{
	local root

	root="$(cgroup_root)"
	if [ -z "$root" ]; then
		root="$state/cgroup2"
		run mkdir "$root" && run mount -t cgroup2 none "$root" || return
	fi
	run mkdir "$root/${state##*/}" || return
	run ln -s "$root/${state##*/}" "$state/cgroup" || return
	run mkdir "$state/cgroup/client" "$state/cgroup/server"
}

# Of bpftool's log the last lines hold the reason: show these alone
try_bpftool()
{
	[ "$debug" -eq 0 ] || echo "+ $BPFTOOL $*" >&2
	"$BPFTOOL" "$@" >"$state/bpftool.log" 2>&1
}

bpftool_quiet()
{
	try_bpftool "$@" && return
	tail -n 5 "$state/bpftool.log" >&2
	return 1
}

attach()
{
	local cgroup="$state/cgroup/$1" pin why

	for pin in "$state"/bpf/prog/*; do
		try_bpftool cgroup attach "$cgroup" sock_ops pinned "$pin" multi && continue
		why="$(tail -n 1 "$state/bpftool.log")"
		try_bpftool cgroup attach "$cgroup" getsockopt pinned "$pin" multi && continue
		echo "${pin##*/} attaches neither as sockops ($why)" \
		     "nor as cgroup/getsockopt ($(tail -n 1 "$state/bpftool.log"))" >&2
		return 1
	done
}

detach()
{
	local cgroup="$state/cgroup/$1" id type

	"$BPFTOOL" cgroup show "$cgroup" 2>/dev/null | while read -r id type _; do
		case "$type" in
		*sock_ops) type=sock_ops ;;
		*getsockopt) type=getsockopt ;;
		*) continue ;;
		esac
		run "$BPFTOOL" cgroup detach "$cgroup" "$type" id "$id"
	done
}

mount_tracing()
{
	run mkdir "$state/tracing" && run mount -t tracefs none "$state/tracing"
}

load_prog()
{
	bpftool_quiet prog loadall "$prog" "$state/bpf/prog" pinmaps "$state/bpf/map" || return
	if [ "$debug" -ne 0 ] && [ -e "$state/bpf/map/_data_mark_cfg" ]; then
		mount_tracing && set_config 0 0xffffffff 1 || return
	fi
	attach client || return
	[ "$both_ends" -eq 0 ] || attach server
}

# The numbers $2 … as bytes in memory, $1 for each, in hex as bpftool takes them
bytes()
{
	local size="$1" n hex i first=0 step=2
	shift

	for n in "$@"; do
		printf -v hex "%0$((2 * size))x" "$n"
		if [ "$(printf '\1\0' | od -An -td2)" -eq 1 ]; then
			first=$((2 * size - 2))
			step=-2
		fi
		for ((i = 0; i < size; i++)); do
			echo "${hex:first + i * step:2}"
		done
	done
}

# $1: base, $2: mask, $3: debug
set_config()
{
	# shellcheck disable=SC2046 # a byte a word
	bpftool_quiet map update pinned "$state/bpf/map/_data_mark_cfg" key 0 0 0 0 \
		value hex $(bytes 4 "$@")
}

# $1: marked or failed
get_counter()
{
	"$BPFTOOL" map dump pinned "$state/bpf/map/_data_mark_cnt" |
		sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"
}

# The live subflows of the client, a line each: token id mark local > remote
subflows()
{
	in_client cat "$state/bpf/show"
}

# Become a command in the namespace of $1, client or server, and in its cgroup
# if there are any: $1 may name one below it
enter()
{
	local side="$1" ns="ns_${1%%/*}"
	shift

	[ ! -e "$state/cgroup" ] || echo "$BASHPID" >"$state/cgroup/$side/cgroup.procs"
	exec ip netns exec "${!ns}" "$@"
}

# The same, its TCP sockets made MPTCP
enter_mptcp()
{
	local side="$1"
	shift

	[ -e "$state/bpf/mptcpify" ] || set -- mptcpize run "$@"
	enter "$side" "$@"
}

# By BPF where the kernel lets it load: what mptcpize cannot preload works too
set_up_mptcpify()
{
	local ids

	if [ -e "$state/cgroup" ] &&
	   "$BPFTOOL" prog loadall "$dir/mptcp_mark_mptcpify.bpf.o" "$state/bpf/mptcpify" \
		pinmaps "$state/bpf/mptcpify_map" autoattach >"$state/mptcpify.log" 2>&1 &&
	   ! grep -q "falling back" "$state/mptcpify.log"; then	# loaded, not attached
		ids="$(stat -c %i "$state/cgroup/client/." "$state/cgroup/server/.")"
		# shellcheck disable=SC2046,SC2086 # a number, a byte a word
		bpftool_quiet map update pinned "$state/bpf/mptcpify_map/_data_cgroups" \
			key 0 0 0 0 value hex $(bytes 8 $ids)
		return
	fi
	rm -rf "$state"/bpf/mptcpify*
	command -v mptcpize >/dev/null ||
		missing "no mptcpize, and no BPF way to do without it: install mptcpize"
}

server_listens()
{
	[ -n "$(ip netns exec "$ns_server" ss -HMlnt "sport = :$port")" ]
}

# It listens, or it ended and never will
server_is_settled()
{
	server_listens || ! kill -0 "$server_pid" 2>/dev/null
}

start_server()
{
	mkdir "$state/www"
	mptcp_lib_make_file "$state/www/file" 1M "$file_mb"
	enter_mptcp server setsid python3 -m http.server --bind :: \
		--directory "$state/www" "$port" </dev/null >"$state/server.log" 2>&1 &
	server_pid=$!
	busywait "$BUSYWAIT_TIMEOUT" server_is_settled
	server_listens && return
	echo "the HTTP server does not listen: $(tail -n 1 "$state/server.log")" >&2
	return 1
}

set_up()
{
	mptcp_lib_ns_init ns_client ns_server
	run mkdir "$state/bpf" && run mount -t bpf none "$state/bpf" || return
	check_netem
	set_up_links || return
	[ "$with_cgroups" -eq 0 ] || set_up_cgroups || return
	bpftool_quiet iter pin "$dir/mptcp_mark_show.bpf.o" "$state/bpf/show" || return
	[ -z "$prog" ] || load_prog || return
	set_up_counters || return
	set_up_mptcpify && start_server
}

# What runs in our namespaces is ours
our_processes()
{
	local name

	for name in "$ns_client" "$ns_server"; do
		[ -z "$name" ] || [ ! -e "/run/netns/$name" ] || ip netns pids "$name"
	done
}

end_processes()
{
	local deadline=$((SECONDS + 20)) signal=TERM

	while [ -n "$(our_processes)" ]; do
		our_processes | xargs -r kill "-$signal" 2>/dev/null
		[ "$SECONDS" -lt "$deadline" ] || signal=KILL
		sleep 0.05
	done
}

# What a user put into a cgroup of ours from elsewhere goes to where all begin
take_down_cgroups()
{
	local top cgroup pid

	top="$(readlink "$state/cgroup")"
	[ -d "$top" ] || return 0
	detach client
	detach server
	find "$top" -depth -type d | while read -r cgroup; do
		while read -r pid; do
			echo "${0##*/}: process $pid leaves cgroup $cgroup" >&2
			echo "$pid" >"${top%/*}/cgroup.procs"
		done <"$cgroup/cgroup.procs"
		run rmdir "$cgroup"
	done
	[ ! -d "$top" ]
}

# All that is ours and nothing else, however far set_up() came. What could not
# be taken down is still known afterwards: it can be tried again.
take_down()
{
	local name

	[ -d "$state" ] || return 0

	end_processes
	for name in "$ns_client" "$ns_server"; do
		[ -z "$name" ] || [ ! -e "/run/netns/$name" ] || run ip netns del "$name" || return
	done
	take_down_cgroups || return
	for name in bpf cgroup2 tracing; do
		! mountpoint -q "$state/$name" || run umount "$state/$name" || return
	done
	run rm -rf --one-file-system "$state"
}

leave()
{
	trap - EXIT
	trap '' INT TERM
	take_down
	exit "$1"
}

# From here on, nothing stays behind
take_down_at_exit()
{
	trap 'leave $?' EXIT
	trap 'leave 130' INT
	trap 'leave 143' TERM
}


# ---- What the demonstration and the tests look at

# Of the SYNs of the client, over IPv4: so few that none is dropped
start_capture()
{
	in_client tcpdump -Z root -i any --immediate-mode -U -w "$1" \
		"port $port and tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn" 2>"$1.log" &
	capture_pid=$!
	busywait "$BUSYWAIT_TIMEOUT" grep -q "listening on" "$1.log" && return
	cat "$1.log" >&2
	return 1
}

stop_capture()
{
	kill "$capture_pid"
	wait "$capture_pid"
}

# Source and MPTCP option of those in a capture, the ones sent again left out
captured_syns()
{
	tcpdump -nr "$1" 2>/dev/null |
		sed -n 's/.* IP \([^ ]*\) > .*\(mptcp [^],]*\).*/\1 \2/p' | sort -u -k1,1
}

# $1: IP version, $2: mark
counted_packets()
{
	local chain=output

	[ "$1" -eq 4 ] || chain=output6
	in_client nft list chain inet filter "$chain" |
		sed -n "s/.*socket mark 0x0*$2 counter packets \([0-9]*\) .*/\1/p"
}

# Into the file $1, until there are $2
see_subflows()
{
	subflows >"$1"
	[ "$(wc -l <"$1")" -ge "$2" ]
}

no_subflows()
{
	[ -z "$(subflows)" ]
}

# Fetch $1 into the file $2, reading nothing until the rest succeeds: the
# connection lives for as long as it takes to look at it
held_download()
{
	local url="$1" file="$2"
	shift 2

	(enter_mptcp client curl -s -S -g "$url") | {
		busywait "$BUSYWAIT_TIMEOUT" "$@"
		cat >"$file"
	}
}

# Of lines as subflows() prints: "id:mark id:mark ..." for each connection
marks_by_connection()
{
	sort | awk '{ of[$1] = of[$1] $2 ":" $3 " " } END { for (token in of) print of[token] }'
}

# Those of $1 connections of three subflows, with base $2
expected_marks()
{
	local i

	for ((i = 0; i < $1; i++)); do
		printf "%d:0x%08x " 1 $((${2:-0} + 1)) 2 $((${2:-0} + 2)) 3 $((${2:-0} + 3))
		echo
	done
}

print_subflows()
{
	local token id mark rest

	echo "token    id  mark       local > remote"
	sort | while read -r token id mark rest; do
		printf "%s %-3s %s %s\n" "$token" "$id" "$mark" "$rest"
	done
}

# ---- The environment

check_prog()
{
	if [ -f "$dir/$prog.bpf.o" ]; then
		prog="$dir/$prog.bpf.o"
		return
	fi
	[ -f "$dir/mptcp_mark.bpf.o" ] || die "no program is built yet: run make first"
	[[ "$prog" == *.bpf.o && -f "$prog" ]] ||
		die "no program '$prog': give a .bpf.o file, or a name as mptcp_mark, for one here"
}

# What our programs take, by the names in the kernel's BTF
check_kernel()
{
	local name

	[ -e /sys/kernel/btf/vmlinux ] ||
		missing "this kernel has no BTF: use one with CONFIG_DEBUG_INFO_BTF=y"
	for name in subflow_id bpf_rdonly_cast bpf_iter_num_new; do
		tr '\0' '\n' </sys/kernel/btf/vmlinux | grep -aqx "$name" ||
			missing "this kernel has no $name: use Linux 6.12 or newer"
	done
}

check_up()
{
	[ -d "$state" ] || die "the environment is not up: ${0##*/} -c -m -l mptcp_mark"
}

# Names that are taken, by an environment of ours or by somebody else
check_free()
{
	local name root

	[ ! -d "$state" ] || die "the environment is up already: ${0##*/} --clean takes it down"
	for name in "$ns_client" "$ns_server"; do
		[ ! -e "/run/netns/$name" ] ||
			die "network namespace $name exists and is not ours: ip netns del $name"
	done
	root="$(cgroup_root)"
	[ -z "$root" ] || [ ! -e "$root/${state##*/}" ] ||
		die "cgroup $root/${state##*/} exists and is not ours: remove it"
}

bring_up()
{
	mkdir "$state" || exit 1
	take_down_at_exit
	if ! set_up; then
		echo "${0##*/}: could not be brought up, for the reason above" >&2
		leave 1
	fi
}

do_up()
{
	[ -z "$prog" ] || [ "$with_cgroups" -eq 1 ] || die "-l attaches to a cgroup: give -c too"
	[ "$both_ends" -eq 0 ] || [ -n "$prog" ] || die "-b attaches a program: give -l too"
	check_machine "$BPFTOOL" nft curl python3 ${delay:+tc}
	check_free
	[ -z "$prog" ] || check_prog
	load_lib
	bring_up

	trap - EXIT INT TERM
	[ ! -d "$state/tracing" ] ||
		echo "Traced markings: cat $state/tracing/trace_pipe"
	cat <<-TEXT
	Up. A download, what came of it, and the end:
	  ${0##*/} --exec curl -o /dev/null 10.0.1.2:$port/file
	  ${0##*/} --show
	  ${0##*/} --clean
	TEXT
}

do_exec()
{
	[ "$#" -gt 0 ] || die "--exec needs a command"
	check_root
	check_up
	if ! type -P "$1" >/dev/null; then
		echo "${0##*/}: no command '$1'" >&2
		exit 127
	fi
	enter_mptcp client "$@"
}

do_show()
{
	check_root
	check_up
	in_client nft list ruleset && subflows | print_subflows
}

do_clean()
{
	check_root
	take_down
}

do_demo()
{
	local out capture

	with_cgroups=1
	links=3
	prog=mptcp_mark
	check_machine "$BPFTOOL" nft curl python3 tcpdump
	check_free
	check_prog
	load_lib
	bring_up
	out="$state/download"
	capture="$state/demo.pcap"

	echo "A download over MPTCP by an unmodified curl, of $file_mb MiB:"
	start_capture "$capture" || leave 1
	held_download "http://10.0.1.2:$port/file" "$out" see_subflows "$out.subflows" 3
	stop_capture
	cmp "$state/www/file" "$out" || leave 1
	echo "  complete and intact"
	echo
	echo "The first packet of each subflow, captured:"
	captured_syns "$capture" | sed 's/^/  /'
	echo
	echo "Packets of each mark, counted by nft:"
	in_client nft list ruleset
	echo
	echo "The subflows while it ran:"
	print_subflows <"$out.subflows"
	if [ "$(marks_by_connection <"$out.subflows")" != "$(expected_marks 1)" ]; then
		echo "${0##*/}: the marks are not 1, 2 and 3" >&2
		leave 1
	fi
	leave 0
}

# ---- The kselftest

ret=0

# $1: name of the subtest, the rest: what must succeed
subtest()
{
	local name="$1"
	shift

	mptcp_lib_print_title "$name"
	if "$@"; then
		mptcp_lib_pr_ok
		mptcp_lib_result_pass "$name"
	else
		mptcp_lib_result_fail "$name"
		ret="$KSFT_FAIL"
	fi
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
	mptcp_lib_print_title "$name"
	mptcp_lib_pr_skip "$why"
	# mptcp_lib_result_skip(), which has no place for the reason
	__mptcp_lib_result_add ok "$name # SKIP $why"
}

# $1: what it is, $2: value, $3: value expected
expect()
{
	[ "$2" = "$3" ] && return
	mptcp_lib_pr_fail "$1: '$2', expected '$3'"
	return 1
}

# Nothing of the downloads before, whose subflows close in their own time: fresh
# counters, and a note of each source that sends a SYN, with its mark
start_afresh()
{
	busywait "$BUSYWAIT_TIMEOUT" no_subflows ||
		expect "subflows of before" "$(subflows)" "" || return
	in_client nft flush ruleset
	set_up_counters
	in_client nft '
		table inet syn {
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
	held_download "http://$1:$port/file" "$state/out" see_subflows "$state/out.subflows" 3
	mptcp_lib_check_transfer "$state/www/file" "$state/out" "the download"
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
		"$(in_client nft list set inet syn sources | grep -o '0x[0-9a-f]*' |
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
	held_download "$url" "$state/two" test -s "$state/one"
	wait "$pid"
	mptcp_lib_check_transfer "$state/www/file" "$state/one" "the first download" || rc=1
	mptcp_lib_check_transfer "$state/www/file" "$state/two" "the second download" || rc=1
	test_subflows "$state/one" 2 || rc=1
	return "$rc"
}

# A child cgroup, as a BPF mptcpify acts in the client's own
test_plain_tcp()
{
	local rc=0

	start_afresh || return
	mkdir "$state/cgroup/client/plain"
	(enter client/plain curl -s -S -o "$state/out" "http://10.0.1.2:$port/file")
	rmdir "$state/cgroup/client/plain"
	mptcp_lib_check_transfer "$state/www/file" "$state/out" "the download" || rc=1
	test_packets 4 0 || rc=1
	return "$rc"
}

test_base()
{
	local rc=0

	set_config 0x100 0xffffffff 0 || return
	test_download 10.0.1.2 || rc=1
	set_config 0 0xffffffff 0
	test_subflows "$state/out" 1 0x100 || rc=1
	return "$rc"
}

# $1: subflows marked until now
test_stats()
{
	expect "subflows counted as marked" "$(get_counter marked)" "$1" &&
		expect "subflows counted as failed" "$(get_counter failed)" 0
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
	set_config "$base" 0xffffffff 1 || return
	test_download 10.0.1.2
	set_config 0 0xffffffff 0
	for mark in 1 2 3; do
		expect "lines of mark $mark in the trace" \
			"$(grep -c "Mark <$((base + mark))> : return code <0>" \
			   "$state/tracing/trace")" 1 || return
	done
}

mptcpify_lacks()
{
	local file="$state/tracing/available_filter_functions" why

	if ! "$BPFTOOL" prog help 2>&1 | grep -q autoattach; then
		echo "this bpftool has no autoattach: use 7.2 or newer"
	elif ! why="$(head -n 1 "$file" 2>&1 >/dev/null)" || [ -n "$why" ]; then
		echo "functions cannot be traced here: ${why##*: }"
	else
		! grep -qx update_socket_protocol "$file" &&
			echo "this kernel traces no update_socket_protocol()"
	fi
}

# As all downloads, where that works: by BPF alone
test_mptcpify()
{
	if [ ! -e "$state/bpf/mptcpify" ]; then
		mptcp_lib_pr_fail "not attached: $(tail -n 1 "$state/mptcpify.log")"
		return 1
	fi
	test_download 10.0.1.2 && test_subflows "$state/out" 1
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
	see_subflows "$1" 3 && set_netem delay 10ms loss 5%
}

test_netem()
{
	local dropped rc=0

	start_afresh && set_netem delay 10ms || return
	held_download "http://10.0.1.2:$port/file" "$state/out" \
		see_subflows_then_loss "$state/out.subflows"
	mptcp_lib_check_transfer "$state/www/file" "$state/out" "the download" || rc=1
	test_subflows "$state/out" 1 || rc=1
	test_syns || rc=1
	dropped="$(tc -s -n "$ns_server" qdisc show |
		   sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | awk '{ n += $1 } END { print n }')"
	expect "packets were lost" "$((dropped > 0))" 1 || rc=1
	return "$rc"
}

no_prog_left()
{
	local id

	for id in "$@"; do
		! "$BPFTOOL" prog dump xlated id "$id" >/dev/null 2>&1 || return
	done
}

test_gone()
{
	local progs name rc=0

	progs="$("$BPFTOOL" cgroup show "$state/cgroup/client" | awk '$1 ~ /^[0-9]/ { print $1 }')"
	expect "programs before" "$(wc -w <<<"$progs")" 1 || rc=1
	take_down
	for name in "$state" "/run/netns/$ns_client" "/run/netns/$ns_server" \
		    "$(cgroup_root)/${state##*/}"; do
		[ ! -e "$name" ] || expect "left behind" "$name" "" || rc=1
	done
	! grep -q " ${state}/" /proc/self/mounts || expect "mounts" left none || rc=1
	# The kernel lets go of them in its own time
	# shellcheck disable=SC2086 # an id a word
	busywait "$BUSYWAIT_TIMEOUT" no_prog_left $progs || expect "programs" left none || rc=1
	return "$rc"
}

do_test()
{
	local marked

	missing_rc=4
	with_cgroups=1
	links=3
	file_mb=16
	prog=mptcp_mark
	check_machine "$BPFTOOL" nft curl python3 tcpdump
	check_prog
	load_lib

	state="$(mktemp -d -t mptcp_mark-XXXXXX)" || exit 1
	ns_client=
	ns_server=
	take_down_at_exit
	if ! set_up; then
		mptcp_lib_pr_fail "could not be set up, for the reason above"
		leave "$KSFT_FAIL"
	fi

	start_capture "$state/pcap" || leave "$KSFT_FAIL"
	subtest "IPv4: the download is intact" test_download 10.0.1.2
	stop_capture
	subtest "IPv4: marks 1, 2, 3 and no others counted" test_packets 4 1 2 3
	subtest "IPv4: one SYN per mark" test_syns
	subtest "IPv4: one MP_CAPABLE, two MP_JOIN of its token captured" test_capture "$state/pcap"
	subtest "IPv4: subflows 1, 2, 3 have marks 1, 2, 3" test_subflows "$state/out" 1
	subtest "IPv6: the download is intact" test_download "[dead:beef:1::2]"
	subtest "IPv6: marks 1, 2, 3 and no others counted" test_packets 6 1 2 3
	subtest "IPv6: subflows 1, 2, 3 have marks 1, 2, 3" test_subflows "$state/out" 1
	subtest "two downloads at once, each marked 1, 2, 3" test_two_at_once
	subtest "plain TCP is not marked" test_plain_tcp
	subtest "marks follow a base set at run time" test_base
	marked=$((5 * 3))
	subtest "the program counts what it marked" test_stats "$marked"
	subtest_unless "each marking is traced" tracing_lacks test_trace
	subtest_unless "an unmodified program, made MPTCP by BPF" mptcpify_lacks test_mptcpify
	subtest_unless "delay and loss: intact, marked 1, 2, 3" netem_lacks test_netem
	subtest "everything is gone afterwards" test_gone

	mptcp_lib_result_print_all_tap
	leave "$ret"
}

needs_arg()
{
	[ "$2" -gt 1 ] || die "$1 needs an argument: see --help"
}

case "${1:-}" in
"")
	do_test
	;;
--exec)
	shift
	do_exec "$@"
	;;
--show | --clean | --demo)
	[ "$#" -eq 1 ] || die "$1 takes no argument"
	"do_${1#--}"
	;;
-h | --help)
	usage
	;;
*)
	links=1
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
