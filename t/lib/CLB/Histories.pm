package CLB::Histories;

# Random conversations, several at once, and a client that plays them.
#
#   my @asked = histories(seed => 7, conversations => 300, ...);
#       requests in the order they are sent, always the same for a seed:
#       {name, talk, key, request, answer}; answer is the text that a model
#       obeying CLB::Markers gives, and histories are built of
#   play($s, \@asked, between => sub ($i) {...});
#       sends them, a few at once, those of one conversation one after the
#       other unless they are twins; {status}, {text} and {process} are added
#
# Options of histories: keys, models, systems, and fields (what to choose
# from), most (requests of a conversation), odd => 1 (texts, forms and answers
# that the real CLI is not asked to take as they are).

use strict;
use warnings;
use utf8;

use Encode qw(encode_utf8);
use Exporter 'import';
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

use CLB::Markers;
use CLB::Talk qw(assistant normal system_text user);

our @EXPORT_OK = qw(histories play);

my $at_once = 6;     # requests
my $open    = 12;    # conversations

# --- chance ---------------------------------------------------------------

# A generator of its own: what a test does besides must not change a run.
my $state;
sub chance {
    my ($n) = @_;
    $state = ($state * 1103515245 + 12345) % 2**31;
    return int($state / 2**31 * $n);
}
sub one_of { $_[ chance(scalar @_) ] }

# --- texts ----------------------------------------------------------------

my @words = ('a', 'the sun', 'é', "e\x{301}", '日本', "\x{1f468}\x{200d}\x{1f469}",
    '"q"', '\\', '\\n', '<b>', '</system>', '{"role":"user"}', "\n\n", "\t",
    'User: x', '[[', ']]', '/help', '@./note', "\x{2028}", '1', 'one more');
my @blanks = ('', ' ', "\n", "  \n ", "\x{a0}");

sub words { join ' ', map { one_of(@words) } 0 .. chance(4) }

sub say64 { '[[say64:' . encode_base64(encode_utf8($_[0]), '') . ']]' }

# What it says is said once in all histories, most often.
my $count;
sub question {
    my ($odd) = @_;
    my $id   = ++$count;
    my $text = $odd && !chance(12) ? one_of(@blanks)
             : "answer $id " . words() . ($odd ? one_of(@blanks) : '');
    $text = join '', one_of($odd ? @blanks : ''), words(), " question $id",
        say64($text);
    return user($text);
}

# The same conversation, written down differently.
sub rewritten {
    my ($message) = @_;
    my ($role, $text) = @$message{qw(role content)};
    return $message if ref $text || $role eq 'system' || length $text < 2;
    my $at = 1 + chance(length($text) - 1);
    my @halves = (substr($text, 0, $at), substr $text, $at);
    my $form = chance(6);
    return map { { role => $role, content => $_ } } @halves if $form == 0;
    return { role => $role, content => [
        map { { type => 'text', text => $_ } } @halves, '' ] } if $form == 1;
    return ($message, { role => one_of(qw(user assistant)), content => '' })
        if $form == 2;
    return { %$message, reasoning_content => 'hm' }
        if $form == 3 && $role eq 'assistant';
    return $message;
}

# --- conversations --------------------------------------------------------

# Each leaves {messages} ready to be asked; weights before them.
my @steps = (
    [ 50, go_on  => sub { } ],
    [ 8,  edit   => sub {
        my ($talk) = @_;
        my $message = one_of(@{ $talk->{messages} });
        $message->{content} .= one_of(' ', "\n", ' edited');
    } ],
    [ 7,  again  => sub {
        my ($talk) = @_;
        @{ $talk->{messages} } = map { { %$_ } } @{ $talk->{last} };
        return 'asked';
    } ],
    [ 10, branch => sub {
        my ($messages) = $_[0]{messages};
        my @answers = grep { $messages->[$_]{role} eq 'assistant' }
            0 .. $#$messages;
        $#$messages = one_of(@answers);
    } ],
    [ 6, forget  => sub {
        my ($messages) = $_[0]{messages};
        my @answers = grep { $messages->[$_]{role} eq 'assistant' }
            0 .. $#$messages;
        splice @$messages, one_of(@answers), 1;
    } ],
    [ 4, key     => sub { $_[0]{key}    = one_of(@{ $_[1]{keys} }) } ],
    [ 3, model   => sub { $_[0]{model}  = one_of(@{ $_[1]{models} }) } ],
    [ 3, fields  => sub { $_[0]{fields} = one_of(@{ $_[1]{fields} }) } ],
    [ 3, system  => sub { $_[0]{system} = one_of(@{ $_[1]{systems} }) } ],
    [ 2, no_question => sub { 'asked' } ],
    [ 7, twin    => sub { } ],
);

sub choose_step {
    my $left = 0;
    $left += $_->[0] for @steps;
    $left = chance($left);
    for my $step (@steps) {
        return @$step[1, 2] if ($left -= $step->[0]) < 0;
    }
}

sub new_talk {
    my ($id, $o) = @_;
    return { id => $id, messages => [], last => [],
             key    => one_of(@{ $o->{keys} }),
             model  => one_of(@{ $o->{models} }),
             system => one_of(@{ $o->{systems} }),
             fields => one_of(@{ $o->{fields} }),
             left   => 1 + chance($o->{most}) };
}

# What a model says to the last turn.
sub answer_to {
    my ($request) = @_;
    my $turns = normal($request)->{messages};
    my $plan  = CLB::Markers::plan(text => $turns->[-1][1]);
    return join '', map { $_->{text} // '' } @{ $plan->{steps} };
}

# The next request of a conversation; two when it has a twin.
sub next_of {
    my ($talk, $o) = @_;
    my ($name, $step) = @{ $talk->{messages} } ? choose_step()
                                               : ('begin', sub { });
    my $asked = ($step->($talk, $o) // '') eq 'asked';
    push @{ $talk->{messages} }, question($o->{odd}) unless $asked;
    $talk->{last} = [ map { { %$_ } } @{ $talk->{messages} } ];

    my @messages = (
        defined $talk->{system} ? system_text($talk->{system}) : (),
        # copies: the conversation may still edit its own
        map { { %$_ } } map { $o->{odd} && !chance(4) ? rewritten($_) : $_ }
        @{ $talk->{messages} });
    my $request = { model => $talk->{model}, messages => \@messages,
                    %{ $talk->{fields} }, stream => one_of(
                        JSON::PP::true, JSON::PP::false) };
    my $answer = answer_to($request);
    push @{ $talk->{messages} }, assistant($answer);
    return map { {
        name => "conversation $talk->{id}, $name", talk => $talk->{id},
        key => $talk->{key}, request => $request, answer => $answer, twin => $_,
    } } 0 .. ($name eq 'twin');
}

sub histories {
    my (%o) = (keys => [undef], systems => [undef], fields => [{}], most => 6,
               @_);
    ($state, $count) = ($o{seed}, 0);
    chance(1) for 1 .. 10;
    my ($id, @talks, @asked) = (0);
    for (;;) {
        push @talks, new_talk(++$id, \%o)
            while @talks < $open && $id < $o{conversations};
        return @asked unless @talks;
        my $at = chance(scalar @talks);
        push @asked, next_of($talks[$at], \%o);
        splice @talks, $at, 1 unless --$talks[$at]{left};
    }
}

# --- the client -----------------------------------------------------------

sub send_one {
    my ($s, $asked) = @_;
    my $client = $asked->{client} = $s->client(timeout => 60);
    $client->send_request('POST', '/v1/chat/completions', $asked->{request},
                          key => $asked->{key});
}

sub read_one {
    my ($asked) = @_;
    my $client = delete $asked->{client};
    my $head = $client->read_head;
    $asked->{status} = $head ? $head->{status} : 0;
    if ($head && $head->{headers}{'content-type'} =~ /event-stream/) {
        $asked->{text} = '';
        while (my $event = $client->read_event) {
            next unless $event->{json};
            $asked->{text} .= $event->{json}{error} ? $event->{data}
                : $event->{json}{choices}[0]{delta}{content} // '';
        }
        return;
    }
    my $r = $client->read_response;
    $asked->{text} = $asked->{status} == 200
        ? $r->{json}{choices}[0]{message}{content} : $r->{body};
}

sub play {
    my ($s, $asked, %o) = @_;
    my @flying;
    for my $i (0 .. $#$asked) {
        my $one = $asked->[$i];
        $o{between}->($i) if $o{between};
        read_one(shift @flying)
            while @flying >= $at_once
               || !$one->{twin} && grep { $_->{talk} == $one->{talk} } @flying;
        send_one($s, $one);
        push @flying, $one;
    }
    read_one($_) for @flying;
}

1;
