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
	Usage: $0 -d DIR | -k
	  -d DIR  install the packages, get a kernel source tree: DIR/linux
	  -k      install the packages only, there is a tree (KSRC) already
	USAGE
}

die()
{
	echo "setup: $*" >&2
	exit 1
}

packages_debian=(
	# build
	gcc libc6-dev make rsync openssl libelf-dev libssl-dev zlib1g-dev
	# run
	bpftool curl iproute2 mptcpize nftables procps python3 tcpdump
	# check
	perl shellcheck xz-utils debootstrap
)

other_distribution()
{
	cat >&2 <<-TEXT
	setup: ${PRETTY_NAME:-this system} is not Debian 12 or 13. Install these packages by hand:
	  Ubuntu: gcc libc6-dev make rsync openssl libelf-dev libssl-dev zlib1g-dev
	          clang llvm linux-tools-common curl iproute2 mptcpize nftables
	          procps python3 tcpdump perl shellcheck
	  Fedora: gcc glibc-devel make rsync openssl elfutils-libelf-devel openssl-devel
	          zlib-devel clang llvm bpftool curl iproute iproute-tc mptcpd
	          nftables procps-ng python3 tcpdump perl ShellCheck
	  Arch:   gcc make rsync openssl libelf zlib clang llvm bpf curl iproute2
	          mptcpd nftables procps-ng python tcpdump perl shellcheck
	setup: then give a kernel source tree, 6.12 or newer: make KSRC=/path/to/linux
	TEXT
	exit 1
}

install_packages()
{
	local missing=() pkg sudo=()

	for pkg in "${packages_debian[@]}"; do
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

# Where the system's own release comes from
find_archive()
{
	local release component uri

	# shellcheck disable=SC2016 # for apt-get to expand
	while read -r release component uri; do
		case "$release $component" in
		"$VERSION_CODENAME main" | "stable main" | "oldstable main")
			echo "$uri"
			return
			;;
		esac
	done < <(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
		 'Created-By: Packages')
	die "no Debian $VERSION_CODENAME in apt's sources: give a tree, KSRC=/path/to/linux"
}

private_apt()
{
	local cmd="$1"
	shift
	"$cmd" -c "$work/apt.conf" "$@"
}

get_tree()
{
	local suites=("$VERSION_CODENAME" "$VERSION_CODENAME-backports") suite source deb tree
	local archive keyring

	archive="$(find_archive)"
	keyring="$(find /usr/share/keyrings -name 'debian-archive-keyring.[gp]*' -print -quit)"
	# Debian 12's own backports stop at an older kernel
	[ "$VERSION_ID" = 12 ] && suites+=(trixie-backports)

	mkdir -p "$dir"
	work="$(mktemp -d "$dir/setup.XXXXXX")"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' INT TERM

	mkdir -p "$work"/{lists,cache}/partial "$work/cache/archives/partial"
	for suite in "${suites[@]}"; do
		echo "deb ${keyring:+[signed-by=$keyring]} $archive $suite main"
	done >"$work/sources.list"
	cat >"$work/apt.conf" <<-CONF
		Dir::State "$work";
		Dir::State::lists "$work/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$work/cache";
		Dir::Etc::sourcelist "$work/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	CONF

	echo "setup: looking for the newest kernel source in ${suites[*]}"
	private_apt apt-get -q update || die "the Debian archive cannot be read: see above"
	source="$(private_apt apt-cache search --names-only '^linux-source-[0-9.]+$' |
		  cut -d' ' -f1 | sort -V | tail -n 1)"
	[ -n "$source" ] || die "${suites[*]}: no linux-source package there"

	echo "setup: downloading $source"
	(cd "$work" && private_apt apt-get -q download "$source") ||
		die "download of $source failed"
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
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-}" "$dir"
	echo "setup: kernel tree in $dir/linux"
}

dir=
work=
while getopts "d:kh" opt; do
	case "$opt" in
	d) dir="$OPTARG" ;;
	k) ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done
[ "$OPTIND" -gt 1 ] || { usage >&2; exit 1; }

# shellcheck disable=SC1091 # not ours
. /etc/os-release

case "${ID:-} ${VERSION_ID:-}" in
"debian 12") packages_debian+=(clang-19 llvm-19) ;;
"debian 13") packages_debian+=(clang llvm) ;;
*) other_distribution ;;
esac

install_packages
if [ -n "$dir" ] && [ ! -e "$dir/linux/MAINTAINERS" ]; then
	get_tree
fi
