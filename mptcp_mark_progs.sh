#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The C tests: runs test_progs, and reports each of its subtests in KTAP. Its own
# report in JSON (-J) has no subtests but those that failed.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [ARG...]

	Run ./test_progs with these arguments, as -t NAME, -d NAME or -j, and report
	each subtest in KTAP. Exit code 0, 1 (failed) or 4 (skipped).
	Variables: SELFTESTS_MPTCP_LIB_EXPECT_ALL_FEATURES=1, to skip is to fail
	USAGE
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
esac

# shellcheck source=mptcp_mark_lib.sh
. "$(dirname "$(readlink -f "$0")")/mptcp_mark_lib.sh"
# shellcheck disable=SC2034 # of mptcp_mark_lib.sh
missing_rc="$KSFT_SKIP"

[ -x "$dir/test_progs" ] || die "test_progs is not here: run make first"
check_machine ip nft ss unshare setpriv

test_failed()
{
	awk -F '\t' -v test="$1/" '
		$1 == "not ok" && index($2, test) == 1 { found = 1 }
		END { exit !found }' "$results"
}

# Before its first test, test_progs takes a key, and ends without a word if it gets none
keys_lack()
{
	if [ ! -e /proc/keys ]; then
		echo "this kernel has no keys: use one with CONFIG_KEYS=y"
	elif [ -s /proc/kallsyms ] && ! grep -q ' key_type_asymmetric$' /proc/kallsyms; then
		echo "this kernel has no keys of type asymmetric: use one with" \
		     "CONFIG_ASYMMETRIC_KEY_TYPE=y, CONFIG_ASYMMETRIC_PUBLIC_KEY_SUBTYPE=y" \
		     "and CONFIG_X509_CERTIFICATE_PARSER=y"
	else
		return 1
	fi
}

# What test_progs prints of a result: "#5/6     mptcp_mark_pm/laminar:SKIP".
# With -v also each assertion, "test:PASS:what 0 nsec", where what can be of
# several lines; and what tests say of a skip or of an expected failure,
# "test:SKIP:reason". What passes is not for read, which takes a system call for
# each byte. What it runs may say something in the middle of a line that passes: that
# goes its own way.
run_test_progs()
{
	local line reason="" note result name rc why

	cd "$dir" || exit
	exec 3< <(as_cgroup_root ./test_progs -v "$@" 2>&1 \
		  > >(exec grep -av --line-buffered -e ':PASS:' -e ' nsec$'))
	while read -r line <&3; do
		echo "# $line"
		if [[ "$line" =~ :(SKIP|XFAIL):(.*) ]]; then
			reason="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
			continue
		fi
		[[ "$line" =~ ^\#[0-9]+(/[0-9]+)?\ +([^:]+):(OK|SKIP|FAIL) ]] || continue
		result="${BASH_REMATCH[3]}"
		name="${BASH_REMATCH[2]}"
		if [ -n "${BASH_REMATCH[1]}" ]; then
			case "$result" in
			OK)
				[[ "$reason" == XFAIL* ]] && note="$reason" || note=
				tap_add ok "$name" "$note"
				;;
			SKIP)
				[[ "$reason" == SKIP* ]] && note="$reason" || note=SKIP
				tap_add ok "$name" "$note"
				;;
			FAIL)
				tap_add "not ok" "$name"
				;;
			esac
			reason=
		elif [ "$result" = FAIL ] && ! test_failed "$name"; then
			tap_add "not ok" "$name"	# outside of any subtest
		fi
	done
	wait "$!"
	rc=$?

	if [ ! -s "$results" ] && [ "$rc" -ne 0 ] && why="$(keys_lack)"; then
		missing "$why"
	elif [ "$rc" -ne 0 ] && ! grep -q "^not ok" "$results"; then
		tap_add "not ok" "test_progs runs to its end"
		echo "# test_progs exits with $rc"
	fi
}

if is_contained; then
	: >"$results"
	run_test_progs "$@"
	tap_print
	exit
fi
contain "$@"
exit "$contained_rc"
