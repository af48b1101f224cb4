#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Can the tests fail? Break the program on purpose, in a copy, once for each
# line of the table at the end, and see that the subtest of its rule goes red.
# The rules are those of the contract: 1 order, 2 mark, 3 SYN, 4 both ends,
# 5 scope, 6 hands off, 7 no reuse, 8 fresh start, 9 late attach, 10 the
# application's word, 11 no residue, 12 never in the way, 13 readable.

# shellcheck disable=SC2016 # the $ are Perl's

set -u

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [PATTERN]
	  PATTERN  only the faults whose name has it
	Variables: KSRC, as for make
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
-*)
	usage >&2
	exit 1
	;;
esac

[ "$(id -u)" -eq 0 ] || die "must be root: use sudo"
pattern="${1:-}"
program=progs/mptcp_mark.c
src="$(dirname "$(readlink -f "$0")")/.."
copy="$(mktemp -d -t mptcp_mark-mutations-XXXXXX)" || exit 1
trap 'rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM

caught=0
missed=0

# $1: rule, $2: subtest that must fail, $3: name, $4: Perl, applied to all of the file
mutate()
{
	local rule="$1" subtest="$2" name="$3" fault="$4" result

	[[ "$name" == *"$pattern"* ]] || return 0

	# What a fault leaves unused is not its point
	{
		echo '#pragma clang diagnostic ignored "-Wunused"'
		perl -0pe "$fault" "$src/$program"
	} >"$copy/$program"
	if tail -n +2 "$copy/$program" | cmp -s - "$src/$program"; then
		result="the fault does not apply"
	elif ! make -C "$copy" >"$copy/log" 2>&1; then
		result="does not build: $(grep -m 1 error "$copy/log")"
	elif (cd "$copy" && ./test_progs -t "$subtest" >log 2>&1); then
		result="NOT CAUGHT"
	elif grep -q "^#[0-9/ ]*$subtest:FAIL" "$copy/log"; then
		result=caught
		caught=$((caught + 1))
	else
		result="not run: $(tail -n 1 "$copy/log")"
	fi
	[ "$result" = caught ] || missed=$((missed + 1))
	printf "%4s  %-46s %-32s %s\n" "$rule" "$name" "$subtest" "$result"
}

tar -C "$src" --exclude=./build --exclude=./.git -c . | tar -C "$copy" -x
rm -f "$copy"/*.bpf.o "$copy/test_progs"
make -C "$copy" >"$copy/log" 2>&1 || { tail -n 5 "$copy/log" >&2; die "make failed"; }
(cd "$copy" && ./test_progs >log 2>&1) || die "the tests fail without any fault: see test_progs"

printf "%4s  %-46s %-32s %s\n" rule fault subtest result

mutate 1 mptcp_mark/ipv4 "ordinals from 0" \
	's/base \+ n\)/base + n - 1)/'
mutate 1 mptcp_mark/ipv6 "no mark at all" \
	's/err = bpf_setsockopt\(.*?\);/err = 0;/'
mutate 1 mptcp_mark/v4mapped "ordinals 2 and 3 exchanged" \
	's/: id;\n\}\n\nstatic void await/: id ^ 1;\n}\n\nstatic void await/'
mutate 1 mptcp_mark_pm/subflows "subflow 7 left out" \
	's/if \(!n\)\n\t\treturn 1;/if (!n || n == 7)\n\t\treturn 1;/'
mutate 2 mptcp_mark_value/base "base ignored" \
	's/mark_config.base \+ n/n/'
mutate 2 mptcp_mark_value/low_mask "mask ignored" \
	's/mask = mark_config.mask/mask = ~0U/'
mutate 2 mptcp_mark_value/high_mask "bits outside the mask cleared" \
	's/\(ssk->mark & ~mask\) \| //'
mutate 2 mptcp_mark_value/wraps_to_0 "masked before base is added" \
	's/\(\(mark_config.base \+ n\) & mask\)/((mark_config.base & mask) + n)/'
mutate 3 mptcp_mark_syn/counted "marked as the SYN-ACK comes" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
mutate 3 mptcp_mark_syn/blackhole "the same, and the blackhole" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
mutate 4 mptcp_mark_both/server "accepted subflows left out" \
	's/case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:\t//'
mutate 4 mptcp_mark_both/busy "a join of a busy server waits for its mark" \
	's/return msk->subflow_id \+ n;/return 0;/'
mutate 4 mptcp_mark_both/busy_sync "a mark copied over does not come back" \
	's/await_id\(skops, true\)/await_id(skops, false)/'
mutate 4 mptcp_mark_both/busy "counted before it has its id" \
	's/if \(!pending\)\n//'
mutate 4 mptcp_mark_both/busy_sync "not counted when it has its id" \
	's/(await_id\(skops, false\);)\n\s*break;/$1\n\t\tpending = true;\n\t\tbreak;/'
mutate 5 mptcp_mark_scope/nested "sockets of kernel workers left out" \
	's/n = subflow->request_join \? .*?:/n = subflow->request_join ? 0 :/s'
mutate 6 mptcp_mark_tcp/plain "plain TCP marked" \
	's/if \(!msk\)\n/
	   if (!msk)
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mask, 4);
	   if (!msk)\n/'
mutate 6 mptcp_mark_tcp/plain_marked "the mark of plain TCP cleared" \
	's/if \(!msk\)\n/
	   mark = 0;
	   if (!msk)
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, 4);
	   if (!msk)\n/'
mutate 6 mptcp_mark_tcp/plain_to_mptcp "accepted plain TCP marked" \
	's/if \(!msk\)\n/
	   if (!msk && skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mask, 4);
	   if (!msk)\n/'
mutate 6 mptcp_mark_tcp/fallback_ack "a subflow numbered once it is established" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g;
	 s/if \(!n\)\n/if (!n || !subflow->fully_established)\n/'
mutate 7 mptcp_mark_life/no_reuse "ordinals by how many there are" \
	's/join_ordinal\(msk, subflow->subflow_id\)/msk->pm.extra_subflows + 1/'
mutate 8 mptcp_mark_life/reconnect "ordinals go on after a disconnect" \
	's/earlier = msk->subflow_id - 2/earlier = 0/'
mutate 8 mptcp_mark_life/reconnect "the kernel.s id of the initial subflow" \
	's/first_ordinal\(msk\);/subflow->subflow_id;/'
mutate 9 mptcp_mark_life/late_attach "joins of connections not seen from the start" \
	's/if \(earlier\) \{/{/; s/: id;\n\}\n\nstatic void await/: 0;\n}\n\nstatic void await/'
mutate 9 mptcp_mark_life/attach_again "joins counted, not numbered" \
	's/__u32 zero;/__u32 zero, seen;/;
	 s/return earlier \? id - \*earlier : id;/return ++seen + 1;/;
	 s/(first_ordinal.*?\n\{)/$1\n\tseen = 0;/s'
mutate 10 mptcp_mark_value/app_before_joins "the mark of the application lost" \
	's/\(ssk->mark & ~mask\)/0/'
mutate 11 mptcp_mark_many/in_turn "a map of 100 tokens that nobody deletes" \
	's/(SEC\("sockops"\))/
	   struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 100);
		__type(key, __u32);
		__type(value, __u32);
	   } tokens SEC(".maps");

	   static __u32 count(__u32 token)
	   {
		__u32 one = 1, *n = bpf_map_lookup_elem(&tokens, &token);

		if (n)
			return ++*n;
		bpf_map_update_elem(&tokens, &token, &one, BPF_ANY);
		return 1;
	   }

	   $1/;
	 s/n = subflow->request_join \? .*?;/n = count(subflow->token ?: msk->token);/s'
mutate 12 mptcp_mark_unable/counted "failures counted as marked" \
	's/err \? &mark_stats.failed : //'
mutate 12 mptcp_mark_unable/counted "failures not counted" \
	's/if \(!pending\)/if (!pending && !err)/'
mutate 13 mptcp_mark_table/lengths "the total is what fits" \
	's/table->total = total/table->total = filled/'
mutate 13 mptcp_mark_table/lengths "another errno for a short buffer" \
	's/retval = -EINVAL/retval = -EINVAL - 1/'
mutate 13 mptcp_mark_table/empty "subflows that are closed are listed" \
	's/ssk->sk_state == TCP_CLOSE \|\| //'
mutate 13 mptcp_mark_table/not_ours "an answer for plain TCP" \
	's/ \|\|\s+!ctx->sk \|\| ctx->sk->protocol != IPPROTO_MPTCP/ || !ctx->sk/'
mutate 13 mptcp_mark/ipv6 "addresses exchanged" \
	's/e->local, &skc->skc_v6_rcv_saddr/e->local, &skc->skc_v6_daddr/'

echo "$caught caught, $missed missed"
[ "$missed" -eq 0 ]
