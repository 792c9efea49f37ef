#!/usr/bin/perl

# CLIs that misbehave: each ends in an answer or an error, none stalls another
# client's turns, nothing is left behind, and the next turn works.

use strict;
use warnings;

use FindBin;
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

# What ends by a time limit is asked for below /hasty; all else has time.
my $s = CLB::Server->start(config => <<'EOT');
CLIBridgeSlots 2
<Location /hasty>
SetHandler clibridge
CLIBridgeTimeout first=2 idle=1
</Location>
CLIBridgeMaxBody 64M
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeWarm none
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend claude>
CLIBridgeWarm none
CLIBridgeProgram @BIN@/fake-claude
CLIBridgeUntested warn
CLIBridgePark off
CLIBridgeModels claude
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend deaf-one>
CLIBridgeDriver command
CLIBridgeProgram /bin/sleep
CLIBridgeArg 3600
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend deaf-lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeWarm none
CLIBridgeProgram @BIN@/fake-lines
CLIBridgeArg --never-ready
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend deaf-claude>
CLIBridgeDriver claude
CLIBridgeWarm none
CLIBridgeProgram @BIN@/fake-claude
CLIBridgeUntested warn
CLIBridgePark off
CLIBridgeEnv FAKE_CLAUDE deaf
CLIBridgeModels deaf-claude
@MARK@
</CLIBridgeBackend>
EOT
my @all   = qw(one lines claude);
my @hasty = (-path => '/hasty/v1/chat/completions');

sub answers {
    my ($model) = @_;
    my $r = $s->chat('[[say:hello]]', model => $model);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->{text}, 'hello', "$model: the next turn works"
        or diag explain $r;
}

# Another client, which asks echo one thing after the other until it is told to
# stop, and then says how often it was answered and how long it took at most.
sub client_beside {
    pipe my $stop, my $go or die "pipe: $!";
    my $pid = open my $result, '-|';
    die "fork: $!" unless defined $pid;
    if ($pid) {
        close $stop;
        return { go => $go, result => $result, since => time };
    }
    close $go;
    my ($n, $most) = (0, 0);
    until ($n && IO::Select->new($stop)->can_read(0)) {
        my $r = $s->chat("turn $n", model => 'echo');
        if (($r->{text} // '') ne "turn $n") {
            $n = "failed: $r->{status} $r->{body}";
            last;
        }
        $n++;
        $most = $r->{t} if $r->{t} > $most;
        sleep 0.02;
    }
    syswrite STDOUT, "$n $most";
    POSIX::_exit(0);
}

# Who is held up by another's turn is so nearly as long as that takes.
sub beside_ok {
    my ($beside) = @_;
    my $took = time - $beside->{since};
    close $beside->{go};
    my $result = readline $beside->{result};
    my ($n, $most) = split ' ', $result;
    ok $n =~ /^\d+$/ && $n > 0 && $most < 1 + $took / 4,
        'another client is served all the time' or diag $result;
}

# Runs $code for a model, then looks whether all is well again. Only idle
# processes that can be reused stay: the one that serves, and perhaps one that
# was still busy with stopping when it was needed.
my @before;

sub well_after {
    my ($name, $models, $code) = @_;
    for my $model (@$models) {
        subtest "$name ($model)" => sub {
            my $beside = client_beside();
            $code->($model);
            beside_ok $beside;
            answers $model unless $model =~ /^deaf/;
            $s->idle_ok;
            my @left;
            ok $s->poll(sub {
                @left = map { CLB::Server::cmdline($_) } $s->marked;
                return @left <= 2 && !grep { !/fake-lines $/ } @left;
            }), 'nothing is left' or diag explain \@left;
            $s->tidy_ok(@before);
        };
    }
}

sub error_is {
    my ($r, $status, $code) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$r->{status}, $r->{json} && $r->{json}{error}{code}],
        [$status, $code], "$status $code" or diag explain $r;
    return $r;
}

answers $_ for @all, @all;
$s->idle_ok;
@before = $s->descriptors;

# --- what it writes -------------------------------------------------------

well_after 'floods stderr', \@all => sub {
    my $r = $s->chat('[[stderr:50000000]][[say:done]]', model => $_[0],
                      -timeout => 60);
    is $r->{text}, 'done', 'the answer is whole';
};

well_after 'writes what is no UTF-8', \@all => sub {
    my $r = $s->chat('[[say:a]][[garbage]][[say:b]]', model => $_[0]);
    like $r->{text}, qr/^a.*b$/s, 'the rest arrives';
    ok ref $r->{json}, 'as JSON';
};

well_after 'writes what is no JSON', [qw(lines claude)] => sub {
    my $r = $s->chat('[[say:a]][[notjson]][[say:b]]', model => $_[0]);
    is $r->{text}, 'ab', 'the line is skipped';
};

well_after 'writes a lone surrogate', [qw(lines claude)] => sub {
    my $r = $s->chat('[[surrogate]]', model => $_[0]);
    is $r->{text}, "a\x{fffd}b", 'it is replaced';
};

# The answer is limited to 16 MB, a line to twice that.
well_after 'writes an endless line', \@all => sub {
    my $r = error_is $s->chat('[[big:50000000]]', model => $_[0],
                              -timeout => 60), 502, 'cli_failed';
    like $r->{json}{error}{message}, qr/too long|larger/, 'it says why';
};

well_after 'stops in the middle of a line', [qw(lines claude)] => sub {
    error_is $s->chat('[[halfline]]', model => $_[0], @hasty),
        504, 'timeout';
};

well_after 'dies in the middle of a line', [qw(lines claude)] => sub {
    my ($model) = @_;
    my $client = $s->client;
    $client->send_request('POST', '/v1/chat/completions', {
        model => $model,
        messages => [{ role => 'user', content => '[[halfline]]' }] });
    $s->wait_for(sub { $s->backend_health($model)->{leased} }, 'the turn');
    my ($pid) = map { $_->{pid} }
                sort { $b->{started} <=> $a->{started} }
                map { CLB::Server::stat_of($_) }
                $s->marked;
    kill KILL => $pid;
    my $r = error_is $client->read_response, 502, 'cli_failed';
    like $r->{json}{error}{message}, qr/signal 9/, 'it says why';
};

well_after 'falls silent after some text', \@all => sub {
    my $r = $s->stream('[[say:a]][[hang]]', model => $_[0], @hasty);
    is $r->{text}, 'a', 'the text arrives';
    is $r->{error}{code}, 'timeout', 'then the error';
    ok !$r->{done}, 'the stream does not look complete';
};

# --- how it ends ----------------------------------------------------------

well_after 'exits early', \@all => sub {
    my $r = error_is $s->chat('[[stderr:0]][[exit:3]]', model => $_[0]),
        502, 'cli_failed';
    like $r->{json}{error}{message}, qr/exited with status 3/, 'it says why';
};

well_after 'exits in the middle of its answer', \@all => sub {
    my $r = $s->stream('[[say:a]][[exit:3]]', model => $_[0]);
    is $r->{error}{code}, 'cli_failed', 'an error';
    ok !$r->{done}, 'the stream does not look complete';
};

well_after 'exits without an answer', [qw(lines claude)] => sub {
    error_is $s->chat('[[exit:0]]', model => $_[0]), 502, 'cli_failed';
};

well_after 'closes stdout and lives on', \@all => sub {
    my $r = error_is $s->chat('[[closeout]]', model => $_[0]),
        502, 'cli_failed';
    cmp_ok $r->{t}, '<', 30, 'which is noticed before any deadline';
};

# --- what it reads --------------------------------------------------------

well_after 'stops to read its stdin', ['lines'] => sub {
    is $s->chat('[[nostdin]]', model => 'lines')->{status}, 200, 'a turn';
    error_is $s->chat('x' x 20_000_000, model => 'lines', @hasty),
        504, 'timeout';
};

well_after 'never reads a prompt', [map { "deaf-$_" } @all] => sub {
    error_is $s->chat($_, model => $_[0], @hasty), 504, 'timeout'
        for 'x', 'x' x 20_000_000;
};

# Many times what a pipe holds; Perl's JSON takes its time for the lines.
well_after 'gets a large prompt', \@all => sub {
    my $size = $_[0] eq 'one' ? 5_000_000 : 1_000_000;
    my $r = $s->chat('x' x $size . '[[say:all of it]]', model => $_[0]);
    is $r->{text}, 'all of it', 'and reads it';
};

# --- when the client leaves -----------------------------------------------

# Leaves a turn that would never end; returns the process it ran on, which is
# the leader of its group.
sub leave {
    my ($model, $markers) = @_;
    my $r = $s->stream("$markers\[[status]][[hang]]", model => $model,
                       -until => sub { $_[1]{text} =~ /^NSpgid:.*\n/m });
    my ($pid) = $r->{text} =~ /^NSpgid:.*?(\d+)$/m;
    $r->{client}->close;
    return $pid;
}

well_after 'hears no SIGTERM', \@all => sub {
    my $pid = leave($_[0], '[[ignoreterm]][[ignorecancel]]');
    ok $pid, 'it runs';
    ok $s->poll(sub { !kill 0, $pid }, 1), 'it is gone 1 s after its client';
};

well_after 'is told to stop its answer', ['lines'] => sub {
    my $pid = leave($_[0], '');
    ok $s->wait_for(sub {
        my $now = $s->backend_health('lines');
        return $now->{idle} && !$now->{settling} && !$now->{leased};
    }, 'idle'), 'it stops';
    is leave($_[0], ''), $pid, 'the same process serves again';
};

well_after 'does not hear that it should stop', ['lines'] => sub {
    my $pid = leave($_[0], '[[ignorecancel]]');
    ok $s->poll(sub { !kill 0, $pid }, 1), 'it is ended within 1 s';
};

# --- what it leaves behind ------------------------------------------------

well_after 'forks', [qw(one claude)] => sub {
    my $r = $s->chat('[[fork]]', model => $_[0]);
    my ($pid) = $r->{text} =~ /^forked (\d+);$/;
    ok $pid, 'a grandchild that holds its pipes';
    cmp_ok $r->{t}, '<', 1, 'holds up nothing';
    ok $s->poll(sub { !kill 0, $pid }, 2), 'and is ended';
};

well_after 'forks into another session', [qw(one claude)] => sub {
    my $r = $s->chat('[[setsid]]', model => $_[0]);
    my ($pid) = $r->{text} =~ /^setsid (\d+);$/;
    ok $pid, 'a grandchild';
    ok $s->poll(sub { !kill 0, $pid }, 2), 'is ended';
};

# Reused, it keeps what it started as long as it lives.
well_after 'forks, and is ended', ['lines'] => sub {
    my $r = $s->chat('[[fork]][[setsid]]', model => $_[0]);
    my @pids = $r->{text} =~ /(\d+)/g;
    is @pids, 2, 'two grandchildren';
    push @pids, leave($_[0], '[[ignorecancel]]');
    ok $s->poll(sub { !grep { kill 0, $_ } @pids }, 2), 'all are gone';
};

$s->stop;
done_testing;
