#!/usr/bin/perl

# A program serves when it passed its test: what is a pass, what becomes of
# turns meanwhile, and when a test is due. t/cli/canary.t has the real ones.

use strict;
use warnings;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use File::Temp qw(tempdir);
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $known = CLB::Server::slurp(
    "$FindBin::Bin/../data/claude/canary-2.1.329.json");
my $path = '/v1/messages?beta=true';

# --- what fakes ask -------------------------------------------------------

# FAKE_CLAUDE_ASKS, from requests as fake-claude reads them.
sub asks { join '', map { $json->encode($_) . "\n" } @_ }

# What Claude Code sends, and the same with other members.
sub good { [ POST => $path, $known ] }
sub odd {
    return [ POST => $path,
             $json->encode({ %{ $json->decode($known) }, @_ }) ];
}

my @good = good();
my @bad  = odd(tools => [ { name => 'Bash' } ]);

# --- programs -------------------------------------------------------------

my $top = tempdir(CLEANUP => 1);
chmod 0755, $top;

# Where the next server has its program.
my ($dir, $edition) = ('', 0);
sub elsewhere { $dir = "$top/" . ++$edition; mkdir $dir; return $dir }

sub put {
    my ($name, $text) = @_;
    open my $file, '>', $name or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
    return $name;
}

# Makes the program, or replaces it, by one that asks what the file says.
sub script {
    my ($asks) = @_;
    put("$dir/new", "#!/bin/sh\nexport FAKE_CLAUDE_ASKS=\"$asks\"\n"
        . "exec $FindBin::Bin/../bin/fake-claude \"\$@\"\n");
    chmod 0755, "$dir/new";
    rename "$dir/new", "$dir/program" or die "$dir/program: $!\n";
    return $asks;
}

# The same for what it asks; the name of the file tells its processes.
sub program { script(put("$dir/asks-" . ++$edition, asks(@_))) }

sub of {
    my ($s, $file) = @_;
    return grep { CLB::Server::slurp("/proc/$_/environ")
                  =~ /\0FAKE_CLAUDE_ASKS=\Q$file\E\0/ } $s->marked;
}

# --- servers --------------------------------------------------------------

sub backend {
    my ($name, @lines) = @_;
    return join "\n", "<CLIBridgeBackend $name>", 'CLIBridgeDriver claude',
        "CLIBridgeProgram $dir/program", "CLIBridgeModels $name", '@MARK@',
        @lines, "</CLIBridgeBackend>\n";
}

sub start { CLB::Server->start(config => join "\n", @_) }

sub test_is {
    my ($s, $backend, $want, $name) = @_;
    my $got = '';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        my $health = $s->backend_health($backend) or return;
        ($got = $health->{test} // 'none') eq $want;
    }), $name // "$backend: $want" or diag "$got\n", join "\n", $s->tail;
}

sub running_is {
    my ($s, $n) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->wait_for(sub { $s->health->{slots}{running} == $n }, 'them'),
        "turns that wait: $n";
}

sub answer_is {
    my ($r, $status, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ $r->{status}, $r->{json} && $r->{json}{error}{code} ],
        [ $status, $code ], $name or diag explain $r;
}

# Requests that are sent now and answered later.
sub ask_all {
    my ($s, @models) = @_;
    return map {
        my $client = $s->client;
        $client->send_request('POST', '/v1/chat/completions', {
            model => $_, messages => [ { role => 'user', content => 'x' } ] });
        $client;
    } @models;
}

sub statuses { join ' ', map { $_->read_response->{status} } @_ }

sub ends {
    my ($s) = @_;
    $s->idle_ok;
    $s->stop;
}

# --- a test that hangs ----------------------------------------------------

# It has 30 s, so it runs beside everything else.
elsewhere;
program(@good);
my $hanging = start(backend('hangs', 'CLIBridgeEnv FAKE_CLAUDE endless',
                            'CLIBridgeWarm none'));
my ($patient) = ask_all($hanging, 'hangs');

# --- what is a pass -------------------------------------------------------

my @failed = (503, 'cli_untrusted', 'failed');
my @cases  = (
    # name, what it asks; status, code, test, what the log says of it
    [ well => [ @good ], 200, undef, 'passed', qr/behaves as 2\.1\.329/ ],
    [ looks => [ [ HEAD => '' ], [ HEAD => '/' ], @good ],
      200, undef, 'passed', qr/behaves as/ ],

    [ more => [ @bad ], @failed,
      qr/unlike 2\.1\.329, tools\[0\]: \{"name":"Bash"\} is not expected/ ],
    [ twice => [ (@good) x 2 ], @failed, qr/it sent 2 requests / ],
    [ later => [ @good, ['result'], @good ], @failed,
      qr/it sent 2 requests / ],
    [ gets => [ @good, [ GET => '/v1/models' ] ], @failed,
      qr/it sent 2 requests / ],
    [ peeps => [ [ HEAD => '/?host=me' ], @good ], @failed,
      qr/it sent 2 requests / ],
    [ floods => [ (@good) x 40 ], @failed, qr/it sent 16 requests / ],
    [ elsewhere => [ [ POST => '/v1/messages/batches', $known ] ], @failed,
      qr{it asked for /v1/messages/batches, and not for} ],
    [ query => [ [ POST => "$path&host=me", $known ] ], @failed,
      qr/it asked for .*host=me, and not for/ ],
    [ text => [ [ POST => $path, 'hello' ] ], @failed,
      qr/it sent no JSON: / ],
    [ member => [ [ POST => $path, '{"tools":["x"],' . substr $known, 1 ] ],
      @failed, qr/it sent no JSON: .*tools/ ],

    # what may be another time
    [ nothing => [], 502, 'cli_failed', 'to come',
      qr/did not ask its model in its test: it ended its turn/ ],
    [ endless => [ [ POST => $path, 'x' x 2_000_000 ] ],
      502, 'cli_failed', 'to come', qr/did not ask its model in its test/ ],
);

subtest 'what a program sends' => sub {
    my $model = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 9);
    my @env   = 'CLIBridgeEnv ANTHROPIC_BASE_URL http://127.0.0.1:'
              . $model->sockport;
    elsewhere;
    script('$ASKS');
    put("$dir/$_->[0]", asks(@{ $_->[1] })) for @cases;
    my $s = start(map { backend($_->[0], 'CLIBridgeWarm none', @env,
                                "CLIBridgeEnv ASKS $dir/$_->[0]") } @cases);
    for my $case (@cases) {
        my ($name, undef, undef, undef, $test, $log) = @$case;
        $s->wait_log(qr/backend $name \(default\): .*$log/);
        test_is $s, $name, $test;
    }
    ok !IO::Select->new($model)->can_read(0), 'the model heard of no test';
    close $model;
    for my $case (@cases) {
        my ($name, undef, $status, $code) = @$case;
        my $r = $s->chat('x', model => $name);
        answer_is $r, $status, $code, "$name: " . ($code // 'serves');
        cmp_ok $r->{headers}{'retry-after'} // 0, '>', 0,
            "$name: for now" if $status == 502;
        is $s->backend_health($name)->{starts}, $status == 200 || 0,
            "$name: " . ($code ? 'is started for nobody else' : 'by another');
    }
    ends $s;
};

subtest 'CLIBridgeUntested warn' => sub {
    elsewhere;
    program(@bad);
    my $s = start(backend('odd', 'CLIBridgeUntested warn'));
    test_is $s, 'odd', 'failed';
    like $s->log, qr/:warn.*backend odd .* is used all the same .*"Bash"/,
        'is a warning';
    answer_is $s->chat('x', model => 'odd'), 200, undef, 'and it serves';
    ends $s;
};

subtest 'what there is to be tested' => sub {
    my $s = CLB::Server->start(config => <<'EOT'
CLIBridgeQueue 8 timeout=1
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
EOT
        . backend('off', 'CLIBridgeSlots 0'));
    answer_is $s->chat('x', model => $_), 200, undef, "$_ serves"
        for qw(lines echo);
    ok !exists $s->backend_health($_)->{test}, "$_ has no test"
        for qw(lines echo off);
    ends $s;
};

# --- turns that come before it is known -----------------------------------

for ([ 'a pass' => \@good, 200 ], [ 'a failure' => \@bad, 503 ]) {
    my ($end, $asks, $status) = @$_;
    subtest "turns wait for $end" => sub {
        elsewhere;
        program([ until => "$dir/go" ], @$asks);
        my $s = start(backend('slow'));
        my @clients = ask_all($s, ('slow') x 3);
        test_is $s, 'slow', 'to come', 'nothing is known';
        running_is $s, 3;
        put("$dir/go", '');
        is statuses(@clients), join(' ', ($status) x 3), 'until it is';
        ends $s;
    };
}

subtest 'a failure that may pass' => sub {
    elsewhere;
    my $file = program();
    my $s = start(backend('soon'));
    $s->wait_log(qr/backend soon .* next try in 4 s/);
    answer_is $s->chat('x', model => 'soon'), 502, 'cli_failed', 'is told';
    is $s->backend_health('soon')->{status}, 'failing', 'and shown';
    open my $asks, '>', $file or die "$file: $!\n";
    print $asks asks(@good);
    close $asks;
    test_is $s, 'soon', 'passed', 'and tried again';
    answer_is $s->chat('x', model => 'soon'), 200, undef, 'it serves';
    is $s->backend_health('soon')->{status}, 'ok', 'all is well';
    ends $s;
};

# --- another program ------------------------------------------------------

subtest 'a program that is replaced' => sub {
    my ($good, $bad);
    elsewhere;
    $good = program(@good);
    my $s = start('CLIBridgeSlots 4',
                  backend('claude', 'CLIBridgeWarm persistent max=2'));
    test_is $s, 'claude', 'passed';
    my $r = $s->chat('[[say:a]]', model => 'claude');
    is $r->{text}, 'a', 'serves';
    my $running = $s->stream('[[stream:80:50]]', model => 'claude',
                             -until => sub { 1 });
    $s->wait_for(sub {
        my $health = $s->backend_health('claude');
        $health->{parked} && $health->{leased} && $health->{idle} == 2;
    }, 'a parked, a leased and the idle ones');

    $bad = program(@bad);
    test_is $s, 'claude', 'failed', 'another one: is tested';
    $s->wait_log(qr/program was replaced/);
    ok $s->wait_for(sub { of($s, $good) == 1 }, 'the others'),
        'all of the old but the one that runs is gone';
    is_deeply [ of($s, $bad) ], [], 'of the new there is none';
    answer_is $s->chat([ { role => 'user', content => '[[say:a]]' },
                         { role => 'assistant', content => 'a' },
                         { role => 'user', content => 'x' } ],
                       model => 'claude'),
        503, 'cli_untrusted', 'no turn is served, not even a next one';
    my $text = $running->{text} // '';
    while (my $event = $running->{client}->read_event) {
        $text .= $event->{json}{choices}[0]{delta}{content} // ''
            if $event->{json};
    }
    is $text, join(' ', map { "tok$_" } 1 .. 80), 'what ran is finished';
    ok $s->wait_for(sub { !of($s, $good) }, 'its end'), 'and then ends';

    $good = program(@good);
    test_is $s, 'claude', 'passed', 'a good one again: is tested';
    answer_is $s->chat('x', model => 'claude'), 200, undef, 'and serves';
    ok of($s, $good) > 0, 'by itself';
    ends $s;
};

subtest 'replaced while its test runs' => sub {
    elsewhere;
    program([ until => "$dir/never" ], @good);
    my $s = start(backend('claude', 'CLIBridgeWarm persistent max=2'));
    $s->wait_for(sub { $s->marked }, 'the test');
    my ($client) = ask_all($s, 'claude');
    running_is $s, 1;
    program(@bad);
    is statuses($client), 503, 'the verdict is on the new one';
    test_is $s, 'claude', 'failed';
    unlike $s->log, qr/behaves as/, 'there was no other';
    ends $s;
};

# The program of a process is known when it is ready, and not before.
subtest 'replaced a moment before it is started' => sub {
    elsewhere;
    program(@good);
    my $s = start(backend('claude', 'CLIBridgeWarm none'));
    test_is $s, 'claude', 'passed';
    for (1, 2) {
        program(@bad);
        answer_is $s->chat('x', model => 'claude'), 503, 'cli_untrusted',
            'serves nobody';
        program(@good);
        test_is $s, 'claude', 'passed';
    }
    ends $s;
};

for ([ good => \@good, 200 ], [ bad => \@bad, 503 ]) {
    my ($kind, $asks, $end) = @$_;
    subtest "a $kind program that comes late" => sub {
        elsewhere;
        my $s = start(backend('late', 'CLIBridgeWarm none'));
        answer_is $s->chat('x', model => 'late'), 503, 'cli_missing',
            'is missed';
        is $s->backend_health('late')->{test}, 'to come', 'will be tested';
        program(@$asks);
        my @codes;
        $s->wait_for(sub {
            my $r = $s->chat('x', model => 'late');
            push @codes, $r->{json}{error}{code} // $r->{status};
            $codes[-1] ne 'cli_missing';
        }, 'the program');
        is_deeply [ uniq grep { $_ ne 'cli_missing' } @codes ],
            [ $end == 200 ? 200 : 'cli_untrusted' ], "and then: $end";
        ends $s;
    };
}

# --- accounts -------------------------------------------------------------

# A home makes the program ask something else.
sub homes {
    my (%asks) = @_;
    elsewhere;
    script('$HOME/asks');
    for my $name (keys %asks) {
        mkdir "$dir/$name";
        put("$dir/$name/asks", asks(@{ $asks{$name} }));
    }
    return map { join "\n", "<CLIBridgeAccount $_>",
                 "CLIBridgeHome $dir/$_", '</CLIBridgeAccount>' }
           sort keys %asks;
}

subtest 'each account has its own test' => sub {
    my @accounts = homes(one => \@bad, two => \@good);
    my $s = start('CLIBridgeSlots 8', backend('claude', @accounts));
    $s->wait_log(qr/backend claude \(one\): .* failed its test/);
    $s->wait_log(qr/backend claude \(two\): .* behaves as/);
    test_is $s, 'claude', 'failed', 'the worst is shown';
    is statuses(ask_all($s, ('claude') x 8)), '200 ' x 7 . '200',
        'the other one serves all turns';
    ends $s;
};

subtest 'who failed serves before nobody' => sub {
    my @accounts = homes(one => \@bad,
                         two => [ [ until => "$top/go-two" ], @good ]);
    my $s = start(backend('claude', @accounts));
    test_is $s, 'claude', 'failed', 'one is known not to be good';
    my @clients = ask_all($s, ('claude') x 3);
    running_is $s, 3;
    put("$top/go-two", '');
    is statuses(@clients), '200 200 200', 'for the other';
    ends $s;
};

subtest 'who waits for one that fails goes to the other' => sub {
    my @go = [ until => "$top/go-both" ];
    my @accounts = homes(one => [ @go, @bad ], two => [ @go, @good ]);
    my $s = start(backend('claude', @accounts));
    my @clients = ask_all($s, ('claude') x 4);
    running_is $s, 4;
    put("$top/go-both", '');
    is statuses(@clients), '200 200 200 200', 'all do';
    ends $s;
};

# --- room -----------------------------------------------------------------

subtest 'CLIBridgeProcesses' => sub {
    elsewhere;
    program([ pause => 0.2 ], @good);
    my $s = start('CLIBridgeSlots 4', 'CLIBridgeProcesses 1',
                  map { backend($_, 'CLIBridgeWarm persistent max=1') }
                  qw(a b));
    my ($most, @clients) = (0, ask_all($s, qw(a b a b)));
    for my $client (@clients) {
        until (IO::Select->new($client->socket)->can_read(0.005)) {
            my $now = grep { CLB::Server::cmdline($_) =~ /fake-claude/ }
                $s->marked;
            $most = $now if $now > $most;
        }
    }
    is statuses(@clients), '200 200 200 200', 'a test takes its turn';
    is $most, 1, 'as one of them';
    program(@good);
    $s->wait_log(qr/backend $_ .* was replaced/) for qw(a b);
    is statuses(ask_all($s, qw(a b))), '200 200', 'another time, too';
    ends $s;
};

# --- restarts -------------------------------------------------------------

subtest 'a graceful restart in the middle of a test' => sub {
    elsewhere;
    program([ until => "$dir/go" ], @good);
    my $s = start(backend('claude'));
    my $old = $s->keeper_pid;
    my @clients = ask_all($s, ('claude') x 2);
    running_is $s, 2;
    $s->graceful;
    put("$dir/go", '');
    is statuses(@clients), '200 200', 'who waited for it is served';
    ok $s->wait_for(sub { !kill 0, $old }, 'its end'), 'the keeper is gone';
    answer_is $s->chat('x', model => 'claude'), 200, undef, 'the next serves';
    is scalar(() = $s->log =~ /behaves as/g), 2, 'after a test of its own';
    ends $s;
};

subtest 'a test that hangs' => sub {
    answer_is $patient->read_response, 502, 'cli_failed', 'is ended';
    like $hanging->log, qr/did not end its turn in its test/, 'and told';
    is $hanging->backend_health('hangs')->{test}, 'to come', 'not for ever';
    ends $hanging;
};

done_testing;
