#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The other series of "make patches", those with a name, on a scratch copy of a
# kernel tree: checkpatch is content, each patch applies, and what it touches
# builds. make check-tree does so for the series without a name.

set -u -o pipefail

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

case "${1:-}" in
-* | "")
	echo "Usage: ${0##*/} KSRC [bpf] [bpf-more] [net]" >&2
	exit 1
	;;
esac

check_tree "$1"
ksrc="$(cd "$1" && pwd -P)"
shift
[ "$#" -gt 0 ] || set -- bpf bpf-more net
scratch="$(mktemp -d -t mptcp_mark-series-XXXXXX)" || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
tree="$scratch/tree"
bpf="$tree/tools/testing/selftests/bpf"
failed=0

# $1: name, the rest: what must succeed
check()
{
	local name="$1"

	shift
	if "$@" >"$scratch/log" 2>&1; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		tail -n 20 "$scratch/log" | sed 's/^/# /'
		failed=$((failed + 1))
	fi
}

ingit()
{
	git -C "$tree" -c user.name="A U Thor" -c user.email=author@example.org "$@"
}

# With the files that the series change in git, and nothing else of the tree
copy_tree()
{
	mkdir "$tree" && tar -C "$ksrc" --exclude=./.git -c . | tar -C "$tree" -x &&
		ingit init -q && ingit config user.name "A U Thor" &&
		ingit config user.email author@example.org &&
		(cd "$tree" && git add -f MAINTAINERS tools/testing/selftests/bpf/config &&
		 sed -n 's,^--- a/,,p' "$here"/upstream/*.patch | xargs git add -f) &&
		ingit commit -q -m base &&
		# Many do not build with the compilers of stable distributions
		find "$bpf"/progs "$bpf"/prog_tests -name '*.c' ! -name '*mptcp*' -delete
}

# That MAINTAINERS knows the new files, which checkpatch only asks, is answered here
style()
{
	local patch rc=0

	cd "$tree" || return
	for patch in "$scratch/$1"/0*.patch; do
		scripts/checkpatch.pl --strict --ignore FILE_PATH_CHANGES "$patch" 2>/dev/null |
			grep '^total:\|^[EWC][A-Z]*:' || rc=1
		! grep -q '^new file mode' "$patch" ||
			scripts/get_maintainer.pl --nogit --nogit-fallback --norolestats "$patch" |
				grep mptcp@lists.linux.dev || rc=1
	done >"$scratch/style"
	cat "$scratch/style"
	! grep '^total:' "$scratch/style" | grep -v '^total: 0 errors, 0 warnings, 0 checks' &&
		[ "$rc" -eq 0 ]
}

build_bpf()
{
	local c

	c="$(newest_clang "$ksrc")"
	# shellcheck disable=SC2046 # a variable a word
	make -C "$bpf" CLANG="${c:-clang}" LLVM_STRIP="llvm-strip${c#clang}" $(not_ours) \
		-j"$(nproc)" "$bpf/test_progs"
}

build_net()
{
	local out="$scratch/kernel"

	mkdir -p "$out"
	[ -e "$out/.config" ] ||
		{ cat "$here/scripts/vm.config" "$here/config" >"$out/all" &&
		  make -C "$tree" O="$out" KCONFIG_ALLCONFIG="$out/all" allnoconfig; } || return
	make -C "$tree" O="$out" -j"$(nproc)" \
		net/mptcp/ net/core/filter.o net/core/sock.o
}

apply()
{
	local patch

	for patch in "$scratch/$1"/0*.patch; do
		[[ "$patch" != */0000-* ]] || continue
		ingit am -q "$patch" && "build_${1%-more}" || return
	done
}

copy_tree || die "cannot copy $ksrc"
for name in "$@"; do
	ingit checkout -q -B "$name" "$(ingit rev-list --max-parents=0 HEAD)"
	check "$name: is made" make -s -C "$here" patches KSRC="$tree" SERIES="$name" \
		OUTGOING="$scratch/$name"
	[ "$name" != bpf-more ] || ingit am -q "$scratch"/bpf/000[1-9]*.patch ||
		die "bpf-more needs bpf before it"
	check "$name: 0 errors, 0 warnings, 0 checks by checkpatch --strict" style "$name"
	check "$name: each patch applies and builds" apply "$name"
	cat "$scratch/$name"/00[0-9][1-9]*.patch "$scratch/$name"/00[1-9]0*.patch 2>/dev/null |
		git apply --stat --summary - | sed -n 's/^ [0-9]* files changed/# &/p'
done
[ "$failed" -eq 0 ]
