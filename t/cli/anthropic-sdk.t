# Anthropic's own SDK as the client, in both of its generations, a real CLI
# behind the server.

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

my %generations = (
    '@anthropic-ai/sdk'   => [ '2026-10-21', 'authorization' ],
    'anthropic-sdk-older' => [ '2023-06-01', 'x-api-key' ],
);

my $keys = File::Temp->new;
print $keys 'sdk:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . $m->config(models => "$model claude-*"));

my ($pid, $out, $in);

sub end_sdk {
    local ($?, $!);
    return unless $pid;
    close $in;
    waitpid $pid, 0;
    undef $pid;
}
END { end_sdk() }

# What the SDK makes of it.
sub sdk {
    my ($do, $prompt, %o) = @_;
    my $body = delete $o{body} || {};
    my $line = $json->encode({ do => $do, %o, body => {
        model => $model, $do eq 'count' ? () : (max_tokens => 2000),
        messages => [ { role => 'user', content => $prompt } ], %$body } });
    print $in "$line\n";
    $in->flush;
    return $json->decode(readline($out) // die "the SDK ended\n");
}

sub fails {
    my ($got, $class, $status, $type, $name) = @_;
    is_deeply([ @$got{qw(error status type)} ], [ $class, $status, $type ],
              $name) or diag explain $got;
}

my @tools = map { { name => $_, input_schema => { type => 'object',
    properties => { q => { type => 'string' } } } } } qw(look_up g);

sub create {
    my ($version, $header) = @_;
    my $got = sdk(create => '[[say:hi]][[usage:12:3]]');
    is_deeply([ map { @$_{qw(type text)} } @{ $got->{content} } ],
              [qw(text hi)], 'the text');
    is_deeply([ $got->{stop_reason}, @{ $got->{usage} }
                {qw(input_tokens output_tokens)} ], [ 'end_turn', 12, 3 ],
              'the end, and usage');
    like($got->{request_id}, qr/^req_/, 'the id of the request');
    is($got->{sent}{'anthropic-version'}, $version, 'its version');
    ok($got->{sent}{$header}, "its key in $header");
    is_deeply(turns_of($m->last->{body}),
              [ [ user => '[[say:hi]][[usage:12:3]]' ] ], 'the prompt');
}

sub streams {
    my $got = sdk(stream => '[[stream:5:10]]');
    is_deeply([ @$got{qw(text words)} ], [ 'tok1 tok2 tok3 tok4 tok5', 5 ],
              'word by word');
    is($got->{message}{content}[0]{text}, $got->{text}, 'put together');
    is_deeply($got->{events}, [ qw(message_start content_block_start),
              ('content_block_delta') x 5,
              qw(content_block_stop message_delta message_stop) ], 'events');

    $got = sdk(stream => '[[think:hm]][[say:x]]', body => {
        thinking => { type => 'enabled', budget_tokens => 1024 } });
    is_deeply($got->{message}{content}[0],
              { type => 'thinking', thinking => 'hm',
                signature => 'c2lnbmVk' }, 'thoughts');
    is($got->{thinking}, 'hm', 'as they come');

    $got = sdk(stream => '[[say:so]][[tool:look_up:{"q":"a"}]][[tool:g:{}]]',
               body => { tools => \@tools });
    is_deeply([ map { @$_{qw(name input)} } grep { $_->{type} eq 'tool_use' }
                @{ $got->{message}{content} } ],
              [ look_up => { q => 'a' }, g => {} ], 'calls');

    $got = sdk(stream => '[[stream:1000:50]]', leave => 2);
    is($got->{words}, 2, 'left after two words');
    is($m->ended($m->last->{n}, 1), 'closed', 'the model hears of it');
}

sub others {
    my $got = sdk(run => '[[tool:look_up:{"q":"a"}]]',
                  body => { tools => \@tools });
    is_deeply([ $got->{content}[0]{text}, $got->{ran} ],
              [ 'tool said: ran look_up',
                [ { name => 'look_up', input => { q => 'a' } } ] ],
              'tools that the SDK runs') or diag explain $got;
    cmp_ok(sdk(count => 'hello world')->{input_tokens}, '>', 0, 'a count');
    is_deeply([ @{ sdk(models => '')->{ids} }[0, -1] ], [ $model, 'echo' ],
              'models');
}

sub errors {
    my ($version) = @_;
    fails(sdk(create => 'x', options => { apiKey => 'clb-wrong' }),
          'AuthenticationError', 401, 'authentication_error', 'a wrong key');
    fails(sdk(create => 'x', body => { model => 'no-such-model' }),
          'NotFoundError', 404, 'not_found_error', 'an unknown model');
    fails(sdk(create => 'x', body => { messages => [] }), 'BadRequestError',
          400, 'invalid_request_error', 'no messages');
    fails(sdk(create => '[[error:429]]'), 'RateLimitError', 429,
          'rate_limit_error', "the vendor's 429");
    fails(sdk(create => '[[error:500]]'), 'InternalServerError', 502,
          'api_error', "the vendor's 500");
    my $got = sdk(create => 'x', body => { temperature => 0.5 });
    is($got->{status}, $version eq '2023-06-01' ? undef : 400,
       'a temperature, by version');
    $got = sdk(stream => '[[stream:9:20]][[error:529:3]]');
    like($got->{text}, qr/^tok1/, 'some words');
    is($got->{error}, 'APIError', 'then an exception');
    is($got->{message}{stop_reason}, undef, 'and no message')
        if ref $got->{message};
    is($got->{type}, 'overloaded_error', 'which names the reason');
}

for my $package (sort keys %generations) {
    my ($version, $header) = @{ $generations{$package} };
    $pid = open2($out, $in, cli('node'), "$FindBin::Bin/anthropic-sdk.mjs",
                 $package, $s->url(''), $key);
    subtest "$package: create"  => sub { create($version, $header) };
    subtest "$package: streams" => \&streams;
    subtest "$package: others"  => \&others;
    subtest "$package: errors"  => sub { errors($version) };
    end_sdk();
}

all_gone($s);
$s->stop;
done_testing;
