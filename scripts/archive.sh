# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# To be sourced: packages of the Debian archive, downloaded but not installed.
# No package source is added to the system: a private apt state has its own.
# shellcheck disable=SC2154 # die() and VERSION_CODENAME are the caller's

# Where all that is fetched is kept: SETUP_DIR of GNUmakefile
cache_dir()
{
	local home="${HOME:-}"

	if [ -n "${SUDO_USER:-}" ] || [ -z "$home" ]; then
		home="$(getent passwd "${SUDO_USER:-$(id -u)}" | cut -d: -f6)"
	fi
	echo "${XDG_CACHE_HOME:-$home/.cache}/mptcp_mark"
}

# What sudo makes belongs to who called it
give_to_caller()
{
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-}" "$1"
}

# $1: the cache, and ~/.cache where there is none yet
make_cache()
{
	[ -d "${1%/*}" ] || { mkdir -p "${1%/*}" && give_to_caller "${1%/*}"; } || return
	mkdir -p "$1"
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
	die "no Debian $VERSION_CODENAME in apt's sources"
}

private_apt()
{
	local cmd="$1"
	shift
	"$cmd" -c "$apt_state/apt.conf" "$@"
}

# $1: folder for the state, the rest: the suites to look into, for $apt_arch where
# that is set. One that cannot be read is said, and the others are enough
open_archive()
{
	local archive keyring suite list update=(apt-get -q -o APT::Update::Error-Mode=any)

	apt_state="$1"
	shift
	archive="$(find_archive)" || exit
	keyring="$(find /usr/share/keyrings -name 'debian-archive-keyring.[gp]*' -print -quit)"

	mkdir -p "$apt_state"/{lists,cache}/partial "$apt_state/cache/archives/partial" \
		"$apt_state/sources"
	cat >"$apt_state/apt.conf" <<-CONF
		APT::Architecture "${apt_arch:-$(dpkg --print-architecture)}";
		#clear APT::Architectures;
		Dir::State "$apt_state";
		Dir::State::lists "$apt_state/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt_state/cache";
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$apt_state/sources";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Get::List-Cleanup "false";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	CONF
	for suite in "$@"; do
		list="$apt_state/sources/$suite.list"
		echo "deb ${keyring:+[signed-by=$keyring]} $archive $suite main" >"$list"
		private_apt "${update[@]}" -o "Dir::Etc::sourcelist=$list" \
			-o Dir::Etc::sourceparts=/dev/null update && continue
		echo "${0##*/}: $suite of the Debian archive cannot be read: see above" >&2
		rm "$list"
	done
	[ -n "$(ls "$apt_state/sources")" ] || die "the Debian archive cannot be read: see above"
}

# Download packages into the folder of the state
download()
{
	(cd "$apt_state" && private_apt apt-get -q download "$@") || die "download of $* failed"
}
