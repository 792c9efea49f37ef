# Every field of a request does with each CLI what the tables t/data/*_fields.json
# say, by what the model is sent for it: compared with a request without the
# field, a native one changes what it should and nothing else, and one that is
# ignored or accepted changes nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use List::Util qw(uniq);
use Test::More;

use CLB::Gemini qw(gemini);
use CLB::Messages qw(message message_stream);
use CLB::Model qw(system_of turns_of);
use CLB::Responses qw(response response_stream);
use CLB::Server;

my $json  = JSON::PP->new->utf8->canonical->allow_nonref;
my %model = (claude => 'claude-sonnet-4-6', codex => 'gpt-5.5');

my ($driver, $api, $table, $m, $s, %plain);    # what is tried right now

my %apis = (
    chat => {
        ask    => sub { $s->chat(@_) },
        stream => sub { $s->stream(@_) },
        names  => sub { ($_[0]{json}{error}{param} // '') eq $_[1] },
    },
    gemini => {
        list   => 'contents',
        ask    => sub { gemini($s, @_) },
        names  => sub { ($_[0]{json}{error}{message} // '') =~ /\b\Q$_[1]\E\b/ },
    },
    messages => {
        ask    => sub { message($s, @_) },
        stream => sub { message_stream($s, @_) },
        names  => sub { ($_[0]{json}{error}{message} // '') =~ /\b\Q$_[1]\E\b/ },
    },
    responses => {
        list   => 'input',
        ask    => sub { response($s, @_) },
        stream => sub { response_stream($s, @_) },
        names  => sub { ($_[0]{json}{error}{param} // '') eq $_[1] },
    },
);

sub user { { role => 'user', content => $_[0] } }

sub ask {
    my (%field) = @_;
    my $before = $m->requests;
    my $text = '[[say:before END after]]';
    my $list = $apis{$api}{list} || 'messages';
    my %body = (
        model => $model{$driver},
        $list => [ $api eq 'gemini' ? CLB::Gemini::user($text)
                                    : user($text) ],
        %field,
    );
    my $messages = delete $body{$list};
    my $r = $apis{$api}{ $body{stream} ? 'stream' : 'ask' }->($messages,
                                                               %body);
    $r->{sent} = ($m->requests)[$before];
    $r->{sent} &&= $r->{sent}{body};
    return $r;
}

# The members of a request in a form that two turns can have in common.
sub members {
    my ($body) = @_;
    my %member = (%$body, messages => turns_of($body),
                  system => system_of($body));
    # of the session
    delete @member{qw(metadata client_metadata prompt_cache_key input)};
    return map { $_ => $json->encode($member{$_}) } keys %member;
}

# What the field changed; undef is a member that is gone.
sub changes {
    my ($sent) = @_;
    my %now = members($sent);
    return { map  { $_ => defined $now{$_} ? $json->decode($now{$_}) : undef }
             grep { ($now{$_} // '') ne ($plain{$_} // '') }
             uniq keys %now, keys %plain };
}

# Sampling and forced calls exclude thinking in this API; without it the CLI
# sends a temperature of its own.
my @thoughtless = (thinking => { type => 'disabled' }, temperature => 1,
                   context_management => undef);

my %tool = (name => 'look_up', description => '',
            input_schema => { type => 'object', properties => {} });

# Codex writes each schema like this.
my %function = (type => 'function', name => 'look_up', description => '',
                strict => JSON::PP::false,
                parameters => { type => 'object', properties => {} });

my %messages = (
    system   => ['Be brief.'],
    messages => [ [ user => 'One?' ], [ assistant => 'One.' ],
                  [ user => 'Two?' ] ],
);

my %native;
$native{chat} = { claude => {
    tools                 => {
        tools => [ { %tool, input_schema => { type => 'object' } } ] },
    functions             => {
        tools => [ { %tool, input_schema => { type => 'object' } } ],
        tool_choice => { type => 'auto',
                         disable_parallel_tool_use => JSON::PP::true } },
    tool_choice           => {
        tools => [ \%tool ], tool_choice => { type => 'any' },
        @thoughtless },
    function_call         => {
        tools => [ \%tool ],
        tool_choice => { type => 'tool', name => 'look_up',
                         disable_parallel_tool_use => JSON::PP::true },
        @thoughtless },
    parallel_tool_calls   => {
        tools => [ \%tool ],
        tool_choice => { type => 'auto',
                         disable_parallel_tool_use => JSON::PP::true } },
    response_format       => {
        messages => [ [ user => '[[say:{}]]' ] ],
        output_config => { effort => 'high', format => {
            type => 'json_schema', schema => { type => 'object' } } } },
    max_tokens            => { max_tokens => 77 },
    max_completion_tokens => { max_tokens => 77 },
    reasoning_effort      => { output_config => { effort => 'low' } },
    temperature           => { @thoughtless, temperature => 0.3 },
    top_p                 => { @thoughtless, top_p => 0.9 },
    model                 => { model => 'a-model-of-the-backend' },
    messages              => \%messages,
}, codex => {
    tools            => { tools => [ \%function ] },
    functions        => { tools => [ \%function ] },
    response_format  => {
        messages => [ [ user => '[[say:{}]]' ] ],
        text => { format => {
            type => 'json_schema', name => 'codex_output_schema',
            strict => JSON::PP::true, schema => { type => 'object' } } } },
    reasoning_effort => { reasoning => { effort => 'low',
                                         summary => 'auto' } },
    model            => { model => 'a-model-of-the-backend' },
    messages         => \%messages,
} };

# Where nothing is said of thinking, nothing is said to the model, but the CLI
# sends a temperature to some, which does no harm.
my @disabled = (thinking => { type => 'disabled' });

$native{messages}{claude} = {
    (map { $_ => $native{chat}{claude}{$_} } qw(max_tokens tools)),
    model         => { model => 'a-model-of-the-backend',
                       temperature => undef },
    messages      => { messages => $messages{messages} },
    output_config => { output_config => { effort => 'low' } },
    output_format => $native{chat}{claude}{response_format},
    system        => { system => ['Be brief.'] },
    temperature   => { @disabled, temperature => 0.3 },
    thinking      => { thinking => { type => 'adaptive' },
                       temperature => undef, context_management => {
                           edits => [ { type => 'clear_thinking_20251015',
                                        keep => 'all' } ] } },
    tool_choice   => { %{ $native{chat}{claude}{tools} }, @disabled,
                       tool_choice => { type => 'any' } },
    top_k         => { @disabled, top_k => 40 },
    top_p         => { @disabled, top_p => 0.9 },
};

$native{responses}{claude} = {
    (map { $_ => $native{chat}{claude}{$_} } qw(model parallel_tool_calls
        temperature tool_choice tools top_p)),
    input             => \%messages,
    instructions      => { system => ['Be brief.'] },
    max_output_tokens => $native{chat}{claude}{max_tokens},
    reasoning         => $native{chat}{claude}{reasoning_effort},
    text              => $native{chat}{claude}{response_format},
};

my %config = (
    (map { $_ => $native{chat}{claude}{$_} } qw(temperature)),
    topP               => $native{chat}{claude}{top_p},
    topK               => { @thoughtless, top_k => 40 },
    maxOutputTokens    => $native{chat}{claude}{max_tokens},
    responseMimeType   => {
        messages => [ [ user => '[[say:{}]]' ] ],
        system   => [ 'Answer with one JSON object and nothing else: '
                      . 'no explanation, no code fence.' ] },
    responseJsonSchema => $native{chat}{claude}{response_format},
    responseSchema     => {
        %{ $native{chat}{claude}{response_format} },
        output_config => { effort => 'high', format => {
            type => 'json_schema', schema => {
                type => 'object', properties => { a => {
                    type => [ 'string', 'null' ] } } } } } },
    # this model thinks as it likes, and knows no budget
    'thinkingConfig.thinkingBudget' => {},
    'thinkingConfig.thinkingLevel'  => $native{chat}{claude}{reasoning_effort},
);
$native{gemini}{claude} = {
    contents          => {
        messages => $messages{messages} },
    systemInstruction => { system => ['Be brief.'] },
    tools             => $native{chat}{claude}{tools},
    toolConfig        => {
        tools => $native{chat}{claude}{tools}{tools}, @thoughtless,
        tool_choice => { type => 'tool', name => 'look_up' } },
    map { ("generationConfig.$_" => $config{$_}) } keys %config,
};

# There is no choice but to offer no other tool, and words.
my %told = (
    tool_choice   => { tools => [ \%function ], system => [
        'Call at least one of your tools now.' ] },
    function_call => { tools => [ \%function ], system => [
        'Call the tool look_up now.' ] },
);

my %bridge = (
    stop => sub {
        my ($r) = @_;
        is($r->{text}, 'before ', 'cut');
        is($r->{finish} // $r->{state}, $api eq 'chat' ? 'stop' : 'completed',
           'at a proper end');
        is_deeply(changes($r->{sent}), $driver eq 'claude'
                  ? { stop_sequences => ['END'] } : {},
                  'by the model already, if it can');
    },
    stop_sequences => sub {
        my ($r) = @_;
        is_deeply([ @$r{qw(text stop sequence)} ],
                  [ 'before ', 'stop_sequence', 'END' ], 'cut');
        is_deeply(changes($r->{sent}), { stop_sequences => ['END'] },
                  'by the model already');
    },
    'generationConfig.stopSequences' => sub {
        my ($r) = @_;
        is_deeply([ @$r{qw(text finish)} ], [ 'before ', 'STOP' ], 'cut');
        is_deeply(changes($r->{sent}), { stop_sequences => ['END'] },
                  'by the model already');
    },
    background => sub {
        my ($r) = @_;
        is($r->{state}, 'queued', 'later');
        $s->wait_for(sub {
            $s->get("/v1/responses/$r->{json}{id}")->{json}{status}
                eq 'completed';
        }, 'the answer');
        is_deeply(changes($m->last->{body}), {}, 'the same request');
    },
    store => sub {
        my ($r) = @_;
        is($s->get("/v1/responses/$r->{json}{id}")->{status}, 404, 'not kept');
        is_deeply(changes($r->{sent}), {}, 'the same request');
    },
    stream => sub {
        my ($r) = @_;
        is($r->{headers}{'content-type'}, 'text/event-stream', 'a stream');
        is_deeply(changes($r->{sent}), {}, 'the same request');
    },
    stream_options => sub {
        my ($r) = @_;
        is($r->{usage}{completion_tokens}, 1, 'usage in the stream');
        is_deeply(changes($r->{sent}), {}, 'the same request');
    },
    parallel_tool_calls => sub {
        my ($r) = @_;
        is_deeply(changes($r->{sent}), { tools => [ \%function ] },
                  'the model is not told');
        my %field = %{ $table->{parallel_tool_calls} };
        $r = ask(%{ $field{with} }, parallel_tool_calls => $field{example},
                 messages => [ user('[[tool:look_up:{}]]' x 2) ]);
        is(scalar @{ $r->{tool_calls} }, 1, 'but one call is all there is');
    },
);

sub answered {
    my ($r, $ignored) = @_;
    is_deeply([ $r->{status}, $r->{headers}{'x-clibridge-ignored'} ],
              [ 200, $ignored ], 'answered') or diag $r->{body};
}

my %try = (
    native => sub {
        my ($field, $r) = @_;
        answered($r);
        is_deeply(changes($r->{sent}), $native{$api}{$driver}{$field},
                  'the model is told') or diag explain changes($r->{sent});
    },
    bridge => sub {
        my ($field, $r) = @_;
        answered($r);
        $bridge{$field}->($r);
    },
    ignored => sub {
        my ($field, $r) = @_;
        answered($r, $field);
        is_deeply(changes($r->{sent}), {}, 'the model is not told');
    },
    told => sub {
        my ($field, $r) = @_;
        answered($r, $field);
        is_deeply(changes($r->{sent}), $told{$field}, 'the model is asked')
            or diag explain changes($r->{sent});
    },
    accepted => sub {
        my ($field, $r) = @_;
        answered($r);
        is_deeply(changes($r->{sent}), {}, 'the model is not told');
    },
    refused => sub {
        my ($field, $r) = @_;
        is($r->{status}, 400, 'refused');
        ok($apis{$api}{names}->($r, $field), 'by name') or diag $r->{body};
        is($r->{sent}, undef, 'the model is not asked');
    },
);

for (sort keys %model) {
    $driver = $_;
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => $m->config(
        driver => $driver, models => "$model{$driver} a-model-*"));
    for (sort keys %apis) {
        $api   = $_;
        $table = $json->decode(CLB::Server::slurp(
            "$FindBin::Bin/../data/${api}_fields.json"))->{fields};
        %plain = members(ask()->{sent});
        for my $field (grep { $table->{$_}{$driver} } sort keys %$table) {
            my $row = $table->{$field};
            subtest "$driver, $api, $field: $row->{$driver}" => sub {
                $try{ $row->{$driver} }->($field, ask(
                    %{ $row->{with} || {} }, $field => $row->{example}));
            };
        }
    }
    $s->stop;
    $m->stop;
}
done_testing;
