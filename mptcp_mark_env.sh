# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For mptcp_mark.sh: a client and a server over up to three links, what is attached to
# them, and what there is to look at.
# shellcheck disable=SC2154 # dir, me and state are of mptcp_mark_lib.sh

port=8000
file_mb=64
user="$dir/mptcp_mark_user"
ns_client=ns_client
ns_server=ns_server

# What is brought up
with_cgroups=0
links=1
prog=
both_ends=0
delay=
debug=0

# Options of mptcp_mark_user for the client
client_options=()

run()
{
	[ "$debug" -eq 0 ] || echo "+ $*" >&2
	"$@"
}

# Of the kernel's selftests: beside us in a tree or when installed, or in the tree that
# we were built from. It has setup_ns() and busywait().
load_lib()
{
	local lib

	for lib in "$dir/.." "$dir/build/tree/tools/testing/selftests"; do
		[ -e "$lib/net/lib.sh" ] && break
	done
	[ -e "$lib/net/lib.sh" ] ||
		die "net/lib.sh of the kernel selftests is not here: run make first"
	# An emulated debug kernel takes more than half a minute to start Python
	# shellcheck disable=SC2034 # of lib.sh
	[ "${KSFT_MACHINE_SLOW:-}" != yes ] || WAIT_TIMEOUT=200
	# shellcheck disable=SC1091 # the tree's
	. "$lib/net/lib.sh"
}

# $@: tools, besides what all of this takes
check_environment()
{
	local name

	check_machine ip ss sysctl nft curl python3 nsenter setsid "$@"
	[ -z "${MPTCP_MARK_CONTAINED:-}" ] || return 0	# it was done before
	ss -HM >/dev/null 2>&1 || missing "ss has no -M: install iproute2 5.7 or newer"
	ip mptcp limits show >/dev/null 2>&1 ||
		missing "ip has no 'ip mptcp': install iproute2 5.7 or newer"
	# What our programs take, by the names in the kernel's BTF
	for name in subflow_id bpf_rdonly_cast; do
		grep -azqx "$name" /sys/kernel/btf/vmlinux ||
			missing "this kernel has no $name: use Linux 6.12 or newer"
	done
	[ -x "$user" ] || die "mptcp_mark_user is not here: run make first"
	[[ "$prog" =~ ^(|mptcp_mark|mptcp_policy)$ ]] ||
		die "no program '$prog': there are mptcp_mark and mptcp_policy"
}

in_client()
{
	ip netns exec "$ns_client" "$@"
}

has_netem()
{
	tc -n "$ns_server" qdisc replace dev lo root netem 2>/dev/null
}

# On the server's links, which the data takes
set_qdisc()
{
	local i

	for ((i = 1; i <= links; i++)); do
		run tc -n "$ns_server" qdisc replace dev "eth$i" root "$@" || return
	done
}

has_ipv6()
{
	[ -e /proc/net/if_inet6 ]
}

# Links 1 to 3: link i has 10.0.i.1 and dead:beef:i::1 at the client, .2 and
# ::2 at the server. What the client sends from an address leaves by its link.
set_up_links()
{
	local i ns

	for ns in "$ns_client" "$ns_server"; do
		run ip netns exec "$ns" sysctl -qw net.mptcp.enabled=1 || return
		# Usable at once, link-local ones too: a SYN-ACK need not wait for them
		! has_ipv6 || run ip netns exec "$ns" sysctl -qw \
			net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0 || return
	done

	for ((i = 1; i <= links; i++)); do
		# Of peers with one index, the kernel reports the carrier late:
		# linkwatch_urgent_event(), net/core/link_watch.c
		run ip link add "eth$i" index "10$i" netns "$ns_client" type veth \
			peer name "eth$i" netns "$ns_server" || return
		run ip -n "$ns_client" addr add "10.0.$i.1/24" dev "eth$i" || return
		run ip -n "$ns_server" addr add "10.0.$i.2/24" dev "eth$i" || return
		run ip -n "$ns_client" link set "eth$i" up || return
		run ip -n "$ns_server" link set "eth$i" up || return
		run ip -n "$ns_client" rule add from "10.0.$i.1" table "10$i" || return
		run ip -n "$ns_client" route add default via "10.0.$i.2" table "10$i" || return
		has_ipv6 || continue
		run ip -n "$ns_client" addr add "dead:beef:$i::1/64" dev "eth$i" || return
		run ip -n "$ns_server" addr add "dead:beef:$i::2/64" dev "eth$i" || return
		run ip -n "$ns_client" -6 rule add from "dead:beef:$i::1" table "10$i" || return
		run ip -n "$ns_client" -6 route add default via "dead:beef:$i::2" \
			table "10$i" || return
	done
	[ -z "$delay" ] || set_qdisc netem delay "${delay}ms" || return

	run ip -n "$ns_client" mptcp limits set subflows "$((links - 1))" || return
	run ip -n "$ns_server" mptcp limits set subflows "$((links - 1))" || return
	for ((i = 2; i <= links; i++)); do
		run ip -n "$ns_client" mptcp endpoint add "10.0.$i.1" subflow || return
		has_ipv6 || continue
		run ip -n "$ns_client" mptcp endpoint add "dead:beef:$i::1" subflow || return
	done
}

set_up_counters()
{
	local family mark rules=

	for mark in 5 4 3 2 1; do
		rules+="tcp dport $port socket mark $mark counter;"
	done
	# Resets can be for sockets that are gone
	rules+="tcp dport $port tcp flags & rst == 0 socket mark 0 counter;"
	for family in ip $(! has_ipv6 || echo ip6); do
		run ip netns exec "$ns_client" nft "
			table $family filter {
				chain output {
					type filter hook output priority filter;
					$rules
				}
			}" || return
	done
}

# $1: a cgroup, which may be there. Known before it is made, so that it is taken down
set_up_cgroups()
{
	run ln -s "$1" "$state/cgroup" &&
		run mkdir -p "$1/client" && run mkdir -p "$1/server"
}

# $1: attach or run, of mptcp_mark_user; a policy is always attached. By BPF the client's
# sockets become MPTCP where the kernel lets us: what mptcpize cannot preload works, too.
set_up_prog()
{
	if [ "$prog" = mptcp_policy ]; then
		load_policy_by_link client || return
		[ "$both_ends" -eq 0 ] || load_policy_by_link server
		return
	fi
	[ "$debug" -eq 0 ] || client_options=(-D)
	if "attach_by_$1" client "${client_options[@]}" -M 2>"$state/mptcpify.log"; then
		client_options+=(-M)
		touch "$state/mptcpify"
	else
		"attach_by_$1" client "${client_options[@]}" || return
	fi
	[ "$both_ends" -eq 0 ] || "attach_by_$1" server
}

attach_by_attach()
{
	local side="$1"
	shift

	run "$user" attach "$(readlink -f "$state/cgroup/$side")" "$@"
}

# By a process in the side's namespace, which ends with all the others there
attach_by_run()
{
	local side="$1" ns="ns_$1" log="$state/$1.log"
	shift

	run setsid nsenter --net="/run/netns/${!ns}" \
		"$user" run "$(readlink -f "$state/cgroup/$side")" "$@" \
		</dev/null >"$log" 2>&1 &
	busywait "$BUSYWAIT_TIMEOUT" is_settled "$!" grep -q "^attached" "$log"
	grep -q "^attached" "$log" && return
	cat "$log" >&2
	return 1
}

# Process $1 has ended and never will, or what follows succeeds
is_settled()
{
	local pid="$1"
	shift

	"$@" || ! kill -0 "$pid" 2>/dev/null
}

mount_tracing()
{
	run mkdir -p "$state/tracing" && run mount -t tracefs none "$state/tracing"
}

# Become a command in the namespace of $1, client or server, and in its cgroup
# if there are any
enter()
{
	local side="$1" ns="ns_$1"
	shift

	[ ! -e "$state/cgroup" ] || echo "$BASHPID" >"$state/cgroup/$side/cgroup.procs"
	exec ip netns exec "${!ns}" "$@"
}

# In the client, TCP sockets made MPTCP
enter_mptcp()
{
	[ -e "$state/mptcpify" ] || set -- mptcpize run "$@"
	enter client "$@"
}

server_listens()
{
	[ -n "$(ip netns exec "$ns_server" ss -HMlnt "sport = :$port")" ]
}

# To be served
make_file()
{
	{ mkdir "$state/www" && head -c "${file_mb}M" /dev/urandom >"$state/www/file"; } \
		2>/dev/null || { echo "no room for $file_mb MB in $state" >&2; return 1; }
}

# An HTTP server over MPTCP
start_server()
{
	local family=AF_INET

	! has_ipv6 || family=AF_INET6
	(cd "$state/www" && enter server setsid python3 -c "
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.$family
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        while self.rfile.read1(1 << 20):
            pass
server = Server(('', $port), Handler, False)
server.socket.close()
server.socket = socket.socket(socket.$family, socket.SOCK_STREAM, 262)  # IPPROTO_MPTCP
server.server_bind()
server.server_activate()
server.serve_forever()" </dev/null >"$state/server.log" 2>&1) &
	busywait "$BUSYWAIT_TIMEOUT" is_settled "$!" server_listens
	server_listens && return
	echo "the HTTP server does not listen: $(tail -n 1 "$state/server.log")" >&2
	return 1
}

# $1: run or attach, to attach the program by; $2: cgroup, where there is to be one
set_up()
{
	make_file || return
	[ "$with_cgroups" -eq 0 ] || set_up_cgroups "$2" || return
	setup_ns ns_client ns_server || return
	[ -z "$delay" ] || has_netem ||
		missing "this kernel has no netem, what -d takes: use one with CONFIG_NET_SCH_NETEM"
	set_up_links || return
	[ -z "$prog" ] || set_up_prog "$1" || return
	[ "$debug" -eq 0 ] || mount_tracing || return
	[ -e "$state/mptcpify" ] || check_tool mptcpize	# BPF could not do it
	set_up_counters && start_server
}

# ---- What there is to look at

subflows()
{
	"$user" show -n "$ns_client"
}

# Of the SYNs of the client, over IPv4: so few that none is dropped
start_capture()
{
	# Not by in_client, a function, whose process would be another one than tcpdump's
	ip netns exec "$ns_client" tcpdump -Z root -i any --immediate-mode -U -w "$1" \
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

# What a maintainer wants to see of a test that failed
dump()
{
	local ns

	for ns in "$ns_client" "$ns_server"; do
		echo "$ns:"
		ip netns exec "$ns" ss -Menit
		ip netns exec "$ns" ss -neit
		ip netns exec "$ns" nstat -as | grep -i mptcp
	done
	echo "subflows when they were looked at, and now; and what is attached:"
	cat "$state"/*.subflows
	subflows
	"$user" status
	echo "nft rules of the client:"
	in_client nft list ruleset
	echo "end of the server's log, and of the kernel's:"
	tail -n 5 "$state/server.log"
	dmesg | tail -n 10
} 2>&1

# To ask ss is quicker, until there is something to see
number_of_subflows()
{
	in_client ss -Htn "dport = :$port" | wc -l
}

# Into the file $1, once there are $2
see_subflows()
{
	[ "$(number_of_subflows)" -ge "$2" ] && subflows >"$1" &&
		[ "$(wc -l <"$1")" -gt "$2" ]
}

# Fetch $1 into the file $2, reading nothing until the rest succeeds: the
# connection lives for as long as it takes to look at it
held_download()
{
	local url="$1" file="$2" rc=0
	shift 2

	(enter_mptcp curl -s -S -g "$url") | {
		busywait "$BUSYWAIT_TIMEOUT" "$@" || rc=1
		[ "$rc" -eq 0 ] || { echo "in vain: $*" && dump; } >&2
		cat >"$file" || rc=1
		exit "$rc"
	}
}

# Of a view of subflows: the id of the endpoint that has the address $1
endpoint_of()
{
	awk -v from="$1:" 'index($(NF - 2), from) == 1 { print $(NF - 6) }'
}

# Of a view of subflows: "id:mark id:mark ..." for each connection
marks_by_connection()
{
	awk 'NR > 1 { of[$1] = of[$1] $2 ":" $4 " " } END { for (token in of) print of[token] }'
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
