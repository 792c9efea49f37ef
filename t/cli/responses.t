# OpenAI's Responses with the real Claude Code between client and model: what
# the client says reaches the model as it was said, and what the model says
# comes back as items, which can be sent again. Both versions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone system_of thinking_of turns_of);
use CLB::Responses qw(response response_stream);
use CLB::Server;
use CLB::Talk qw(user);

my $json  = JSON::PP->new->canonical;
my $model = 'claude-sonnet-4-6';
my ($m, $s, $program);

# The answer and the one request that the model got for it.
sub ask {
    my ($input, %o) = @_;
    my $stream = delete $o{stream};
    my $before = $m->requests;
    my $r = ($stream ? \&response_stream : \&response)->(
        $s, $input, model => $model, %o);
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, 'one request to the model') or diag explain $r->{body};
    is($r->{grammar}, undef, 'the order of events') if $stream;
    return ($r, @new ? $new[-1]{body} : { system => [], messages => [] });
}

my @sealed = (include => ['reasoning.encrypted_content']);
my @tools  = (tools => [
    { type => 'function', name => 'look.up', description => 'Look it up.',
      strict => JSON::PP::true, parameters => { type => 'object',
          properties => { q => { type => 'string' } } } },
    { type => 'custom', name => 'patch', format => { type => 'grammar',
      syntax => 'lark', definition => 'start: "a"' } },
    { type => 'namespace', name => 'crew', description => 'Agents.',
      tools => [ { type => 'function', name => 'spawn', parameters => {
          type => 'object', properties => {} } } ] },
    { type => 'web_search' },
]);

sub output_of {
    my ($call, $output) = @_;
    return { type => "$call->{type}_output", call_id => $call->{call_id},
             output => $output };
}

# Calls of every kind come, go back, and the model hears what came of them: in
# the client's own history, or in one that is kept, with what proves the model's
# thoughts, which the client need not ask for.
sub calls {
    my ($stream, $kept) = @_;
    my @asks = (@tools, $kept ? () : @sealed);
    my (undef, $body) = ask('[[tools]]', @tools);
    my ($spawn, $look, $patch) = sort map { $_->{name} } @{ $body->{tools} };
    is(scalar @{ $body->{tools} }, 3, "the client's tools");
    like($spawn, qr/crew.*spawn/, 'one of a group is named by it');

    my @talk = (user("[[think:hm]][[say:so]][[tool:$look:{\"q\":\"a\"}]]"
                     . "[[tool:$patch:{\"input\":\"x y\"}]][[tool:$spawn:{}]]"));
    my ($r) = ask(\@talk, @asks, stream => $stream);
    my @calls = @{ $r->{output} }[2 .. 4];
    is_deeply([ map { $_->{type} } @{ $r->{output} } ],
              [qw(reasoning message function_call custom_tool_call
                  function_call)], 'items') or diag explain $r->{output};
    is_deeply([ map { [ @$_{qw(namespace name)},
                        $_->{arguments} // $_->{input} ] } @calls ],
              [ [ undef, 'look.up', '{"q":"a"}' ], [ undef, 'patch', 'x y' ],
                [ 'crew', 'spawn', '{}' ] ], 'calls by their own names');
    is($r->{output}[0]{encrypted_content},
       $kept ? undef : 'clb-signed.c2lnbmVk', 'thoughts and what proves them');

    my @results = (output_of($calls[0], 'one'),
        output_of($calls[1], [ { type => 'input_text', text => 'two' } ]),
        output_of($calls[2], 'three'));
    my $id = $stream ? $r->{events}[0]{json}{response}{id} : $r->{json}{id};
    # other instructions: no process has that conversation, so it is told anew
    ($r, $body) = $kept
        ? ask(\@results, @asks, stream => $stream, instructions => 'Anew.',
              previous_response_id => $id)
        : ask([ @talk, @{ $r->{output} }, @results ], @asks,
              stream => $stream);
    is($r->{text}, 'tool said: one | two | three', 'results');
    my ($said) = grep { $_->[0] eq 'assistant' } @{ turns_of($body) };
    is_deeply([ map { ref $_ ? [ $_->{type}, $_->{name} // $_->{signature} ]
                             : $_ } @$said[1 .. $#$said] ],
              [ [ 'thinking', 'c2lnbmVk' ], 'so', [ tool_use => $look ],
                [ tool_use => $patch ], [ tool_use => $spawn ] ],
              'the answer as the model gave it') or diag explain $said;
}

sub thoughts {
    my @talk = (
        user('q'),
        { type => 'reasoning', summary => [
              { type => 'summary_text', text => 'hm' } ],
          encrypted_content => 'clb-signed.c2ln' },
        { type => 'reasoning', summary => [],
          encrypted_content => 'clb-hidden.eHg=' },
        { type => 'reasoning', summary => [
              { type => 'summary_text', text => 'of another vendor' } ],
          encrypted_content => 'b3RoZXI=' },
        { type => 'function_call', call_id => 'c', name => 'look.up',
          arguments => '{}' },
        { type => 'function_call_output', call_id => 'c', output => 'r' },
        user('[[say:x]]'),
    );
    my (undef, $body) = ask(\@talk, @tools, reasoning => { effort => 'high' });
    my ($said) = grep { $_->[0] eq 'assistant' } @{ turns_of($body) };
    is_deeply([ grep { ref && $_->{type} =~ /think/ } @$said ],
              [ { type => 'thinking', thinking => 'hm', signature => 'c2ln' },
                { type => 'redacted_thinking', data => 'eHg=' } ],
              'thoughts of the past, but not those of others')
        or diag explain $said;
    (undef, $body) = ask('x', reasoning => { summary => 'auto' });
    is($body->{thinking}{display}, 'summarized', 'a summary is asked for')
        or diag explain $body->{thinking};
    (undef, $body) = ask('x', reasoning => { effort => 'none' });
    is(thinking_of($body)->{type}, 'disabled', 'no thoughts');
}

sub others {
    my (undef, $body) = ask([
        { role => 'developer', content => 'dev' }, user('one'),
        { type => 'message', role => 'assistant', content => [
              { type => 'output_text', text => 'two', annotations => [] } ] },
        user([ { type => 'input_text', text => '[[say:' },
               { type => 'input_text', text => 'x]]' } ]) ],
        instructions => 'Be brief.');
    is_deeply([ system_of($body), turns_of($body)->[1] ],
              [ [ "Be brief.\n\ndev" ], [ assistant => 'two' ] ],
              'instructions, and messages of every role')
        or diag explain $body;
    (my $r, $body) = ask('[[say:cut]][[finish:length]]', stream => 1,
                         max_output_tokens => 77);
    is_deeply([ @$r{qw(state text)}, $body->{max_tokens} ],
              [ 'incomplete', 'cut', 77 ], 'a limit');
    is($r->{events}[-1]{json}{response}{incomplete_details}{reason},
       'max_output_tokens', 'and why it ended');
    ($r) = ask('[[say:{"a":1}]]', text => { format => {
        type => 'json_schema', name => 'n', strict => JSON::PP::true,
        schema => { type => 'object', properties => {
            a => { type => 'integer' } }, required => ['a'],
            additionalProperties => JSON::PP::false } } });
    is($r->{text}, '{"a":1}', 'JSON by a schema') or diag $r->{body};
}

for (qw(claude claude-newest)) {
    $program = $_;
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => $m->config(program => $program));
    subtest "$program: calls"             => sub { calls(0) };
    subtest "$program: calls in a stream" => sub { calls(1) };
    subtest "$program: calls, kept"       => sub { calls($_, 1) for 0, 1 };
    subtest "$program: thoughts"          => \&thoughts;
    subtest "$program: others"            => \&others;
    all_gone($s);
    $s->stop;
    $m->stop;
}

done_testing;
