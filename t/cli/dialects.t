# One chat, asked in each of the four dialects: whichever it is, the model is
# told the same. With Claude Code and Codex between, streaming and not.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(system_of turns_of);
use CLB::Server;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';

my %model = (claude => 'claude-sonnet-4-6', codex => 'gpt-5.5');
my $m = CLB::Model->start;
my $s = CLB::Server->start(config => join '', map {
    $m->config(driver => $_, models => $model{$_}) } sort keys %model);

my $schema = { type => 'object', properties => { city => { type => 'string' } },
               required => ['city'] };
my ($rules, $see, $old, $more) = ("Be brief.\nAlways.", 'What is this? ü',
                                  'A dot.', 'And the weather in Oslo?');
my $called = '{"city":"Oslo"}';
my $goal   = '[[say:sunny]]';

# The chat in each dialect: path and body. Ids of calls are the client's.
my %chat = (
    chat => sub {
        my ($model, $stream) = @_;
        return '/v1/chat/completions', {
            model => $model, stream => $stream, max_completion_tokens => 3000,
            tools => [{ type => 'function', function => {
                name => 'weather', description => 'Look.',
                parameters => $schema } }],
            messages => [
                { role => 'system', content => $rules },
                { role => 'user', content => [
                    { type => 'text', text => $see },
                    { type => 'image_url', image_url => {
                        url => "data:image/png;base64,$pixel" } } ] },
                { role => 'assistant', content => $old },
                { role => 'user', content => $more },
                { role => 'assistant', content => JSON::PP::null,
                  tool_calls => [{ id => 'call_1', type => 'function',
                      function => { name => 'weather',
                                    arguments => $called } }] },
                { role => 'tool', tool_call_id => 'call_1',
                  content => 'warm' },
                { role => 'user', content => $goal } ] };
    },
    responses => sub {
        my ($model, $stream) = @_;
        return '/v1/responses', {
            model => $model, stream => $stream, max_output_tokens => 3000,
            instructions => $rules,
            tools => [{ type => 'function', name => 'weather',
                        description => 'Look.', parameters => $schema }],
            input => [
                { role => 'user', content => [
                    { type => 'input_text', text => $see },
                    { type => 'input_image',
                      image_url => "data:image/png;base64,$pixel" } ] },
                { role => 'assistant', content => [
                    { type => 'output_text', text => $old } ] },
                { role => 'user', content => $more },
                { type => 'function_call', call_id => 'call_1',
                  name => 'weather', arguments => $called },
                { type => 'function_call_output', call_id => 'call_1',
                  output => 'warm' },
                { role => 'user', content => $goal } ] };
    },
    messages => sub {
        my ($model, $stream) = @_;
        return '/v1/messages', {
            model => $model, stream => $stream, max_tokens => 3000,
            system => $rules,
            tools => [{ name => 'weather', description => 'Look.',
                        input_schema => $schema }],
            messages => [
                { role => 'user', content => [
                    { type => 'text', text => $see },
                    { type => 'image', source => {
                        type => 'base64', media_type => 'image/png',
                        data => $pixel } } ] },
                { role => 'assistant', content => $old },
                { role => 'user', content => $more },
                { role => 'assistant', content => [
                    { type => 'tool_use', id => 'call_1', name => 'weather',
                      input => { city => 'Oslo' } } ] },
                { role => 'user', content => [
                    { type => 'tool_result', tool_use_id => 'call_1',
                      content => 'warm' },
                    { type => 'text', text => $goal } ] } ] },
            'anthropic-version' => '2023-06-01';
    },
    gemini => sub {
        my ($model, $stream) = @_;
        return "/v1beta/models/$model:"
            . ($stream ? 'streamGenerateContent?alt=sse' : 'generateContent'), {
            generationConfig => { maxOutputTokens => 3000 },
            systemInstruction => { parts => [{ text => $rules }] },
            tools => [{ functionDeclarations => [{
                name => 'weather', description => 'Look.',
                parametersJsonSchema => $schema }] }],
            contents => [
                { role => 'user', parts => [
                    { text => $see },
                    { inlineData => { mimeType => 'image/png',
                                      data => $pixel } } ] },
                { role => 'model', parts => [{ text => $old }] },
                { role => 'user', parts => [{ text => $more }] },
                { role => 'model', parts => [{ functionCall => {
                    id => 'call_1', name => 'weather',
                    args => { city => 'Oslo' } } }] },
                { role => 'user', parts => [
                    { functionResponse => {
                        id => 'call_1', name => 'weather',
                        response => { output => 'warm' } } },
                    { text => $goal } ] } ] };
    },
);

# What of a request to the model is the client's. Whether a model thinks that
# was told nothing of it is for each API to say.
sub told {
    my ($body) = @_;
    return { system => system_of($body), turns => turns_of($body),
             map { $_ => $body->{$_} } qw(model max_tokens tools) };
}

for my $cli (sort keys %model) {
    my $first;
    for my $dialect (sort keys %chat) {
        for my $stream ($false, $true) {
            my $before = $m->requests;
            my ($path, $body, %headers)
                = $chat{$dialect}->($model{$cli}, $stream);
            my $r = $s->request('POST', $path, $body, headers => \%headers);
            my $name = "$cli, $dialect" . ($stream ? ' as a stream' : '');
            is($r->{status}, 200, "$name: an answer") or diag $r->{body};
            like($r->{body}, qr/sunny/, 'with the words');
            my @new = ($m->requests)[ $before .. $m->requests - 1 ];
            is(scalar @new, 1, 'for one request to the model');
            my $told = told($new[0]{body});
            $first ||= $told;
            is_deeply($told, $first, 'which is told the same')
                or diag explain $told;
        }
    }
    my $text = JSON::PP->new->canonical->encode($first);
    like($text, qr/\Q$_\E/, "$cli: $_ is in it")
        for 'Be brief.', 'What is this?', $pixel, 'A dot.', 'Oslo', 'warm';
}

$s->stop;
$m->stop;
done_testing;
