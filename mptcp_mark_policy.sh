# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For mptcp_mark.sh: policies for its links, what is refused as a policy, and the
# demonstration of one.
# shellcheck disable=SC2034,SC2154 # variables of the other files

# By link, whatever the order: link 2 is for what is urgent, link 3 for the rest
policy_by_link()
{
	cat <<-POLICY
	from 10.0.1.0/24 mark 1
	from 10.0.2.0/24 mark 2/0xf tos 0x20 skb-priority 6
	from 10.0.3.0/24 mark 3/0xf congctl reno
	from dead:beef:1::/64 mark 1
	from dead:beef:2::/64 mark 2/0xf tos 0x20 skb-priority 6
	from dead:beef:3::/64 mark 3/0xf congctl reno
	POLICY
}

# $1: client or server
load_policy_by_link()
{
	policy_by_link | run "$user" policy load "$(readlink -f "$state/cgroup/$1")" -
}

# What is in effect on the links, by "show": rule, mark, congestion control
test_policy()
{
	local cgroup="$contained_cgroup/client" rc=0

	"$user" detach "$cgroup" && load_policy_by_link client && start_afresh || return
	rm "$state/mptcpify" 2>/dev/null
	held_download "http://10.0.1.2:$port/file" "$state/out" \
		see_subflows "$state/out.subflows" 3 || rc=1
	expect_intact "$state/out" || rc=1
	test_packets 4 1 2 3 || rc=1
	expect "rules and marks of the links" \
		"$(awk 'NR > 1 { print $4, $5 }' "$state/out.subflows" | sort | xargs)" \
		"1 0x00000001 2 0x00000002 3 0x00000003" || rc=1
	expect "reno" "$(grep -c "0x00000003 .* reno " "$state/out.subflows")" 1 || rc=1
	expect "what is shown, loaded again" \
		"$("$user" policy show "$cgroup" | "$user" policy check -)" \
		"$(policy_by_link | "$user" policy check -)" || rc=1
	expect "subflows counted" \
		"$("$user" policy show "$cgroup" | grep -c "matched 1$")" 3 || rc=1
	expect "status" "$("$user" status "$cgroup" | grep -o "policy of . rules")" \
		"policy of 6 rules" || rc=1
	expect "attach" "$("$user" attach "$cgroup" 2>&1 | sed 's/\. .*//')" \
		"mptcp_mark_user: $cgroup has a policy: a cgroup has that or mptcp_mark" || rc=1
	"$user" policy flush "$cgroup" || rc=1
	expect "policy" "$("$user" policy show "$cgroup" 2>&1)" \
		"mptcp_mark_user: $cgroup has no policy" || rc=1
	return "$rc"
}

# Source addresses and marks of the subflows that there are, to file $1
see_marks()
{
	"$user" show -n "$ns_client" |
		sed -nE 's/^.* (0x[0-9a-f]*) .* ([0-9.]+):[0-9]+ > .*/\2 \1/p' | sort >"$1"
}

# $1: what, $2: file, the rest: marks of links 1, 2, 3
expect_marks()
{
	local what="$1" file="$2"
	shift 2

	expect "marks $what" "$(xargs <"$file")" \
		"$(printf '10.0.1.1 0x%08x 10.0.2.1 0x%08x 10.0.3.1 0x%08x' "$@")"
}

# $1: the id of link 3. Has a policy seen that it is a backup now? If not, tell the peer
# again: the kernel does not call a policy for an MP_PRIO that has a SACK beside it, and a
# backup may have nothing else to send. Reading lets the peer mend what is out of order
sees_backup()
{
	see_marks "$state/changed" || return
	! grep -qx "10.0.3.1 0x00000021" "$state/changed" || return 0
	head -c 64k >/dev/null
	in_client ip mptcp endpoint change id "$1" nobackup
	in_client ip mptcp endpoint change id "$1" backup
	return 1
}

# In a download: another policy, a backup flag that changes under it, and then the
# subflows that there are come under it, too
replace_policy()
{
	local cgroup="$contained_cgroup/client" id

	see_subflows "$state/before" 3 || return
	id="$(endpoint_of 10.0.3.1 <"$state/before")"
	see_marks "$state/before" &&
		printf 'backup mark 0x21\nfrom 10.0.2.0/24 mark 0x22' |
			"$user" policy load "$cgroup" - &&
		see_marks "$state/loaded" &&
		in_client ip mptcp endpoint change id "$id" backup &&
		slowwait 10 sees_backup "$id" && "$user" policy apply "$state/link" &&
		see_marks "$state/applied"
}

test_apply()
{
	local cgroup="$contained_cgroup/client" link rc=0

	printf 'backup mark 0x11\nmark 0x10' | "$user" policy load "$cgroup" - &&
		ln -s "$cgroup" "$state/link" && start_afresh || return
	link="$(stat -c %i /sys/fs/bpf/mptcp_mark/*/mptcp_policy)"
	held_download "http://10.0.1.2:$port/file" "$state/out" replace_policy || rc=1
	expect_marks "at first" "$state/before" 0x10 0x10 0x10 || rc=1
	expect_marks "under a policy that was loaded only" "$state/loaded" 0x10 0x10 0x10 || rc=1
	expect_marks "of a subflow that became a backup" "$state/changed" 0x10 0x10 0x21 || rc=1
	expect_marks "once the policy was applied" "$state/applied" 0x10 0x22 0x21 || rc=1
	# Detached, even for an instant, it would have another one
	expect "link" "$(stat -c %i /sys/fs/bpf/mptcp_mark/*/mptcp_policy)" "$link" || rc=1
	"$user" policy flush "$cgroup" || rc=1
	return "$rc"
}

load_policy_by_ordinal()
{
	printf 'ordinal %d mark %d\n' 1 1 2 2 3 3 4 4 |
		"$user" policy load "$contained_cgroup/client" -
}

test_policy_order()
{
	local rc=0

	load_policy_by_ordinal && test_order load_policy_by_ordinal || rc=1
	"$user" policy flush "$contained_cgroup/client" || rc=1
	return "$rc"
}

# $1: cgroup that gets the policy "mark $2", also for the subflows of a download
see_applied()
{
	see_subflows "$state/before" 3 && echo "mark $2" | "$user" policy load "$1" - &&
		"$user" policy apply "$1" && see_marks "$state/applied"
}

# A policy for the client, and one for the cgroup above, which has the server, too
test_nested()
{
	local outer="$contained_cgroup" inner="$contained_cgroup/client" rc=0

	echo "mark 9" | "$user" policy load "$outer" - && load_policy_by_link client &&
		start_afresh || return
	held_download "http://10.0.1.2:$port/file" "$state/out" see_applied "$outer" 8 || rc=1
	expect_marks "under the inner policy" "$state/applied" 1 2 3 || rc=1
	"$user" policy flush "$inner" && start_afresh || return
	held_download "http://10.0.1.2:$port/file" "$state/out" see_applied "$outer" 10 || rc=1
	expect_marks "under the outer policy" "$state/applied" 10 10 10 || rc=1
	"$user" policy flush "$outer" || rc=1
	expect "what is pinned" "$(find /sys/fs/bpf -name "mptcp*")" "" || rc=1
	return "$rc"
}

# Every word, read and printed as it was: no rule has more than one of a kind
all_words()
{
	cat <<-POLICY
	ordinal 3 mark 0x1
	endpoint 2 mark 0x20/0xf0
	remote-id 4 mark 0x4
	backup congctl reno
	backup local skb-priority 5
	backup remote tos 0x28
	opened family inet from 10.0.2.0/24 pacing 10mbit
	accepted family inet6 to dead:beef::/32 user-timeout 1500ms
	from 10.0.1.1 to 10.0.9.0/24 syncnt 3
	dev eth1 keepalive 10s/2s/3
	pacing unlimited
	POLICY
}

test_words()
{
	expect "what is printed of each word" "$(all_words | "$user" policy check - 2>&1)" \
		"$(all_words)"
}

# $1: what it says, $2: a policy that cannot be, as printf has it. The one before stays
refuses()
{
	local cgroup="$contained_cgroup/client" said rc

	# shellcheck disable=SC2059 # it is a format
	said="$(printf "$2" | "$user" policy load "$cgroup" - 2>&1)"
	rc=$?
	expect "exit code of '${2:0:40}'" "$rc" 1 || return
	expect "message" "$said" "mptcp_mark_user: standard input$1" || return
	expect "policy after '${2:0:40}'" "$("$user" policy show "$cgroup" | head -n 1)" \
		"mark 0x7                                                 # rule 1: matched 0"
}

test_refusals()
{
	local cgroup="$contained_cgroup/client" long rules

	long="$(printf 'mark 1 #%01020d' 0)"
	rules="$(printf 'mark 1\n%.0s' {1..33})"
	echo "mark 7" | "$user" policy load "$cgroup" - &&
	refuses " has no rules" '' &&
	refuses " has no rules" '# nothing\n\n' &&
	refuses ":2: unknown word 'endpont'" 'mark 1\nendpont 2 mark 1\n' &&
	refuses ":1: nothing is set: as 'mark 0x20'" 'endpoint 2\n' &&
	refuses ":1: 'mark' is given twice" 'mark 1 mark 2' &&
	refuses ":1: 'mark' needs an argument" 'mark' &&
	refuses ":1: 'backup' says which subflows: it goes before what is set on them" \
		'mark 1 backup' &&
	refuses ":1: 'endpoint' takes a number up to 255, not '256'" 'endpoint 256 mark 1' &&
	refuses ":1: 'ordinal' takes a number from 1 to 4294967295, not '0'" 'ordinal 0 mark 1' &&
	refuses ":1: 'remote-id' takes a number up to 255, not '-1'" 'remote-id -1 mark 1' &&
	refuses ":1: no subflow is opened and accepted" 'opened accepted mark 1' &&
	refuses ":1: 'family' takes inet or inet6, not 'ipv4'" 'family ipv4 mark 1' &&
	refuses ":1: 'from' takes an address or a prefix, as 10.0.2.0/24, not '10.0.2'" \
		'from 10.0.2 mark 1' &&
	refuses ":1: 'from' takes a number up to 32, not '33'" 'from 10.0.2.0/33 mark 1' &&
	refuses ":1: 10.0.2.1/24 has bits set beyond its prefix length" 'from 10.0.2.1/24 mark 1' &&
	refuses ":1: 'from' and 'to' are of two families" 'from 10.0.2.1 to dead::1 mark 1' &&
	refuses ":1: 'family' and the prefix disagree" 'family inet6 from 10.0.2.0/24 mark 1' &&
	refuses ":1: a device has a name of up to 15 characters, no / and no :, not 'a/b'" \
		'dev a/b mark 1' &&
	refuses ":1: mark 0x20 has bits outside of its mask 0xf" 'mark 0x20/0xf' &&
	refuses ":1: congestion control 'nonesuch' is not loaded: modprobe tcp_nonesuch" \
		'congctl nonesuch' &&
	refuses ":1: the lowest two bits of a TOS are for ECN: '0x21'" 'tos 0x21' &&
	refuses ":1: 'pacing' takes a rate, as 10mbit, or unlimited, not '10mbits'" \
		'pacing 10mbits' &&
	refuses ":1: 'pacing' takes 1bps to 34gbit, or unlimited, not '35gbit'" 'pacing 35gbit' &&
	refuses ":1: 'user-timeout' takes times in s or ms, as 2s, not '2'" 'user-timeout 2' &&
	refuses ":1: 'syncnt' takes a number up to 127, not '128'" 'syncnt 128' &&
	refuses ":1: 'syncnt' takes a number from 1 to 127, not '0'" 'syncnt 0' &&
	refuses ":1: 'tos' takes a number up to 255, not '256'" 'tos 256' &&
	refuses ":1: 'skb-priority' takes a number up to 2147483647, not '2147483648'" \
		'skb-priority 2147483648' &&
	refuses ":1: 'mark' takes a number up to 4294967295, not '4294967296'" 'mark 4294967296' &&
	refuses ":1: 'user-timeout' takes times up to 2147483s, not '2147484s'" \
		'user-timeout 2147484s' &&
	refuses ":1: 'pacing' takes 1bps to 34gbit, or unlimited, not '7bit'" 'pacing 7bit' &&
	refuses ":1: 'from' takes a number up to 128, not '129'" 'from dead::/129 mark 1' &&
	refuses ":1: 'keepalive' takes two times of 1s to 32767s and a number, as 10s/2s/3" \
		'keepalive 32768s/1s/1' &&
	refuses ":1: 'keepalive' takes two times of 1s to 32767s and a number, as 10s/2s/3" \
		'keepalive 10s/2s' &&
	refuses ":2: not a text file: byte 0x0" 'mark 1\nmark\0 1\n' &&
	refuses ":1: a line of more than 1024 characters" "$long" &&
	refuses ":33: a policy has up to 32 rules" "$rules" &&
	"$user" policy flush "$cgroup"
}

# ---- The demonstration: mptcp_mark.sh --demo policy

# What leaves the client by each link, counted
count_links()
{
	in_client nft "
		table ip links
		delete table ip links
		table ip links {
			chain output {
				type filter hook postrouting priority filter;
				oifname eth1 counter; oifname eth2 counter; oifname eth3 counter
			}
		}"
}

# $1: what is so now. Rates of the second that follows, and what left by each link
show_upload()
{
	echo
	echo "$1"
	count_links || return
	timeout -s INT 2.5 "$user" show -w -n "$ns_client" |
		awk '/^token/ { text = "" }
		     NF { text = text "  " $0 "\n" }
		     END { printf "%s", text }'
	echo "Bytes that left by each link meanwhile:"
	in_client nft list table ip links | tee "$state/links" |
		sed -n 's/.*oifname "\(eth.\)" counter packets [0-9]* bytes \([0-9]*\)/  \1 \2/p'
}

# The bytes of link $1 are $2 to $3, or $4 is wrong
in_range()
{
	local bytes

	bytes="$(sed -n "s/.*oifname \"$1\" counter packets [0-9]* bytes //p" "$state/links")"
	[[ -n "$bytes" && "$bytes" -ge "$2" && "$bytes" -le "$3" ]] || die "$4"
}

# An upload over link 1, and link 2 as a backup: its packets go by another table
demonstrate_policy()
{
	local cgroup="$contained_cgroup/client"

	prog=
	load_lib
	set_up attach "$contained_cgroup" || die "could not be set up, for the reason above"
	in_client ip -batch - <<-IP || return
		mptcp endpoint flush
		mptcp endpoint add 10.0.2.1 id 2 subflow backup
		rule add fwmark 0x20 table 200
		route add default via 10.0.3.2 table 200
	IP
	cat >"$state/policy" <<-POLICY
		backup     mark 0x20 pacing 50mbit
		           mark 0x10
	POLICY
	"$user" policy load "$cgroup" "$state/policy" || return
	echo "The policy of the client's cgroup:"
	sed 's/^/  /' "$state/policy"
	echo "and what has mark 0x20 goes by link 3: ip rule add fwmark 0x20 table 200"

	(enter_mptcp curl -s -T - "http://10.0.1.2:$port/upload" </dev/zero >/dev/null) &
	busywait "$BUSYWAIT_TIMEOUT" see_subflows "$state/subflows" 2
	show_upload "An upload, with link 2 as a backup:" || return
	in_range eth1 10000000 10000000000 "link 1 does not have the upload"
	in_range eth2 0 0 "link 2 has packets"

	in_client ip mptcp endpoint delete id 0 10.0.1.1
	busywait "$BUSYWAIT_TIMEOUT" has_one_subflow
	show_upload "Link 1 is taken away:" || return
	in_range eth3 1000000 20000000 "link 3 does not have the upload, at 50 Mbit/s"
	in_range eth2 0 0 "link 2 has packets"
	echo
	echo "The policy with its counters:"
	"$user" policy show "$cgroup" | sed 's/^/  /'
}

has_one_subflow()
{
	[ "$(in_client ss -Htn state established "dport = :$port" | wc -l)" -eq 1 ]
}
