# Google's Gemini API, models/M:generateContent and its like below /v1beta and
# /v1: shapes, both kinds of streams, models and refusals, with programs behind
# it that say what they are told.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Gemini qw(call gemini gemini_stream model result user);
use CLB::Server;
use CLB::Talk qw(fake_claude rested upstream);

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
    CLIBridgeModels lines vendor/lines lines:8b
    \@MARK\@
</CLIBridgeBackend>
CLIBridgeAlias gemini-2.5-pro lines
CLIBridgeDefaultModel one
CLIBridgeKeepAlive 1
<Location /google>
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
<Location /tags>
    SetHandler clibridge
    CLIBridgeReasoning tags
</Location>
<Location /denied>
    SetHandler clibridge
    Require all denied
</Location>
EOT

# An error as this API has it. Returns the message.
sub refused {
    my ($r, $status, $name_of_it, $name, $field) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $json  = ref $r->{json} eq 'HASH' ? $r->{json} : {};
    my $error = ref $json->{error} eq 'HASH' ? $json->{error} : {};
    my ($bad) = grep { $_->{'@type'} =~ /BadRequest$/ }
                @{ $error->{details} || [] };
    is_deeply([ $r->{status}, @$error{qw(code status)},
                join(' ', keys %$json), join(' ', sort keys %$error),
                $bad && $bad->{fieldViolations}[0]{field} ],
              [ $status, $status, $name_of_it, 'error',
                'code details message status', $field ], $name)
        or diag "$r->{raw}\n$r->{body}";
    like($r->{headers}{'x-request-id'} // '', qr/^req_/, 'with an id');
    return $error->{message} // '';
}

my @thoughts = ('generationConfig.thinkingConfig.includeThoughts' => $true);

# The three ways to ask.
my %ways = (
    whole  => \&gemini,
    events => \&gemini_stream,
    array  => sub { gemini_stream(@_, -array => 1) },
);

# --- answers --------------------------------------------------------------

subtest 'a whole answer' => sub {
    my $r = gemini($s, '[[say:Grüße, 你好]][[usage:12:3]]',
                   model => 'gemini-2.5-pro');
    my $id = delete $r->{json}{responseId};
    is("req_$id", $r->{headers}{'x-request-id'}, 'responseId');
    is_deeply($r->{json}, {
        modelVersion => 'gemini-2.5-pro',
        candidates => [ { index => 0, finishReason => 'STOP', content => {
            role => 'model', parts => [ { text => 'Grüße, 你好' } ] } } ],
        usageMetadata => { promptTokenCount => 12, totalTokenCount => 15,
                           candidatesTokenCount => 3 },
    }, 'every member') or diag $r->{body};
    is_deeply(gemini($s, '', model => 'echo')->{parts}, [ { text => '' } ],
              'an empty one');
};

subtest 'streams' => sub {
    my %type = (events => 'text/event-stream', array => 'application/json');
    for my $way (sort keys %type) {
        my $r = $ways{$way}->($s, '[[think:hm]][[stream:3:1]][[usage:12:3]]',
                              model => 'lines', @thoughts);
        is($r->{headers}{'content-type'}, $type{$way}, "$way: its type");
        is_deeply([ @$r{qw(grammar text thoughts finish)} ],
                  [ undef, 'tok1 tok2 tok3', 'hm', 'STOP' ], 'its pieces')
            or diag explain $r->{pieces};
        is_deeply($r->{parts}, [ { text => 'hm', thought => $true },
                  { text => 'tok1' }, { text => ' tok2' }, { text => ' tok3' },
                  { text => '' } ], 'part by part');
        is_deeply([ @{ $r->{usage} }{qw(promptTokenCount totalTokenCount)} ],
                  [ 12, 15 ], 'usage at the end');
        $r = $ways{$way}->($s, '', model => 'echo');
        is_deeply([ @$r{qw(grammar text finish)}, scalar @{ $r->{pieces} } ],
                  [ undef, '', 'STOP', 1 ], 'one without a word');
    }
};

subtest 'ends' => sub {
    for my $way (sort keys %ways) {
        my $ask = $ways{$way};
        for my $model (qw(lines one)) {
            my $r = $ask->($s, '[[say:one S]][[say:TO]][[say:P two]]',
                           model => $model, 'generationConfig.stopSequences'
                           => [ 'x', 'STOP' ]);
            is_deeply([ @$r{qw(text finish)} ], [ 'one ', 'STOP' ],
                      "$way, $model: cut at a stop sequence");
        }
        is($ask->($s, '[[say:x]][[finish:length]]', model => 'lines')
               ->{finish}, 'MAX_TOKENS', 'a limit');
    }
};

subtest 'thoughts' => sub {
    for my $way (sort keys %ways) {
        my @prompt = ($s, '[[think:hm]][[say:x]]', model => 'lines');
        my $ask = $ways{$way};
        is_deeply([ @{ $ask->(@prompt) }{qw(thoughts text)} ], [ '', 'x' ],
                  "$way: not shown unless asked for");
        is_deeply([ @{ $ask->(@prompt, @thoughts) }{qw(thoughts text)} ],
                  [ 'hm', 'x' ], 'else as parts of their own');
        is_deeply([ @{ $ask->(@prompt, @thoughts, -where => '/tags') }
                    {qw(thoughts text)} ], [ 'hm', 'x' ], 'never in the text');
    }
};

subtest 'signs of life' => sub {
    my $sleeps = { contents => [ user('[[sleep:2500]][[say:x]]') ] };
    for (['alt=sse', qr/\A\n{2,}data: \{.*\}\n\n\z/s],
         ['', qr/\A\n{2,}\[\{.*\}\]\n\z/s]) {
        my ($query, $shape) = @$_;
        my $r = $s->request('POST', '/v1/models/lines:streamGenerateContent?'
                            . $query, $sleeps);
        like($r->{body}, $shape, "are white space: $query");
    }
    is_deeply([ @{ gemini_stream($s, '[[sleep:1500]][[say:x]]',
                                 model => 'lines') }{qw(text grammar)} ],
              [ 'x', undef ], 'before the answer');
};

# --- requests -------------------------------------------------------------

subtest 'what the program is told' => sub {
    my $ask = sub { gemini($s, @_, model => 'lines')->{text} };
    for (qw(systemInstruction system_instruction)) {
        is($ask->('[[find:needle]]', $_ => { parts => [ { text => 'a' },
               { text => 'needle' } ] }), 'found needle;', $_);
    }
    is($ask->([ user('one'), model('two'), model(' and three'),
                user('[[find:one]]', '[[find:two and three]]') ]),
       'found one;found two and three;', 'a history');
    is($ask->({ parts => { text => '[[say:x]]' } }), 'x',
       'lists of one without brackets');
};

subtest 'fields that nobody honours' => sub {
    my @odd = (model => 'lines', noSuchField => 1,
               labels => { a => 'b' }, 'generationConfig.seed' => 0,
               tools => [ { googleSearch => {} } ]);
    my $r = gemini($s, '[[say:x]]', @odd);
    is_deeply([ $r->{text}, $r->{headers}{'x-clibridge-ignored'} ],
              [ 'x', 'generationConfig.seed, tools[0].googleSearch' ],
              'are told');
    like(refused(gemini($s, 'x', @odd, -where => '/strict'), 400,
                 'INVALID_ARGUMENT', 'or refused',
                 'generationConfig.seed, tools[0].googleSearch'),
         qr/tools\[0\]\.googleSearch/, 'by name');
    refused(gemini($s, 'x', model => 'lines', tools => [
                { functionDeclarations => [ { name => 'f' } ] } ]), 400,
            'INVALID_ARGUMENT', 'what this CLI cannot', 'tools');
    like(refused(gemini($s, [ { parts => [ { fileData => {
                     fileUri => 'https://x.org/a.png' } } ] } ],
                     model => 'claude'), 400, 'INVALID_ARGUMENT',
                 'files by their URI', 'contents[0].parts[0]'),
         qr/send inlineData/, 'it says what to do');
    refused(gemini($s, [ user('q'), model('The answer is (') ],
                   model => 'claude'), 400, 'INVALID_ARGUMENT',
            'an answer that is begun', 'contents');
};

subtest 'a conversation goes on in its process' => sub {
    my $before = rested($s, 'claude')->{hits};
    my @talk = (user('[[think:hm]][[say:one]]'));
    my $r = gemini_stream($s, \@talk, model => 'claude', @thoughts);
    rested($s, 'claude');
    push @talk, (map { model($_) } @{ $r->{parts} }), user('[[say:two]]');
    is(gemini($s, \@talk, model => 'claude', @thoughts)->{text}, 'two',
       'with thoughts, and each piece as a content');
    is(rested($s, 'claude')->{hits}, $before + 1, 'the same');
    my @pids = map { $_->{pid} } (upstream($s))[-2, -1];
    is($pids[0], $pids[1], 'one process');
};

# --- counting -------------------------------------------------------------

subtest 'countTokens' => sub {
    my $count = sub {
        my ($body) = @_;
        my $r = $s->request('POST', '/v1beta/models/claude:countTokens',
                            $body);
        is_deeply([ keys %{ $r->{json} } ], ['totalTokens'], 'a number')
            or diag $r->{body};
        return $r->{json}{totalTokens};
    };
    my $short = $count->({ contents => [ user('short') ] });
    cmp_ok($short, '>', 0, 'of something');
    my $all = { contents => [ user('short') ], systemInstruction => {
                parts => [ { text => 'be brief' } ] } };
    cmp_ok($count->($all), '>', $short, 'the system prompt counts');
    is($count->({ generateContentRequest => { model => 'models/claude',
                  %$all } }), $count->($all), 'also in a whole request');
    is($s->request('POST', '/v1/messages/count_tokens', { model => 'claude',
           system => 'be brief', messages => [ { role => 'user',
           content => 'short' } ] }, headers => {
           'anthropic-version' => '2023-06-01' })->{json}{input_tokens},
       $count->($all), 'as many as in Messages');
    refused($s->request('POST', '/v1beta/models/no-such:countTokens',
                        { contents => [ user('x') ] }), 404, 'NOT_FOUND',
            'of an unknown model');
    refused($s->request('POST', '/v1beta/models/claude:countTokens', {}), 400,
            'INVALID_ARGUMENT', 'of nothing', 'contents');
};

# --- models ---------------------------------------------------------------

my @google = (headers => { 'x-goog-api-key' => 'any' });

subtest 'models' => sub {
    for (['/v1beta/models'], ['/v1beta/models?pageSize=100'],
         ['/google/v1beta/models'], ['/v1/models', @google],
         ['/v1/models?key=any']) {
        my ($path, @with) = @$_;
        my $r = $s->request('GET', $path, undef, @with);
        is_deeply([ sort map { $_->{name} } @{ $r->{json}{models} } ],
                  [ map { "models/$_" } qw(claude echo gemini-2.5-pro lines
                    lines:8b one vendor/lines) ], join ' ', @$_)
            or diag $r->{body};
    }
    for (['/v1beta/models/vendor/lines'], ['/v1beta/models/vendor%2Flines'],
         ['/v1/models/vendor/lines', @google],
         ['/v1/models/vendor/lines?key=any']) {
        my ($path, @with) = @$_;
        is_deeply($s->request('GET', $path, undef, @with)->{json}, {
            name => 'models/vendor/lines', displayName => 'vendor/lines',
            supportedGenerationMethods => [ qw(generateContent
                streamGenerateContent countTokens) ] }, join ' ', @$_);
    }
    is($s->get('/v1beta/models/lines:8b')->{json}{name}, 'models/lines:8b',
       'a name with a colon');
    for (['/v1beta/models/no-such'], ['/v1/models/no-such', @google]) {
        my ($path, @with) = @$_;
        refused($s->request('GET', $path, undef, @with), 404, 'NOT_FOUND',
                join ' ', @$_);
    }
    is($s->get('/v1/models')->{json}{object}, 'list',
       "OpenAI's without such a key");
    is($s->request('GET', '/v1/models', undef, headers => {
           'x-goog-api-key' => 'any', Authorization => 'Bearer any' })
           ->{json}{object}, 'list', 'or with another, too');
    is($s->request('GET', '/v1/models', undef, headers => {
           'x-goog-api-key' => 'any', 'anthropic-version' => '2023-06-01' })
           ->{json}{has_more}, JSON::PP::false, "Anthropic's by its header");
};

# --- names in paths -------------------------------------------------------

for (qw(/v1beta/models/vendor/lines /v1/models/vendor/lines
        /v1beta/models/vendor%2Flines /v1beta/models/models/vendor/lines
        /v1beta/models/models%2fvendor%2flines //v1beta//models/vendor/lines
        /google/v1beta/models/vendor/lines /google/models/vendor/lines
        /google/v1/projects/p/locations/l/publishers/g/models/vendor/lines
        /v1beta/models/lines:8b)) {
    is(gemini($s, '[[say:x]]', -path => "$_:generateContent")->{text}, 'x',
       $_);
}
is(gemini($s, '[[say:x]]', -path => '/v1beta/models/lines%3AgenerateContent')
       ->{text}, 'x', 'an encoded colon');
is(gemini($s, '[[say:x]]', -path => '/v1beta/models/:generateContent')
       ->{text}, 'x', 'no name');
is(gemini_stream($s, '[[say:x]]', -path =>
       '/v1beta/models/lines:streamGenerateContent?a=b&$x')->{text}, 'x',
   'alt=sse behind others');
is($s->request('OPTIONS', '/v1beta/models/lines:generateContent')->{status},
   204, 'OPTIONS');

# --- refusals -------------------------------------------------------------

subtest 'refusals' => sub {
    my $path = '/v1beta/models/lines:generateContent';
    my @lines = (model => 'lines');
    refused(gemini($s, 'x', model => 'no-such'), 404, 'NOT_FOUND',
            'an unknown model');
    refused(gemini($s, 'x', model => 'x' x 300), 400, 'INVALID_ARGUMENT',
            'too long a name', 'model');
    refused(gemini($s, 'x', model => '%ff%22'), 404, 'NOT_FOUND',
            'one that is no text');
    refused($s->post($path, '{'), 400, 'INVALID_ARGUMENT', 'broken JSON');
    refused($s->get($path), 405, 'INVALID_ARGUMENT', 'GET');
    refused($s->post('/v1beta/models', {}), 405, 'INVALID_ARGUMENT', 'POST');
    refused($s->get($_), 404, 'NOT_FOUND', $_)
        for qw(/v1beta /v1beta/ /v1beta/no-such /v1beta/modelsx
               /v1beta/chat/completions /v1beta/health);
    refused($s->post("/v1/models/lines:$_", {}), 404, 'NOT_FOUND', $_)
        for qw(embedContent batchEmbedContents);
    refused($s->post('/small/v1beta/models/lines:generateContent',
                     { pad => 'x' x 1500 }), 413, 'INVALID_ARGUMENT',
            'too large');
    refused(gemini($s, 'x', @lines, -where => '/denied'), 403,
            'PERMISSION_DENIED', 'denied by another module');
    my $r = gemini($s, '[[error:429]]', @lines);
    refused($r, 429, 'RESOURCE_EXHAUSTED', "the model's 429");
    like($r->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After');
    refused(gemini($s, '[[error:500]]', @lines), 502, 'UNAVAILABLE',
            "the model's 500");
    refused(gemini_stream($s, '[[error:529]]', @lines), 503, 'UNAVAILABLE',
            "the model's 529, before a stream");
    refused(gemini_stream($s, '[[error:529]]', @lines, -array => 1), 503,
            'UNAVAILABLE', 'and before an array');
};

subtest 'an error in a stream' => sub {
    for my $way (qw(events array)) {
        my $ask = $ways{$way};
        my $r = $ask->($s, '[[stream:9:1]][[error:529:2]]', model => 'lines');
        is_deeply([ $r->{status}, @$r{qw(text finish usage)} ],
                  [ 200, 'tok1 tok2', undef, undef ],
                  "$way: what came before") or diag explain $r;
        is_deeply([ @{ $r->{pieces}[-1]{error} }{qw(code status)} ],
                  [ 503, 'UNAVAILABLE' ], 'then what it was');
        is($r->{json}, undef, 'an array stays open') if $way eq 'array';
        $r = $ask->($s, '[[sleep:1500]][[error:429]]', model => 'lines');
        is_deeply([ $r->{status}, map { $_->{error}{code} }
                    @{ $r->{pieces} } ], [ 200, 429 ],
                  'also behind a sign of life alone') or diag explain $r;
    }
};

$s->idle_ok;
$s->stop;

# --- keys -----------------------------------------------------------------

my $keys = File::Temp->new;
print $keys 'me:', sha256_hex('clb-key'), ":chat\n";
close $keys;
chmod 0644, "$keys";    # httpd's workers do not read it, but may
$s = CLB::Server->start(config => "CLIBridgeKeyFile $keys");
for ({ 'x-goog-api-key' => 'clb-key' }, { Authorization => 'Bearer clb-key' }) {
    is(gemini($s, 'x', model => 'echo', -headers => $_)->{text}, 'x',
       join ' ', 'a key as', keys %$_);
}
is(gemini_stream($s, 'x', -path =>
       '/v1beta/models/echo:streamGenerateContent?key=clb-key')->{text}, 'x',
   'and in the query');
refused(gemini($s, 'x', model => 'echo'), 401, 'UNAUTHENTICATED', 'no key');
refused(gemini($s, 'x', model => 'echo', -headers => {
            'x-goog-api-key' => 'other' }), 401, 'UNAUTHENTICATED',
        'a wrong one');
refused($s->request('GET', $_, undef, @google), 401, 'UNAUTHENTICATED',
        "no $_ with it") for qw(/v1/models /v1beta/models);
$s->stop;

done_testing;
