# POST /v1/completions: the legacy API's shapes; the prompt is a user message.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $s = CLB::Server->start(config => <<'EOT');
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
EOT

sub complete {
    my ($prompt, %o) = @_;
    return $s->post('/v1/completions',
                    { model => 'lines', prompt => $prompt, %o });
}

# CLB::Client's stream wants messages; the rest of it fits.
sub complete_stream {
    my ($prompt, %o) = @_;
    return $s->stream('', model => 'lines', prompt => $prompt, %o,
                      -path => '/v1/completions');
}

sub fixed {
    my ($answer) = @_;
    my %fixed = %$answer;
    like(delete $fixed{id}, qr/^cmpl-[0-9a-f]{24}$/, 'an id');
    cmp_ok(abs(delete($fixed{created}) - time), '<', 60, 'created now');
    return \%fixed;
}

my $usage = { prompt_tokens => 3, completion_tokens => 4, total_tokens => 7,
              prompt_tokens_details     => { cached_tokens => 0 },
              completion_tokens_details => { reasoning_tokens => 0 } };

sub choice {
    my ($text, $finish) = @_;
    return { text => $text, index => 0, logprobs => undef,
             finish_reason => $finish };
}

subtest 'a whole answer' => sub {
    my $r = complete('[[think:hm]][[say:Hi]][[usage:3:4]]');
    is($r->{headers}{'content-type'}, 'application/json', 'type');
    is_deeply(fixed($r->{json}), {
        object => 'text_completion', model => 'lines',
        choices => [choice('Hi', 'stop')], usage => $usage,
    }, 'shape');
};

subtest 'a stream' => sub {
    for my $asked (0, 1) {
        my $r = complete_stream('[[think:hm]][[say:a]][[say:b]][[usage:3:4]]',
            stream_options => { include_usage => \$asked });
        is($r->{headers}{'content-type'}, 'text/event-stream', 'type');
        my @events = @{ $r->{events} };
        is((pop @events)->{data}, '[DONE]', '[DONE] ends it');
        my @chunks = map { fixed($_->{json}) } @events;
        my @usage  = $asked ? (usage => undef) : ();
        my %same   = (object => 'text_completion', model => 'lines');
        is_deeply(\@chunks, [
            (map { { %same, @usage, choices => [$_] } } choice('a', undef),
                 choice('b', undef), choice('', 'stop')),
            $asked ? { %same, choices => [], usage => $usage } : (),
        ], $asked ? 'with usage' : 'without usage');
    }
};

subtest 'prompts' => sub {
    my $text = sub { complete(@_)->{json}{choices}[0]{text} };
    is($text->(['[[say:x]]']), 'x', 'an array of one');
    is($text->('a [[say:bcd]]', stop => 'c'), 'b', 'stop');
    my $refused = sub {
        my ($prompt, $code, $name) = @_;
        my $r = complete($prompt);
        is_deeply([$r->{status}, @{ $r->{json}{error} }{qw(param code)}],
                  [400, 'prompt', $code], $name);
    };
    $refused->(['a', 'b'], 'unsupported_parameter', 'an array of two');
    $refused->($_, undef, $json->encode([$_]))
        for undef, 5, [5], [[1, 2]], [], {};
};

subtest 'what a CLI cannot do is refused by name' => sub {
    for (['n', 2, 1], ['best_of', 3, 1], ['logprobs', 5, 0],
         ['echo', JSON::PP::true, JSON::PP::false], ['suffix', 'x', '']) {
        my ($field, $bad, $good) = @$_;
        my $r = complete('x', $field => $bad);
        is_deeply([$r->{status}, @{ $r->{json}{error} }{qw(param code)}],
                  [400, $field, 'unsupported_parameter'], $field);
        is(complete('x', $field => $good)->{status}, 200,
           "$field with its default");
    }
};

$s->idle_ok;
$s->stop;
done_testing;
