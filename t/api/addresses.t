# Who is who: IPv6, virtual hosts, HTTP beside HTTPS, and proxies in front, all
# configured as README says.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Client;
use CLB::Readme qw(block);
use CLB::Server;

my $backends = <<'EOT';
<CLIBridgeBackend echo>
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
EOT
my ($none, $wrong) = ('401 missing_api_key', '401 invalid_api_key');

my $s;

# The text of an answer, or what kind of refusal it is.
sub told {
    my ($r) = @_;
    my $error = ref $r->{json} eq 'HASH' && $r->{json}{error};
    return $error ? join(' ', $r->{status}, $error->{code} // ())
         : $r->{text} // "$r->{status} $r->{body}";
}

sub ask {
    my ($at, %o) = @_;
    return told(CLB::Client::chat($at, '[[say:x]]', model => 'lines', %o));
}

# --- virtual hosts --------------------------------------------------------

# A directory of its own: the files are there before httpd starts.
my $files = CLB::Server->new;
$files->make_certificate;
$files->put("keys.$_", "$_:" . sha256_hex("key-$_") . ":chat,admin\n")
    for qw(tls a b);
my ($tls, $mapped, $proxied) = map { CLB::Server::choose_port() } 1 .. 3;

$s = CLB::Server->start(bridge => 0, ipv6 => 1, modules => [qw(ssl remoteip)],
    config => join "\n", $backends, "Listen 127.0.0.1:$tls",
    "Listen [::ffff:127.0.0.1]:$mapped", "Listen 127.0.0.1:$proxied",
    block('Virtual hosts:', ':80' => ':@PORT@', '*:443' => "127.0.0.1:$tls",
          '/etc/ssl/certs/ai.example.org.pem' => $files->cert,
          '/etc/ssl/private/ai.example.org.key' =>
              $files->path('tls/key.pem'),
          '/etc/apache2/clibridge.keys' => $files->path('keys.tls')),
    map({ <<"EOT" } qw(a b)), <<"EOT");
<VirtualHost 127.0.0.1:\@PORT\@ [::1]:\@PORT\@>
    ServerName $_.example
    CLIBridge On
    CLIBridgeKeyFile @{[$files->path("keys.$_")]}
    CLIBridgeAlias mine-$_ lines
    CLIBridgeDefaultModel mine-$_
    CLIBridgeMaxBody @{[$_ eq 'a' ? '2K' : '10K']}
</VirtualHost>
EOT
<VirtualHost 127.0.0.1:\@PORT\@ [::1]:\@PORT\@>
    ServerName none.example
</VirtualHost>
<VirtualHost *:$mapped>
    CLIBridge On
</VirtualHost>
<VirtualHost *:$proxied>
    CLIBridge On
    RemoteIPProxyProtocol On
</VirtualHost>
EOT

my $v4  = '127.0.0.1:' . $s->port;
my $v6  = '[::1]:' . $s->port;
my @tls = ("127.0.0.1:$tls", -tls => 1);
sub host { (-headers => { Host => $_[0] }) }

is(ask($_), 'x', "$_: from this machine") for $v4, $v6;
is(ask($_, -key => 'sk-any'), 'x', "$_: any key will do") for $v4, $v6;
is(ask($_, model => 'gpt-4o'), '[[say:x]]', "$_: its alias") for $v4, $v6;
is(ask(@tls), $none, 'HTTPS wants a key');
is(ask(@tls, -key => 'key-tls'), 'x', 'HTTPS: a key');
is(ask(@tls, -key => 'key-a'), $wrong, 'HTTPS: that of another host');
is(ask(@tls, -key => 'key-tls', model => undef), '[[say:x]]',
   'HTTPS: its default model');
is(ask($v4, model => undef), '400', 'HTTP has none');
is(ask(@tls, -key => 'key-tls', model => 'gpt-4o'), '404 model_not_found',
   'HTTPS has no alias');

for my $at ($v4, $v6) {
    for (['a', 'b'], ['b', 'a']) {
        my ($own, $other) = @$_;
        my @at = ($at, host("$own.example"));
        is(ask(@at), $none, "$at, $own: wants a key");
        is(ask(@at, -key => "key-$own"), 'x', "$own: its key");
        is(ask(@at, -key => "key-$other"), $wrong, 'that of another');
        is(ask(@at, -key => "key-$own", model => "mine-$_"),
           $_ eq $own ? 'x' : '404 model_not_found', "the alias of $_")
            for $own, $other;
        my $r = CLB::Client::chat($at, '[[say:x]]', host("$own.example"),
                                  -key => "key-$own", model => undef);
        is($r->{json}{model}, "mine-$own", 'its default model');
        is(ask(@at, -key => "key-$own", user => 'x' x 4000),
           $own eq 'a' ? '413 request_too_large' : 'x', 'its limits');
    }
    is(CLB::Client::request($at, 'GET', '/v1/models', undef,
                            headers => { Host => 'none.example' })->{status},
       404, "$at: the one without CLIBridge On answers nothing");
    is(ask($at, host('nobody.example')), $none,
       'a name that nobody has is no way in');
}

my $c = CLB::Client->open($v4);
$c->send_request('POST', '/v1/chat/completions', {
    model => 'lines', stream => JSON::PP::true,
    messages => [{ role => 'user', content => '[[say:x]][[hang]]' }] },
    headers => { Host => 'a.example' }, key => 'key-a');
ok($c->read_event, 'a turn runs in one host');
is(CLB::Client::request("127.0.0.1:$tls", 'GET', '/health', undef, tls => 1)
       ->{json}{slots}{running}, 1, 'and is counted in another');
$c->cut;
$s->idle_ok;

# --- what an address looks like -------------------------------------------

is(ask("127.0.0.1:$mapped"), 'x', '::ffff:127.0.0.1 is this machine');
unlike($s->access_log, qr/^::ffff:/m, 'and written as it should be');

# What haproxy sends first.
sub proxied {
    my ($line) = @_;
    my $c = CLB::Client->open("127.0.0.1:$proxied");
    $c->send("PROXY $line\r\n");
    return ask($c);
}
is(proxied('TCP4 127.0.0.1 127.0.0.1 1000 80'), 'x', 'PROXY: this machine');
is(proxied('TCP6 ::1 ::1 1000 80'), 'x', 'PROXY: this machine, IPv6');
is(proxied('TCP4 192.0.2.7 127.0.0.1 1000 80'), $none, 'PROXY: another');
is(proxied('TCP6 2001:db8::1 ::1 1000 80'), $none, 'PROXY: another, IPv6');
ok($s->wait_for(sub { $s->access_log =~ /^\Q$_\E .*POST/m }),
   "the log has $_") for '192.0.2.7', '2001:db8::1';
$s->stop;

# --- mod_remoteip ---------------------------------------------------------

# This test is the proxy: it adds the address it saw at the end.
my @one_slot = ('CLIBridgeSlots 1', '<Location /open>',
                'SetHandler clibridge', 'CLIBridgeAnonymous on',
                '</Location>');
$s = CLB::Server->start(ipv6 => 1, modules => ['remoteip'],
    config => join "\n", $backends, @one_slot,
    block('Behind a proxy all', '10.0.0.5' => '127.0.0.1'),
    'LogFormat "%a" address', 'CustomLog @ROOT@/logs/address.log address');

sub from { (-headers => { 'X-Forwarded-For' => join ', ', @_ }) }

# The log is written after the answer.
my $requests = 0;

sub logged {
    my @lines;
    $requests++;
    $s->wait_for(sub {
        @lines = split /\n/, CLB::Server::slurp($s->path('logs/address.log'));
        @lines == $requests;
    }, 'a line in the log');
    return $lines[-1];
}
for (['a client', '192.0.2.7', '192.0.2.7'],
     ['one that says it is this machine', '192.0.2.7', '127.0.0.1',
      '192.0.2.7'],
     ['one that says so in IPv6', '192.0.2.7', '::1', '192.0.2.7'],
     ['one that says it is another', '2001:db8::7', '192.0.2.9',
      '2001:db8::7']) {
    my ($name, $address, @says) = @$_;
    is(ask($s, from(@says)), $none, $name);
    is(logged(), $address, 'in the log');
}
$v6 = '[::1]:' . $s->port;
is(ask($v6, from('127.0.0.1')), $none, 'no proxy, but says it passed one');
is(logged(), '::1', 'and has its own address');

sub hold { $s->stream('[[say:x]][[hang]]', model => 'lines', from($_[0]),
                      -path => '/open/chat/completions',
                      -until => sub { 1 })->{client} }
subtest 'clients without a key take turns by address' => sub {
    my $holds = hold('192.0.2.1');
    my (%client, @order);
    for my $name ('192.0.2.1 first', '192.0.2.1 second', '192.0.2.2 only') {
        my $c = $client{$name} = $s->client;
        $c->send_request('POST', '/open/chat/completions', {
            model => 'lines', stream => JSON::PP::true, messages => [
                { role => 'user', content => '[[say:x]][[hang]]' }] },
            headers => { 'X-Forwarded-For' => $name =~ s/ .*//r });
        $s->wait_for(sub { $s->health->{queue}{waiting} == keys %client },
                     "$name in the queue");
    }
    $holds->cut;
    while (%client) {
        my $next = $s->wait_for(sub {
            (grep { IO::Select->new($client{$_}->socket)->can_read(0) }
                 sort keys %client)[0];
        }, 'whose turn it is') or last;
        push @order, $next;
        delete($client{$next})->cut;
    }
    is_deeply(\@order, ['192.0.2.2 only', '192.0.2.1 first',
                        '192.0.2.1 second'], 'in this order');
};
$s->idle_ok;
$s->stop;

# --- another httpd in front -----------------------------------------------

$s = CLB::Server->start(modules => ['remoteip'], config => join "\n",
    $backends, 'CLIBridgeKeepAlive 1',
    'CLIBridgeKeyFile ' . $files->path('keys.a'),
    block('Behind a proxy all', '10.0.0.5' => '127.0.0.1'));
my @to   = ('127.0.0.1:8030' => '127.0.0.1:' . $s->port);
my $rule = block('or with mod_rewrite', @to, '/v1/(' => '/rewritten/(');
my $front = CLB::Server->start(bridge => 0,
    modules => [qw(proxy proxy_http rewrite)],
    config  => join "\n", block('for whole answers.', @to), $rule);

my @key = (-key => 'key-a');
for my $where ('/v1', '/rewritten') {
    my @at = (-path => "$where/chat/completions");
    is(ask($front, @at), $none, "$where: wants a key");
    is(ask($front, @at, @key), 'x', "$where: an answer");
    my $r = $front->stream('[[stream:5:150]]', model => 'lines', @at, @key);
    is_deeply([@$r{qw(text done clean)}], ['tok1 tok2 tok3 tok4 tok5', 1, 1],
              "$where: a stream");
    for my $text ('[[stream:3:1]][[hang]]', '[[stream:9999:5]]') {
        my $r = $front->stream($text, model => 'lines', @at, @key,
            -until => sub { $_[1]{text} =~ /tok3/ });
        ok($r->{client}, "$where: comes as it comes") or next;
        $r->{client}->cut;
        $s->idle_ok("$where: and ends with its client");
    }
}
$front->stop;
$s->stop;

done_testing;
