# Responses on a WebSocket: the handshake, the same events as a stream has, what
# goes on from what, what the connection bears, and what ends it.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Responses qw(response_stream);
use CLB::Server;
use CLB::Socket;
use CLB::Talk qw(fake_claude);

my $true  = JSON::PP::true;
my $false = JSON::PP::false;
my $fake  = fake_claude('claude');

my $config = <<"EOT";
CustomLog "\@ROOT\@/logs/turns.log" "%s %{clibridge-model}n %{clibridge-error}n"
CLIBridgeSockets 3 idle=600
$fake
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram \@BIN\@/fake-oneshot
    CLIBridgeModels one
    \@MARK\@
</CLIBridgeBackend>
<Location /strict>
    SetHandler clibridge
    CLIBridgeAnonymous off
</Location>
<Location /small>
    SetHandler clibridge
    CLIBridgeMaxBody 2000
</Location>
<Location /often>
    SetHandler clibridge
    CLIBridgeKeepAlive 1
</Location>
<Location /short>
    SetHandler clibridge
    CLIBridgeTimeout turn=1 write=1
</Location>
EOT
my $s = CLB::Server->start(config => $config);

sub connected {
    my ($path, %o) = @_;
    return CLB::Socket->open($s, $path // '/v1/responses', %o);
}

sub types { join ' ', map { $_->{type} // 'end' } @{ $_[0]{events} } }

subtest 'the handshake' => sub {
    for my $path (qw(/v1/responses /v1/ws /v1//responses/)) {
        my $ws = connected($path);
        is($ws->{status}, 101, "$path becomes a WebSocket");
        ok($ws->{accepted}, 'and says that it does');
        like($ws->{headers}{'x-request-id'}, qr/^req_/, 'with an id');
        $ws->close;
    }
    my %wrong = (
        'no version'     => { 'Sec-WebSocket-Version' => undef },
        'version 8'      => { 'Sec-WebSocket-Version' => 8 },
        'no key'         => { 'Sec-WebSocket-Key' => undef },
        'a short key'    => { 'Sec-WebSocket-Key' => 'AAAA' },
        'a strange key'  => { 'Sec-WebSocket-Key' => '%' x 24 },
        'another origin' => { Origin => 'http://evil.example' },
    );
    for my $name (sort keys %wrong) {
        my $ws = connected('/v1/responses', headers => $wrong{$name});
        is($ws->{status}, $name =~ /origin/ ? 401 : 400, "$name is refused");
        ok($ws->{json}{error}{message}, 'and told why');
    }
    is(connected('/strict/responses')->{status}, 401, 'so is who has no key');
    is(connected('/v1/ws', headers => { Upgrade => 'h2c' })->{status}, 400,
       'and another protocol');
    my $r = $s->get('/v1/responses');
    is_deeply([ $r->{status}, $r->{headers}{allow} ],
              [ 405, 'POST, OPTIONS' ], 'a GET that asks for none');
    is($s->post('/v1/ws', {})->{status}, 405, 'no POST where only one is');
};

subtest 'the same events as a stream' => sub {
    my %body = (model => 'claude', input => '[[think:hm]][[say:one two]]');
    my $ws   = connected();
    my $turn = $ws->ask(\%body);
    my $stream = response_stream($s, $body{input}, model => "claude");
    is(types($turn), join(' ', map { $_->{event} } grep { $_->{event} }
                              @{ $stream->{events} }),
       'by type');
    is($turn->{text}, 'one two', 'with the text');
    is_deeply([ map { $_->{sequence_number} } @{ $turn->{events} } ],
              [ 0 .. $#{ $turn->{events} } ], 'and numbers from 0');
    ok($turn->{response}{store}, 'and it is kept');
    is($s->get("/v1/responses/$turn->{id}")->{json}{status}, 'completed',
       'where anybody who has the key finds it');
    my $again = $ws->ask({ %body, stream => $true });
    is($again->{text}, 'one two', 'stream may be said');
    isnt($again->{id}, $turn->{id}, 'another answer has another id');
    $ws->close;
};

subtest 'going on' => sub {
    my $ws = connected();
    my $a  = $ws->ask({ model => 'claude', store => $false, input => 'red' });
    ok(!$a->{response}{store}, 'an answer that is not kept');
    is($s->get("/v1/responses/$a->{id}")->{status}, 404, 'is nowhere');
    my $b = $ws->ask({ model => 'claude', store => $false,
                       previous_response_id => $a->{id},
                       input => '[[find:red]]' });
    is($b->{text}, 'found red;', 'but this connection goes on from it');
    is($b->{response}{previous_response_id}, $a->{id}, 'and says so');
    $ws->send({ type => 'response.append', input => '[[find:red]]' });
    is($ws->finish->{text}, 'found red;',
       'as it does with what only adds to it');
    my $other = connected();
    is($other->ask({ model => 'claude', previous_response_id => $a->{id},
                     input => 'x' })->{error}{code},
       'previous_response_not_found', 'another one does not');
    $other->send({ type => 'response.append', input => 'x' });
    is($other->finish->{last}, 'error', 'nor adds to nothing');
    my $c = $ws->ask({ model => 'claude', generate => $false,
                       store => $false, input => 'green' });
    is_deeply($c->{response}{output}, [], 'a question that is not asked');
    is($ws->ask({ model => 'claude', previous_response_id => $c->{id},
                  input => '[[find:green]]' })->{text}, 'found green;',
       'counts later');
    $_->close for $ws, $other;
};

subtest 'what is wrong is told, and the connection goes on' => sub {
    my $ws = connected();
    my %wrong = (
        '{'                         => [ 400, 'bad_request' ],
        '[]'                        => [ 400, 'bad_request' ],
        '{}'                        => [ 400, 'bad_request' ],
        '{"type":"session.update"}' => [ 400, 'bad_request' ],
        '{"type":"response.create","input":"x","model":"none"}'
            => [ 404, 'model_not_found' ],
        '{"type":"response.create","model":"claude"}'
            => [ 400, 'bad_request' ],
        '{"type":"response.create","model":"claude","input":"x",'
            . '"background":true}' => [ 400, 'bad_request' ],
        '{"type":"response.create","model":"claude","input":"[[error:429]]"}'
            => [ 429, 'rate_limit_exceeded' ],
    );
    for my $text (sort keys %wrong) {
        $ws->send($text);
        my $event = $ws->read;
        is_deeply([ $event->{type}, $event->{status}, $event->{error}{code} ],
                  [ 'error', @{ $wrong{$text} } ], substr $text, 0, 70);
        ok($event->{error}{message}, 'and why');
    }
    my $turn = $ws->ask({ model => 'claude', input =>
                          '[[stream:3:1]][[error:500:2]]' });
    is($turn->{last}, 'error', 'an error in mid-answer');
    is($ws->read->{type}, 'response.failed', 'fails it');
    is($ws->ask({ model => 'claude', input => '[[say:well]]' })->{text},
       'well', 'and the next one is answered');
    $ws->close;
};

subtest 'the log' => sub {
    my @turns = map { split /\n/ } CLB::Server::slurp(
        $s->path('logs/turns.log'));
    ok((grep { $_ eq '200 claude -' } @turns), 'has each answer')
        or diag explain \@turns;
    ok((grep { /^429 claude rate_limited$/ } @turns),
       'each failure');
    ok((grep { $_ eq '101 - -' } @turns), 'and each connection');
};

subtest 'bytes' => sub {
    my $ws = connected();
    ok($ws->wait_pong('are you there'), 'a ping is answered');
    my $body = encode_json({ type => 'response.create', model => 'claude',
                             input => '[[say:whole]]' });
    $ws->send_frame(1, substr($body, 0, 20), fin => 0);
    ok($ws->wait_pong('between'), 'also between two pieces of a message');
    $ws->send_frame(0, substr $body, 20);
    is($ws->finish->{text}, 'whole', 'which are put together');
    $ws->send({ type => 'response.create', model => 'claude',
                input => "[[say:$_]]" }) for 'one', 'two', 'three';
    is(join(' ', map { $ws->finish->{text} } 1 .. 3), 'one two three',
       'three at once are answered one by one');
    my $big = 'b' x 300_000;
    is($ws->ask({ model => 'claude', input => "$big [[find:bbb]]" })->{text},
       'found bbb;', 'a large one');
    $ws->send_frame($CLB::Socket::CLOSE, pack 'n', 1000);
    is($ws->close_code, 1000, 'a good-bye is returned');

    my %codes = (
        1002 => sub { $_[0]->send_frame(1, '{}', mask => 0) },
        1003 => sub { $_[0]->send_frame(2, '{}') },
        1007 => sub { $_[0]->send_frame(1, "\xff\xff") },
        1009 => sub { $_[0]->send_frame(1, 'x' x 2001) },
    );
    for my $code (sort keys %codes) {
        my $one = connected('/small/responses');
        $codes{$code}->($one);
        is($one->close_code, $code, "an end with $code");
    }
};

subtest 'a client that leaves' => sub {
    my $slow = { model => 'claude', input => '[[stream:200:100]]' };
    my $begun = sub { ($_[0]{type} // '') =~ /delta/ };
    my %ways = (
        'closes'          => sub { $_[0]->close },
        'cuts'            => sub { $_[0]->cut },
        'says good-bye'   => sub {
            $_[0]->send_frame($CLB::Socket::CLOSE, pack 'n', 1001) },
        'speaks nonsense' => sub { $_[0]->send_frame(2, 'x') },
    );
    for my $way (sort keys %ways) {
        my $ws = connected();
        $ws->ask($slow, $begun);
        is($s->health->{slots}{running}, 1, 'a turn runs');
        $ways{$way}->($ws);
        ok($s->poll(sub { $s->health->{slots}{running} == 0 }),
           "no more when the client $way");
        $ws->close;
    }
    my $busy = connected('/often/responses');
    $busy->send({ type => 'response.create', model => 'claude',
                  input => $_ . ' ' x 200_000 })
        for '[[sleep:5000]][[say:late]]', '[[say:two]]', '[[say:three]]';
    my $deaf = connected('/often/responses');
    $deaf->{deaf} = 1;
    is($deaf->close_code, -1, 'who answers no ping is cut off');
    cmp_ok($deaf->{pings}, '>=', 2, 'after some of them');
    is(join(' ', map { $busy->finish->{text} } 1 .. 3), 'late two three',
       'but not who says more than is listened to');
    $busy->close;
    my $idle = connected('/often/responses');
    my $turn = $idle->ask({ model => 'claude', input => '[[sleep:1500]]ok' });
    is($turn->{last}, 'response.completed', 'who answers them is not');
    ok($idle->{pings}, 'be it in the middle of an answer');
    $idle->close;
};

subtest 'a client that never pauses' => sub {
    my $ws = connected('/short/responses');
    $ws->ask({ model => 'claude', input => '[[stream:3:1]][[hang]]' },
             sub { ($_[0]{type} // '') =~ /delta/ });
    my $pongs = pack('CCa4', 0x80 | $CLB::Socket::PONG, 0x80, 'mask') x 10_000;
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        1 while $ws->{client}->send($pongs) == length $pongs;
        POSIX::_exit(0);
    }
    ok($s->poll(sub { $s->health->{slots}{running} == 0 }),
       'an answer has its limits');
    kill KILL => $pid;
    waitpid $pid, 0;
    is($ws->finish->{last}, 'error', 'and the client is told');
    is($ws->read->{type}, 'response.failed', 'so');
    ok($ws->wait_pong('x'), 'and answered when it pauses');
    $ws->close;
};

subtest 'a client that never reads' => sub {
    my $ws   = connected('/short/responses', rcvbuf => 4096);
    my @open = ($ws, map { connected() } 1, 2);
    my $ping = pack 'CCa129', 0x80 | $CLB::Socket::PING, 0xfd, 'mask';
    $ws->{client}->send($ping x 100_000, 1);
    ok($s->poll(sub {
        push @open, connected();
        return $open[-1]{status} == 101;
    }), 'makes room when nothing more can be said to it');
    $_->close for @open;
};

subtest 'few at a time' => sub {
    my @open = map { connected() } 1 .. 3;
    is_deeply([ map { $_->{status} } @open ], [ (101) x 3 ], 'three');
    my $more = connected();
    is($more->{status}, 429, 'a fourth is refused');
    ok($more->{headers}{'retry-after'}, 'and told to come again');
    is($s->chat('x', model => 'one')->{status}, 200, 'requests are not');
    (shift @open)->close;
    ok($s->poll(sub {
        my $ws = connected();
        push @open, $ws if $ws->{status} == 101;
        return $ws->{status} == 101;
    }), 'there is room when one goes');
    $_->close for @open;
};

subtest 'restarts' => sub {
    my $ws = connected();
    $ws->ask({ model => 'claude', input => '[[say:before]]' });
    $s->graceful;
    is($ws->close_code, 1001, 'an idle one is closed by a graceful restart');
    $ws = connected();
    my $turn = $ws->ask({ model => 'claude', input => '[[stream:10:100]]' },
                        sub { ($_[0]{type} // '') =~ /delta/ });
    $s->graceful;
    is($ws->finish->{last}, 'response.completed', 'a running answer ends');
    is($ws->close_code, 1001, 'before that');
    $ws = connected();
    $ws->send({ type => 'response.create', model => 'claude',
                input => '[[sleep:300]][[say:x]]' }) for 1 .. 20;
    $ws->finish;
    $s->graceful;
    my $n = 1;
    $n++ while $ws->finish->{last} ne 'closed';
    is($ws->{code}, 1001, 'who asked for more than that is sent away, too');
    cmp_ok($n, '<', 20, 'in the middle of it');
    my @left = map { connected() } 1 .. 3;
    kill KILL => $s->workers;
    $_->close for @left;
    ok($s->poll(sub {
        my $one = connected();
        my $good = $one->{status} == 101;
        $one->close;
        return $good;
    }), 'those of a killed worker do not count');
    $s->expect_log(qr/exit signal Killed/);
};

$s->idle_ok('nothing is left');
$s->stop;

# --- TLS, keys, none at all -------------------------------------------------

$s = CLB::Server->start(tls => 1, config => $config);
my $ws = connected();
is($ws->{status}, 101, 'over TLS');
is($ws->ask({ model => 'claude', input => '[[say:secret]]' })->{text},
   'secret', 'it answers');
is($ws->ask({ model => 'claude', input => '[[stream:50:1]]' })->{last},
   'response.completed', 'again');
ok($ws->wait_pong('x'), 'and pings');
$ws->close;
$s->stop;

my $key_file = File::Temp->new;
print $key_file 'one:' . sha256_hex('key-one') . ":chat\n";
close $key_file;
chmod 0644, "$key_file";
$s = CLB::Server->start(config => <<"EOT");
CLIBridgeKeyFile $key_file
CLIBridgeAnonymous on
<Location /shared>
    SetHandler clibridge
    CLIBridgeOrigin https://app.example
</Location>
EOT

subtest 'a browser opens one for any page' => sub {
    my $from = sub {
        my ($path, $origin, %o) = @_;
        my $ws = connected($path, headers => { Origin => $origin }, %o);
        my $wrong = $ws->{json}{error}{code};
        $ws->close;
        return join ' ', $ws->{status}, $wrong // ();
    };
    my $not_you = '403 insufficient_permissions';
    is($from->('/v1/ws', $_), $not_you, "not for $_")
        for 'http://evil.example', 'https://app.example', 'null';
    is($from->('/v1/ws', 'http://127.0.0.1:3000'), '101', 'for one from here');
    is($from->('/shared/ws', 'https://app.example'), '101',
       'for one that CLIBridgeOrigin names');
    is($from->('/shared/ws', 'https://app.example.evil.example'), $not_you,
       'not for one that looks like it');
    is($from->('/v1/ws', 'http://evil.example', key => 'key-one'), '101',
       'a page with a key is no browser\'s user');
    is($from->('/v1/ws?key=key-one', 'http://evil.example'), '101',
       'wherever it has it');
    unlike($s->log . $s->access_log, qr/key-one/, 'which is in no log');
};
$s->stop;

$s = CLB::Server->start(config => "CLIBridgeSockets off\n$fake");
is(connected()->{status}, 404, 'none at all');
$s->stop;

done_testing;
