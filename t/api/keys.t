# Who may ask: keys in four places, httpd's own authorization, nobody's
# requests from this machine; and no log ever holds a key.

use strict;
use warnings;

use Digest::SHA qw(sha1 sha256_hex);
use File::Temp ();
use FindBin;
use MIME::Base64 qw(encode_base64);
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Client;
use CLB::Server;

my %key = (
    chat  => 'clb-chat-7f3a91',
    admin => 'clb-admin-02bd5c',
    both  => 'clb-both-e618d0',
    odd   => 'clb odd+/&=%41?#9c',    # needs escapes in a URL
);
my %scopes = (chat => 'chat', admin => 'admin', both => 'chat,admin',
              odd => 'chat');

# The files must be there before httpd starts, and its workers read them.
sub file {
    my $file = File::Temp->new;
    print $file @_;
    close $file;
    chmod 0644, "$file";
    return $file;
}

my $keys = file("# name:digest:scopes\n\n",
    map { "$_:" . sha256_hex($key{$_}) . ":$scopes{$_}\n" } sort keys %key);
my $users = file('ann:{SHA}', encode_base64(sha1('pass')));

# A key as operators make one.
sub make_key {
    my (@args) = @_;
    my $script = "$FindBin::Bin/../../conf/clibridge-key";
    open my $pipe, '-|', 'sh', '-c', 'exec sh "$0" "$@" 2>/dev/null', $script,
        @args or die "sh: $!";
    chomp(my $key = <$pipe> // '');
    close $pipe or die "clibridge-key: $?\n";
    return $key;
}
$key{made} = make_key('made', $keys, 'chat');

my $remote = 'RemoteIPHeader X-Test-IP
RemoteIPInternalProxy 127.0.0.1 ::1
';
my %remote = ('X-Test-IP' => '192.0.2.7');
my $body   = { model => 'echo', messages => [{ role => 'user',
                                               content => 'x' }] };
my $s;

sub status_is {
    my ($r, $want, $name) = @_;
    my $error = ref $r->{json} eq 'HASH' && $r->{json}{error} || {};
    my $got = join ' ', $r->{status}, $error->{code} // ();
    is($got, $want, $name) or diag $r->{body};
}

sub ask {
    my ($want, $name, %o) = @_;
    my $path = delete $o{path} // '/v1/chat/completions';
    my $at   = delete $o{at} // $s;
    status_is(CLB::Client::request($at, 'POST', $path, $body, %o), $want,
              $name);
}

my $none    = '401 missing_api_key';
my $wrong   = '401 invalid_api_key';
my $not_you = '403 insufficient_permissions';

sub base64 { encode_base64($_[0], '') }

sub escaped {
    return join '', map { sprintf '%%%02x', ord } split //, $_[0];
}

# --- the four places ------------------------------------------------------

# One step further each, core and http write down a request as it came from the
# network, before any module sees it.
$s = CLB::Server->start(
    modules  => [qw(remoteip auth_basic authn_file authz_user)],
    loglevel => 'trace8 core:trace4 http:trace3',
    config   => <<"EOT");
$remote
CLIBridgeKeyFile $keys
CustomLog "\@ROOT\@/logs/own.log" "%r|%q|%U|%u|%{clibridge-model}n"
<CLIBridgeBackend echo>
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram \@BIN\@/fake-oneshot
    \@MARK\@
</CLIBridgeBackend>
<Location /status>
    SetHandler server-status
</Location>
<Location /scope>
    SetHandler clibridge
    AuthType CLIBridge
    Require clibridge-scope chat
</Location>
<Location /admin>
    SetHandler clibridge
    AuthType CLIBridge
    Require clibridge-scope chat,admin
</Location>
<Location /ip>
    SetHandler clibridge
    Require ip 127.0.0.1
</Location>
<Location /any>
    SetHandler clibridge
    AuthType CLIBridge
    CLIBridgeAnonymous on
    <RequireAny>
        Require ip 192.0.2.0/24
        Require clibridge-scope admin
    </RequireAny>
</Location>
<Location /all>
    SetHandler clibridge
    AuthType CLIBridge
    <RequireAll>
        Require ip 192.0.2.0/24
        Require clibridge-scope chat
    </RequireAll>
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

my $chat = '/v1/chat/completions';
for my $name (qw(chat both odd made)) {
    my ($key, $escaped) = ($key{$name}, escaped($key{$name}));
    ask(200, "$name, $_", headers => { Authorization => "$_$key" })
        for 'Bearer ', 'bearer ', 'BEARER ', 'Bearer   ';
    ask(200, "$name, $_", headers => { $_ => $key })
        for 'x-api-key', 'X-Goog-Api-Key';
    ask(200, "$name, in the query", path => "$chat?$_")
        for "key=$escaped", "a=1&key=$escaped", "key=$escaped&alt=sse";
}

my $r = $s->get('/v1/models');
status_is($r, $none, 'no key');
is_deeply([sort keys %{ $r->{json}{error} }], [qw(code message param type)],
          'as OpenAI writes it');
is($r->{json}{error}{type}, 'invalid_request_error', 'type');
is($r->{headers}{'www-authenticate'}, 'Bearer realm="clibridge"',
   'the challenge');
$r = $s->get('/v1/models', key => 'clb-wrong');
status_is($r, $wrong, 'a wrong key');
is($r->{headers}{'www-authenticate'}, 'Bearer realm="clibridge"',
   'the challenge');
ask($wrong, "almost: $_->[0]", headers => { Authorization => "Bearer $_->[1]" })
    for ['shorter', substr $key{chat}, 0, -1], ['longer', "$key{chat}x"],
        ['upper case', uc $key{chat}], ['a name', 'chat'],
        ['a digest', sha256_hex($key{chat})], ['very long', 'x' x 4000];
ask($none, 'another kind of authorization',
    headers => { Authorization => 'Basic ' . base64("x:$key{chat}") });
ask($not_you, 'a key that may not chat', key => $key{admin});
ask($wrong, 'a wrong key is no better where nobody needs one',
    path => '/any/v1/chat/completions', key => 'clb-wrong');

# --- with httpd's own authorization ---------------------------------------

my $at = sub { (path => "/$_[0]/v1/chat/completions") };
my $basic = sub { (headers => { Authorization => 'Basic '
                                    . base64("ann:$_[0]") }) };

ask($none,    'scope: no key',        $at->('scope'));
ask($wrong,   'scope: a wrong key',   $at->('scope'), key => 'clb-wrong');
ask($not_you, 'scope: another scope', $at->('scope'), key => $key{admin});
ask(200,      'scope: the right one', $at->('scope'), key => $key{chat});
ask(200,      'scope: x-api-key',     $at->('scope'),
    headers => { 'x-api-key' => $key{chat} });
ask($not_you, 'two scopes: one',      $at->('admin'), key => $key{chat});
ask(200,      'two scopes: both',     $at->('admin'), key => $key{both});

ask(200,   'ip: there, with a key',    $at->('ip'), key => $key{chat});
ask($none, 'ip: there, but no key',    $at->('ip'));
ask($not_you, 'ip: a key from elsewhere', $at->('ip'),
    headers => { %remote, 'x-api-key' => $key{chat} });

ask(200, 'any: an address',      $at->('any'), headers => {%remote});
ask(200, 'any: a key',           $at->('any'), key => $key{both});
ask($not_you, 'any: neither',    $at->('any'), key => $key{chat});
ask($not_you, 'any: nothing',    $at->('any'));

ask(200, 'all: both',            $at->('all'),
    headers => { %remote, 'x-api-key' => $key{chat} });
ask($none, 'all: no key',        $at->('all'), headers => {%remote});
ask($not_you, 'all: elsewhere',  $at->('all'), key => $key{chat});

ask(200, 'another kind of user', $at->('basic'), $basic->('pass'));
$r = $s->post('/basic/v1/chat/completions', $body, $basic->('wrong'));
is_deeply([$r->{status}, $r->{json}{error}{type},
           $r->{headers}{'www-authenticate'}],
          [401, 'invalid_request_error', 'Basic realm="people"'],
          'another kind of user with a wrong password')
    or diag $r->{body};

# --- no trace of a key ----------------------------------------------------

subtest 'the status page has no key' => sub {
    my $c = $s->client;
    $c->send_request('POST', "$chat?key=" . escaped($key{odd}) . '&b=2', {
        model => 'one', stream => JSON::PP::true,
        messages => [{ role => 'user', content => '[[say:x]][[hang]]' }] });
    ok($s->wait_for(sub { $c->read_event }, 'the answer'), 'a turn runs');
    my $page = $s->get('/status', headers => {})->{body};
    like($page, qr/POST \Q$chat\E\?b=2/, 'it shows the request');
    unlike($page, qr/key=/, 'but not its key');
    $c->cut;
    $s->idle_ok;
};

subtest 'no log has a key' => sub {
    my %log = (error => $s->log, access => $s->access_log,
               own => CLB::Server::slurp($s->path('logs/own.log')));
    for my $log (sort keys %log) {
        cmp_ok(length $log{$log}, '>', 1000, "$log log: there is something");
        for my $name (sort keys %key) {
            ok(index(lc $log{$log}, lc $_) < 0, "$log log: not $name")
                for $key{$name}, escaped($key{$name});
        }
    }
    like($log{own}, qr/\Q$chat\E\?a=1 HTTP/, 'the rest of the query stays');
    unlike($log{$_}, qr/\bkey=/, "$_ log: no query of a key")
        for sort keys %log;
};
$s->stop;

# --- nobody's requests ----------------------------------------------------

$s = CLB::Server->start(modules => ['remoteip'], ipv6 => 1, main => '',
                        config => <<"EOT");
$remote
ServerAlias chat.example
<CLIBridgeBackend echo>
    \@MARK\@
</CLIBridgeBackend>
<Location /off>
    SetHandler clibridge
    CLIBridgeAnonymous off
</Location>
<Location /on>
    SetHandler clibridge
    CLIBridgeAnonymous on
</Location>
EOT

my $v6 = '[::1]:' . $s->port;
ask(200,   'from this machine');
ask(200,   'a key means nothing where none exists', key => 'sk-anything');
ask(200,   'over IPv6', at => $v6);
ask($none, 'off', $at->('off'));
ask(200,   'on',  $at->('on'));

for (['elsewhere', %remote], ['elsewhere, IPv6', 'X-Test-IP' => '2001:db8::1'],
     map({ [$_, $_ => '127.0.0.1'] } 'Forwarded', 'X-Forwarded-For',
         'X-Forwarded-Host', 'X-Real-IP', 'Via'),
     map({ ["Origin: $_", Origin => $_] } 'https://evil.example', 'null',
         'http://localhost.evil.example', 'http://127.0.0.1.evil.example',
         'file://', 'x'),
     map({ ["Host: $_", Host => $_] } 'evil.example', 'evil.example:80',
         'localhost.evil.example', '127.0.0.1.evil.example', '127.evil.example',
         '127.0.0.1.5.nip.example'),
     map({ ["type $_", 'Content-Type' => $_] } 'text/plain',
         'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
         'text/plain; application/json')) {
    my ($name, %headers) = @$_;
    ask($none, $name, headers => \%headers);
    ask(200, "on: $name", $at->('on'), headers => \%headers);
    ask($none, "off: $name", $at->('off'), headers => \%headers);
}
ask($none, 'no type', headers => { 'Content-Type' => undef });
is($s->request('POST', '/v1/responses/resp_x/cancel')->{status}, 404,
   'no type where there is no body');
is($s->request('POST', '/v1/responses/resp_x/cancel', undef, headers => {
    'Content-Type' => 'text/plain' })->{status}, 401, 'but a form has one');

for (map({ ["Host: $_", Host => $_] } 'localhost', 'LOCALHOST:99',
         '127.0.0.1', '127.0.0.2:8', '[::1]', '[::1]:5', 'chat.example'),
     map({ ["Origin: $_", Origin => $_] } 'http://localhost',
         'http://127.0.0.1:3000', 'http://[::1]:3000', 'http://LocalHost:1'),
     ['Origin is the host', Origin => 'http://chat.example',
      Host => 'chat.example']) {
    my ($name, %headers) = @$_;
    ask(200, $name, headers => \%headers);
}
status_is($s->get('/v1/models', headers => { 'Content-Type' => 'text/plain' }),
          200, 'a GET has no type to look at');
status_is($s->get('/v1/models', headers => { Host => 'evil.example' }), $none,
          'but its host counts');
$s->stop;

done_testing;
