#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
#
# Policies that were changed at random: the tool takes each, and prints what it reads
# as the same again, or says in one line what is wrong. Some are loaded for a cgroup:
# it then has the new policy as a whole, or the old one.

use strict;
use warnings;

die "Usage: $0 TOOL CGROUP TIMES SEED\n" unless @ARGV == 4;
my ($tool, $cgroup, $times, $seed) = @ARGV;
my @words = ("#", qw(ordinal endpoint remote-id backup local remote opened accepted family inet
	inet6 from to dev mark congctl skb-priority tos pacing user-timeout syncnt keepalive
	0 1 2 -1 255 256 0x7fffffff 0xffffffff 4294967296 99999999999999999999 0x 0x20/0xf0
	1/0 10.0.2.0/24 10.0.2.1/24 ::/0 ::ffff:0:0/96 ::ffff:10.0.0.0/104 dead:beef:2::/64
	1.2.3.4.5 eth1 a/b reno cubic nonesuch 0x20 0xfc 10mbit 1.5kibit 34gbit 35gbit
	unlimited 1e9 nan inf 2s 100ms 2147484s 127 128 10s/2s/3 0s/2s/3 10s/2s 10ms/2s/3));
my @rules = ("endpoint 2 mark 0x20/0xf0 congctl reno pacing 10mbit",
	"backup remote mark 0x10/0xf0 skb-priority 6 tos 0x20 user-timeout 2s",
	"accepted family inet6 from dead:beef::/32 mark 0x30/0xf0",
	"ordinal 1 to 10.0.0.0/8 dev eth1 keepalive 10s/2s/3", "mark 1 syncnt 3");

sub one { $_[rand @_] }

# A policy of some rules, of which words, characters and lines change
sub policy
{
	my @lines = map { one(@rules) } 0 .. rand(rand(20) < 1 ? 40 : 4);

	for (1 .. rand 4) {
		my $line = \one(\@lines)->[rand @lines];
		my @split = split / /, $$line;
		my $how = int rand 9;

		$split[rand @split] = one(@words) if $how < 3;
		splice @split, rand(@split + 1), 0, one(@words) if $how == 3 || $how == 4;
		splice @split, rand(@split), 1 if $how == 5 && @split;
		$$line = join one(" ", " ", "\t", "  "), @split;
		substr($$line, rand(1 + length $$line), rand 2) = chr rand 256 if $how == 6;
		$$line .= one(@words) x rand 400 if $how == 7 && rand(10) < 1;
		@lines = map { one(@lines) } @lines if $how == 8;
	}
	return join("\n", @lines) . one("", "\n", "\r\n");
}

# Exit code, what was printed, and what was said
sub run
{
	my ($input, @command) = @_;
	my @output;

	open my $in, "+>", undef or die;
	print $in $input;
	seek $in, 0, 0;
	open my $out, "+>", undef or die;
	open my $err, "+>", undef or die;
	my $pid = fork // die "fork: $!\n";
	if (!$pid) {
		open STDIN, "<&", $in;
		open STDOUT, ">&", $out;
		open STDERR, ">&", $err;
		exec $tool, "policy", @command;
		die;
	}
	waitpid $pid, 0;
	my $status = $?;
	for ($out, $err) {
		local $/;
		seek $_, 0, 0;
		push @output, scalar(<$_>) // "";
	}
	return ($status, @output);
}

sub fail
{
	my ($why, $policy) = @_;
	print "$why, of seed $seed:\n$policy\n";
	exit 1;
}

# Of what "policy show" prints: the rules alone
sub shown
{
	my ($status, $out) = run("", "show", $cgroup);
	return join "", map { s/ *#.*//r } $out =~ /^(?!# no rule).*\n/mg;
}

srand $seed;
$| = 1;
my ($taken, $loaded, $old) = (0, 0, "");
for my $n (1 .. $times) {
	my $policy = policy();
	my ($status, $out, $err) = run($policy, "check", "-");
	my $lines = () = $err =~ /^mptcp_mark_user: .*\n/mg;

	fail("status $status", $policy) if $status && $status != 256;
	fail("said '$err'", $policy)
		if $err =~ tr/\n// != $lines || $lines > 1 || !$lines && $status;
	fail("printed '$out' of a policy that cannot be", $policy) if $status && $out;
	if (!$status) {
		my (undef, $again) = run($out, "check", "-");
		fail("printed, read and printed: '$out', '$again'", $policy) if $again ne $out;
		$taken++;
	}
	if ($n % 50 == 0) {
		my ($status2) = run($policy, "load", $cgroup, "-");
		fail("check said $status, load $status2", $policy) if $status2 != $status;
		$old = $out if !$status;
		fail("shown: '" . shown() . "', expected '$old'", $policy) if shown() ne $old;
		$loaded += !$status;
	}
	print "$n of $times policies\n" if $n % 50_000 == 0;
}
print "$times policies: $taken taken, of which $loaded loaded\n";
