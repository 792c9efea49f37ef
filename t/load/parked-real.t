#!/usr/bin/perl

# parked.t with the real CLIs: what the model gets is what a request says, and
# the same with parked processes and without, but for what is said here.
# HISTORIES=number, PROGRAMS=names, SEED=number repeats a run.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP ();
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Histories qw(histories play);
use CLB::Model qw(system_of turns_of);
use CLB::Server;
use CLB::Talk qw(assistant normal rested same_told user);

my $n    = $ENV{HISTORIES} || 12;
my $seed = $ENV{SEED} // int rand 2**31;
diag "SEED=$seed";

my $json = JSON::PP->new->utf8->canonical;
my $keys = File::Temp->new;
printf $keys "%s:%s:chat\n", $_, sha256_hex("secret-$_") for qw(a b);
$keys->flush;

my %models = (claude => [qw(claude-sonnet-4-6 claude-opus-4-8)],
              codex  => [qw(gpt-5.5 gpt-5.5-mini)]);

my $driver;    # what is tried right now

# Where each version puts today's date, by the number of the message: the
# newest one puts it into a process's first question, which with a history is
# not the first message.
my %date_at = (
    'claude'        => { parked => [0], replayed => [0] },
    'claude-newest' => { parked => [0], replayed => [-1] },
);

# --- what the model got ---------------------------------------------------

sub start {
    my ($program, $park) = @_;
    my $m = CLB::Model->start;
    my $s = CLB::Server->start(loglevel => 'clibridge:info',
        config => "CLIBridgeKeyFile $keys\nCLIBridgeAnonymous on\n"
        . "CLIBridgeProcesses 10\n" . $m->config(driver => $driver,
            program => $program, more => "CLIBridgeWarm none\n"
                . "CLIBridgePark $park"));
    return ($m, $s);
}

# The client's part, each message one text.
sub told {
    my ($body) = @_;
    return same_told({ model => $body->{model}, system => system_of($body),
        messages => [ map { my ($role, @parts) = @$_;
                            [ $role, join '', @parts ] }
                      @{ turns_of($body) } ] });
}

sub without_cache_control {
    my ($value) = @_;
    return [ map { without_cache_control($_) } @$value ]
        if ref $value eq 'ARRAY';
    return $value unless ref $value eq 'HASH';
    return { map { $_ => without_cache_control($value->{$_}) }
             grep { $_ ne 'cache_control' } keys %$value };
}

# All of a request but what may differ: ids, and where the CLI's own words and
# the marks of its prompt cache are.
sub essence {
    my ($body) = @_;
    my %body = (%{ without_cache_control($body) },
                messages => turns_of($body));
    delete @body{qw(metadata client_metadata prompt_cache_key input)};
    return $json->encode(\%body);
}

sub messages_with {
    my ($body, $regex) = @_;
    my @messages = @{ $body->{messages} || $body->{input} };
    return [ grep { $json->encode($messages[$_]) =~ $regex } 0 .. $#messages ];
}

sub none {
    my ($name, @wrong) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok !@wrong, $name or diag join "\n", @wrong > 3 ? @wrong[0 .. 2] : @wrong;
}

# --- random histories -----------------------------------------------------

# By what the requests say: what the model got for them.
sub bodies {
    my ($m, $from) = @_;
    my @posts = $m->requests;
    my %bodies;
    push @{ $bodies{ told($_->{body}) } }, $_->{body}
        for @posts[$from .. $#posts];
    return \%bodies;
}

sub run {
    my ($m, $s, $how, @asked) = @_;
    my ($from, $at) = (scalar $m->requests, time);
    play($s, \@asked);
    my $took   = time - $at;
    my $health = rested($s, $driver);
    none "$how: all are answered, each its own",
        map { "$_->{name}: $_->{status} $_->{text}" }
        grep { $_->{status} != 200 || $_->{text} ne $_->{answer} } @asked;

    my $bodies = bodies($m, $from);
    my %times;
    $times{ same_told(normal($_->{request})) }++ for @asked;
    is_deeply { map { $_ => scalar @{ $bodies->{$_} } } keys %$bodies },
        \%times, "$how: the model is told what the requests say";
    diag sprintf '%s: %d requests in %.1f s: %d hits, %d misses, %d starts',
        $how, scalar @asked, $took, map { $health->{$_} }
        qw(hits misses starts);
    return $bodies;
}

sub histories_are_the_same {
    my ($live, $off) = @_;
    my @asked = histories(seed => $seed, conversations => int(($n + 1) / 2),
        most => 4, keys => [ undef, 'secret-a' ],
        models  => $models{$driver},
        systems => [ undef, "be brief\n" ]);
    my $parked   = run(@$live, 'parked',   map { { %$_ } } @asked);
    my $replayed = run(@$off,  'replayed', map { { %$_ } } grep {
        @{ normal($_->{request})->{messages} } > 1 } @asked);
    none 'the bodies are the same', map {
        my ($one, $other) = map { join "\n", sort map { essence($_) } @$_ }
            $parked->{$_}, $replayed->{$_};
        $one eq $other ? () : "parked:\n$one\nreplayed:\n$other";
    } sort keys %$replayed;
}

# --- secrets, and what differs --------------------------------------------

sub secrets_stay {
    my ($m, $s) = @_;
    my $from  = $m->requests;
    my @talks = map {
        { key => (undef, 'secret-a')[ $_ % 2 ], messages => [],
          secret => "canary-$_-" . int rand 1e9 };
    } 1 .. 4;
    my @asked;
    for my $turn (0 .. 2) {
        for my $i (0 .. $#talks) {
            my $talk = $talks[$i];
            my $messages = $talk->{messages};
            my $secret = $turn ? " $talk->{secret}" : '';
            push @$messages, user("[[say:hello$secret]]$secret");
            push @asked, { name => $talk->{secret}, talk => $i,
                key => $talk->{key}, answer => "hello$secret",
                request => { model => $models{$driver}[0],
                             messages => [@$messages] } };
            push @$messages, assistant("hello$secret");
        }
    }
    my $hits = $s->backend_health($driver)->{hits};
    play($s, \@asked);
    is rested($s, $driver)->{hits} - $hits, 8, 'conversations are found';
    none 'all are answered, each its own',
        map { "$_->{name}: $_->{status} $_->{text}" }
        grep { $_->{status} != 200 || $_->{text} ne $_->{answer} } @asked;
    my @posts = $m->requests;
    splice @posts, 0, $from;
    is @posts, @asked, 'the model is asked once for each';
    none 'and never sees two secrets', grep {
        uniq(/canary-\d+-\d+/g) > 1 } map { $json->encode($_->{body}) } @posts;
}

my %differs = (claude => sub {
    my ($program, $how, $body) = @_;
    is_deeply messages_with($body, qr/"cache_control"/), [4],
        "$how: the mark of the prompt cache is in the last message";
    is_deeply messages_with($body, qr/Today's date is/),
        [ map { $_ < 0 ? 4 : $_ } @{ $date_at{$program}{$how} } ],
        "$how: where the date is";
    is_deeply messages_with($body, qr/"thinking":"hm"/),
        $how eq 'parked' ? [1, 3] : [],
        "$how: thoughts stay in the process that had them";
}, codex => sub {
    my ($program, $how, $body, @before) = @_;
    is_deeply messages_with($body, qr/"encrypted_content":"aG0="/),
        $how eq 'parked' ? [1, 4] : [],
        "$how: thoughts stay in the process that had them";
    is uniq(map { $_->{prompt_cache_key} } $body, @before),
        $how eq 'parked' ? 1 : 3, "$how: so does the key of the prompt cache";
});

sub what_differs {
    my ($program, %by) = @_;
    my @messages = (user('[[think:hm]][[say:one]]'), assistant('one'),
                    user('[[think:hm]][[say:two]]'), assistant('two'),
                    user('three'));
    for my $how (sort keys %by) {
        my ($m, $s) = @{ $by{$how} };
        my @bodies = map {
            $s->chat([ @messages[0 .. $_] ], model => $models{$driver}[0]);
            $m->last->{body};
        } 0, 2, 4;
        $differs{$driver}->($program, $how, reverse @bodies);
    }
}

for my $program (split ' ', $ENV{PROGRAMS}
                 // 'claude claude-newest codex codex-newest') {
    $driver = $program =~ s/-.*//r;
    subtest $program => sub {
        my %by = (parked   => [ start($program, 10) ],
                  replayed => [ start($program, 'off') ]);
        histories_are_the_same(@by{qw(parked replayed)});
        secrets_stay(@{ $by{parked} });
        what_differs($program, %by);
        $_->[1]->stop for values %by;
    };
}
done_testing;
