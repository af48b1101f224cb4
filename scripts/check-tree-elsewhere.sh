# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For check-tree.sh: the kselftest as it is installed, and as a drop-in of selftests/bpf.
# shellcheck disable=SC2034,SC2154 # of check-tree.sh

# ---- Installed

needs_no_llvm()
{
	local file

	for file in test_progs mptcp_mark_user; do
		ldd "$scratch/installed/mptcp_mark/$file"
		! ldd "$scratch/installed/mptcp_mark/$file" | grep -iE 'not found|llvm|bfd' ||
			return
	done
}

pack()
{
	kselftest O="$scratch/o" KSFT_INSTALL_PATH="$scratch/installed" \
		FORCE_TARGETS=1 install gen_tar &&
		[ -s "$scratch/installed/kselftest-packages/kselftest.tar.gz" ]
}

# What doc/tree.rst says that an installed copy needs
run_time_packages()
{
	sed -n '/^To run an installed copy/,/^$/p' "$here/doc/tree.rst" | tr '\n' ' ' |
		sed 's/^[^:]*: *//' | tr -d '`.,'
}

minimal_root()
{
	local mirror

	reason="no debootstrap"
	command -v debootstrap >/dev/null || return 4
	# shellcheck disable=SC1091 # the machine's
	. /etc/os-release
	mirror="$(find_archive)" || return
	debootstrap --variant=minbase --include="$(run_time_packages | xargs | tr ' ' ,)" \
		"$VERSION_CODENAME" "$scratch/root" "$mirror"
}

# $@: a command line for the root of our own
in_root()
{
	# "ip netns" takes a root that is a mount
	unshare -m bash -c "
		mount --bind '$scratch/root' '$scratch/root' &&
		mount --bind /proc '$scratch/root/proc' && mount --rbind /sys '$scratch/root/sys' &&
		mount --rbind /dev '$scratch/root/dev' && mount -t tmpfs none '$scratch/root/run' &&
		mount -t tmpfs none '$scratch/root/tmp' && exec chroot '$scratch/root' \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c '$*'"
}

run_installed()
{
	reason="no minimal root file system: see above"
	[ -x "$scratch/root/bin/sh" ] || return 4
	mkdir -p "$scratch/root/kselftest" &&
		tar -x -C "$scratch/root/kselftest" \
			-f "$scratch/installed/kselftest-packages/kselftest.tar.gz" || return
	in_root "cd /kselftest && ./run_kselftest.sh -c mptcp_mark" >"$scratch/run" 2>&1
	all_passed "$scratch/run" mptcp_mark_progs.sh 14
}

run_installed_one()
{
	reason="no minimal root file system: see above"
	[ -x "$scratch/root/bin/sh" ] || return 4
	in_root "cd /kselftest && ./run_kselftest.sh --list" >"$scratch/run" 2>&1
	diff "$scratch/run" <(printf 'mptcp_mark:%s\n' mptcp_mark_progs.sh mptcp_mark.sh) || return
	in_root "cd /kselftest && ./run_kselftest.sh -t mptcp_mark:mptcp_mark.sh" \
		>"$scratch/run" 2>&1
	all_passed "$scratch/run" mptcp_mark.sh 16 && grep -q '^1..1' "$scratch/run"
}

# ---- As a drop-in of selftests/bpf

no_collisions()
{
	local file name rc=0

	for file in "$here"/progs/*.[ch] "$here"/prog_tests/*.[ch]; do
		name="${file#"$here/"}"
		if [ -e "$ksrc/tools/testing/selftests/bpf/$name" ]; then
			echo "there already: $name"
			rc=1
		fi
	done
	return "$rc"
}

# Upstream's tests of MPTCP and ours, as many others do not build with compilers
# of stable distributions. $1, if given: flavor
# shellcheck disable=SC2046 # a variable a word
build_drop_in()
{
	local bpf="$scratch/drop-in/tools/testing/selftests/bpf" c

	c="$(newest_clang "$ksrc")"
	rm -rf "$scratch/drop-in" && cp -a "$tree" "$scratch/drop-in" &&
		rm -rf "$scratch/drop-in/tools/testing/selftests/mptcp_mark" &&
		make -s -C "$bpf" clean &&
		find "$bpf"/progs "$bpf"/prog_tests -name '*.c' ! -name 'mptcp*' -delete &&
		cp "$here"/progs/* "$bpf/progs/" && cp "$here"/prog_tests/* "$bpf/prog_tests/" &&
		make -C "$bpf" CLANG="${c:-clang}" LLVM_STRIP="llvm-strip${c#clang}" "$@" \
			$(not_ours) -j"$(nproc)"
}

# Upstream's own test needs what not every machine has (fmod_ret): not ours to judge
run_drop_in()
{
	local bpf="$scratch/drop-in/tools/testing/selftests/bpf" test

	build_drop_in "$bpf/test_progs" || return
	(cd "$bpf" && ./test_progs -t mptcp >"$scratch/run" 2>&1)
	cat "$scratch/run"
	grep -qE '^#[0-9]+ +mptcp:' "$scratch/run" || return
	for test in "$here"/prog_tests/*.c; do
		grep -qE "^#[0-9]+ +$(basename "$test" .c):OK" "$scratch/run" || return
	done
}

build_with_gcc()
{
	reason="no bpf-unknown-none-gcc"
	command -v bpf-unknown-none-gcc >/dev/null || return 4
	build_drop_in BPF_GCC="$(dirname "$(dirname "$(command -v bpf-unknown-none-gcc)")")" \
		test_progs-bpf_gcc
}
