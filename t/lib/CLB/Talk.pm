package CLB::Talk;

# Conversations: how clients write them down, what a model must get of them,
# and what it got.
#
#   my $s = CLB::Server->start(config => fake_claude('fake'));
#   my @messages = (user('one'), assistant('two'), user('three'));
#   my $r = $s->chat(\@messages);
#   normal({ messages => \@messages, ... })   what the model must be told:
#       {model, system => ['...'], messages => [[role => 'text'], ...]}
#   upstream($s)       what it was told, a list of the same with {pid, born,
#                      settings}
#   rested($s, $name)  waits until no process of that backend is at work, nor a
#                      test of its program: what stays is parked by then;
#                      returns its part of /health
#
# t/bin/fake-claude says what the fake can do.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(assistant fake_claude normal rested same_told system_text
                    upstream user);

my $json = JSON::PP->new->utf8->canonical;

# --- what a client sends --------------------------------------------------

sub user        { { role => 'user',      content => $_[0] } }
sub assistant   { { role => 'assistant', content => $_[0] } }
sub system_text { { role => 'system',    content => $_[0] } }

# --- what a model must get ------------------------------------------------

# The texts in a content that are more than blanks.
sub texts_of {
    my ($content) = @_;
    return grep { defined && /[^ \t\r\n\f\x0b]/ }
        ref $content ? map { $_->{text} } @$content : $content;
}

# Neighbours of one role are one message and their texts one text; the first
# and the last are the user's.
sub turns {
    my @turns;
    for my $message (@_) {
        my ($role, $text) = @$message{qw(role content)};
        $text = join '', texts_of($text);
        next if $role !~ /^(?:user|assistant)$/ || !length $text;
        push @turns, [ user => 'Continue.' ]
            if !@turns && $role eq 'assistant';
        if (@turns && $turns[-1][0] eq $role) { $turns[-1][1] .= $text }
        else { push @turns, [ $role => $text ] }
    }
    push @turns, [ user => 'Continue.' ]
        if !@turns || $turns[-1][0] eq 'assistant';
    return \@turns;
}

sub normal {
    my ($request) = @_;
    my @messages = @{ $request->{messages} };
    my @system = map { texts_of($_->{content}) }
        grep { $_->{role} =~ /^(?:system|developer)$/ } @messages;
    return {
        model    => $request->{model},
        system   => @system ? [ join "\n\n", @system ] : [],
        messages => turns(@messages),
    };
}

# --- what it got ----------------------------------------------------------

sub upstream {
    my ($s) = @_;
    return map { $json->decode($_) } split /^/,
        CLB::Server::slurp($s->path('state/upstream'));
}

# A text that is the same for what says the same.
sub same_told {
    my ($told) = @_;
    return $json->encode({ map { $_ => $told->{$_} }
                           qw(model system messages) });
}

# --- the server -----------------------------------------------------------

sub fake_claude {
    my ($name, @lines) = @_;
    return join "\n", "<CLIBridgeBackend $name>", 'CLIBridgeDriver claude',
        'CLIBridgeProgram @BIN@/fake-claude', "CLIBridgeModels $name $name-*",
        'CLIBridgeEnv FAKE_UPSTREAM @ROOT@/state/upstream',
        'CLIBridgeUntested warn', '@MARK@', @lines, "</CLIBridgeBackend>\n";
}

sub rested {
    my ($s, $name) = @_;
    my $health;
    return $s->wait_for(sub {
        $health = $s->backend_health($name) or return;
        return !(grep { $health->{$_} } qw(starting leased settling dying))
            && ($health->{test} // '') ne 'to come' && $health;
    }, "the processes of $name to rest");
}

1;
