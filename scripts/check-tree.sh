#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Is the kselftest at home in a kernel tree? All the ways in which people there
# use it, on a scratch copy of the tree: a line of KTAP each.

set -u

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/archive.sh
. "$(dirname "$0")/archive.sh"
# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$0")/../mptcp_mark_lib.sh"
# shellcheck source=scripts/check-tree-elsewhere.sh
. "$(dirname "$0")/check-tree-elsewhere.sh"

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} KSRC [PATTERN]
	  KSRC     kernel source tree, 6.12 or newer; it is not written to
	  PATTERN  only the checks whose name matches this regular expression
	Variables: KEEP=1, do not remove the scratch copy
	USAGE
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
-* | "")
	usage >&2
	exit 1
	;;
esac

check_tree "$1"
ksrc="$(cd "$1" && pwd -P)"
pattern="${2:-}"
[ "$(id -u)" -eq 0 ] || die "must be root: use sudo"
for tool in git rsync perl; do
	command -v "$tool" >/dev/null || die "no $tool: install it, or run 'make setup'"
done
scratch="$(mktemp -d -t mptcp_mark-tree-XXXXXX)" || exit 1
tree="$scratch/tree"
selftests="$tree/tools/testing/selftests"
log="$scratch/log"
results="$scratch/results"	# of tap_add()

cleanup()
{
	[ -n "${KEEP:-}" ] || rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# $1: name, the rest: what must succeed; 4 is a skip, with the reason in $reason
check()
{
	local name="$1" rc

	[[ "$name" =~ $pattern ]] || return
	shift
	reason=
	"$@" >"$log" 2>&1
	rc=$?
	echo "# $SECONDS s, $name: exit code $rc"
	case "$rc" in
	0) tap_add ok "$name" ;;
	4) tap_add ok "$name" "SKIP $reason" ;;
	*)
		tap_add "not ok" "$name"
		{ grep -E '^(# )*not ok|FAIL' "$log"; tail -n 20 "$log"; } | sed 's/^/# > /'
		;;
	esac
}

# The command goes wrong, says so in one line with these words, and no more
# than that: $1: words, the rest: the command
refuses()
{
	local words="$1"
	shift

	! "$@" >"$scratch/out" 2>"$scratch/err" || { echo "no error: $*"; return 1; }
	# make adds a line of its own
	grep -v '^make' "$scratch/err" >"$scratch/said"
	cat "$scratch/err"
	[ "$(grep -c . "$scratch/said")" -le 1 ] && grep -q "$words" "$scratch/err"
}

# What a run printed: results of both scripts, and nothing failed
all_passed()
{
	cat "$1"
	grep -q "^ok .* selftests: mptcp_mark: $2" "$1" &&
		[ "$(grep -cE '^# ok ' "$1")" -ge "$3" ] && ! grep -qE '^(# )*not ok' "$1"
}

# ---- The scratch copy

copy_tree()
{
	local arch="$ksrc/arch/x86"

	# Sources of the kernel itself are not of interest, their folders are
	mkdir -p "$tree"/{arch,drivers,fs,sound}
	[ -d "$arch" ] || return
	(cd "$ksrc" && find . -maxdepth 1 ! -name . ! -name arch ! -name drivers ! -name fs \
		! -name sound ! -name .git -print0 |
	 tar --null -T - --exclude=tools/testing/selftests/mptcp_mark -c) | tar -x -C "$tree" &&
		cp -a "$ksrc"/arch/Kconfig "$arch" "$tree/arch/" &&
		cp -a "$ksrc/drivers/Makefile" "$tree/drivers/"
}

# A git tree of what the series touches, and of what its tools look for
make_git()
{
	(
		cd "$tree" && git init -q && git config user.name "A U Thor" &&
			git config user.email author@example.org && git config gc.auto 0 &&
			git add -f MAINTAINERS tools/testing/selftests/Makefile \
				Documentation/networking/mptcp.rst &&
			git commit -q -m base
	)
}

# ---- As a target

overlay()
{
	make -s -C "$here" overlay KSRC="$tree"
}

same_files()
{
	diff <(tree_files | sort) <(cd "$tree/$target" && find . -type f -printf '%P\n' | sort)
}

overlay_is_exact()
{
	overlay && same_files && overlay && same_files
}

overlay_takes_old_away()
{
	local file

	# As if an older overlay had one more
	file="$tree/$target/progs/mptcp_mark_old.c"
	cp "$here/README.rst" "$file" || return
	git -C "$here" hash-object -w --no-filters "$here/README.rst"
	overlay && same_files
}

overlay_refuses_foreign()
{
	local file="$tree/$target/config" rc

	echo "# not ours" >>"$file"
	refuses "is not ours" overlay
	rc=$?
	grep -q "not ours" "$file" || rc=1
	cp "$here/config" "$file"
	return "$rc"
}

kselftest()
{
	make -C "$selftests" TARGETS=mptcp_mark "$@"
}

run_in_tree()
{
	kselftest run_tests "$@" >"$scratch/run" 2>&1
	all_passed "$scratch/run" mptcp_mark_progs.sh 14
}

# What script $1 printed in the last run, without what the runner put in front
output_of()
{
	sed -n "/^# selftests: mptcp_mark: $1\$/,/^\(not \)\?ok /s/^# //p" "$scratch/run"
}

number_of_results()
{
	output_of "$1" | grep -cE '^(not )?ok [0-9]'
}

parses_in_kunit()
{
	local script n

	for script in mptcp_mark_progs.sh mptcp_mark.sh; do
		n="$(number_of_results "$script")"
		output_of "$script" | python3 "$ksrc/tools/testing/kunit/kunit.py" parse --json |
			tee "$scratch/parsed"
		[ "$n" -gt 0 ] && grep -q "Ran $n tests" "$scratch/parsed" &&
			! grep -E '"name": ".*(time=|SKIP|#)' "$scratch/parsed" || return
	done
}

parses_in_python_tap()
{
	local python script

	reason="no python3-tap"
	for python in python3 /usr/bin/python3 ""; do
		[ -n "$python" ] || return 4
		! "$python" -c "import tap" 2>/dev/null || break
	done
	for script in mptcp_mark_progs.sh mptcp_mark.sh; do
		output_of "$script" >"$scratch/tap"
		"$python" - "$scratch/tap" "$(number_of_results "$script")" <<-'PYTHON' || return
			import sys
			from tap.parser import Parser

			lines = list(Parser().parse_file(sys.argv[1]))
			tests = [line for line in lines if line.category == "test"]
			plans = [line for line in lines if line.category == "plan"]
			for test in tests:
			    print(test.number, test.description, test.skip)
			    assert "time=" not in test.description
			    assert "SKIP" not in test.description
			assert len(plans) == 1 and plans[0].expected_tests == len(tests)
			assert 0 < len(tests) == int(sys.argv[2])
			assert [test.number for test in tests] == list(range(1, len(tests) + 1))
		PYTHON
	done
}

# The runner keeps the logs in /tmp then
run_summary()
{
	kselftest run_tests O="$scratch/o" -j2 summary=1 >"$scratch/run" 2>&1
	cat /tmp/mptcp_mark.sh /tmp/mptcp_mark_progs.sh >>"$scratch/run"
	rm -f /tmp/mptcp_mark.sh /tmp/mptcp_mark_progs.sh
	all_passed "$scratch/run" mptcp_mark_progs.sh 0
}

clean_in_tree()
{
	kselftest clean "$@" && { [ "$#" -gt 0 ] || same_files; }
}

# As NIPA does: one test
run_one_in_tree()
{
	kselftest TEST_PROGS=mptcp_mark.sh TEST_GEN_PROGS="" run_tests >"$scratch/run" 2>&1
	all_passed "$scratch/run" mptcp_mark.sh 16 && ! grep -q mptcp_mark_progs.sh "$scratch/run"
}

run_with_llvm()
{
	local c

	c="$(newest_clang "$ksrc")"
	reason="no clang-N of a version"
	[ -n "$c" ] || return 4
	reason="no ld.lld${c#clang}"
	command -v "ld.lld${c#clang}" >/dev/null || return 4
	run_in_tree LLVM="${c#clang}" V=1
}

run_after_bpf()
{
	local c

	c="$(newest_clang "$ksrc")"
	make -C "$selftests/bpf" CLANG="${c:-clang}" LLVM_STRIP="llvm-strip${c#clang}" SKIP_DOCS=1 \
		SKIP_LLVM=1 SKIP_LIBBFD=1 SKIP_CRYPTO=1 LIBARENA_SKEL= LIBARENA_ASAN_SKEL= \
		"$selftests/bpf/mptcp_sock.skel.h" \
		"$selftests/bpf/network_helpers.o" && run_in_tree
}

run_read_only()
{
	unshare -m bash -c "mount --bind '$tree' '$tree' && mount -o remount,bind,ro '$tree' &&
		! touch '$tree/x' 2>/dev/null &&
		make -C '$selftests' TARGETS=mptcp_mark O='$scratch/ro' run_tests" \
		>"$scratch/run" 2>&1
	all_passed "$scratch/run" mptcp_mark_progs.sh 14
}

# ---- As a series

patches()
{
	make -s -C "$here" patches KSRC="$tree" OUTGOING="$scratch/outgoing"
}

make_series()
{
	rm -rf "${tree:?}/$target"
	git -C "$tree" add -A -- "$target" 2>/dev/null
	git -C "$tree" status --porcelain -uno >"$scratch/before"
	patches && git -C "$tree" status --porcelain -uno | diff "$scratch/before" - &&
		[ "$(git -C "$tree" rev-list --all --count)" -eq 1 ]
}

# checkpatch only asks whether MAINTAINERS knows new files: the last patch adds them
check_series()
{
	local patch rc=0

	cd "$tree" || return
	for patch in "$scratch"/outgoing/*.patch; do
		scripts/checkpatch.pl --strict --ignore FILE_PATH_CHANGES "$patch" 2>/dev/null |
			tee -a "$log.checkpatch"
	done
	[ "$(grep -c '^total: 0 errors, 0 warnings, 0 checks' "$log.checkpatch")" -eq \
		"$(find "$scratch/outgoing" -name '*.patch' | wc -l)" ] || rc=1
	grep -qE '^To: .*@' "$scratch"/outgoing/0001-*.patch &&
		grep -q 'mptcp@lists.linux.dev' "$scratch"/outgoing/0001-*.patch || rc=1
	return "$rc"
}

# Each step applies and builds, and the last one is what the overlay puts
apply_series()
{
	local patch

	for patch in "$scratch"/outgoing/*.patch; do
		[ "${patch##*/}" != 0000-cover-letter.patch ] || continue
		git -C "$tree" am -q "$patch" || return
		[ ! -e "$tree/$target/Makefile" ] || kselftest FORCE_TARGETS=1 || return
	done
	kselftest clean && same_files && overlay && git -C "$tree" diff --exit-code
}

series_on_top_refused()
{
	refuses "already" patches
}

# ---- Bad input

refuses_input()
{
	refuses "no kernel source tree" make -C "$here" overlay KSRC=/usr &&
		refuses "no kernel source tree" make -C "$here" patches KSRC=/usr &&
		refuses "no kernel source tree" make -C "$here" all KSRC=/usr &&
		refuses "no kernel tree" make -C "$here" overlay KSRC= &&
		refuses "INSTALL_PATH=" make -C "$here" install KSRC="$ksrc" &&
		refuses "INSTALL_PATH=/proc/x cannot" make -C "$here" install KSRC="$ksrc" \
			INSTALL_PATH=/proc/x
}

patches_refuse()
{
	refuses "no git tree" make -C "$here" patches KSRC="$scratch/plain" &&
		refuses "who you are" env HOME=/ XDG_CONFIG_HOME=/ GIT_CONFIG_NOSYSTEM=1 \
			make -C "$here" patches KSRC="$scratch/nobody" &&
		echo "# changed" >>"$tree/MAINTAINERS" &&
		refuses "not committed" patches && git -C "$tree" checkout -q MAINTAINERS
}

# Trees that are just enough to be taken for one
make_bad_trees()
{
	local dir

	for dir in plain nobody; do
		mkdir -p "$scratch/$dir/tools/testing/selftests/bpf"
		touch "$scratch/$dir/tools/testing/selftests/lib.mk"
		echo netns_new >"$scratch/$dir/tools/testing/selftests/bpf/test_progs.h"
	done
	(cd "$scratch/nobody" && git init -q && git add -A &&
	 git -c user.name=x -c user.email=x commit -q -m x)
}

# Not what make that called us was given
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL KSRC O OUTPUT

version="$(make -s -C "$ksrc" kernelversion)"
echo "# Linux $version, $(newest_clang "$ksrc")"
if ! { copy_tree && make_git && make_bad_trees; } >"$log" 2>&1; then
	tail -n 5 "$log" >&2
	die "could not copy $ksrc"
fi

check "bad input is refused" refuses_input
check "bad input for a series is refused" patches_refuse
check "series is made, the tree is not touched" make_series
check "series: 0 errors, 0 warnings, 0 checks by checkpatch --strict" check_series
check "series: each patch applies and builds" apply_series
check "series: a second one is refused" series_on_top_refused
git -C "$tree" reset -q --hard "$(git -C "$tree" rev-list --max-parents=0 HEAD)"
rm -rf "${tree:?}/$target"
check "overlay puts exactly our files" overlay_is_exact
check "overlay takes files of an older one away" overlay_takes_old_away
check "overlay refuses files that are not ours" overlay_refuses_foreign
overlay >/dev/null
check "run_tests in the tree" run_in_tree
check "output: kunit.py parse" parses_in_kunit
check "output: python3-tap" parses_in_python_tap
check "run_tests of one test" run_one_in_tree
check "clean leaves the files of the overlay" clean_in_tree
check "run_tests with LLVM= and V=1" run_with_llvm
kselftest clean >/dev/null 2>&1
check "run_tests with O=, -j and summary=1" run_summary
check "install and gen_tar" pack
check "installed: needs no LLVM" needs_no_llvm
check "minimal root file system" minimal_root
check "installed: run_kselftest.sh -c" run_installed
check "installed: --list, and -t of one test" run_installed_one
check "run_tests in a read-only tree with O=" run_read_only
check "run_tests after a build of selftests/bpf" run_after_bpf
check "drop-in: names are new to selftests/bpf" no_collisions
check "drop-in: test_progs -t mptcp runs upstream's and ours" run_drop_in
check "drop-in: builds with gcc" build_with_gcc

tap_print
