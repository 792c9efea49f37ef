# Whoever refuses, and whenever something fails, a client gets JSON with the
# right status, or an error event if its stream has begun; never an HTML page
# and never an answer that looks complete.

use strict;
use warnings;

use Digest::SHA qw(sha1);
use File::Temp ();
use FindBin;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Client;
use CLB::Server;

my $chat = '/v1/chat/completions';
my $true = JSON::PP::true;
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

my $s;

sub question {
    my ($text, %o) = @_;
    return { model => 'one', %o,
             messages => [{ role => 'user', content => $text }] };
}

# A whole error: its shape, and what is told about it. Returns the message.
sub refused {
    my ($r, $status, $code, $name, %headers) = @_;
    my $error = ref $r->{json} eq 'HASH' && $r->{json}{error} || {};
    my %got = (status => $r->{status}, code => $error->{code},
               map { $_ => $r->{headers}{$_} } keys %headers);
    my $ok = is_deeply(\%got, { status => $status, code => $code, %headers },
                       $name);
    my $whole = join(' ', sort keys %$error) eq 'code message param type'
        && $r->{headers}{'content-type'} eq 'application/json'
        && ($r->{headers}{'x-request-id'} // '') =~ /^req_[0-9a-f]{24}$/
        && $r->{headers}{'content-length'} == length $r->{body};
    ok($whole, "$name: whole") && $ok
        or diag "$r->{raw}\n$r->{body}", $r->{error} // '';
    return $error->{message} // '';
}

# A stream that broke: what came before, then one error event, and no end.
sub broken {
    my ($r, $code, $name) = @_;
    my @events = grep { !defined $_->{comment} } @{ $r->{events} };
    my $error  = @events && $events[-1]{json}{error} || {};
    is_deeply([$r->{status}, @$r{qw(finish done clean)}, $error->{code}],
              [200, undef, 0, 1, $code], $name)
        or diag explain $r;
    is(scalar(grep { $_->{json}{error} } @events), 1, "$name: one error");
    return $error->{message} // '';
}

# --- refused by core and other modules ------------------------------------

my $users = File::Temp->new;
print $users 'ann:{SHA}', encode_base64(sha1('pass'));
close $users;
chmod 0644, "$users";    # httpd's workers read it

$s = CLB::Server->start(
    modules => [qw(reqtimeout auth_basic authn_file authz_user)],
    config  => <<"EOT");
$backends
ErrorDocument 400 "<h1>text</h1>"
ErrorDocument 401 /page.html
ErrorDocument 403 /page.html
ErrorDocument 404 /page.html
ErrorDocument 405 http://localhost/page.html
ErrorDocument 408 /page.html
ErrorDocument 413 "<h1>text</h1>"
ErrorDocument 414 /page.html
ErrorDocument 500 /page.html
ErrorDocument 502 /page.html
ErrorDocument 503 /page.html
LimitRequestLine 200
LimitRequestFieldSize 400
LimitRequestFields 20
RequestReadTimeout body=1
<Location /limited>
    SetHandler clibridge
    LimitRequestBody 1500
</Location>
<Location /small>
    SetHandler clibridge
    CLIBridgeMaxBody 1500
</Location>
<Location /denied>
    SetHandler clibridge
    Require all denied
</Location>
<Location /v1/models/denied>
    Require all denied
</Location>
<Location /basic>
    SetHandler clibridge
    AuthType Basic
    AuthName people
    AuthBasicProvider file
    AuthUserFile $users
    Require valid-user
</Location>
EOT
open my $page, '>', $s->path('htdocs/page.html') or die $!;
print $page 'a page';
close $page;
is($s->get('/nothing')->{body}, 'a page', 'ErrorDocument works elsewhere');

refused($s->get($_), 404, 'not_found', "GET $_")
    for '/v1', '/v1/', '/v1/nothing', '/v1/chat', '/limited/x';
like($s->get('/v1/<b>?x')->{json}{error}{message}, qr/GET \/v1\/<b>/,
     'the message says what was asked, harmlessly');
refused($s->request($_, $chat), 405, 'method_not_allowed', "$_ $chat",
        allow => 'POST, OPTIONS') for qw(GET PUT DELETE PATCH BREW);
refused($s->request($_, '/v1/models'), 405, 'method_not_allowed',
        "$_ /v1/models", allow => 'GET, HEAD, OPTIONS') for qw(POST DELETE);

my $long = question('x' x 3000);
for (['limited', '413'], ['small', 'CLIBridgeMaxBody']) {
    my ($where, $why) = @$_;
    for my $chunked (undef, 500) {
        my $r = $s->post("/$where/chat/completions", $long,
                         chunked => $chunked);
        like(refused($r, 413, 'request_too_large',
                     $where . ($chunked ? ', chunks' : ''),
                     connection => 'close'), qr/$why/, 'says which');
    }
    is($s->post("/$where/chat/completions", question('x'))->{status}, 200,
       "$where: a small one is taken");
}

refused($s->get($_), 403, 'insufficient_permissions',
        "$_: Require all denied")
    for '/denied/v1/models', '/v1/models/denied';
refused($s->get('/basic/v1/models'), 401, 'missing_api_key', 'Basic',
        'www-authenticate' => 'Basic realm="people"');

sub raw {
    my ($bytes) = @_;
    my $c = $s->client;
    $c->send($bytes);
    return $c->read_response;
}

my $head = "POST $chat HTTP/1.1\r\nHost: localhost\r\n"
         . "Content-Type: application/json\r\n";
refused(raw("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n"),
        400, undef, 'a malformed header');
refused(raw("GET /v1/models HTTP/1.1\r\n\r\n"), 400, undef, 'no Host');
refused(raw("GET /v1/models HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, undef,
        'a wrong Host');
refused(raw("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: "
            . 'x' x 500 . "\r\n\r\n"), 400, undef, 'a long header');
refused(raw("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
            . join('', map { "X$_: x\r\n" } 1 .. 30) . "\r\n"), 400, undef,
        'many headers');
refused(raw("${head}Content-Length: -5\r\n\r\n"), 400, undef,
        'a wrong length');
refused(raw("${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, undef,
        'a wrong chunk');
refused(raw("${head}Transfer-Encoding: rot13\r\n\r\n"), 400, undef,
        'a wrong encoding');
refused(raw("${head}Expect: a miracle\r\nContent-Length: 2\r\n\r\n{}"), 417,
        undef, 'a wrong Expect');
refused($s->get('/v1/models/%zz'), 400, undef, 'a wrong escape');

# core gives up before it knows the path, so what its answer looks like is the
# configuration's
is($s->get('/v1/models?' . 'x' x 300)->{status}, 414, 'a long URL');

{
    my $c = $s->client;
    my $start = time;
    $c->send("${head}Content-Length: 99\r\n\r\n{");
    like(refused($c->read_response, 408, 'request_timeout', 'a slow body'),
         qr/RequestReadTimeout/, 'says which');
    cmp_ok(time - $start, '<', 5, 'in time');
}

# --- before the answer begins ---------------------------------------------

for ([400, 400, undef], [401, 503, 'login_required'],
     [402, 429, 'insufficient_quota'], [404, 404, 'model_not_found'],
     [413, 413, 'request_too_large'], [429, 429, 'rate_limit_exceeded'],
     [500, 502, 'upstream_error'], [503, 503, 'overloaded'],
     [529, 503, 'overloaded']) {
    my ($upstream, $status, $code) = @$_;
    my @retry = $status == 429 || $status == 503 ? ('retry-after' => 5) : ();
    for my $stream (0, 1) {
        my $body = question("[[error:$upstream]]", model => 'lines',
                            stream => \$stream);
        is(refused($s->post($chat, $body), $status, $code,
                   "upstream $upstream, stream $stream", @retry),
           "error $upstream", 'the message');
    }
}

for ([64, 400, undef], [65, 400, undef], [69, 503, 'overloaded'],
     [75, 503, 'overloaded'], [77, 503, 'login_required'],
     [1, 502, 'cli_failed'], [70, 502, 'cli_failed']) {
    my ($exit, $status, $code) = @$_;
    is(refused($s->post($chat, question("[[exit:$exit]]")), $status, $code,
               "exit status $exit"), "one exited with status $exit",
       'the message');
}
is(refused($s->post($chat, question('[[say:x]][[exit:3]]')), 502,
           'cli_failed', 'text, then a failure'),
   'one exited with status 3', 'the message');
is(refused($s->post($chat, question('[[error:7]]')), 502, 'cli_failed',
           'words on stderr'), 'one exited with status 1: error 7',
   'the message has the last of them');
refused($s->post($chat, question("[[exit:$_]]", model => 'lines')), 502,
        'cli_failed', "a persistent program exits with $_") for 0, 3;

# --- after it -------------------------------------------------------------

sub ask { $s->stream($_[0], model => 'one', @_[1 .. $#_]) }

for (['[[say:x]][[error:500:1]]', 'lines', 'upstream_error', 'error 500'],
     ['[[say:x]][[error:429:1]]', 'lines', 'rate_limit_exceeded',
      'error 429'],
     ['[[say:x]][[exit:3]]', 'lines', 'cli_failed',
      'lines exited with status 3'],
     ['[[say:x]][[exit:3]]', 'one', 'cli_failed',
      'one exited with status 3']) {
    my ($text, $model, $code, $message) = @$_;
    my $r = ask($text, model => $model);
    is(broken($r, $code, "$text, $model"), $message, 'the message');
    is($r->{text}, 'x', 'what came before it');
}

# --- answers that are odd -------------------------------------------------

is(ask('[[say:a]][[garbage]][[say:z]]', model => $_)->{text},
   "a\x{fffd}\x{fffd}\x{fffd}\x{fffd}(z", "not UTF-8, $_") for qw(one lines);
is($s->chat('[[surrogate]]', model => 'lines')->{text}, "a\x{fffd}b",
   'half a character');
is($s->chat('[[notjson]][[say:x]]', model => 'lines')->{text}, 'x',
   'a line that is not JSON');

$s->idle_ok;
$s->stop;

# --- limits ---------------------------------------------------------------

$s = CLB::Server->start(config => <<"EOT");
$backends
CLIBridgeTimeout first=5 idle=5 turn=5
<Location /short>
    SetHandler clibridge
    CLIBridgeMaxAnswer 2K
</Location>
<Location /first>
    SetHandler clibridge
    CLIBridgeTimeout first=1
</Location>
<Location /idle>
    SetHandler clibridge
    CLIBridgeTimeout idle=1
</Location>
<Location /turn>
    SetHandler clibridge
    CLIBridgeTimeout turn=2
</Location>
<Location /alive>
    SetHandler clibridge
    CLIBridgeKeepAlive 1
</Location>
<Location /write>
    SetHandler clibridge
    CLIBridgeTimeout write=1
</Location>
EOT

for my $model (qw(one lines)) {
    my @at = (model => $model, -path => '/short/chat/completions');
    my $large = 'the answer grew larger than this server allows '
              . '(CLIBridgeMaxAnswer)';
    is(refused($s->chat('[[big:2049]]', @at), 502, 'cli_failed',
               "CLIBridgeMaxAnswer, $model"), $large, 'the message');
    is(broken($s->stream('[[big:2000]][[sleep:1]][[big:99]]', @at),
              'cli_failed', "CLIBridgeMaxAnswer, $model, a stream"), $large,
       'the message') if $model eq 'lines';
    is(length $s->chat('[[big:2048]]', @at)->{text}, 2048,
       "CLIBridgeMaxAnswer, $model: exactly");
}

# What waits, waits together.
sub start {
    my ($where, $text, %o) = @_;
    my $c = $s->client;
    $c->send_request('POST', "/$where/chat/completions",
                     question($text, %o));
    return $c;
}

sub finish {
    my ($c) = @_;
    my $head = $c->read_head or return { status => 0, error => $c->error };
    return $c->read_response
        if $head->{headers}{'content-type'} eq 'application/json';
    my %r = (%$head, events => [], text => '', done => 0);
    while (my $event = $c->read_event) {
        push @{ $r{events} }, $event;
        $r{done} = 1 if ($event->{data} // '') eq '[DONE]';
        CLB::Client::add_delta(\%r, $event->{json})
            if ref $event->{json} eq 'HASH';
    }
    return { %r, clean => $c->{clean} };
}

my @cases = (
    [first => '[[hang]]', undef, qr/begin.*CLIBridgeTimeout first/],
    [idle  => '[[say:x]][[hang]]', 'x', qr/silent.*CLIBridgeTimeout idle/],
    [turn  => '[[stream:99:100]]', 'tok1', qr/longer.*CLIBridgeTimeout turn/],
);
for my $model (qw(one lines)) {
    my @waits;
    for my $case (@cases) {
        my ($where, $text) = @$case;
        push @waits, [$case, $_, start($where, $text, model => $model,
                                       stream => \$_)] for 0, 1;
    }
    for (@waits) {
        my ($case, $stream, $c) = @$_;
        my ($where, $text, $before, $why) = @$case;
        my $name = "$text, $model, stream $stream";
        my $r = finish($c);
        my $begun = $stream && defined $before;
        like($begun ? broken($r, 'timeout', $name)
                    : refused($r, 504, 'timeout', $name), $why, 'says which');
        like($r->{text}, qr/^\Q$before\E/, 'what came before it') if $begun;
        cmp_ok($c->{t} - $c->{started}, '<', 5, "$name: in time");
    }
}
$s->idle_ok('the slots are free again');

subtest 'signs of life on a silent stream' => sub {
    my @stream = (model => 'lines', stream => $true);
    my $quiet = start('alive', '[[sleep:1500]][[say:x]]', @stream);
    my $fails = start('alive', '[[sleep:1500]][[error:429]]', @stream);
    my $whole = start('alive', '[[sleep:1500]][[error:429]]',
                      model => 'lines');
    my $r = finish($quiet);
    is($r->{events}[0]{comment}, 'keep-alive', 'a comment comes first');
    cmp_ok($r->{events}[0]{t}, '<', 1.4, 'before the answer');
    is_deeply([@$r{qw(text finish done)}], ['x', 'stop', 1],
              'then the answer');
    broken(finish($fails), 'rate_limit_exceeded', 'the 200 is out');
    refused(finish($whole), 429, 'rate_limit_exceeded',
            'an answer that is no stream has its own status',
            'retry-after' => 5);

    # clients that count empty lines as events must not see one
    my $raw = start('alive', '[[sleep:1100]][[say:x]]', @stream);
    my $bytes = '';
    $bytes .= $raw->read_some(65536, 5) // last until $bytes =~ /DONE/;
    like($bytes, qr/\r\n: keep-alive\n\r\n/, 'a comment is one line');
};

subtest 'a client that does not read' => sub {
    my $c = CLB::Client->open($s, rcvbuf => 4096);
    $c->send_request('POST', '/write/chat/completions',
                     question('[[big:15000000]]', stream => $true));
    ok($s->wait_for(sub { $s->health->{slots}{running} }, 'the turn'),
       'a turn runs');
    my $start = time;
    $s->idle_ok('it does not keep the slot', 10);
    cmp_ok(time - $start, '>', 0.5, 'but it had some time');
    ok($s->wait_for(sub { !$s->backend_health('one')->{leased} }),
       'the program is gone');
    $c->close;
};
$s->stop;

# --- the queue ------------------------------------------------------------

$s = CLB::Server->start(config => <<"EOT");
$backends
CLIBridgeSlots 1
CLIBridgeQueue 2 timeout=2
<Location /hidden>
    SetHandler clibridge
    CLIBridgeKeepAlive 1
    CLIBridgeReasoning off
</Location>
<Location /alive>
    SetHandler clibridge
    CLIBridgeKeepAlive 1
</Location>
EOT

my $holder = start('v1', '[[say:x]][[hang]]', stream => $true);
ok($holder->read_event, 'one turn holds the only slot');
my @queued = (start('v1', 'x'), start('alive', 'x', stream => $true));
ok($s->wait_for(sub { $s->health->{queue}{waiting} == 2 }), 'two wait');

my $r = $s->post($chat, question('x'));
is(refused($r, 429, 'queue_full', 'one more', 'retry-after' => 5),
   'the queue of this server is full', 'the message');
cmp_ok($r->{t}, '<', 0.5, 'at once');

is(refused(finish($queued[0]), 429, 'queue_timeout', 'one waited too long',
           'retry-after' => 10), 'no slot became free in time',
   'the message');
$r = finish($queued[1]);
broken($r, 'queue_timeout', 'and one with signs of life');
is($r->{events}[0]{comment}, 'keep-alive', 'which came while it waited');
$holder->cut;
$s->idle_ok;
is($s->post($chat, question('[[say:x]]'))->{status}, 200, 'then it is free');
$r = $s->stream('[[muse:15:100]][[say:x]]', model => 'lines',
                -path => '/hidden/v1/chat/completions');
is($r->{events}[0]{comment}, 'keep-alive',
   'a sign of life, too, while only what is hidden comes');
is($r->{text}, 'x', 'before the answer');
$s->stop;

done_testing;
