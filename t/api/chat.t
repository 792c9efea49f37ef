# POST /v1/chat/completions: the exact shapes of OpenAI's API, and everything
# clients are known to send.

use strict;
use warnings;
use utf8;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $path     = '/v1/chat/completions';
my $json     = JSON::PP->new->utf8->canonical;
my $true     = JSON::PP::true;
my $backends = <<'EOT';
<CLIBridgeBackend echo>
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
CLIBridgeAlias nick lines
EOT

my $s = CLB::Server->start(config => $backends);

# What differs from answer to answer is checked and taken out.
sub fixed {
    my ($answer) = @_;
    my %fixed = %$answer;
    like(delete $fixed{id}, qr/^chatcmpl-[0-9a-f]{24}$/, 'an id');
    cmp_ok(abs(delete($fixed{created}) - time), '<', 60, 'created now');
    return \%fixed;
}

sub usage_of {
    my ($in, $out) = @_;
    return { prompt_tokens => $in, completion_tokens => $out,
             total_tokens => $in + $out,
             prompt_tokens_details     => { cached_tokens => 0 },
             completion_tokens_details => { reasoning_tokens => 0 } };
}

sub error_is {
    my ($r, $status, $code, $param, $name) = @_;
    my $error = ref $r->{json} eq 'HASH' ? $r->{json}{error} : {};
    is_deeply([$r->{status}, @$error{qw(code param)}],
              [$status, $code, $param], $name)
        or diag $r->{body};
    return $error->{message} // '';
}

# What a program got: fake-oneshot answers with the file it was given.
sub request_seen {
    my $r = $s->chat($_[0], model => 'one');
    return JSON::PP->new->allow_nonref->decode($r->{text} // 'null');
}

# --- answers --------------------------------------------------------------

subtest 'a whole answer' => sub {
    my $r = $s->chat('[[think:hm]][[say:Hi]][[usage:3:4]]', model => 'lines');
    is($r->{status}, 200, 'status');
    is($r->{headers}{'content-type'}, 'application/json', 'type');
    is($r->{headers}{'content-length'}, length $r->{body}, 'length');
    like($r->{headers}{'x-request-id'}, qr/^req_[0-9a-f]{24}$/, 'request id');
    is_deeply(fixed($r->{json}), {
        object  => 'chat.completion',
        model   => 'lines',
        choices => [{
            index => 0, logprobs => undef, finish_reason => 'stop',
            message => { role => 'assistant', content => 'Hi',
                         refusal => undef, reasoning_content => 'hm' },
        }],
        usage => usage_of(3, 4),
    }, 'shape');
};

subtest 'a whole answer without usage and reasoning' => sub {
    for my $model (qw(one echo)) {
        my $r = $s->chat('[[say:Hi]]', model => $model);
        my $text = $model eq 'one' ? 'Hi' : '[[say:Hi]]';
        is_deeply($r->{json}{choices}[0]{message},
                  { role => 'assistant', content => $text,
                    refusal => undef }, "message of $model");
        is_deeply($r->{usage}, usage_of(0, 0), "all numbers of $model");
    }
};

sub chunk {
    my ($delta, $finish, @usage) = @_;
    return { object => 'chat.completion.chunk', model => 'lines', @usage,
             choices => [{ index => 0, delta => $delta, logprobs => undef,
                           finish_reason => $finish }] };
}

sub chunks_of {
    my ($r) = @_;
    my @data = map { $_->{data} } @{ $r->{events} };
    is(pop @data, '[DONE]', '[DONE] ends it');
    my @chunks = map { $json->decode($_) } @data;
    my %ids = map { delete($_->{id}) . delete($_->{created}) => 1 } @chunks;
    is(keys %ids, 1, 'one id and one time in all chunks');
    return @chunks;
}

subtest 'a stream' => sub {
    my $r = $s->stream('[[think:hm]][[say:a]][[say:b]][[usage:3:4]]',
                       model => 'lines');
    is($r->{headers}{'content-type'}, 'text/event-stream', 'type, exactly');
    is($r->{headers}{'content-length'}, undef, 'no length');
    is($r->{headers}{'cache-control'}, 'no-store', 'not to be cached');
    ok($r->{clean}, 'the body is complete');
    is_deeply([chunks_of($r)], [
        chunk({ role => 'assistant', content => '' }, undef),
        chunk({ reasoning_content => 'hm' }, undef),
        chunk({ content => 'a' }, undef),
        chunk({ content => 'b' }, undef),
        chunk({}, 'stop'),
    ], 'role once, finish_reason last, no usage unasked');
};

subtest 'a stream with usage' => sub {
    my $r = $s->stream('[[say:a]][[usage:3:4]]', model => 'lines',
                       stream_options => { include_usage => $true });
    my @null = (usage => undef);
    is_deeply([chunks_of($r)], [
        chunk({ role => 'assistant', content => '' }, undef, @null),
        chunk({ content => 'a' }, undef, @null),
        chunk({}, 'stop', @null),
        { object => 'chat.completion.chunk', model => 'lines',
          choices => [], usage => usage_of(3, 4) },
    ], 'null until a chunk of its own with no choices');
};

subtest 'a stream without text' => sub {
    my $r = $s->stream('', model => 'echo');
    is_deeply([map { $_->{choices}[0]{delta} } chunks_of($r)],
              [{ role => 'assistant', content => '' }, {}], 'still whole');
    is($r->{finish}, 'stop', 'finish_reason');
};

subtest 'stream: false and null' => sub {
    is($s->chat('x', model => 'echo', stream => $_)->{text}, 'x', 'whole')
        for JSON::PP::false, undef;
};

is($s->chat('[[finish:length]]', model => 'lines')->{finish}, 'length',
   'finish_reason length');
is($s->stream('[[finish:length]]', model => 'lines')->{finish}, 'length',
   'finish_reason length of a stream');

# --- messages -------------------------------------------------------------

subtest 'texts as strings and as parts in every role' => sub {
    my $seen = request_seen([
        { role => 'system',    content => 'one' },
        { role => 'developer', content => [
            { type => 'text', text => 'two' }, { type => 'text',
              text => 'three' } ] },
        { role => 'user', name => 'ann', content => [
            { type => 'text', text => 'a' }, { type => 'text',
              text => 'b' } ] },
        { role => 'assistant', content => [
            { type => 'text', text => 'c' },
            { type => 'refusal', refusal => 'no' } ] },
        { role => 'user', content => '[[request]]' },
    ]);
    is($seen->{system}, "one\n\ntwo\n\nthree", 'system prompt');
    is_deeply($seen->{messages}, [
        { role => 'user',      content => 'ab' },
        { role => 'assistant', content => 'cno' },
        { role => 'user',      content => '[[request]]' },
    ], 'messages');
};

subtest 'contents that say nothing' => sub {
    for (['', 'empty'], [undef, 'null'], [[], 'no parts']) {
        my ($content, $name) = @$_;
        my $r = $s->chat([{ role => 'user', content => $content }],
                         model => 'echo');
        is_deeply([$r->{status}, $r->{text}], [200, ''], $name);
    }
    is($s->chat([{ role => 'user', content => 'a' }, { role => 'assistant' },
                 { role => 'user', content => '[[find:a]]' }],
                model => 'lines')->{text}, 'found a;', 'absent');
};

is_deeply(request_seen([{ role => 'system', content => '[[request]]' }]),
          { model => 'one', system => '[[request]]', messages => [],
            stop => [] }, 'only a system message');
is_deeply(request_seen([{ role => 'user', content => '[[request]]' },
                        { role => 'assistant', content => 'So' }])
              ->{messages}[1],
          { role => 'assistant', content => 'So' },
          'a trailing assistant message');

subtest 'optional fields that are null' => sub {
    my %null = map { $_ => undef } qw(
        audio frequency_penalty logit_bias logprobs max_completion_tokens
        max_tokens metadata modalities n parallel_tool_calls prediction
        presence_penalty reasoning_effort response_format seed service_tier
        stop store stream stream_options temperature tool_choice tools
        top_logprobs top_p user verbosity web_search_options);
    my $r = $s->chat([{ role => 'user', content => 'x', name => undef }],
                     model => 'echo', %null);
    is_deeply([$r->{status}, $r->{text}], [200, 'x'], 'mean nothing');
    is($r->{headers}{'x-clibridge-ignored'}, undef, 'nothing was ignored');
};

subtest 'unknown fields' => sub {
    my $r = $s->chat([{ role => 'user', content => 'x', cache => {} }],
                     model => 'echo', no_such_field => { a => [1] });
    is_deeply([$r->{status}, $r->{text}], [200, 'x'], 'mean nothing');
    is($r->{headers}{'x-clibridge-ignored'}, undef, 'nothing was ignored');
};

# --- models ---------------------------------------------------------------

subtest 'the model' => sub {
    my $r = $s->chat('[[say:x]]', model => 'nick');
    is($r->{json}{model}, 'nick', "an alias keeps the client's name");
    is($s->stream('x', model => 'nick')->{events}[0]{json}{model}, 'nick',
       'in a stream too');
    for (undef, '') {
        error_is($s->chat('x', model => $_), 400, undef, 'model',
                 defined $_ ? 'empty' : 'missing');
    }
    for ($s->chat('x', model => 'nobody'), $s->stream('x', model => 'nobody'),
         $s->post('/v1/completions', { model => 'nobody', prompt => 'x' }),
         $s->get('/v1/models/nobody')) {
        error_is($_, 404, 'model_not_found', 'model', 'unknown');
    }
};

# --- stop sequences -------------------------------------------------------

subtest 'stop' => sub {
    my $cut = '[[say:one S]][[say:TO]][[say:P two]][[say: three]]';
    for (['STOP', 'a string'], [['xx', 'STOP'], 'an array'],
         [['', 'STOP'], 'an empty one means nothing']) {
        my ($stop, $name) = @$_;
        for my $model (qw(lines one)) {
            my $r = $s->chat($cut, model => $model, stop => $stop);
            is_deeply([@$r{qw(text finish)}], ['one ', 'stop'],
                      "$name, $model");
            $r = $s->stream($cut, model => $model, stop => $stop);
            is_deeply([@$r{qw(text finish done)}], ['one ', 'stop', 1],
                      "$name, $model, a stream cut over its deltas");
        }
    }
    is($s->stream('[[say:a ST]]', model => 'lines', stop => 'STOP')->{text},
       'a ST', 'half a sequence at the end is text');
    is($s->chat('[[say:next]]', model => 'lines')->{text}, 'next',
       'the stopped process serves the next turn');
};

# --- refusals -------------------------------------------------------------

subtest 'what a CLI cannot do is refused by name' => sub {
    for (['n', 2], ['logprobs', $true], ['top_logprobs', 3],
         ['audio', { voice => 'x', format => 'wav' }],
         ['modalities', ['text', 'audio']]) {
        my ($field, $value) = @$_;
        error_is($s->chat('x', model => 'echo', $field => $value), 400,
                 'unsupported_parameter', $field, $field);
    }
    for (['n', 1], ['logprobs', JSON::PP::false], ['top_logprobs', 0],
         ['modalities', ['text']]) {
        my ($field, $value) = @$_;
        is($s->chat('x', model => 'echo', $field => $value)->{status}, 200,
           "$field with its default");
    }
};

subtest 'wrong types and values' => sub {
    my $bad = sub {
        my ($param, @fields) = @_;
        error_is($s->chat('x', model => 'echo', @fields), 400, undef, $param,
                 $json->encode({ @fields }));
    };
    $bad->('model',                 model                 => 5);
    $bad->('model',                 model                 => 'm' x 257);
    $bad->('temperature',           temperature           => 'hot');
    $bad->('temperature',           temperature           => 2.1);
    $bad->('temperature',           temperature           => -0.1);
    $bad->('top_p',                 top_p                 => 1.5);
    $bad->('max_tokens',            max_tokens            => 0);
    $bad->('max_tokens',            max_tokens            => '5');
    $bad->('max_completion_tokens', max_completion_tokens => 1.5);
    $bad->('stop',                  stop                  => 5);
    $bad->('stop',                  stop                  => ['a', 5]);
    $bad->('stop',                  stop                  => [1 .. 17]);
    $bad->('stream',                stream                => 'yes');
    $bad->('stream_options',        stream_options        => 'all');
    $bad->('reasoning_effort',      reasoning_effort      => 'huge');

    my $messages = sub {
        my ($param, $code, $messages) = @_;
        error_is($s->post($path, { model => 'echo', messages => $messages }),
                 400, $code, $param, $json->encode([$messages]));
    };
    my $user = { role => 'user', content => 'x' };
    $messages->('messages', undef, $_) for undef, [], {}, 'x';
    $messages->('messages[1].role', undef, [$user, $_])
        for 'x', 5, [], {}, { role => 5 }, { role => 'robot' };
    $messages->('messages[1].content', undef,
                [$user, { role => 'user', content => $_ }])
        for 5, {}, $true;
    for my $role (qw(system developer user assistant)) {
        my $content = sub { [$user, { role => $role, content => [@_] }] };
        $messages->('messages[1].content[0]', undef, $content->($_))
            for 5, [], {}, { type => 5 }, { type => 'text' },
                { type => 'text', text => 5 };
        $messages->('messages[1].content[1]', 'unsupported_parameter',
                    $content->({ type => 'text', text => 'x' },
                               { type => 'no_such_part' }));
    }
};

subtest 'bodies that are no request' => sub {
    for (['{"model":"echo",}', qr/JSON.*line 1.*column 17/, 'bad JSON'],
         ["{\n\"a\":\n\x01}",  qr/JSON.*line 3/,            'a third line'],
         ['{"a":1,"a":2}',     qr/JSON/,                    'a field twice'],
         ['{"a":"\u0000"}',    qr/JSON/,                    'NUL'],
         ["{\"a\":\"\xff\"}",  qr/JSON/,                    'not UTF-8'],
         ['[' x 200 . ']' x 200, qr/JSON/,                  'a deep array'],
         ['[]',                qr/object/,                  'an array'],
         ['"x"',               qr/object/,                  'a string'],
         ['',                  qr/no body/,                 'nothing']) {
        my ($body, $why, $name) = @$_;
        like(error_is($s->post($path, $body), 400, undef, undef, $name),
             $why, "$name: the message says it");
    }
};

# --- sizes and characters -------------------------------------------------

subtest 'characters' => sub {
    my $text = "Grüße, 你好, 🙂 \x{2028} \\ \" / \t\n\x01\x7f e\x{301}";
    for my $model (qw(echo one lines)) {
        my $prompt = $model eq 'echo' ? $text : "[[say:$text]]";
        is($s->chat($prompt, model => $model)->{text}, $text, $model);
        is($s->stream($prompt, model => $model)->{text}, $text,
           "$model, a stream");
    }
    # JavaScript's JSON.stringify writes half of a character cut in two
    my $r = $s->post($path, '{"model":"echo","messages":[{"role":"user",'
                          . '"content":"a\ud83d"}]}');
    is($r->{json}{choices}[0]{message}{content}, "a\x{fffd}",
       'half a character');
};

subtest 'sizes' => sub {
    my $long = join ' ', 1 .. 170_000;
    cmp_ok(length $long, '>', 1 << 20, 'more than 1 MiB of a prompt');
    ok($s->chat($long, model => 'echo')->{text} eq $long, 'echo');
    ok($s->stream($long, model => 'echo')->{text} eq $long, 'echo, a stream');
    is($s->chat("$long [[find:170000]]", model => $_)->{text},
       'found 170000;', $_) for qw(one lines);
    for my $model (qw(one lines)) {
        my $big = 'x' x 300_000;
        ok($s->chat('[[big:300000]]', model => $model)->{text} eq $big,
           "300 KB of an answer, $model");
        ok($s->stream('[[big:300000]]', model => $model)->{text} eq $big,
           "300 KB of an answer, $model, a stream");
    }
    my $r = $s->stream('[[stream:2000:0]]', model => 'lines');
    is($r->{text}, join(' ', map { "tok$_" } 1 .. 2000), '2000 in order');
    is(scalar @{ $r->{events} }, 2003, 'a chunk for each');
};

# --- HTTP -----------------------------------------------------------------

my $question = { model => 'echo',
                 messages => [{ role => 'user', content => 'x' }] };

sub answer_of {
    my ($path, %o) = @_;
    my $r = $s->post($path, $question, %o);
    return $r->{json} ? $r->{json}{choices}[0]{message}{content} : $r->{body};
}

is(answer_of($_), 'x', $_)
    for '//v1/chat/completions', '/v1//chat///completions',
        '/v1/chat/completions/', '/v1/chat/completions?api-version=1';
is(answer_of($path, headers => { 'Content-Type' => $_ }), 'x', $_)
    for 'application/json; charset=utf-8', 'application/json;charset=UTF-8',
        'Application/JSON';
is(answer_of($path, chunked => $_), 'x', "a body in chunks of $_")
    for 1, 7, 4096;
is(answer_of($path, expect => 1), 'x', 'Expect: 100-continue');

subtest 'HTTP/1.0' => sub {
    my $r = $s->chat('x', model => 'echo', -version => '1.0');
    is($r->{text}, 'x', 'whole');
    $r = $s->stream('x', model => 'echo', -version => '1.0');
    is_deeply([@$r{qw(text done)}], ['x', 1], 'a stream');
    is($r->{headers}{'transfer-encoding'}, undef, 'is not chunked');
};

subtest 'HEAD' => sub {
    for (['/v1/models', 200], ['/v1/models/echo', 200], ['/health', 200],
         [$path, 405], ['/v1/nothing', 404]) {
        my ($path, $status) = @$_;
        my $r = $s->request('HEAD', $path);
        is_deeply([@$r{qw(status body error)}], [$status, '', undef], $path);
    }
};

subtest 'a connection is used again after every kind of answer' => sub {
    my $c = $s->client;
    my $is = sub { is($_[0]{status}, $_[1], $_[2]) };
    my $ask = sub { CLB::Client::request($c, @_) };
    $is->(CLB::Client::chat($c, 'x', model => 'lines'), 200, 'whole');
    $is->(CLB::Client::stream($c, '[[stream:9:0]]', model => 'lines'), 200,
          'a stream');
    $is->(CLB::Client::stream($c, '[[say:abc]]', model => 'lines',
                              stop => 'b'), 200, 'stop');
    $is->(CLB::Client::chat($c, '[[exit:3]]', model => 'one'), 502,
          'a program failed');
    $is->(CLB::Client::stream($c, '[[say:x]][[error:500:1]]',
                              model => 'lines'), 200, 'a broken stream');
    $is->($ask->('POST', $path, $question, chunked => 9), 200, 'chunks');
    $is->($ask->('POST', $path, { %$question, model => 'nobody' }), 404,
          'no such model');
    $is->($ask->('GET', $path), 405, 'method');
    $is->($ask->('HEAD', $path), 405, 'HEAD');
    $is->($ask->('OPTIONS', $path), 204, 'OPTIONS');
    $is->($ask->('GET', '/v1/nothing'), 404, 'no such route');
    $is->($ask->('POST', '/v1/nothing', $question), 404, 'body unread');
    $is->($ask->('GET', '/v1/models'), 200, 'models');
    $is->($ask->('HEAD', '/v1/models'), 200, 'HEAD models');
    $is->($ask->('GET', '/health'), 200, 'health');
    $is->(CLB::Client::chat($c, 'x', model => 'echo'), 200, 'the last one');

    # httpd itself drops the connection with this status, and says so
    my $r = $ask->('POST', $path, '{');
    is_deeply([$r->{status}, $r->{headers}{connection}], [400, 'close'],
              'bad JSON');
};

$s->idle_ok;
$s->stop;

# --- a default model ------------------------------------------------------

$s = CLB::Server->start(config => "$backends\nCLIBridgeDefaultModel nick\n");
for (undef, '') {
    my $r = $s->chat('[[say:x]]', model => $_);
    is_deeply([$r->{text}, $r->{json}{model}], ['x', 'nick'],
              'CLIBridgeDefaultModel: ' . (defined $_ ? 'empty' : 'missing'));
}
error_is($s->chat('x', model => 'nobody'), 404, 'model_not_found', 'model',
         'unknown all the same');
$s->stop;

done_testing;
