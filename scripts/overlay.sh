#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make overlay: put the kselftest into a kernel tree. What is there already is
# ours if its content is known to our repository, so each file that we put
# becomes a blob of it, committed or not.

set -u

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

ksrc="${1:-}"
check_tree "$ksrc"
ksrc="$(cd "$ksrc" && pwd -P)"
[ "$ksrc/$target" != "$here" ] || die "this is the copy in the tree already"
git -C "$here" rev-parse --git-dir >/dev/null 2>&1 ||
	die "needs a git clone of this repository, to know its own files"

is_ours()
{
	git -C "$here" cat-file -e "$(git hash-object --no-filters "$1")" 2>/dev/null
}

mapfile -t files < <(tree_files)
old=()
if [ -d "$ksrc/$target" ]; then
	# As .gitignore says, what was built there is not of interest
	mapfile -t old < <(cd "$ksrc/$target" &&
			   find . -path ./build -prune -o -type f -printf '%P\n' |
			   grep -vE '^(test_progs|mptcp_mark_user(\.8)?)$')
fi

# All the checks, then all the changes
for file in "${files[@]}"; do
	[ -r "$here/$file" ] || die "$file is missing here: is the checkout complete?"
	[ ! -e "$ksrc/$target/$file" ] || cmp -s "$here/$file" "$ksrc/$target/$file" ||
		is_ours "$ksrc/$target/$file" ||
		die "$ksrc/$target/$file is not ours, or was changed: move it away first"
done
gone=()
for file in "${old[@]}"; do
	if [[ " ${files[*]} " != *" $file "* ]] && is_ours "$ksrc/$target/$file"; then
		gone+=("$file")
	fi
done
mkdir -p "$ksrc/$target" 2>/dev/null
[ -w "$ksrc/$target" ] || die "$ksrc/$target cannot be written to: is the tree yours?"

for file in "${files[@]}"; do
	if ! git -C "$here" hash-object -w --no-filters "$here/$file" >/dev/null ||
	   ! install -D -p -m "$(stat -c %a "$here/$file")" \
		"$here/$file" "$ksrc/$target/$file"; then
		die "could not put $file"
	fi
done
for file in "${gone[@]}"; do
	rm "$ksrc/$target/$file"
	rmdir -p --ignore-fail-on-non-empty "$(dirname "$ksrc/$target/$file")"
done
echo "$ksrc/$target: ${#files[@]} files, ${#gone[@]} old ones taken away"
