#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tests on other kernels, each in a VM of virtme-ng: built once, installed,
# and run there as anywhere else. Reads from the bottom upwards.

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-k KERNEL]... [-b [-g]] [-n] [-j N] [-t S] [-i DIR] [-- ARG...]
	       ${0##*/} [-k KERNEL | -b [-g]] -e CMD | -s

	  -k KERNEL  a kernel image, a folder that a kernel was built in, or a release as
	             6.12: the Debian kernel of it, fetched but not installed.
	             Of each release: all. May be repeated
	  -b         build the kernel of KSRC: a minimal configuration and our config
	  -g         with -b: a debug kernel, kernel/configs/debug.config of KSRC
	  -n         run upstream's MPTCP tests instead, with and without our program
	  -e CMD     run the shell command CMD in the VM instead of the tests
	  -s         a shell in the VM instead of the tests
	  -j N       VMs at a time, instead of as many as there are processors for
	  -t S       seconds that the tests may take, instead of $run_limit; three times that
	             without KVM, and eight times that with -g
	  -i DIR     use what make install INSTALL_PATH=DIR made, build nothing
	  -- ARG...  arguments of run_kselftest.sh, instead of -c mptcp_mark

	Results are KTAP, a test for each kernel. Exit code 0; 1: something failed, or could
	not be run; 4: nothing failed, but a kernel has no MPTCP, or all were skipped.

	Variables: KSRC, O, CLANG as for make; QEMU, the qemu-system-* to use
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

say()
{
	echo "${0##*/}: $*" >&2
}

dir="$(dirname "$(readlink -f "$0")")"
home="$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)"
cache="${XDG_CACHE_HOME:-${home:-$HOME}/.cache}/mptcp_mark"
build="$dir"
# For make in another folder, too
[ -z "$O" ] || { O="$(realpath -m "$O")"; export O; build="$O/kselftest/mptcp_mark"; }
[ -z "$KSRC" ] || { KSRC="$(realpath -m "$KSRC")"; export KSRC; }
build+=/build
work="$build/vmtest"
QEMU="${QEMU:-qemu-system-$(uname -m)}"

# Emulated, all takes longer: the kernel's own limits grow with ours
slow=
cpus=2
memory=2G
boot_limit=60
run_limit=600
test_limit=120
vng_args=()
# Of mitigations, the kernel warns: not what is to be found here
append="loglevel=6 mitigations=off kmemleak=on"

# That there is a /dev/kvm does not mean that it works, nor that it is no emulation
# itself: let it count to 100,000,000, in less than a second where it is none
kvm_works()
{
	local kvm=("$QEMU" -accel kvm -cpu host -nodefaults -display none) sector="$work/sector"

	if [ "$(uname -m)" != x86_64 ]; then
		(timeout 10 "${kvm[@]}" -S -monitor stdio <<<quit; exit) >/dev/null 2>&1
		return
	fi
	# mov ecx, 100000000; 1: dec ecx; jnz 1b; mov al, 16; out 0xf4, al
	printf '\x66\xb9\x00\xe1\xf5\x05\x66\x49\x75\xfc\xb0\x10\xe6\xf4' >"$sector"
	truncate -s 510 "$sector"
	printf '\x55\xaa' >>"$sector"
	(timeout 5 "${kvm[@]}" -device isa-debug-exit,iobase=0xf4 \
		-drive "file=$sector,format=raw"; exit) >/dev/null 2>&1
	[ "$?" -eq 33 ]		# 2 * 16 + 1
}

without_kvm()
{
	slow=yes
	boot_limit=300
	run_limit=1800
	test_limit=600
	vng_args+=(--disable-kvm --force-9p)
	# virtme-ng's init gives udev two minutes for all devices, and needs the ports
	# of virtio alone: their rules, with what loads the driver
	mkdir -p "$work/rules.d"
	cat >"$work/rules.d/50-ports.rules" <<-'RULES'
		SUBSYSTEM=="virtio", ENV{MODALIAS}=="?*", RUN{builtin}+="kmod load"
		SUBSYSTEM=="virtio-ports", ATTR{name}=="?*", SYMLINK+="virtio-ports/$attr{name}"
	RULES
	vng_args+=("--rodir=/usr/lib/udev/rules.d=$work/rules.d")
	# Without it, a guest waits for its random numbers: a minute, a debug kernel five
	[ "$(uname -m)" != x86_64 ] || vng_args+=("--qemu-opts=-cpu qemu64,+rdrand,+rdseed")
	append+=" rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60"
}

# ---- Kernels

# Packages of a release: newer ones are of several parts
archive_packages()
{
	private_apt apt-cache search --names-only "^linux-($1)-$2-$arch\$" | cut -d' ' -f1 |
		grep -vE -- '-(cloud|rt)-' | sort -V
}

# Into a state of its own, once
look_into_archive()
{
	[ -z "$arch" ] || return 0
	# shellcheck disable=SC1091 # not ours
	. /etc/os-release
	if [ ! -e "$dir/scripts/archive.sh" ] || [ "$ID" != debian ]; then
		die "releases are Debian's: elsewhere, give -k a kernel image or folder"
	fi
	# shellcheck source-path=SCRIPTDIR source=scripts/archive.sh
	. "$dir/scripts/archive.sh"
	arch="$(dpkg --print-architecture)"
	apt_state="$work/apt"
	[ ! -e "$apt_state/open" ] || return 0
	say "looking for kernels in the Debian archive"
	open_archive "$apt_state" bookworm{,-backports} trixie{,-backports} >&2
	touch "$apt_state/open"
}

# What -k all stands for
all_releases()
{
	look_into_archive
	archive_packages image '[0-9].*' | sed -E 's/^linux-image-([0-9]+\.[0-9]+).*/\1/' | uniq
}

# $1: release; prints the folder that its newest kernel is unpacked in. In a shell
# of its own, which ends as it does
fetch_release()
{
	local found package packages deb why log="$work/unpack.log"

	# What ends it is why there is none
	die()
	{
		echo "$*" >"$reason"
		exit 1
	}

	# One at a time: the cache is that of other runs, too
	mkdir -p "$cache/kernels" || die "$cache/kernels cannot be written"
	exec 8<"$cache/kernels"
	flock 8
	found="$(find "$cache/kernels" -maxdepth 1 -name "$1[.+-]*" ! -name '*.part' 2>/dev/null |
		 sort -V | tail -n 1)"
	if [ -n "$found" ]; then
		echo "$found"
		return
	fi

	look_into_archive
	package="$(archive_packages image "${1//./[.]}[.+-].*" | tail -n 1)"
	[ -n "$package" ] || die "the archive has no kernel $1, but $(all_releases | xargs)"
	found="${package#linux-image-}"
	part="$cache/kernels/$found.part"
	found="${found%"-$arch"}"
	packages="$(archive_packages 'image|binary|modules' "${found//+/[+]}")"

	say "fetching $found"
	trap 'rm -rf "$part"' EXIT
	rm -rf "$part" "$apt_state"/*.deb
	mkdir -p "$part"
	# shellcheck disable=SC2086 # a package a word
	download $packages >&2
	for deb in "$apt_state"/*.deb; do
		if { dpkg-deb --fsys-tarfile "$deb" |
		     tar -x -C "$part" --exclude=./usr/share; } 2>"$log"; then
			rm "$deb"
			continue
		fi
		why="$(grep -v Exiting "$log" | tail -n 1)"
		die "could not be unpacked in $cache: ${why##*: }"
	done
	# Where virtme-ng looks for modules
	[ -e "$part/lib" ] || ln -s usr/lib "$part/lib"
	mv "$part" "${part%.part}" || die "$cache/kernels cannot be written"
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-}" "$cache"
	echo "${part%.part}"
}

is_kernel()
{
	file -bL "$1" | grep -qE '^(Linux kernel|Linux/)'
}

# Prints the kernel image that $1 of -k stands for, or notes why there is none
find_kernel()
{
	local found image

	found="$1"
	if [ -n "${broken[$1]}" ]; then
		echo "${broken[$1]}" >"$reason"
		return 1
	elif [ ! -e "$1" ] && [[ "$1" =~ ^[0-9]+(\.[0-9]+)+$ ]]; then
		found="$(fetch_release "$1")" || return
	elif [ ! -e "$1" ]; then
		echo "neither a file, nor a folder, nor a release as 6.12" >"$reason"
		return 1
	fi
	if [ ! -d "$found" ]; then
		is_kernel "$found" && realpath "$found" && return
		echo "this file is no kernel" >"$reason"
		return 1
	fi
	for image in "$found"/arch/*/boot/{bzImage,Image} "$found"/boot/vmlinuz-* \
		     "$found"/lib/modules/*/vmlinuz; do
		[ -e "$image" ] && is_kernel "$image" && realpath "$image" && return
	done
	echo "no kernel was built in this folder: build one, or give -b" >"$reason"
	return 1
}

# What takes long, in a process group of its own: ended as we are, at once
attended()
{
	local rc

	set -m
	"$@" 9>&- &
	building=$!
	set +m
	wait "$building"
	rc=$?
	building=
	return "$rc"
}

# What makes a debug kernel one: kernel/configs/debug.config has most of it
debug_options=(KASAN DEBUG_KMEMLEAK PROVE_LOCKING PROVE_RCU DEBUG_ATOMIC_SLEEP DEBUG_LIST)

# virtme-ng's own configuration is minimal: ours comes on top of it, and what it
# has and we do not need goes
configure_kernel()
{
	local fragments=(-f "$dir/config")

	[ -z "$debug" ] || fragments+=(-f "$KSRC/kernel/configs/debug.config")
	cd "$KSRC" && "${vng[@]}" --kconfig "${fragments[@]}" "O=$1" &&
		cat "$dir/scripts/vm.config" >>"$1/.config" || return
	[ -z "$debug" ] || printf 'CONFIG_%s=y\n' "${debug_options[@]}" >>"$1/.config"
	make "O=$1" olddefconfig
}

make_kernel()
{
	cd "$KSRC" && "${vng[@]}" --build "O=$1"
}

build_kernel()
{
	local out="$build/kernel$debug" option missing=()

	mkdir -p "$out" || exit
	out="$(realpath "$out")"
	say "configuring the kernel in $out"
	kernels+=("$out")
	if ! attended configure_kernel "$out" >"$out.log" 2>&1; then
		broken["$out"]="cannot be configured: $(tail -n 1 "$out.log"), see $out.log"
		return
	fi
	while read -r option; do
		grep -qxF "$option" "$out/.config" || missing+=("$option")
	done < <(grep '^CONFIG_' "$dir/config"
		 [ -z "$debug" ] || printf 'CONFIG_%s=y\n' "${debug_options[@]}")
	if [ "${#missing[@]}" -gt 0 ]; then
		broken["$out"]="$KSRC cannot have ${missing[*]}: see $out/.config"
		return
	fi
	say "building it: this takes a while"
	attended make_kernel "$out" >>"$out.log" 2>&1 ||
		broken["$out"]="does not build: $(grep -m1 -i error "$out.log"), see $out.log"
}

# ---- VMs

# In the guest: what it says of itself is for us
run_in_guest()
{
	if [ ! -e /proc/sys/net/mptcp/enabled ]; then
		echo "vmtest: no MPTCP in this kernel: CONFIG_MPTCP=y"
		return
	elif [ ! -e /sys/kernel/btf/vmlinux ]; then
		echo "vmtest: no BTF in this kernel: CONFIG_DEBUG_INFO_BTF=y"
		return
	elif ! cd "$install"; then
		echo "vmtest: cannot see $install"
		return
	fi
	if [ -n "$slow" ]; then
		local folder

		mkdir /run/vmtest && tar -xf "$work/tools.tar" -C /run/vmtest
		find /run/vmtest/usr -type f -printf 'usr/%P\n' | sed 's,/[^/]*$,,' | sort -u |
			while read -r folder; do
				mount -t overlay -o "lowerdir=/run/vmtest/$folder:/$folder" \
					tools "/$folder"
			done
		cp -r . /run/vmtest/install && cd /run/vmtest/install || return
		export KSFT_MACHINE_SLOW=yes
	fi
	# Of older trees, it has none
	./mptcp_mark/test_progs --help 2>&1 | grep -q watchdog-timeout &&
		export KSELFTEST_MPTCP_MARK_PROGS_SH_ARGS="--watchdog-timeout=$test_limit"
	"$@"
	printf '\nvmtest: exit code %s\n' "$?"
	# The first scan finds what is not used now, the second what still is not
	if [ -w /sys/kernel/debug/kmemleak ]; then
		{
			echo scan && sleep 6 && echo scan
		} >/sys/kernel/debug/kmemleak ||
			echo "vmtest: kmemleak: kmemleak does not scan: it gave up"
		sed 's/^/vmtest: kmemleak: /' /sys/kernel/debug/kmemleak
	fi
	echo "vmtest: end"
}

guest()
{
	exec 2>&1
	echo "vmtest: up $(uname -r)"
	run_in_guest "$@"
	# virtme-ng's init asks the root file system for one, which may have none
	command -v poweroff >/dev/null || busybox poweroff -f
}

# A file of the host costs an emulated guest much, each time: what the tests run
# often goes to its memory. Where it is missing here, it is not for the tests
pack_tools()
{
	local tools=() tool

	for tool in awk basename bash cat cmp cp curl cut date dd dirname env find \
		    grep head id ip kill ls mkdir mktemp mount nft od perl pgrep python3 \
		    readlink rm rmdir sed seq sh sleep sort ss stat stdbuf sysctl tail \
		    tc tcpdump timeout tr umount uname wc xargs; do
		tool="$(PATH=/usr/sbin:/usr/bin type -P "$tool")" && tools+=("$tool")
	done
	# As on a system where /lib and such are links into /usr
	{
		printf '%s\n' "${tools[@]}"
		ldd "${tools[@]}" 2>/dev/null | grep -o '/[^ :)]*'
	} | sort -u | tar -ch --transform 's,^/*\(lib\|bin\|sbin\),usr/\1,' -T - \
		-f "$work/tools.tar" 2>/dev/null
}

# All that one VM runs is a process group, that of the pid noted
end_vm()
{
	local pid i

	pid="$(cat "$1/pid" 2>/dev/null)" || return 0
	kill -- "-$pid" 2>/dev/null
	for ((i = 0; i < 50; i++)); do
		kill -0 -- "-$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL -- "-$pid" 2>/dev/null
}

end_vms()
{
	local vm

	trap '' INT TERM
	[ -z "$building" ] || kill -- "-$building" 2>/dev/null
	# For the one that has no pid yet
	touch "$work/stop"
	for vm in "$work"/[0-9]*; do
		end_vm "$vm"
	done
	wait
}

# Lines with the second that they came
stamp()
{
	local line

	while IFS= read -r line; do
		echo "$SECONDS ${line%$'\r'}"
	done
}

# What guest() says, of the VM in folder $1
vm_says()
{
	grep -q "^[0-9]* vmtest: $2" "$1/out"
}

# In the folder $1, boot the kernel $2: its console and what the guest prints
# come through pipes, as QEMU truncates files that it writes to
run_vm()
{
	local limit="$boot_limit" phase=boot

	cd "$1" || exit
	SECONDS=0
	{
		# shellcheck disable=SC2016 # for sh to expand
		setsid sh -c 'echo $$ >pid; [ -e ../stop ] || exec "$@"' sh "${vng[@]}" --verbose \
			"${vng_args[@]}" --qemu "$QEMU" --cpus "$cpus" --memory "$memory" \
			--name "vmtest-${1##*/}" --cwd / --append "$append" --run "$2" \
			--exec "bash $work/guest" </dev/null 2>&3 | stamp >out
	} 3>&1 9>&- | stdbuf -oL tr -d '\r' >console &

	while [ -n "$(jobs -rp)" ]; do
		if [ "$phase" = boot ] && vm_says . "up " 2>/dev/null; then
			phase=run
			limit=$((SECONDS + run_limit))
		fi
		if [ "$SECONDS" -ge "$limit" ]; then
			if [ "$phase" = boot ]; then
				echo "did not boot in $limit s" >reason
			else
				echo "the tests did not end in $run_limit s: a hang?" >reason
			fi
			end_vm .
			break
		fi
		sleep 0.5
	done
	wait
	rm -f pid		# from now on, somebody else's
	echo "$SECONDS" >seconds
}

shell_in_vm()
{
	local image

	reason="$work/reason"
	rm -f "$reason"
	attended find_kernel "$1" >"$work/image" || die "$1: $(cat "$reason")"
	image="$(cat "$work/image")"
	exec "${vng[@]}" "${vng_args[@]}" --qemu "$QEMU" --cpus "$cpus" --memory "$memory" \
		--append "$append" --run "$image" --cwd "$install/mptcp_mark"
}

# ---- Results

# What a kernel prints that it must not; one that the guest's kmemleak found too
splats='BUG: |BUG at |BUG [^ ]+ \(|WARNING: |Oops: |\[#[0-9]+\]|general protection|'
splats+='INFO: (task|rcu|possible|trying)|rcu: INFO: |unregister_netdevice: waiting|'
splats+='Kernel panic|KASAN: |UBSAN: |suspicious RCU|detected stalls|soft lockup|hard LOCKUP|'
splats+='unreferenced object|refcount_t: |list_(add|del) corruption|Unable to handle kernel|'
splats+='page allocation failure|nobody cared|Call [Tt]race:'

# The first, to the end of its trace
quote_splat()
{
	grep -a -E -A 60 -m 1 "$splats" "$1/console" | sed '/---\[ end /q'
	sed -n 's/^[0-9]* vmtest: kmemleak: //p' "$1/out" | head -n 60
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
	elif vm_says "$vm" 'no MPTCP'; then
		echo "SKIP no MPTCP in this kernel: CONFIG_MPTCP=y"
	elif vm_says "$vm" 'no BTF'; then
		echo "no BTF in this kernel: CONFIG_DEBUG_INFO_BTF=y"
	elif vm_says "$vm" 'cannot see'; then
		echo "the guest cannot see $install: give -i another folder"
	elif grep -aq "$work/guest: No such file" "$vm/console"; then
		echo "the guest cannot see $work: give another O="
	elif ! vm_says "$vm" "up "; then
		echo "ended before it was up: $(tail -n 1 "$vm/console")"
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
		[[ "$why" != "SKIP no MPTCP"* ]] || no_mptcp=1
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

# ---- The matrix

# Those that are through, in the order of the command line
report_ended()
{
	while [ "$reported" -lt "${#pids[@]}" ] &&
	      ! grep -qx "${pids[reported]}" <<<"$(jobs -rp)"; do
		report "$reported"
		reported=$((reported + 1))
	done
}

run_matrix()
{
	local i image pids=()

	ktap_print_header
	ktap_set_plan "${#kernels[@]}"
	for i in "${!kernels[@]}"; do
		mkdir -p "$work/$i"
		reason="$work/$i/reason"
		echo "${kernels[i]}" >"$work/$i/name"
		if ! attended find_kernel "${kernels[i]}" >"$work/$i/image"; then
			[ -s "$reason" ] || echo "could not be had: see above" >"$reason"
			pids[i]=none
			report_ended
			continue
		fi
		image="$(cat "$work/$i/image")"
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
			wait -n
			report_ended
		done
		say "${kernels[i]}: in a VM, for up to $((boot_limit + run_limit)) s"
		run_vm "$work/$i" "$image" &
		pids[i]=$!
	done
	while [ "$reported" -lt "${#kernels[@]}" ]; do
		wait -n
		report_ended
	done
	table
}

# What the guest runs: the host's file system is its own, to read
write_guest()
{
	{
		declare -f run_in_guest guest
		declare -p install slow work test_limit
		printf '%q ' guest "$@"
	} >"$work/guest"
}

# virtme-ng of the system, or the one of make setup-vm
find_tools()
{
	local missing=() tool

	for tool in file busybox setsid; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ "${#missing[@]}" -eq 0 ] || die "no ${missing[*]}: install it, or run 'make setup-vm'"
	tool="$(type -P "$QEMU")" || die "no QEMU, $QEMU: install it, or run 'make setup-vm'"
	QEMU="$(realpath -s "$tool")"
	if command -v vng >/dev/null; then
		vng=(vng)
	elif [ -x "$cache/virtme-ng/usr/bin/vng" ]; then
		# Its scripts call each other; their modules are those of the system's python3
		export PATH="$cache/virtme-ng/usr/bin:$PATH"
		export PYTHONPATH="$cache/virtme-ng/usr/lib/python3/dist-packages"
		vng=(/usr/bin/python3 "$cache/virtme-ng/usr/bin/vng")
	else
		die "no virtme-ng (vng): install it, or run 'make setup-vm'"
	fi
	"${vng[@]}" --version >"$work/vng.log" 2>&1 ||
		die "virtme-ng does not run: $(tail -n 1 "$work/vng.log"): run 'make setup-vm'"
}

# Build and install the tests, as any CI does
install_tests()
{
	install="$work/install"
	say "building the tests"
	if [ -e "$dir/../lib.mk" ]; then
		set -- -C "$dir/.." TARGETS=mptcp_mark
	else
		set -- -C "$dir"
	fi
	attended make -s "$@" install INSTALL_PATH="$install" >"$work/make.log" 2>&1 && return
	tail -n 5 "$work/make.log" >&2
	die "the tests do not build: see above, and $work/make.log"
}

# Upstream's MPTCP tests, built from KSRC: nothing is written to it
make_neighbours()
{
	local selftests="$KSRC/tools/testing/selftests" out="$build/neighbours"

	mkdir -p "$out/tests"/{progs,prog_tests} "$neighbours/bpf"
	ln -sf "$selftests"/bpf/progs/mptcp*.c "$out/tests/progs"
	ln -sf "$selftests/bpf/prog_tests/mptcp.c" "$out/tests/prog_tests"
	env -u OUTPUT make -s -C "$out/tests" -f "$dir/Makefile" \
		KSRC="$KSRC" O="$out" harness &&
		cp "$out/kselftest/mptcp_mark/build/bpf/test_progs" "$neighbours/bpf" &&
		make -s -C "$KSRC" O="$out" headers &&
		make -s -C "$selftests" TARGETS=net/mptcp FORCE_TARGETS=1 \
			O="$out" INSTALL_PATH="$neighbours" install
}

install_neighbours()
{
	say "building upstream's MPTCP tests"
	neighbours="$work/neighbours"
	attended make_neighbours >"$work/neighbours.log" 2>&1 && return
	tail -n 5 "$work/neighbours.log" >&2
	die "upstream's tests do not build: see above, and $work/neighbours.log"
}

need_number()
{
	[[ "$2" =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number, not '$2'"
}

kernels=()
jobs=
to_build=
debug=
limit=
neighbours=
install=
command=
shell=
arch=
reported=0
no_mptcp=
building=
declare -A broken=()
while getopts "k:bgne:sj:t:i:h" opt; do
	case "$opt" in
	k) kernels+=("$OPTARG") ;;
	b) to_build=1 ;;
	g) debug=-debug ;;
	n) neighbours=1 ;;
	e) command="$OPTARG" ;;
	s) shell=1 ;;
	j) need_number -j "$OPTARG"; jobs="$OPTARG" ;;
	t) need_number -t "$OPTARG"; limit="$OPTARG" ;;
	i) install="$(realpath -m "$OPTARG")" ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done
shift $((OPTIND - 1))
[ -z "$debug" ] || [ -n "$to_build" ] || die "-g needs -b"
[ "${#kernels[@]}" -gt 0 ] || [ -n "$to_build" ] || { usage >&2; exit 1; }

mkdir -p "$work" || exit
exec 9>"$work/lock"
flock -n 9 || die "another ${0##*/} runs in $work: give this one another O="
rm -rf "$work"/[0-9]* "$work"/{apt,stop}
trap end_vms EXIT
trap 'exit 130' INT TERM

find_tools
kvm_works || without_kvm
if [ -n "$debug" ]; then
	# Every access to memory is looked at, and noted in more of it
	boot_limit=$((8 * boot_limit))
	run_limit=$((8 * run_limit))
	test_limit=$((8 * test_limit))
	memory=4G
	# A fifth of an emulated guest's time, for what KASAN sees, too
	[ -z "$slow" ] || append+=" slab_debug=- no_debug_objects"
fi
run_limit="${limit:-$run_limit}"
if [ -n "$install" ]; then
	[ -x "$install/run_kselftest.sh" ] || die "-i $install: no run_kselftest.sh there"
else
	install_tests
fi
# shellcheck disable=SC1091 # the tree's
. "$install/kselftest/ktap_helpers.sh"

[ -n "$KSRC" ] || KSRC="$(realpath -m "$([ -e "$dir/../lib.mk" ] && echo "$dir/../../../.." ||
	echo "$cache/linux")")"
if [ -n "$to_build$neighbours" ] && [ ! -e "$KSRC/tools/testing/selftests/lib.mk" ]; then
	die "$KSRC is no kernel tree: run 'make setup', or give KSRC="
fi
[ -z "$neighbours" ] || install_neighbours
[ -z "$to_build" ] || build_kernel
for i in "${!kernels[@]}"; do
	[ "${kernels[i]}" = all ] || continue
	attended all_releases >"$work/releases"
	if [ -s "$work/releases" ]; then
		mapfile -t -O "${#kernels[@]}" kernels <"$work/releases"
		unset "kernels[i]"
	else
		broken[all]="no kernels are known: see above"
	fi
done
kernels=("${kernels[@]}")
# The tests are mostly one thing at a time, and emulation is all work of the host
if [ -z "$jobs" ]; then
	jobs=$(nproc)
	[ -n "$slow" ] || jobs=$(((jobs + cpus - 1) / cpus))
fi
[ "$jobs" -lt "${#kernels[@]}" ] || jobs="${#kernels[@]}"
# More emulated processors than the host's own only wait for each other
[ -z "$slow" ] || [ "$((cpus * jobs))" -le "$(nproc)" ] || cpus=1

if [ -n "$shell" ]; then
	[ "${#kernels[@]}" -eq 1 ] || die "-s needs one kernel"
	shell_in_vm "${kernels[0]}"
fi

[ -z "$slow" ] || pack_tools || die "cannot be written: $work/tools.tar"
[ "$#" -gt 0 ] || set -- -c mptcp_mark
if [ -n "$command" ]; then
	write_guest bash -c "$command"
elif [ -n "$neighbours" ]; then
	write_guest "$dir/scripts/neighbours.sh" . "$neighbours"
else
	write_guest ./run_kselftest.sh -o "$run_limit" "$@"
fi || die "cannot be written: $work/guest"
run_matrix
if [ "$KTAP_CNT_FAIL" -eq 0 ] &&
   { [ -n "$no_mptcp" ] || [ "$KTAP_CNT_SKIP" -eq "${#kernels[@]}" ]; }; then
	ktap_print_totals
	exit "$KSFT_SKIP"
fi
ktap_finished
