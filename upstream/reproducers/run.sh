#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the reproducers, and run them in the VMs of vmtest.sh, where alone they start.
# Exit code: 0 if all are right or cannot be tried, 1 if a fault shows or a kernel
# complains.

set -eu

dir="$(dirname "$(readlink -f "$0")")"
# shellcheck source=scripts/common.sh
. "$dir/../../scripts/common.sh"
# shellcheck source=scripts/archive.sh
. "$here/scripts/archive.sh"

# What can kill the kernel comes last
names="01 02 05 06 07 08 09 10 11 12 03 04"

case "${1:-}" in
"" | -h)
	cat <<-USAGE
	Usage: ${0##*/} ARG...
	  ARG  of vmtest.sh, as -k 7.3, or -b -c FRAGMENT: its -h has all
	Variables: NAMES, those to run, as "04"; all if not given: $names
	           KSRC, OUT as for make
	USAGE
	exit 1
	;;
esac

KSRC="$(realpath "${KSRC:-$(cache_dir)/linux}")"
export KSRC
OUT="$(realpath -m "${OUT:-$dir/build}")"
clang="$(newest_clang "$KSRC")"
make -s -C "$dir" OUT="$OUT" CLANG="${clang:-clang}" >&2

programs="$(mktemp -d)"
trap 'rm -rf "$programs"' EXIT
mkdir "$programs/reproducers"
cp "$OUT"/[0-9]* "$programs/reproducers"
# shellcheck disable=SC2016 # for the shell in the VM
command='rc=0
for name in '"${NAMES:-$names}"'; do
	code=0
	reproducers/$name-* >out 2>&1 || code=$?
	sed "s/^/$name: /" out
	echo "$name: exit code $code"
	[ "$code" -ne 1 ] || rc=1
done
exit $rc'
# With Debian's other security modules, 02 does not show its fault
export APPEND="mptcp_mark.reproducer=1 lsm=bpf"
"$here/vmtest.sh" "$@" -f "$programs/reproducers" -e "$command"
