# Google's own SDK as the client, in both versions of its API, a real CLI behind
# the server.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";

use IPC::Open2;
use JSON::PP ();
use Test::More;

use CLB::Gemini qw(result);
use CLB::Model qw(all_gone cli system_of turns_of);
use CLB::Server;

my $json  = JSON::PP->new->utf8->canonical;
my $true  = JSON::PP::true;
my $model = 'claude-sonnet-4-6';
my $key   = 'clb-test-0123456789abcdef';

my $keys = File::Temp->new;
print $keys 'sdk:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . $m->config(models => "$model claude-*"));

my $pid = open2(my $out, my $in, cli('node'), "$FindBin::Bin/google-sdk.mjs",
                $s->url(''), $key);

sub end_sdk {
    local ($?, $!);
    return unless $pid;
    close $in;
    waitpid $pid, 0;
    undef $pid;
}
END { end_sdk() }

my %version;    # what is tried right now

# What the SDK makes of it.
sub sdk {
    my ($do, $prompt, %o) = @_;
    my $body = delete $o{body} || {};
    my $options = { %version, %{ delete $o{options} || {} } };
    my $line = $json->encode({ do => $do, options => $options, %o, body => {
        model => $model, contents => $prompt, %$body } });
    print $in "$line\n";
    $in->flush;
    return $json->decode(readline($out) // die "the SDK ended\n");
}

sub fails {
    my ($got, $status, $status_name, $name) = @_;
    is_deeply([ @$got{qw(error status name)} ],
              [ 'ApiError', $status, $status_name ], $name)
        or diag explain $got;
}

my @functions = (tools => [ { functionDeclarations => [
    { name => 'look_up', description => 'Look it up.', parameters => {
        type => 'OBJECT', properties => { q => {
            type => 'STRING', nullable => $true } } } },
    { name => 'g', parametersJsonSchema => { type => 'object' } } ] } ]);

sub create {
    my ($path) = @_;
    my $got = sdk(create => '[[say:hi]][[usage:12:3]]', body => {
        config => { systemInstruction => 'Be brief.', stopSequences => ['X'],
                    maxOutputTokens => 99 } });
    is_deeply([ @$got{qw(text finish model)}, @{ $got->{usage} }
                {qw(promptTokenCount candidatesTokenCount totalTokenCount)} ],
              [ 'hi', 'STOP', $model, 12, 3, 15 ], 'an answer')
        or diag explain $got;
    is_deeply($got->{sent}, { path => "POST $path/models/$model"
              . ':generateContent', key => 'x-goog-api-key' },
              'how it is asked for');
    my $body = $m->last->{body};
    is_deeply([ system_of($body), turns_of($body),
                @$body{qw(max_tokens stop_sequences)} ],
              [ ['Be brief.'], [ [ user => '[[say:hi]][[usage:12:3]]' ] ],
                99, ['X'] ], 'what the model is told');

    $got = sdk(create => '[[think:hm]][[say:x]]', body => { config => {
        thinkingConfig => { includeThoughts => $true } } });
    is_deeply($got->{parts}, [ { text => 'hm', thought => $true },
              { text => 'x' } ], 'thoughts');
    is($got->{text}, 'x', 'are no text');
    is_deeply(sdk(create => '[[think:hm]][[say:x]]')->{parts},
              [ { text => 'x' } ], 'nor shown unless asked for');
    is(sdk(create => '[[say:cut]][[finish:length]]')->{finish}, 'MAX_TOKENS',
       'a limit');
    is(sdk(create => '[[say:No.]][[finish:content_filter]]')->{finish},
       'SAFETY', 'a refusal');

    $got = sdk(create => '[[say:{"a":null}]]', body => { config => {
        responseMimeType => 'application/json', responseSchema => {
            type => 'OBJECT', properties => { a => {
                type => 'STRING', nullable => $true } } } } });
    is($got->{text}, '{"a":null}', 'JSON') or diag explain $got;
    is_deeply($m->last->{body}{output_config}{format}{schema}, {
        type => 'object', properties => { a => {
            type => [ 'string', 'null' ] } } }, 'by a schema');
}

my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';

sub parts {
    my $got = sdk(create => [ { role => 'user', parts => [
        { inlineData => { mimeType => 'image/png', data => $pixel } },
        { inlineData => { mimeType => 'application/pdf',
                          data => 'JVBERi0=' } },
        { text => '[[images]]' } ] } ]);
    is($got->{text}, 'images=1;', 'an image') or diag explain $got;
    is_deeply([ map { ref() ? @$_{qw(type)} : $_ }
                @{ turns_of($m->last->{body})->[0] } ],
              [ qw(user image document), '[[images]]' ], 'and a document');
    $got = sdk(create => [ { role => 'user', parts => [ { fileData => {
        fileUri => 'https://x.org/a.png', mimeType => 'image/png' } } ] } ]);
    fails($got, 400, 'INVALID_ARGUMENT', 'a file by its URI');
    like($got->{message}, qr/inlineData/, 'with what to do');
}

sub streams {
    my $got = sdk(stream => '[[stream:5:10]]');
    is_deeply([ @$got{qw(text words finish)} ],
              [ 'tok1 tok2 tok3 tok4 tok5', 5, 'STOP' ], 'word by word');
    cmp_ok($got->{usage}{totalTokenCount}, '>', 0, 'with usage');
    $got = sdk(stream => '[[think:hm]][[say:x]]', body => { config => {
        thinkingConfig => { includeThoughts => $true,
                            thinkingBudget => 1024 } } });
    is_deeply([ @$got{qw(thoughts text)} ], [ 'hm', 'x' ], 'thoughts');
    $got = sdk(stream => '[[say:so]][[tool:look_up:{"q":"a"}]][[tool:g:{}]]',
               body => { config => { @functions } });
    is_deeply([ map { @$_{qw(name args)} } @{ $got->{calls} } ],
              [ look_up => { q => 'a' }, g => {} ], 'calls, each of them whole')
        or diag explain $got;
    is($got->{finish}, 'STOP', 'and the end');

    $got = sdk(stream => '[[stream:1000:50]]', leave => 2);
    is($got->{words}, 2, 'left after two words');
    is($m->ended($m->last->{n}, 1), 'closed', 'the model hears of it');
}

sub chats {
    for my $streamed ($true, JSON::PP::false) {
        my $got = sdk(chat => undef, streamed => $streamed, body => {
            config => { @functions }, prompts => [
                '[[say:so]][[tool:look_up:{"q":"a"}]][[tool:look_up:{}]]',
                [ result('look_up', { output => 'one' }),
                  result('look_up', { error => 'two' }) ],
                '[[find:tool said]]' ] });
        is_deeply([ map { $_->{text} } @{ $got->{answers} }[ 1, 2 ] ],
                  [ 'tool said: one | two', 'found tool said;' ],
                  'results without ids, and a question more')
            or diag explain $got;
        is_deeply([ map { $_->{is_error} } grep { ref eq 'HASH'
                    && $_->{type} eq 'tool_result' }
                    map { @$_ } @{ turns_of($m->last->{body}) } ],
                  [ undef, $true ], 'and which failed');
    }
}

sub others {
    my $got = sdk(run => '[[tool:look_up:{"q":"a"}]][[tool:g:{}]]',
                  names => [qw(look_up g)]);
    is_deeply([ @$got{qw(text ran)} ],
              [ 'tool said: ran look_up | ran g',
                [ { name => 'look_up', args => { q => 'a' } },
                  { name => 'g', args => {} } ] ],
              'functions that the SDK calls') or diag explain $got;
    for (['ANY', { type => 'tool', name => 'g' }, ['g']], ['AUTO', undef]) {
        my ($mode, $choice, $allowed) = @$_;
        sdk(create => '[[say:x]]', body => { config => { @functions,
            toolConfig => { functionCallingConfig => { mode => $mode,
                $allowed ? (allowedFunctionNames => $allowed) : () } } } });
        is_deeply($m->last->{body}{tool_choice}, $choice, "mode $mode");
    }
    cmp_ok(sdk(count => 'hello world')->{totalTokens}, '>', 0, 'a count');
}

sub models {
    my ($path) = @_;
    my $got = sdk(models => '', get => 'claude-no-list');
    my @ours = grep { m{^models/(?:\Q$model\E|echo)$} } @{ $got->{names} };
    is_deeply(\@ours, [ "models/$model", 'models/echo' ], 'models')
        or diag explain $got;
    is($got->{list}{path}, "GET $path/models", 'are found there');
    is($got->{one}{name}, 'models/claude-no-list', 'and one by its name');
}

sub errors {
    fails(sdk(create => 'x', options => { apiKey => 'clb-wrong' }), 401,
          'UNAUTHENTICATED', 'a wrong key');
    fails(sdk(models => '', get => 'x', options => { apiKey => 'no' }), 401,
          'UNAUTHENTICATED', 'for models');
    fails(sdk(create => 'x', body => { model => 'no-such-model' }), 404,
          'NOT_FOUND', 'an unknown model');
    fails(sdk(create => '[[error:429]]'), 429, 'RESOURCE_EXHAUSTED',
          "the vendor's 429");
    fails(sdk(create => '[[error:500]]'), 502, 'UNAVAILABLE',
          "the vendor's 500");
    fails(sdk(stream => '[[error:429]]'), 429, 'RESOURCE_EXHAUSTED',
          'before a stream');
    my $got = sdk(stream => '[[stream:9:20]][[error:500:3]]');
    like($got->{text}, qr/^tok1/, 'some words');
    fails($got, 502, 'UNAVAILABLE', 'then an exception');
    is($got->{finish}, undef, 'and no end');
}

for my $api (qw(v1 v1beta)) {
    %version = $api eq 'v1' ? () : (apiVersion => $api);
    subtest "$api: create"  => sub { create("/$api") };
    subtest "$api: parts"   => \&parts;
    subtest "$api: streams" => \&streams;
    subtest "$api: chats"   => \&chats;
    subtest "$api: others"  => \&others;
    subtest "$api: models"  => sub { models("/$api") };
    subtest "$api: errors"  => \&errors;
}
end_sdk();

all_gone($s);
$s->stop;
done_testing;
