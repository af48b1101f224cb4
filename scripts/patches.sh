#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make patches: the kselftest as a series for a git tree, one patch for each file
# of scripts/series. The commits are made in an object store and an index of
# their own: nothing is written to the tree.

set -u

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

ksrc="${1:-}"
prefix="${PREFIX:-PATCH mptcp-next}"
outgoing="$(realpath -ms "${OUTGOING:-$here/outgoing}")"
check_tree "$ksrc"
ksrc="$(cd "$ksrc" && pwd -P)"

ingit()
{
	git -C "$ksrc" -c user.useConfigOnly=true -c core.hooksPath=/dev/null "$@"
}

[ "$(ingit rev-parse --show-toplevel 2>/dev/null)" = "$ksrc" ] ||
	die "KSRC=$ksrc is no git tree: give a clone of it"
base="$(ingit rev-parse --verify -q HEAD)" || die "KSRC=$ksrc has no commit to start from"
ingit var GIT_AUTHOR_IDENT >/dev/null 2>&1 ||
	die "git does not know who you are: git config --global user.name and user.email"
[ -z "$(ingit ls-tree HEAD "$target")" ] ||
	die "HEAD of $ksrc has $target already: check out a commit without"
paths=("$target" MAINTAINERS tools/testing/selftests/Makefile)
[ -z "$(ingit --no-optional-locks status --porcelain -- "${paths[@]}")" ] ||
	die "$ksrc has changes that are not committed in ${paths[*]}: commit or remove them"

tmp="$(mktemp -d -t mptcp_mark-patches-XXXXXX)" || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
mkdir "$tmp/objects" "$tmp/out"
GIT_ALTERNATE_OBJECT_DIRECTORIES="$(ingit rev-parse --path-format=absolute --git-path objects)"
export GIT_ALTERNATE_OBJECT_DIRECTORIES
export GIT_OBJECT_DIRECTORY="$tmp/objects" GIT_INDEX_FILE="$tmp/index"

# $1: path in the tree, $2: mode, content from stdin
put()
{
	local blob

	blob="$(ingit hash-object -w --stdin)" &&
		ingit update-index --add --cacheinfo "$2,$blob,$1" || exit 1
}

# $1: file in the tree, $2: a line of it, $3: new line before that
put_line_before()
{
	local new="$tmp/file"

	ingit show "HEAD:$1" | perl -pe 'BEGIN { ($at, $new) = splice(@ARGV, 0, 2) }
		print "$new\n" if $_ eq "$at\n"' "$2" "$3" >"$new"
	[ "$(grep -cxF "$3" "$new")" -eq 1 ] || die "$1 of $ksrc has no line '$2'"
	put "$1" 100644 <"$new"
	cp "$new" "$tmp/${1##*/}"
}

# What a line of our Makefile is about comes with the file that it names
put_makefile()
{
	local file absent=$'\n'

	for file in $(tree_files); do
		[[ " ${here_now[*]} " == *" $file "* ]] ||
			absent+="$(basename "${file%.c}" .h)"$'\n'
	done
	ABSENT="$absent" perl -ne '
		next if /^(?:TEST_PROGS|TEST_FILES|TEST_GEN_PROGS_EXTENDED) .?= ([\w.]+)$/ &&
			index($ENV{ABSENT}, "\n" . $1 . "\n") >= 0;
		print' "$here/Makefile" | put "$target/Makefile" 100644
}

ingit read-tree HEAD || exit 1
put_line_before MAINTAINERS $'F:\ttools/testing/selftests/net/mptcp/' \
	$'F:\ttools/testing/selftests/mptcp_mark/'

commit="$base"
here_now=()
for step in $(printf '%s\n' "$here"/scripts/series/[1-9]* | sort -V); do
	read -ra step_files < <(sed -n 's/^Files: //p' "$step")
	here_now+=("${step_files[@]}")
	for file in "${step_files[@]}"; do
		mode=100644
		[ ! -x "$here/$file" ] || mode=100755
		put "$target/$file" "$mode" <"$here/$file"
	done
	if [[ " ${here_now[*]} " == *" Makefile "* ]]; then
		put_makefile
		put_line_before tools/testing/selftests/Makefile "TARGETS += mqueue" \
			"TARGETS += mptcp_mark"
	fi
	tree="$(ingit write-tree)" &&
		commit="$(sed '/^Files: /d' "$step" | git stripspace |
			  ingit commit-tree "$tree" -p "$commit" -F -)" || exit 1
done

ingit format-patch -q --stat --signoff --cover-letter --base="$base" --subject-prefix="$prefix" \
	-o "$tmp/out" "$base..$commit" || exit 1

# The line for MAINTAINERS comes first, and is said to checkpatch in each patch
# that adds files, below what "git am" takes as the message
first=
for patch in "$tmp/out"/*.patch; do
	[ "${patch##*/}" != 0000-cover-letter.patch ] || continue
	[ -z "$first" ] || ! grep -q '^new file mode' "$patch" ||
		perl -i -pe '
			$_ .= "MAINTAINERS | the new folder is in patch 1\n\n"
				if /^---$/ && !$n++' "$patch"
	first="$patch"
done

# By the MAINTAINERS of patch 1
recipients()
{
	(cd "$ksrc" && env -u GIT_INDEX_FILE -u GIT_OBJECT_DIRECTORY \
		scripts/get_maintainer.pl --mpath "$tmp/MAINTAINERS" --nogit --nogit-fallback \
		--norolestats "$@" "$tmp"/out/0*.patch 2>/dev/null) |
		paste -sd, | sed 's/,/,\n    /g'
}

to="$(recipients --nol --nor)"
cc="$(recipients --nom)"
[ -n "$to" ] || die "scripts/get_maintainer.pl of $ksrc names nobody"
for patch in "$tmp"/out/*.patch; do
	TO="$to" CC="$cc" perl -i -pe '
		print "To: $ENV{TO}\nCc: $ENV{CC}\n" if /^$/ && !$done++' "$patch"
done
sed -i "/^ create mode /d" "$tmp/out/0000-cover-letter.patch"
SUBJECT="$(head -n 1 "$here/scripts/series/0-cover")" \
	BLURB="$(tail -n +3 "$here/scripts/series/0-cover")" \
	perl -i -pe 's/\*\*\* SUBJECT HERE \*\*\*/$ENV{SUBJECT}/;
		     s/\*\*\* BLURB HERE \*\*\*/$ENV{BLURB}/' "$tmp/out/0000-cover-letter.patch"

if ! mkdir -p "$outgoing" || ! echo "*" >"$outgoing/.gitignore" ||
   ! rm -f "$outgoing"/*.patch || ! cp "$tmp"/out/*.patch "$outgoing"; then
	die "could not write to $outgoing"
fi
realpath --relative-to="$here" "$outgoing"/*.patch
