# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For vmtest.sh: what came of the tests in each VM
# shellcheck disable=SC2154,SC2034 # of vmtest.sh

# What a kernel prints that it must not; one that the guest's kmemleak found too
splats='BUG: |BUG at |BUG [^ ]+ \(|WARNING: |Oops: |\[#[0-9]+\]|general protection|'
splats+='INFO: (task|rcu|possible|trying)|rcu: INFO: |unregister_netdevice: waiting|'
splats+='Kernel panic|KASAN: |UBSAN: |suspicious RCU|detected stalls|soft lockup|hard LOCKUP|'
splats+='unreferenced object|refcount_t: |list_(add|del) corruption|Unable to handle kernel|'
splats+='page allocation failure|nobody cared|Call [Tt]race:'

# The first, to the end of its trace
quote_splat()
{
	grep -av 'vm| ' "$1/console" | grep -E -A 60 -m 1 "$splats" | sed '/---\[ end /q'
	sed -n 's/^[0-9]* vmtest: kmemleak: //p' "$1/out" | head -n 60
}

# What the guest printed, behind the second that it did
guest_output()
{
	sed -nE 's/^\[ *([0-9]+)\.[0-9]+\](\[ *[CT][0-9]+\])? vm\| ?/\1 /p' "$1/console"
}

# Lines "test passed failed skipped seconds", of what kselftest's runner prints:
# the subtests of a test behind "# ", and after them the result of the test
count_results()
{
	awk '
		function count(failure) {
			if (failure) failed++; else if (/# SKIP/) skipped++; else passed++
		}
		!start || /^[0-9]+ # selftests: / { start = $1 }
		/^[0-9]+ # (not )?ok / { count($3 == "not") }
		/^[0-9]+ (not )?ok [0-9]+ selftests: / {
			bad = $2 == "not"
			if (bad ? !failed : !(passed + failed + skipped)) count(bad)
			print $(6 + bad), passed + 0, failed + 0, skipped + 0, $1 - start
			passed = failed = skipped = 0
		}' "$1/out"
}

# Where what ran in the VM in folder $1, $2, did not end well
bad_exit()
{
	local code

	vm_says "$1" 'exit code 0' && return
	code="$(sed -n 's/^[0-9]* vmtest: exit code //p' "$1/out")"
	echo "the $2: exit code ${code:-unknown}"
}

# Why a kernel failed, if it did; "SKIP why" where there was nothing to fail
verdict()
{
	local vm="$1" splat passed failed skipped

	splat="$(quote_splat "$vm" | head -n 1 | sed 's/^\[[^]]*\] *//')"
	if [ -s "$vm/reason" ]; then
		echo "$(cat "$vm/reason")${splat:+; $splat}"
	elif [ -n "$splat" ]; then
		echo "$splat"
	elif vm_says "$vm" "skip "; then
		sed -n 's/^[0-9]* vmtest: skip /SKIP /p' "$vm/out"
	elif ! vm_says "$vm" "up "; then
		echo "ended before it was up: $(cat "$vm"/{qemu.log,console} | tail -n 1)"
	elif ! vm_says "$vm" "end\$"; then
		echo "ended before the tests did: $(tail -n 1 "$vm/console")"
	elif [ -n "$command" ]; then
		bad_exit "$vm" command
	else
		read -r passed failed skipped < <(awk '{ p += $2; f += $3; s += $4 }
						  END { print p + 0, f + 0, s + 0 }' "$vm/results")
		if [ "$failed" -gt 0 ]; then
			echo "$failed of $((passed + failed + skipped)) failed"
		elif [ "$((passed + skipped))" -eq 0 ]; then
			echo "no test ran"
		elif [ "$passed" -eq 0 ]; then
			echo "SKIP $(sed -n 's/.*# SKIP *//p' "$vm/out" | grep -m 1 .)"
		else
			bad_exit "$vm" tests
		fi
	fi
}

report()
{
	local vm="$work/$1" name why

	[ ! -e "$vm/console" ] || guest_output "$vm" >"$vm/out"
	name="$(sed -n 's/^[0-9]* vmtest: up //p' "$vm/out" 2>/dev/null)"
	[ -z "$name" ] || echo "$name" >"$vm/name"
	name="$(cat "$vm/name")"
	if [ -e "$vm/out" ]; then
		sed -nE '/^[0-9]+ vmtest: /!s/^[0-9]+ ?/# /p' "$vm/out"
		count_results "$vm" >"$vm/results"
		quote_splat "$vm" | sed 's/^/# kernel: /'
	fi

	why="$(verdict "$vm" 2>/dev/null)"
	echo "$why" >"$vm/why"
	case "$why" in
	"")
		ktap_test_pass "$name"
		;;
	SKIP*)
		# ktap_test_skip(), which has no place for the reason
		__ktap_test ok "$name" "$why"
		KTAP_CNT_SKIP=$((KTAP_CNT_SKIP + 1))
		! vm_says "$vm" "skip " || lacking=1
		;;
	*)
		ktap_test_fail "$name # $why"
		;;
	esac
}

# For people: a line for each kernel and test, and why things were skipped
table()
{
	local i vm name test passed failed skipped seconds

	row()
	{
		printf '# %-24s %-22s %6s %6s %7s %7s\n' "$@"
	}

	row kernel test passed failed skipped seconds
	for i in "${!kernels[@]}"; do
		vm="$work/$i"
		name="$(cat "$vm/name")"
		while read -r test passed failed skipped seconds; do
			row "$name" "$test" "$passed" "$failed" "$skipped" "$seconds"
		done < <(cat "$vm/results" 2>/dev/null)
		row "$name" "in all, with the boot" "" "" "" "$(cat "$vm/seconds" 2>/dev/null)"
		[ -z "$(cat "$vm/why")" ] || echo "#   $(cat "$vm/why")"
		[ ! -s "$vm/results" ] ||
			sed -nE -e 's/ time=[0-9]+ms$//' \
				-e 's/^[0-9]+ # 1\.\.0 # SKIP */a whole test: /p' \
				-e 's/^[0-9]+ # ok [0-9]+ (- )?(.*) # SKIP */\2: /p' "$vm/out" |
			awk -F': ' '{ n[$NF]++; if (n[$NF] == 1) first[$NF] = $0 }
				    END { for (why in n) print "#   skipped: " first[why] \
					  (n[why] > 1 ? ", and " n[why] - 1 " more" : "") }'
	done
	echo "# console and output of kernel N, from 0 on: $work/N"
}
