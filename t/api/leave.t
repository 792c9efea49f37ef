# A client that leaves gives back what it held, however it leaves and whatever
# it was waiting for: its place in the queue, its slot, its process.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $bound  = 1;       # seconds, on a busy machine
my $target = 0.25;
my $config = <<'EOT';
CLIBridgeSlots 1
CLIBridgeQueue 4
CustomLog "@ROOT@/logs/turns.log" "%s %{clibridge-error}n" env=!health
SetEnvIf Request_URI ^/health health
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    @MARK@
</CLIBridgeBackend>
EOT

my $s;

sub start {
    my ($text, $stream, $model) = @_;
    my $c = $s->client;
    $c->send_request('POST', '/v1/chat/completions', {
        model => $model // 'one', stream => \$stream,
        messages => [{ role => 'user', content => $text }] });
    return $c;
}

# A turn runs when it has its process, and not yet when it has its slot.
sub count_is {
    my ($running, $waiting, $processes) = @_;
    my $h = $s->health or return;
    return $h->{slots}{running} == $running
        && $h->{queue}{waiting} == $waiting
        && $h->{backends}[0]{leased} == $running
        && (!defined $processes || $s->marked == $processes);
}

# Lets the client leave in the given way and waits for the counts.
sub leaves {
    my ($c, $how, $times, @counts) = @_;
    my $left = time;
    $c->$how;
    my $free = $s->poll(sub { count_is(@counts) }, 5 * $bound);
    push @$times, time - $left;
    return $free;
}

sub measured {
    my ($times, $name) = @_;
    my ($max) = sort { $b <=> $a } @$times;
    cmp_ok($max, '<', $bound, $name);
    my $all = join ', ', map { sprintf '%.0f', $_ * 1000 } @$times;
    $max > $target ? diag("$name: $all ms") : note("$all ms");
}

sub every_way_of {
    my (@ways) = @_;
    for my $how (@ways) {
        for my $stream (0, 1) {
            my $kind = "$how, stream $stream";
            my @times;
            for (1 .. 3) {
                my $c = start('[[hang]]', $stream);
                $s->wait_for(sub { count_is(1, 0, 1) }, 'the turn');
                leaves($c, $how, \@times, 0, 0, 0);
            }
            measured(\@times, "$kind, before the first byte");

            @times = ();
            for (1 .. 3) {
                my $c = start('[[say:x]][[hang]]', $stream);
                $stream ? $s->wait_for(sub { $c->read_event }, 'a byte')
                        : $s->wait_for(sub { count_is(1, 0, 1) }, 'the turn');
                leaves($c, $how, \@times, 0, 0, 0);
            }
            measured(\@times, "$kind, in the middle");

            @times = ();
            for (1 .. 3) {
                my $c = start('[[stream:9999:5]]', $stream);
                $stream ? $s->wait_for(sub { $c->read_event }, 'a byte')
                        : $s->wait_for(sub { count_is(1, 0, 1) }, 'the turn');
                leaves($c, $how, \@times, 0, 0, 0);
            }
            measured(\@times, "$kind, while text flows");

            @times = ();
            my $holder = start('[[hang]]', 1);
            $s->wait_for(sub { count_is(1, 0, 1) }, 'the holder');
            for (1 .. 3) {
                my $c = start('[[say:x]]', $stream);
                $s->wait_for(sub { count_is(1, 1) }, 'one that waits');
                leaves($c, $how, \@times, 1, 0, 1);
            }
            measured(\@times, "$kind, in the queue");
            leaves($holder, 'cut', [], 0, 0, 0);
        }
    }
}

$s = CLB::Server->start(config => $config);
every_way_of(qw(close cut half_close));
my @logged = split /\n/, CLB::Server::slurp($s->path('logs/turns.log'));
is_deeply([grep { !/^(?:499|200) client_gone$/ } @logged], [],
          'each is logged: 499, or 200 if its answer had begun');
$s->stop;

$s = CLB::Server->start(config => $config, tls => 1);
subtest 'TLS' => sub { every_way_of('close') };
$s->stop;

# --- a persistent program goes on without the turn ------------------------

$s = CLB::Server->start(config => <<'EOT');
CLIBridgeSlots 1
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    CLIBridgeWarm persistent max=1
    @MARK@
</CLIBridgeBackend>
EOT
for my $text ('[[hang]]', '[[say:x]][[hang]]', '[[stream:9999:5]]') {
    my @times;
    for (1 .. 3) {
        my $c = start($text, 1, 'lines');
        $s->wait_for(sub { count_is(1, 0) }, 'the turn');
        leaves($c, 'close', \@times, 0, 0);
    }
    measured(\@times, "$text, a persistent program");
    is($s->chat('[[say:next]]', model => 'lines')->{text}, 'next',
       'nothing of it is in the next answer');
}
ok($s->wait_for(sub {
    my $b = $s->backend_health('lines');
    $b->{idle} && !grep { $b->{$_} } qw(leased settling dying);
}, 'quiet processes'), 'none is busy with a turn nobody wants');
$s->stop;

done_testing;
