package CLB::Messages;

# Anthropic's Messages over CLB::Client.
#
#   my $r = message($s, 'text' or [messages], temperature => 0, ...);
#       {status, headers, json, body} and of the answer {content, text,
#        thinking, uses, stop, sequence, usage, error}
#   my $r = message_stream($s, …);
#       the same, put together as the vendor's SDK does it, and {events}, and
#       {grammar}: undef, or what is wrong with the order of events
#   post_as($s, $path, $body, …)   with the headers of such a client
#
# Fields are those of the request; max_tokens has a default. -version is the
# API's (undef: no header); other options stand after a dash, as in CLB::Client.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

use CLB::Client;

our @EXPORT_OK = qw(get_as message message_stream post_as);

my $json = JSON::PP->new;    # of characters: it stood in other JSON

# The options of a request with the headers that go with them.
sub with_headers {
    my (%o) = @_;
    my $version = exists $o{version} ? delete $o{version} : '2023-06-01';
    $o{headers} = {
        defined $version ? ('anthropic-version' => $version) : (),
        %{ $o{headers} || {} },
    };
    return %o;
}

sub post_as {
    my ($s, $path, $body, %o) = @_;
    return CLB::Client::request($s, 'POST', $path, $body, with_headers(%o));
}

sub get_as {
    my ($s, $path, %o) = @_;
    return CLB::Client::request($s, 'GET', $path, undef, with_headers(%o));
}

sub arguments {
    my (%o) = @_;
    my %with = with_headers(map { /^-(.*)/ ? ($1 => delete $o{$_}) : () }
                            keys %o);
    $with{path} ||= '/v1/messages';
    return (max_tokens => 1000, %o, map { ("-$_" => $with{$_}) } keys %with);
}

sub take_message {
    my ($r, $message) = @_;
    my @content = @{ $message->{content} || [] };
    my $join = sub {
        my ($key) = @_;
        return join '', map { $_->{$key} // '' } @content;
    };
    @$r{qw(content text thinking uses stop sequence usage)} = (
        \@content, $join->('text'), $join->('thinking'),
        [ grep { $_->{type} eq 'tool_use' } @content ],
        @$message{qw(stop_reason stop_sequence usage)});
    return $r;
}

sub message {
    my ($s, $text, %o) = @_;
    my $r = CLB::Client::chat($s, $text, arguments(%o));
    $r->{error} = $r->{json}{error} if ref $r->{json} eq 'HASH';
    return take_message($r, ref $r->{json} eq 'HASH' ? $r->{json} : {});
}

# --- streams --------------------------------------------------------------

my %delta_of = (
    text              => { text_delta       => 'text' },
    thinking          => { thinking_delta   => 'thinking',
                           signature_delta  => 'signature' },
    redacted_thinking => {},
    tool_use          => { input_json_delta => 'partial_json' },
);

# The message that events put together. Dies at one that must not be there.
sub gather {
    my (@events) = @_;
    my ($message, $open, $stopped);
    for my $event (@events) {
        my $data = $event->{json} or die "not JSON: $event->{data}\n";
        my $type = $data->{type};
        die "event: $event->{event} of $type\n" if $event->{event} ne $type;
        next if $type eq 'ping';
        return $message if $type eq 'error';
        die "$type behind message_stop\n" if $stopped;
        if ($type eq 'message_start') {
            die "a second $type\n" if $message;
            # a copy: the event stays as it came
            $message = $json->decode($json->encode($data->{message}));
            next;
        }
        die "$type before message_start\n" unless $message;
        my $content = $message->{content};
        if ($type eq 'content_block_start') {
            die "$type inside a block\n" if $open;
            die "$type: index $data->{index}\n"
                if $data->{index} != @$content;
            push @$content, $open = $data->{content_block};
        }
        elsif ($type eq 'content_block_delta') {
            die "$type outside a block\n"
                unless $open && $data->{index} == $#$content;
            my $key = $delta_of{ $open->{type} }{ $data->{delta}{type} }
                // die "$data->{delta}{type} in $open->{type}\n";
            $open->{$key} .= $data->{delta}{$key};
        }
        elsif ($type eq 'content_block_stop') {
            die "$type outside a block\n"
                unless $open && $data->{index} == $#$content;
            $open->{input} = $json->decode(delete $open->{partial_json})
                if exists $open->{partial_json};
            undef $open;
        }
        elsif ($type eq 'message_delta') {
            die "$type inside a block\n" if $open;
            @$message{ keys %{ $data->{delta} } } = values %{ $data->{delta} };
            my $usage = $data->{usage};
            $message->{usage}{$_} = $usage->{$_} for keys %$usage;
        }
        elsif ($type eq 'message_stop') {
            die "no message_delta before $type\n"
                unless defined $message->{stop_reason};
            $stopped = 1;
        }
        else { die "unknown: $type\n" }
    }
    die "no message_stop\n" unless $stopped;
    return $message;
}

sub message_stream {
    my ($s, $text, %o) = @_;
    my $r = CLB::Client::stream($s, $text, arguments(%o));
    return $r unless ($r->{headers}{'content-type'} // '') =~ /event-stream/;
    my @events = @{ $r->{events} };
    delete @$r{qw(reasoning tool_calls finish done)};
    my $message = eval { gather(grep { !defined $_->{comment} } @events) };
    chomp(($r->{grammar} = $@)) if $@;
    return take_message($r, $message || {});
}

1;
