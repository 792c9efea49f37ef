# What every driver does with its real CLI, as one table of cases, and what a
# CLI cannot do: each mark is one of the design's, and tried, too: what cannot
# be had is told or refused, never lost without a word.

use strict;
use warnings;
use utf8;

use Encode ();
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

use CLB::Messages qw(message message_stream);
use CLB::Model qw(cli);
use CLB::Server;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';

# What a CLI cannot do, by the names of the cases.
my %marks = (
    claude => [],
    codex  => [ 'sampling', 'a limit', 'a forced call', 'a named call',
                'arguments in pieces', 'images by URL', 'files' ],
    gemini => [ 'arguments in pieces', 'an answer that is cut off' ],
    qwen   => [ 'arguments in pieces', 'an answer that is cut off',
                'errors that may pass', 'a used-up account' ],
);

# Each CLI as we know it, and its newest release if that is another one.
my @programs = split ' ', $ENV{DRIVERS} || join ' ',
    map { ($_, -e cli("$_-newest") ? "$_-newest" : ()) } sort keys %marks;

# Those whose processes stay with their conversations.
my %parks = map { $_ => 1 } qw(claude codex);

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => join "\n",
    "CLIBridgeTimeout first=20 idle=20",
    '<Location /impatient>', 'SetHandler clibridge',
    'CLIBridgeTimeout first=2 idle=2', '</Location>',
    map { $m->config(driver => s/-.*//r, program => $_, name => $_,
                     models => $_, more => 'CLIBridgeSlots 4') }
        @programs);

my ($program, $driver, %marked);    # what is tried right now

sub ask  { $s->chat($_[0], model => $program, @_[1 .. $#_]) }
sub streamed { $s->stream($_[0], model => $program, @_[1 .. $#_]) }
sub user { { role => 'user', content => $_[0] } }
sub says { { role => 'assistant', content => $_[0] } }

sub tool {
    my ($name, %properties) = @_;
    return { type => 'function', function => { name => $name,
        description => "does $name", parameters => { type => 'object',
            properties => { %properties, x => { type => 'string' } } } } };
}

# The answer; how often the model was asked for it.
sub counted {
    my ($sub) = @_;
    my $before = $m->requests;
    my $r = $sub->();
    is(scalar($m->requests) - $before, 1, 'the model is asked once');
    return $r;
}

sub ignored { $_[0]{headers}{'x-clibridge-ignored'} // '' }

# An error of the model's before its answer.
sub fails {
    my ($status, $want, $code) = @_;
    my $r = streamed("[[error:$status]]");
    is($r->{status}, $want, "$status of the model") or diag $r->{body};
    is($r->{json}{error}{code}, $code, 'its name') if $code;
    unlike($r->{json}{error}{message}, qr/127\.0\.0\.1/,
           'no address of ours');
    return;
}

# Something of which the CLI says nothing for long: our own limit ends it.
sub is_hidden {
    my ($prompt) = @_;
    my $r = streamed($prompt, -path => '/impatient/v1/chat/completions');
    is_deeply([$r->{status}, $r->{json}{error}{code}], [504, 'timeout'],
              'ends');
    return;
}

# What of a request is where in each API.
sub schema_of {
    my ($body) = @_;
    return $body->{output_config}   ? $body->{output_config}{format}{schema}
         : $body->{response_format} ? $body->{response_format}{json_schema}
                                           {schema}
         : $body->{generationConfig}
             ? $body->{generationConfig}{responseJsonSchema}
         : $body->{text}{format}{schema};
}

sub effort_of {
    my ($body) = @_;
    my $config = $body->{generationConfig} || {};
    return $body->{reasoning_effort}
        || lc(($config->{thinkingConfig} || {})->{thinkingLevel} // '')
        || ($body->{output_config} || $body->{reasoning} || {})->{effort};
}

sub sampling_of {
    my ($body) = @_;
    my $config = $body->{generationConfig};
    return $config ? [ @$config{qw(temperature topP)} ]
                   : [ @$body{qw(temperature top_p)} ];
}

sub limit_of {
    my ($body) = @_;
    my $config = $body->{generationConfig};
    return $config ? $config->{maxOutputTokens} : $body->{max_tokens};
}

# The tool that is demanded, "any", or nothing.
sub demanded {
    my ($body) = @_;
    my $choice = $body->{tool_choice};
    my $config = ($body->{toolConfig} || {})->{functionCallingConfig};
    return ref $choice ? $choice->{name} || $choice->{function}{name}
                         || $choice->{type}
         : $choice     ? $choice eq 'required' ? 'any' : undef
         : !$config    ? undef
         : $config->{allowedFunctionNames} ? $config->{allowedFunctionNames}[0]
         : lc $config->{mode};
}

my @cases = (
    text => sub {
        my $r = counted(sub { ask('[[say:hello 日本 👋]]') });
        is_deeply([@$r{qw(status text finish)}],
                  [200, 'hello 日本 👋', 'stop'], 'the answer');
    },
    stream => sub {
        my $r = counted(sub { streamed('[[stream:5:20]]') });
        is_deeply([@$r{qw(text finish done)}],
                  ['tok1 tok2 tok3 tok4 tok5', 'stop', 1], 'the answer');
        cmp_ok((grep { length(($_->{json}{choices}[0]{delta} || {})->{content}
                              // '') } @{ $r->{events} }), '>=', 5,
               'word for word');
    },
    system => sub {
        my $r = ask([ { role => 'system', content => 'sys-one' },
                      { role => 'developer', content => 'dev-two' },
                      user('[[find:sys-one]][[find:dev-two]]'
                           . '[[find:not-there]]') ]);
        is($r->{text}, 'found sys-one;found dev-two;missing not-there;',
           'the model has it');
    },
    history => sub {
        my $r = counted(sub { ask([ user('[[say:a]] past-q'), says('past-a'),
            user('[[reset]][[find:past-q]][[find:past-a]]') ]) });
        is($r->{text}, 'found past-q;found past-a;', 'the model has it');
    },
    conversation => sub {
        my @talk = (user('[[say:one]] first-q'));
        my $r = ask([@talk]);
        push @talk, says($r->{text}), user('[[find:first-q]][[find:one]]');
        my $hits = $s->backend_health($program)->{hits};
        $r = counted(sub { ask([@talk]) });
        is($r->{text}, 'found first-q;found one;', 'goes on');
        is($s->backend_health($program)->{hits}, $hits + !!$parks{$driver},
           'in its own process, if it stayed');
    },
    'many turns' => sub {
        my @talk = map { (user("q$_"), says("a$_")) } 1 .. 150;
        my $r = ask([ @talk, user('[[find:q1]][[find:a75]][[find:q150]]') ]);
        is($r->{text}, 'found q1;found a75;found q150;', 'all of it');
    },
    'a megabyte' => sub {
        my $r = ask('x' x 1_000_000 . ' needle-1 [[find:needle-1]]');
        is($r->{text}, 'found needle-1;', 'all of it');
    },
    'words that could be commands' => sub {
        for my $word ('@/etc/hostname', '/help', '!ls', '#memory', '$skill',
                      'file:///etc/hostname') {
            my $r = counted(sub { ask("$word [[find:$word]]") });
            is($r->{text}, "found $word;", "$word is a word");
        }
    },
    tools => sub {
        my @tools = (tool('look_up'), tool('odd.name $1'));
        my $r = counted(sub {
            streamed('[[tool:look_up:{"x":"1"}]]', tools => \@tools) });
        is($r->{finish}, 'tool_calls', 'the model calls');
        my $call = $r->{tool_calls}[0];
        is_deeply([@$call{qw(name arguments)}], ['look_up', '{"x":"1"}'],
                  'its tool');
        my @talk = (user('[[tool:look_up:{"x":"1"}]]'),
            { role => 'assistant', content => undef, tool_calls => [ {
                id => $call->{id}, type => 'function', function => {
                    name => 'look_up', arguments => '{"x":"1"}' } } ] },
            { role => 'tool', tool_call_id => $call->{id},
              content => 'forty-two' });
        my $hits = $s->backend_health($program)->{hits};
        $r = counted(sub { ask([@talk], tools => \@tools) });
        is($r->{text}, 'tool said: forty-two', 'and gets the result');
        is($s->backend_health($program)->{hits}, $hits + !!$parks{$driver},
           'in the process that called, if it stayed');
        $r = counted(sub { ask([@talk], tools => [@tools, tool('more')]) });
        is($r->{text}, 'tool said: forty-two', 'or in another');
        $r = ask([@talk, says('fine'), user('[[find:forty-two]]')],
                 tools => \@tools);
        is($r->{text}, 'found forty-two;', 'it stays in the history');
    },
    'tools with odd names' => sub {
        for my $name ('odd.name', 'exec_command', 'shell_command', 'Bash',
                      'x' x 64, 'mcp__a__b') {
            my $r = ask('[[tools]]', tools => [ tool($name) ]);
            my ($known) = $r->{text} =~ /^tools=([^,;]+);$/;
            ok($known, "$name is offered") or diag $r->{body};
            $r = ask("[[tool:$known:{}]]", tools => [ tool($name) ]);
            is($r->{tool_calls}[0]{function}{name}, $name, 'by any name');
        }
    },
    'arguments of all kinds' => sub {
        for my $args ({ command => 'ls' }, { x => "a\"b\\c\n\t\r\x{7f}'\$1" },
                      { x => 'long ' x 20_000 }, { x => "日本 👋\x{2028}" },
                      { id => 7, method => 'tools/list', params => [
                          { name => 'g', arguments => {} } ] }, {}) {
            my $json = JSON::PP->new->utf8->canonical;
            my $text = encode_base64($json->encode($args), '');
            my $r = ask("[[tool64:f:$text]]", tools => [ tool('f') ]);
            my $call = $r->{tool_calls}[0];
            is_deeply($call && $json->decode(Encode::encode_utf8(
                $call->{function}{arguments})), $args,
                substr($json->encode($args), 0, 60));
        }
    },
    'a tool that nobody has' => sub {
        my $r = counted(sub { ask('[[say:So]][[tool:nothing:{}]]',
                                  tools => [ tool('f') ]) });
        is($r->{text}, 'Sono such tool: nothing', 'is not called');
    },
    'no choice' => sub {
        my $r = ask('[[tools]]', tools => [ tool('f') ], tool_choice => 'none');
        is($r->{text}, 'tools=;', 'none is offered');
    },
    'a forced call' => sub {
        my $r = ask('[[tool:f:{}]]', tools => [ tool('f') ],
                    tool_choice => 'required');
        is($r->{finish}, 'tool_calls', 'it calls');
        is(ignored($r), $marked{ $_[0] } ? 'tool_choice' : '', 'for sure');
        is(demanded($m->last->{body}), $marked{ $_[0] } ? undef : 'any',
           'the model must');
    },
    'a named call' => sub {
        my $r = ask('[[tools]]', tools => [ tool('f'), tool('g') ],
            tool_choice => { type => 'function', function => { name => 'g' } });
        is(ignored($r), $marked{ $_[0] } ? 'tool_choice' : '', 'for sure');
        like(demanded($m->last->{body}) // '', $marked{ $_[0] } ? qr/^$/
             : qr/(?:^|_)g$/, 'the model must');
    },
    'parallel calls' => sub {
        my @tools = (tool('f'), tool('g'));
        my $prompt = '[[tool:f:{"x":"1"}]][[tool:g:{"x":"2"}]]'
                   . '[[tool:f:{"x":"3"}]]';
        my $r = counted(sub { streamed($prompt, tools => \@tools) });
        is_deeply([ map { "$_->{name} $_->{arguments}" }
                    @{ $r->{tool_calls} } ],
                  [ 'f {"x":"1"}', 'g {"x":"2"}', 'f {"x":"3"}' ],
                  'in their order');
        my @calls = map { { id => $_->{id}, type => 'function', function => {
            name => $_->{name}, arguments => $_->{arguments} } } }
            @{ $r->{tool_calls} };
        my @results = map { { role => 'tool', tool_call_id => $_->{id},
            content => "r-$_->{function}{arguments}" } } @calls;
        $r = counted(sub { ask([ user($prompt), { role => 'assistant',
            content => '', tool_calls => \@calls }, @results[2, 0, 1] ],
            tools => \@tools) });
        like($r->{text}, qr/^tool said: /, 'results in any order');
        like($r->{text}, qr/r-\{"x":"$_"\}/, "result $_") for 1 .. 3;
        $r = ask($prompt, tools => \@tools, parallel_tool_calls => $false);
        is(scalar @{ $r->{tool_calls} }, 1, 'one, if one is wanted');
    },
    'results and a question' => sub {
        my @tools = (tool('f'));
        my $r = ask('[[tool:f:{}]] q', tools => \@tools);
        my $call = $r->{tool_calls}[0];
        $r = counted(sub { ask([ user('[[tool:f:{}]] q'),
            { role => 'assistant', content => '', tool_calls => [$call] },
            { role => 'tool', tool_call_id => $call->{id}, content => 'res-1' },
            user('[[find:res-1]][[find:too]] too') ], tools => \@tools) });
        is($r->{text}, 'found res-1;found too;', 'both reach the model');
    },
    'arguments in pieces' => sub {
        my $r = streamed('[[tool:f:{"x":"' . 'long ' x 200 . '"}]]',
                     tools => [ tool('f') ]);
        my $pieces = grep { $_->{json}{choices}[0]{delta}{tool_calls} }
            grep { $_->{json} && $_->{json}{choices} } @{ $r->{events} };
        is($pieces > 2 ? 0 : 1, $marked{ $_[0] } ? 1 : 0, 'or in one');
    },
    images => sub {
        my $r = counted(sub { ask([ { role => 'user', content => [
            { type => 'text', text => '[[images]]' },
            { type => 'image_url', image_url => {
                url => "data:image/png;base64,$pixel", detail => 'low' } },
        ] } ]) });
        is($r->{text}, 'images=1;', 'reach the model');
    },
    'images of tools' => sub {
        my $call = { id => 'c1', type => 'function',
                     function => { name => 'f', arguments => '{}' } };
        my $r = ask([ user('q'),
            { role => 'assistant', content => undef, tool_calls => [$call] },
            { role => 'tool', tool_call_id => 'c1', content => [
                { type => 'image_url', image_url => {
                    url => "data:image/png;base64,$pixel" } } ] },
            says('ok'), user('[[images]]') ], tools => [ tool('f') ]);
        is($r->{text}, 'images=1;', 'reach the model');
    },
    'images by URL' => sub {
        my $r = ask([ { role => 'user', content => [
            { type => 'text', text => '[[images]]' },
            { type => 'image_url', image_url => {
                url => 'https://example.org/a.png' } } ] } ]);
        is($r->{status}, $marked{ $_[0] } ? 400 : 200, 'taken or refused');
        like($r->{body}, $marked{ $_[0] } ? qr/send the data itself/
                                          : qr/images=1/, 'with a word');
    },
    files => sub {
        my $r = ask([ { role => 'user', content => [
            { type => 'text', text => '[[say:seen]]' },
            { type => 'file', file => { filename => 'a.txt', file_data =>
                'data:text/plain;base64,ZmlsZS10ZXh0' } } ] } ]);
        is($r->{status}, $marked{ $_[0] } ? 400 : 200, 'taken or refused');
        like($marked{ $_[0] } ? $r->{body}
                 : JSON::PP->new->encode($m->last->{body}),
             $marked{ $_[0] } ? qr/files/ : qr/file-text/, 'with a word');
    },
    'a schema' => sub {
        if ($marked{ $_[0] }) {
            my $r = ask('x', response_format => { type => 'json_object' });
            is($r->{status}, 400, 'is refused');
            return;
        }
        my $schema = { type => 'object', required => ['a'], properties => {
            a => { type => 'string', pattern => '^x' } },
            additionalProperties => $false };
        my $r = counted(sub { ask('[[say64:eyJhIjoieCJ9]]', response_format => {
            type => 'json_schema', json_schema => { name => 'n',
                schema => $schema } }) });
        is($r->{text}, '{"a":"x"}', 'the answer');
        my $body = $m->last->{body};
        is_deeply(schema_of($body), $schema, 'the model has it unchanged');
        $r = ask('[[say:no]]', response_format => { type => 'json_object' });
        is($r->{status}, 502, 'what is no JSON is an error');
    },
    reasoning => sub {
        my $r = streamed('[[think:let me see]][[say:so]]',
                     reasoning_effort => 'high');
        is_deeply([@$r{qw(reasoning text)}], ['let me see', 'so'],
                  'apart from the answer');
    },
    'reasoning nobody asked for' => sub {
        my $prompt = '[[think:let me see]][[say:so]]';
        my @asked  = (max_tokens => 4000, thinking => {
            type => 'enabled', budget_tokens => 2048 });
        for my $ask (\&message, \&message_stream) {
            for my $none ([], [ thinking => { type => 'disabled' } ]) {
                is_deeply([ map { $_->{type} } @{ $ask->($s, $prompt,
                    model => $program, @$none)->{content} } ], ['text'],
                    'no thinking block');
            }
            my ($block) = @{ $ask->($s, $prompt, model => $program, @asked)
                                 ->{content} };
            is($block->{thinking}, 'let me see', 'but where it is');
            ok($block->{signature}, 'with some signature');
        }
        is(streamed($prompt, reasoning_effort => 'none')->{reasoning}, '',
           'nor a word of it where there is to be none');
    },
    effort => sub {
        my $r = ask('[[say:so]]', reasoning_effort => 'high');
        is(ignored($r), $marked{ $_[0] } ? 'reasoning_effort' : '', 'told');
        is(effort_of($m->last->{body}), $marked{ $_[0] } ? undef : 'high',
           'as much as was asked for');
    },
    usage => sub {
        my $r = ask('[[usage:100:23]][[say:x]]');
        is_deeply([@{ $r->{usage} }{qw(prompt_tokens completion_tokens)}],
                  [100, 23], 'the numbers of the model');
        $r = streamed('[[usage:100:23]][[say:x]]',
                  stream_options => { include_usage => $true });
        is($r->{usage}{completion_tokens}, 23, 'streamed, too');
    },
    'usage at the start' => sub {
        my $r = message_stream($s, '[[usage:100:23]][[say:x]]',
                               model => $program);
        my $usage = $r->{events}[0]{json}{message}{usage};
        cmp_ok($usage->{input_tokens}, '>', 0, 'or an estimate');
        is($r->{usage}{input_tokens}, 100, 'and the truth at the end');
    },
    'a stop sequence' => sub {
        my $r = streamed('[[say:before END after]]', stop => ['END']);
        is_deeply([@$r{qw(text finish)}], ['before ', 'stop'], 'cuts');
    },
    'an answer that is cut off' => sub {
        my $r = streamed('[[say:half]][[finish:length]]');
        is_deeply([@$r{qw(text finish done)}],
                  ['half', $marked{ $_[0] } ? 'stop' : 'length', 1],
                  'and says so');
    },
    'usage of a cut answer' => sub {
        my $r = ask('[[usage:100:23]][[say:half]][[finish:length]]');
        is($r->{usage}{completion_tokens}, 23, 'is told');
    },
    sampling => sub {
        my $r = ask('[[say:x]]', temperature => 0.5, top_p => 0.9);
        is(ignored($r), $marked{ $_[0] } ? 'temperature, top_p' : '', 'told');
        is_deeply(sampling_of($m->last->{body}), [0.5, 0.9], 'the model, too')
            unless $marked{ $_[0] };
    },
    'a limit' => sub {
        my $r = ask('[[say:x]]', max_completion_tokens => 77);
        is(ignored($r), $marked{ $_[0] } ? 'max_completion_tokens' : '',
           'told');
        is(limit_of($m->last->{body}), 77, 'the model, too')
            unless $marked{ $_[0] };
    },
    'errors before the answer' => sub {
        for ([400, 400], [401, 503, 'login_required'],
             [404, 404, 'model_not_found'], [413, 413]) {
            fails(@$_);
        }
    },
    'errors that may pass' => sub {
        for ([429, 429, 'rate_limit_exceeded'], [500, 502], [529, 503]) {
            $marked{ $_[0] } ? is_hidden("[[error:$_->[0]]]") : fails(@$_);
        }
        is(ask('[[say:well]]')->{text}, 'well', 'and the next one is well');
    },
    'errors in the answer' => sub {
        for ('[[stream:9:20]][[error:500:3]]', '[[stream:9:20]][[drop:3]]') {
            my $r = streamed($_);
            if ($program eq 'qwen-newest') {
                # it asks its model to go on where the words broke off
                like($r->{text}, qr/^tok1 tok2 tok3/, 'it goes on by itself');
                next;
            }
            like($r->{text}, qr/^tok1/, 'words');
            ok($r->{error} && !$r->{done}, 'then an error, and no end');
        }
        is(ask('[[say:well]]')->{text}, 'well', 'and the next one is well');
    },
    'a used-up account' => sub {
        my $prompt = '[[quota:' . (time + 3600) . ']]';
        return is_hidden($prompt) if $marked{ $_[0] };
        my $r = ask($prompt);
        is($r->{status}, 429, 'told');
        cmp_ok($r->{headers}{'retry-after'} // 0, '>', 3000, 'when to return')
            if $driver eq 'codex';
    },
    silence => sub {
        is_hidden('[[hang]]');
        is(ask('[[say:well]]')->{text}, 'well', 'and the next one is well');
    },
    'a client that leaves' => sub {
        my $r = streamed('[[stream:500:20]]', -until => sub { $_[1]{text} });
        my $n = $m->last->{n};
        $r->{client}->close;
        is($m->ended($n), 'closed', 'takes the request to the model with it');
        $s->idle_ok;
        is(ask('[[say:well]]')->{text}, 'well', 'and the next one is well');
    },
);

for (@programs) {
    $program = $_;
    $driver  = s/-.*//r;
    %marked  = map { $_ => 1 } @{ $marks{$driver} };
    my @list = @cases;
    while (my ($name, $case) = splice @list, 0, 2) {
        subtest "$program: $name" => sub { $case->($name) };
    }
}

my %named = @cases;
is_deeply([grep { !$named{$_} } map { @$_ } values %marks], [],
          'every mark is a case');
$s->stop;
done_testing;
