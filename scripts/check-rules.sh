#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# doc/rules.rst names each subtest of prog_tests/ once, under the rule that it
# holds, and no others.

cd "$(dirname "$0")/.." || exit 1

subtests()
{
	local file name

	for file in prog_tests/*.c; do
		name="$(basename "$file" .c)"
		sed -nE "s,^\t(\{ |CASE\(|MIXED\(|MATCH\()\"(\w+)\".*,$name/\2,p" "$file"
	done
}

# shellcheck disable=SC2016 # backquotes of reStructuredText
if ! diff <(subtests | sort) <(grep -oE '``mptcp_\w+/\w+``' doc/rules.rst | tr -d '`' | sort); then
	echo "doc/rules.rst and prog_tests/ differ: < is not in the rules, > is no subtest" >&2
	exit 1
fi
