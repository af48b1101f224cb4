# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For torture.sh: the lines that are tables of cases. What is run works, or refuses: it
# says why in one line, which names what is wrong, with exit code 1 or 4.
# shellcheck disable=SC2016,SC2034,SC2154 # of other shells, and of the other files

# What is tried in each case
commands=(
	"./mptcp_mark.sh"
	"./mptcp_mark_progs.sh -t mptcp_mark/ipv4"
	"up_show_clean"
	"./mptcp_mark_user run \"\$cgroup\" -- true"
)

# In namespaces of the case, where /run is empty and cgroup2 begins with our cgroup; stubs
# are in /dev/shm
surround='
	mount -t tmpfs none /run
	mount -t tmpfs none /dev/shm
	cgroup="$(awk "\$3 == \"cgroup2\" { print \$2; exit }" /proc/self/mounts)"
	mkdir /dev/shm/cgroup2
	mount -t cgroup2 none /dev/shm/cgroup2
	mount --bind /dev/shm/cgroup2 "${cgroup:=/dev/shm/cgroup2}"
	no_cgroup2()
	{
		umount -l $(awk "\$3 == \"cgroup2\" { print \$2 }" /proc/self/mounts) 2>/dev/null
	}
	up_show_clean()
	{
		local rc

		./mptcp_mark.sh -c -m -l mptcp_mark || return
		./mptcp_mark.sh --show
		rc=$?
		./mptcp_mark.sh --clean && return "$rc"
		# What could not be taken down is still known
		./mptcp_mark.sh --clean
		return 1
	}
	export -f up_show_clean
	ip link set lo up
'
# What would last longer than these namespaces
look_within='
	rc=$?
	rmdir "$cgroup"/mptcp_mark{/x,,-AAAAAA} 2>/dev/null
	find /run /sys/fs/bpf -mindepth 1 -newer /dev/shm/begin -not -path "*.debug" \
		-not -path /run/netns -not -path /run/mount >/dev/shm/left 2>/dev/null
	[ ! -s /dev/shm/left ] || { echo "left:"; cat /dev/shm/left; exit 99; }
	exit "$rc"
'

# Steps, whose failures are their own cases, are named somewhere in what is printed. Those
# that may fail: what asks again and again, and what there is another way for
judge=
tolerated="(none|ip netns pids .*|ip netns exec .* ss .*|(setsid|nsenter) .* -M|mktemp -d .*"
tolerated+="|ip -o link"
# Of the tree's: setup_ns(), netns_free()
tolerated+="|ip .* link set lo up|.*rp_filter.*|ip netns delete .*|ip netns list.*|ip netns del .*"
tolerated+="|nft list table .* watch.*)"

# $1: name; $2: what a refusal names, a regular expression, empty if it must work;
# $3: what is done before; $4: what is run
try()
{
	local name="$1" names="$2" why=

	timeout -k 5 120 unshare --mount --net --cgroup --propagation private \
		bash -c "$surround"$'\n'"$3"$'\n'": >/dev/shm/begin; ($4)"$'\n'"$look_within" \
		torture >"$state/out" 2>"$state/err" </dev/null
	case "$?" in
	0)
		! grep -aq "^not ok" "$state/out" || why="fails"
		if [ -n "$judge" ] && ! grep -aq "# SKIP" "$state/out" &&
		   grep -a "^failed: " "$state/out" | grep -qvxE "failed: $tolerated"; then
			why="nobody noticed"
		fi
		set -- "works"
		;;
	1 | 4)
		# One line, or two, of which one is that of a tool; or tests are skipped
		set -- "$(grep -av "cannot change locale" "$state/err" | tail -n 3)"
		[ -n "$1" ] ||
			set -- "$(sed -n "s,^ok .*# SKIP,mptcp_mark:,p" "$state/out" | tail -n 1)"
		if [ -n "$judge" ]; then
			grep -aqE "$names" "$state/out" "$state/err" || why="does not name $names"
		elif [ "$(wc -l <<<"$1")" -gt 2 ] || [[ "${1##*$'\n'}" != mptcp_mark* ]]; then
			why="more than two lines, or none"
		elif [ -z "$names" ]; then
			why="must work"
		elif ! grep -qiE "$names" <<<"$1"; then
			why="does not name $names"
		fi
		;;
	*)
		why="exit code $?"
		;;
	esac
	if [ -n "$why" ]; then
		not_ok "$name: $why" "$state/out" "$state/err"
	else
		[ -z "$judge" ] || set -- "$(grep -aEhm 1 "$names" "$state/out" "$state/err")"
		ok "$name: ${1##*$'\n'}"
	fi
	look "$name"
}

# Of commands, those for the next case: in the short form, they take turns
turn=0
set_tried()
{
	tried=("$@")
	[ -z "$short" ] || tried=("${tried[turn++ % $#]}")
}

# $1: name, $2: what refusals name, $3: what is done before
try_all()
{
	local name="$1" names="$2" before="$3" command

	set_tried "${commands[@]}"
	for command in "${tried[@]}"; do
		try "$name, ${command%% -- *}" "$names" "$before" "$command"
	done
}

# What is in the way: names, file systems, limits, environments
line_surroundings()
{
	try_all "nothing special" "" ""
	try_all "namespaces of our names" "ns_client exists" \
		'ip netns add ns_client; ip netns add ns_server'
	try_all "cgroups of our names" "cgroup .* exists" \
		'mkdir -p "$cgroup"/mptcp_mark{/x,-AAAAAA}'
	try_all "our folder in /run is a file" "/run/mptcp_mark" 'echo >/run/mptcp_mark'
	try_all "our folder of pins is a link" "/sys/fs/bpf/mptcp_mark" \
		'mount -t bpf none /sys/fs/bpf; ln -s x /sys/fs/bpf/mptcp_mark'
	try_all "our folder of pins is of another user" "/sys/fs/bpf/mptcp_mark" \
		'mount -t bpf none /sys/fs/bpf; mkdir -m 755 /sys/fs/bpf/mptcp_mark
		chown 65534 /sys/fs/bpf/mptcp_mark'
	try "links in it to what is root's, ./mptcp_mark_user" "/sys/fs/bpf/mptcp_mark" \
		'mount -t bpf none /sys/fs/bpf; mkdir -m 755 /sys/fs/bpf/mptcp_mark /dev/shm/root
		chown 65534 /sys/fs/bpf/mptcp_mark; touch /dev/shm/root/file
		ln -s /dev/shm/root /sys/fs/bpf/mptcp_mark/4294967296999' \
		'./mptcp_mark_user status; rc=$?; [ -e /dev/shm/root/file ] || rc=99; exit "$rc"'
	try "a full disk for what is printed, ./mptcp_mark_user" "output" "" \
		'./mptcp_mark_user status -j >/dev/full'
	try_all "TMPDIR is full" "/dev/shm/t" 'mkdir /dev/shm/t; export TMPDIR=/dev/shm/t
		mount -t tmpfs -o size=4k none $TMPDIR; echo >$TMPDIR/x'
	try_all "/run is full" "no room" 'mount -t tmpfs -o size=4k none /run; echo >/run/x'
	try_all "/run has little room" "no room" 'mount -t tmpfs -o size=1M none /run'
	try_all "a read-only checkout" "" \
		'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD"'
	try_all "a checkout in a path with spaces" "" \
		'mkdir "/dev/shm/a  b"; mount --bind . "/dev/shm/a  b"; cd "/dev/shm/a  b"'
	try_all "called by links, from where tools are that are not to be run" "" '
		mkdir /dev/shm/l; ln -s "$PWD"/mptcp_mark* /dev/shm/l; cd /dev/shm/l
		for tool in ip nft ss sh curl python3 tcpdump mount unshare; do
			printf "#!/bin/sh\nexit 1" >$tool; chmod +x $tool
		done'
	try_all "no cgroup2 mounted" "cgroup" 'no_cgroup2; cgroup=/dev/shm/none'
	try_all "cgroup2 elsewhere" "" 'no_cgroup2; cgroup="/dev/shm/c  g"; mkdir "$cgroup"
		mount -t cgroup2 none "$cgroup"'
	try_all "cgroup2 alone" "" 'umount -Rl /sys/fs/cgroup; cgroup=/sys/fs/cgroup
		mount -t cgroup2 none $cgroup'
	try_all "cgroup2 read-only" "cgroup" 'mount -o remount,bind,ro "$cgroup"'
	try_all "a BPF file system mounted" "" 'mount -t bpf none /sys/fs/bpf'
	try_all "no debugfs and tracefs" "" 'umount -Rl /sys/kernel/debug /sys/kernel/tracing'
	try_all "MPTCP disabled" "net.mptcp.enabled" 'sysctl -qw net.mptcp.enabled=0'
	try_all "SIGCHLD ignored" "" 'trap "" CHLD'
	try_all "SIGPIPE ignored, as by systemd" "" 'trap "" PIPE'
	try_all "RLIMIT_MEMLOCK 0" "" 'ulimit -l 0'
	try_all "RLIMIT_NOFILE 256" "files" 'ulimit -n 256'
	try_all "RLIMIT_NOFILE 12" "files" 'ulimit -n 12'
	try_all "RLIMIT_NPROC 1" "" 'ulimit -u 1'
	try_all "RLIMIT_FSIZE 1 MB" "no room" 'ulimit -f 1024'
	try_all "RLIMIT_STACK 128 kB" "" 'ulimit -s 128'
	try_all "a locale with commas" "" \
		'localedef -i de_DE -f UTF-8 /dev/shm/de; export LOCPATH=/dev/shm LC_ALL=de'
	try_all "no such locale" "" 'export LC_ALL=xx_XX LANG=tr_TR'
	try_all "no TMPDIR" "" 'export TMPDIR=/nonexistent'
	try_all "TMPDIR with spaces" "" 'mkdir "/dev/shm/t  t"; export TMPDIR="/dev/shm/t  t"'
	try_all "TMPDIR that cannot be written to" "" 'export TMPDIR=/proc'
	try_all "PATH without sbin" "no [a-z]*: install" 'PATH=/usr/bin:/bin'
	try_all "umask 777" "" 'umask 777'
	try_all "POSIXLY_CORRECT" "" 'export POSIXLY_CORRECT=1'
	try_all "CDPATH" "" 'export CDPATH=/:/usr'
	try_all "variables of ours" "" 'export state=/x results=/x missing_rc=0 dir=/x me=x root=/x
		export contained_cgroup=/ links=9 prog=x delay=x debug=1 capture=/x'
	try_all "a bpftool that prints a warning" "" '
		printf "#!/bin/sh\necho WARNING: bpftool not found >&2\nexit 2\n" >/dev/shm/bpftool
		chmod +x /dev/shm/bpftool; PATH=/dev/shm:$PATH'
}

# $1: case, $2: the tool, $3: commands to take its place by a stub, run in a mount
# namespace of the command alone
try_tool()
{
	local name="$1" tool="$2" stub="$3" path command bind

	path="$(readlink -f "$(type -P "$tool")")"
	bind="mount --bind /dev/shm/stub $path"
	set_tried "${commands[@]:0:3}"
	for command in "${tried[@]}"; do
		try "$name, ${command%% -- *}" "$tool" "
			cp '$path' /dev/shm/real
			printf '#!$BASH\\n%s\\n' $(printf %q "$stub") >/dev/shm/stub
			[ -z $(printf %q "$stub") ] || chmod +x /dev/shm/stub" \
			"unshare --mount $BASH -c $(printf %q "$bind; $command")"
	done
}

line_tools()
{
	local tool

	for tool in ip ss sysctl nft curl python3 tcpdump unshare setpriv nsenter setsid tc \
		    mptcpize awk sed grep find mount mktemp mkdir sort stat; do
		try_tool "no $tool" "$tool" ""
	done
	for tool in ip ss sysctl nft curl python3 tcpdump unshare setpriv nsenter setsid tc; do
		try_tool "a broken $tool" "$tool" \
			"echo '$tool: cannot open shared object file' >&2; exit 127"
	done
	try_tool "an ip without mptcp" ip \
		'[[ "$*" != *mptcp* ]] || { echo "Object \"mptcp\" is unknown" >&2; exit 1; }
		exec /dev/shm/real "$@"'
	try_tool "an ss without -M" ss \
		'[[ "$*" != -*M* ]] || { echo "ss: invalid option -- M" >&2; exit 1; }
		exec /dev/shm/real "$@"'
}

# $1: name, $2: what refusals name, the rest: what runs each command with fewer privileges
try_as()
{
	local name="$1" names="$2" command
	shift 2

	for command in "${commands[@]:${short:-0}}"; do
		try "$name, ${command%% -- *}" "$names" "export cgroup" \
			"$* $BASH -c $(printf %q "$command")"
	done
}

line_capabilities()
{
	local name names capabilities

	try_as "not root" "must be root" setpriv --reuid 65534 --regid 65534 --clear-groups
	try_as "root in a user namespace" "CAP_SYS_ADMIN|must be root|not permitted" \
		unshare --user --map-root-user
	try_as "root in namespaces of all kinds" "CAP_SYS_ADMIN|not permitted" \
		unshare --user --map-root-user --mount --net --pid --fork --cgroup --ipc --uts
	try_as "no capability" "CAP_|not permitted" setpriv --bounding-set=-all --inh-caps=-all
	capabilities="$(capsh --print | sed -n 's/^Bounding set =//p' | tr , '\n')"
	for name in $capabilities; do
		case "$name" in
		cap_sys_admin | cap_net_admin | cap_dac_* | cap_net_raw | cap_set[ug]id)
			names="${name^^}|not permitted"
			;;
		*)
			[ -z "$short" ] || [ "$name" = cap_bpf ] || continue
			names=
			;;
		esac
		try_as "no ${name^^}" "$names" \
			setpriv "--bounding-set=-${name#cap_}" "--inh-caps=-${name#cap_}"
	done
}

# A tool, whose calls are counted; the one that is asked for fails
step='#!/bin/bash
b=/dev/shm/steps
read -r n <$b/calls
echo $((n + 1)) >$b/calls
if [ "$n" -eq "$(<$b/fail)" ]; then
	read -r args <<<"$*"
	echo "${0##*/} fails on purpose: $args" >&2
	echo "failed: ${0##*/} $args" >$b/failed
	exit 1
fi
exec "$(PATH="${PATH#*:}" type -P "${0##*/}")" "$@"'

# $1: command, each of whose calls of a tool is made to fail: that is named, and undone
fail_each_step()
{
	local command="$1" n=0 before

	before="mkdir -p /dev/shm/steps/bin; echo 1 >/dev/shm/steps/calls
		echo $(printf %q "$step") >/dev/shm/steps/bin/ip; chmod +x /dev/shm/steps/bin/ip
		for tool in nft sysctl mount mkdir ln head python3 nsenter setsid mktemp; do
			ln -s ip /dev/shm/steps/bin/\$tool
		done"
	judge=step
	while :; do
		n=$((n + 1 + ${short:-0} * 22))
		try "step $n, ${command%% -- *}" "on purpose|:FAIL:|SKIP|^mptcp_mark|^no room" \
			"$before; echo $n >/dev/shm/steps/fail" \
			"(PATH=/dev/shm/steps/bin:\$PATH; $command); rc=\$?
			cat /dev/shm/steps/failed || echo 'failed: none'; exit \$rc"
		! grep -qx "failed: none" "$state/out" || break
	done
	judge=
}

line_steps()
{
	fail_each_step "./mptcp_mark_progs.sh -t mptcp_mark_syn/moved"
	fail_each_step "${commands[2]}"
}

# Of random words, the tool makes what it can, or says in one line why not; nothing
# hangs, nothing crashes
line_options()
{
	local cgroup="$contained_cgroup/options" i code args=() words=()

	mkdir "$cgroup"
	words=(run attach load set detach status show -b -m -t -M -D -n -j -w -h -V -- --mask
	       --base= --base=1 -b0x -1 0 1 0xffffffff 4294967296 99999999999999999999 -0 1e3
	       "" " " %s%n $'\n' $'\377' "$cgroup" "$cgroup" "$cgroup" /nonexistent /dev/null
	       true -w0.01 /sys/fs/bpf/options "$(printf '%05000d' 0)")
	for ((i = 0; i < (${short:-0} ? 200 : 3000); i++)); do
		args=("${words[RANDOM % 7]}")
		while ((RANDOM % 4)); do
			args+=("${words[RANDOM % ${#words[@]}]}")
		done
		timeout -s INT -k 5 0.3 ./mptcp_mark_user "${args[@]}" \
			>"$state/out" 2>"$state/err" </dev/null
		code=$?
		if { [ "$code" -ge 125 ] && [ "$code" -ne 127 ]; } ||
		   { [ "$code" -eq 1 ] &&
		     [ "$(grep -ac "^mptcp_mark_user: " "$state/err")" -ne 1 ]; }; then
			not_ok "mptcp_mark_user ${args[*]@Q}: exit code $code" "$state/err"
		fi
	done
	./mptcp_mark_user detach "$cgroup" 2>/dev/null
	rm -rf /sys/fs/bpf/options
	rmdir "$cgroup"
	[ "$rc" -ne 0 ] || ok "mptcp_mark_user with random arguments, $i times"

	words=(-c -m -b -d -D -l mptcp_mark 5 -1 "''" x --exec --show --clean --help)
	judge=step
	for ((i = 0; i < (${short:-0} ? 5 : 50); i++)); do
		args=()
		while ((${#args[@]} < 2 || RANDOM % 5)); do
			args+=("${words[RANDOM % ${#words[@]}]}")
		done
		try "mptcp_mark.sh ${args[*]}" . "" "./mptcp_mark.sh ${args[*]}; rc=\$?
			./mptcp_mark.sh --clean; [ \$rc -ne 127 ] || rc=1; exit \$rc"
	done
	judge=
}

line_policies()
{
	local n=$((short ? 1000 : 1000000)) cgroup="$contained_cgroup/policies"

	mkdir "$cgroup"
	scripts/policy-fuzz.pl ./mptcp_mark_user "$cgroup" "$n" "$RANDOM" 2>&1 |
		tee "$state/out" | sed -un '/^[0-9]* of /p'
	result "$(tail -n 1 "$state/out")" "$?"
	./mptcp_mark_user policy flush "$cgroup"
	rmdir "$cgroup"
}
