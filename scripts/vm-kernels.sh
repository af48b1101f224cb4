# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For vmtest.sh: kernels to boot, those of the Debian archive and those built here
# shellcheck disable=SC2154 # of vmtest.sh

# Packages of a release: newer ones are of several parts
archive_packages()
{
	private_apt apt-cache search --names-only "^linux-($1)-$2-$apt_arch\$" | cut -d' ' -f1 |
		grep -vE -- '-(cloud|rt)-' | sort -V
}

# What -k all stands for
all_releases()
{
	use_archive kernels
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
	{ make_cache "$cache" && mkdir -p "$cache/kernels"; } ||
		die "$cache/kernels cannot be written"
	exec 8<"$cache/kernels"
	flock 8
	found="$(find "$cache/kernels" -maxdepth 1 -name "$1[.+-]*-$apt_arch" | sort -V |
		 tail -n 1)"
	if [ -n "$found" ]; then
		echo "$found"
		return
	fi

	use_archive kernels
	package="$(archive_packages image "${1//./[.]}[.+-].*" | sort -rV)"
	[ -n "$package" ] || die "the archive has no kernel $1, but $(all_releases | xargs)"
	# An index may name one that is not there: then the next one is
	for package in $package; do
		found="${package#linux-image-}"
		packages="${found%"-$apt_arch"}"
		packages="$(archive_packages 'image|binary|modules' "${packages//+/[+]}")"
		say "fetching $found"
		rm -f "$apt_state"/*.deb
		# shellcheck disable=SC2086 # a package a word
		(download $packages) >&2 && break
		found=
	done
	[ -n "$found" ] || exit
	rm -f "$reason"

	part="$cache/kernels/$found.part"
	trap 'rm -rf "$part"' EXIT
	rm -rf "$part"
	mkdir -p "$part"
	for deb in "$apt_state"/*.deb; do
		if { dpkg-deb --fsys-tarfile "$deb" |
		     tar -x -C "$part" --exclude=./usr/share; } 2>"$log"; then
			rm "$deb"
			continue
		fi
		why="$(grep -v Exiting "$log" | tail -n 1)"
		die "could not be unpacked in $cache: ${why##*: }"
	done
	[ -e "$part/lib" ] || ln -s usr/lib "$part/lib"
	depmod -b "$part" "$(basename "$part"/lib/modules/*)" 2>"$log" ||
		die "its modules cannot be listed in $cache: $(tail -n 1 "$log")"
	mv "$part" "${part%.part}" || die "$cache/kernels cannot be written"
	give_to_caller "$cache"
	echo "${part%.part}"
}

is_kernel()
{
	file -bL "$1" | grep -qE "^($kernel_type)"
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
		echo "this file is no kernel for $PLATFORM" >"$reason"
		return 1
	fi
	for image in "$found/arch/$karch/boot"/{bzImage,Image} "$found"/boot/vmlinuz-* \
		     "$found"/lib/modules/*/vmlinuz; do
		[ -e "$image" ] && is_kernel "$image" && realpath "$image" && return
	done
	echo "no kernel for $PLATFORM was built in this folder: build one, or give -b" >"$reason"
	return 1
}

# ---- A kernel of one's own

# What makes a debug kernel one: kernel/configs/debug.config has most of it
debug_options=(KASAN DEBUG_KMEMLEAK PROVE_LOCKING PROVE_RCU DEBUG_ATOMIC_SLEEP DEBUG_LIST)

# $1: the build folder, the rest: files of options, of which the last of a name holds.
# All that they do not name is off: a kernel of what the tests need is built the sooner
configure_kernel()
{
	local out="$1"
	shift

	awk 1 "$@" >"$out/options" &&
		make -C "$KSRC" "${cross_args[@]}" "O=$out" "KCONFIG_ALLCONFIG=$out/options" \
			allnoconfig
}

make_kernel()
{
	make -C "$KSRC" "${cross_args[@]}" "O=$1" "-j$(nproc)"
}

# Of the files, the options that the kernel in the folder $1 does not have as they say
other_options()
{
	local out="$1" line name
	shift

	while read -r line; do
		name="${line#"# "}"
		name="${name%%[ =]*}"
		case "$line" in
		"# "* | *=n) ! grep -q "^$name=" "$out/.config" || echo "$name=n" ;;
		*) grep -qxF -e "$line" -e "$name=y" "$out/.config" || echo "$line" ;;
		esac
	done < <(grep -hE '^(CONFIG_[^ ]*=|# CONFIG_[^ ]* is not set)' "$@")
}

# The same, with a note of why it fails
try_configuration()
{
	attended configure_kernel "$out" "$@" >"$out.log" 2>&1 && return
	broken["$out"]="cannot be configured: $(tail -n 1 "$out.log"), see $out.log"
	return 1
}

build_kernel()
{
	local out="$build/kernel$debug" ours=("$dir/config") all fragment other

	for fragment in "${fragments[@]}"; do
		out+="-$(basename "$fragment" .config)-$(cksum <<<"$fragment" | cut -d' ' -f1)"
	done
	mkdir -p "$out" || exit
	out="$(realpath "$out")"
	kernels+=("$out")
	all=("$dir/scripts/vm.config" "${ours[@]}")
	if [ -n "$debug" ]; then
		printf 'CONFIG_%s=y\n' "${debug_options[@]}" >"$out/debug"
		ours+=("$out/debug")
		all+=("$KSRC/kernel/configs/debug.config" "$out/debug")
	fi
	say "configuring the kernel in $out"
	try_configuration "${all[@]}" || return
	other="$(other_options "$out" "${ours[@]}")"
	if [ -z "$other" ] && [ "${#fragments[@]}" -gt 0 ]; then
		try_configuration "${all[@]}" "${fragments[@]}" || return
		other="$(other_options "$out" "${ours[@]}")"
		[ -z "$other" ] || say "switched off by -c: $(xargs <<<"$other")"
		other="$(other_options "$out" "${fragments[@]}")"
	fi
	if [ -n "$other" ]; then
		broken["$out"]="$KSRC cannot have $(xargs <<<"$other"): see $out/.config"
		return
	fi
	say "building it: this takes a while"
	attended make_kernel "$out" >>"$out.log" 2>&1 ||
		broken["$out"]="does not build: $(grep -m1 -i error "$out.log"), see $out.log"
}
