package CLB::Form;

# The normal form of a conversation: what of a request decides whether a live
# process is in the state the client means. Two requests of one form mean the
# same to a model; what clients change when they send history again is not in
# it. The reference for the C code; t/unit/clients.t says what it is good for.
#
#   my $asked = form($path, $request);     a body of chat completions or of
#                                          Responses, as decoded by JSON::PP
#   my $state = after($asked, $answer);    when that has been answered
#   my ($past, $new) = parted($asked);     at the end of the last answer
#   key($past) eq key($state)              the process can go on
#
# A form is {model, tools, system, turns}. Turns alternate between user and
# assistant. A turn is its role and its parts:
#
#   ['text', TEXT]              an assistant's are one text, before its calls;
#                               a user's stay apart, after the results
#   ['call', NAME, ARGUMENTS]   arguments with sorted keys; [.., undef, TEXT]
#                               if they are no JSON
#   ['result', N, PART, ...]    of call N of the turn before, in their order
#   ['other', JSON]             images and what else is there
#
# Text of nothing but blanks is no part, but an answer of nothing is a turn.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();

our @EXPORT_OK = qw(after form key parted);

my $json = JSON::PP->new->canonical->allow_nonref;

sub key { return $json->encode($_[0]) }

# --- parts ----------------------------------------------------------------

sub arguments {
    my ($text) = @_;
    return {} if $text !~ /\S/;
    my $value;
    return eval { $value = $json->decode($text); 1 } ? $value
        : (undef, $text);
}

my %is_text = map { $_ => 1 } qw(text input_text output_text);

# The parts of a content, a string or a list.
sub parts {
    my ($content) = @_;
    return () unless defined $content;
    return [ text => $content ] unless ref $content;
    return map {
        $is_text{ $_->{type} } ? [ text => $_->{text} ]
            : $_->{type} eq 'refusal' ? [ text => $_->{refusal} ]
            : [ other => $json->encode($_) ]
    } grep { $_->{type} !~ /^(?:reasoning|thinking)$/ } @$content;
}

# --- turns ----------------------------------------------------------------

my %order = (result => 0, text => 1, other => 1, call => 2);

# Adds parts to the turn of $role at the end, which is there afterwards.
sub add {
    my ($form, $role, @parts) = @_;
    my $turns = $form->{turns};
    push @$turns, [$role] unless @$turns && $turns->[-1][0] eq $role;
    my (undef, @all) = @{ $turns->[-1] };
    for my $part (@parts) {
        my ($text) = grep { $_->[0] eq 'text' } @all;
        if ($role eq 'assistant' && $part->[0] eq 'text' && $text) {
            $text->[1] .= $part->[1];
        }
        else {
            push @all, $part;
        }
    }
    $turns->[-1] = [ $role,
        sort { $order{ $a->[0] } <=> $order{ $b->[0] }
               || $a->[0] eq 'result' && $a->[1] <=> $b->[1] } @all ];
}

# Ids only say which call a result is of: that call's number says it, too.
sub call {
    my ($form, $id, $name, $arguments) = @_;
    add($form, assistant => [ call => $name, arguments($arguments // '') ]);
    $form->{ids}{$id} = grep { ref && $_->[0] eq 'call' }
        @{ $form->{turns}[-1] };
}

sub result {
    my ($form, $id, $content) = @_;
    add($form, user => [ result => $form->{ids}{ $id // '' } // 0,
                         parts($content) ]);
}

# Blanks are known when a text is whole.
sub settle {
    my ($form) = @_;
    delete $form->{ids};
    for my $turn (@{ $form->{turns} }) {
        @$turn = grep { !ref || $_->[0] ne 'text' || $_->[1] =~ /\S/ } @$turn;
    }
    return $form;
}

# --- requests -------------------------------------------------------------

sub message {
    my ($form, $message) = @_;
    my $role = $message->{role};
    if ($role eq 'system' || $role eq 'developer') {
        push @{ $form->{system} },
            grep { $_ ne '' } map { $_->[1] } parts($message->{content});
    }
    elsif ($role eq 'tool') {
        result($form, @$message{qw(tool_call_id content)});
    }
    else {
        add($form, $role, parts($message->{content}));
        call($form, $_->{id}, @{ $_->{function} }{qw(name arguments)})
            for @{ $message->{tool_calls} || [] };
    }
}

sub item {
    my ($form, $item) = @_;
    my $type = $item->{type} // 'message';
    if ($type eq 'message') {
        message($form, $item);
    }
    elsif ($type eq 'function_call') {
        call($form, @$item{qw(call_id name arguments)});
    }
    elsif ($type eq 'function_call_output') {
        result($form, @$item{qw(call_id output)});
    }
    elsif ($type ne 'reasoning') {
        add($form, user => [ other => $json->encode($item) ]);
    }
}

sub form {
    my ($path, $request) = @_;
    my $form = { model => $request->{model}, system => [], turns => [],
                 tools => $request->{tools} || [] };
    if ($path =~ /responses/) {
        my $input = $request->{input};
        push @{ $form->{system} }, grep { defined && $_ ne '' }
            $request->{instructions};
        item($form, $_) for ref $input ? @$input
            : { role => 'user', content => $input };
    }
    else {
        message($form, $_) for @{ $request->{messages} };
    }
    return settle($form);
}

sub after {
    my ($form, $answer) = @_;
    my $next = $json->decode(key($form));
    add($next, assistant => [ text => $answer->{text} ]);
    call($next, @$_{qw(id name arguments)})
        for @{ $answer->{tool_calls} || [] };
    return settle($next);
}

sub parted {
    my ($form) = @_;
    my @past = @{ $form->{turns} };
    my @new;
    unshift @new, pop @past while @past && $past[-1][0] ne 'assistant';
    return ({ %$form, turns => \@past }, \@new);
}

1;
