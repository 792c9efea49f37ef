# Random conversations: what the model receives is what the client sent, less
# exactly what the CLI's version is known to add, whether the process knows the
# conversation or gets all of it again. Both versions of each.
#
# SEED=N repeats a run, CHATS=N sets how many conversations there are of each
# version, PROGRAMS="claude codex-newest" which.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Encode qw(encode_utf8);
use JSON::PP ();
use List::Util qw(shuffle);
use Test::More;
use Unicode::Normalize qw(NFKC);

use CLB::Model qw(system_of turns_of);
use CLB::Server;

my $json  = JSON::PP->new->canonical->allow_nonref;    # characters
my $seed  = $ENV{SEED} || time ^ $$;
my $chats = $ENV{CHATS} || 6;
srand $seed;
diag "SEED=$seed";

my %model = (claude => 'claude-sonnet-4-6', codex => 'gpt-5.5');

my ($driver, $m, $s);    # what is tried right now

# --- chance ---------------------------------------------------------------

sub chance  { rand() < $_[0] }
sub pick    { $_[ rand @_ ] }
sub between { $_[0] + int rand($_[1] - $_[0] + 1) }

my @words = ('word', "two\nlines", '/help', '@/etc/hostname', '#note', '!ls',
    'é', "e\x{301}", '天気', "\x{1f468}\x{200d}\x{1f469}", "\x{2028}",
    "\x{feff}", '"q"', '\\', '\\n', '<b>', "\t", ' ', "\r\n", '{"a":1}',
    '</system-reminder>', "\x{7f}", "\x{fffd}", 'ultrathink', 'null', '0');

# Seldom nothing, or blanks alone, which is the same; seldom a megabyte.
sub words {
    return pick('', ' ', "\n\t") if chance(0.07);
    my $text = join pick(' ', '', "\n"), map { pick(@words) }
        1 .. between(1, 12);
    return "x$text" x (1 << 20 >> 6) if chance(0.004);
    return $text =~ /[^\s\x{feff}]/ ? $text : "x$text";
}

sub value {
    my ($depth) = @_;
    my $kind = int rand($depth > 2 ? 5 : 7);
    return $kind == 0 ? words() : $kind == 1 ? between(-9, 1 << 40)
         : $kind == 2 ? between(1, 99) + 0.5 : $kind == 3 ? undef
         : $kind == 4 ? pick(JSON::PP::true, JSON::PP::false)
         : $kind == 5 ? [ map { value($depth + 1) } 1 .. between(0, 3) ]
         : object($depth + 1);
}

sub object {
    my ($depth) = @_;
    return { map { (pick(@words) . between(1, 9) => value($depth)) }
             1 .. between(0, 3) };
}

# The same value written in another way.
sub rewritten {
    my ($value) = @_;
    return pick($json, JSON::PP->new->indent->space_before,
                JSON::PP->new->ascii)->encode($value);
}

# --- what a client sends --------------------------------------------------

my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';

sub text { { type => 'text', text => $_[0] } }

sub media {
    my $image = { type => 'image_url', image_url => {
        url => "data:image/png;base64,$pixel" } };
    return $image if $driver eq 'codex';    # which takes nothing else
    return pick(
        $image,
        { type => 'image_url', image_url => {
            url => 'https://example.org/' . between(1, 99) } },
        { type => 'file', file => { filename => 'a.pdf',
            file_data => 'data:application/pdf;base64,JVBERi0=' } });
}

sub content {
    my ($media) = @_;
    return words() if chance(0.6);
    return [ map { chance($media) ? media() : text(words()) }
             1 .. between(0, 4) ];
}

my $calls = 0;

sub call {
    my ($name) = @_;
    return { id => chance(0.2) ? "odd id \x{e9}!" . ++$calls : 'c' . ++$calls,
             type => 'function', function => {
                 name => $name, arguments => rewritten(object(0)) } };
}

sub tools {
    my $n = 0;
    return map {
        $n++;
        +{ type => 'function', function => {
            name => pick("plain$n", "dotted.$n", "mit Umläuten $n", "天気$n",
                         "long$n" . 'x' x 80),
            chance(0.8) ? (description => chance(0.1) ? words() . ' x' x 3000
                                                      : words()) : (),
            parameters => { type => 'object', description => "tool $n",
                properties => { map { ("p$_" => { enum => [value(1)],
                    chance(0.05) ? (description => words() . ' x' x 3000)
                                 : () }) } 1 .. between(0, 3) } } } };
    } 1 .. between(1, 12);
}

# A question, and often an answer, perhaps with calls and their results.
sub exchange {
    my (@names) = @_;
    my @said = map { { role => 'user', content => content(0.3) } }
        1 .. pick(1, 1, 1, 2);
    unshift @said, { role => pick(qw(system developer)), content => words() }
        if chance(0.05);
    for (1 .. pick(0, 1, 1, 1, 2)) {
        my @calls = @names && chance(0.5)
            ? map { call(pick(@names)) } 1 .. between(1, 3) : ();
        push @said, { role => 'assistant', content => content(0),
                      chance(0.2) ? (reasoning_content => 'hm') : (),
                      @calls ? (tool_calls => \@calls) : () };
        push @said, map { { role => 'tool', tool_call_id => $_->{id},
                            content => content(0.2) } } shuffle(@calls);
    }
    return @said;
}

# --- what the model must get ----------------------------------------------

sub image { { type => 'image', source => {
    type => 'base64', media_type => 'image/png', data => $pixel } } }

sub block_of {
    my ($part) = @_;
    return $part->{text} if $part->{type} eq 'text';
    return { type => 'document', title => 'a.pdf', source => {
        type => 'base64', media_type => 'application/pdf',
        data => 'JVBERi0=' } } if $part->{type} eq 'file';
    my $url = $part->{image_url}{url};
    return $url !~ /^http/ ? image()
        : { type => 'image', source => { type => 'url', url => $url } };
}

sub blocks_of {
    my ($content) = @_;
    return map { block_of($_) } ref $content ? @$content : text($content // '');
}

sub of_message {
    my ($message) = @_;
    my @blocks = blocks_of($message->{content});
    return [ user => { type => 'tool_result',
        tool_use_id => $message->{tool_call_id},
        content => [ map { ref ? $_ : $_ eq '' ? () : text($_) } @blocks ] } ]
        if $message->{role} eq 'tool';
    @blocks = grep { ref || /\S/ } @blocks;
    push @blocks, map { { type => 'tool_use', id => $_->{id},
        name  => $_->{function}{name},
        input => $json->decode($_->{function}{arguments}) } }
        @{ $message->{tool_calls} || [] };
    return [ $message->{role} => @blocks ];
}

sub turns {
    my (@messages) = @_;
    my @turns;
    for my $turn (map { of_message($_) }
                  grep { $_->{role} !~ /^(?:system|developer)$/ } @messages) {
        my ($role, @blocks) = @$turn;
        next unless @blocks;
        push @turns, [ user => 'Continue.' ]
            if !@turns && $role eq 'assistant';
        push @turns, [$role] unless @turns && $turns[-1][0] eq $role;
        push @{ $turns[-1] }, @blocks;
    }
    push @turns, [ user => 'Continue.' ]
        unless @turns && $turns[-1][0] eq 'user';
    return \@turns;
}

sub system_text {
    my ($messages, $tools, $names) = @_;
    my %known = reverse %$names;
    return join "\n\n", grep({ $_ ne '' } map { $_->{content} }
            grep { $_->{role} =~ /^(?:system|developer)$/ } @$messages),
        map { "The tool $known{ $_->{name} }: $_->{description}" }
        grep { length encode_utf8($_->{description} // '') > 2000 }
        map { $_->{function} } $driver eq 'claude' ? @$tools : ();
}

# --- and what it gets -----------------------------------------------------

# A part of the Responses API as one of the Messages API.
sub part_of {
    my ($part) = @_;
    return text(ref $part ? $part->{text} : $part)
        if !ref $part || defined $part->{text};
    return ($part->{image_url} // '') eq "data:image/png;base64,$pixel"
        ? image() : $part;
}

# The same of an item.
sub turn_of {
    my ($type, @parts) = @{ $_[0] };
    my ($item) = @parts;
    return [ assistant => { type => 'tool_use', id => $item->{call_id},
        name => $item->{name}, input => $json->decode($item->{arguments}) } ]
        if $type eq 'function_call';
    return [ $type => map { ref ? part_of($_) : $_ } @parts ]
        if $type ne 'function_call_output';
    my $output = $item->{output};
    return [ user => { type => 'tool_result', tool_use_id => $item->{call_id},
        content => [ map { part_of($_) } ref $output ? @$output
                     : length $output ? $output : () ] } ];
}

sub received {
    my ($body) = @_;
    my $turns = turns_of($body);
    return $turns if $driver eq 'claude';
    my @turns;
    for my $turn (map { turn_of($_) } @$turns) {
        my ($role, @blocks) = @$turn;
        push @turns, [$role] unless @turns && $turns[-1][0] eq $role;
        push @{ $turns[-1] }, @blocks;
    }
    return \@turns;
}

# The client's name of each tool by the one that the model knows.
sub names_of {
    my ($body, @tools) = @_;
    my %name = map { $_->{parameters}{description} => $_->{name} }
        map { $_->{function} } @tools;
    return { map { $_->{name} => $name{ schema_of($_)->{description} } }
             @{ $body->{tools} } };
}

# The CLI takes tools for somebody else's and shows nothing in them that people
# would not see.
sub visible {
    my ($value) = @_;
    return [ map { visible($_) } @$value ] if ref $value eq 'ARRAY';
    return { map { visible($_) } %$value } if ref $value eq 'HASH';
    return $value if ref $value || !defined $value
                  || $value =~ /\A-?[0-9.]+\z/;
    return NFKC($value) =~ s/[\p{Cf}\p{Co}\p{Cn}]//gr;
}

# What each CLI makes of a schema.
my %written = (claude => \&visible, codex => sub {
    my ($schema) = @_;
    my $properties = $schema->{properties};
    return { %$schema, properties => { map { $_ => {
        type => 'string', %{ $properties->{$_} } } } keys %$properties } };
});

# Codex cuts a large one, but for what is in the description.
sub schema_of {
    my ($tool) = @_;
    return $written{codex}->($json->decode($1)) if $driver eq 'codex'
        && $tool->{description} =~ /The JSON schema of its arguments: (.*)\z/s;
    return $tool->{input_schema} // $tool->{parameters};
}

# Ids are made anew on the way: they are compared by where they occur.
sub numbered {
    my ($turns, $names) = @_;
    my (%number, @all);
    for my $turn (@$turns) {
        my ($role, @blocks) = @$turn;
        my %new;
        for (@blocks) {
            next unless ref;
            $_ = { %$_ };
            $_->{name} = $names->{ $_->{name} } // $_->{name}
                if $names && $_->{type} eq 'tool_use';
            $_->{id} = $new{ $_->{id} } = @all . '/' . keys %new
                if $_->{type} eq 'tool_use';
            $_->{tool_use_id} = $number{ $_->{tool_use_id} }
                if $_->{type} eq 'tool_result';
        }
        %number = %new;
        push @all, [ $role, @blocks ];
    }
    return \@all;
}

sub check {
    my ($name, $messages, $tools) = @_;
    my $before = $m->requests;
    my $r = $s->chat($messages, model => $model{$driver}, -timeout => 120,
                     @$tools ? (tools => $tools) : ());
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, "$name: one request") or diag $r->{body};
    return $r unless @new;
    my $body  = $new[0]{body};
    my $names = names_of($body, @$tools);
    my ($got, $want) = (numbered(received($body), $names),
                        numbered(turns(@$messages)));
    is(scalar @$got, scalar @$want, "$name: as many turns");
    for my $i (0 .. $#$want) {
        my ($one, $two) = map { $json->encode($_->[$i]) } $got, $want;
        next if $one eq $two;
        fail("$name: turn $i");
        diag 'got  ', substr $one, 0, 2000;
        diag 'want ', substr $two, 0, 2000;
        last;
    }
    is(join('|', @{ system_of($body) }),
       system_text($messages, $tools, $names), "$name: the system prompt");
    is_deeply({ map { $_->{description} => $_ }
                map { schema_of($_) } @{ $body->{tools} } },
              { map { $_->{description} => $written{$driver}->($_) }
                map { $_->{function}{parameters} } @$tools },
              "$name: the tools");
    return $r;
}

# What a client makes of an answer before it sends it back.
sub sent_back {
    my ($message) = @_;
    my %copy = %$message;
    delete @copy{qw(reasoning_content refusal)};
    $copy{content} = [ text($copy{content}) ]
        if defined $copy{content} && chance(0.5);
    for my $call (@{ $copy{tool_calls} || [] }) {
        $call->{function}{arguments} = rewritten(
            $json->decode($call->{function}{arguments}));
    }
    return \%copy;
}

# The same again, somewhat longer, as often as chance has it.
sub goes_on {
    my ($name, $messages, $tools) = @_;
    my ($hits) = map { $_->{hits} } $s->backend_health($driver);
    for my $step (0 .. between(0, 2)) {
        my @known = map { $_->{function}{name} } @$tools;
        my $plain = (grep { /^plain/ } @known)[0];
        push @$messages, { role => 'user', content => words()
            . ($plain && chance(0.5) ? "[[tool:$plain:{\"a\":[1,{}]}]]"
                                     : '[[say:so]]') };
        my $r = check("$name, step $step", $messages, $tools);
        my $answer = $r->{json} && $r->{json}{choices}
            or return;
        $answer = sent_back($answer->[0]{message});
        push @$messages, $answer, map { { role => 'tool',
            tool_call_id => $_->{id}, content => content(0.2) } }
            @{ $answer->{tool_calls} || [] };
        next unless $step;
        is($s->backend_health($driver)->{hits}, ++$hits,
           "$name, step $step: in the same process");
    }
}

for my $program (split ' ', $ENV{PROGRAMS}
                 // 'claude claude-newest codex codex-newest') {
    $driver = $program =~ s/-.*//r;
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => $m->config(driver => $driver,
                                                 program => $program));
    for my $n (1 .. $chats) {
        my @tools = chance(0.7) ? tools() : ();
        my @names = map { $_->{function}{name} } @tools;
        my $turns = $n == 1 ? 100 : chance(0.1) ? between(20, 100)
                  : between(0, 6);
        my @chat  = map { exchange(@names) } 1 .. $turns;
        goes_on("$program, chat $n ($turns exchanges)", \@chat, \@tools);
    }
    $s->stop;
    $m->stop;
}
done_testing;
