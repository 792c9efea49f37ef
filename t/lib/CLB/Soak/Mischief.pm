package CLB::Soak::Mischief;

# What can happen to a server and its CLIs from outside: processes are killed
# or stopped for a moment, httpd is restarted. Each act is told as {did => KIND,
# pid, t} before it happens:
#
#   cli worker keeper                 killed
#   stop_cli stop_worker stop_keeper  stopped for up to two seconds
#   graceful                          once; in a storm ten times, with kills
#   restart                           a hard one
#
# There are three tempers: "gentle" touches CLIs only, so that the memory of
# all others can be watched; "rough" does everything, "wild" storms most.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use CLB::Server;
use CLB::Soak::Client qw(weighted);

my @kills  = (cli => 3, worker => 2, keeper => 1);
my @gentle = (cli => 3, stop_cli => 2);
my @rough  = (@kills, stop_cli => 2, stop_worker => 1, stop_keeper => 1,
              graceful => 3, storm => 1, restart => 0.3);
my %temper = (gentle => \@gentle, rough => \@rough,
              wild => [ @rough, storm => 10 ]);

my %victims = (
    cli    => sub { $_[0]->marked },
    worker => sub { $_[0]->workers },
    keeper => sub { $_[0]->keepers },
);

sub did {
    my ($tell, $kind, $pid) = @_;
    $tell->({ did => $kind, t => time, $pid ? (pid => 0 + $pid) : () });
}

# One act on the server $s.
sub act {
    my ($s, $tell, $temper) = @_;
    my $kind = weighted(@{ $temper{$temper} });
    return storm($s, $tell) if $kind eq 'storm';
    return restart($s, $tell, $kind) if $kind =~ /^(?:graceful|restart)$/;

    hit($s, $tell, $kind);
}

sub hit {
    my ($s, $tell, $kind) = @_;
    my ($stop, $whom) = $kind =~ /^(stop_)?(.*)/;
    my @pids = $victims{$whom}->($s) or return;
    my $pid  = $pids[rand @pids];
    did($tell, $kind, $pid);
    return kill KILL => $pid unless $stop;
    kill STOP => $pid;
    sleep 0.1 + rand 1.9;
    kill CONT => $pid;
}

sub restart {
    my ($s, $tell, $kind) = @_;
    did($tell, $kind);
    kill $kind eq 'restart' ? 'HUP' : 'USR1', $s->{main_pid};
}

sub storm {
    my ($s, $tell) = @_;
    for (1 .. 10) {
        restart($s, $tell, 'graceful');
        sleep 0.2;
        hit($s, $tell, weighted(@kills)) if rand() < 0.25;
    }
}

1;
