# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For mptcp_mark.sh: the environment that stays up until --clean, and the demonstration.
# shellcheck disable=SC2034,SC2154 # variables of the other files

# What runs in our namespaces is ours
our_processes()
{
	local name

	for name in "$ns_client" "$ns_server"; do
		[ ! -e "/run/netns/$name" ] || ip netns pids "$name"
	done
}

end_processes()
{
	local began="$SECONDS" signal=TERM

	while [ -n "$(our_processes)" ]; do
		our_processes | xargs -r kill "-$signal" 2>/dev/null
		[ "$((SECONDS - began))" -lt 20 ] || signal=KILL
		if [ "$((SECONDS - began))" -ge 40 ]; then
			echo "$me: these processes do not end: $(our_processes | xargs)" >&2
			return 1
		fi
		sleep 0.05
	done
}

# What a user put into a cgroup of ours from elsewhere goes to where all begin
take_down_cgroups()
{
	local top cgroup pid

	top="$(readlink "$state/cgroup")"
	[ -d "$top" ] || return 0
	find "$top" -depth -type d | while read -r cgroup; do
		while read -r pid; do
			echo "$me: process $pid leaves cgroup $cgroup" >&2
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

	end_processes || return
	for name in "$ns_client" "$ns_server"; do
		[ ! -e "/run/netns/$name" ] || run ip netns del "$name" || return
	done
	for name in client server; do
		"$user" policy flush "$state/cgroup/$name" 2>/dev/null
	done
	take_down_cgroups || return
	for name in cgroup2 tracing; do
		! mountpoint -q "$state/$name" || run umount "$state/$name" || return
	done
	run rm -rf --one-file-system "$state"
}

check_up()
{
	check_root
	[ -d "$state" ] || die "the environment is not up: $0 -c -m -l mptcp_mark"
}

# Names that are taken, by an environment of ours or by somebody else
check_free()
{
	local name

	[ ! -d "$state" ] || die "the environment is up already: $0 --clean takes it down"
	for name in "$ns_client" "$ns_server"; do
		[ ! -e "/run/netns/$name" ] ||
			die "network namespace $name exists and is not ours: ip netns del $name"
	done
	[ -z "$root" ] || [ ! -e "$root/${state##*/}" ] ||
		die "cgroup $root/${state##*/} exists and is not ours: remove it"
}

leave()
{
	trap - EXIT
	trap '' INT TERM
	take_down
	exit "$1"
}

do_up()
{
	local root

	[ -z "$prog" ] || [ "$with_cgroups" -eq 1 ] || die "-l attaches to a cgroup: give -c too"
	[ "$both_ends" -eq 0 ] || [ -n "$prog" ] || die "-b attaches a program: give -l too"
	check_environment ${delay:+tc}
	root="$(cgroup_root)"
	check_free
	load_lib

	mkdir "$state" 2>/dev/null || die "$state cannot be made, or is there and is not ours"
	trap 'leave $?' EXIT
	trap 'leave 130' INT
	trap 'leave 143' TERM
	if [ "$with_cgroups" -eq 1 ] && [ -z "$root" ]; then
		mount_cgroups
		root="$state/cgroup2"
	fi
	set_up run "$root/${state##*/}" || die "could not be brought up, for the reason above"

	trap - EXIT INT TERM
	[ "$debug" -eq 0 ] || echo "Traced markings: cat $state/tracing/trace_pipe"
	cat <<-TEXT
	Up. A download, what came of it, and the end:
	  $0 --exec curl -o /dev/null 10.0.1.2:$port/file
	  $0 --show
	  $0 --clean
	TEXT
}

do_exec()
{
	[ "$#" -gt 0 ] || die "--exec needs a command"
	check_up
	if ! type -P "$1" >/dev/null; then
		echo "$me: no command '$1'" >&2
		exit 127
	fi
	enter_mptcp "$@"
}

do_show()
{
	check_up
	in_client nft list ruleset && subflows
}

do_clean()
{
	check_root
	take_down
}

demonstrate()
{
	local out="$state/download" capture="$state/demo.pcap"

	load_lib
	set_up attach "$contained_cgroup" || die "could not be set up, for the reason above"

	echo "A download over MPTCP by an unmodified curl, of $file_mb MiB:"
	start_capture "$capture" || return
	held_download "http://10.0.1.2:$port/file" "$out" see_subflows "$out.subflows" 3
	stop_capture
	cmp "$state/www/file" "$out" || return
	echo "  complete and intact"
	echo
	echo "The first packet of each subflow, captured:"
	captured_syns "$capture" | sed 's/^/  /'
	echo
	echo "Packets of each mark, counted by nft:"
	in_client nft list table ip filter
	echo
	echo "The subflows while it ran:"
	cat "$out.subflows"
	[ "$(marks_by_connection <"$out.subflows")" = "$(expected_marks 1)" ] ||
		die "the marks are not 1, 2 and 3"
}

# $1: policy, or nothing
do_demo()
{
	with_cgroups=1
	links=3
	prog=mptcp_mark
	check_environment tcpdump unshare setpriv ${1:+mptcpize}
	if is_contained; then
		"demonstrate${1:+_$1}"
		exit
	fi
	contain --demo "$@"
	exit "$contained_rc"
}
