# The vendor's own SDK as the client, a real CLI behind the server.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";

use IPC::Open2;
use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone cli turns_of);
use CLB::Server;

my $json  = JSON::PP->new->utf8->canonical;
my $model = 'claude-sonnet-4-6';
my $key   = 'clb-test-0123456789abcdef';

my $keys = File::Temp->new;
print $keys 'sdk:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . $m->config(models => "$model claude-*"));

my $pid = open2(my $out, my $in, cli('node'), "$FindBin::Bin/sdk.mjs",
                $s->url('/v1'), $key);
END {
    if ($pid) {
        local ($?, $!);
        kill TERM => $pid;
        waitpid $pid, 0;
    }
}

# What the SDK makes of it.
sub sdk {
    my ($do, $prompt, %o) = @_;
    my $body = delete $o{body} || {};
    my $line = $json->encode({ do => $do, %o, body => {
        model => $model,
        $do =~ /^respond/ ? (input => $prompt)
            : (messages => [ { role => 'user', content => $prompt } ]),
        %$body } });
    print $in "$line\n";
    $in->flush;
    return $json->decode(readline($out) // die "the SDK ended\n");
}

sub fails {
    my ($got, $class, $status, $code, $name) = @_;
    is_deeply([ @$got{qw(error status code)} ], [ $class, $status, $code ],
              $name) or diag explain $got;
}

subtest 'create' => sub {
    my $got = sdk(create => '[[say:hi]][[usage:12:3]]');
    is($got->{choices}[0]{message}{content}, 'hi', 'the text');
    is($got->{choices}[0]{finish_reason}, 'stop', 'the end');
    is($got->{usage}{total_tokens}, 15, 'usage');
    like($got->{request_id}, qr/^req_/, 'the id of the request');
    is_deeply(turns_of($m->last->{body}),
              [ [ user => '[[say:hi]][[usage:12:3]]' ] ], 'the prompt');
};

subtest 'stream' => sub {
    my $got = sdk(stream => '[[stream:5:10]]', body => {
        stream_options => { include_usage => JSON::PP::true } });
    is($got->{text}, 'tok1 tok2 tok3 tok4 tok5', 'the text');
    is($got->{words}, 5, 'word by word');
    is($got->{finish}, 'stop', 'the end');
    is($got->{usage}{completion_tokens}, 5, 'usage');
    $got = sdk(gather => '[[stream:3:1]]');
    is($got->{choices}[0]{message}{content}, 'tok1 tok2 tok3', 'put together');
};

subtest 'abort' => sub {
    my $got = sdk(stream => '[[stream:1000:50]]', leave => 2);
    is($got->{words}, 2, 'after two words');
    is($m->ended($m->last->{n}, 1), 'closed', 'the model hears of it');
};

subtest 'errors are of the class that programs catch' => sub {
    fails(sdk(create => 'x', options => { apiKey => 'clb-wrong' }),
          'AuthenticationError', 401, 'invalid_api_key', 'a wrong key');
    fails(sdk(create => 'x', body => { model => 'no-such-model' }),
          'NotFoundError', 404, 'model_not_found', 'an unknown model');
    fails(sdk(create => 'x', body => { temperature => 9 }),
          'BadRequestError', 400, undef, 'a bad field');
    fails(sdk(create => '[[error:400]]'), 'BadRequestError', 400, undef,
          "the vendor's 400");
    fails(sdk(create => '[[error:429]]'), 'RateLimitError', 429,
          'rate_limit_exceeded', "the vendor's 429");
    fails(sdk(create => '[[error:500]]'), 'InternalServerError', 502,
          'upstream_error', "the vendor's 500");
    fails(sdk(create => '[[sleep:60000]]', options => { timeout => 700 }),
          'APIConnectionTimeoutError', undef, undef, 'its own patience');
    like(sdk(create => 'x', body => { temperature => 9 })->{request_id},
         qr/^req_/, 'with the id of the request');
};

subtest 'an error in a stream' => sub {
    my $got = sdk(stream => '[[stream:9:20]][[error:500:3]]');
    like($got->{text}, qr/^tok1/, 'some words');
    fails($got, 'APIError', undef, 'upstream_error', 'then an exception');
    is($got->{finish}, undef, 'no end');
};

my @function = map { { type => 'function', name => $_, strict => JSON::PP::false,
    parameters => { type => 'object', properties => {
        q => { type => 'string' } } } } } qw(look_up);

subtest 'responses' => sub {
    my $got = sdk(respond => '[[say:hi]][[usage:12:3]]');
    is_deeply([ @$got{qw(output_text status)}, $got->{usage}{total_tokens} ],
              [ 'hi', 'completed', 15 ], 'the text, the end, usage')
        or diag explain $got;
    like($got->{request_id}, qr/^req_/, 'the id of the request');
    is_deeply(turns_of($m->last->{body}),
              [ [ user => '[[say:hi]][[usage:12:3]]' ] ], 'the prompt');

    my @input = ({ role => 'user', content => '[[think:hm]][[say:so]]'
                       . '[[tool:look_up:{"q":"a"}]]' });
    my %more = (tools => \@function,
                include => ['reasoning.encrypted_content']);
    $got = sdk(respond => '', body => { input => \@input, %more });
    is_deeply([ map { $_->{type} } @{ $got->{output} } ],
              [qw(reasoning message function_call)], 'items');
    push @input, @{ $got->{output} }, { type => 'function_call_output',
        call_id => $got->{output}[-1]{call_id}, output => 'found' };
    $got = sdk(respond => '', body => { input => \@input, %more });
    is($got->{output_text}, 'tool said: found', 'sent back with a result')
        or diag explain $got;
    my ($said) = grep { $_->[0] eq 'assistant' }
        @{ turns_of($m->last->{body}) };
    is_deeply($said->[1], { type => 'thinking', thinking => 'hm',
                            signature => 'c2lnbmVk' },
              'thoughts reach the model as it gave them');
};

subtest 'streams of responses' => sub {
    my $got = sdk(respondStream => '[[stream:5:10]]');
    is_deeply([ @$got{qw(text words)}, $got->{response}{output_text} ],
              [ 'tok1 tok2 tok3 tok4 tok5', 5, 'tok1 tok2 tok3 tok4 tok5' ],
              'word by word, and put together') or diag explain $got;
    is($got->{events}[-1], 'response.completed', 'the end');
    $got = sdk(respondStream => '[[say:so]][[tool:look_up:{"q":"a"}]]',
               body => { tools => \@function });
    is($got->{response}{output}[1]{arguments}, '{"q":"a"}', 'a call');
    $got = sdk(respondStream => '[[stream:1000:50]]', leave => 2);
    is($got->{words}, 2, 'left after two words');
    is($m->ended($m->last->{n}, 1), 'closed', 'the model hears of it');
    $got = sdk(respondStream => '[[stream:9:20]][[error:500:3]]');
    like($got->{text}, qr/^tok1/, 'some words');
    fails($got, 'APIError', undef, 'upstream_error', 'then an exception');
    is($got->{response}, undef, 'and no response');
};

subtest 'errors of responses' => sub {
    fails(sdk(respond => '[[error:429]]'), 'RateLimitError', 429,
          'rate_limit_exceeded', "the vendor's 429");
    fails(sdk(respond => 'x', body => { model => 'no-such-model' }),
          'NotFoundError', 404, 'model_not_found', 'an unknown model');
    fails(sdk(respond => 'x', body => { previous_response_id => 'resp_1' }),
          'BadRequestError', 400, 'previous_response_not_found',
          'what is not stored');
};

subtest 'models' => sub {
    my @ids = @{ sdk(models => '')->{ids} };
    is_deeply([ grep { /^(?:\Q$model\E|echo)$/ } @ids ], [$model, 'echo'],
              'are listed') or diag explain \@ids;
};

close $in;
all_gone($s);
$s->stop;
done_testing;
