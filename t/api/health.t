# GET /health: for load balancers without a key; what it tells of the host is
# for this machine and for admins.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $remoteip = <<'EOT';
RemoteIPHeader X-Test-IP
RemoteIPInternalProxy 127.0.0.1
CLIBridgeSlots 2
CLIBridgeQueue 3
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    @MARK@
</CLIBridgeBackend>
EOT

my %remote = ('X-Test-IP' => '192.0.2.7');
my $public = { status => 'ok', slots => { max => 2, running => 0 },
               queue => { max => 3, waiting => 0 } };

sub sees_all {
    my ($r, $name) = @_;
    is_deeply([$r->{status}, sort keys %{ $r->{json} }],
              [200, qw(backends generation heartbeat_age_ms queue slots
                       status)], "$name: sees everything");
}

sub sees_little {
    my ($r, $name) = @_;
    is_deeply([@$r{qw(status json)}], [200, $public], "$name: sees little");
}

my $s = CLB::Server->start(modules => ['remoteip'], config => $remoteip);

my $r = $s->get('/health');
sees_all($r, 'loopback');
is($r->{headers}{'content-type'}, 'application/json', 'type');
is($r->{headers}{'cache-control'}, 'no-store', 'no cache keeps it');
like($r->{headers}{'x-request-id'}, qr/^req_/, 'request id');
cmp_ok($r->{json}{heartbeat_age_ms}, '<', 5000, 'the keeper is alive');
is_deeply($r->{json}{backends}[0], {
    name => 'one', driver => 'command', status => 'ok',
    slots => { max => 2, running => 0 }, starts => 0, failures => 0,
    map { $_ => 0 } qw(waiting starting idle leased settling parked dying hits
                       misses tools),
}, 'a backend');

sees_little($s->get('/health', headers => \%remote), 'remote');
sees_little($s->get('/health', headers => { $_ => '192.0.2.7' }), $_)
    for qw(Forwarded X-Forwarded-For X-Real-IP Via);
is($s->get($_)->{json}{status}, 'ok', $_) for '/health/', '//health',
    '/v1/health';
$r = $s->post('/health', {});
is_deeply([$r->{status}, $r->{headers}{allow}], [405, 'GET, HEAD, OPTIONS'],
          'POST');

# Two run and one waits.
my @turns = map {
    my $c = $s->client;
    $c->send_request('POST', '/v1/chat/completions', {
        model => 'one', stream => JSON::PP::true,
        messages => [{ role => 'user', content => '[[hang]]' }] });
    $c;
} 1 .. 3;
ok($s->wait_for(sub {
    my $h = $s->get('/health', headers => \%remote)->{json};
    $h->{slots}{running} == 2 && $h->{queue}{waiting} == 1;
}, 'two turns and a third'), 'counts of turns');
my $one = $s->wait_for(sub {
    my $b = $s->backend_health('one');
    $b->{leased} == 2 ? $b : undef;
}, 'two processes');
is_deeply([$one->{slots}, @$one{qw(waiting starts)}],
          [{ max => 2, running => 2 }, 1, 2], 'counts of a backend');
$_->cut for @turns;
$s->idle_ok;
$s->stop;

# --- with keys ------------------------------------------------------------

my %key = (chat => 'chat-secret-1', admin => 'admin-secret-2');
my $file = File::Temp->new;
print $file map { "$_:" . sha256_hex($key{$_}) . ":$_\n" } sort keys %key;
close $file;

$s = CLB::Server->start(modules => ['remoteip'],
    config => "${remoteip}CLIBridgeKeyFile $file\nCLIBridgeAnonymous off\n");
is($s->get('/v1/models')->{status}, 401, 'elsewhere a key is needed');
sees_all($s->get('/health'), 'loopback without a key');
sees_little($s->get('/health', headers => \%remote), 'remote without a key');
sees_little($s->get('/health', headers => \%remote, key => 'nonsense'),
            'remote with a wrong key');
sees_little($s->get('/health', headers => \%remote, key => $key{chat}),
            'remote with a key for chat');
sees_all($s->get('/health', headers => \%remote, key => $key{admin}),
         'remote with a key of an admin');
$s->stop;

done_testing;
