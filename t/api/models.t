# GET /v1/models and /v1/models/ID: what exists, by every name it has.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use JSON::PP ();
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

# --- what a CLI says it has -----------------------------------------------

my $says = File::Temp->new;
chmod 0644, $says;

# Takes the place of the file at once.
sub says {
    my ($text) = @_;
    open my $file, '>', "$says.new" or die "$says.new: $!\n";
    print $file $text;
    close $file or die "$says.new: $!\n";
    rename "$says.new", "$says" or die "$says: $!\n";
}

sub models_of {
    return join ' ', map { "$_->{id}:$_->{owned_by}" }
           grep { $_->{owned_by} ne 'echo' }
           @{ $s->get('/v1/models', @_)->{json}{data} };
}

sub models_are {
    my ($want, $name, @how) = @_;
    my $got;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($s->poll(sub { ($got = models_of(@how)) eq $want }), $name)
        or diag "got $got\n", $s->tail;
}

my @said = map { { value => $_ } }
    'vendor-new', 'listed', 'nobodys', 'first', 'vendor-new', 'vendor-*',
    'vendor two words', "vendor-\e[31m", 'vendor-' . 'x' x 57, 'vendor-/1';
says(JSON::PP->new->encode({
    models => [@said, {}, 7, { value => 'default',
                               resolvedModel => 'vendor-real' }] }));
$s = CLB::Server->start(config => <<"EOT");
<CLIBridgeBackend a>
    CLIBridgeDriver command
    CLIBridgeProgram \@BIN\@/fake-oneshot
    CLIBridgeModels first
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend told>
    CLIBridgeDriver claude
    CLIBridgeProgram \@BIN\@/fake-claude
    CLIBridgeEnv FAKE_CLAUDE_SAYS $says
    CLIBridgeModels vendor-* listed
    CLIBridgeUntested warn
    CLIBridgeWarm none
    \@MARK\@
</CLIBridgeBackend>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName all.test
    CLIBridgeDefaultBackend told
</VirtualHost>
EOT
my @there = qw(first:a listed:told vendor-new:told);
models_are("@there vendor-/1:told vendor-real:told",
           'what it says it has, as far as the backend serves it');
models_are("@there nobodys:told vendor-/1:told vendor-real:told",
           'and where it serves all else, too',
           headers => { Host => 'all.test' });
is($s->get('/v1/models/vendor-new')->{json}{owned_by}, 'told',
   'one of them by its name');

says('{"models":[{"value":"vendor-newer"}]}');
$s->graceful;
models_are('first:a listed:told vendor-newer:told',
           'it is asked again after a reload');
says('{"later":[]}');
$s->graceful;
models_are('first:a listed:told', 'an answer of nothing is one');
$s->stop;
done_testing;
