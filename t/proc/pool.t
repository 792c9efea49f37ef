#!/usr/bin/perl

# Warm pools: how many processes stand ready, how they are replaced, what
# happens to a CLI that does not start, and the limits on all of them.

use strict;
use warnings;

use FindBin;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $until_first = sub { 1 };

sub backend {
    my ($name, $program, @lines) = @_;
    my $driver = $program =~ /fake-claude/ ? 'claude' : 'command';
    push @lines, 'CLIBridgeReuse lines' if $program =~ /fake-lines/;
    return join "\n", "<CLIBridgeBackend $name>", "CLIBridgeDriver $driver",
        "CLIBridgeProgram $program", "CLIBridgeModels $name", '@MARK@',
        @lines, "</CLIBridgeBackend>\n";
}

sub oneshot { backend(shift, '@BIN@/fake-oneshot', @_) }
sub lines   { backend(shift, '@BIN@/fake-lines', @_) }
sub claude  {
    my ($name, $way, @lines) = @_;
    return backend($name, '@BIN@/fake-claude',
                   "CLIBridgeEnv FAKE_CLAUDE $way", 'CLIBridgeUntested warn',
                   @lines);
}

sub start { CLB::Server->start(config => join "\n", @_) }

# Waits for these members of a backend in /health.
sub health_is {
    my ($s, $backend, %want) = @_;
    my $name = delete $want{name};
    my $got;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        $got = $s->backend_health($backend) or return;
        !grep { $got->{$_} ne $want{$_} } keys %want;
    }, 5), $name or diag explain $got;
}

sub answers {
    my ($s, $model, $name) = @_;
    my $r = $s->chat('[[say:hello]]', model => $model);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->{text}, 'hello', $name or diag explain $r;
    return $r;
}

sub error_is {
    my ($r, $status, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$r->{status}, $r->{json} && $r->{json}{error}{code}],
        [$status, $code], $name or diag explain $r;
}

# A turn that has begun and hangs; its client.
sub hold_turn {
    my ($s, $model) = @_;
    return $s->stream('[[say:a]][[hang]]', model => $model,
                      -until => $until_first)->{client};
}

# Requests that are sent now and answered later.
sub ask_all {
    my ($s, $text, @models) = @_;
    return map {
        my $client = $s->client;
        $client->send_request('POST', '/v1/chat/completions', {
            model => $_, messages => [{ role => 'user', content => $text }] });
        $client;
    } @models;
}

# Reads all answers; {statuses} and the {most} CLIs there were meanwhile.
sub answers_of {
    my ($s, @clients) = @_;
    my ($most, @statuses) = (0);
    for my $client (@clients) {
        until (IO::Select->new($client->socket)->can_read(0.005)) {
            my $now = $s->marked;
            $most = $now if $now > $most;
        }
        push @statuses, $client->read_response->{status};
    }
    return { most => $most, statuses => \@statuses };
}

# --- the start-up deadline ------------------------------------------------

# It is 30 s, so it runs beside everything else.
my $deadline = time + 30;
my $slow = CLB::Server->start(config => "CLIBridgeQueue 8 timeout=2\n"
    . claude('never', 'never', 'CLIBridgeWarm persistent min=1 max=1')
    . claude('well', 'well'));

subtest 'a CLI that never gets ready' => sub {
    health_is $slow, 'never', starting => 1, idle => 0,
        name => 'is waited for';
    my $r = $slow->chat('x', model => 'never');
    error_is $r, 429, 'queue_timeout', 'but not longer than the queue allows';
    answers $slow, 'well', 'others do not mind';
};

# --- how many -------------------------------------------------------------

subtest 'modes' => sub {
    my $s = start('CLIBridgeProcesses 24',
        oneshot('none',       'CLIBridgeWarm none'),
        oneshot('periodic',   'CLIBridgeWarm periodic min=1 max=3'),
        oneshot('persistent', 'CLIBridgeWarm persistent min=1 max=3'),
        oneshot('adaptive',   'CLIBridgeWarm adaptive min=1 max=3'),
        claude('probed',      'late:50', 'CLIBridgeWarm persistent max=2'));
    my %idle = (none => 0, periodic => 1, persistent => 3, adaptive => 1,
                probed => 2);
    for my $mode (sort keys %idle) {
        health_is $s, $mode, idle => $idle{$mode}, starting => 0,
            starts => $idle{$mode}, name => "$mode: $idle{$mode} at the start";
    }
    ok $s->wait_for(sub { $s->marked == 7 }, 'the end of the test'),
        'so many processes there are';
    for my $mode (sort keys %idle) {
        answers $s, $mode, "$mode: a turn";
        health_is $s, $mode, idle => $idle{$mode}, leased => 0,
            starts => $idle{$mode} + 1, name => "$mode: as many after it";
    }
    my @clients = map { hold_turn($s, 'adaptive') } 1 .. 5;
    health_is $s, 'adaptive', leased => 5, idle => 3,
        name => 'adaptive: more when turns run at once, but not over max';
    $_->close for @clients;
    $s->idle_ok;
    health_is $s, 'adaptive', idle => 3, leased => 0,
        name => 'adaptive: they stay a while';
    $s->stop;
};

# When a process got ready, as seconds since 1970; lines programs do at once.
sub ready_at {
    my ($s, $name, $from) = @_;
    my $line = $s->wait_log(qr/^.*process \d+ \($name\): ready/m, undef,
                            from => $from) or return 0;
    my ($h, $m, $sec) = $line =~ /^\[\w+ \w+ \d+ (\d+):(\d+):([\d.]+)/;
    my $at = POSIX::mktime(0, $m, $h, (localtime)[3 .. 5]) + $sec;
    return $at > time + 43200 ? $at - 86400 : $at;    # it was before midnight
}

subtest 'a turn that begins is left alone' => sub {
    my $s = start(lines('few', 'CLIBridgeWarm persistent max=1'));
    health_is $s, 'few', idle => 1, name => 'one stands ready';
    my ($from, $since) = ($s->log_size, time);
    my $client = hold_turn($s, 'few');
    cmp_ok ready_at($s, 'few', $from), '>=', $since + 0.15,
        'the next one starts when the first word should be there';
    $client->close;
    $s->idle_ok;
    $s->stop;
};

subtest 'refresh' => sub {
    my $s = start(oneshot('fresh', 'CLIBridgeWarm periodic min=1 refresh=1'));
    health_is $s, 'fresh', idle => 1, name => 'one process';
    my $old;
    $s->wait_for(sub { ($old) = $s->marked }, 'its program');
    ok $s->wait_for(sub { my @now = $s->marked; @now && $now[0] != $old },
                    'another'), 'is replaced when it is old';
    health_is $s, 'fresh', idle => 1, failures => 0, status => 'ok',
        name => 'which is no failure';
    answers $s, 'fresh', 'the new one works';
    $s->idle_ok;
    $s->stop;
};

subtest 'reuse' => sub {
    my $s = start('CustomLog "@ROOT@/logs/process.log" '
                  . '"%{clibridge-process}n"',
                  lines('lines', 'CLIBridgeWarm adaptive min=1 max=2'),
                  oneshot('one'));
    my $processes = sub {
        my ($model) = @_;
        my $from = -s $s->path('logs/process.log') || 0;
        for (1 .. 6) {
            answers $s, $model, "$model, turn $_";
            # an answer may arrive before the process is given back
            $s->wait_for(sub { !$s->backend_health($model)->{leased} }, 'it');
        }
        my @lines;
        $s->wait_for(sub {
            @lines = grep { /\d/ } split /\n/,    # /health has none
                CLB::Server::slurp($s->path('logs/process.log'), $from);
            @lines == 6;
        }, 'six lines');
        my %seen = map { $_ => 1 } @lines;
        return scalar keys %seen;
    };
    health_is $s, 'lines', idle => 1, name => 'a process';
    is $processes->('lines'), 1, 'serves many turns';
    is $processes->('one'), 6, 'without it one each';
    $s->idle_ok;
    $s->stop;
};

# --- trouble --------------------------------------------------------------

subtest 'a CLI that dies at the start' => sub {
    my $s = start(
        lines('dies', 'CLIBridgeArg --die-at-start',
              'CLIBridgeWarm persistent max=1'),
        claude('probed', 'die', 'CLIBridgeWarm persistent max=1'),
        claude('refuses', 'refuse', 'CLIBridgeWarm persistent max=1'),
        lines('well'));
    for my $name (qw(dies probed refuses)) {
        health_is $s, $name, status => 'failing', idle => 0,
            name => "$name: is failing";
        my $r = $s->chat('x', model => $name);
        error_is $r, 502, 'cli_failed', "$name: so a request fails";
        like $r->{body}, qr/died at start|refused to warm up/,
            "$name: with the CLI's own words";
        cmp_ok $r->{headers}{'retry-after'} // 0, '>', 0,
            "$name: and when to try again";
        $s->wait_log(qr/backend $name .* next try in 2 s/);
        like $s->log, qr/backend $name .* next try in 1 s/,
            "$name: tries are further and further apart";
        cmp_ok $s->backend_health($name)->{starts}, '<=', 5,
            "$name: few starts";
    }
    answers $s, 'well', 'others do not mind';
    $s->idle_ok;
    $s->stop;
};

subtest 'a program that is not there' => sub {
    my $s = start(oneshot('later', 'CLIBridgeWarm none')
                  =~ s{\@BIN\@/fake-oneshot}{\@ROOT\@/program}r);
    for (1, 2) {
        my $r = $s->chat('x', model => 'later');
        error_is $r, 503, 'cli_missing', 'is missing';
        cmp_ok $r->{t}, '<', 1, 'which is said at once';
    }
    health_is $s, 'later', status => 'failing', name => 'and in /health';
    symlink '/bin/cat', $s->path('program');
    ok $s->wait_for(sub { $s->chat('x', model => 'later')->{status} == 200 },
                    'the program'), 'until it is there';
    health_is $s, 'later', status => 'ok', name => 'all is well then';
    $s->idle_ok;
    $s->stop;
};

subtest 'slow and noisy starts' => sub {
    my $s = start(
        claude('late', 'late:300', 'CLIBridgeWarm none'),
        claude('garbage', 'garbage', 'CLIBridgeWarm none'),
        lines('silent', 'CLIBridgeArg --never-ready',
              'CLIBridgeWarm persistent max=1'),
        'CLIBridgeTimeout first=1');
    my $r = answers $s, 'late', 'a slow one is waited for';
    cmp_ok $r->{t}, '>=', 0.3, 'as long as it takes';
    answers $s, 'garbage', 'what is no JSON is skipped';
    health_is $s, 'silent', idle => 1,
        name => 'a command is ready at once, whatever it does';
    error_is $s->chat('x', model => 'silent'), 504, 'timeout',
        'so its silence is noticed in the turn';
    $s->idle_ok;
    $s->stop;
};

subtest 'an idle process that dies or speaks' => sub {
    my $s = start(
        lines('lines', 'CLIBridgeWarm none'),
        lines('talks', 'CLIBridgeArg --speak-when-idle=50',
              'CLIBridgeWarm none'),
        oneshot('closes', 'CLIBridgeArg -c "exec >&-; sleep 60"',
                'CLIBridgeWarm persistent max=1')
            =~ s{\@BIN\@/fake-oneshot}{/bin/sh}r);
    error_is $s->chat('x', model => 'closes'), 502, 'cli_failed',
        'closes its stdout: it cannot serve' for 1 .. 20;

    answers $s, 'lines', 'a turn before';
    my ($old) = grep { CLB::Server::cmdline($_) =~ /fake-lines/ } $s->marked;
    health_is $s, 'lines', idle => 1, name => 'it is idle';
    kill KILL => $old;
    $s->wait_log(qr/lines ended while idle/);
    answers $s, 'lines', 'dies: the next request does not notice';
    health_is $s, 'lines', idle => 1, status => 'ok', failures => 1,
        name => 'another one';

    answers $s, 'talks', 'a turn after which it will speak';
    $s->wait_log(qr/talks spoke while idle/);
    answers $s, 'talks', 'speaks: the next turn does not hear it';
    $s->idle_ok;
    $s->stop;
};

# --- limits ---------------------------------------------------------------

subtest 'CLIBridgeProcesses' => sub {
    my $s = start('CLIBridgeSlots 4', 'CLIBridgeProcesses 2',
                  oneshot('one', 'CLIBridgeWarm none'),
                  lines('lines', 'CLIBridgeWarm persistent max=2'));
    health_is $s, 'lines', idle => 2, name => 'all used up by idle ones';
    my $got = answers_of($s, ask_all($s, '[[sleep:50]]', ('one') x 6));
    is_deeply $got->{statuses}, [(200) x 6],
        'they make room for those that are needed';
    is $got->{most}, 2, 'and there are never more';
    $got = answers_of($s, ask_all($s, '[[sleep:50]]',
                                  ('one', 'lines') x 4));
    is_deeply $got->{statuses}, [(200) x 8], 'both in turn';
    is $got->{most}, 2, 'never more';
    $s->idle_ok;
    $s->stop;
};

subtest 'CLIBridgeMemory' => sub {
    my $s = start('CLIBridgeMemory 1M',
                  oneshot('one', 'CLIBridgeWarm persistent max=2'));
    $s->wait_log(qr/more than CLIBridgeMemory allows/);
    health_is $s, 'one', idle => 0, dying => 0, name => 'no warm pool';
    my $starts = $s->backend_health('one')->{starts};
    my ($turns, $most, $until) = (0, 0, time + 6);    # longer than a sweep
    while (time < $until) {
        my $got = answers_of($s, ask_all($s, '[[sleep:50]]', ('one') x 3));
        $turns += grep { $_ == 200 } @{ $got->{statuses} };
        $most = $got->{most} if $got->{most} > $most;
        ok 0, 'a turn failed' if grep { $_ != 200 } @{ $got->{statuses} };
    }
    cmp_ok $turns, '>', 10, 'turns are served';
    is $most, 1, 'one at a time';
    is $s->backend_health('one')->{starts} - $starts, $turns,
        'and no process is started for nothing';
    $s->idle_ok;
    $s->stop;
};

subtest 'CLIBridgeSlots of a backend' => sub {
    my $s = start(oneshot('one', 'CLIBridgeSlots 1'), oneshot('other'),
                  oneshot('off', 'CLIBridgeSlots 0',
                          'CLIBridgeWarm persistent max=2'));
    my $client = hold_turn($s, 'one');
    my ($second) = ask_all($s, 'x', 'one');
    ok $s->wait_for(sub { $s->backend_health('one')->{waiting} == 1 },
                    'the second'), 'a second turn waits';
    answers $s, 'other', 'another backend\'s does not';
    $client->close;
    is $second->read_response->{status}, 200, 'until the first is over';

    is_deeply [$s->backend_health('off')->{starts}, $s->marked], [0],
        '0 starts nothing';
    unlike $s->get('/v1/models')->{body}, qr/"off"/, 'nor is it listed';
    error_is $s->chat('x', model => 'off'), 404, 'model_not_found',
        'or there';
    $s->idle_ok;
    $s->stop;
};

subtest 'a graceful restart' => sub {
    my $s = start(lines('lines', 'CLIBridgeWarm persistent max=3'));
    health_is $s, 'lines', idle => 3, name => 'three';
    my $client = hold_turn($s, 'lines');
    my ($keeper, %old) = ($s->keeper_pid, map { $_ => 1 } $s->marked);
    $s->graceful;
    my @left;
    ok $s->poll(sub { (@left = grep { $old{$_} } $s->marked) == 1 }, 2),
        'only the one at work is left of the old keeper\'s';
    is CLB::Server::stat_of($left[0])->{parent}, $keeper,
        'who is still there';
    ok $s->wait_for(sub { 3 == grep { !$old{$_} } $s->marked }, 'warm'),
        'three new ones';
    $client->close;
    ok $s->wait_for(sub { !kill 0, @left }, 'the last'), 'then it goes, too';
    ok $s->wait_for(sub { !kill 0, $keeper }, 'it'), 'and its keeper';
    $s->idle_ok;
    $s->stop;
};

subtest 'a CLI that was never ready' => sub {
    my $line = $slow->wait_log(qr/never was not ready in time.*next try/,
                               $deadline - time + 5);
    ok $line, 'is ended in the end';
    is $slow->backend_health('never')->{status}, 'failing',
        'and counts as failing';
    $slow->idle_ok;
    $slow->stop;
};

done_testing;
