#!/usr/bin/perl

# Whose turn it is: with one slot, keys take turns; one key's requests are
# served in the order they came; who has left is passed over; a backend whose
# slots are taken does not hold up another.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use IO::Select;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $keys = File::Temp->new;
printf $keys "%s:%s:chat\n", $_, sha256_hex("secret-$_") for qw(a b c);
$keys->flush;

my $s = CLB::Server->start(config => <<"EOT");
CLIBridgeKeyFile $keys
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeSlots 1
CLIBridgeProgram \@BIN\@/fake-lines
\@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend other>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeSlots 1
CLIBridgeProgram \@BIN\@/fake-lines
\@MARK\@
</CLIBridgeBackend>
EOT

# A turn that keeps the slot until its client is closed.
sub hold_slot {
    my ($key, $model) = @_;
    return $s->stream('[[say:a]][[hang]]', model => $model || 'one',
        -key => "secret-$key", -until => sub { 1 })->{client};
}

# One waiting request for each name, in this order; the first letter of a
# name is its key. A turn takes long enough to see who is served when.
our $takes = 20;

sub queue {
    my (@names) = @_;
    my ($n, %client) = (waiting());
    for my $name (@names) {
        my $client = $client{$name} = $s->client;
        $client->send_request('POST', '/v1/chat/completions',
            { model => 'one', messages => [
                { role => 'user', content => "[[sleep:$takes]]" }] },
            key => 'secret-' . substr $name, 0, 1);
        $n++;
        $s->wait_for(sub { waiting() == $n }, "$name in the queue");
    }
    return \%client;
}

sub waiting { $s->health->{queue}{waiting} }

# The names in the order of their answers.
sub order {
    my ($client) = @_;
    my %name = map { $client->{$_}->socket => $_ } keys %$client;
    my $left = IO::Select->new(map { $_->socket } values %$client);
    my @order;
    while ($left->count) {
        my @ready = $left->can_read(5) or last;
        for my $socket (@ready) {
            my $name = $name{$socket};
            my $status = $client->{$name}->read_response->{status};
            push @order, $status == 200 ? $name : "$name:$status";
            $left->remove($socket);
        }
    }
    return "@order";
}

subtest 'one key asks much, another one little' => sub {
    my $first  = hold_slot('a');
    my $client = queue(qw(a1 a2 a3 a4 a5 b1));
    $first->close;
    is order($client), 'b1 a1 a2 a3 a4 a5',
        'b is served second, a in its order';
    $s->idle_ok;
};

subtest 'keys take turns' => sub {
    my $first  = hold_slot('a');
    my $client = queue(qw(a1 a2 a3 b1 b2 b3 c1));
    $first->close;
    is order($client), 'b1 c1 a1 b2 a2 b3 a3', 'one after the other';
    $s->idle_ok;
};

# Whoever asks again at once must not overtake those who wait.
subtest 'a key that comes back' => sub {
    local $takes = 300;
    my $first  = hold_slot('b');
    my $client = queue(qw(a1 a2));
    $first->close;
    $s->wait_for(sub { waiting() == 1 }, 'the turn of a1');
    my $again = queue('b1');
    is order({ %$client, %$again }), 'a1 b1 a2', 'waits for its turn';
    $s->idle_ok;
};

subtest 'one key alone' => sub {
    my $first  = hold_slot('a');
    my $client = queue(map { "a$_" } 1 .. 6);
    (delete $client->{$_})->close for qw(a1 a4);
    ok $s->wait_for(sub { waiting() == 4 }, 'four'),
        'who leaves the queue gives up the place';
    $first->close;
    is order($client), 'a2 a3 a5 a6', 'the others are served in order';
    $s->idle_ok;
};

subtest 'backends' => sub {
    my $first  = hold_slot('a');
    my $client = queue(qw(a1 b1));
    for my $key (qw(a b)) {
        is $s->chat('[[say:hello]]', model => 'other',
                    -key => "secret-$key")->{text}, 'hello',
            "$key: another backend serves meanwhile";
    }
    is waiting(), 2, 'they still wait';
    $first->close;
    is order($client), 'b1 a1', 'and are served when it is free';
    $s->idle_ok;
};

$s->stop;
done_testing;
