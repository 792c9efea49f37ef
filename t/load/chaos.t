#!/usr/bin/perl

# Eight clients stream without a pause, while httpd is restarted gracefully a
# hundred times and keepers, workers and CLIs are killed. No answer may look
# complete that is not, and nothing may be left. SEED=number repeats a run.

use strict;
use warnings;

use FindBin;
use IO::Select;
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my ($clients, $restarts, $every) = (8, 100, 0.2);

my $seed = $ENV{SEED} // int rand 2**31;
srand $seed;
diag "SEED=$seed";

# While generations overlap there are more workers than one needs.
my $mpm = ($ENV{CLIBRIDGE_MPM} || 'event') eq 'event' ? 'ServerLimit 16' : '';

my $s = CLB::Server->start(config => <<"EOT", loglevel => 'clibridge:info');
$mpm
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram \@BIN\@/fake-oneshot
\@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram \@BIN\@/fake-lines
\@MARK\@
</CLIBridgeBackend>
EOT
$s->expect_log(qr/exit signal Killed/);

# --- a client -------------------------------------------------------------

my ($n, $ms) = (20, 50);
my $whole = join ' ', map { "tok$_" } 1 .. $n;

sub end_of {
    my ($r) = @_;
    if ($r->{done}) {
        return $r->{text} eq $whole && $r->{finish} eq 'stop' ? 'complete'
                                                              : 'wrong';
    }
    return 'error' if ref $r->{error};
    return 'refused' if $r->{status} >= 400 && ref $r->{json}
                     && $r->{json}{error}{code};
    return 'cut' if !$r->{status} || !$r->{clean};
    return 'wrong';
}

# Streams until its parent says so; tells how each stream ended.
sub client {
    my ($model) = @_;
    pipe my $stop, my $go or die "pipe: $!";
    my $pid = open my $results, '-|';
    die "fork: $!" unless defined $pid;
    if ($pid) {
        close $stop;
        return { go => $go, results => $results };
    }
    close $go;
    until (IO::Select->new($stop)->can_read(0)) {
        my $r = $s->stream("[[stream:$n:$ms]]", model => $model,
                           -timeout => 30);
        my $end = end_of($r);
        syswrite STDOUT, JSON::PP::encode_json({
            end => $end, at => time, model => $model,
            $end eq 'complete' ? () : (status => $r->{status},
                text => $r->{text}, error => $r->{error}) }) . "\n";
        sleep 0.1 if $end ne 'complete';
    }
    POSIX::_exit(0);
}

# --- the trouble ----------------------------------------------------------

my %victims = (
    keeper => sub { $s->keepers },
    worker => sub { $s->workers },
    cli    => sub { $s->marked },
);
my (%killed, @worker_killed);

sub kill_one {
    my ($kind) = shuffle sort keys %victims;
    my ($pid)  = shuffle $victims{$kind}->();
    push @worker_killed, time if $kind eq 'worker';
    $killed{$kind}++ if $pid && kill KILL => $pid;
}

my @clients = map { client($_) } ('one', 'lines') x ($clients / 2);
$s->wait_for(sub { $s->health->{slots}{running} == $clients }, 'the clients');

my $next_kill = time + 1;
for (1 .. $restarts) {
    kill USR1 => $s->pid;
    sleep $every;
    next if time < $next_kill;
    kill_one();
    $next_kill = time + 0.5 + rand;
}

# --- what came of it ------------------------------------------------------

my (%ends, @bad);
print { $_->{go} } "enough\n" and close $_->{go} for @clients;
for my $client (@clients) {
    my $results = $client->{results};
    while (my $line = <$results>) {
        my $r = JSON::PP::decode_json($line);
        $ends{ $r->{end} }++;
        push @bad, $r if $r->{end} eq 'wrong'
            || $r->{end} eq 'cut'
               && !grep { $r->{at} >= $_ && $r->{at} < $_ + 3 } @worker_killed;
    }
    close $results;
}
diag join ', ', (map { "$ends{$_} $_" } sort keys %ends),
                (map { "$killed{$_} ${_}s killed" } sort keys %killed);

is_deeply \@bad, [], 'streams end well, or with an error, or are cut when '
                   . 'their worker is killed' or diag explain \@bad;
cmp_ok $ends{complete} // 0, '>', $clients * 2, 'most work was done';
cmp_ok scalar(keys %killed), '>=', 2, 'something was killed';

$s->idle_ok;
ok $s->wait_for(sub { $s->keepers == 1 }, 'one keeper'),
    'old keepers are gone';
for my $model (qw(one lines)) {
    ok $s->wait_for(sub {
        ($s->chat('[[say:hello]]', model => $model)->{text} // '') eq 'hello'
    }, $model), "$model serves";
}
my $keeper = $s->keeper_pid;
ok $s->wait_for(sub {
    !grep { CLB::Server::stat_of($_)
            && CLB::Server::stat_of($_)->{parent} != $keeper } $s->marked;
}, 'its CLIs alone'), 'all CLIs are those of the keeper that is left';

# What a killed keeper left goes when the next one starts.
$s->graceful;
my @dirs;
ok $s->wait_for(sub {
    opendir my $dir, $s->path('state/run') or return;
    @dirs = grep { !/^\./ } readdir $dir;
    @dirs == 1 && $dirs[0] == $s->keeper_pid;
}, 'the sweep'), 'one run directory' or diag "@dirs";
$s->idle_ok;
$s->stop;
is_deeply [$s->marked], [], 'no CLI is left';

done_testing;
