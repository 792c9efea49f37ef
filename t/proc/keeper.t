#!/usr/bin/perl

# The keeper as a process: whose it is, what it holds, and what is left when it
# or its parent is killed, hangs, or is told to go.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $backends = <<'EOT';
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram @BIN@/fake-lines
CLIBridgeSlots 2
CLIBridgeWarm persistent min=2 max=2
@MARK@
</CLIBridgeBackend>
EOT

sub started {
    my $s = CLB::Server->start(config => $backends);
    $s->wait_for(sub { warm($s) }, 'two warm processes');
    return $s;
}

sub warm {
    my ($s) = @_;
    my $backend = $s->backend_health('lines') or return;
    return $backend->{idle} >= 2 && $s->marked >= 2;
}

sub answers {
    my ($s, $name) = @_;
    my $r = $s->chat('[[say:hello]]', model => 'lines');
    is $r->{text}, 'hello', $name or diag explain $r;
}

# A turn that has begun and will not end; its client.
sub hold_turn {
    my ($s) = @_;
    return $s->stream('[[say:a]][[hang]]', model => 'lines',
                      -until => sub { 1 })->{client};
}

sub status_of {
    my ($pid, $name) = @_;
    return CLB::Server::slurp("/proc/$pid/status") =~ /^$name:\s*(.*?)\s*$/m
         ? $1 : '';
}

sub fds { map { readlink } glob "/proc/$_[0]/fd/*" }

sub listening {
    my %inode;
    for my $line (map { split /\n/, CLB::Server::slurp("/proc/net/$_") }
                      qw(tcp tcp6)) {
        my @field = split ' ', $line;
        $inode{"socket:[$field[9]]"} = 1 if $field[3] eq '0A';
    }
    return \%inode;
}

# Dead, be it as a zombie that nobody has reaped.
sub gone {
    my ($s, @pids) = @_;
    return $s->poll(sub {
        !grep {
            ((CLB::Server::stat_of($_) || {})->{state} // 'Z') ne 'Z'
        } @pids;
    }, 2);
}

sub run_dirs {
    my ($s) = @_;
    opendir my $dir, $s->path('state/run') or return ();
    return sort grep { !/^\./ } readdir $dir;
}

# --- what it is -----------------------------------------------------------

subtest 'one keeper, nobody\'s, with few descriptors' => sub {
    my $s = started();
    my ($main, @keepers) = ($s->pid, $s->keepers);
    is @keepers, 1, 'one';
    my $keeper = $keepers[0];
    my $stat = CLB::Server::stat_of($keeper);
    is $stat->{comm}, 'clb-keeper', 'its name';
    is $stat->{parent}, $main, 'a child of the main process';

    is status_of($keeper, 'Uid'), join("\t", ($s->{uid}) x 4), 'its user';
    is status_of($keeper, 'Gid'), join("\t", ($s->{gid}) x 4), 'its group';
    my $groups = $> ? $) : readpipe('id -G nobody');
    is_deeply [sort split ' ', status_of($keeper, 'Groups')],
              [do { my %g = map { $_ => 1 } split ' ', $groups; sort keys %g }],
              'no group of root\'s';

    my $listening = listening();
    ok scalar(grep { $listening->{$_} } fds($main)),
        'the main process listens';
    ok !(grep { $listening->{$_} } fds($keeper)), 'the keeper does not';
    my @fds = fds($keeper);
    cmp_ok scalar(@fds), '<', 25, 'few descriptors'
        or diag explain \@fds;
    $s->stop;
};

subtest 'turns leave no descriptors and no memory behind' => sub {
    my $s = started();
    my $client = $s->client;
    my $turns = sub {
        my ($n, $model) = @_;
        my $failed = 0;
        for (1 .. $n) {
            $failed++
                if CLB::Client::chat($client, 'x', model => $model)->{status}
                   != 200;
            $client = $s->client if $_ % 90 == 0;    # MaxKeepAliveRequests
        }
        is $failed, 0, "$n turns of $model";
    };
    my $most = sub {
        my ($most) = sort { $b <=> $a } map { scalar(fds($_)) } @_;
        return $most;
    };
    $turns->(100, $_) for qw(lines echo);
    my $keeper  = $s->keeper_pid;
    my @workers = $s->workers;
    my @fds     = ($most->($keeper), $most->(@workers));
    $turns->(100, $_) for qw(lines echo);
    $s->idle_ok;
    my ($grew, @now);
    $grew = sub {
        @now = ($most->($keeper), $most->(@workers));
        return $now[0] > $fds[0] + 5 || $now[1] > $fds[1] + 5;
    };
    ok $s->poll(sub { !$grew->() }), 'descriptors' or diag "@fds -> @now";

    my $rss = status_of($keeper, 'VmRSS');
    $turns->(2000, 'lines');
    my $more = 0 + (status_of($keeper, 'VmRSS') =~ s/ kB//r)
             - ($rss =~ s/ kB//r);
    # a sanitizer keeps freed memory for a while
    cmp_ok $more, '<', $ENV{CLIBRIDGE_ASAN} ? 20480 : 256, 'kB of memory';
    is $s->keeper_pid, $keeper, 'it was the same keeper all the time';
    $s->idle_ok;
    $s->stop;
};

# --- its end --------------------------------------------------------------

subtest 'killed twice' => sub {
    my $s = started();
    for my $time (1, 2) {
        my ($keeper, @clis) = ($s->keeper_pid, $s->marked);
        my $from = $s->log_size;
        kill KILL => $keeper;
        gone($s, $keeper);
        answers $s, 'a request right after it only waits';
        like $s->log($from), qr/keeper: pid $keeper ended \(9\); starting/,
            'the log says so';
        isnt $s->keeper_pid, $keeper, 'another keeper';
        ok gone($s, @clis), 'the old CLIs are gone';
        ok $s->wait_for(sub { warm($s) }, 'warm'), 'as many as before';
        is_deeply [run_dirs($s)], [$s->keeper_pid], 'one run directory';
    }
    $s->idle_ok;
    $s->stop;
};

subtest 'killed three times and then stopped' => sub {
    my $s = started();
    for my $time (1 .. 3) {
        my $from = $s->log_size;
        kill KILL => $s->wait_for(sub { $s->keeper_pid }, 'a keeper');
        $s->wait_log(qr/starting another/, 10, from => $from);
    }
    # This one waits for its time, and must not hold the port meanwhile.
    my $late = $s->wait_for(sub { ($s->children)[-1] }, 'the next keeper');
    my ($listening, @fds) = (listening());
    ok $s->poll(sub {
        @fds = fds($late);
        !grep { $listening->{$_} } @fds;
    }, 1), 'a keeper that waits does not listen';
    $s->stop;
    ok gone($s, $late), 'it went with the server';
};

subtest 'a turn ends with its keeper' => sub {
    my $s = started();
    my $client = hold_turn($s);
    kill KILL => $s->keeper_pid;
    my (@events, $event);
    push @events, $event while $event = $client->read_event;
    ok scalar(grep { $_->{json} && $_->{json}{error} } @events),
        'the stream ends with an error' or diag explain \@events;
    ok !(grep { ($_->{data} // '') eq '[DONE]' } @events),
        'and does not look complete';
    $s->idle_ok;
    answers $s, 'the next one works';
    $s->idle_ok;
    $s->stop;
};

subtest 'told to end' => sub {
    my $s = started();
    my ($keeper, @clis) = ($s->keeper_pid, $s->marked);
    kill TERM => $keeper;
    gone($s, $keeper);
    answers $s, 'a request right after it only waits';
    like $s->log, qr/keeper: pid $keeper ended \(0\); starting/,
        'a clean end';
    ok gone($s, @clis), 'the old CLIs are gone';
    is_deeply [run_dirs($s)], [$s->keeper_pid], 'its run directory too';
    $s->idle_ok;
    $s->stop;
};

subtest 'silent' => sub {
    my $s = started();
    my $keeper = $s->keeper_pid;
    kill STOP => $keeper;
    my $r = $s->chat('x', model => 'lines', -timeout => 20);
    is $r->{status}, 503, 'a request is refused when it has been so for 10 s';
    is $r->{json}{error}{code}, 'overloaded', 'as overloaded';
    my $health = $s->get('/health');
    is $health->{status}, 503, 'so is the server';
    is $health->{json}{status}, 'keeper_silent', 'and says why';
    cmp_ok $s->chat('x', model => 'lines')->{t}, '<', 3,
        'the next request is refused without that wait';

    kill CONT => $keeper;
    answers $s, 'it goes on';
    is $s->get('/health')->{json}{status}, 'ok', 'healthy again';
    is $s->keeper_pid, $keeper, 'the same keeper';
    $s->idle_ok;
    $s->stop;
};

# --- the end of httpd -----------------------------------------------------

subtest 'the main process is killed' => sub {
    my $s = started();
    my $client = hold_turn($s);
    my $keeper = $s->keeper_pid;
    cmp_ok scalar($s->marked), '>=', 2, 'CLIs, idle and at work';
    $s->kill9;
    my @left;
    ok $s->poll(sub { !(@left = $s->marked) }, 2), 'they go within 2 s'
        or diag map { CLB::Server::cmdline($_) } @left;
    ok gone($s, $keeper), 'and so does the keeper';
    is_deeply [run_dirs($s)], [], 'nothing is left of it';
    $client->close;
    $s->stop;
};

# httpd kills a worker that is still busy only after ten seconds.
subtest 'restart and stop do not wait for turns' => sub {
    my $s = started();
    for my $end (qw(restart stop)) {
        my @running = map { hold_turn($s) } 1, 2;
        my $waiting = $s->client;
        $waiting->send_request('POST', '/v1/chat/completions',
            { model => 'lines', messages => [
                { role => 'user', content => 'x' }] });
        $s->wait_for(sub { $s->health->{queue}{waiting} == 1 }, 'a third turn');
        my ($keeper, @clis) = ($s->keeper_pid, $s->marked);

        my $from = time;
        $s->$end;
        cmp_ok time - $from, '<', 5, "$end takes less than 5 s";
        ok gone($s, $keeper, @clis), 'keeper and CLIs of before are gone';
        # httpd may cut connections before the error is out.
        my $complete = 0;
        for my $client (@running) {
            while (my $event = $client->read_event(2)) {
                $complete++ if ($event->{data} // '') eq '[DONE]';
            }
        }
        is $complete, 0, 'no turn that was running looks complete';
        isnt $waiting->read_response(2)->{status}, 200, 'nor one that waited';
        if ($end eq 'stop') {
            is_deeply [run_dirs($s)], [], 'no run directory';
            last;
        }
        $s->idle_ok;
        answers $s, 'a turn after it';
        is_deeply [run_dirs($s)], [$s->keeper_pid], 'one run directory';
    }
};

subtest 'what a dead keeper left is swept at the start' => sub {
    my $s = started();
    defined(my $dead = fork) or die "fork: $!";
    POSIX::_exit(0) unless $dead;
    waitpid $dead, 0;
    for my $dir ("state/run/$dead", "state/run/$dead/7") {
        mkdir $s->path($dir) or die "$dir: $!";
        $s->own($s->path($dir));
    }
    $s->own($s->put("state/run/$dead/7/request.json", '{}'));
    $s->graceful;
    ok $s->wait_for(sub { !-e $s->path("state/run/$dead") }, 'the sweep'),
        'swept';
    $s->stop;
};

done_testing;
