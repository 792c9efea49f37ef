#!/usr/bin/perl

# A client that reads slowly gets all of a long answer, also when the program
# that wrote it has ended long ago.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/../lib";
use CLB::Client;
use CLB::Server;

my $s = CLB::Server->start(config => <<'EOT');
<CLIBridgeBackend echo>
    @MARK@
</CLIBridgeBackend>
EOT

my $text = join '', map { sprintf '%07d ', $_ } 1 .. 1_000_000;
my $c = CLB::Client->open($s, rcvbuf => 4096, timeout => 60);
$c->send_request('POST', '/v1/chat/completions', {
    model => 'echo', stream => JSON::PP::true,
    messages => [{ role => 'user', content => $text }] });

my ($n, $got, $finish, $done) = (0, '', '', 0);
while (my $event = $c->read_event) {
    # longer than the server waits for what is left of an ended program
    sleep 1.6 if $n++ == 50 || $n == 200;
    last if $done = $event->{data} eq '[DONE]';
    my $choice = $event->{json}{choices}[0];
    $got .= $choice->{delta}{content} // '';
    $finish = $choice->{finish_reason} // $finish;
}
is length $got, length $text, 'all of it came';
ok $got eq $text, 'as it was written';
is_deeply [$finish, $done], ['stop', 1], 'and it is complete';

$s->stop;
done_testing;
