#!/usr/bin/perl

# Whatever clients do with their conversations, several at once: for every
# request the model is told what it says, whether a parked process went on or
# its history was replayed. HISTORIES=number, SEED=number repeats a run.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8);
use File::Temp ();
use FindBin;
use JSON::PP ();
use List::Util qw(shuffle uniq);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Histories qw(histories play);
use CLB::Server;
use CLB::Talk qw(assistant fake_claude normal rested same_told system_text
                 upstream user);

my $n    = $ENV{HISTORIES} || 300;
my $seed = $ENV{SEED} // int rand 2**31;
diag "SEED=$seed";

my $json = JSON::PP->new->utf8->canonical;
my $keys = File::Temp->new;
printf $keys "%s:%s:chat\n", $_, sha256_hex("secret-$_") for qw(a b c);
$keys->flush;

# While generations overlap there are more workers than one needs.
my $mpm = ($ENV{CLIBRIDGE_MPM} || 'event') eq 'event' ? 'ServerLimit 16' : '';

my $s = CLB::Server->start(loglevel => 'clibridge:info',
                           config => <<"EOT"
$mpm
CLIBridgeProcesses 80
CLIBridgeKeyFile $keys
CLIBridgeAnonymous on
CustomLog \@ROOT\@/logs/who.log "\%{clibridge-process}n \%u"
EOT
    . fake_claude('fake', 'CLIBridgePark 10')
    . fake_claude('many', 'CLIBridgePark 50'));

# What was asked but not told, and told but not asked.
sub differences {
    my ($asked, @told) = @_;
    my (%left, @wrong);
    push @{ $left{ same_told($_) } }, $_ for @told;
    for my $one (@$asked) {
        my $want = same_told(normal($one->{request}));
        push @wrong, "$one->{name}: not told: $want"
            unless @{ $left{$want} || [] } && shift @{ $left{$want} };
    }
    return @wrong, map { my $told = $_; map { "told by $_->{pid}: $told" }
                         @{ $left{$told} } } sort keys %left;
}

sub none {
    my ($name, @wrong) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok !@wrong, $name
        or diag join "\n", scalar(@wrong) . ' times', @wrong > 5 ? @wrong[0 .. 4]
                                                                 : @wrong;
}

# --- random histories -----------------------------------------------------

# [fields, what becomes of them]
my @settings = (
    [ {}, {} ],
    [ { max_tokens => 77 },
      { env => { CLAUDE_CODE_MAX_OUTPUT_TOKENS => '77' } } ],
    [ { reasoning_effort => 'low' }, { effortLevel => 'low' } ],
);

subtest "$n histories" => sub {
    my @asked = histories(
        seed => $seed, conversations => $n, odd => 1,
        keys => [ undef, map { "secret-$_" } qw(a b c) ],
        models  => [qw(fake fake-2)],
        systems => [ undef, 'be brief', "be brief\n", '日本 "x"' ],
        fields  => [ map { $_->[0] } @settings ]);
    my ($from, $every) = (time, int(@asked / 4) + 1);
    play($s, \@asked, between => sub {
        $s->graceful if $_[0] && $_[0] % $every == 0;
    });
    my $took   = time - $from;
    my $health = rested($s, 'fake');
    my @told   = upstream($s);

    none 'all are answered', map { "$_->{name}: $_->{status} $_->{text}" }
        grep { $_->{status} != 200 } @asked;
    none 'each with its own answer',
        map { "$_->{name}: " . encode_utf8("$_->{text}, not $_->{answer}") }
        grep { $_->{status} == 200 && $_->{text} ne $_->{answer} } @asked;
    none 'the model is told what the requests say',
        differences(\@asked, @told);

    my %fields = map { same_told(normal($_->{request})) . $json->encode({
        map { $_ => 1 } keys %{ $_->{request} } }) => 1 } @asked;
    none 'and what they set', map { $json->encode($_) } grep {
        my ($told, $set) = ($_, $json->encode($_->{settings}));
        !grep {
            my ($given, $becomes) = @$_;
            $json->encode($becomes) eq $set
            && $fields{ same_told($told) . $json->encode({
                map { $_ => 1 } qw(model messages stream), keys %$given }) };
        } @settings;
    } @told;

    my (%seen, $continued);
    # in so many starts pids come again
    $continued += $seen{"$_->{pid} $_->{born}"}++ ? 1 : 0 for @told;
    cmp_ok $health->{hits}, '>', 0, 'conversations are found';
    is $health->{hits}, $continued, 'hits are counted';
    is $health->{hits} + $health->{misses},
        scalar(grep { @{ normal($_->{request})->{messages} } > 1 } @asked),
        'so are misses: all that have a history are one of them';
    diag sprintf '%d requests in %.1f s: %d hits, %d misses, %d starts, %d '
        . 'failures', scalar @asked, $took, map { $health->{$_} }
        qw(hits misses starts failures);
};

# --- secrets --------------------------------------------------------------

# All begin with the same words, so that many processes hold what many
# conversations could go on with; then each learns its own secret.
subtest 'secrets stay in their conversation' => sub {
    my $before = upstream($s);
    my $from   = -s $s->path('logs/who.log');
    my @talks = map {
        { key => (undef, 'secret-a', 'secret-b')[ $_ % 3 ], messages => [],
          secret => "canary-$_-" . int rand 1e9 };
    } 1 .. 50;
    my @asked;
    for my $turn (0 .. 2) {
        for my $i (shuffle 0 .. $#talks) {
            my $talk = $talks[$i];
            my $messages = $talk->{messages};
            my $secret = $turn ? " $talk->{secret}" : '';
            push @$messages, user("[[say:hello$secret]]$secret");
            push @asked, { name => $talk->{secret}, talk => $i,
                key => $talk->{key}, answer => "hello$secret",
                request => { model => 'many', messages => [@$messages] } };
            push @$messages, assistant("hello$secret");
        }
    }
    play($s, \@asked);
    my $health = rested($s, 'many');
    none 'all are answered, each its own',
        map { "$_->{name}: $_->{status} $_->{text}" }
        grep { $_->{status} != 200 || $_->{text} ne $_->{answer} } @asked;
    my @told = upstream($s);
    splice @told, 0, $before;
    is @told, @asked, 'the model is asked once for each';
    none 'and never sees two secrets', map { $json->encode($_) } grep {
        uniq($json->encode($_) =~ /canary-\d+-\d+/g) > 1 } @told;

    my %users;
    for (split /\n/, CLB::Server::slurp($s->path('logs/who.log'), $from)) {
        my ($process, $user) = split ' ';
        $users{$process}{$user} = 1 if $process =~ /^[1-9]/;
    }
    none 'no process serves two keys', map { "process $_" }
        grep { keys %{ $users{$_} } > 1 } sort keys %users;
    cmp_ok $health->{hits}, '>', $health->{misses}, 'most go on'
        or diag explain $health;
};

$s->idle_ok;
$s->stop;
done_testing;
