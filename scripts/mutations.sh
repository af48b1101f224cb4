#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Can the tests fail? Break the programs on purpose, in a copy, once for each
# line of the table at the end, and see that the subtest named there goes red.
# Every subtest must have a line.

# shellcheck disable=SC2016 # the $ are Perl's

set -u

usage()
{
	cat <<-USAGE
	Usage: ${0##*/} [-1] [PATTERN]
	  -1       one fault for each subtest, the first in the table
	  PATTERN  only the faults whose subtest or name has it
	Variables: KSRC, as for make
	USAGE
}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

first_only=
case "${1:-}" in
-h | --help)
	usage
	exit 0
	;;
-1)
	first_only=1
	shift
	;;
-*)
	usage >&2
	exit 1
	;;
esac

[ "$(id -u)" -eq 0 ] || die "must be root: use sudo"
pattern="${1:-}"
src="$(dirname "$(readlink -f "$0")")/.."
copy="$(mktemp -d -t mptcp_mark-mutations-XXXXXX)" || exit 1
trap 'rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM

caught=0
missed=0
declare -A tried=()

# What a fault leaves unused is not its point; what it keeps from coming need not
# be waited for as long as on a busy machine
build()
{
	make -C "$copy" SAN_CFLAGS="-DMARK_TIMEOUT_MS=2000 -O0" >"$copy/log" 2>&1
}

# One of the C files alone, which is built the sooner
keep_test()
{
	[ -e "$copy/prog_tests/$1.c" ] && return
	rm -f "$copy"/prog_tests/*.c
	cp "$src/prog_tests/$1.c" "$copy/prog_tests"
}

# $1: program, $2: subtest that must fail, $3: name, $4: Perl, applied to all of the file
mutate()
{
	local program="progs/$1.c" subtest="$2" name="$3" fault="$4" result

	[[ "$subtest $name" == *"$pattern"* ]] || return 0
	[ -z "$first_only" ] || [ -z "${tried[$subtest]:-}" ] || return 0
	tried[$subtest]=1

	keep_test "${subtest%/*}"
	{
		echo '#pragma clang diagnostic ignored "-Wunused"'
		perl -0pe "$fault" "$src/$program"
	} >"$copy/$program"
	if tail -n +2 "$copy/$program" | cmp -s - "$src/$program"; then
		result="the fault does not apply"
	elif ! build; then
		result="does not build: $(grep -m 1 error "$copy/log")"
	elif (cd "$copy" && ./test_progs -t "$subtest" >log 2>&1); then
		result="NOT CAUGHT"
	elif grep -q "^#[0-9/ ]*$subtest:FAIL" "$copy/log"; then
		result=caught
		caught=$((caught + 1))
	else
		result="not run: $(tail -n 1 "$copy/log")"
	fi
	cp "$src/$program" "$copy/$program"
	[ "$result" = caught ] || missed=$((missed + 1))
	printf "%-36s %-50s %s\n" "$subtest" "$name" "$result"
}

tar -C "$src" --exclude=./build --exclude=./.git -c . | tar -C "$copy" -x
rm -f "$copy"/*.bpf.o "$copy/test_progs"
build || { tail -n 5 "$copy/log" >&2; die "make failed"; }
(cd "$copy" && ./test_progs >log 2>&1) || die "the tests fail without any fault: see test_progs"
mapfile -t subtests < <(sed -nE 's,^#[0-9]+/[0-9]+ +([^:]+):.*,\1,p' "$copy/log")

printf "%-36s %-50s %s\n" subtest fault result

mark()
{
	mutate mptcp_mark "$@"
}

table()
{
	mutate mptcp_mark_table "$@"
}

# What is left out, and when: $1: a condition in C
left_out()
{
	echo "s/if \\(!msk\\)/if (!msk || ($1))/"
}

pending='skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB \&\& !id'
initial='msk->first == (void *)ssk'

mark mptcp_mark/ipv4 "ordinals from 0" \
	's/config.base \+ ordinal\)/config.base + ordinal - 1)/'
mark mptcp_mark/ipv4 "marked as the SYN-ACK comes" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
mark mptcp_mark/ipv6 "IPv6 left out" "$(left_out 'ssk->family == AF_INET6')"
mark mptcp_mark/v4mapped "IPv4 on IPv6 sockets left out" \
	"$(left_out 'ssk->family == AF_INET6 \&\& !ssk->dst_ip6[0]')"
mark mptcp_mark/v4_then_v6 "IPv6 joins left out" \
	"$(left_out "ssk->family == AF_INET6 \\&\\& $initial ? 0 : ssk->family == AF_INET6")"
mark mptcp_mark/v6_then_v4 "joins of another family left out" \
	"$(left_out 'ssk->family != msk->sk.icsk_inet.sk.__sk_common.skc_family')"
mark mptcp_mark_cgroup/nested "sockets of kernel workers left out" \
	"$(left_out "!($initial)")"
mark mptcp_mark_cgroup/multi "bits outside the mask cleared" \
	's/\(ssk->mark & ~config.mask\) \| //'
mark mptcp_mark_cgroup/used_elsewhere "by the process that connects" \
	's/(SEC\("sockops"\))/static __u64 (*bpf_current_cgroup)(void) = (void *)80;\n$1/;
	 s/if \(!msk\)/if (!msk || (msk->first == (void *)ssk \&\& bpf_current_cgroup() == 1))/'
mark mptcp_mark_failure/reconnect "a connection that cannot be counted goes by ids" \
	's/return create \? 0 : 1/return 1/'
mark mptcp_mark_failure/first_pending "a join that cannot be counted is ignored" \
	's/if \(!ordinal \|\| set/if (!ordinal)\n\t\treturn 1;\n\tif (set/'
mark mptcp_mark_failure/first_pending "and counted twice" \
	's/(if \(!ordinal \|\| set)/if (!ordinal)\n\t\t__sync_fetch_and_add(&mark_stats.failed, 1);\n\t$1/'
mark mptcp_mark_failure/second_pending "no memory for a join goes unnoticed" \
	's/return -1;/return 0;/'
mark mptcp_mark_lifetime/two_connections "joins of all sockets counted together" \
	's/return id;/{ static __u32 all = 1; return ++all; }/'
mark mptcp_mark_lifetime/no_reuse "ordinals by how many there are" \
	's/return id;/return msk->pm.extra_subflows + 1;/'
mark mptcp_mark_lifetime/initial_removed "the address of the initial subflow is the initial one" \
	's/msk->first == \(void \*\)ssk/(skops->local_ip4 == msk->sk.icsk_inet.inet_saddr)/'
mark mptcp_mark_lifetime/backup_changed "each callback marks anew" \
	's/\t\tordinal = joined_ordinal.*?;\n/\t\tordinal = join_ordinal(msk, id);\n/;
	 s/PASSIVE_ESTABLISHED_CB:/PASSIVE_ESTABLISHED_CB:\n\tcase BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:/'
mark mptcp_mark_lifetime/reconnect "ordinals go on after a disconnect" \
	's/count->last = 1/count->last = msk->subflow_id - 1/'
mark mptcp_mark_lifetime/late_attach "joins of connections not seen from the start" \
	's/return id;/return 0;/'
mark mptcp_mark_lifetime/attach_again "joins counted, not numbered" \
	's/return id;/{ static __u32 all = 1; return ++all; }/'
mark mptcp_mark_lifetime/replace "base and mask of the program before" \
	's/config.base \+ ordinal/(config.base \& 0xff) + ordinal/'
tokens='s/(static int set_mark)/
	struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 100);
		__type(key, __u32);
		__type(value, __u32);
	} tokens SEC(".maps");

	static __u32 by_token(__u32 token)
	{
		__u32 one = 1, *n = bpf_map_lookup_elem(&tokens, &token);

		if (n)
			return ++*n;
		bpf_map_update_elem(&tokens, &token, &one, BPF_ANY);
		return 1;
	}

	$1/;
	s/ordinal = msk->first.*?;/ordinal = by_token(subflow->token ?: msk->token);/s'
mark mptcp_mark_many/at_once "a map of 100 tokens" "$tokens"
mark mptcp_mark_many/in_turn "a map of 100 tokens that nobody deletes" "$tokens"
mark mptcp_mark_neighbour/before "a flag of others taken away" \
	's/join->our_flag = ~flags & /join->our_flag = /'
mark mptcp_mark_neighbour/child "a flag of others taken away" \
	's/join->our_flag = ~flags & /join->our_flag = /'
mark mptcp_mark_neighbour/after "the flag was there: no mark again" \
	's/return bpf_sock_ops_cb_flags_set\(skops, flags \| join->our_flag\);/return 0;/;
	 s/if \(!join \|\| !id\)/if (1)/'
mark mptcp_mark_neighbour/parent "counted when it has no id" \
	's/if \(!join \|\| !id\)/if (!join)/; s/else if \(pending\)/else if (0)/'
mark mptcp_mark_neighbour/other_flag "all flags of others cleared" \
	's/flags \| join->our_flag\)/join->our_flag)/'
mark mptcp_mark_neighbour/other_flag "all flags cleared in the end" \
	's/skops->bpf_sock_ops_cb_flags & ~join->our_flag/0/'
mark mptcp_mark_neighbour/takes_flags "called for its own flag alone" \
	's/\tcase BPF_SOCK_OPS_RTT_CB:.*\n//'
mark mptcp_mark_neighbour/none_left "our flag is never cleared" \
	's/skops->bpf_sock_ops_cb_flags & ~join->our_flag/skops->bpf_sock_ops_cb_flags/'
table mptcp_mark_neighbour/getsockopt "an answer at every level" \
	's/ctx->level != SOL_MPTCP_MARK \|\| //'
mark mptcp_mark_pm/subflows "subflow 7 left out" \
	's/\(!ordinal \|\| set/(!ordinal || ordinal == 7 || set/'
mark mptcp_mark_pm/signal "ordinals 2 and 3 exchanged" 's/return id;/return id ^ 1;/'
mark mptcp_mark_pm/fullmesh "joins by the id of the local endpoint" \
	's/return id;/return 0;/; s/join_ordinal\(msk, id\)/(subflow->local_id ?: 1) + 1/'
table mptcp_mark_pm/userspace "80 subflows at the most" 's/\(1 << 16\)/80/'
table mptcp_mark_pm/userspace "9 entries at the most" 's/PAGE_ENTRIES\t80/PAGE_ENTRIES\t9/'
mark mptcp_mark_server/ipv4 "accepted subflows left out" \
	's/\tcase BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:.*\n//'
mark mptcp_mark_server/ipv6 "accepted IPv6 subflows left out" \
	"$(left_out 'skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB \&\& ssk->family == AF_INET6')"
mark mptcp_mark_server/base_mask "base and mask ignored for accepted subflows" \
	's/(= \{ .word = .*?;)/$1\n\tif (skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)\n\t\tconfig.base = 0, config.mask = ~0U;/'
mark mptcp_mark_server/both "both ends counted together" \
	's/return id;/{ static __u32 all = 1; return ++all; }/'
mark mptcp_mark_server/syncookies "accepted subflows left out" \
	's/\tcase BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:.*\n//'
mark mptcp_mark_server/fastopen "accepted subflows that are not established left out" \
	"$(left_out 'skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB \&\& bpf_core_cast(ssk, struct tcp_sock)->fastopen_rsk')"
mark mptcp_mark_server/opened_and_accepted "accepted joins counted apart" \
	"s/join_ordinal\\(msk, id\\)/($pending ? 2 : skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ? 1 : join_ordinal(msk, id))/"
mark mptcp_mark_server/reconnect "accepted joins by their id after a disconnect" \
	's/join_ordinal\(msk, id\)/(skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ? id : join_ordinal(msk, id))/'
mark mptcp_mark_server/busy "a pending join waits for its mark" \
	's/ordinal \|\| set_mark\(/ordinal || (!pending \&\& set_mark(/; s/ordinal\) \|\|\n/ordinal)) ||\n/'
mark mptcp_mark_server/busy "pending joins by prediction, one each" \
	's/return __sync_fetch_and_add.*?;/return msk->subflow_id;/'
mark mptcp_mark_server/busy_many "at most three joins are pending" \
	's/return __sync_fetch_and_add\(&count->last, 1\) \+ 1;/if (count->last > 3)\n\t\treturn 4;\n\treturn ++count->last;/'
mark mptcp_mark_server/busy_sync "a mark copied over does not come back" \
	's/(\t\tordinal = joined_ordinal.*?\n.*?\n.*?\n)/$1\n\t\treturn 1;/'
mark mptcp_mark_server/busy_sync "and is not counted" \
	's/(\tordinal = join->ordinal;)/$1\n\tif (1)\n\t\treturn 0;/'
mark mptcp_mark_syn/blackhole "marked as the SYN-ACK comes" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
mark mptcp_mark_syn/moved "marked as the SYN-ACK comes" \
	's/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
table mptcp_mark_table/empty "subflows that are closed are listed" \
	's/ssk->sk_state == TCP_CLOSE \|\| //'
table mptcp_mark_table/lengths "the total is what fits" 's/table->total = total/table->total = filled/'
table mptcp_mark_table/lengths "another errno for a short buffer" \
	's/retval = -EINVAL/retval = -EINVAL - 1/'
table mptcp_mark_table/lengths "addresses exchanged" \
	's/e->local, &skc->skc_rcv_saddr/e->local, \&skc->skc_daddr/'
table mptcp_mark_table/not_ours "an answer for plain TCP" \
	's/ \|\|\s+!ctx->sk \|\| ctx->sk->protocol != IPPROTO_MPTCP/ || !ctx->sk/'
table mptcp_mark_table/threads "closed subflows are listed" \
	's/if \(ssk->sk_state == TCP_CLOSE.*?\n\t\t\tcontinue;/;/s; s/e->mark = ssk->sk_mark/e->mark = filled_is(n)/;
	 s/(static __noinline bool fill)/static __u32 filled_is(__u32 n)\n{\n\treturn n + 1;\n}\n\n$1/'
plain='s/if \(!msk\)/
	mark = WHAT;
	if (!msk \&\& (WHEN))
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, \&mark, sizeof(mark));
	if (!msk)/; s/(__u32 ordinal, id);/$1, mark;/'
fault="${plain/WHAT/7}"
mark mptcp_mark_tcp/plain "plain TCP marked" "${fault/WHEN/1}"
fault="${plain/WHAT/0}"
mark mptcp_mark_tcp/plain_marked "the mark of plain TCP cleared" "${fault/WHEN/1}"
fault="${plain/WHAT/7}"
mark mptcp_mark_tcp/plain_to_mptcp "accepted plain TCP marked" \
	"${fault/WHEN/skops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB}"
established='s/OPS_TCP_CONNECT_CB/OPS_ACTIVE_ESTABLISHED_CB/g'
mark mptcp_mark_tcp/fallback_syn "marked once it is known to be MPTCP" "$established"
mark mptcp_mark_tcp/fallback_ack "marked once it is known to be MPTCP" "$established"
mark mptcp_mark_tcp/fallback_data "marked once it is known to be MPTCP" "$established"
mark mptcp_mark_value/base "base ignored" 's/config.base \+ ordinal/ordinal/'
mark mptcp_mark_value/no_mask "the application's bits stay" 's/~config.mask/~0xff/'
mark mptcp_mark_value/low_mask "mask ignored" 's/\& config.mask\);/\& ~0U);/; s/\& ~config.mask/\& 0/'
mark mptcp_mark_value/high_mask "bits outside the mask cleared" \
	's/\(ssk->mark & ~config.mask\) \| //'
mark mptcp_mark_value/base_outside "masked before base is added" \
	's/\(\(config.base \+ ordinal\) & config.mask\)/(config.base + (ordinal \& config.mask))/'
mark mptcp_mark_value/wraps_to_0 "masked before base is added" \
	's/\(\(config.base \+ ordinal\) & config.mask\)/((config.base \& config.mask) + ordinal)/'
mark mptcp_mark_value/empty_mask "an empty mask is all of it" \
	's/(= \{ .word = .*?;)/$1\n\tif (!config.mask)\n\t\tconfig.mask = ~0U;/'
mark mptcp_mark_value/mark_0 "no mark of 0" 's/err = bpf_setsockopt/err = !mark ? 0 : bpf_setsockopt/'
mark mptcp_mark_value/app_later "the mark of the application lost" \
	's/\(ssk->mark & ~config.mask\)/0/'
mark mptcp_mark_value/change "base and mask read one after the other" \
	's/= \{ .word = .*?;/= {};\n\n\tconfig.base = *(volatile __u32 *)\&mark_config.base;\n\tconfig.mask = *(volatile __u32 *)\&mark_config.mask;/'
mark mptcp_mark_value/debug "debug always on" 's/if \(mark_debug\)/if (1)/'
mark mptcp_mark_value/debug "debug never on" 's/if \(mark_debug\)/if (0)/'

without=()
for subtest in "${subtests[@]}"; do
	[[ -n "${tried[$subtest]:-}" || "$subtest" != *"$pattern"* ]] || without+=("$subtest")
done
echo "$caught caught, $missed missed"
[ -n "$pattern" ] || echo "${#without[@]} subtests without a fault${without[*]:+: ${without[*]}}"
[ "$missed" -eq 0 ] && { [ -n "$pattern" ] || [ "${#without[@]}" -eq 0 ]; }
