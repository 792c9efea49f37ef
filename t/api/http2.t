# HTTP/2, in clear text and over TLS: the same answers, and a client that
# leaves is seen there too. mod_http2 wants a threaded server.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $json   = JSON::PP->new->utf8;
my $config = <<'EOT';
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
EOT

my ($s, $kind);

# (HTTP version, status, head, body, exit status)
sub ask {
    my ($path, $body, @more) = @_;
    my @data = $body ? ('-H', 'Content-Type: application/json',
                        '--data-binary', $json->encode($body)) : ();
    my ($exit, $out) = $s->curl(
        $s->{tls} ? '--http2' : '--http2-prior-knowledge', '-i', '-N',
        '-w', "\n%{http_version} %{http_code}", @data, @more, $s->url($path));
    my ($version, $status) = $out =~ s/\n(\S+) (\d+)\z// ? ($1, $2) : ();
    my ($head, $text) = split /\r\n\r\n/, $out, 2;
    return ($version, $status, $head, $text, $exit);
}

sub chat {
    my ($text, %o) = @_;
    my $more = delete $o{more} || [];
    return ask('/v1/chat/completions',
               { model => 'lines', %o,
                 messages => [{ role => 'user', content => $text }] }, @$more);
}

# Of a stream, if it came to its end.
sub text_of {
    my ($body) = @_;
    my @data = $body =~ /^data: (.*)\n\n/mg;
    return unless @data && pop @data eq '[DONE]';
    my @deltas = map { $json->decode($_)->{choices}[0]{delta} } @data;
    return join '', map { $_->{content} // '' } @deltas;
}

sub answers {
    my ($version, $status, $head, $body) = chat('[[say:x]]');
    is_deeply([$version, $status], [2, 200], "$kind: an answer");
    is($json->decode($body)->{choices}[0]{message}{content}, 'x', 'its text');
    like($head, qr/^content-type: application\/json\r?$/mi, 'its type');
    like($head, qr/^x-request-id: req_/mi, 'its id');

    ($version, $status, $head, $body) =
        chat('[[stream:50:1]]', stream => JSON::PP::true);
    is_deeply([$version, $status], [2, 200], "$kind: a stream");
    like($head, qr/^content-type: text\/event-stream\r?$/mi, 'its type');
    unlike($head, qr/^(?:transfer-encoding|connection):/mi,
           'nothing of HTTP/1');
    is(text_of($body), join(' ', map { "tok$_" } 1 .. 50), 'its text');

    for ([404, 'not_found', ask('/v1/nothing')],
         [405, 'method_not_allowed', ask('/v1/chat/completions')],
         [400, undef, ask('/v1/chat/completions', { model => 'one' })],
         [429, 'rate_limit_exceeded', chat('[[error:429]]')],
         [502, 'cli_failed', chat('[[exit:1]]', model => 'one')]) {
        my ($want, $code, $version, $status, $head, $body) = @$_;
        is_deeply([$version, $status, $json->decode($body)->{error}{code}],
                  [2, $want, $code], "$kind: error $want");
    }
    ($version, $status, $head, $body) =
        chat('[[say:x]][[error:500:1]]', stream => JSON::PP::true);
    like($body, qr/"content":"x".*\n\ndata: \{"error":.*\}\n\n\z/s,
         "$kind: a stream that breaks");
}

# Twenty at once on one connection: head and body of each. curl before 7.89
# cannot do this without TLS.
sub together {
    my ($path, @more) = @_;
    my @files = map { $s->path("answer-$_") } 1 .. 20;
    my ($exit, $out) = $s->curl('--http2', '-Z', '--no-progress-meter', '-i',
        '-w', '%{num_connects};', @more,
        map { ('-o', $_, $s->url($path)) } @files);
    is($exit, 0, "$kind, $path: many at once");
    is($out =~ tr/1//, 1, 'on one connection');
    return map { [ split /\r\n\r\n/, CLB::Server::slurp($_), 2 ] } @files;
}

# With fewer slots than streams each is answered in its turn, or told at once
# that the queue is full.
sub crowd {
    my ($queue) = @_;
    my $whole = join ' ', map { "tok$_" } 1 .. 10;
    my (%got, @wrong);
    for (together('/v1/chat/completions', '-H',
                  'Content-Type: application/json', '--data-binary',
                  $json->encode({ model => 'lines', stream => JSON::PP::true,
                      messages => [ { role => 'user',
                                      content => '[[stream:10:40]]' } ] }))) {
        my ($head, $body) = @$_;
        if ($head =~ /^HTTP\/2 200/ && (text_of($body) // '') eq $whole) {
            $got{answered}++;
        }
        elsif ($head =~ /^HTTP\/2 429.*^retry-after: \d/ims
               && $body =~ /"code":"queue_full"/) {
            $got{refused}++;
        }
        else {
            push @wrong, "$head\n$body";
        }
    }
    is_deeply(\@wrong, [], "queue $queue: answered or refused");
    cmp_ok($got{answered}, '>', 3, 'more are answered than there are slots');
    is(!$got{refused}, $queue > 20, 'the rest is refused if it must');
    $s->idle_ok;
}

sub leaving {
    for my $stream (0, 1) {
        for my $text ('[[hang]]', '[[say:x]][[hang]]', '[[stream:9999:5]]') {
            my ($exit) = (chat($text, model => 'one', stream => \$stream,
                               more => ['--max-time', 0.3, '--no-show-error'],
                               ))[4];
            my $left = time;
            is($exit, 28, "$kind, $text, stream $stream: the client leaves");
            my $free = $s->poll(sub {
                my $h = $s->curl_health;
                !$h->{slots}{running} && !$s->of_model_one;
            }, 5);
            my $time = time - $left;
            cmp_ok($time, '<', 1, 'slot and process are free');
            my $ms = sprintf '%s, stream %d: %.0f ms', $text, $stream,
                             $time * 1000;
            $time > 0.25 ? diag($ms) : note($ms);
        }
    }
}

sub CLB::Server::curl_health {
    my ($self) = @_;
    return $json->decode((ask('/health'))[3]);
}

# The persistent ones of the other backend stay.
sub CLB::Server::of_model_one {
    my ($self) = @_;
    return grep { CLB::Server::cmdline($_) =~ /fake-oneshot/ } $self->marked;
}

for my $tls (0, 1) {
    $kind = $tls ? 'h2' : 'h2c';
    $s = CLB::Server->start(mpm => 'event', h2 => 1, tls => $tls,
                            config => $config);
    answers();
    is(scalar(grep { $_->[0] =~ /^HTTP\/2 200/ } together('/v1/models')), 20,
       'all answered') if $tls;
    leaving();
    $s->stop;
}

for my $queue (64, 1) {
    $s = CLB::Server->start(mpm => 'event', h2 => 1, tls => 1, config =>
        "CLIBridgeSlots 3\nCLIBridgeQueue $queue\n$config");
    crowd($queue);
    $s->stop;
}
done_testing;
