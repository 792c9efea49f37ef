#!/usr/bin/perl

# CLIs that misbehave: each ends in an answer or an error, none stalls another
# turn, nothing is left behind, and the next turn works.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $s = CLB::Server->start(config => <<'EOT');
CLIBridgeSlots 2
CLIBridgeTimeout first=2 idle=1 turn=20
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
EOT

sub answers {
    my ($model) = @_;
    my $r = $s->chat('[[say:hello]]', model => $model);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->{text}, 'hello', "$model: the next turn works"
        or diag explain $r;
}

# Runs $code for a model, then looks whether all is well again. Only idle
# processes that can be reused stay: the one that serves, and perhaps one that
# was still busy with stopping when it was needed.
sub well_after {
    my ($name, $models, $code) = @_;
    for my $model (@$models) {
        subtest "$name ($model)" => sub {
            $code->($model);
            answers $model;
            $s->idle_ok;
            my @left;
            ok $s->poll(sub {
                @left = map { CLB::Server::cmdline($_) } $s->marked;
                return @left <= 2 && !grep { !/fake-lines/ } @left;
            }), 'nothing is left' or diag explain \@left;
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

# --- what it writes -------------------------------------------------------

well_after 'floods stderr', [qw(one lines)] => sub {
    my $r = $s->chat('[[stderr:5000000]][[say:done]]', model => $_[0]);
    is $r->{text}, 'done', 'the answer is whole';
};

well_after 'writes what is no UTF-8', [qw(one lines)] => sub {
    my $r = $s->chat('[[say:a]][[garbage]][[say:b]]', model => $_[0]);
    like $r->{text}, qr/^a.*b$/s, 'the rest arrives';
    ok ref $r->{json}, 'as JSON';
};

well_after 'writes what is no JSON', ['lines'] => sub {
    my $r = $s->chat('[[say:a]][[notjson]][[say:b]]', model => $_[0]);
    is $r->{text}, 'ab', 'the line is skipped';
};

well_after 'writes a lone surrogate', ['lines'] => sub {
    my $r = $s->chat('[[surrogate]]', model => $_[0]);
    is $r->{text}, "a\x{fffd}b", 'it is replaced';
};

# A process that reads a stream of 2 s and tells its longest silence.
sub stream_beside {
    my $pid = open my $pipe, '-|';
    die "fork: $!" unless defined $pid;
    return $pipe if $pid;
    my ($gap, $last) = (0);
    my $r = $s->stream('[[stream:40:50]]', model => 'one', -until => sub {
        my $silence = $_[0]{t} - ($last // $_[0]{t});
        $gap  = $silence if $silence > $gap;
        $last = $_[0]{t};
        return 0;
    });
    syswrite STDOUT, $r->{done} ? $gap : 'failed';
    POSIX::_exit(0);
}

# The answer is limited to 16 MB, a line to twice that.
well_after 'writes an endless line', [qw(one lines)] => sub {
    my ($model) = @_;
    my $beside = stream_beside();
    $s->wait_for(sub { $s->backend_health('one')->{leased} == 1 }, 'it');
    my $r = error_is $s->chat('[[big:50000000]]', model => $model),
        502, 'cli_failed';
    like $r->{json}{error}{message}, qr/too long|larger/, 'it says why';
    my $gap = <$beside>;
    like $gap, qr/^[\d.e-]+$/, 'the turn beside it ends well';
    cmp_ok $gap, '<', 1, 'and is never held up';
    close $beside;
};

well_after 'stops in the middle of a line', ['lines'] => sub {
    my $r = error_is $s->chat('[[halfline]]', model => $_[0]), 504, 'timeout';
    cmp_ok $r->{t}, '<', 4, 'which is noticed';
};

well_after 'falls silent after some text', [qw(one lines)] => sub {
    my $r = $s->stream('[[say:a]][[hang]]', model => $_[0]);
    is $r->{text}, 'a', 'the text arrives';
    is $r->{error}{code}, 'timeout', 'then the error';
    ok !$r->{done}, 'the stream does not look complete';
};

# --- how it ends ----------------------------------------------------------

well_after 'exits early', [qw(one lines)] => sub {
    my $r = error_is $s->chat('[[stderr:0]][[exit:3]]', model => $_[0]),
        502, 'cli_failed';
    like $r->{json}{error}{message}, qr/exited with status 3/, 'it says why';
};

well_after 'exits in the middle of its answer', [qw(one lines)] => sub {
    my $r = $s->stream('[[say:a]][[exit:3]]', model => $_[0]);
    is $r->{error}{code}, 'cli_failed', 'an error';
    ok !$r->{done}, 'the stream does not look complete';
};

well_after 'exits without an answer', ['lines'] => sub {
    error_is $s->chat('[[exit:0]]', model => $_[0]), 502, 'cli_failed';
};

well_after 'closes stdout and lives on', [qw(one lines)] => sub {
    my $r = error_is $s->chat('[[closeout]]', model => $_[0]),
        502, 'cli_failed';
    cmp_ok $r->{t}, '<', 2, 'which is noticed before any deadline';
};

# --- what it reads --------------------------------------------------------

well_after 'stops to read its stdin', ['lines'] => sub {
    is $s->chat('[[nostdin]]', model => 'lines')->{status}, 200, 'a turn';
    error_is $s->chat('x' x 20_000_000, model => 'lines'), 504, 'timeout';
};

# Many times what a pipe holds; Perl's JSON takes its time for the lines.
well_after 'gets a large prompt', [qw(one lines)] => sub {
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

well_after 'hears no SIGTERM', [qw(one lines)] => sub {
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

well_after 'forks', ['one'] => sub {
    my $r = $s->chat('[[fork]]', model => $_[0]);
    my ($pid) = $r->{text} =~ /^forked (\d+);$/;
    ok $pid, 'a grandchild that holds its pipes';
    cmp_ok $r->{t}, '<', 1, 'holds up nothing';
    ok $s->poll(sub { !kill 0, $pid }, 2), 'and is ended';
};

well_after 'forks into another session', ['one'] => sub {
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
