# Where the API may live, and in what company: any Location, some virtual hosts
# and not others, behind a proxy, beside compression, and for web pages.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Readme qw(block);
use CLB::Server;

my $json     = JSON::PP->new->utf8;
my $backends = <<'EOT';
<CLIBridgeBackend echo>
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    CLIBridgeModels lines vendor/made
    @MARK@
</CLIBridgeBackend>
EOT

my $s;

sub text_at {
    my ($path, %headers) = @_;
    my $r = $s->chat('x', model => 'echo', -path => $path,
                     -headers => \%headers);
    return defined $r->{text} ? $r->{text}
         : join ' ', $r->{status},
           ref $r->{json} eq 'HASH' ? $r->{json}{error}{code} // 'JSON' : ();
}

# --- Locations ------------------------------------------------------------

$s = CLB::Server->start(bridge => 0, config => <<"EOT");
$backends
@{[ block('Other paths') ]}
<LocationMatch "^/t/[^/]+/">
    SetHandler "clibridge"
</LocationMatch>
EOT

is(text_at($_), 'x', $_)
    for '/openai/chat/completions', '/openai/v1/chat/completions',
        '/api/v1/chat/completions', '/api/a/b/v1/chat/completions',
        '//openai//v1/chat/completions/', '/t/ann/v1/chat/completions';
is($s->post('/api/v1/completions', { model => 'echo', prompt => 'x' })
       ->{json}{object}, 'text_completion', 'the longest known end decides');
for (['/openai/responses', 'response', input => 'x'],
     ['/openai/v1/responses', 'response', input => 'x'],
     ['/api/v1/messages', 'message', max_tokens => 9, messages => [
         { role => 'user', content => 'x' } ]]) {
    my ($path, $what, @body) = @$_;
    my $json = $s->post($path, { model => 'echo', @body },
                        headers => { 'anthropic-version' => '2023-06-01' })
        ->{json};
    is($json->{object} // $json->{type}, $what, $path);
}
is($s->get($_)->{json}{object}, 'list', $_) for '/openai/models',
    '/api/v1/models';
is($s->get($_)->{json}{id}, 'vendor/made', $_)
    for '/openai/models/vendor%2Fmade', '/api/v1/models/vendor/made';
is($s->get('/api/health')->{json}{status}, 'ok', '/api/health');
like($s->get('/api/v1/models')->{headers}{'x-request-id'},
     qr/^req_[0-9a-f]{24}$/, 'a request id');
is(text_at($_), '404 not_found', "$_: JSON")
    for '/openai', '/openai/', '/openai/v1', '/api/v1/chat/completion',
        '/api/xchat/completions/x';
is(text_at($_), '404', "$_: not ours")
    for '/v1/chat/completions', '/chat/completions', '/openaix/v1/models',
        '/t/completions';
is($s->get($_)->{headers}{'x-request-id'}, undef, "$_: nothing of ours")
    for '/v1/models', '/health', '/';
$s->stop;

# --- virtual hosts --------------------------------------------------------

$s = CLB::Server->start(bridge => 0, config => <<"EOT");
$backends
CLIBridge On
CLIBridgeAlias everywhere echo
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName inherits.example
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName off.example
    CLIBridge Off
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName own.example
    CLIBridge On
    CLIBridgeDefaultModel mine
    CLIBridgeAlias mine lines
</VirtualHost>
EOT

my %sees = (
    'inherits.example' => [qw(echo everywhere lines vendor/made)],
    'own.example'      => [qw(echo everywhere lines mine vendor/made)],
);
for my $host (sort keys %sees) {
    my $r = $s->get('/v1/models', headers => { Host => $host });
    is_deeply([sort map { $_->{id} } @{ $r->{json}{data} }], $sees{$host},
              "$host: its models");
    is(text_at('/v1/chat/completions', Host => $host), 'x', "$host: answers");
}
is(text_at('/v1/chat/completions', Host => 'off.example'), '404',
   'off.example: nothing');
my @none = (messages => [{ role => 'user', content => '[[say:x]]' }]);
is($s->post('/v1/chat/completions', {@none},
            headers => { Host => 'own.example' })->{json}{model}, 'mine',
   'own.example: its default model');
is($s->post('/v1/chat/completions', {@none},
            headers => { Host => 'inherits.example' })->{status}, 400,
   'is not that of another');
$s->stop;

# --- mod_deflate ----------------------------------------------------------

$s = CLB::Server->start(modules => [qw(filter deflate)], config => <<"EOT");
$backends
SetOutputFilter DEFLATE
EOT
my %gzip = ('Accept-Encoding' => 'gzip, deflate');

my $r = $s->stream('[[stream:5:50]]', model => 'lines', -headers => {%gzip});
is_deeply([$r->{headers}{'content-encoding'}, @$r{qw(text done)}],
          [undef, 'tok1 tok2 tok3 tok4 tok5', 1], 'a stream is as it is');
cmp_ok($r->{events}[-1]{t} - $r->{first}, '>', 0.1, 'and comes as it comes');

for (['an answer', 200, '/v1/chat/completions', 'echo'],
     ['an error', 404, '/v1/chat/completions', 'nobody'],
     ['a refusal', 404, '/v1/nothing', 'echo']) {
    my ($name, $status, $path, $model) = @$_;
    my $r = $s->post($path, {
        model => $model, messages => [{ role => 'user', content => 'x' }] },
        headers => {%gzip});
    my $body = $r->{body};
    gunzip(\$r->{body}, \$body)
        if ($r->{headers}{'content-encoding'} // '') eq 'gzip';
    my $answer = $json->decode($body);
    is_deeply([$r->{status}, exists $answer->{ $status == 200 ? 'choices'
                                                              : 'error' }],
              [$status, 1], "$name can be read");
}
$s->stop;

# --- mod_proxy_http -------------------------------------------------------

$s = CLB::Server->start(modules => [qw(proxy proxy_http)], config => <<"EOT");
$backends
ProxyPass /front/ http://127.0.0.1:\@PORT\@/v1/
ProxyPass /open/ http://127.0.0.1:\@PORT\@/behind/
<Location /behind>
    SetHandler clibridge
    CLIBridgeAnonymous on
</Location>
EOT
is(text_at('/front/chat/completions'), '401 missing_api_key',
   'whoever comes through a proxy is not this machine');
is(text_at('/open/chat/completions'), 'x', 'an answer comes through');
$r = $s->stream('[[stream:5:150]]', model => 'lines',
                -path => '/open/chat/completions');
is($r->{text}, 'tok1 tok2 tok3 tok4 tok5', 'a stream comes through');
my @t = map { $_->{t} } grep {
    ref $_->{json} && length($_->{json}{choices}[0]{delta}{content} // '')
} @{ $r->{events} };
cmp_ok($t[-1] - $t[0], '>', 0.3, 'and comes as it comes');

my $c = $s->client;
$c->send_request('POST', '/open/chat/completions', {
    model => 'lines', stream => JSON::PP::true,
    messages => [{ role => 'user', content => '[[stream:9999:10]]' }] });
ok($s->wait_for(sub { $c->read_event }, 'an event'), 'a stream through it');
$c->cut;
$s->idle_ok('ends when its client leaves', 5);
$s->stop;

# --- web pages ------------------------------------------------------------

my $keys = File::Temp->new;
print $keys 'page:' . sha256_hex('page-key') . ":chat\n";
close $keys;

my $page = 'https://chat.example';
$s = CLB::Server->start(config => <<"EOT");
$backends
CLIBridgeKeyFile $keys
CLIBridgeOrigin $page http://localhost:3000
<Location /guarded>
    SetHandler clibridge
    AuthType CLIBridge
    Require clibridge-scope chat
</Location>
<Location /all>
    SetHandler clibridge
    CLIBridgeOrigin *
</Location>
<Location /denied>
    SetHandler clibridge
    Require all denied
</Location>
EOT

# A browser asks first, without a key.
sub preflight {
    my ($path, $origin, $method) = @_;
    return $s->request('OPTIONS', $path, undef, headers => {
        Origin                           => $origin,
        'Access-Control-Request-Method'  => $method // 'POST',
        'Access-Control-Request-Headers' =>
            'authorization,content-type,x-stainless-os',
    });
}

sub cors {
    my ($r) = @_;
    return { status => $r->{status}, map {
        my $value = $r->{headers}{"access-control-$_"};
        defined $value ? ($_ => $value) : ();
    } qw(allow-origin allow-methods allow-headers max-age) };
}

for (['/v1/chat/completions', $page], ['/v1/completions', $page],
     ['/v1/models', $page, 'GET'], ['/v1/models/echo', $page, 'GET'],
     ['/health', $page, 'GET'],
     ['/v1/chat/completions', 'http://localhost:3000'],
     ['/guarded/chat/completions', $page],
     ['/all/chat/completions', 'https://anybody.example']) {
    my ($path, $origin, $method) = @$_;
    my $r = preflight($path, $origin, $method);
    is_deeply(cors($r), {
        status          => 204,
        'allow-origin'  => $origin,
        'allow-methods' => 'GET, POST, DELETE, OPTIONS',
        'allow-headers' => 'authorization,content-type,x-stainless-os',
        'max-age'       => 600,
    }, "$path may be used from $origin");
    is_deeply([$r->{headers}{vary}, $r->{body}], ['Origin', ''],
              'and no cache mixes it up');
}
for my $origin ('https://evil.example', 'https://chat.example.evil.example',
                'http://chat.example', 'null') {
    is_deeply(cors(preflight($_, $origin)), { status => 204 },
              "$_ may not be used from $origin")
        for '/v1/chat/completions', '/guarded/chat/completions';
}
is_deeply(cors(preflight('/v1/nothing', $page)),
          { status => 404, 'allow-origin' => $page }, 'no such route');

my %page = (Origin => $page);
my $key  = 'page-key';
for (['an answer', 200, $s->chat('x', model => 'echo', -key => $key,
                                 -headers => {%page})],
     ['a stream', 200, $s->stream('x', model => 'echo', -key => $key,
                                  -headers => {%page})],
     ['an error', 404, $s->chat('x', model => 'nobody', -key => $key,
                                -headers => {%page})],
     ['models', 200, $s->get('/v1/models', key => $key,
                             headers => {%page})],
     ['no key', 401, $s->chat('x', model => 'echo', -headers => {%page})],
     ['no key, by Require', 401,
      $s->chat('x', model => 'echo', -headers => {%page},
               -path => '/guarded/chat/completions')],
     ['a refusal by httpd', 403,
      $s->chat('x', model => 'echo', -key => $key, -headers => {%page},
               -path => '/denied/chat/completions')]) {
    my ($name, $status, $r) = @$_;
    is_deeply(cors($r), { status => $status, 'allow-origin' => $page },
              "$name can be read by the page");
    like($r->{headers}{vary} // '', qr/\bOrigin\b/, 'Vary');
}
is_deeply(cors($s->chat('x', model => 'echo', -key => $key, -headers => {
              Origin => 'https://evil.example' })), { status => 200 },
          'another page cannot read it');
$s->stop;

# --- at the root ----------------------------------------------------------

$s = CLB::Server->start(config => <<"EOT");
$backends
<Location /v1>
    CLIBridgeAnonymous off
</Location>
EOT
is(text_at($_), '404 not_found', "$_ leads around no Location")
    for '/health/chat/completions', '/v1/x/chat/completions',
        '/health/v1/chat/completions';
is(text_at('/v1beta/chat/completions'), '404 404',
   "nor does /v1beta, which is Google's alone");
is(text_at('/v1/chat/completions'), '401 missing_api_key',
   'what is said of /v1 holds for the API');
$s->get("$_?key=mine&a=b") for '/shop/models/5', '/shop/health', '/v1/models';
my $log;    # is written after the answers
$s->wait_for(sub { 3 == (() = ($log = $s->access_log) =~ /GET .*a=b/g) },
             'three lines in the log');
like($log, qr{$_\?key=mine&a=b}, "the query of $_ is its own")
    for '/shop/models/5', '/shop/health';
unlike($log, qr{/v1/models\?key=}, 'that of the API is a key');
$s->stop;

done_testing;
