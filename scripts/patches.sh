#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make patches [SERIES=NAME]: a series for a git tree, one patch for each file of
# scripts/series, or of its folder NAME. The commits are made in an object store
# and an index of their own: nothing is written to the tree. Such a file is the
# message of the commit, and what that has: lines with
#   Files: NAME...       files of ours
#   Config: HEADING      of the options in config below "# HEADING", an extended
#                        regular expression, those that selftests/bpf/config lacks
#   Maintainers: yes     our line in MAINTAINERS
#   Patch: NUMBER        all of it, and the message, is from this file in upstream/

set -u

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

ksrc="${1:-}"
name="${SERIES:-}"
series="$here/scripts/series/$name"
[ -e "$series/0-cover" ] || die "no series SERIES=$name: bpf, bpf-more or net; or none"
bpf=tools/testing/selftests/bpf
case "$name" in
bpf*) target="$bpf"; default_prefix="PATCH bpf-next" ;;
net) default_prefix="PATCH mptcp-net" ;;
*) default_prefix="PATCH mptcp-next" ;;
esac
prefix="${PREFIX:-$default_prefix}"
outgoing="$(realpath -ms "${OUTGOING:-$here/outgoing/$name}")"
if compgen -G "$outgoing/*.patch" >/dev/null &&
   [ "$(cat "$outgoing/.gitignore" 2>/dev/null)" != "*" ]; then
	die "$outgoing has patches that are not ours: give another folder, OUTGOING="
fi
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

# $1: heading of options in our config: those that the tree's file lacks, in order
put_config()
{
	local options

	mapfile -t options < <(awk -v heading="^# ($1)" '
		/^#/ { ours = $0 ~ heading }
		ours && /^CONFIG_/' "$here/config")
	ingit show ":$bpf/config" | perl -e '
		my @options = sort @ARGV;
		my @lines = <STDIN>;
		my %has = map { /^(?:# )?(\w+)/; $1 => 1 } @lines;
		for my $option (grep { !/^(\w+)/ || !$has{$1} } @options) {
			my ($i) = grep { $lines[$_] gt $option } 0..$#lines;
			splice(@lines, $i // @lines, 0, "$option\n");
		}
		print @lines' "${options[@]}" >"$tmp/config"
	put "$bpf/config" 100644 <"$tmp/config"
}

# $1: number of a patch in upstream/. Its message to $tmp/message, and its author
put_patch()
{
	local patch

	patch="$(echo "$here/upstream/$1"-*.patch)"
	if ! git mailinfo "$tmp/body" "$tmp/diff" <"$patch" >"$tmp/info" ||
	   ! ingit apply --cached "$tmp/diff"; then
		die "${patch##*/} does not apply to $ksrc"
	fi
	{ sed -n 's/^Subject: //p' "$tmp/info"; echo; cat "$tmp/body"; } >"$tmp/message"
	GIT_AUTHOR_NAME="$(sed -n 's/^Author: //p' "$tmp/info")"
	GIT_AUTHOR_EMAIL="$(sed -n 's/^Email: //p' "$tmp/info")"
	GIT_AUTHOR_DATE="$(sed -n 's/^Date: //p' "$tmp/info")"
	export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
}

put_files()
{
	local file mode

	here_now+=("$@")
	for file in "$@"; do
		[ -z "$(ingit ls-tree HEAD "$target/$file")" ] ||
			die "HEAD of $ksrc has $target/$file already: check out a commit without"
		mode=100644
		[ ! -x "$here/$file" ] || mode=100755
		put "$target/$file" "$mode" <"$here/$file"
	done
	[ "$target" != "$bpf" ] && [[ " ${here_now[*]} " == *" Makefile "* ]] || return 0
	put_makefile
	put_line_before tools/testing/selftests/Makefile "TARGETS += mqueue" \
		"TARGETS += mptcp_mark"
}

# $1: a file of scripts/series, on top of $commit
put_step()
{
	local tag value tree

	unset GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
	grep -vE "$tags" "$1" >"$tmp/message"
	while read -r tag value; do
		# shellcheck disable=SC2086 # words
		case "$tag" in
		Files:) put_files $value ;;
		Config:) put_config "$value" ;;
		Maintainers:) put_maintainers ;;
		Patch:) put_patch "$value" ;;
		esac
	done < <(grep -E "$tags" "$1")
	tree="$(ingit write-tree)" &&
		commit="$(git stripspace <"$tmp/message" |
			  ingit commit-tree "$tree" -p "$commit" -F -)" || exit 1
}

# $1: folder of a series
put_series()
{
	local step

	for step in $(printf '%s\n' "$1"/[1-9]* | sort -V); do
		put_step "$step"
	done
}

put_maintainers()
{
	put_line_before MAINTAINERS $'F:\ttools/testing/selftests/net/mptcp/' \
		$'F:\ttools/testing/selftests/mptcp_mark/'
}

tags='^(Files|Config|Maintainers|Patch): '
here_now=()
commit="$base"
ingit read-tree HEAD || exit 1
ingit show HEAD:MAINTAINERS >"$tmp/MAINTAINERS"
[ "$name" != bpf-more ] || put_series "$here/scripts/series/bpf"
first="$commit"
put_series "$series"
mapfile -t paths < <(ingit diff --name-only "$base" "$commit")
[ -z "$(unset GIT_INDEX_FILE
	ingit --no-optional-locks status --porcelain -uno -- "${paths[@]}")" ] ||
	die "$ksrc has changes that are not committed in files of the series: commit or remove them"

ingit format-patch -q --stat --signoff --cover-letter --base="$base" --subject-prefix="$prefix" \
	-o "$tmp/out" "$first..$commit" || exit 1

# By MAINTAINERS as it is after the series
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
SUBJECT="$(head -n 1 "$series/0-cover")" \
	BLURB="$(tail -n +3 "$series/0-cover")" \
	perl -i -pe 's/\*\*\* SUBJECT HERE \*\*\*/$ENV{SUBJECT}/;
		     s/\*\*\* BLURB HERE \*\*\*/$ENV{BLURB}/' "$tmp/out/0000-cover-letter.patch"

if ! mkdir -p "$outgoing" || ! echo "*" >"$outgoing/.gitignore" ||
   ! rm -f "$outgoing"/*.patch || ! cp "$tmp"/out/*.patch "$outgoing"; then
	die "could not write to $outgoing"
fi
realpath --relative-to="$here" "$outgoing"/*.patch
