#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Can the tests fail? Break the programs on purpose, in a copy, once for each
# fault in mutations.txt, and see that the subtest named there goes red. Every
# subtest must have a fault, those of mptcp_mark.sh too.

set -u

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-1] [PATTERN]
	  -1       one fault for each subtest, the first in the table
	  PATTERN  only the faults whose subtest or name has it
	Variables: KSRC, as for make
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

first_only=
case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
-1)
	first_only=1
	shift
	;;
-*)
	usage >&2
	exit 1
	;;
esac

[ "$(id -u)" -eq 0 ] || die "must be root: use sudo"
pattern="${1:-}"
here="$(dirname "$(readlink -f "$0")")/.."
tmp="$(mktemp -d -t mptcp_mark-mutations-XXXXXX)" || exit 1
trap 'end; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
src="$tmp/src"		# as it is now
workers="$(nproc)"	# each has a copy to break, and some of the faults

caught=0
missed=0
read_so_far=0
declare -A tried=()

# The workers, with all that they have started, and what runs here
end()
{
	local pid

	for pid in $(jobs -p); do
		kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null
	done
	wait
}

# $@: test_progs, mptcp_mark_user. What a fault leaves unused is not its point; what it
# keeps from coming need not be waited for as long as on a busy machine
build()
{
	make -C "$copy" SAN_CFLAGS="-DMARK_TIMEOUT_MS=5000 -O0" "${@/#/$copy/}" \
		>"$copy/log" 2>&1
}

# One of the C files alone, which is built the sooner
keep_test()
{
	[ -e "$copy/prog_tests/$1.c" ] && return
	rm -f "$copy"/prog_tests/*.c
	cp "$src/prog_tests/$1.c" "$copy/prog_tests"
}

# $1: subtest of a C file. The result of it is in $result
run_c_test()
{
	if (cd "$copy" && timeout 180 ./test_progs -t "$1" >log 2>&1); then
		result="NOT CAUGHT"
		! grep -q "^#[0-9/ ]*$1:SKIP" "$copy/log" || result=skipped
	elif grep -q "^#[0-9/ ]*$1:FAIL" "$copy/log"; then
		result=caught
	else
		result="not run: $(tail -n 1 "$copy/log")"
	fi
}

# What came of subtest $1 of mptcp_mark.sh, behind which tools may have said more
verdict()
{
	sed -n "/^$1 /,\$p" "$copy/log" | grep -om 1 "\[\( OK \|FAIL\|SKIP\)\]"
}

# $1: subtest of mptcp_mark.sh, which need not go on after it
run_script()
{
	local pid

	(cd "$copy" && exec timeout 180 ./mptcp_mark.sh >log 2>&1) &
	pid=$!
	until [ -n "$(verdict "$1")" ] || ! kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
	done
	kill "$pid" 2>/dev/null
	wait "$pid"
	case "$(verdict "$1")" in
	"[FAIL]") result=caught ;;
	"[SKIP]") result=skipped ;;
	"[ OK ]") result="NOT CAUGHT" ;;
	*) result="not run: $(tail -n 1 "$copy/log")" ;;
	esac
}

# $1: file, in progs/ if there is one, $2: subtest that must fail, $3: name, $4: Perl,
# applied to all of the file
mutate()
{
	local program="$1" subtest="$2" name="$3" fault="$4" what=test_progs result line

	[ ! -e "$src/progs/$1" ] || program="progs/$1"

	[[ "$subtest $name" == *"$pattern"* ]] || return 0
	[ -z "$first_only" ] || [ -z "${tried[$subtest]:-}" ] || return 0
	tried[$subtest]=1
	[ $((read_so_far++ % workers)) -eq "$worker" ] || return 0

	if [[ "$subtest" = mptcp_mark.sh/* ]]; then
		what=mptcp_mark_user
	else
		keep_test "${subtest%/*}"
	fi
	{
		# Headers are read by other compilers, too
		printf '#ifdef __clang__\n#pragma clang diagnostic ignored "-Wunused"\n#endif\n'
		perl -0pe "$fault" "$src/$program"
	} >"$copy/$program"
	if tail -n +4 "$copy/$program" | cmp -s - "$src/$program"; then
		result="the fault does not apply"
	elif ! build "$what"; then
		result="does not build: $(grep -m 1 error "$copy/log")"
	elif [ "$what" = mptcp_mark_user ]; then
		run_script "${subtest#*/}"
	else
		run_c_test "$subtest"
	fi
	[ "$result" != caught ] || caught=$((caught + 1))
	cp "$src/$program" "$copy/$program"
	printf -v line "%-36s %-50s %s" "$subtest" "$name" "$result"
	echo "$line"
	[[ "$result" == @(caught|skipped) ]] && return
	missed=$((missed + 1))
	echo "$line" >>"$tmp/missed"
}

# $1: number of a worker
make_copy()
{
	worker="$1"
	copy="$tmp/copy$1"
	cp -a "$src" "$copy"
	build || { tail -n 5 "$copy/log" >&2; die "make failed"; }
}

read_table()
{
	local program subtest name fault line

	while read -r program subtest; do
		read -r name
		fault=
		while IFS= read -r line && [ -n "$line" ]; do
			fault+="$line"$'\n'
		done
		mutate "$program" "$subtest" "$name" "$fault" </dev/null
	done < <(sed '/^#/d; /./,$!d' "$src/scripts/mutations.txt")
	echo "$caught $missed" >"$tmp/done$worker"
}

mkdir "$src"
tar -C "$here" --exclude=./build --exclude=./.git --exclude=./test_progs \
	--exclude=./mptcp_mark_user -c . | tar -C "$src" -x
make_copy 0
if ! (cd "$copy" && ./test_progs >log 2>&1); then
	grep "FAIL" "$copy/log" | sort -u >&2
	die "the tests fail without any fault"
fi
mapfile -t subtests < <(sed -nE 's,^#[0-9]+/[0-9]+ +([^:]+):.*,\1,p' "$copy/log")
if ! (cd "$copy" && ./mptcp_mark.sh >log 2>&1); then
	grep "FAIL" "$copy/log" >&2
	die "mptcp_mark.sh fails without any fault"
fi
mapfile -O "${#subtests[@]}" -t subtests < <(
	sed -nE 's,^ok [0-9]+ ([^#]*[^# ]).*,mptcp_mark.sh/\1,p' "$copy/log")

printf "%-36s %-50s %s\n" subtest fault result
# Each a process group
set -m
for ((i = 1; i < workers; i++)); do
	(make_copy "$i" && read_table) &
done
set +m
read_table
wait
for ((i = 1; i < workers; i++)); do
	read -r caught_there missed_there <"$tmp/done$i" || die "a worker has failed: see above"
	caught=$((caught + caught_there))
	missed=$((missed + missed_there))
done

without=()
for subtest in "${subtests[@]}"; do
	[[ -n "${tried[$subtest]:-}" || "$subtest" != *"$pattern"* ]] || without+=("$subtest")
done
[ "${#tried[@]}" -gt 0 ] || die "no fault has '$pattern' in its subtest or its name"
[ "$missed" -eq 0 ] || cat "$tmp/missed"	# once more, where the end of the output has it
echo "$caught caught, $missed missed"
[ -n "$pattern" ] || echo "${#without[@]} subtests without a fault${without[*]:+: ${without[*]}}"
[ "$missed" -eq 0 ] && { [ -n "$pattern" ] || [ "${#without[@]}" -eq 0 ]; }
