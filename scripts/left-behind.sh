# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For kill-test.sh and torture.sh: what is left behind of what ran, in namespaces and a
# cgroup of our own, where nothing else is.
# shellcheck disable=SC2154 # of mptcp_mark_lib.sh

# Each command has a process group of its own
others()
{
	ps -e -o pgid=,pid=,args= | awk -v own="$(ps -o pgid= $$)" '$1 != own + 0'
}

# shellcheck disable=SC2317 # called by settles()
no_others()
{
	[ -z "$(others)" ]
}

# What there is of ours, besides processes: mounts, namespaces, files, programs
things()
{
	cat /proc/self/mounts
	lsns -n -o TYPE,NS -p $$
	ip netns
	find /run "$state" -mindepth 1 -path '*/cgroup2/*' -prune -o -print
	find . -maxdepth 1
	# Those of others are attached to other cgroups
	./mptcp_mark_user status | grep -e "$contained_cgroup" -e "to no cgroup"
} 2>/dev/null

cgroups()
{
	find "$contained_cgroup" -mindepth 1 -type d
}

# The kernel, and other users of this machine, get a moment. A benchmark of which the
# make was killed goes on to its end, a minute at most
settles()
{
	local deadline=$((SECONDS + 90))

	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return
		sleep 0.05
	done
}

# Since note_things(). What others make meanwhile goes away, as their programs before
# these are attached: what is left is there each time
# shellcheck disable=SC2317 # called by settles()
nothing_is_new()
{
	comm -13 "$state/before" <(things | sort -u) |
		if [ -s "$state/new" ]; then comm -12 "$state/new" -; else cat; fi >"$state/now"
	cp "$state/now" "$state/new"
	[ ! -s "$state/new" ]
}

nothing_is_left()
{
	: >"$state/new"
	settles nothing_is_new
}

note_things()
{
	touch "$state"/{before,new,now,out,err,log}
	things | sort -u >"$state/before"
}
