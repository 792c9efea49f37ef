#!/usr/bin/perl

# A client that leaves while it waits for a slot, before the first byte of its
# answer and in the middle of it, by every way that clients come: how long
# until its slot is free, its process gone and the connection to the model
# closed. CUTS=50 is the full matrix and limits the times, too; an argument
# (prove t/load/leaving.t :: TLS) names the only ways to try.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::H2;
use CLB::Model;
use CLB::Server;

my $cuts  = $ENV{CUTS} || 4;
my $only  = $ARGV[0] // '';
my $tick  = 1;          # seconds, CLIBridgeKeepAlive behind the proxy
my $bound = 0.25;       # seconds, from the moment httpd can know of it
my $ever  = 15;

my $m = CLB::Model->start;
my $s;

my $config = $m->config(models => 'claude-x', more => 'CLIBridgeWarm none')
           . $m->config(driver => 'codex', models => 'gpt-x') . <<"EOT";
MaxKeepAliveRequests 0
KeepAliveTimeout 60
CLIBridgeAnonymous on
CLIBridgeKeepAlive 60
CLIBridgeTimeout first=600 idle=600 turn=600
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram \@BIN\@/fake-oneshot
    CLIBridgeSlots 1
    \@MARK\@
</CLIBridgeBackend>
<Location /ticking>
    SetHandler clibridge
    CLIBridgeKeepAlive $tick
</Location>
ProxyPass /front/ http://127.0.0.1:\@PORT\@/ticking/ flushpackets=on
EOT

# How clients come and go, and how late the server may know of it: a proxy
# sees it when it writes, and TCP tells it at the second write.
my @h1 = (
    { name => 'HTTP/1.1', open => 'CLB::Client', leave => 'close' },
    { name => 'mod_proxy_http', open => 'CLB::Client', leave => 'close',
      path => '/front', late => $tick },
);
my @tls = (
    { name => 'TLS', open => 'CLB::Client', leave => 'close' },
    { name => 'HTTP/2, reset', open => 'CLB::H2', leave => 'reset' },
    { name => 'HTTP/2, closed', open => 'CLB::H2', leave => 'close' },
);

sub send_chat {
    my ($way, $model, $text) = @_;
    my $c = $way->{open}->open($s);
    $c->send_request('POST', ($way->{path} // '/v1') . '/chat/completions', {
        model => $model, stream => JSON::PP::true,
        messages => [ { role => 'user', content => $text } ] });
    return $c;
}

sub is_there { $s->wait_for(@_) or die "no $_[1]\n" }

# --- the moments ----------------------------------------------------------

# A client that can leave, and what must be gone then, each by its name.

my ($health, $holder);

sub count {
    my ($running, $waiting) = @_;
    my $now = $health->request('GET', '/health')->{json} or return;
    return $now->{slots}{running} == $running
        && $now->{queue}{waiting} == $waiting;
}

sub queued {
    my ($way) = @_;
    $holder ||= send_chat($h1[0], 'one', '[[hang]]');
    is_there(sub { count(1, 0) }, 'holder of the slot');
    my $c = send_chat($way, 'one', 'never heard');
    is_there(sub { count(1, 1) }, 'client in the queue');
    return ($c, slot => sub { count(1, 0) });
}

# The processes of turns: Codex's stay for the next.
sub mortals { grep { CLB::Server::cmdline($_) !~ / app-server / } $s->marked }

sub alone {
    undef $holder;
    is_there(sub { count(0, 0) && !mortals() }, 'peace');
}

sub turn_of {
    my @pids = mortals();
    return (slot => sub { count(0, 0) },
            @pids ? (process => sub { !kill 0 => @pids }) : ());
}

sub asked {
    my ($way, $model, $text) = @_;
    alone();
    my $before = $m->requests;
    my $c = send_chat($way, $model, $text);
    is_there(sub { $m->requests > $before }, 'request to the model');
    my $n = $m->last->{n};
    return ($c, turn_of(), upstream => sub { $m->end($n) });
}

sub before_the_first_byte {
    my ($model) = @_;
    return sub { asked($_[0], $model, '[[hang]]') };
}

sub in_the_middle {
    my ($model) = @_;
    return sub {
        my ($c, @gone) = asked($_[0], $model, '[[stream:9999:20]]');
        is_there(sub { $c->read_event }, 'word');
        return ($c, @gone);
    };
}

# The longest that a program can live on.
sub deaf_to_sigterm {
    my ($way) = @_;
    alone();
    my $c = send_chat($way, 'one', '[[ignoreterm]][[say:x]][[hang]]');
    is_there(sub { $c->read_event }, 'word');
    return ($c, turn_of());
}

my @moments = (
    [ 'queued', \&queued ],
    [ 'before the first byte', before_the_first_byte('claude-x') ],
    [ 'in the middle', in_the_middle('claude-x') ],
    [ 'Codex: before the first', before_the_first_byte('gpt-x') ],
    [ 'Codex: in the middle', in_the_middle('gpt-x') ],
    [ 'deaf to SIGTERM', \&deaf_to_sigterm ],
);

# --- the cells ------------------------------------------------------------

# Seconds until each has come true.
sub times_of {
    my ($leave, %gone) = @_;
    my $left = time;
    my %time;
    $leave->();
    while (%gone && time - $left < $ever) {
        for (grep { $gone{$_}->() } keys %gone) {
            $time{$_} = time - $left;
            delete $gone{$_};
        }
        sleep 0.001;
    }
    return \%time;
}

sub median { (sort { $a <=> $b } @_)[ @_ / 2 ] }

sub cell {
    my ($way, $moment, $begin) = @_;
    my (%times, @what);
    for (1 .. $cuts) {
        my ($c, @gone) = $begin->($way);
        my $leave = $way->{leave};
        my $time = times_of(sub { $c->$leave }, @gone);
        @what = @gone[ grep { !($_ % 2) } 0 .. $#gone ];
        push @{ $times{$_} }, $time->{$_} for keys %$time;
    }
    is_deeply([ map { scalar @{ $times{$_} || [] } } @what ],
              [ ($cuts) x @what ], "$way->{name}, $moment: gives back @what");
    diag sprintf '%-15s %-22s %s', $way->{name}, $moment, join '  ', map {
        sprintf '%s %.0f, %.0f', $_, map { $_ * 1000 }
            median(@{ $times{$_} }), max @{ $times{$_} }
    } grep { $times{$_} } @what;
    return unless $ENV{CUTS};
    my $worst = max(0, map { @$_ } values %times);
    cmp_ok($worst, '<=', $bound + ($way->{late} // 0), 'in time');
}

diag "$cuts cuts each; milliseconds: median, worst";
for my $ways (\@h1, \@tls) {
    my @ways = grep { $_->{name} =~ /$only/ } @$ways or next;
    my $tls  = $ways == \@tls;
    $s = CLB::Server->start(config => $config,
                            modules => [qw(proxy proxy_http)],
                            $tls ? (mpm => 'event', tls => 1, h2 => 1) : ());
    $health = $s->client;
    for my $way (@ways) {
        cell($way, @$_) for @moments;
    }
    undef $_ for $health, $holder;
    $s->stop;
}
done_testing;
