# OpenAI's Responses, /v1/responses: shapes, streams, refusals, and bodies of it
# where chat completions are, with programs behind it that say what they are
# told.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Responses qw(response response_stream);
use CLB::Server;
use CLB::Talk qw(assistant fake_claude rested upstream user);

my $path  = '/v1/responses';
my $true  = JSON::PP::true;
my $false = JSON::PP::false;
my $fake  = fake_claude('claude');

my $s = CLB::Server->start(config => <<"EOT");
$fake
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram \@BIN\@/fake-oneshot
    CLIBridgeModels one
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram \@BIN\@/fake-lines
    \@MARK\@
</CLIBridgeBackend>
CLIBridgeAlias nick lines
CLIBridgeKeepAlive 1
<Location /api/v1>
    SetHandler clibridge
</Location>
<Location /small>
    SetHandler clibridge
    CLIBridgeMaxBody 1500
</Location>
<Location /strict>
    SetHandler clibridge
    CLIBridgeUnsupported reject
</Location>
<Location /denied>
    SetHandler clibridge
    Require all denied
</Location>
<Location /tags>
    SetHandler clibridge
    CLIBridgeReasoning tags
</Location>
<Location /off>
    SetHandler clibridge
    CLIBridgeReasoning off
</Location>
EOT

# An error as this API has it. Returns the message.
sub refused {
    my ($r, $status, $type, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $error = ref $r->{json} eq 'HASH' ? $r->{json}{error} || {} : {};
    is_deeply([ $r->{status}, @$error{qw(type code)},
                join(' ', sort keys %$error) ],
              [ $status, $type, $code, 'code message param type' ], $name)
        or diag "$r->{raw}\n$r->{body}";
    return $error->{message} // '';
}

my $invalid = 'invalid_request_error';

sub types { map { $_->{event} =~ s/^response\.//r } @{ $_[0]{events} } }

# --- answers --------------------------------------------------------------

subtest 'a whole answer' => sub {
    my $r = response($s, '[[say:Grüße, 你好]][[usage:12:3]]', model => 'nick');
    my $json = $r->{json};
    my ($unique) = $json->{id} =~ /^resp_([0-9a-f]{24})$/;
    ok($unique, 'id');
    like($r->{headers}{'x-request-id'}, qr/_\Q$unique\E$/,
         'which the header has, too');
    cmp_ok(abs($json->{created_at} - time), '<', 60, 'created_at');
    cmp_ok($json->{completed_at}, '>=', $json->{created_at}, 'completed_at');
    delete @$json{qw(id created_at completed_at)};
    is_deeply($json, {
        object => 'response', status => 'completed', model => 'nick',
        output => [ { id => "msg_${unique}_0", type => 'message',
            role => 'assistant', status => 'completed', content => [
                { type => 'output_text', text => 'Grüße, 你好',
                  annotations => [], logprobs => [] } ] } ],
        usage => {
            input_tokens => 12, output_tokens => 3, total_tokens => 15,
            input_tokens_details => { cached_tokens => 0,
                                      cache_write_tokens => 0 },
            output_tokens_details => { reasoning_tokens => 0 },
        },
        (map { $_ => undef } qw(error incomplete_details instructions
            max_output_tokens max_tool_calls previous_response_id
            prompt_cache_key safety_identifier)),
        (map { $_ => 0 } qw(frequency_penalty presence_penalty top_logprobs)),
        temperature => 1, top_p => 1, background => $false, store => $true,
        parallel_tool_calls => $true, tools => [], tool_choice => 'auto',
        metadata => {}, service_tier => 'default', truncation => 'disabled',
        reasoning => { effort => undef, summary => undef },
        text => { format => { type => 'text' }, verbosity => 'medium' },
    }, 'every member') or diag $r->{body};
    is_deeply(response($s, '', model => 'echo')->{output}, [],
              'an empty one has no items');
    $r = response($s, '[[say:x]][[finish:length]]', model => 'lines');
    is_deeply([ $r->{state}, @{ $r->{json} }{qw(incomplete_details
                completed_at)}, $r->{output}[0]{status} ],
              [ 'incomplete', { reason => 'max_output_tokens' }, undef,
                'incomplete' ], 'one that was cut off');
};

subtest 'what an answer repeats' => sub {
    my %given = (
        instructions => 'Be brief.', metadata => { k => 'v' },
        temperature => 0.5, max_output_tokens => 77, prompt_cache_key => 'p',
        safety_identifier => 's', truncation => 'auto',
        reasoning => { effort => 'low', summary => 'auto' },
    );
    my $r = response($s, '[[say:x]]', model => 'lines', %given, store => $true,
                     service_tier => 'flex');
    is_deeply({ map { $_ => $r->{json}{$_} } keys %given }, \%given, 'fields');
    is_deeply([ @{ $r->{json} }{qw(store service_tier)} ],
              [ $true, 'default' ], 'but nothing is flexible');
    $r = response_stream($s, '[[say:x]]', model => 'lines', %given);
    is_deeply({ map { $_ => $r->{events}[0]{json}{response}{$_} }
                keys %given }, \%given, 'from the start of a stream on');
};

subtest 'a stream' => sub {
    my $r = response_stream($s, '[[think:hm]][[stream:3:1]][[usage:12:3]]',
                            model => 'claude');
    is($r->{headers}{'content-type'}, 'text/event-stream', 'its type');
    is_deeply([ @$r{qw(grammar text summary state)},
                $r->{usage}{total_tokens} ],
              [ undef, 'tok1 tok2 tok3', 'hm', 'completed', 15 ], 'its events')
        or diag explain $r->{events};
    is_deeply([ types($r) ], [
        qw(created in_progress output_item.added reasoning_summary_part.added
           reasoning_summary_text.delta reasoning_summary_text.done
           reasoning_summary_part.done output_item.done
           output_item.added content_part.added),
        ('output_text.delta') x 3,
        qw(output_text.done content_part.done output_item.done completed),
    ], 'in their order');
    is($r->{events}[0]{json}{response}{usage}, undef, 'usage comes last');
    $r = response_stream($s, '', model => 'echo');
    is_deeply([ @$r{qw(grammar state)}, scalar @{ $r->{output} } ],
              [ undef, 'completed', 0 ], 'one without an item');
    $r = response_stream($s, '[[say:x]][[finish:length]]', model => 'lines');
    is_deeply([ @$r{qw(grammar state text)} ], [ undef, 'incomplete', 'x' ],
              'one that is cut off');
};

subtest 'reasoning' => sub {
    for my $ask (\&response, \&response_stream) {
        my $r = $ask->($s, '[[think:hm]][[say:x]]', model => 'lines',
                       include => ['reasoning.encrypted_content']);
        is_deeply([ $r->{grammar}, map { $_->{summary} }
                    grep { $_->{type} eq 'reasoning' } @{ $r->{output} } ],
                  [ undef, [ { type => 'summary_text', text => 'hm' } ] ],
                  'a summary') or diag explain $r->{output};
        ok(!exists $r->{output}[0]{encrypted_content},
           'of a program that signs nothing');
        is_deeply([ @{ $ask->($s, '[[think:hm]][[say:x]]', model => 'lines',
                              -path => "/off$path") }{qw(text summary)} ],
                  [ 'x', '' ], 'CLIBridgeReasoning off');
        is_deeply([ @{ $ask->($s, '[[think:hm]][[say:x]]', model => 'lines',
                              -path => "/tags$path") }{qw(text summary)} ],
                  [ 'x', 'hm' ], 'tags: this API has a place for it');
    }
};

subtest 'signs of life are comments' => sub {
    my $r = response_stream($s, '[[sleep:2500]][[say:x]]', model => 'lines');
    cmp_ok(scalar(grep { defined $_->{comment} } @{ $r->{events} }), '>=', 2,
           'some');
    is_deeply([ @$r{qw(text grammar)} ], [ 'x', undef ], 'then the answer');
};

# --- requests -------------------------------------------------------------

subtest 'what the program is told' => sub {
    my $ask = sub { response($s, @_, model => 'lines')->{text} };
    is($ask->('[[find:needle]]', instructions => 'a needle'), 'found needle;',
       'instructions');
    is($ask->([ { role => 'developer', content => 'needle-d' },
                { type => 'message', role => 'system', content => [
                    { type => 'input_text', text => 'needle-s' } ] },
                user('[[find:needle-d]][[find:needle-s]]') ]),
       'found needle-d;found needle-s;', 'messages of the system');
    is($ask->([ user('one'), { type => 'message', role => 'assistant',
                content => [ { type => 'output_text', text => 'two' } ] },
                { type => 'reasoning', summary => [],
                  encrypted_content => 'other' },
                user([ { type => 'input_text', text => '[[find:one]]' },
                       { type => 'input_text', text => '[[find:two]]' } ]) ]),
       'found one;found two;', 'a history');
};

subtest 'fields that nobody honours' => sub {
    my %odd = (model => 'lines', user => 'u', no_such => 1,
               client_metadata => { a => 'b' }, truncation => 'auto',
               tools => [ { type => 'web_search' }, { type => 'local_shell' } ]);
    my $r = response($s, [ { type => 'web_search_call', id => 'ws_1' },
                           user('[[say:x]]') ], %odd);
    is_deeply([ $r->{text}, $r->{headers}{'x-clibridge-ignored'} ],
              [ 'x', 'truncation, tools[0], tools[1], input[0]' ],
              'are told');
    like(refused(response($s, 'x', %odd, -path => "/strict$path"), 400,
                 $invalid, 'unsupported_parameter', 'or refused'),
         qr/tools\[0\]/, 'by name');
    like(refused(response($s, 'x', model => 'lines', tools => [
                     { type => 'function', name => 'f' } ]), 400, $invalid,
                 'unsupported_parameter', 'what this CLI cannot'), qr/tools/,
         'is refused by name, too');
    refused(response($s, [ user([ { type => 'input_image',
                image_url => 'https://x.org/a.png' } ]) ], model => 'lines'),
            400, $invalid, 'unsupported_parameter', 'an image');
};

subtest 'what is not supported' => sub {
    my $r = response($s, 'x', model => 'lines', conversation => 'conv_1');
    refused($r, 400, $invalid, 'unsupported_parameter', 'conversation');
    is($r->{json}{error}{param}, 'conversation', 'and where');
};

subtest 'a conversation goes on in its process' => sub {
    my $before = rested($s, 'claude')->{hits};
    my @talk = (user('[[think:hm]][[say:one]]'));
    my $r = response($s, \@talk, model => 'claude',
                     include => ['reasoning.encrypted_content']);
    rested($s, 'claude');
    push @talk, @{ $r->{output} }, user('[[say:two]]');
    is(response($s, \@talk, model => 'claude')->{text}, 'two',
       'its items sent back');
    is(rested($s, 'claude')->{hits}, $before + 1, 'the same');
    my @pids = map { $_->{pid} } (upstream($s))[-2, -1];
    is($pids[0], $pids[1], 'one process');
};

# --- refusals -------------------------------------------------------------

subtest 'refusals' => sub {
    my $question = { model => 'lines', input => 'x' };
    refused(response($s, 'x', model => 'no-such'), 404, $invalid,
            'model_not_found', 'an unknown model');
    like(refused($s->post($path, { model => 'lines' }), 400, $invalid, undef,
                 'no input'), qr/'input'/, 'by name');
    refused($s->post($path, '{'), 400, $invalid, undef, 'broken JSON');
    refused($s->get($path), 405, $invalid, 'method_not_allowed', 'GET');
    refused($s->post("/small$path", { %$question, pad => 'x' x 1500 }), 413,
            $invalid, 'request_too_large', 'too large');
    refused($s->post("/denied$path", $question), 403, 'permission_error',
            'insufficient_permissions', 'denied by another module');
    for my $ask (\&response, \&response_stream) {
        my $r = $ask->($s, '[[error:429]]', model => 'lines');
        refused($r, 429, 'rate_limit_error', 'rate_limit_exceeded',
                "the model's 429");
        like($r->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After');
        refused($ask->($s, '[[error:500]]', model => 'lines'), 502,
                'server_error', 'upstream_error', "the model's 500");
    }
};

subtest 'an error in a stream' => sub {
    my $r = response_stream($s, '[[stream:9:1]][[error:429:2]]',
                            model => 'lines');
    is_deeply([ $r->{status}, @$r{qw(grammar state clean)} ],
              [ 200, undef, 'failed', 1 ], 'is the end of it');
    my ($error, $failed) = map { $_->{json} } @{ $r->{events} }[-2, -1];
    is_deeply([ @$error{qw(type code param)} ],
              [ 'error', 'rate_limit_exceeded', undef ], 'an event');
    is_deeply([ $failed->{response}{error}{code},
                @{ $failed->{response} }{qw(output usage completed_at)} ],
              [ 'rate_limit_exceeded', [], undef, undef ], 'and the response');
    is($failed->{response}{error}{message}, $error->{message},
       'which say the same');
    $r = response_stream($s, '[[sleep:1500]][[error:500]]', model => 'lines');
    is_deeply([ map { $_->{event} } grep { !defined $_->{comment} }
                @{ $r->{events} } ],
              [ 'response.created', 'response.in_progress', 'error',
                'response.failed' ], 'also behind a sign of life alone');
};

# --- bodies of it where chat completions are ------------------------------

subtest 'chat completions take the input of it' => sub {
    my %body = (messages => undef, model => 'lines', input => [
        { role => 'developer', content => 'a needle' },
        user([ { type => 'input_text', text => '[[find:needle]]' } ]) ]);
    is($s->chat('', %body)->{text}, 'found needle;', 'an answer of theirs');
    my $r = $s->stream('', %body, stream_options => {
        include_usage => $true });
    is_deeply([ @$r{qw(text finish done)}, ref $r->{usage} ],
              [ 'found needle;', 'stop', 1, 'HASH' ], 'in a stream, too');
    my @tools = map { { type => 'function', name => $_, parameters => {
        type => 'object' } } } qw(f);
    $r = $s->chat('', %body, model => 'claude', tools => [ @tools, { type => 'custom',
                      name => 'ApplyPatch', format => { type => 'grammar',
                      syntax => 'lark', definition => 'start: "a"' } } ],
                  input => [
        user('one'),
        { type => 'function_call', call_id => 'c', name => 'f',
          arguments => '{}' },
        { type => 'function_call_output', call_id => 'c', output => 'r' },
        user('[[say:x]]') ], max_output_tokens => 50,
        instructions => 'a needle');
    is($r->{text}, 'x', 'with calls and a limit') or diag $r->{body};
    is_deeply((upstream($s))[-1]{system}, ['a needle'], 'and instructions');
};

# --- HTTP -----------------------------------------------------------------

for ('//v1/responses', '/v1/responses/', '/v1/responses?x=y',
     '/api/v1/responses', '/api//v1/responses/') {
    is(response($s, 'x', model => 'echo', -path => $_)->{text}, 'x', $_);
}
is($s->request('OPTIONS', $path)->{status}, 204, 'OPTIONS');

$s->idle_ok;
$s->stop;

# --- keys -----------------------------------------------------------------

my $keys = File::Temp->new;
print $keys 'me:', sha256_hex('clb-key'), ":chat\n";
close $keys;
chmod 0644, "$keys";    # httpd's workers do not read it, but may
$s = CLB::Server->start(config => "CLIBridgeKeyFile $keys");
is(response($s, 'x', model => 'echo', -key => 'clb-key')->{text}, 'x',
   'a key');
refused(response($s, 'x', model => 'echo'), 401, $invalid, 'missing_api_key',
        'no key');
refused(response($s, 'x', model => 'echo', -key => 'other'), 401, $invalid,
        'invalid_api_key', 'a wrong one');
$s->stop;

done_testing;
