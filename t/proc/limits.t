#!/usr/bin/perl

# Too few descriptors: the log says at the start how many are needed, and
# whoever cannot be served is told so at once. No process with a conversation
# or a login in its memory leaves a core file.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $few = 64;
my $threads = ($ENV{CLIBRIDGE_MPM} || 'event') eq 'event';

# sixty clients at once want sixty processes
my $prefork = $threads ? '' : "MinSpareServers 60\nMaxSpareServers 100\n";

my $backends = $prefork . <<'EOT';
CLIBridgeProcesses 60
CLIBridgeQueue 64
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeWarm none
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
EOT

sub limits_of { CLB::Server::slurp("/proc/$_[0]/limits") }

# Sixty turns that hang, asked for at once; what each client has after $limit
# seconds: its status, or undef. Refusals are read, streams are only begun.
sub ask_sixty {
    my ($s, $model, $limit) = @_;
    my @clients = map { $s->client } 1 .. 60;
    $_->send_request('POST', '/v1/chat/completions', {
        model => $model, stream => JSON::PP::true,
        messages => [{ role => 'user', content => '[[say:a]][[hang]]' }] })
        for @clients;
    my $until = time + $limit;
    my (@statuses, @wrong);
    for my $client (@clients) {
        my $left = $until - time;
        my $head = $client->read_head($left > 0.1 ? $left : 0.1);
        push @statuses, $head && $head->{status};
        next if !$head || $head->{status} == 200;
        my $r = $client->read_response;
        push @wrong, $r unless $r->{status} == 503
            && $r->{json}{error}{code} eq 'overloaded';
    }
    $_->close for @clients;
    is_deeply \@wrong, [], 'who is refused is told so' or diag explain \@wrong;
    return @statuses;
}

subtest 'no core files' => sub {
    for my $as (undef, $> == 0 ? 'nobody' : ()) {
        my $s = CLB::Server->start(config => $backends, as => $as);
        my $name = $as // 'whoever runs this test';
        is $s->chat('x', model => 'lines')->{status}, 200, "httpd of $name";
        like limits_of($_), qr/^Max core file size\s+1\s+1\s/m,
            'no core, nor one for a pipe' for $s->keeper_pid, $s->marked;
        is +(stat '/proc/' . $s->keeper_pid . '/environ')[4], 0,
            'the memory of the keeper is closed to its CLIs';
        $s->stop;
    }
};

subtest 'enough descriptors' => sub {
    my $s = CLB::Server->start(config => $backends);
    is $s->chat('x', model => 'lines')->{status}, 200, 'a turn';
    unlike $s->log, qr/descriptors/, 'nothing is said of them';
    $s->stop;
};


# Lets a process have so many descriptors more than it has. Its own user may do
# that; root only with CAP_SYS_RESOURCE.
sub limit_to {
    my ($more, @pids) = @_;
    for my $pid (@pids) {
        my @open = CLB::Server::open_in($pid);
        my $most = $more + (@open || 16);    # 16: the keeper, unless for root
        my ($uid, $gid) = CLB::Server::slurp("/proc/$pid/status")
            =~ /^[UG]id:\s+(\d+)/mg;
        defined(my $child = fork) or die "fork: $!\n";
        if (!$child) {
            $( = $gid;
            $) = "$gid $gid";
            POSIX::setuid($uid);
            exec 'prlimit', '--pid', $pid, "--nofile=$most:"
                or POSIX::_exit(127);
        }
        waitpid $child, 0;
        die "prlimit: $?\n" if $?;
    }
}

sub limit_main {
    my ($s) = @_;
    system('prlimit', '--pid', $s->pid, "--nofile=$few:$few") == 0
        or die "prlimit: $?\n";
    $s->graceful;    # the next generation inherits it
    my $says = qr/needs (\d+) descriptors.*, but may have $few/;
    my ($keeper) = $s->wait_log(qr/keeper: $says/) =~ /$says/;
    cmp_ok $keeper // 0, '>=', 60 * 5 + 124, 'the log says what a keeper needs';
    return unless $threads;
    my ($worker) = $s->wait_log(qr/each worker[^\n]*$says/) =~ /$says/;
    cmp_ok $worker // 0, '>', $few, 'and what a worker does';
}

# A process without threads can serve, or it cannot: leave some that can.
sub workers_of {
    my @workers = $_[0]->workers;
    return @workers[0 .. ($threads ? $#workers : $#workers / 2)];
}

# Turns may wait in the queue for a minute, but for descriptors nobody does.
my %limited = (
    'of all processes' => [60, \&limit_main],
    'of the keeper'    => [60, sub { limit_to(24, $_[0]->keeper_pid) }],
    'of the keeper, for the queue' =>
        [2, sub { limit_to(24, $_[0]->keeper_pid) }],
    'of the workers'   => [60,
        sub { limit_to($threads ? 12 : 2, workers_of($_[0])) },
        sub { limit_to(100, workers_of($_[0])) }],
);

for my $whose (sort keys %limited) {
    subtest "few descriptors $whose" => sub {
        my ($slots, $limit, $lift) = @{ $limited{$whose} };
        my $s = CLB::Server->start(config => "CLIBridgeSlots $slots\n"
                                           . $backends);
        $s->chat('[[say:hello]]', model => $_) for qw(lines one);
        my @before = $s->descriptors;
        for my $model (qw(lines one)) {
            $limit->($s);
            my %n;
            $n{ $_ // 'waiting' }++ for ask_sixty($s, $model,
                $slots == 2 ? 4 : 60);
            diag join ', ', map { "$_: $n{$_}" } sort keys %n;
            cmp_ok $n{200} // 0, '>', 0, "$model: some run";
            cmp_ok $n{503} // 0, '>', 0, 'some are refused';
            cmp_ok $n{waiting} // 0, '<=', $slots == 2 ? 58 : 0,
                'nobody waits for a descriptor';
            $s->idle_ok;
            $lift->($s) if $lift;
            my $r;
            ok $s->poll(sub {
                $r = $s->chat('[[say:hello]]', model => $model);
                ($r->{text} // '') eq 'hello';
            }), 'the next turn works' or diag explain $r;
        }
        $s->tidy_ok(@before);
        $s->stop;
    };
}

done_testing;
