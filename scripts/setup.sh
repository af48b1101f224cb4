#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Install what building and running the tests takes, and get a kernel tree.
# What is there already stays as it is; no package source is added to the
# system: a private apt state looks into the backports.

set -eu -o pipefail

usage()
{
	cat <<-USAGE
	Usage: $0 -d DIR | -k | -v
	  -d DIR  install the packages, get a kernel source tree: DIR/linux
	  -k      install the packages only, there is a tree (KSRC) already
	  -v      install what vmtest.sh takes besides, for PLATFORM where that is set
	USAGE
}

die()
{
	echo "setup: $*" >&2
	exit 1
}

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/archive.sh"

packages_debian=(
	# build
	gcc libc6-dev make rsync openssl libelf-dev libssl-dev zlib1g-dev
	# run
	curl iproute2 mptcpize nftables procps python3 tcpdump
	# check
	perl shellcheck aspell aspell-en xz-utils debootstrap help2man python3-tap
)

packages_vm=(bc bison cpio dwarves file flex kmod zstd)

other_distribution()
{
	cat >&2 <<-TEXT
	setup: ${PRETTY_NAME:-this system} is not Debian 12 or 13. Install these packages by hand:
	  Ubuntu: gcc libc6-dev make rsync openssl libelf-dev libssl-dev zlib1g-dev
	          clang llvm curl iproute2 mptcpize nftables
	          procps python3 tcpdump perl shellcheck
	  Fedora: gcc glibc-devel make rsync openssl elfutils-libelf-devel openssl-devel
	          zlib-devel clang llvm curl iproute iproute-tc mptcpd
	          nftables procps-ng python3 tcpdump perl ShellCheck
	  Arch:   gcc make rsync openssl libelf zlib clang llvm curl iproute2
	          mptcpd nftables procps-ng python tcpdump perl shellcheck
	setup: and for vmtest.sh QEMU, cpio, file, kmod and zstd, and a folder with a root: ROOT=
	setup: then give a kernel source tree, 6.12 or newer: make KSRC=/path/to/linux
	TEXT
	exit 1
}

install_packages()
{
	local missing=() pkg sudo=()

	for pkg in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$pkg" 2>/dev/null | grep -qx installed ||
			missing+=("$pkg")
	done
	[ "${#missing[@]}" -eq 0 ] && return

	echo "setup: installing ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "root is needed, as there is no sudo: apt-get install ${missing[*]}"
		sudo=(sudo)
	fi
	"${sudo[@]}" apt-get -q update
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends "${missing[@]}"
}

# On the file system of what is made in it
make_work()
{
	make_cache "$dir"
	work="$(mktemp -d "$dir/setup.XXXXXX")"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' INT TERM
}

get_tree()
{
	local suites=("$VERSION_CODENAME" "$VERSION_CODENAME-backports") source deb tree

	# Debian 12's own backports stop at an older kernel
	[ "$VERSION_ID" = 12 ] && suites+=(trixie-backports)

	make_work
	echo "setup: looking for the newest kernel source in ${suites[*]}"
	open_archive "$work" "${suites[@]}"
	source="$(private_apt apt-cache search --names-only '^linux-source-[0-9.]+$' |
		  cut -d' ' -f1 | sort -V | tail -n 1)"
	[ -n "$source" ] || die "${suites[*]}: no linux-source package there"

	echo "setup: downloading $source"
	download "$source"
	deb="$(echo "$work/${source}"_*.deb)"
	# 7.3.4-1~bpo13+1, of linux-source-7.3_7.3.4-1~bpo13+1_all.deb
	tree="linux-$(dpkg-deb -f "$deb" Version)"

	echo "setup: unpacking $tree, a dot for every 5000 files or so"
	mkdir "$work/tree"
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$source.tar.xz" |
		tar -xJ --strip-components=1 --checkpoint=10000 --checkpoint-action=dot \
		    -C "$work/tree" || die "unpacking failed: is there room for 2 GB in $dir?"
	echo

	# Only a whole tree gets its name
	rm -rf "${dir:?}/$tree"
	mv "$work/tree" "$dir/$tree"
	ln -sfn "$tree" "$dir/linux"
	give_to_caller "$dir"
	echo "setup: kernel tree in $dir/linux"
}

# QEMU of the platform, and a compiler for it
add_platform()
{
	case "${PLATFORM:-$(uname -m)}" in
	x86_64) packages_vm+=(qemu-system-x86) ;;
	aarch64) packages_vm+=(qemu-system-arm) ;;
	s390x) packages_vm+=(qemu-system-misc) ;;
	*) die "PLATFORM=${PLATFORM:-$(uname -m)}: not one of x86_64, aarch64, s390x" ;;
	esac
	[ "${PLATFORM:-$(uname -m)}" = "$(uname -m)" ] ||
		packages_vm+=("gcc-${PLATFORM//_/-}-linux-gnu")
}

dir=
vm=
work=
while getopts "d:kvh" opt; do
	case "$opt" in
	d) dir="$OPTARG" ;;
	v) vm=1 ;;
	k) ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done
[ "$OPTIND" -gt 1 ] || { usage >&2; exit 1; }

# shellcheck disable=SC1091 # not ours
. /etc/os-release

case "${ID:-} ${VERSION_ID:-}" in
"debian 12") packages_debian+=(clang-19 llvm-19 lld-19) ;;
"debian 13") packages_debian+=(clang llvm lld) ;;
*) other_distribution ;;
esac

if [ -n "$vm" ]; then
	add_platform
	install_packages "${packages_vm[@]}"
	exit
fi

install_packages "${packages_debian[@]}"
if [ -n "$dir" ] && [ ! -e "$dir/linux/MAINTAINERS" ]; then
	get_tree
fi
