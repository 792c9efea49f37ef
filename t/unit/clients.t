#!/usr/bin/perl

# What real clients send (t/data/clients, recorded by t/bin/record-clients.mjs)
# is recognised as the continuation of what they were answered, under the
# normal form of CLB::Form; and what means something else is not.

use strict;
use warnings;

use File::Basename qw(basename);
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Form qw(after form key parted);

my $NEEDED = 95;

my $json = JSON::PP->new->utf8->canonical;
my $data = "$FindBin::Bin/../data/clients";

# --- what is the same, and what is not -------------------------------------

sub user      { return { role => 'user', content => $_[0] } }
sub system_   { return { role => 'system', content => $_[0] } }
sub assistant { return { role => 'assistant', content => @_ } }

sub call {
    my ($id, $arguments) = @_;
    return { id => $id, type => 'function',
             function => { name => 'f', arguments => $arguments } };
}

sub result { return { role => 'tool', tool_call_id => $_[0],
                      content => $_[1] } }

sub part { return { type => 'text', text => $_[0] } }

# Two calls and their results, as messages.
sub two {
    my ($first, $second) = @_;
    return user('x'), assistant(undef, tool_calls => [
        call(a => '{"n":1}'), call(b => '{"n":2}'),
    ]), @$first, @$second;
}

sub chat { return form('/v1/chat/completions', { messages => [@_] }) }

sub one { return chat(user('x'), assistant($_[0], tool_calls => [
    call(a => $_[1]) ])) }

sub responses {
    my ($input, %more) = @_;
    return form('/v1/responses', { input => $input, %more });
}

my @same = (
    [ 'a text and a list of one', chat(user('x')), chat(user([ part('x') ])) ],
    [ 'developer and system', chat(system_('s')),
      chat({ role => 'developer', content => 's' }) ],
    [ 'ids', chat(two([ result(a => 1) ], [ result(b => 2) ])),
      chat(user('x'), assistant('', tool_calls => [
          call(c => '{"n":1}'), call(d => '{"n":2}') ]),
          result(c => 1), result(d => 2)) ],
    [ 'the order of results', chat(two([ result(a => 1) ], [ result(b => 2) ])),
      chat(two([ result(b => 2) ], [ result(a => 1) ])) ],
    [ 'null, empty and blank text beside a call', one(undef, '{}'),
      one('', '{}'), one(" \n", '{}') ],
    [ 'how arguments are spelt', one('', '{"a":"\u00e9.","b":1.0}'),
      one('', qq({ "b" : 1,\n"a":"\xe9\\u002e" }\n)) ],
    [ 'no arguments', one('', ''), one('', '{}') ],
    [ 'reasoning', chat(user('x'), assistant('y')),
      chat(user('x'), assistant('y', reasoning_content => 'z')),
      chat(user('x'), assistant([ { type => 'reasoning', text => 'z' },
                                  part('y') ])) ],
    [ 'an answer in pieces', chat(user('x'), assistant('a b')),
      chat(user('x'), assistant('a'), assistant(' b')),
      chat(user('x'), assistant([ part('a '), part('b') ])) ],
    [ 'a call before its text', one('y', '{}'), responses([
        user('x'),
        { type => 'function_call', call_id => 'c', name => 'f',
          arguments => '{}' },
        assistant('y') ]) ],
    [ 'the two APIs', chat(system_('s'), user('x'), assistant('y',
        tool_calls => [ call(a => '{}') ]), result(a => 'r')),
      responses([
          { role => 'user', content => [
              { type => 'input_text', text => 'x' } ] },
          { type => 'reasoning', id => 'r', summary => [] },
          { type => 'message', role => 'assistant', id => 'm', content => [
              { type => 'output_text', text => 'y', annotations => [] } ] },
          { type => 'function_call', call_id => 'c', id => 'i', name => 'f',
            arguments => '{}' },
          { type => 'function_call_output', call_id => 'c', output => 'r' },
      ], instructions => 's') ],
);
for my $case (@same) {
    my ($name, $first, @others) = @$case;
    is(key($_), key($first), "does not matter: $name") for @others;
}

my @different = (
    [ 'who says it', chat(user('x'), assistant('y'), user('z')),
      chat(user('x'), user('y'), user('z')) ],
    [ 'blanks around a text', chat(user('x')), chat(user("x\n")) ],
    [ 'blanks around an answer', chat(user('x'), assistant('y')),
      chat(user('x'), assistant("y\n")) ],
    [ 'where a message ends', chat(user('x'), user('y')), chat(user('xy')) ],
    [ 'an answer of nothing', chat(user('x'), assistant(''), user('y')),
      chat(user('x'), user('y')) ],
    [ 'which call a result is of',
      chat(two([ result(a => 1) ], [ result(b => 2) ])),
      chat(two([ result(b => 1) ], [ result(a => 2) ])) ],
    [ 'a result that is missing', chat(two([ result(a => 1) ], [])),
      chat(two([ result(b => 1) ], [])) ],
    [ 'a result and a text', chat(two([ result(a => 1) ], [ user('y') ])),
      chat(two([ result(a => 1) ], [ result(b => 'y') ])) ],
    [ 'arguments', one('', '{"a":1}'), one('', '{"a":"1"}') ],
    [ 'a big number', one('', '{"a":12345678901234567890}'),
      one('', '{"a":12345678901234567000}') ],
    [ 'arguments that are no JSON', one('', '{"a":'), one('', '{}') ],
    [ 'arguments that are text', one('', '{"a":'), one('', '"{\"a\":"') ],
    [ 'the system prompt', chat(system_('s'), user('x')), chat(user('x')) ],
    [ 'an image', chat(user([ part('x') ])), chat(user([ part('x'),
      { type => 'image_url', image_url => { url => 'data:,' } } ])) ],
    map({ my $name = $_;
          [ $name, form('', { $name => [], messages => [] }),
            form('', { $name => [1], messages => [] }) ] } qw(model tools)),
);
for my $case (@different) {
    my ($name, $first, $second) = @$case;
    isnt(key($first), key($second), "matters: $name");
}

# --- what clients send ------------------------------------------------------

# Requests that do not continue what was answered, and why: file, conversation
# and the number of the request in it.
my @apart = (
    [ 'the application drops its calls',
      qr/^aisdk compatible, generateText, text only: (?:tools #[36]|odd.*#4)/ ],
    [ 'JavaScript rounds an integer in the arguments',
      qr/^(?!agents|openai|codex).*odd arguments #3$/ ],
    [ 'the client mends a call that is none',
      qr/^(?:(?:aisdk|cline|cn|opencode|pi)\b.*bad\ calls\ \#2
           |opencode\ bad\ calls\ \#1)$/x ],
    [ 'the client drops the reminders of earlier turns',
      qr/^qwen continued: (?:chat #[1-4]|tools #[36])$/ ],
    [ 'the client drops or replaces an answer of nothing',
      qr/^(?:aisdk .*|cn |opencode |pi )blank #2$|^(?:cline|pi) blank #1$/ ],
);

sub references {
    my ($request) = @_;
    my $input = $request->{input};
    return scalar grep { ($_->{type} // '') eq 'item_reference' }
        ref $input ? @$input : ();
}

# Why a request is no continuation, or undef.
sub apart {
    my ($name, $before, $asked, @requests) = @_;
    my ($had, $has) = map { references($_) } @requests;
    return 'the history is at the server'
        if $has > $had || $requests[1]{previous_response_id};
    return 'the client asks again' if key($before) eq key($asked);
    for my $member (qw(system tools)) {
        return "the client changes: $member"
            if $json->encode($before->{$member})
            ne $json->encode($asked->{$member});
    }
    my ($found) = grep { $name =~ $_->[1] } @apart;
    return $found && $found->[0];
}

my (%reasons, @wrong, @missed);
my ($hits, $pairs) = (0, 0);

sub compare {
    my ($name, $last, $turn) = @_;
    my ($before, $asked) = map { form(@$_{qw(path request)}) } $last, $turn;
    my ($past) = parted($asked);
    my $state = after($before, $last->{answer});
    my $hit = key($past) eq key($state);
    my $apart = apart($name, $before, $asked, $last->{request},
                      $turn->{request});
    if ($apart) {
        $reasons{$apart}++;
        push @wrong, "$name: $apart" if $hit;
        return;
    }
    $pairs++;
    $hits += $hit;
    push @missed, "$name\n  answered " . substr(key($state), -300)
        . "\n  sent     " . substr(key($past), -300) unless $hit;
    return $hit;
}

for my $file (sort glob "$data/*.json") {
    open my $in, '<', $file or die "$file: $!\n";
    my $recorded = $json->decode(do { local $/; <$in> });
    my $short = basename($file, '.json');
    my @before = ($hits, $pairs);
    for my $conversation (@{ $recorded->{conversations} }) {
        my @turns = @{ $conversation->{turns} };
        compare("$short $conversation->{name} #$_", @turns[ $_ - 1, $_ ])
            for 1 .. $#turns;
    }
    note sprintf '%d of %d: %s', $hits - $before[0], $pairs - $before[1],
        $recorded->{client};
}
note "$reasons{$_} apart: $_" for sort keys %reasons;
note(JSON::PP->new->ascii->encode([ missed => $_ ])) for @missed;

cmp_ok($pairs, '>', 400, 'the recordings were read');
cmp_ok($hits * 100, '>=', $pairs * $NEEDED,
       "$hits of $pairs continuations are recognised");
is("@wrong", '', 'nothing else is taken for one');
is(join('; ', grep { !$reasons{$_} } map { $_->[0] } @apart), '',
   'every reason was met');

done_testing;
