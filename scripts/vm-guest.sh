# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For vmtest.sh: VMs of QEMU that boot a kernel with an initramfs. That is in three
# parts: a root of Debian's packages, the kernel's modules, and what is to be run.
# shellcheck disable=SC2154 # of vmtest.sh

# What the tests, and upstream's, run
root_packages=(
	base-files bash busybox-static coreutils curl dash diffutils ethtool findutils grep gzip
	hostname iproute2 iptables iputils-ping kmod libc-bin libelf1 mawk mount mptcpize
	netbase nftables perl-base procps python3 sed tcpdump usr-is-merged util-linux
)

# The kernel's modules for them, where it has any, and all that those need
wanted_modules="^kernel/(net/(8021q|bridge|core|ipv4|ipv6|key|mptcp|netfilter|netlink|packet|"
wanted_modules+="psample|sched|unix|xfrm)/|drivers/net/(dummy|ifb|veth)[.]|"
wanted_modules+="(arch/.*/)?crypto/crc32c)"

# Emulated, all takes longer: the kernel's own limits grow with ours
slow=
cpus=2
memory=2G
boot_limit=60
run_limit=600
test_limit=120
# Of mitigations, the kernel warns: not what is to be found here
append="loglevel=6 mitigations=off kmemleak=on printk.time=1 printk.devkmsg=on"
append+=" log_buf_len=4M panic=-1 ${APPEND:-}"

# That there is a /dev/kvm does not mean that it works, nor that it is no emulation
# itself: let it count to 100,000,000, in less than a second where it is none
kvm_works()
{
	local kvm=("$QEMU" -accel kvm -cpu host -nodefaults -display none) sector="$work/sector"

	[ "$PLATFORM" = "$(uname -m)" ] || return
	if [ "$PLATFORM" != x86_64 ]; then
		(timeout 10 "${kvm[@]}" "${machine[@]}" -chardev null,id=c -S -monitor stdio <<<quit
		 exit) >/dev/null 2>&1
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

set_limits()
{
	if kvm_works; then
		machine+=(-accel kvm -cpu host)
	else
		slow=yes
		boot_limit=180
		run_limit=1800
		test_limit=600
		machine+=(-accel tcg -cpu "$cpu")
		append+=" rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60"
	fi
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
	# The tests are mostly one thing at a time, and emulation is all work of the host
	if [ -z "$jobs" ]; then
		jobs=$(nproc)
		[ -n "$slow" ] || jobs=$(((jobs + cpus - 1) / cpus))
	fi
	[ "$jobs" -lt "${#kernels[@]}" ] || jobs="${#kernels[@]}"
	# More emulated processors than the host's own only wait for each other
	[ -z "$slow" ] || [ "$((cpus * jobs))" -le "$(nproc)" ] || cpus=1
	# Before QEMU 8.1, one may run what another has just changed: now and then, a kernel
	# that patches itself dies by an int3, multipath-tcp/mptcp_net-next issue 471
	[[ -z "$slow" || "$PLATFORM" != x86_64 ||
	   "$("$QEMU" --version)" != *" version "@([1-7].|8.0)* ]] || cpus=1
}

# ---- The initramfs

# The folder $1, or what of it is named on stdin, as an archive: to stdout
pack()
{
	(cd "$1" && cpio --null -o -H newc -R 0:0 --quiet) | zstd -q -T0 "-${2:-3}"
}

# Packages are unpacked, but none of their programs is run: what their scripts
# would have done is done here
unpack_root()
{
	local root="$1" deb link

	mkdir -p "$root"/{dev,proc,sys,run,tmp,root,etc,var,mnt} "$root"/usr/{bin,sbin,lib,lib64}
	ln -s usr/{bin,sbin,lib,lib64} "$root"
	for deb in "$apt_state"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" \
			--exclude=./usr/share/{doc,man,locale,info,bash-completion,perl5} || return
	done
	ln -sf dash "$root/usr/bin/sh"
	ln -sf mawk "$root/usr/bin/awk"
	for link in ip{,6}tables{,-save,-restore}; do
		ln -sf xtables-nft-multi "$root/usr/sbin/$link"
	done
	rm -rf "$root/var/run"
	ln -s /run "$root/var/run"
	cat >"$root/etc/passwd" <<-PASSWD
		root:x:0:0:root:/root:/bin/bash
		tcpdump:x:100:100::/nonexistent:/usr/sbin/nologin
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
	PASSWD
	printf '%s\n' root:x:0: tcpdump:x:100: nogroup:x:65534: >"$root/etc/group"
	printf '%s\n' "127.0.0.1 localhost" "::1 localhost" >"$root/etc/hosts"
}

# All of the folder $1 but what is for compilers alone
pack_root()
{
	(cd "$1" && find . -path ./usr/include -prune -o ! -name "*.[ao]" -print0) | pack "$1" 10
}

# Debian's is built once for each platform, for this and other runs. In a shell of its own
get_root()
{
	local packages=("${root_packages[@]}") part="$sysroot.part" contents why

	rm -f "$work/root.cpio.zst"
	if [ -n "$ROOT" ]; then
		[ -x "$ROOT/bin/bash" ] || die "ROOT=$ROOT: no bin/bash there"
		pack_root "$ROOT" >"$work/root.cpio.zst" || die "ROOT=$ROOT cannot be packed"
		return
	fi
	# For what is built for it, the headers and libraries are there
	[ -z "$cross" ] || packages+=(libelf-dev zlib1g-dev)
	contents="$VERSION_CODENAME: ${packages[*]}"
	make_cache "$cache" || die "$cache cannot be written"
	exec 8<"$cache"
	flock 8
	if [ "$(cat "$sysroot.packages" 2>/dev/null)" != "$contents" ]; then
		trap 'rm -rf "$part"*' EXIT
		use_archive root
		say "fetching the root file system, Debian's packages for $PLATFORM: about 45 MB"
		private_apt apt-get -qq -y install --download-only --no-install-recommends \
			"${packages[@]}" >&2 || die "the root cannot be fetched: see above"
		rm -rf "$part"* "$sysroot"*
		if ! {
			unpack_root "$part" && pack_root "$part" >"$part.cpio.zst"
		} 2>"$work/root.log"; then
			why="$(grep -v Exiting "$work/root.log" | tail -n 1)"
			die "the root cannot be made in $cache: ${why##*: }"
		fi
		rm "$apt_state/cache/archives"/*.deb
		{
			mv "$part" "$sysroot" && mv "$part.cpio.zst" "$sysroot.cpio.zst" &&
				echo "$contents" >"$sysroot.packages"
		} || die "$cache cannot be written"
		give_to_caller "$cache"
	fi
	ln -s "$sysroot.cpio.zst" "$work/root.cpio.zst"
}

# A folder of links as "make modules_install" makes one of files, for the kernel
# that was built in the folder $1
link_modules()
{
	local version module

	version="$(cat "$1/include/config/kernel.release")" || return
	while read -r module; do
		mkdir -p "$2/lib/modules/$version/kernel/${module%/*}"
		ln -s "$1/${module%.*}.ko" "$2/lib/modules/$version/kernel/${module%/*}"
	done < <(cat "$1/modules.order" 2>/dev/null)
	cp "$1"/modules.{builtin*,order} "$2/lib/modules/$version" 2>/dev/null
	depmod -b "$2" "$version" 2>/dev/null
}

# Of the kernel image $1, the modules that are wanted, and what they need: to stdout.
# $2: a folder to work in
pack_modules()
{
	local image="$1" lib="${1%/*}" to="$2/modules"

	rm -rf "$2/links" "$to"
	case "$image" in
	*/arch/*/boot/*)
		link_modules "${image%/arch/*}" "$2/links"
		lib="$(echo "$2"/links/lib/modules/*)"
		;;
	*/boot/vmlinuz-*)
		lib="${image%/boot/*}/lib/modules/${image##*/vmlinuz-}"
		;;
	esac
	[ -s "$lib/modules.dep" ] || return 0
	# As in the root, lib is a link
	mkdir -p "$to/usr/lib/modules/${lib##*/}"
	ln -s usr/lib "$to"
	(cd "$lib" && awk -F: -v "w=$wanted_modules" '$1 ~ w { print $1 $2 }' modules.dep |
		tr ' ' '\n' | sort -u |
		xargs cp -L --parents -t "$to/lib/modules/${lib##*/}" modules.{builtin*,order})
	find "$to" -name '*.ko.xz' -exec unxz {} + -o -name '*.ko.zst' -exec zstd -dq --rm {} + \
		-o -name '*.ko.gz' -exec gunzip {} +
	[ ! -e "$2/links" ] ||
		find "$to" -name '*.ko' -exec "${cross:+$triplet-}strip" --strip-debug {} +
	depmod -b "$to" "${lib##*/}" && (cd "$to" && find usr -print0) | pack "$to"
}

# The tests, and what -f names, for /root of the guest; "$@" is the command to run there
pack_tests()
{
	local root="$work/root"

	rm -rf "$root"
	mkdir -p "$root/root" &&
		cp -rT "$install" "$root/root/kselftest" &&
		cp "$dir/scripts/vm-init.sh" "$root/init" &&
		{ [ -z "$neighbours" ] || cp -r "$neighbours" "$root/root"; } &&
		{ [ "${#files[@]}" -eq 0 ] || cp -rHt "$root/root" -- "${files[@]}"; } || return
	{
		printf 'export PLATFORM=%q KSFT_MACHINE_SLOW=%q\n' "$PLATFORM" "$slow"
		printf '%s=%q\n' test_limit "$test_limit" console "$console" shell "$shell" \
			unchecked "${command:+yes}"
		printf 'command=('
		printf '%q ' "$@"
		echo ")"
	} >"$root/vmtest" && (cd "$root" && find . -print0) | pack "$root" >"$work/tests.cpio.zst"
}

# ---- VMs

# The QEMU of a VM in the folder $1, which has the kernel and the initramfs
qemu_command()
{
	qemu=("$QEMU" "${machine[@]}" -nodefaults -no-user-config -display none -no-reboot
	      -smp "$cpus" -m "$memory" -kernel "$(cat "$1/image")" -initrd "$1/initrd"
	      -append "console=$console $append")
}

make_initramfs()
{
	{
		cat "$work/root.cpio.zst" && pack_modules "$(cat "$1/image")" "$1" &&
			cat "$work/tests.cpio.zst"
	} >"$1/initrd" 2>"$1/initrd.log" && return
	echo "its initramfs cannot be made: $(tail -n 1 "$1/initrd.log")" >"$1/reason"
	return 1
}

# All that one VM runs is a process group, that of the pid noted
end_vm()
{
	local pid i

	pid="$(cat "$1/pid" 2>/dev/null)" || return 0
	kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null
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
	rm -rf "$work"/{root,apt-*} "$work"/[0-9]*/{initrd,links,modules}
}

# What vm-init.sh says, of the VM in folder $1
vm_says()
{
	grep -aq "vm| vmtest: $2" "$1/console"
}

# In the folder $1: boots, and ends what hangs. The console comes through a pipe, as
# QEMU truncates files that it writes to
run_vm()
{
	local limit="$boot_limit" phase=boot qemu

	cd "$1" || exit
	SECONDS=0
	touch console
	if make_initramfs "$1"; then
		qemu_command "$1"
		# shellcheck disable=SC2016 # for sh to expand
		setsid sh -c 'echo $$ >pid; [ -e ../stop ] || exec "$@"' sh "${qemu[@]}" \
			-chardev stdio,id=c,signal=off </dev/null 2>qemu.log 9>&- |
			stdbuf -oL tr -d '\r' >console &
	fi
	while [ -n "$(jobs -rp)" ]; do
		if [ "$phase" = boot ] && vm_says . "up "; then
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
	rm -rf initrd links modules
	echo "$SECONDS" >seconds
}

shell_in_vm()
{
	local qemu

	reason="$work/0/reason"
	mkdir -p "$work/0"
	attended find_kernel "$1" >"$work/0/image" || die "$1: $(cat "$reason")"
	make_initramfs "$work/0" || die "$1: $(cat "$reason")"
	qemu_command "$work/0"
	"${qemu[@]}" -chardev stdio,id=c,signal=off,mux=on -mon c <&0 9>&- &
	echo "$!" >"$work/0/pid"
	wait "$!"
	exit
}
