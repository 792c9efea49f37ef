package CLB::Soak::Watch;

# What must hold while clients and mischief are at work (second), and when
# nobody asks for anything (idle). new takes server, violated (a function that
# is told what is wrong), did (one that tells what mischief was done, by kind)
# and growth, a CLB::Soak::Growth.

use strict;
use warnings;

use List::Util qw(sum0);
use POSIX ();
use Time::HiRes qw(time);

use CLB::Server;

# How long what goes by itself may stay, in seconds.
my $settles = 20;
my $zombie  = 6;
my $silence = 10;

my $bad = qr/AH0005[12]|[Ss]egmentation\ fault|[Aa]ssert|Sanitizer
            |runtime\ error:|exit\ signal|long\ lost\ child|corrupt/x;

sub new {
    my ($class, %o) = @_;
    return bless { %o, log_at => 0, killed => 0, zombies => {}, said => {},
                   answered => time, gaps => 0 }, $class;
}

sub violated { $_[0]{violated}->($_[1]) }

# --- each second ----------------------------------------------------------

sub second {
    my ($self) = @_;
    $self->read_log;
    $self->look_at_zombies;
    $self->look_at_health;
}

# Every worker that was killed is told of once.
sub read_log {
    my ($self) = @_;
    my $new = $self->{server}->log($self->{log_at});
    $new =~ s/[^\n]*\z//;
    $self->{log_at} += length $new;
    for my $line (split /\n/, $new) {
        $self->{said}{ $line =~ s/.*?\] (?=[^\[])//r =~ s/\d+/N/gr }++
            if $line =~ /^\[[^\]]+\] \[\w+:(?:error|crit|alert|emerg|warn)\]/;
        next if $line !~ $bad;
        next if $line =~ /exit signal Killed/
             && ++$self->{killed} <= $self->{did}->('worker');
        $self->violated("error log: $line");
    }
}

# A dead process is reaped soon, by whoever is to do it.
sub look_at_zombies {
    my ($self) = @_;
    my $s = $self->{server};
    my %ours = map { $_ => 1 } $s->{main_pid}, $s->keepers;
    my $before = $self->{zombies};
    $self->{zombies} = {};
    for my $stat (map { CLB::Server::stat_of($_) } CLB::Server::all_pids()) {
        next if $stat->{state} ne 'Z' || !$ours{ $stat->{parent} };
        my $id = "$stat->{pid} $stat->{started}";
        my $since = $self->{zombies}{$id} = $before->{$id} || time;
        next if time - $since < $zombie;
        $self->violated("zombie: $stat->{pid} ($stat->{comm}) of "
                        . "$stat->{parent}");
        $self->{zombies}{$id} = time;
    }
}

# /health counts without a lock, so it may count what moves twice: what is
# wrong must be so three times in a row.
sub look_at_health {
    my ($self) = @_;
    my @wrong;
    for (1 .. 3) {
        @wrong = $self->over_limits or return;
    }
    $self->violated($_) for @wrong;
}

sub over_limits {
    my ($self) = @_;
    my $r = $self->{server}->request('GET', '/health', undef, timeout => 5);
    my $h = $r->{json};
    if (ref $h ne 'HASH' || !$h->{slots}) {
        return if time - $self->{answered} < $silence;
        return '/health does not answer: ' . ($r->{error} // $r->{body});
    }
    $self->{answered} = time;
    my ($slots, $queue) = @$h{qw(slots queue)};
    return map { "$_->[0]: $_->[1] of $_->[2]" } grep { $_->[1] > $_->[2] }
        [ 'slots', @$slots{qw(running max)} ],
        # who finds a free slot waits, too, until the keeper has seen it
        [ 'slots and queue', $slots->{running} + $queue->{waiting},
          $slots->{max} + $queue->{max} ],
        map { [ $_->{name}, @{ $_->{slots} }{qw(running max)} ] }
            @{ $h->{backends} };
}

# --- when all is quiet ----------------------------------------------------

# Waits until nothing is wrong any more, or says what.
sub idle {
    my ($self) = @_;
    my @wrong;
    $self->{server}->poll(sub { !(@wrong = $self->not_idle) }, $settles);
    $self->violated("idle: $_") for @wrong;
}

# What is going on, by /health.
sub busy {
    my ($health) = @_;
    return 'no /health' unless $health;
    my ($running, $waiting) = ($health->{slots}{running},
                               $health->{queue}{waiting});
    my @busy = ($running ? "$running slots run" : (),
                $waiting ? "$waiting wait" : ());
    for my $b (@{ $health->{backends} }) {
        push @busy, map { "$b->{name}: $b->{$_} $_" } grep { $b->{$_} }
            qw(starting leased settling dying);
        push @busy, "$b->{name}: its test is to come"
            if ($b->{test} // '') eq 'to come';
    }
    return @busy;
}

sub not_idle {
    my ($self) = @_;
    my $health  = $self->{server}->health;
    my @wrong   = busy($health);
    my @keepers = $self->{server}->keepers;
    push @wrong, @keepers . ' keepers' if @keepers != 1;
    return @wrong if @wrong;

    my $ready = sum0(map { $_->{idle} + $_->{parked} }
                     @{ $health->{backends} });
    return ($self->{growth}->wrong_descriptors($ready),
            $self->wrong_processes($keepers[0], $ready),
            $self->wrong_directories($keepers[0], $ready),
            $self->open_connections);
}

# All that have the mark are CLIs that stand ready, and what those started.
sub wrong_processes {
    my ($self, $keeper, $ready) = @_;
    my %stat = map { $_ ? ($_->{pid} => $_) : () }
               map { CLB::Server::stat_of($_) } $self->{server}->marked;
    my @clis = grep { $_->{parent} == $keeper } values %stat;
    my @wrong;
    push @wrong, @clis . " CLIs, of which $ready stand ready"
        if @clis != $ready;
    for my $stat (values %stat) {
        my $up = $stat;
        $up = $stat{ $up->{parent} } while $up && $up->{parent} != $keeper;
        next if $up || $self->is_gap($keeper, $stat);
        push @wrong, "left over: $stat->{pid} "
                   . CLB::Server::cmdline($stat->{pid});
    }
    return @wrong;
}

# What left its session before its keeper was killed stays where keepers have no
# cgroups: README says so.
sub is_gap {
    my ($self, $keeper, $stat) = @_;
    my ($last) = reverse $self->{did}->('keeper');
    return 0 if !$last || started($stat) > $last->{t}
             || CLB::Server::slurp("/proc/$keeper/cgroup") =~ /clibridge-/
             || $stat->{group} != $stat->{pid}
             || CLB::Server::cmdline($stat->{pid}) !~ /^sleep 3600/;
    $self->{gaps}++;
    kill KILL => $stat->{pid};
    return 1;
}

# As time() tells it.
sub started {
    my ($stat) = @_;
    my ($boot) = CLB::Server::slurp('/proc/stat') =~ /^btime (\d+)/m;
    return $boot + $stat->{started} / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# One for each CLI, and "w". What a killed keeper left goes when the next one
# starts.
sub wrong_directories {
    my ($self, $keeper, $ready) = @_;
    my $s     = $self->{server};
    my $since = started(CLB::Server::stat_of($keeper) || return);
    my @wrong;
    for my $name ($s->entries('state/run')) {
        my @dirs = grep { $_ ne 'w' } $s->entries("state/run/$name");
        if ($name == $keeper) {
            push @wrong, @dirs . " scratch directories for $ready CLIs"
                if @dirs != $ready;
        }
        elsif (!grep { $_->{pid} == $name && $_->{t} > $since }
               $self->{did}->('keeper')) {
            push @wrong, "state/run/$name has no keeper";
        }
    }
    return @wrong;
}

# Sockets of our ports that are neither listening nor gone.
sub open_connections {
    my ($self) = @_;
    my $s = $self->{server};
    my $ports = join '|', map { sprintf '%04X', $_ } @$s{qw(port tls_port)};
    my $n = grep { /^ *\d+: \S+:(?:$ports) \S+ (?!0A|06)/ }
            split /\n/, CLB::Server::slurp('/proc/net/tcp');
    return $n ? "$n connections" : ();
}

1;
