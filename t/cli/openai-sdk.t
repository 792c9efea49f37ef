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
        model => $model, %$body,
        messages => [ { role => 'user', content => $prompt } ] } });
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

subtest 'models' => sub {
    is_deeply(sdk(models => '')->{ids}, [$model, 'echo'], 'are listed');
};

close $in;
all_gone($s);
$s->stop;
done_testing;
