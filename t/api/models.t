# GET /v1/models and /v1/models/ID: what exists, by every name it has.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $s = CLB::Server->start(modules => ['remoteip'], config => <<'EOT');
RemoteIPHeader X-Test-IP
RemoteIPInternalProxy 127.0.0.1
CLIBridgeDefaultModel second
CLIBridgeAlias nick first
CLIBridgeAlias made-by vendor/made
<CLIBridgeBackend a>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    CLIBridgeModels first pattern-* second
    CLIBridgeModels vendor/made first
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend off>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    CLIBridgeModels hidden
    CLIBridgeSlots 0
    @MARK@
</CLIBridgeBackend>
<Location /open/v1>
    SetHandler clibridge
    CLIBridgeAnonymous on
</Location>
EOT

sub model { { id => $_[0], object => 'model', owned_by => $_[1] } }

my $created;

# The time is checked and taken out.
sub untimed {
    my ($model) = @_;
    $created //= $model->{created};
    is(delete $model->{created}, $created, "$model->{id}: created");
    return $model;
}

my $r = $s->get('/v1/models');
is($r->{headers}{'content-type'}, 'application/json', 'type');
my @models = map { untimed($_) } @{ $r->{json}{data} };
is_deeply([sort keys %{ $r->{json} }], ['data', 'object'], 'shape');
is($r->{json}{object}, 'list', 'a list');
cmp_ok(abs($created - time), '<', 60, 'created when the server started');
is_deeply([@models[0 .. 3]], [
    model('second', 'a'), model('first', 'a'), model('vendor/made', 'a'),
    model('echo', 'echo'),
], 'the default first, then as configured, each once');
is_deeply([sort { $a->{id} cmp $b->{id} } @models[4 .. $#models]],
          [model('made-by', 'a'), model('nick', 'a')],
          'then aliases; no pattern, nothing switched off');

for (['first', 'first', 'a'], ['nick', 'nick', 'a'],
     ['pattern-7', 'pattern-7', 'a'], ['vendor%2Fmade', 'vendor/made', 'a'],
     ['vendor%2fmade', 'vendor/made', 'a'], ['vendor/made', 'vendor/made', 'a'],
     ['pattern-%2F%2F', 'pattern-//', 'a'], ['echo/', 'echo', 'echo'],
     ['fir%73t', 'first', 'a']) {
    my ($path, $id, $owner) = @$_;
    is_deeply(untimed($s->get("/v1/models/$path")->{json}),
              model($id, $owner), "/v1/models/$path");
}

for my $id (qw(nothing hidden pattern vendor)) {
    my $r = $s->get("/v1/models/$id");
    is_deeply([$r->{status}, @{ $r->{json}{error} }{qw(type code param)}],
              [404, 'invalid_request_error', 'model_not_found', 'model'],
              "$id: 404");
}

my $remote = { 'X-Test-IP' => '192.0.2.7' };
is($s->get('/v1/models', headers => $remote)->{json}{error}{code},
   'missing_api_key', 'not for anybody who comes from elsewhere');
is_deeply([map { untimed($_) } @{
              $s->get('/open/v1/models', headers => $remote)->{json}{data} }],
          \@models, 'but the same to everybody where anonymous ones may');

is($s->chat('[[say:x]]', model => 'vendor/made')->{text}, 'x',
   'a name with a slash');
is($s->chat('[[say:x]]', model => 'pattern-7')->{text}, 'x', 'a pattern');
$r = $s->post('/v1/models', {});
is_deeply([$r->{status}, $r->{headers}{allow}], [405, 'GET, HEAD, OPTIONS'],
          'POST');
$s->stop;
done_testing;
