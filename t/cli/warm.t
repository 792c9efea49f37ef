# Real Claude Code processes that stand ready, serve and end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use List::Util qw(uniq);
use Test::More;

use CLB::Model;
use CLB::Server;

my $slots = 3;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => join "\n",
    $m->config(more => "CLIBridgeSlots $slots\n"
                     . "CLIBridgeWarm persistent min=$slots max=$slots"),
    $m->config(name => 'lone', models => 'lone', more =>
               "CLIBridgeWarm none\nCLIBridgeEnv LONE yes"),
    $m->config(name => 'nokey', models => 'nokey', key => undef,
               more => 'CLIBridgeWarm persistent min=1 max=1'));

# The numbers of the processes of claude that got ready so far.
sub ready { $s->log =~ /process (\d+) \(claude\): ready/g }

# The numbers of those that served since $from in the log.
sub served { $s->log($_[0]) =~ /: model claude-\S+, process (\d+), ok/g }

sub full {
    return $s->wait_for(
        sub { ($s->backend_health('claude') || {})->{idle} == $slots },
        'a full pool');
}

# Pids of the processes with that variable.
sub pids {
    my ($variable) = @_;
    return grep {
        CLB::Server::slurp("/proc/$_/environ") =~ /(?:^|\0)\Q$variable\E\0/
    } $s->marked;
}

sub answers {
    my ($name) = @_;
    is($s->chat('[[say:well]]', model => 'claude-x')->{text}, 'well', $name);
}

subtest 'a request gets a process that stood ready' => sub {
    full();
    my ($from, %stood) = ($s->log_size, map { $_ => 1 } ready());
    answers('answered');
    my @by = served($from);
    is(scalar @by, 1, 'by one process');
    ok($stood{ $by[0] }, 'that was there before');
};

subtest 'so do as many at once as there are slots' => sub {
    full();
    my ($from, %stood) = ($s->log_size, map { $_ => 1 } ready());
    my @clients = map {
        my $client = $s->client;
        $client->send_request(POST => '/v1/chat/completions', {
            model => 'claude-x', messages => [ {
                role => 'user', content => "[[sleep:300]][[say:$_]]" } ] });
        $client;
    } 1 .. $slots;
    is_deeply([ map { $_->read_response->{json}{choices}[0]{message}{content} }
                @clients ], [ 1 .. $slots ], 'answered');
    my @by = uniq served($from);
    is(scalar @by, $slots, 'each by its own process');
    is_deeply([ grep { !$stood{$_} } @by ], [], 'all there before');

    full();
    my %gone = map { $_ => 1 } @by;
    cmp_ok((grep { !$stood{$_} && !$gone{$_} } ready()), '>=', $slots,
           'and the pool is full of new ones');
};

subtest 'a graceful restart does not cut a stream' => sub {
    my $r = $s->stream('[[stream:12:150]]', model => 'claude-x',
                       -until => sub { $_[1]{text} ne '' });
    my ($n, @before) = ($m->last->{n}, $s->keepers);
    is($m->last->{end}, undef, 'it is running');
    $s->graceful;
    is($m->last->{end}, undef, 'and still is');
    answers('others are served meanwhile');

    my ($text, $done) = ($r->{text}, 0);
    while (my $event = $r->{client}->read_event) {
        $text .= $event->{json}{choices}[0]{delta}{content} // ''
            if $event->{json};
        $done = 1 if ($event->{data} // '') eq '[DONE]';
    }
    is($text, join(' ', map { "tok$_" } 1 .. 12), 'every word came');
    ok($done, 'to the end');
    is($m->ended($n), 'done', 'of the model');
    ok($s->wait_for(sub { !kill 0 => @before }, 'the old keeper'),
       'then the old keeper goes');
};

subtest 'a CLI that dies in the middle' => sub {
    my $r = $s->stream('[[stream:1000:50]]', model => 'lone',
                       -until => sub { $_[1]{text} ne '' });
    my $n = $m->last->{n};
    my @pids;    # one that is asked what it has may still be there
    ok($s->wait_for(sub { (@pids = pids('LONE=yes')) == 1 }, 'one alone'),
       'one process') or return;
    kill KILL => @pids;

    my ($error, $done);
    while (my $event = $r->{client}->read_event) {
        $error = $event->{json}{error} if $event->{json};
        $done = 1 if ($event->{data} // '') eq '[DONE]';
    }
    is($error->{code}, 'cli_failed', 'is an error event');
    is($done, undef, 'and no end');
    is($m->ended($n), 'closed', 'the model hears of it');
    $s->idle_ok;
    is($s->chat('[[say:well]]', model => 'lone')->{text}, 'well',
       'the next one serves');
};

subtest 'without credentials' => sub {
    ok($s->wait_for(sub { $s->backend_health('nokey')->{idle} == 1 },
                    'a warm process'), 'a process stands ready');
    is($s->backend_health('nokey')->{status}, 'ok', 'as it should');
    my $before = $m->requests;
    my $r = $s->chat('hello', model => 'nokey');
    is_deeply([ $r->{status}, $r->{json}{error}{code} ],
              [ 503, 'login_required' ], 'but a request says what is missing');
    is($m->requests - $before, 0, 'and the model was not asked');
};

full();
my @pids = $s->marked;
cmp_ok(scalar @pids, '>=', $slots, 'processes stand ready at the end');
$s->stop;
is_deeply([ grep { kill 0 => $_ } @pids ], [], 'and end with httpd');
done_testing;
