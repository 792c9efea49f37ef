#!/usr/bin/perl

# How a stream is cut into HTTP's chunks: words that a program says at once
# leave at once, but not in pieces of any size, and none waits for those that
# the program has not said yet.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

# Writes as many lines as it is asked for, in one write, and falls silent.
my $s = CLB::Server->start(config => <<'EOT');
<CLIBridgeBackend words>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @PERL@
    CLIBridgeArg -ne
    CLIBridgeArg 'syswrite STDOUT, qq({"text":"word"}\n) x $1 if /n=(\d+)/'
    @MARK@
</CLIBridgeBackend>
EOT

# The chunks in which the words came; undef if some did not come.
sub chunks_of {
    my ($words) = @_;
    my ($c, $got) = ($s->client, '');
    $c->send_request('POST', '/v1/chat/completions', {
        model => 'words', stream => JSON::PP::true,
        messages => [{ role => 'user', content => "n=$words" }] });
    while ((() = $got =~ /"word"/g) < $words) {
        $got .= $c->read_some(65536) // return;
    }
    $got =~ s/^.*?\r\n\r\n//s;
    my @chunks;
    while ($got =~ s/^([0-9a-f]+)\r\n//) {
        push @chunks, substr $got, 0, hex $1, '';
        $got =~ s/^\r\n//;
    }
    return \@chunks;
}

for my $words (1, 3) {
    my $chunks = chunks_of($words);
    is scalar @{ $chunks || [] }, 1, "$words: one chunk, and at once";
}

my $chunks = chunks_of(1000) || [];
cmp_ok scalar @$chunks, '>', 10, '1000: several chunks';
is_deeply [grep { length > 9000 } @$chunks], [], 'none of them large';
is_deeply [grep { !/\n\n\z/ } @$chunks], [], 'each of whole events';
$s->idle_ok;

$s->stop;
done_testing;
