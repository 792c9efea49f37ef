#!/usr/bin/perl

# Streams over many graceful restarts: each is finished by the processes it
# began with, and only what is killed ends early. SEED=number repeats a run.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $seed = $ENV{SEED} // int rand 2**31;
srand $seed;
diag "SEED=$seed";

my $backends = <<'EOT';
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
EOT

# A process that reads one stream and then tells how it ended, and when.
sub reader {
    my ($s, $model, $n, $ms) = @_;
    my $pid = open my $pipe, '-|';
    die "fork: $!" unless defined $pid;
    return { model => $model, pipe => $pipe } if $pid;

    my $r = $s->stream("[[stream:$n:$ms]]", model => $model);
    my $whole = join ' ', map { "tok$_" } 1 .. $n;
    my $end = !$r->{done} ? ref $r->{error} || $r->{json} ? 'error' : 'cut'
            : $r->{text} eq $whole && $r->{finish} eq 'stop' ? 'complete'
            : 'wrong';
    syswrite STDOUT, JSON::PP::encode_json({
        end => $end, at => time, status => $r->{status}, text => $r->{text},
        error => $r->{error} });
    POSIX::_exit(0);
}

sub result_of {
    my ($reader) = @_;
    my $pipe = $reader->{pipe};
    my $text = do { local $/; <$pipe> };
    close $pipe;
    return { %$reader, %{ JSON::PP::decode_json($text) } };
}

sub running_is {
    my ($s, $running, $waiting) = @_;
    $s->wait_for(sub {
        my $health = $s->health;
        $health->{slots}{running} == $running
            && $health->{queue}{waiting} == $waiting;
    }, "$running turns and $waiting that wait");
}

# One keeper, no turns, no CLIs but idle ones, and after the end nothing.
sub all_is_well {
    my ($s) = @_;
    $s->idle_ok;
    ok $s->wait_for(sub { $s->keepers == 1 }, 'one keeper'),
        'old keepers are gone';
    for my $model (qw(one lines)) {
        is $s->chat('[[say:hello]]', model => $model)->{text}, 'hello',
            "$model serves";
    }
    $s->idle_ok;
    $s->stop;
    is_deeply [$s->marked], [], 'no CLI is left';
}

subtest 'running and waiting turns' => sub {
    my $s = CLB::Server->start(config => "CLIBridgeSlots 2\n$backends");
    my @readers = map { reader($s, $_, 20, 50) } qw(one lines one lines);
    running_is $s, 2, 2;
    for (1 .. 3) {
        $s->graceful;
        sleep 0.1;
    }
    for my $r (map { result_of($_) } @readers) {
        is $r->{end}, 'complete', "$r->{model} is finished"
            or diag explain $r;
    }
    all_is_well $s;
};

subtest 'thirty restarts, and some are killed' => sub {
    my $s = CLB::Server->start(config => $backends);
    $s->expect_log(qr/exit signal Killed/);
    my @readers = map { reader($s, $_, 60, 100) } ('one', 'lines') x 4;
    running_is $s, 8, 0;

    # The streams belong to the first keeper, so that of a later one is not
    # theirs.
    my %when;
    @when{qw(keeper worker cli)} = shuffle 5 .. 28;
    my %victims = (
        keeper => sub { $s->keeper_pid },
        worker => sub { $s->workers },
        cli    => sub { $s->marked },
    );
    my %killed;
    for my $restart (1 .. 30) {
        kill USR1 => $s->pid;
        sleep 0.2;
        for my $kind (grep { $when{$_} == $restart } sort keys %when) {
            my @victims = shuffle $victims{$kind}->() or next;
            $killed{$kind} = time;
            kill KILL => $victims[0];
        }
    }

    my %ends;
    for my $r (map { result_of($_) } @readers) {
        $ends{ $r->{end} }++;
        next if $r->{end} eq 'complete';
        my $cause = $killed{ { cut => 'worker', error => 'cli' }
                             ->{ $r->{end} } // '' } // 0;
        ok $r->{at} >= $cause && $r->{at} < $cause + 3,
            "$r->{model}: $r->{end}, because something was killed"
            or diag explain $r, \%killed;
    }
    cmp_ok $ends{error} // 0, '<=', 1, 'one CLI was killed, one stream at most';
    ok !$ends{wrong}, 'what looks complete is complete'
        or diag explain \%ends;
    diag join ', ', map { "$ends{$_} $_" } sort keys %ends;
    all_is_well $s;
};

done_testing;
