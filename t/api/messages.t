# Anthropic's Messages, /v1/messages and /v1/messages/count_tokens: shapes,
# streams, versions and refusals, with programs behind it that say what they are
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
use CLB::Messages qw(get_as message message_stream post_as);
use CLB::Server;
use CLB::Talk qw(assistant fake_claude rested upstream user);

my $path = '/v1/messages';
my $true = JSON::PP::true;
my $fake = fake_claude('claude');

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
EOT

# What every answer says of itself.
sub is_identified {
    my ($r, $name) = @_;
    my $id = $r->{headers}{'request-id'} // '';
    ok($id =~ /^req_[0-9a-f]{24}$/ && $id eq $r->{headers}{'x-request-id'},
       "$name: request-id");
    return $id;
}

# An error as this API has it. Returns the message.
sub refused {
    my ($r, $status, $type, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $json  = ref $r->{json} eq 'HASH' ? $r->{json} : {};
    my $error = $json->{error} || {};
    is_deeply([ $r->{status}, @$json{qw(type request_id)}, $error->{type},
                join(' ', sort keys %$json), join(' ', sort keys %$error) ],
              [ $status, 'error', is_identified($r, $name), $type,
                'error request_id type', 'details message type' ], $name)
        or diag "$r->{raw}\n$r->{body}";
    return $error->{message} // '';
}

# --- answers --------------------------------------------------------------

subtest 'a whole answer' => sub {
    my $r = message($s, '[[say:Grüße, 你好]][[usage:12:3]]', model => 'nick');
    is_identified($r, 'it');
    like($r->{json}{id}, qr/^msg_[0-9a-f]{24}$/, 'id');
    my %null = map { $_ => undef }
        qw(container diagnostics stop_details stop_sequence);
    delete $r->{json}{id};
    is_deeply($r->{json}, {
        type => 'message', role => 'assistant', model => 'nick', %null,
        content => [ { type => 'text', text => 'Grüße, 你好',
                       citations => undef } ],
        stop_reason => 'end_turn',
        usage => {
            input_tokens => 12, output_tokens => 3,
            cache_creation_input_tokens => 0, cache_read_input_tokens => 0,
            map { $_ => undef } qw(cache_creation inference_geo
                output_tokens_details server_tool_use service_tier speed),
        },
    }, 'every member') or diag $r->{body};
    is_deeply(message($s, '', model => 'echo')->{content}, [],
              'an empty one has no blocks');
    is(message($s, '[[say:x]][[finish:length]]', model => 'lines')->{stop},
       'max_tokens', 'stop_reason max_tokens');
};

subtest 'a stream' => sub {
    my $r = message_stream($s, '[[think:hm]][[stream:3:1]][[usage:12:3]]',
                           model => 'claude',
                           thinking => { type => 'adaptive' });
    is_identified($r, 'it');
    is($r->{headers}{'content-type'}, 'text/event-stream', 'its type');
    is_deeply([ @$r{qw(grammar text thinking stop sequence)} ],
              [ undef, 'tok1 tok2 tok3', 'hm', 'end_turn', undef ],
              'its events') or diag explain $r->{events};
    my @types = map { $_->{event} } @{ $r->{events} };
    is_deeply(\@types, [
        'message_start',
        'content_block_start', ('content_block_delta') x 2,
        'content_block_stop',
        'content_block_start', ('content_block_delta') x 3,
        qw(content_block_stop message_delta message_stop),
    ], 'in their order');
    is($r->{events}[0]{json}{message}{usage}{input_tokens}, 12,
       'usage at the start');
    is_deeply([ @{ $r->{events}[-2]{json}{usage} }
                {qw(input_tokens output_tokens)} ], [ 12, 3 ], 'and the end');
    $r = message_stream($s, '', model => 'echo');
    is_deeply([ @$r{qw(grammar stop)}, scalar @{ $r->{content} } ],
              [ undef, 'end_turn', 0 ], 'one without a block');
    cmp_ok($r->{events}[0]{json}{message}{usage}{input_tokens}, '>', 0,
           'an estimate of what nobody counted');
};

subtest 'thoughts that nothing signs' => sub {
    for my $ask (\&message, \&message_stream) {
        is_deeply($ask->($s, '[[think:hm]][[say:x]]', model => 'lines',
                         thinking => { type => 'adaptive' })->{content},
                  [ { type => 'thinking', thinking => 'hm',
                      signature => 'clb-unsigned' },
                    { type => 'text', text => 'x', citations => undef } ],
                  'have a signature that says so');
    }
};

subtest 'stop sequences' => sub {
    for my $ask (\&message, \&message_stream) {
        for my $model (qw(lines one)) {
            my $r = $ask->($s, '[[say:one S]][[say:TO]][[say:P two]]',
                           model => $model, stop_sequences => [ 'x', 'STOP' ]);
            is_deeply([ @$r{qw(text stop sequence grammar)} ],
                      [ 'one ', 'stop_sequence', 'STOP', undef ],
                      "$model is cut, and which it was is told");
        }
    }
    is(message($s, '[[say:a ST]]', model => 'lines',
               stop_sequences => ['STOP'])->{stop}, 'end_turn',
       'half of one is none');
};

subtest 'signs of life are events' => sub {
    my $r = message_stream($s, '[[sleep:2500]][[say:x]]', model => 'lines');
    my @pings = grep { $_->{event} eq 'ping' } @{ $r->{events} };
    cmp_ok(scalar @pings, '>=', 2, 'pings');
    is_deeply($pings[0]{json}, { type => 'ping' }, 'as JSON');
    is_deeply([ @$r{qw(text grammar)} ], [ 'x', undef ], 'then the answer');
    is(scalar(grep { defined $_->{comment} } @{ $r->{events} }), 0,
       'no comments');
};

# --- requests -------------------------------------------------------------

subtest 'what the program is told' => sub {
    my $ask = sub { message($s, @_, model => 'lines')->{text} };
    is($ask->('[[find:needle]]', system => 'a needle'), 'found needle;',
       'a system prompt');
    is($ask->('[[find:needle]]', system => [
           { type => 'text', text => 'a' }, { type => 'text',
             text => 'needle', cache_control => { type => 'ephemeral' } } ]),
       'found needle;', 'in blocks');
    is($ask->([ user('one'), assistant([ { type => 'text', text => 'two' } ]),
                user([ { type => 'text', text => '[[find:one]]' },
                       { type => 'text', text => '[[find:two]]' } ]) ]),
       'found one;found two;', 'a history');
};

subtest 'fields that nobody honours' => sub {
    my %odd = (model => 'lines', metadata => { user_id => 'u' }, no_such => 1,
               context_management => { edits => [] },
               tools => [ { type => 'web_search_20250305',
                            name => 'web_search' } ]);
    my $r = message($s, '[[say:x]]', %odd,
                    -headers => { 'anthropic-beta' => 'some-beta-2025' });
    is_deeply([ $r->{text}, $r->{headers}{'x-clibridge-ignored'} ],
              [ 'x', 'context_management, tools[0]' ], 'are told');
    like(refused(message($s, 'x', %odd, -path => '/strict/v1/messages'), 400,
                 'invalid_request_error', 'or refused'), qr/tools\[0\]/,
         'by name');
    like(refused(message($s, 'x', model => 'lines', tools => [
                     { name => 'f', input_schema => {} } ]), 400,
                 'invalid_request_error', 'what this CLI cannot'), qr/tools/,
         'is refused by name, too');
};

subtest 'an answer that is begun' => sub {
    my @begun = (user('q'), assistant('The answer is ('));
    like(refused(message($s, \@begun, model => 'claude'), 400,
                 'invalid_request_error', 'Claude Code cannot go on with it'),
         qr/assistant message prefill.*must end with a user message/,
         'it says');
    is(message($s, [ user('[[find:So far]]'), assistant('So far') ],
               model => 'one')->{status}, 200, 'other programs may');
};

subtest 'versions' => sub {
    my @body = ('[[say:x]]', model => 'lines');
    for (undef, '', '2022-01-01') {
        like(refused(message($s, @body, -version => $_), 400,
                     'invalid_request_error', $_ // 'no version'),
             qr/anthropic-version.*2023-06-01.*2026-10-21/, 'what there is');
    }
    is(message($s, @body, temperature => 0.5)->{text}, 'x', 'the older one');
    my @newer = (-version => '2026-10-21');
    is(message($s, @body, @newer)->{text}, 'x', 'the newer one');
    for (qw(temperature top_p top_k)) {
        like(refused(message($s, @body, @newer, $_ => 1), 400,
                     'invalid_request_error', "$_ is gone there"), qr/'$_'/,
             'by name');
    }
};

subtest 'a conversation goes on in its process' => sub {
    my $before = rested($s, 'claude')->{hits};
    my @talk = (user('[[think:hm]][[say:one]]'));
    my $r = message($s, \@talk, model => 'claude');
    rested($s, 'claude');
    push @talk, assistant([
        { type => 'thinking', thinking => 'hm', signature => 'c2ln' },
        { type => 'text', text => $r->{text} } ]), user('[[say:two]]');
    is(message($s, \@talk, model => 'claude')->{text}, 'two', 'with thoughts');
    is(rested($s, 'claude')->{hits}, $before + 1, 'the same');
    my @pids = map { $_->{pid} } (upstream($s))[-2, -1];
    is($pids[0], $pids[1], 'one process');
};

# --- counting -------------------------------------------------------------

subtest 'count_tokens' => sub {
    my $count = sub {
        my ($text, %o) = @_;
        my $r = post_as($s, "$path/count_tokens?beta=true", {
            model => 'claude', messages => [ user($text) ], %o });
        is_deeply([ keys %{ $r->{json} } ], ['input_tokens'], 'a number')
            or diag $r->{body};
        is_identified($r, 'it');
        return $r->{json}{input_tokens};
    };
    my $short = $count->('short');
    cmp_ok($short, '>', 0, 'of something');
    cmp_ok($count->('a longer text ' x 200), '>', 500, 'of much');
    cmp_ok($count->('short', system => 'be brief'), '>', $short, 'the system '
           . 'prompt counts');
    my @tools = (tools => [ { name => 'f', input_schema => {} } ]);
    cmp_ok($count->('short', @tools), '>', $short + 300, 'and tools');
    cmp_ok($count->([ { type => 'image', source => {
               type => 'url', url => 'https://x.org/a.png' } } ]), '>', 1000,
           'and images, also where the CLI could not');
    refused(post_as($s, "$path/count_tokens", { model => 'no-such',
                messages => [ user('x') ] }), 404, 'not_found_error',
            'an unknown model');
    refused(post_as($s, "$path/count_tokens", { model => 'claude' }), 400,
            'invalid_request_error', 'no messages');
    refused(get_as($s, "$path/count_tokens"), 405, 'invalid_request_error',
            'GET');
};

# --- models ---------------------------------------------------------------

subtest 'models' => sub {
    my $r = get_as($s, '/v1/models?limit=1000');
    is_identified($r, 'the list');
    my @ids = map { $_->{id} } @{ $r->{json}{data} };
    is_deeply([ sort @ids ], [qw(claude echo lines nick one)], 'all of them');
    is_deeply([ @{ $r->{json} }{qw(has_more first_id last_id)} ],
              [ JSON::PP::false, @ids[0, -1] ], 'on one page');
    my $one = get_as($s, '/v1/models/nick');
    my $created = delete $one->{json}{created_at};
    like($created, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'created_at');
    is_deeply($one->{json}, {
        type => 'model', id => 'nick', display_name => 'nick',
        lifecycle => 'active', map { $_ => undef } qw(capabilities line
            max_input_tokens max_tokens deprecated_at retires_at),
    }, 'one of them');
    refused(get_as($s, '/v1/models/no-such'), 404, 'not_found_error',
            'none of them');
    is($s->get('/v1/models')->{json}{object}, 'list',
       "OpenAI's list without the header");
    is($s->get('/v1/models')->{headers}{'request-id'}, undef,
       'and without the other');
};

# --- refusals -------------------------------------------------------------

subtest 'refusals' => sub {
    my $question = { model => 'lines', max_tokens => 9,
                     messages => [ user('x') ] };
    refused(message($s, 'x', model => 'no-such'), 404, 'not_found_error',
            'an unknown model');
    refused(post_as($s, $path, '{'), 400, 'invalid_request_error',
            'broken JSON');
    refused($s->post($path, '{'), 400, 'invalid_request_error',
            'without a version');
    refused(get_as($s, $path), 405, 'invalid_request_error', 'GET');
    refused(get_as($s, '/v1/messages/batches'), 404, 'not_found_error',
            'what is not here');
    refused(post_as($s, '/small/v1/messages', { %$question, pad => 'x' x 1500 }),
            413, 'request_too_large', 'too large');
    refused(post_as($s, '/denied/v1/messages', $question), 403,
            'permission_error', 'denied by another module');
    like(refused(message($s, 'x', model => 'lines', max_tokens => undef), 400,
                 'invalid_request_error', 'no limit'), qr/max_tokens/,
         'by name');
    my $r = message($s, '[[error:429]]', model => 'lines');
    refused($r, 429, 'rate_limit_error', "the model's 429");
    like($r->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After');
    refused(message($s, '[[error:500]]', model => 'lines'), 502, 'api_error',
            "the model's 500");
    refused(message_stream($s, '[[error:529]]', model => 'lines'), 503,
            'overloaded_error', "the model's 529, before a stream");
};

subtest 'an error in a stream' => sub {
    my $r = message_stream($s, '[[stream:9:1]][[error:529:2]]',
                           model => 'lines');
    is_deeply([ $r->{status}, @$r{qw(text stop clean)} ],
              [ 200, 'tok1 tok2', undef, 1 ], 'what came before');
    my $last = $r->{events}[-1];
    is($last->{event}, 'error', 'is ended by an event');
    is_deeply([ @{ $last->{json} }{qw(type request_id)},
                $last->{json}{error}{type} ],
              [ 'error', $r->{headers}{'request-id'}, 'overloaded_error' ],
              'that says what it was');
    is(scalar(grep { $_->{event} =~ /^message_(?:delta|stop)$/ }
              @{ $r->{events} }), 0, 'nothing says it is complete');
    $r = message_stream($s, '[[sleep:1500]][[error:429]]', model => 'lines');
    is_deeply([ map { $_->{event} } grep { $_->{event} ne 'ping' }
                @{ $r->{events} } ], ['error'],
              'also behind a sign of life alone');
};

# --- HTTP -----------------------------------------------------------------

for ('//v1/messages', '/v1/messages/', '/v1/messages?beta=true',
     '/api/v1/messages', '/api//v1/messages/') {
    my $r = message($s, 'x', model => 'echo', -path => $_);
    is($r->{text}, 'x', $_);
    is_identified($r, $_);
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
for ({ 'x-api-key' => 'clb-key' }, { Authorization => 'Bearer clb-key' }) {
    is(message($s, 'x', model => 'echo', -headers => $_)->{text}, 'x',
       join ' ', 'a key as', keys %$_);
}
refused(message($s, 'x', model => 'echo'), 401, 'authentication_error',
        'no key');
refused(message($s, 'x', model => 'echo', -headers => {
            'x-api-key' => 'other' }), 401, 'authentication_error',
        'a wrong one');
refused(get_as($s, '/v1/models'), 401, 'authentication_error',
        'no models without it');
$s->stop;

done_testing;
