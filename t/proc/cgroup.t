#!/usr/bin/perl

# Where cgroups (version 2) may be written, what a killed keeper's CLIs started
# is ended by the next keeper, wherever it went. Elsewhere process groups do
# what they can, and all else is the same.

use strict;
use warnings;

use FindBin;
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $backends = <<'EOT';
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
EOT

sub started { CLB::Server->start(config => $backends, @_) }

my ($mount) = CLB::Server::slurp('/proc/self/mounts')
    =~ /^\S+ (\S+) cgroup2 /m;

sub cgroup_of {
    my ($pid) = @_;
    return CLB::Server::slurp("/proc/$pid/cgroup") =~ /^0::(.*)$/m ? $1 : '';
}

# May $uid make cgroups below that of this test? Only the kernel knows whether
# the file system is read-only.
sub writable {
    my ($uid) = @_;
    my $dir = ($mount // '') . cgroup_of($$);
    return defined $mount && -e "$dir/cgroup.procs"
        && POSIX::access($dir, &POSIX::W_OK)
        && ($uid == 0 || (stat $dir)[4] == $uid);
}

sub gone {
    my ($s, @pids) = @_;
    return $s->poll(sub { !grep { kill 0, $_ } @pids });
}

# A process that left its session, of a CLI that lives on.
sub start_runaway {
    my ($s) = @_;
    my $r = $s->chat('[[setsid]]', model => 'lines');
    my ($pid) = $r->{text} =~ /^setsid (\d+);$/;
    ok $pid && kill(0, $pid), 'a grandchild in a session of its own'
        or diag explain $r;
    return $pid;
}

sub kill_keeper {
    my ($s) = @_;
    my $keeper = $s->keeper_pid;
    kill KILL => $keeper;
    $s->wait_for(sub { ($s->keeper_pid // $keeper) != $keeper },
                 'another keeper');
}

# What must hold with cgroups and without; true with.
sub serves {
    my ($s) = @_;
    my $r = $s->chat('[[setsid]]', model => 'one');
    my $keeper = $s->keeper_pid;
    my $cgroup = cgroup_of($keeper);
    my ($pid) = $r->{text} =~ /^setsid (\d+);$/;
    ok $pid, 'a turn';
    ok gone($s, $pid), 'what it leaves goes with it';
    $s->chat('x', model => 'lines');
    my @other = grep { cgroup_of($_) ne $cgroup } $s->marked;
    is "@other", '', 'CLIs are in the cgroup of their keeper';
    return $cgroup =~ m{/clibridge-$s->{uid}/$keeper\.\w{6}$} ? $cgroup : '';
}

subtest 'as whoever runs this test' => sub {
    my $s = started();
    my $cgroup = serves($s);
    is !!$cgroup, !!writable($>), 'a cgroup of its own, if that can be';
    my $runaway = start_runaway($s);
    kill_keeper($s);
    if ($cgroup) {
        ok gone($s, $runaway), 'the next keeper ends it';
        ok !-e "$mount$cgroup", 'and removes the cgroup';
    }
    else {
        diag 'cgroups cannot be written here';
        ok kill(KILL => $runaway), 'nobody finds it';
    }
    my $last = serves($s);
    $s->idle_ok;
    $s->stop;
    ok !$last || !-e "$mount$last", 'a keeper that ends takes its cgroup along';
};

subtest 'a server that is killed, and the next' => sub {
    my $s = started();
    my $cgroup = serves($s);
    my $runaway = start_runaway($s);
    kill KILL => $s->keeper_pid, $s->pid;
    $s->kill9;
    ok kill(0, $runaway), 'it lives on';
    kill KILL => $runaway unless $cgroup;
    my $living = started();
    ok gone($living, $runaway), 'until the next server starts';

    my $beside = started();
    is $living->chat('[[say:hello]]', model => 'lines')->{text}, 'hello',
        'one that lives is left alone';
    unlike $living->log, qr/ended \(9\)/, 'so is its keeper';
    $_->stop for $s, $beside, $living;
};

# Only root may choose; for anybody else the first case was all there is.
subtest 'as one who may not' => sub {
    my $s = started($> == 0 ? (as => 'nobody') : ());
    is !!serves($s), !!writable($s->{uid}), 'a cgroup only if that can be';
    my $runaway = start_runaway($s);
    kill_keeper($s);
    serves($s);
    kill KILL => $runaway;
    $s->idle_ok;
    $s->stop;
};

done_testing;
