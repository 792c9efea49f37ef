#!/usr/bin/perl

# Too few descriptors: the log says at the start how many are needed, and
# whoever cannot be served is told so at once. No process with a conversation
# or a login in its memory leaves a core file.

use strict;
use warnings;

use FindBin;
use IO::Select;
use JSON::PP ();
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $few = 64;
my $threads = ($ENV{CLIBRIDGE_MPM} || 'event') eq 'event';

# sixty clients want sixty processes
my $prefork = $threads ? '' : "MinSpareServers 60\nMaxSpareServers 100\n";

my $backends = $prefork . <<'EOT';
KeepAliveTimeout 60
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

# Clients whose connections are accepted: an httpd that cannot accept one ends
# the worker that tried, and itself if there was no other.
sub clients {
    my ($s, $n) = @_;
    my @clients = map { $s->client } 1 .. $n;
    for my $client (@clients) {
        $client->send_request('GET', '/health');
        $client->read_response;
    }
    return @clients;
}

# The status a client has, if it has one by now.
sub status_of {
    my ($client) = @_;
    return unless $client->{head}
               || IO::Select->new($client->socket)->can_read(0);
    my $head = $client->read_head;
    return $head && $head->{status};
}

# Turns that hang, one and then the others at once, which may take from each
# other what any of them needs: how many clients have which status, as soon as
# that is enough. Refusals are read, streams are only begun.
sub ask_to_hang {
    my ($s, $model, $enough, @clients) = @_;
    my %n;
    for my $client (@clients) {
        $client->send_request('POST', '/v1/chat/completions', {
            model => $model, stream => JSON::PP::true,
            messages => [{ role => 'user', content => '[[say:a]][[hang]]' }] });
        $client->read_head if $client == $clients[0];
    }
    $s->poll(sub {
        %n = ();
        $n{ status_of($_) // 'waiting' }++ for @clients;
        return $enough->(\%n);
    }, 60);
    my @wrong = grep {
        $_->{status} != 503 || $_->{json}{error}{code} ne 'overloaded'
    } map { $_->read_response }
        grep { $_->{head} && $_->{head}{status} != 200 } @clients;
    $_->close for @clients;
    is_deeply \@wrong, [], 'who is refused is told so' or diag explain \@wrong;
    return %n;
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


# Lets processes have so many descriptors more than they have. Their own user
# may do that; root only with CAP_SYS_RESOURCE. A worker may end meanwhile.
sub limit_to {
    my ($more, @pids) = @_;
    for my $pid (@pids) {
        my @open = CLB::Server::open_in($pid);
        my $most = $more + (@open || 16);    # 16: the keeper, unless for root
        my ($uid, $gid) = CLB::Server::slurp("/proc/$pid/status")
            =~ /^[UG]id:\s+(\d+)/mg or next;
        defined(my $child = fork) or die "fork: $!\n";
        if (!$child) {
            $( = $gid;
            $) = "$gid $gid";
            POSIX::setuid($uid);
            exec 'prlimit', '--pid', $pid, "--nofile=$most:"
                or POSIX::_exit(127);
        }
        waitpid $child, 0;
        die "prlimit: $?\n" if $? && -d "/proc/$pid/fd";
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

# Those with connections have more open. A process without threads can serve, or
# it cannot: leave half of sixty that can.
sub busy_workers {
    my %open = map { $_ => scalar(() = CLB::Server::open_in($_)) }
        $_[0]->workers;
    my @busiest = sort { $open{$b} <=> $open{$a} } keys %open;
    return @busiest[0 .. ($threads ? $#busiest : 29)];
}

# How many are limited, before or behind their clients come, and how many
# clients that is too few for.
my %limited = (
    'of all processes' => { first => \&limit_main, clients => 30 },
    'of the keeper' => { then => sub { limit_to(24, $_[0]->keeper_pid) } },
    'of the keeper, for the queue' =>
        { slots => 2, then => sub { limit_to(24, $_[0]->keeper_pid) } },
    'of the workers' => {
        then => sub { limit_to($threads ? 12 : 2, busy_workers($_[0])) },
        last => sub { limit_to(100, $_[0]->workers) } },
);

# Turns may wait in the queue for a minute, but for descriptors nobody does.
for my $whose (sort keys %limited) {
    subtest "few descriptors $whose" => sub {
        my %o = (slots => 60, clients => 60, map({ $_ => sub {} }
                 qw(first then last)), %{ $limited{$whose} });
        my $s = CLB::Server->start(config => "CLIBridgeSlots $o{slots}\n"
                                           . $backends);
        $s->chat('[[say:hello]]', model => $_) for qw(lines one);
        my @before = $s->descriptors;
        for my $model (qw(lines one)) {
            $o{first}->($s);
            my @clients = clients($s, $o{clients});
            $o{then}->($s);
            my %n = ask_to_hang($s, $model, $o{slots} == 2
                ? sub { $_[0]{200} && $_[0]{503} } : sub { !$_[0]{waiting} },
                @clients);
            diag join ', ', map { "$_: $n{$_}" } sort keys %n;
            cmp_ok $n{200} // 0, '>', 0, "$model: some run";
            cmp_ok $n{503} // 0, '>', 0, 'some are refused';
            is $n{waiting}, undef, 'nobody waits for a descriptor'
                if $o{slots} > 2;
            $s->wait_for(sub {
                !grep { CLB::Server::open_in($_) > $few / 2 } $s->workers;
            }, 'workers that can accept again');
            $s->idle_ok;
            $o{last}->($s);
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
