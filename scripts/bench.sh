#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# For make bench: runs the benchmarks, in namespaces and a cgroup of their own.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} DIR FILE [BENCH]...
	  DIR    where make bench_build has put bench_mptcp_mark
	  FILE   for the values of all rounds, in lines of JSON
	  BENCH  benchmarks to run, instead of all
	USAGE
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
esac
[ "$#" -ge 2 ] || { usage >&2; exit 1; }

# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$(readlink -f "$0")")/../mptcp_mark_lib.sh"
check_machine ip setpriv unshare

bench_dir="$(readlink -m "$1")"
file="$(readlink -m "$2")"
if is_contained; then
	cd "$bench_dir" || exit
	as_cgroup_root ./bench_mptcp_mark "$file" "${@:3}"
fi
[[ "$bench_dir" != /run/* && "$file" != /run/* ]] || die "DIR or FILE is below /run: give others"
contain "$@"
exit "$contained_rc"
