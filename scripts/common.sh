# SPDX-License-Identifier: GPL-2.0
#
# For the scripts that put our files into a kernel tree
# shellcheck shell=bash

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# Where they belong in a tree
# shellcheck disable=SC2034 # of the scripts that read this
target=tools/testing/selftests/mptcp_mark

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# $1: the tree
check_tree()
{
	[ -n "$1" ] || die "no kernel tree: give KSRC=/path/to/linux"
	[ -e "$1/tools/testing/selftests/lib.mk" ] ||
		die "KSRC=$1 is no kernel source tree: it has no tools/testing/selftests/lib.mk"
	grep -qs netns_new "$1/tools/testing/selftests/bpf/test_progs.h" ||
		die "KSRC=$1 is too old: give Linux 6.12 or newer"
}

# Variables of selftests/bpf/Makefile that leave out the tests that are not ours
not_ours()
{
	sed -n '/^NOT_OURS :=/,/[^\\]$/ { s/^NOT_OURS := *//; s/\\$//; p }' "$here/Makefile"
}

# The files that belong in a tree: those of the patches
tree_files()
{
	sed -n 's/^Files: //p' "$here"/scripts/series/[1-9]* | tr ' ' '\n'
}

# $1: the tree. The newest clang-N that it takes
newest_clang()
{
	local min

	min="$("$1/scripts/min-tool-version.sh" llvm)"
	compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -Vru | while read -r c; do
		printf '%s\n' "$min" "$("$c" -dumpversion)" | sort -VC && echo "$c" && break
	done
}
