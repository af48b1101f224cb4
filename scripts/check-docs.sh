#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The documents: their spelling, with the words of scripts/words besides those of
# aspell, and their links to each other.

set -o pipefail
cd "$(dirname "$0")/.." || exit 1
rc=0

# Prose alone: no code blocks, literals, link targets
prose()
{
	perl -0pe '
		s/^\.\. .*\n//mg;
		s/::\n\n((?:[ \t]+.*\n|\n)+)/\n\n/g;
		s/``.*?``//gs; s/<[^>\n]*>`__//g; s/`[^`]*<[^>]*>`__//gs' "$1"
}

for file in README.rst doc/*.rst; do
	unknown="$(prose "$file" |
		   aspell --lang=en --personal="$PWD/scripts/words" list | sort -u)" || exit 1
	if [ -n "$unknown" ]; then
		echo "$file: not in the dictionary, nor in scripts/words:" >&2
		fmt -w 90 <<<"$unknown" >&2
		rc=1
	fi
	while read -r link; do
		[ -e "$(dirname "$file")/$link" ] && continue
		echo "$file: there is no $link" >&2
		rc=1
	done < <(grep -oE '<[^>: ]+>`__' "$file" | sed 's/^<//; s/>`__$//')
done
exit "$rc"
