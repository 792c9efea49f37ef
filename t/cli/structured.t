# Answers in a form, with the real Claude Code between client and model. Both
# versions.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone system_of thinking_of turns_of);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my $model = 'claude-sonnet-4-6';
my ($m, $s);

sub ask {
    my ($prompt, $format, %o) = @_;
    my $before = $m->requests;
    my %body = (model => $model, response_format => $format, %o);
    my $r = $o{stream} ? $s->stream($prompt, %body)
                       : $s->chat($prompt, %body);
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, 'one request to the model') or diag explain $r->{body};
    return ($r, @new ? $new[-1]{body} : { system => [], messages => [] });
}

my %schema = (
    type       => 'object',
    properties => {
        name  => { type => 'string' }, size => { '$ref' => '#/$defs/size' },
        parts => { type => 'array', items => { type => 'boolean' },
                   minItems => 2 },
    },
    required   => [qw(name size parts)],
    '$defs'    => { size => { type => 'integer', minimum => 3 } },
    additionalProperties => $false,
);

sub by_schema {
    my ($schema) = @_;
    return { type => 'json_schema', json_schema => {
        name => 'thing', strict => $true, schema => $schema } };
}

my $object = { type => 'json_object' };
my $word   = 'Answer with one JSON object and nothing else: no explanation, '
           . 'no code fence.';

sub schemas {
    my %want = (name => 'example', size => 3, parts => [ $true, $true ]);
    for my $stream ($false, $true) {
        my ($r, $body) = ask('describe it', by_schema(\%schema),
                             stream => $stream, reasoning_effort => 'low');
        is_deeply($json->decode($r->{text}), \%want, 'an answer by a schema');
        is($r->{finish}, 'stop', 'and its end');
        is_deeply($body->{output_config}, { effort => 'low', format => {
            type => 'json_schema', schema => \%schema } },
            'which the model gets unchanged, beside the effort');
        is_deeply(system_of($body), [], 'and no words about it');
        is_deeply(turns_of($body), [ [ user => 'describe it' ] ],
                  'nor in the prompt');
        is_deeply($body->{tools}, [], 'nor a tool for it');
        is(thinking_of($body)->{type}, 'adaptive', 'it may think');
    }
    my %large = (type => 'object', properties => {
        map { ("p$_" => { type => 'string', description => 'ä' x 90 }) }
            1 .. 2000 });
    my (undef, $body) = ask('[[say:{}]]', by_schema(\%large));
    ok($json->encode($body->{output_config}{format}{schema})
       eq $json->encode(\%large), 'a schema of 400 KB');
}

sub objects {
    for my $stream ($false, $true) {
        my ($r, $body) = ask([ { role => 'system', content => 'Be brief.' },
            { role => 'user', content => '[[say:{"a": ]][[say:[1]}]]' } ],
            $object, stream => $stream);
        is($r->{text}, '{"a": [1]}', 'an object');
        is_deeply(system_of($body), ["Be brief.\n\n$word"],
                  'the model is told in words');
        is_deeply([ @$body{qw(output_config)} ], [ { effort => 'high' } ],
                  'as there is no schema');
    }
    my ($r) = ask('[[say:{"a":1} END]]', $object, stop => ' END');
    is_deeply([ @$r{qw(text finish)} ], [ '{"a":1}', 'stop' ],
              'beside a stop sequence');
}

sub failures {
    for my $text ('no', '[1]', '```json {} ```', '{"a":') {
        my ($r) = ask("[[say:$text]]", $object);
        is_deeply([ $r->{status}, $r->{json}{error}{code} ],
                  [ 502, 'upstream_error' ], "'$text' is no object");
        like($r->{json}{error}{message}, qr/response_format/, 'and why');
        ($r) = ask("[[say:$text]]", $object, stream => $true);
        is_deeply([ $r->{error}{code}, $r->{finish}, $r->{done} ],
                  [ 'upstream_error', undef, 0 ], 'a stream ends so, too')
            or diag explain $r->{events};
    }
    my ($r) = ask('[[say:no]]', by_schema(\%schema));
    is($r->{status}, 502, 'no JSON for a schema');
    # a request of the CLI's own may be on its way before the CLI is stopped
    $r = $s->chat('[[say:{"a]][[finish:length]]', response_format => $object,
                  model => $model);
    is_deeply([ @$r{qw(status text finish)} ], [ 200, '{"a', 'length' ],
              'an answer that was cut off says so itself');
    all_gone($s);
}

sub with_tools {
    my @tools = (tools => [ { type => 'function', function => {
        name => 'f' } } ]);
    my ($r, $body) = ask('[[tool:f:{}]]', $object, @tools);
    is($r->{finish}, 'tool_calls', 'a call is no answer yet');
    my $call = $r->{tool_calls}[0];
    ($r, $body) = ask([ { role => 'user', content => '[[tool:f:{}]]' },
        $r->{json}{choices}[0]{message}, { role => 'tool',
        tool_call_id => $call->{id}, content => 'r' } ], $object, @tools);
    is($r->{status}, 502, 'what follows its result is');
}

for my $program (qw(claude claude-newest)) {
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => $m->config(program => $program));
    subtest "$program: by a schema"      => \&schemas;
    subtest "$program: any object"       => \&objects;
    subtest "$program: what is no JSON"  => \&failures;
    subtest "$program: beside tools"     => \&with_tools;
    $s->stop;
    $m->stop;
}
done_testing;
