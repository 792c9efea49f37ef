# The scripted model is what every test of a real CLI believes in. Here its
# Responses API, asked without a CLI.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use JSON::PP ();
use Test::More;

use CLB::Model qw(system_of turns_of);

my $json = JSON::PP->new->utf8->canonical;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $m    = CLB::Model->start;
my $http = HTTP::Tiny->new(timeout => 20);

# --- asking ---------------------------------------------------------------

# {status, headers, json} or {status, events}
sub ask {
    my ($input, %o) = @_;
    my $path = delete $o{path} || '/v1/responses';
    $input = [ message(user => $input) ] unless ref $input;
    my $r = $http->post($m->url . $path, { content => $json->encode({
        model => 'm', stream => $true, input => $input, %o }) });
    return $r if $r->{status} == 599;
    return { %$r, json => $json->decode($r->{content}) }
        if $r->{headers}{'content-type'} !~ /event-stream/;
    my @events;
    while ($r->{content} =~ /\Gevent: (\S+)\ndata: (.*)\n\n/gc) {
        push @events, $json->decode($2);
        is($events[-1]{type}, $1, 'an event has one name')
            if $events[-1]{type} ne $1;
    }
    return { %$r, events => \@events,
             end => $events[-1], left => substr $r->{content},
                 pos($r->{content}) // 0 };
}

sub message {
    my ($role, @texts) = @_;
    my $type = $role eq 'assistant' ? 'output_text' : 'input_text';
    return { type => 'message', role => $role, content => [
        map { ref ? $_ : { type => $type, text => $_ } } @texts ] };
}

sub call {
    my ($id, $name, $arguments) = @_;
    return { type => 'function_call', call_id => $id, name => $name,
             arguments => $arguments };
}

sub output {
    my ($id, $output) = @_;
    return { type => 'function_call_output', call_id => $id,
             output => $output };
}

sub tool { { type => 'function', name => $_[0], parameters => $_[1] || {} } }

sub types { join ' ', map { $_->{type} =~ s/^response\.//r }
                          @{ $_[0]{events} } }

sub deltas {
    my ($r, $type) = @_;
    return map { $_->{delta} } grep { $_->{type} eq "response.$type.delta" }
                                    @{ $r->{events} };
}

sub text { join '', deltas($_[0], 'output_text') }

sub output_of { @{ $_[0]{end}{response}{output} } }

# --- answers --------------------------------------------------------------

subtest 'a text' => sub {
    my $r = ask('[[stream:3:1]][[usage:12:5:4:2]]');
    is(types($r), join(' ', 'created in_progress output_item.added',
        'content_part.added', ('output_text.delta') x 3, 'output_text.done',
        'content_part.done output_item.done completed'), 'the events');
    is_deeply([ deltas($r, 'output_text') ], [ 'tok1', ' tok2', ' tok3' ],
              'the deltas');
    is_deeply([ map { $_->{sequence_number} } @{ $r->{events} } ],
              [ 0 .. $#{ $r->{events} } ], 'in sequence');
    is($r->{left}, '', 'nothing behind them');
    my $response = $r->{end}{response};
    is($response->{status}, 'completed', 'completed');
    is_deeply($response->{usage}, {
        input_tokens => 12, input_tokens_details => {
            cached_tokens => 4, cache_write_tokens => 0 },
        output_tokens => 5, output_tokens_details => { reasoning_tokens => 2 },
        total_tokens => 17 }, 'usage');
    my ($item) = output_of($r);
    is($item->{content}[0]{text}, 'tok1 tok2 tok3', 'the whole text');
    is($item->{id}, $r->{events}[2]{item}{id}, 'of the item that began');
};

subtest 'without a stream' => sub {
    my $r = ask('[[say:hi]]', stream => $false);
    is($r->{json}{output}[0]{content}[0]{text}, 'hi', 'the text');
    is($r->{json}{status}, 'completed', 'completed');
};

subtest 'reasoning' => sub {
    unlike(types(ask('[[think:hm]][[say:a]]')), qr/reasoning/,
           'none unless the request has it');
    my %include = (include => ['reasoning.encrypted_content']);
    my $r = ask('[[think:hm]]', reasoning => { effort => 'low' }, %include);
    is_deeply([ map { @$_{qw(type summary encrypted_content)} }
                (output_of($r))[0] ], [ 'reasoning', [], 'aG0=' ],
              'encrypted, without a summary');
    $r = ask('[[think:hm]]', reasoning => { summary => 'auto' });
    is(join('', deltas($r, 'reasoning_summary_text')), 'hm', 'a summary');
    my ($item) = output_of($r);
    is_deeply($item->{summary}, [ { type => 'summary_text', text => 'hm' } ],
              'and in the item');
    ok(!exists $item->{encrypted_content}, 'not encrypted');
    $r = ask('[[think:hm]]', reasoning => { effort => 'none' });
    is((output_of($r))[0]{type}, 'message', 'none with effort none');
};

subtest 'tools' => sub {
    my @tools = (tools => [ tool('f'), tool('g') ]);
    my $two = '[[say:so]][[tool:f:{"a":"b c d e f"}]][[tool:g:{}]]';
    my $r = ask($two, @tools);
    my @items = output_of($r);
    is_deeply([ map { $_->{type} } @items ],
              [ 'message', ('function_call') x 2 ], 'a text and two calls');
    is_deeply([ map { [ @$_{qw(name arguments status)} ] } @items[1, 2] ],
              [ [ f => '{"a":"b c d e f"}', 'completed' ],
                [ g => '{}', 'completed' ] ], 'what they are');
    is(join('', deltas($r, 'function_call_arguments')),
       '{"a":"b c d e f"}{}', 'in deltas');
    is(scalar(output_of(ask($two, @tools, parallel_tool_calls => $false))), 2,
       'one call alone');
    is(text(ask($two, @tools, tool_choice => 'none')),
       'sono such tool: fno such tool: g', 'none');
    is((output_of(ask('x', @tools, tool_choice => 'required')))[0]{name}, 'f',
       'required');
    is((output_of(ask('x', @tools, tool_choice => {
        type => 'function', name => 'g' })))[0]{name}, 'g', 'a named one');
    is(text(ask([ { type => 'additional_tools', role => 'developer',
                    tools => [ tool('h'), { type => 'web_search' } ] },
                  message(user => '[[tools]]') ], @tools)),
       'tools=f,g,h,web_search;', 'those of the input and the built-in ones');
};

subtest 'what the model sees' => sub {
    my @calls = (message(user => '[[tool:f:{}]][[tool:f:{}]]'),
                 call(1, 'f', '{}'), call(2, 'f', '{}'));
    is(text(ask([ @calls, output(1, 'one'), output(2, [
        { type => 'input_text', text => 'tw' },
        { type => 'input_text', text => 'o' } ]) ])),
       'tool said: one | two', 'results');
    is(text(ask([ @calls, output(1, 'one'), output(2, 'two'),
                  message(user => '[[say:next]]') ])), 'next',
       'what the user says behind them');
    my @rounds = (message(user => '[[tool:f:{}]][[next]][[say:b]][[tool:f:{}]]'
                                  . '[[next]][[find:two]]'),
                  call(1, 'f', '{}'), output(1, 'one'),
                  message(assistant => 'b'), call(2, 'f', '{}'),
                  output(2, 'two'), message(assistant => 'found two;'),
                  message(user => 'more'));
    is(text(ask([ @rounds[0 .. $_->[0]] ], tools => [ tool('f') ])), $_->[1],
       "round after round: $_->[0]")
        for [2, 'b'], [5, 'found two;'], [7, 'ok'];
    is(text(ask([ message(user => '[[say:used]]'), message(assistant => 'a'),
                  message(user => 'b') ])), 'ok', 'an answer uses markers up');
    my $png = { type => 'input_image', image_url => 'data:image/png;base64,A' };
    is(text(ask([ message(user => $png, '[[images]]', $png) ])), 'images=2;',
       'images');
    is(text(ask([ message(developer => 'the sky'), call(1, 'f', '{"a":"sea"}'),
                  output(1, 'sun'),
                  message(user => '[[find:sky]][[find:sea]][[find:sun]]'
                          . '[[find:user]][[find:land]][[find:tree]]') ],
                instructions => 'the land')),
       'found sky;found sea;found sun;missing user;found land;missing tree;',
       'texts');
    is(text(ask([ message(user => '[[say:mine]]'),
                  message(user => "<turn_aborted>\n[[say:its]]") ])), 'mine',
       "what the CLI adds is not the user's");
    is(text(ask('x', text => { format => { type => 'json_schema', schema => {
        type => 'object', properties => { a => { type => 'integer' } } } } })),
       '{"a":1}', 'a schema');
};

# --- failures -------------------------------------------------------------

subtest 'an end before the end' => sub {
    for my $case ([ length => 'max_output_tokens' ],
                  [ content_filter => 'content_filter' ]) {
        my $r = ask("[[say:a]][[finish:$case->[0]]]");
        is($r->{end}{type}, 'response.incomplete', $case->[0]);
        is($r->{end}{response}{incomplete_details}{reason}, $case->[1],
           'its reason');
        is(text($r), 'a', 'behind the text');
    }
};

subtest 'errors' => sub {
    for my $status (400, 401, 429, 500, 503) {
        my $r = ask("[[error:$status]][[say:no]]");
        is($r->{status}, $status, "status $status");
        is($r->{json}{error}{message}, "scripted error $status", 'its text');
    }
    is(ask('[[error:429]]')->{headers}{'retry-after'}, 1, 'when to retry');
    my $r = ask('[[stream:3:0]][[error:500:2]]');
    is(text($r), 'tok1 tok2', 'two deltas');
    is($r->{end}{type}, 'response.failed', 'and a failure');
    is($r->{end}{response}{error}{code}, 'server_error', 'its code');
    is(ask('[[error:413:0]]')->{end}{response}{error}{code},
       'context_length_exceeded', 'in a stream, at once');
    my $reset = time + 600;
    $r = ask("[[quota:$reset]]");
    is($r->{status}, 429, 'quota');
    is($r->{json}{error}{type}, 'usage_limit_reached', 'its type');
    is($r->{headers}{'x-codex-primary-reset-at'}, $reset, 'until when');
    is($http->post($m->url . '/v1/responses', { content => 'x' })->{status},
       400, 'no JSON');
};

subtest 'broken connections' => sub {
    my $r = ask('[[stream:3:0]][[drop:2]]');
    is($r->{status}, 599, 'cut');
    $http = HTTP::Tiny->new(timeout => 0.5);
    is(ask($_)->{status}, 599, $_) for '[[hang]]', '[[stream:3:0]][[stall:1]]';
    is($m->ended($m->last->{n}), 'closed', 'the client left');
    $http = HTTP::Tiny->new(timeout => 20);
};

# --- the log --------------------------------------------------------------

subtest "the client's part of a request" => sub {
    ask([ message(developer => 'S'), message(developer => 'T'),
          { %{ message(user => 'one', 'two') }, id => 'msg_1' },
          { %{ call(1, 'f', '{}') }, id => 'fc_1', status => 'completed' },
          output(1, 'R'), message(developer => 'D'), message(assistant => 'A'),
          message(user => { type => 'input_image', image_url => 'i' }) ],
        instructions => 'I');
    my $body = $m->last->{body};
    is_deeply(system_of($body), [ 'I', 'S', 'T' ], 'instructions');
    is_deeply(turns_of($body), [
        [ user => 'one', 'two' ],
        [ function_call => { call_id => 1, name => 'f', arguments => '{}' } ],
        [ function_call_output => { call_id => 1, output => 'R' } ],
        [ developer => 'D' ], [ assistant => 'A' ],
        [ user => { type => 'input_image', image_url => 'i' } ],
    ], 'turns');
    is($m->last->{end}, 'done', 'the end');
};

subtest 'the other API' => sub {
    my $r = ask('', path => '/v1/messages', stream => $false,
                messages => [ { role => 'user', content => '[[say:hi]]' } ]);
    is($r->{json}{content}[0]{text}, 'hi', 'is there too');
    is($http->post($m->url . '/v1/nothing', { content => '{}' })->{status},
       404, 'no others');
};

done_testing;
