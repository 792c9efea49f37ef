# Anthropic's Messages with the real Claude Code between client and model: what
# the client says reaches the model as it was said, and the model's own blocks
# come back, thoughts and their signatures included. Both versions; and what
# such a client has of Codex.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Messages qw(message message_stream);
use CLB::Model qw(all_gone sse system_of thinking_of turns_of);
use CLB::Server;
use CLB::Talk qw(assistant user);

my $json  = JSON::PP->new->utf8->canonical;
my $true  = JSON::PP::true;
my $model = 'claude-sonnet-4-6';

my ($m, $s, $program);

# The answer and the one request that the model got for it.
sub ask {
    my ($messages, %o) = @_;
    my $stream = delete $o{stream};
    my $before = $m->requests;
    my $r = ($stream ? \&message_stream : \&message)->(
        $s, $messages, model => $model, %o);
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, 'one request to the model') or diag explain $r->{body};
    is($r->{grammar}, undef, 'the order of events') if $stream;
    return ($r, @new ? $new[-1]{body} : { system => [], messages => [] });
}

sub text     { { type => 'text', text => $_[0] } }
sub thought  { { type => 'thinking', thinking => $_[0],
                 signature => $_[1] } }
sub redacted { { type => 'redacted_thinking', data => $_[0] } }

sub use_of {
    my ($id, $name, $input) = @_;
    return { type => 'tool_use', id => $id, name => $name,
             input => $input || {} };
}

sub result_of {
    my ($id, $content, %more) = @_;
    return { type => 'tool_result', tool_use_id => $id, content => $content,
             %more };
}

my @tools = (tools => [
    { name => 'look.up', description => 'Look it up.',
      input_schema => { type => 'object', properties => {
          what => { type => 'string' } } } },
    { type => 'custom', name => 'g', input_schema => { type => 'object' },
      cache_control => { type => 'ephemeral' } },
]);

# --- thoughts -------------------------------------------------------------

sub thinking {
    my @think = (max_tokens => 4000,
                 thinking => { type => 'enabled', budget_tokens => 2048 });
    for my $stream (0, 1) {
        my ($r, $body) = ask('[[think:hm]][[say:x]]', @think,
                             stream => $stream);
        is_deeply($r->{content},
                  [ thought('hm', 'c2lnbmVk'),
                    { %{ text('x') }, citations => undef } ],
                  'thoughts come with their signature');
    }
    my (undef, $body) = ask('[[say:x]]', @think, model => 'claude-haiku-4-5');
    is_deeply([ @{ thinking_of($body) }{qw(type budget_tokens)} ],
              [ 'enabled', 2048 ], 'a budget');

    (my $r, $body) = ask('[[think:hm]][[say:x]]');
    is_deeply([ $body->{thinking}, $r->{thinking} ], [ undef, '' ],
              'nothing is said of thoughts where the client says nothing');
    (undef, $body) = ask('[[say:x]]', model => 'claude-haiku-4-5');
    is($body->{thinking}, undef, 'to no model');
    (undef, $body) = ask('x', thinking => { type => 'disabled' });
    is($body->{thinking}{type}, 'disabled', 'none at all');
    (undef, $body) = ask('x', thinking => { type => 'adaptive' });
    is($body->{thinking}{type}, 'adaptive', 'as the model likes');
    for my $display (qw(summarized omitted)) {
        (undef, $body) = ask('x', thinking => { type => 'adaptive',
                                                display => $display });
        # 2.1.329 has another word for what is not to be shown
        is($body->{thinking}{display}, $display eq 'omitted'
           && $program eq 'claude-newest' ? 'updates' : $display, $display);
    }
    (undef, $body) = ask('x', output_config => { effort => 'max' });
    is_deeply([ $body->{output_config}{effort}, $body->{thinking} ],
              [ 'max', undef ], 'effort is another thing');
}

sub thoughts_of_the_past {
    my @thoughts = (thought('hm', 'c2ln'), redacted('eHg='),
                    thought('', 'b21pdHRlZA=='));
    my @talk = (
        user('q'),
        assistant([ @thoughts, use_of('toolu_a', 'g') ]),
        user([ result_of('toolu_a', 'r') ]),
        assistant([ thought('unsigned', ''), text('so') ]),
        user('[[say:x]]'),
    );
    for my $name ($model, 'claude-opus-4-8', 'sonnet') {
        my (undef, $body) = ask(\@talk, @tools, model => $name,
                                thinking => { type => 'adaptive' });
        my $turns = turns_of($body);
        is_deeply([ grep { $_->{type} ne 'tool_use' }
                    grep { ref } @{ $turns->[1] } ], \@thoughts,
                  "$name: thoughts stand before the call") or diag explain
            $turns;
        is_deeply($turns->[3], [ assistant => 'so' ],
                  'none without a signature');
    }
}

# --- tools ----------------------------------------------------------------

sub tool_loop {
    my @talk = (user('[[say:so]][[tool:look_up_0:{"what":"ü"}]][[tool:g:{}]]'));
    my ($r, $body) = ask(\@talk, @tools, stream => 1);
    is_deeply([ map { @$_{qw(name input)} } @{ $r->{uses} } ],
              [ 'look.up', { what => 'ü' }, g => {} ], 'calls');
    is_deeply([ @$r{qw(text stop)} ], [ 'so', 'tool_use' ], 'after a text');
    is_deeply([ map { $_->{name} } @{ $body->{tools} } ],
              [qw(g look_up_0)], 'of its tools');

    push @talk, assistant($r->{content}), user([
        result_of($r->{uses}[1]{id}, 'no such thing', is_error => $true),
        result_of($r->{uses}[0]{id}, [ text('found') ]), text('Go on.') ]);
    ($r, $body) = ask(\@talk, @tools);
    my @results = grep { ref } @{ turns_of($body)->[-1] };
    is_deeply([ map { [ @$_{qw(content is_error)} ] } @results ],
              [ [ [ text('no such thing') ], $true ],
                [ [ text('found') ], undef ] ], 'results, and which failed')
        or diag explain \@results;

    my %choice = (
        auto => undef, any => { type => 'any' },
        tool => { type => 'tool', name => 'look_up_0' },
    );
    for my $type (sort keys %choice) {
        (undef, $body) = ask('[[say:x]]', @tools, tool_choice => {
            type => $type, $type eq 'tool' ? (name => 'look.up') : () });
        is_deeply($body->{tool_choice}, $choice{$type}, "choice $type");
    }
    (undef, $body) = ask('[[say:x]]', @tools,
                         tool_choice => { type => 'none' });
    is(scalar @{ $body->{tools} || [] }, 0, 'choice none');
    ($r) = ask('[[tool:g:{}]][[tool:g:{}]]', @tools, tool_choice => {
        type => 'auto', disable_parallel_tool_use => $true });
    is(scalar @{ $r->{uses} }, 1, 'one call at most');
}

# --- blocks ---------------------------------------------------------------

my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';

sub blocks {
    my $image = { type => 'image', source => {
        type => 'base64', media_type => 'image/png', data => $pixel } };
    my $link = { type => 'image', source => {
        type => 'url', url => 'https://example.org/a.png' } };
    my $pdf = { type => 'document', source => {
        type => 'url', url => 'https://example.org/a.pdf' } };
    my $words = { type => 'document', title => 'T', source => {
        type => 'text', media_type => 'text/plain', data => 'words' } };
    my $pieces = { type => 'document', source => {
        type => 'content', content => [ text('one'), text('two') ] } };
    my $found = { type => 'search_result', title => 'T', source => 'S',
                  content => [ text('found') ] };
    my (undef, $body) = ask([ user([ $image, $link, $pdf, $words, $pieces,
                                     $found, text('[[images]]') ]) ]);
    is_deeply(turns_of($body), [ [ user => $image, $link, $pdf, $words,
        { type => 'document', source => { type => 'text',
          media_type => 'text/plain', data => "one\n\ntwo" } },
        "T\nS\n\nfound", '[[images]]' ] ], 'blocks of every kind')
        or diag explain turns_of($body);

    (undef, $body) = ask([ user([ text('a'), text('b') ]),
                           { role => 'system', content => 'late' },
                           assistant([ text('c') ]), user('d') ],
                         system => [ text('one'), text('two') ]);
    is_deeply([ system_of($body), turns_of($body) ],
              [ ["one\n\ntwo\n\nlate"], [ [ user => 'a', 'b' ],
                [ assistant => 'c' ], [ user => 'd' ] ] ],
              'system prompts and messages');
}

# --- ends -----------------------------------------------------------------

sub ends {
    my ($r) = ask('[[say:one END two]]', stop_sequences => [ 'x', 'END' ],
                  stream => 1);
    is_deeply([ @$r{qw(text stop sequence)} ],
              [ 'one ', 'stop_sequence', 'END' ], 'a stop sequence');
    ($r) = ask("[[say64:" . 'b25lCgp0d28=' . ']]', stop_sequences => ["\n\n"]);
    is_deeply([ @$r{qw(text stop sequence)} ],
              [ 'one', 'stop_sequence', "\n\n" ], 'one of blanks');
    ($r) = ask('[[say:x]][[usage:123:7]]', stream => 1);
    is($r->{events}[0]{json}{message}{usage}{input_tokens}, 123,
       'the tokens of the question at the start');
    is_deeply([ @{ $r->{usage} }{qw(input_tokens output_tokens)} ],
              [ 123, 7 ], 'and all at the end');
    # a request of the CLI's own may be on its way before the CLI is stopped
    $r = message($s, '[[say:cut]][[finish:length]]', model => $model);
    is($r->{stop}, 'max_tokens', 'a limit');
    $r = message($s, '[[say:No.]][[finish:content_filter]]',
                 model => $model);
    is_deeply([ $r->{stop}, $r->{json}{stop_details}{type} ],
              [ 'refusal', 'refusal' ], 'a refusal');
}

# --- both versions --------------------------------------------------------

$m = CLB::Model->start;
for (qw(claude claude-newest)) {
    $program = $_;
    $s = CLB::Server->start(config => $m->config(
        program => $program, models => 'claude-* sonnet'));
    subtest "$program: thinking"             => \&thinking;
    subtest "$program: thoughts of the past" => \&thoughts_of_the_past;
    subtest "$program: tools"                => \&tool_loop;
    subtest "$program: blocks"               => \&blocks;
    subtest "$program: ends"                 => \&ends;
    all_gone($s);
    $s->stop;
}

# --- what the scripted model does not say ---------------------------------

my $odd = CLB::Model->canned(
    headers => { 'content-type' => 'text/event-stream' },
    body    => sse(
        { type => 'message_start', message => {
            id => 'msg_1', type => 'message', role => 'assistant',
            model => $model, content => [], stop_reason => undef,
            stop_sequence => undef,
            usage => { input_tokens => 9, output_tokens => 1 } } },
        { type => 'content_block_start', index => 0,
          content_block => redacted('eHg=') },
        { type => 'content_block_stop', index => 0 },
        { type => 'content_block_start', index => 1,
          content_block => thought('', '') },
        { type => 'content_block_delta', index => 1, delta => {
            type => 'signature_delta', signature => 'b21pdHRlZA==' } },
        { type => 'content_block_stop', index => 1 },
        { type => 'content_block_start', index => 2,
          content_block => text('') },
        { type => 'content_block_delta', index => 2, delta => {
            type => 'text_delta', text => 'x' } },
        { type => 'content_block_stop', index => 2 },
        { type => 'message_delta', delta => { stop_reason => 'end_turn',
          stop_sequence => undef }, usage => { output_tokens => 7,
          output_tokens_details => { thinking_tokens => 5 } } },
        { type => 'message_stop' }));
for my $program (qw(claude claude-newest)) {
    $s = CLB::Server->start(config => $odd->config(program => $program));
    for my $ask (\&message, \&message_stream) {
        my $r = $ask->($s, 'q', model => $model,
                       thinking => { type => 'adaptive' });
        is_deeply([ $r->{grammar}, @{ $r->{content} || [] } ],
                  [ undef, redacted('eHg='), thought('', 'b21pdHRlZA=='),
                    { %{ text('x') }, citations => undef } ],
                  "$program: what is hidden, and what is only signed")
            or diag explain $r;
        is($r->{usage}{output_tokens_details}{thinking_tokens}, 5,
           'and what it took');
    }
    $s->stop;
}

# --- another vendor's CLI -------------------------------------------------

sub refused {
    my ($name, $param, @ask) = @_;
    my $r = message($s, @ask, model => 'gpt-5.4');
    is_deeply([ @$r{qw(status)}, $r->{error}{type} ],
              [ 400, 'invalid_request_error' ], "refused: $name");
    like($r->{error}{message}, $param, 'and why');
}

sub codex {
    my @ask = (model => 'gpt-5.4', @tools);
    my @talk = (
        user('q'),
        assistant([ thought('hm', 'c2ln'), redacted('eHg='),
                    use_of('toolu_a', 'g') ]),
        user([ result_of('toolu_a', 'no', is_error => $true) ]),
        assistant([ thought('hm', 'c2ln'), text('so') ]),
        user('[[think:hm]][[say:a]][[tool:g:{}]]'),
    );
    my $r = message_stream($s, \@talk, @ask,
                           thinking => { type => 'adaptive' },
                           output_config => { effort => 'high' });
    is_deeply([ @$r{qw(status grammar thinking text stop)} ],
              [ 200, undef, 'hm', 'a', 'tool_use' ], 'an answer with a call');
    is_deeply(turns_of($m->last->{body}), [
        [ user => 'q' ],
        [ function_call => { name => 'g', arguments => '{}',
                             call_id => 'call_h1_0' } ],
        [ function_call_output => { output => 'no',
                                    call_id => 'call_h1_0' } ],
        [ assistant => 'so' ],
        [ user => '[[think:hm]][[say:a]][[tool:g:{}]]' ],
    ], "thoughts that another vendor signed stay here")
        or diag explain turns_of($m->last->{body});
    push @talk, assistant($r->{content}), user([
        result_of($r->{uses}[0]{id}, 'lost', is_error => $true),
        text('[[reset]][[say:b]]') ]);
    $r = message($s, \@talk, @ask);
    is_deeply([ @$r{qw(status text stop)} ], [ 200, 'b', 'end_turn' ],
              'and one after its result') or diag explain $r;
    is_deeply([ map { $_->[0] eq 'function_call_output' ? $_->[1]{output} : () }
                @{ turns_of($m->last->{body}) } ], [ 'no', 'lost' ],
              'which the model has');

    refused('documents', qr/cannot do: files/, [ user([ { type => 'document',
        source => { type => 'text', media_type => 'text/plain',
                    data => 'x' } } ]) ]);
    refused('a beginning of the answer', qr/prefill/,
            [ user('q'), assistant('a') ]);
}

for my $program (qw(codex codex-newest)) {
    $s = CLB::Server->start(config => $m->config(driver => 'codex',
                                                 program => $program));
    subtest $program => \&codex;
    all_gone($s);
    $s->stop;
}

done_testing;
