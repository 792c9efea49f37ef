package CLB::H2;

# The least of an HTTP/2 client that can do what curl cannot: reset a stream at
# a chosen moment, on a connection that lives on.
#
#   my $c = CLB::H2->open($s);      # what CLB::Client->open takes
#   my $id = $c->send_request('POST', '/v1/…', {…});    # a stream
#   $c->read_event                  # bytes of the next DATA frame, '' at the
#                                   # end of a stream, undef at a time-out
#   $c->reset                       # the stream sent last, or reset($id)
#   $c->close
#
# It opens no window: a connection can read 65535 bytes.

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes qw(time);

use CLB::Client;

my $json = JSON::PP->new->utf8->canonical;

my ($DATA, $HEADERS, $RST_STREAM, $SETTINGS) = (0, 1, 3, 4);
my ($END_STREAM, $ACK, $END_HEADERS) = (1, 1, 4);
my $CANCEL = 8;

sub open {
    my ($class, $server, %o) = @_;
    my $client = CLB::Client->open($server, alpn => 'h2', %o);
    my $self = bless { client => $client, last => -1 }, $class;
    $client->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    $self->send_frame($SETTINGS, 0, 0, '');
    return $self;
}

sub close { $_[0]{client}->close }

sub send_frame {
    my ($self, $type, $flags, $id, $bytes) = @_;
    return $self->{client}->send(
        pack 'Cn C C N a*', length($bytes) >> 16, length($bytes) & 0xffff,
        $type, $flags, $id, $bytes);
}

# (type, flags, stream, bytes)
sub read_frame {
    my ($self, $until) = @_;
    my $client = $self->{client};
    for (;;) {
        my ($high, $low, $type, $flags, $id) = unpack 'Cn C C N', $client->{in};
        my $size = defined $id ? 9 + ($high << 16) + $low : 9;
        return ($type, $flags, $id, substr substr($client->{in}, 0, $size, ''),
                                           9)
            if defined $id && length $client->{in} >= $size;
        $client->fill($until) or return;
    }
}

# Each header as a literal that nobody remembers.
sub headers {
    my $block = '';
    while (my ($name, $value) = splice @_, 0, 2) {
        $block .= pack 'C C/a* C/a*', 0, $name, $value;
    }
    return $block;
}

sub send_request {
    my ($self, $method, $path, $body) = @_;
    my $client = $self->{client};
    my $id = $self->{last} += 2;
    $self->send_frame($HEADERS, $END_HEADERS, $id, headers(
        ':method' => $method, ':path' => $path, ':authority' => $client->{name},
        ':scheme' => $client->{openssl} ? 'https' : 'http',
        'content-type' => 'application/json'));
    $self->send_frame($DATA, $END_STREAM, $id, $json->encode($body));
    return $id;
}

sub read_event {
    my ($self, $timeout) = @_;
    my $until = time + ($timeout || $self->{client}{timeout});
    while (my ($type, $flags, undef, $bytes) = $self->read_frame($until)) {
        return $bytes if $type == $DATA;
        return ''     if $type == $RST_STREAM;
        $self->send_frame($SETTINGS, $ACK, 0, '')
            if $type == $SETTINGS && !($flags & $ACK);
    }
    return;
}

sub reset {
    my ($self, $id) = @_;
    return $self->send_frame($RST_STREAM, 0, $id // $self->{last},
                             pack 'N', $CANCEL);
}

1;
