# Claude Code's own tools (CLIBridgeTools): off, unless the operator lets it
# have some; then it uses them itself, which the client can see, and the
# client's tools work beside them. Both versions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

use CLB::Model qw(all_gone);
use CLB::Server;

my $m = CLB::Model->start;
my @programs = qw(claude claude-newest);
my $s = CLB::Server->start(
    modules => ['log_config'],
    config => join "\n",
        'CustomLog logs/tools "%{clibridge-backend}n %{clibridge-tools}n"',
        map {
        ($m->config(program => $_, name => $_, models => $_),
         $m->config(program => $_, name => "$_-web", models => "$_-web",
                    more => 'CLIBridgeTools web'),
         $m->config(program => $_, name => "$_-bash", models => "$_-bash",
                    more => "CLIBridgeTools Bash\nCLIBridgeUntested warn"))
        } @programs);

sub tools_of { join ' ', map { $_->{name} } @{ $_[0]{body}{tools} || [] } }

# The answer, and the requests that the model got meanwhile.
sub ask {
    my ($prompt, $model, %o) = @_;
    my $before = $m->requests;
    my $r = $s->stream($prompt, model => $model, %o);
    all_gone($s);
    return ($r, ($m->requests)[$before .. $m->requests - 1]);
}

sub backend_of {
    my ($name) = @_;
    my ($backend) = grep { $_->{name} eq $name } @{ $s->health->{backends} };
    return $backend;
}

my @usage = (stream_options => { include_usage => JSON::PP::true });
my $mine = { type => 'function', function => {
    name => 'WebFetch', parameters => {
        type => 'object', properties => { x => { type => 'string' } } } } };
my $call = '[[say:So. ]][[tool:WebFetch:{"url":"http://127.0.0.1:9/",'
         . '"prompt":"p"}]]';

for my $program (@programs) {
    my ($r, @asked) = ask('[[say:hi]]', $program);
    is(tools_of($asked[0]), '', "$program has no tools");
    ($r, @asked) = ask('[[say:hi]]', "$program-web");
    is(tools_of($asked[0]), 'WebFetch WebSearch', 'or those for the web');
    is(backend_of("$program-web")->{test}, 'passed', 'and is tested with them');
    is($r->{text}, 'hi', 'which it need not use');

    ($r, @asked) = ask($call, "$program-web");
    is($r->{status}, 200, 'it uses one') or diag explain $r->{events};
    is_deeply([grep { defined } map { $_->{comment} } @{ $r->{events} }],
              ['tool WebFetch'], 'who watches is told');
    is($r->{tool_calls}, undef, 'the client has no call');
    is(scalar @asked, 2, 'the model is asked again with the result');
    like($r->{text}, qr/^So\. \n\ntool said: /, 'both answers are one');
    is($r->{finish}, 'stop', 'that ends by itself');
    ok($r->{done}, 'and is whole');

    my $web = backend_of("$program-web");
    is_deeply([@$web{qw(tools failures)}], [1, 0], 'it is counted');

    # the search is a request of its own, told of in no message; the next turn
    # is not told of it again
    my @talk = ({ role => 'user', content => '[[tool64:WebSearch:'
        . encode_base64('{"query":"[[usage:1000000:5000]]"}', '') . ']]' });
    my $hits = backend_of("$program-web")->{hits};
    ($r, @asked) = ask([@talk], "$program-web", @usage);
    is(scalar @asked, 3, 'a search asks the model once more');
    is(int($r->{usage}{prompt_tokens} / 1e6), 1, 'its tokens count');
    is(int($r->{usage}{completion_tokens} / 1e3), 5, 'and its words');
    ($r) = ask([ @talk, { role => 'assistant', content => $r->{text} },
                 { role => 'user', content => '[[usage:123:45]][[say:x]]' } ],
               "$program-web", @usage);
    is_deeply([ @{ $r->{usage} }{qw(prompt_tokens completion_tokens)} ],
              [123, 45], 'in their turn alone');
    is(backend_of("$program-web")->{hits}, $hits + 1, 'of the same process');

    ($r, @asked) = ask('[[tool:WebFetch_0:{"x":"y"}]]', "$program-web",
                       tools => [$mine]);
    is(tools_of($asked[0]), 'WebFetch WebSearch WebFetch_0',
       'a tool of the client with the same name has another one for the model');
    is_deeply([$r->{finish}, $r->{tool_calls}[0]{name}],
              ['tool_calls', 'WebFetch'], 'but its own for the client')
        or diag explain $r->{events};
    is(scalar @asked, 1, 'the model is asked once');

    ($r, @asked) = ask('[[say:hi]]', "$program-bash");
    is(tools_of($asked[0]), 'Bash', 'no shell but by its name');
    ($r, @asked) = ask('[[tool:Bash:{"command":"echo ran $((20 + 3))"}]]',
                       "$program-bash");
    like($r->{text}, qr/ran 23/, 'which then works') or diag explain $r->{events};
}

my $log = CLB::Server::slurp($s->path('logs/tools'));
like($log, qr/^claude-web 1$/m, 'the log counts uses');
like($log, qr/^claude 0$/m, 'and those of nothing');
like($s->log, qr/claude-newest-bash \(default\): .* failed its test/,
     'what else such tools tell of the host is for the operator to know');

$s->stop;
done_testing;
