package CLB::Socket;

# A WebSocket client that can also misbehave.
#
#   my $ws = CLB::Socket->open($s, '/v1/ws', key => …);   # what
#                                        # CLB::Client->open takes, and headers
#   $ws->{status}                        # of the handshake; 101 is good
#   $ws->send({…}); $ws->send_frame($opcode, $bytes, fin => 0, mask => 0);
#   my $event = $ws->read;               # the next message's JSON; {} and
#                                        # {closed} set at the end
#   my $turn = $ws->ask({…});            # reads to the end of an answer: {id,
#                                        # text, last, events, error}
#   $ws->wait_pong('x'); $ws->close_code; $ws->cut; $ws->close

use strict;
use warnings;

use Digest::SHA qw(sha1_base64);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time);

use CLB::Client;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

our ($TEXT, $BINARY, $CLOSE, $PING, $PONG) = (1, 2, 8, 9, 10);

my $nonce = encode_base64('0123456789abcdef', '');

sub accept_for {
    return sha1_base64($_[0] . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
}

sub open {
    my ($class, $server, $path, %o) = @_;
    my %headers = (Upgrade => 'websocket', Connection => 'Upgrade',
                   'Sec-WebSocket-Version' => 13,
                   'Sec-WebSocket-Key' => $nonce, %{ $o{headers} || {} });
    my $client = CLB::Client->open($server, %o);
    my $self = bless { client => $client, pongs => [] }, $class;
    $client->send_request('GET', $path, undef, key => $o{key},
                          headers => \%headers);
    # 101 is no head that another one follows
    my $head = $client->read_one_head || {};
    $self->{status}  = $head->{status} || 0;
    $self->{headers} = $head->{headers} || {};
    if ($self->{status} != 101) {
        $client->start_body($head);
        $self->{json} = eval { $json->decode($client->read_response->{body}) };
    }
    $self->{accepted} = 1
        if ($self->{headers}{'sec-websocket-accept'} // '')
           eq accept_for($nonce);
    return $self;
}

sub send_frame {
    my ($self, $opcode, $bytes, %o) = @_;
    my $size = length $bytes;
    my $mask = $o{mask} // 1 ? "\x11\x22\x33\x44" : '';
    my $head = pack('C', (($o{fin} // 1) << 7) | $opcode)
        . ($size < 126 ? pack 'C', $size : $size < 65536
           ? pack 'Cn', 126, $size : pack 'CQ>', 127, $size);
    if ($mask) {
        $head = $head | "\0\x80";
        $bytes ^= substr $mask x (1 + $size / 4), 0, $size;
    }
    return $self->{client}->send($head . $mask . $bytes);
}

sub send { $_[0]->send_frame($TEXT, ref $_[1] ? $json->encode($_[1]) : $_[1]) }

# (opcode, bytes), nothing at the end or a time-out.
sub read_frame {
    my ($self, $until) = @_;
    my $client = $self->{client};
    for (;;) {
        my ($first, $size, $more) = unpack 'CCa8', $client->{in} . "\0" x 10;
        my $head = $size == 126 ? 4 : $size == 127 ? 10 : 2;
        $size = unpack $head == 4 ? 'n' : 'Q>', $more if $head > 2;
        return ($first & 15, substr substr($client->{in}, 0, $head + $size,
                                           ''), $head)
            if length $client->{in} >= $head
               && length $client->{in} >= $head + $size;
        $client->fill($until) or return;
    }
}

sub read {
    my ($self, $timeout) = @_;
    my $until = time + ($timeout || 20);
    while (my ($opcode, $bytes) = $self->read_frame($until)) {
        if ($opcode == $TEXT) { return $json->decode($bytes) }
        elsif ($opcode == $PING) {
            $self->{pings}++;
            $self->send_frame($PONG, $bytes) unless $self->{deaf};
        }
        elsif ($opcode == $PONG) { push @{ $self->{pongs} }, $bytes }
        elsif ($opcode == $CLOSE) {
            $self->{code} = length $bytes ? unpack 'n', $bytes : 0;
        }
    }
    return { closed => 1 };
}

my %last = map { $_ => 1 } qw(response.completed response.incomplete
                              response.failed error);

sub finish {
    my ($self, $until) = @_;
    my %turn = (text => '', events => []);
    for (;;) {
        my $event = $self->read;
        push @{ $turn{events} }, $event;
        $turn{text} .= $event->{delta}
            if ($event->{type} // '') eq 'response.output_text.delta';
        return \%turn if $until && $until->($event);
        next unless $event->{closed} || $last{ $event->{type} };
        @turn{qw(last error)} = @$event{qw(type error)};
        $turn{last} = 'closed' if $event->{closed};
        $turn{response} = $event->{response} || {};
        $turn{id} = $turn{response}{id};
        return \%turn;
    }
}

sub ask {
    my ($self, $body, $until) = @_;
    $self->send({ type => 'response.create', %$body });
    return $self->finish($until);
}

sub wait_pong {
    my ($self, $bytes) = @_;
    $self->send_frame($PING, $bytes);
    my $until = time + 20;
    until (grep { $_ eq $bytes } @{ $self->{pongs} }) {
        my ($opcode, $said) = $self->read_frame($until) or return 0;
        push @{ $self->{pongs} }, $said if $opcode == $PONG;
    }
    return 1;
}

# What the server closes with; -1 if it says nothing.
sub close_code {
    my ($self) = @_;
    my $event;
    do { $event = $self->read } until $event->{closed};
    return $self->{code} // -1;
}

sub cut   { $_[0]{client}->cut }
sub close { $_[0]{client}->close }

1;
