package CLB::Responses;

# OpenAI's Responses over CLB::Client.
#
#   my $r = response($s, 'text' or [items], temperature => 0, ...);
#       {status, headers, json, body} and of the answer {output, text, summary,
#        calls, state, usage, error}; state is completed, incomplete or failed
#   my $r = response_stream($s, …);
#       the same, put together as the vendor's SDK does it, and {events}, and
#       {grammar}: undef, or what is wrong with the order of events
#
# Fields are those of the request; options stand after a dash, as in CLB::Client.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

use CLB::Client;

our @EXPORT_OK = qw(response response_stream);

my $json = JSON::PP->new->canonical;

# A chat whose messages are called otherwise.
sub arguments {
    my ($input, %o) = @_;
    $o{-path} ||= '/v1/responses';
    return ([], messages => undef, input => $input, %o);
}

sub take_response {
    my ($r, $response) = @_;
    my @output = @{ $response->{output} || [] };
    my $join = sub {
        my ($type, $key) = @_;
        return join '', map { $_->{text} // '' } map { @{ $_->{$key} } }
            grep { $_->{type} eq $type } @output;
    };
    @$r{qw(output text summary calls state usage)} = (
        \@output, $join->(qw(message content)), $join->(qw(reasoning summary)),
        [ grep { $_->{type} =~ /_call$/ } @output ],
        @$response{qw(status usage)});
    $r->{error} //= $response->{error};
    return $r;
}

sub response {
    my ($s, $input, %o) = @_;
    my $r = CLB::Client::chat($s, arguments($input, %o));
    return take_response($r, ref $r->{json} eq 'HASH' ? $r->{json} : {});
}

# --- streams --------------------------------------------------------------

# What may stand in an item, in pieces that put together its $key.
my %pieces = (
    message          => [ 'output_text',             'text' ],
    reasoning        => [ 'reasoning_summary_text',  'text' ],
    function_call    => [ 'function_call_arguments', 'arguments' ],
    custom_tool_call => [ 'custom_tool_call_input',  'input' ],
);
my %part = (message   => [qw(content_part content)],
            reasoning => [qw(reasoning_summary_part summary)]);

sub same { $json->encode([ $_[0] ]) eq $json->encode([ $_[1] ]) }

# What happens inside of the item $open.
sub take_inside {
    my ($open, $data, $type) = @_;
    my $kind = $open->{item}{type};
    my ($piece, $key) = @{ $pieces{$kind} };
    my ($part) = @{ $part{$kind} || ['none'] };
    die "$type: item_id\n" if ($data->{item_id} // '') ne $open->{item}{id};
    if ($type eq "$part.added") {
        die "$type twice\n" if $open->{part}++;
    }
    elsif ($type eq "$piece.delta") {
        die "$type outside of a part\n" if $part ne 'none' && !$open->{part};
        $open->{said} .= $data->{delta};
    }
    elsif ($type eq "$piece.done") {
        die "$type: $data->{$key}\n" if $data->{$key} ne $open->{said};
        $open->{done}++;
    }
    elsif ($type eq "$part.done") {
        die "$type: $data->{part}{text}\n"
            if !$open->{done} || $data->{part}{text} ne $open->{said};
        $open->{part} = 0;
    }
    else { die "$type in $kind\n" }
}

# The item must be what its pieces made it.
sub end_item {
    my ($open, $item) = @_;
    my $type = $item->{type};
    my ($piece, $key) = @{ $pieces{$type} };
    my $said = !$part{$type} ? $item->{$key}
        : join '', map { $_->{text} } @{ $item->{ $part{$type}[1] } };
    die "$type: another one\n" if $item->{id} ne $open->{item}{id};
    die "$type: says '$said'\n" if $said ne $open->{said};
    die "$type: not done\n" if $open->{part}
        || !$open->{done} && $type ne 'reasoning';
    return $item;
}

# The response that events put together. Dies at one that must not be there.
sub gather {
    my (@events) = @_;
    my ($response, $open, @items, $failed);
    my $number = 0;
    for my $event (@events) {
        my $data = $event->{json} or die "not JSON: $event->{data}\n";
        my $type = $data->{type};
        die "event: $event->{event} of $type\n" if $event->{event} ne $type;
        die "$type: number $data->{sequence_number}\n"
            if $data->{sequence_number} != $number++;
        die "$type behind the end\n"
            if $response && $response->{status} ne 'in_progress';
        if ($type eq 'error') { $failed = 1; next }
        $type =~ s/^response\.// or die "unknown: $type\n";
        if ($number <= 2) {
            die "$type comes first\n"
                if $type ne (qw(created in_progress))[ $number - 1 ];
            die "$type: not in progress\n"
                if $data->{response}{status} ne 'in_progress';
            $response = $data->{response};
        }
        elsif ($type eq 'output_item.added') {
            die "$type inside an item\n" if $open;
            die "$type: index $data->{output_index}\n"
                if $data->{output_index} != @items;
            $open = { item => $data->{item}, said => '' };
        }
        elsif ($data->{response}) {
            $response = $data->{response};
            die "$type: $response->{status}\n" if $type ne $response->{status};
            die "$type: an open item\n" if $open && !$failed;
            die "$type: other items\n" unless same($response->{output},
                                                   \@items);
        }
        else {
            die "$type outside an item\n" unless $open;
            die "$type: index $data->{output_index}\n"
                if $data->{output_index} != @items;
            if ($type eq 'output_item.done') {
                push @items, end_item($open, $data->{item});
                undef $open;
            }
            else { take_inside($open, $data, $type) }
        }
    }
    die "no end\n" if !$response || $response->{status} eq 'in_progress';
    return $response;
}

sub response_stream {
    my ($s, $input, %o) = @_;
    my $r = CLB::Client::stream($s, arguments($input, %o));
    return $r unless ($r->{headers}{'content-type'} // '') =~ /event-stream/;
    my @events = @{ $r->{events} };
    delete @$r{qw(reasoning tool_calls finish done)};
    my $response = eval { gather(grep { !defined $_->{comment} } @events) };
    chomp(($r->{grammar} = $@)) if $@;
    return take_response($r, $response || {});
}

1;
