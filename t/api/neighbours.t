# In the company of other modules, configured as README says: what they do to
# requests and answers on the way, and what they would keep, show or answer
# themselves.

use strict;
use warnings;

use FindBin;
use IO::Compress::Gzip qw(gzip);
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Readme qw(block);
use CLB::Server;

my $json     = JSON::PP->new->utf8->canonical;
my $backends = <<'EOT';
<CLIBridgeBackend echo>
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    CLIBridgeModels lines *.gz *.en *.cgi
    @MARK@
</CLIBridgeBackend>
EOT

my $s;

sub body {
    my ($text, %o) = @_;
    return $json->encode({ model => 'echo', %o, messages => [
        { role => 'user', content => $text }] });
}

# The text of an answer, or what kind of refusal it is.
sub told {
    my ($r) = @_;
    my $error = ref $r->{json} eq 'HASH' && $r->{json}{error};
    return $error ? "$r->{status} " . ($error->{code} // 'JSON')
         : ref $r->{json} eq 'HASH' && $r->{json}{choices}
               ? $r->{json}{choices}[0]{message}{content}
         : "$r->{status} $r->{body}";
}

sub ask {
    my ($where, $body, %o) = @_;
    return told($s->post("$where/chat/completions", $body, %o));
}

sub location {
    my ($name, @lines) = @_;
    return join "\n", "<Location /$name>", 'SetHandler clibridge', @lines,
                      "</Location>\n";
}

# --- bodies on their way in -----------------------------------------------

my $max     = 2_000_000;
my $text    = join ' ', 1 .. 20_000;
my $too_big = '413 request_too_large';

# How each changes the text, and how it refuses: too much, at once.
my %filter = (
    none     => ['', sub { $_[0] }],
    buffer   => ["SetInputFilter BUFFER\nBufferSize 100", sub { $_[0] }],
    kept     => ['KeptBodySize 500000', sub { $_[0] }],
    ext      => ['SetInputFilter cat', sub { $_[0] }],
    longer   => ['SetInputFilter longer', sub { $_[0] =~ s/10/ten/gr }],
    shorter  => ["SetInputFilter Sed\nInputSed \"s/10//g\"",
                 sub { $_[0] =~ s/10//gr }],
    several  => ["SetInputFilter Sed;longer;BUFFER\nInputSed \"s/20/10/g\"",
                 sub { $_[0] =~ s/10/ten/gr =~ s/20/10/gr }],
    inflated => [block('Compressed requests:') =~ s/<.*\n//gr,
                 sub { $_[0] }],
);
my %refuses = (
    limited  => 'LimitRequestBody 1000',
    kept     => 'KeptBodySize 1000',
    inflated => "SetInputFilter DEFLATE\nLimitRequestBody 1000",
);

$s = CLB::Server->start(
    modules => [qw(buffer request ext_filter filter sed
                   deflate)],
    config  => join "\n", $backends, "CLIBridgeMaxBody $max",
        'ExtFilterDefine cat mode=input cmd="/bin/cat"',
        'ExtFilterDefine longer mode=input cmd="/bin/sed s/10/ten/g"',
        map({ location($_, $filter{$_}[0]) } sort keys %filter),
        map({ location("small/$_", $refuses{$_}) } sort keys %refuses));

for my $name (sort keys %filter) {
    my $want = $filter{$name}[1]->($text);
    for my $chunked (undef, 1, 1000, 100_000) {
        my $body = body($chunked && $chunked == 1 ? 'x' : $text);
        is(ask("/$name", $body, chunked => $chunked),
           $chunked && $chunked == 1 ? 'x' : $want,
           "$name, in pieces of " . ($chunked // 'any size'));
    }
}
for my $name (sort keys %refuses) {
    is(ask("/small/$name", body($text), chunked => $_), $too_big,
       "$name refuses" . ($_ ? ' chunks' : '')) for undef, 1000;
    is(ask("/small/$name", body('x')), 'x', 'but not a small one');
}

# --- compressed requests --------------------------------------------------

sub zipped {
    my ($body) = @_;
    gzip(\$body, \my $zipped) or die 'gzip';
    return $zipped;
}
my @gzip = (headers => { 'Content-Encoding' => 'gzip' });

is(ask('/inflated', zipped(body($text)), @gzip, chunked => $_), $text,
   'a compressed request' . ($_ ? ' in chunks' : '')) for undef, 1, 1000;
my $same = 'again and ' x 100_000;
is(length ask('/inflated', zipped(body($same)), @gzip), length $same,
   'one that repeats itself');
is(ask('/inflated', zipped(body('x' x ($max - 64))), @gzip), 'x' x ($max - 64),
   'as large as may be');
is(ask('/inflated', zipped(body('x' x $max)), @gzip), $too_big, 'too large');
is(ask('/inflated', substr(zipped(body($text)), 0, 500), @gzip), '400 JSON',
   'cut off');
is(ask('/inflated', body($text), @gzip), '400 JSON', 'not compressed at all');
is(ask('/inflated', zipped(zipped(body('x'))), @gzip), '400 JSON',
   'compressed twice');
like($s->post('/none/chat/completions', zipped(body('x')), @gzip)
         ->{json}{error}{message}, qr/Content-Encoding/,
     'where nobody undoes it, the message says so');

sub peak {
    my ($peak) = sort { $b <=> $a }
        map { CLB::Server::slurp("/proc/$_/status") =~ /^VmHWM:\s+(\d+)/m }
        $s->workers;
    return $peak;
}

subtest 'a bomb' => sub {
    my $bomb = zipped(body('x' x 200_000_000));
    cmp_ok(length $bomb, '<', 250_000, 'is small');
    my $before = peak();
    is(ask('/inflated', $bomb, @gzip, chunked => $_), $too_big, 'is refused')
        for undef, 1000, 100_000;
    cmp_ok(peak() - $before, '<', 50_000, 'before it takes much memory');
};
$s->idle_ok;
$s->stop;

# --- answers on their way out ---------------------------------------------

$s = CLB::Server->start(
    modules => [qw(filter deflate brotli ratelimit buffer substitute)],
    config  => join "\n", $backends, block('Compression'),
        location('all', 'SetOutputFilter BROTLI_COMPRESS;DEFLATE'),
        location('rate', 'SetOutputFilter RATE_LIMIT', 'SetEnv rate-limit 9'),
        location('buffer', 'SetOutputFilter BUFFER'),
        location('substitute', 'SetOutputFilter SUBSTITUTE',
                 'Substitute "s/tok/TOK/n"'));

sub encoding { $_[0]{headers}{'content-encoding'} }

for my $where ('/v1', '/all') {
    for my $accept ('gzip', 'br', 'gzip, br', undef) {
        my @accept = (headers => { 'Accept-Encoding' => $accept });
        my $name   = "$where, " . ($accept // 'no encoding');
        my $coded  = !$accept ? undef : $accept =~ /br/ ? 'br' : 'gzip';
        for (['an answer', '/chat/completions', body('x' x 1000)],
             ['an error', '/chat/completions', body('x', model => 'nobody')],
             ['the models', '/models', undef]) {
            my ($what, $path, $body) = @$_;
            my $r = $s->request($body ? 'POST' : 'GET', $where . $path, $body,
                                @accept);
            # mod_filter leaves errors alone
            my $alone = $where eq '/v1' && $what eq 'an error';
            is(encoding($r), $alone ? undef : $coded, "$name: $what");
            if ((encoding($r) // '') eq 'gzip') {
                gunzip(\$r->{body}, \my $plain);
                ok(eval { $json->decode($plain) }, 'is JSON') or diag $plain;
            }
        }
        my $r = $s->stream('[[stream:5:1]]', model => 'lines',
                           -path => "$where/chat/completions",
                           "-$accept[0]" => $accept[1]);
        is_deeply([encoding($r), @$r{qw(text done clean)}],
                  [undef, 'tok1 tok2 tok3 tok4 tok5', 1, 1],
                  "$name: a stream is as it is");
    }
}
for my $where (qw(rate buffer substitute)) {
    my $text = '[[stream:3:1]][[hang]]';
    my $r = $s->stream($text, model => 'lines',
        -path => "/$where/chat/completions",
        -until => sub { $_[1]{text} =~ /tok3/i });
    is($r->{text} =~ tr/TOK/tok/r, 'tok1 tok2 tok3',
       "$where: a stream comes as it comes") or next;
    $r->{client}->cut;
    $s->idle_ok("$where: and ends with its client");
}
$s->stop;

# --- what they would keep, or answer themselves ---------------------------

# mod_cache told to keep whatever it may, and others that add to answers.
my $eager = <<'EOT';
CacheEnable socache /
CacheSocache shmcb
CacheIgnoreNoLastMod On
CacheDefaultExpire 3600
CacheHeader On
ExpiresActive On
ExpiresDefault "access plus 1 month"
AddEncoding x-gzip .gz
AddLanguage en .en
AddHandler cgi-script .cgi
AddOutputFilter DEFLATE .gz
FallbackResource /index.html
<Directory @ROOT@/htdocs>
    AllowOverride All
</Directory>
DirectoryIndex index.html
Options +MultiViews
CheckSpelling On
Alias /v1/models/ @ROOT@/htdocs/
Alias /health @ROOT@/htdocs/index.html
EOT
# What many a web application has there.
my $htaccess = <<'EOT';
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^ /index.html [L]
EOT
my @eager = qw(rewrite cache cache_socache socache_shmcb expires mime dir negotiation
               alias speling cgid filter deflate);
my $main = "TypesConfig /dev/null\nScriptSock \@ROOT\@/run/cgid\n";

$s = CLB::Server->start(modules => \@eager, main => $main,
    config => join "\n", $backends, $eager,
        location('there', 'RewriteEngine Off'),
        location('key', 'RewriteEngine Off', 'CLIBridgeAnonymous off'));
$s->put('htdocs/index.html', 'the index');
$s->put('htdocs/.htaccess', $htaccess);
is($s->get('/')->{body}, 'the index', 'there are files');
is($s->get('/nothing')->{body}, 'the index', 'and a resource for all else');
like($s->get('/')->{headers}{'x-cache'}, qr/^HIT/, 'they are cached');

my @free = qw(content-encoding content-language etag last-modified age);
for my $where ('/v1', '/there') {
    for (['/models', 200, undef], ['/models/echo', 200, undef],
         ['/models/index.html', 404, undef], ['/models/x.gz', 200, undef],
         ['/models/x.en', 200, undef], ['/models/x.cgi', 200, undef],
         ['/nothing', 404, undef], ['/chat/completions', 405, undef],
         ['/chat/completions', 200, body('x')],
         ['/chat/completions', 200, body('x', stream => JSON::PP::true)],
         ['/chat/completions', 400, '{'],
         ['/chat/completions', 404, body('x', model => 'nobody')]) {
        my ($path, $status, $body) = @$_;
        my $name = "$where$path, $status";
        for my $time ('', ', again') {
            my $r = $s->request($body ? 'POST' : 'GET', $where . $path, $body,
                                headers => { 'Accept-Encoding' => 'x' });
            is($r->{status}, $status, $name . $time) or diag $r->{body};
            is_deeply([grep { defined $r->{headers}{$_} } @free], [],
                      'nobody took part');
            like($r->{headers}{'cache-control'} // '', qr/\bno-store\b/,
                 'not to be kept');
            unlike($r->{headers}{'x-cache'} // '', qr/HIT|REVALIDATE/,
                   'and not kept');
        }
    }
}
for my $path ('/health', '/there/health') {
    for (1, 2) {
        my $r = $s->get($path);
        is_deeply([ref $r->{json} && $r->{json}{status},
                   $r->{headers}{'x-cache'} =~ /^HIT/], ['ok'], $path)
            or diag "$r->{raw}\n$r->{body}";
    }
}
for (1, 2) {
    my $r = $s->get('/key/models');
    is_deeply([told($r), $r->{headers}{'cache-control'}],
              ['401 missing_api_key', 'no-store'], 'a refusal is not kept');
}
$s->stop;

# --- other paths, other rules ---------------------------------------------

$s = CLB::Server->start(modules => [qw(rewrite headers alias remoteip
    auth_basic authn_file authz_user)], config => join "\n", $backends,
    'RemoteIPHeader X-Test-IP', 'RemoteIPInternalProxy 127.0.0.1',
    block('Or paths that'),
    'RewriteRule ^/inner/(.*) /v1/$1 [R=308,L]',
    block('Who is asked', '/etc/apache2' => '@ROOT@'),
    location('dir', 'RewriteEngine On',
             'RewriteRule /old/(.*)$ /v1/$1 [PT]'),
    location('head', 'Header always set X-Frame-Options DENY',
             'RequestHeader set Content-Type application/json'),
    'Redirect 307 /moved /v1');
$s->put('people', "ann:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n");    # pass

my %inside = (headers => { 'X-Test-IP' => '192.168.7.7' });
my %ann    = (headers => { Authorization => 'Basic YW5uOnBhc3M=' });
for (['/v1', 'in the network', 'x', %inside],
     ['/v1', 'a password', 'x', %ann],
     ['/v1', 'neither', '401 missing_api_key'],
     ['/ai', 'rewritten, in the network', 'x', %inside],
     ['/ai', 'rewritten, a password', 'x', %ann],
     ['/ai', 'rewritten, neither', '401 missing_api_key'],
     ['/dir/old', 'rewritten in a Location', 'x', %ann]) {
    my ($where, $name, $want, %o) = @$_;
    is(ask($where, body('x'), %o), $want, $name);
}
my $r = $s->post('/head/chat/completions', body('x'),
                 headers => { 'Content-Type' => 'text/plain' });
is_deeply([told($r), $r->{headers}{'x-frame-options'}], ['x', 'DENY'],
          'mod_headers changes requests and answers');
is($s->post("$_->[0]/chat/completions", body('x'))->{status}, $_->[1],
   "$_->[0] leads elsewhere") for ['/inner', 308], ['/moved', 307];
$s->stop;

# --- what they would show -------------------------------------------------

my $secret = 'sk-asked-with';
$s = CLB::Server->start(modules => ['rewrite', 'info', 'alias'],
    loglevel => 'debug',
    main   => 'ExtendedStatus On',
    config => join "\n", $backends, block('Or paths that'),
        location('there'),
        '<Location /status>', 'SetHandler server-status', '</Location>',
        '<Location /info>', 'SetHandler server-info', '</Location>',
        '<CLIBridgeBackend files>', 'CLIBridgeDriver command',
        'CLIBridgeProgram /bin/cat',
        'CLIBridgeEnvFile TOKEN /etc/hostname', '@MARK@',
        '</CLIBridgeBackend>');
for my $path ('/v1', '/there', '/ai') {
    my $c = $s->client;
    $c->send_request('POST', "$path/chat/completions?a=1&key=$secret",
        body('[[say:x]][[hang]]', model => 'lines',
             stream => JSON::PP::true));
    ok($c->read_event, "$path: a turn runs");
    my $page = $s->get('/status')->{body};
    like($page, qr{POST $path/chat/completions\?a=1 HTTP},
         'the status page shows it');
    unlike($page, qr/$secret/, 'without its key');
    $c->cut;
    $s->idle_ok;
}
like($s->get('/info')->{body}, qr/CLIBridgeEnvFile/,
     'the configuration is shown, but no file');
unlike($s->log . $s->access_log, qr/$secret/, 'no log has the key');
$s->stop;

# --- slow clients ---------------------------------------------------------

$s = CLB::Server->start(modules => ['reqtimeout'], config => join "\n",
    $backends, block('Slow clients:',
        'header=10-20,MinRate=500 body=20,MinRate=500' => 'header=1 body=1'));
for (['headers', "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"],
     ['a body', "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              . "Content-Type: application/json\r\n"
              . "Transfer-Encoding: chunked\r\n\r\n5\r\n{"]) {
    my ($name, $bytes) = @$_;
    my $c = $s->client;
    $c->send($bytes);
    is(told($c->read_response), '408 request_timeout', "slow: $name");
}
my $c = $s->client;
for my $time ('a long answer', 'another on the same connection') {
    my $r = CLB::Client::stream($c, '[[stream:5:500]]', model => 'lines');
    is_deeply([@$r{qw(text done)}], ['tok1 tok2 tok3 tok4 tok5', 1], $time);
}
$s->stop;

# --- another MPM ----------------------------------------------------------

$s = CLB::Server->start(mpm => 'worker', config => $backends);
is(ask('/v1', body('x')), 'x', 'worker: an answer');
$r = $s->stream('[[say:x]][[hang]]', model => 'lines', -until => sub { 1 });
$s->graceful;
is(ask('/v1', body('x')), 'x', 'after a reload');
$r->{client}->cut;
$s->idle_ok('and a client that leaves is noticed');
$s->stop;

done_testing;
