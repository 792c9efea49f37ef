package CLB::Soak::Growth;

# What must not grow: descriptors, memory, files. Looked at when nobody asks
# for anything; new is the first look, before anybody did. It takes server,
# violated and did as CLB::Soak::Watch does.
#
#   wrong_descriptors($ready)  what is wrong while $ready CLIs stand ready
#   point                      measures, and remembers for trends
#   trends                     what grew, at the end

use strict;
use warnings;

use List::Util qw(max sum0);
use Time::HiRes qw(time);

use CLB::Server;

# Growth of memory that counts as a leak, in KiB, by the trend over the points
# of a process without the first third (at least two): in all, so that noise
# does not; that of the parent with each restart.
my %leak     = (parent => 32, keeper => 1024, worker => 8192);
my $points   = 4;     # what a trend needs, ...
my $restarts = 10;    # ... and that of the parent

# What there may be more of than at the start: descriptors that a process has
# for itself, KiB of shared memory, segments of System V, files in the homes of
# CLIs.
my $more_fds = 3;
my %more     = (shared => 0, segments => 0, homes => 50);

sub new {
    my ($class, %o) = @_;
    my $self = bless { %o, series => {}, points => [] }, $class;
    my %pids = $self->pids;
    for my $role (keys %pids) {
        $self->{fds}{$role} = max(map { scalar own($_) } @{ $pids{$role} });
    }
    $self->point;
    return $self;
}

sub pids {
    my ($self) = @_;
    my $s = $self->{server};
    return (parent => [ $s->{main_pid} ], keeper => [ $s->keepers ],
            worker => [ $s->workers ]);
}

# --- descriptors ----------------------------------------------------------

# Without the pipes and files of CLIs that the keeper has.
sub own {
    my ($pid) = @_;
    my @fds  = CLB::Server::open_in($pid);
    my $stat = CLB::Server::stat_of($pid);
    return $stat && CLB::Server::is_keeper($stat)
         ? grep { !m{^pipe:|/state/run/} } @fds : @fds;
}

# The keeper has three pipes for each CLI.
sub wrong_descriptors {
    my ($self, $ready) = @_;
    my %pids   = $self->pids;
    my %parent = map { $_ => 1 } CLB::Server::open_in($pids{parent}[0]);
    my @keeper = grep { !$parent{$_} } map { CLB::Server::open_in($_) }
                 @{ $pids{keeper} };
    my $pipes  = grep { /^pipe:/ } @keeper;
    my @wrong  = map { "the keeper has $_" } grep { /\(deleted\)$/ } @keeper;
    push @wrong, "$pipes pipes for $ready CLIs" if $pipes != 3 * $ready;
    for my $role (sort keys %pids) {
        for my $pid (@{ $pids{$role} }) {
            my $n = own($pid);
            push @wrong, "$role $pid: $n descriptors, $self->{fds}{$role} at "
                       . 'the start' if $n > $self->{fds}{$role} + $more_fds;
        }
    }
    return @wrong;
}

# --- memory and files -----------------------------------------------------

# In KiB: its share of what it has, and all that it ever wrote to.
sub memory_of {
    my ($pid) = @_;
    my $map = CLB::Server::slurp("/proc/$pid/smaps_rollup");
    my %kib = $map =~ /^(\w+): +(\d+) kB/mg;
    return { pss => $kib{Pss} // 0, memory => $kib{Anonymous} // 0 };
}

# Shared memory of httpd's parent, in KiB, and its segments of System V.
sub shared_memory {
    my ($self) = @_;
    my $parent = $self->{server}{main_pid};
    my $maps = CLB::Server::slurp("/proc/$parent/maps");
    my $size = 0;
    no warnings 'portable';    # Perl's integers have 64 bits here
    $size += hex($2) - hex $1 while $maps =~ /^(\w+)-(\w+) rw-s /mg;
    my $segments = () = CLB::Server::slurp('/proc/sysvipc/shm')
        =~ /^ *-?\d+ +\d+ +\d+ +\d+ +$parent /mg;
    return ($size / 1024, $segments);
}

sub files_below {
    my ($self, $dir) = @_;
    return sum0(map { -d $_ && !-l $_ ? $self->files_below($_) : 1 }
                map { "$dir/$_" } $self->{server}->entries($dir));
}

# {shared, segments, homes, and for each role: {n, fds, pss}, summed up}
sub point {
    my ($self) = @_;
    my $homes = $self->{server}->path('state/home');
    my %point = (homes => $self->files_below($homes));
    @point{qw(shared segments)} = $self->shared_memory;
    my $restarts = $self->{did}->('graceful', 'restart');
    my %pids = $self->pids;
    for my $role (keys %pids) {
        for my $pid (@{ $pids{$role} }) {
            my $stat = CLB::Server::stat_of($pid) or next;
            my $now  = memory_of($pid);
            push @{ $self->{series}{"$role $pid $stat->{started}"} },
                { %$now, t => time, restarts => $restarts };
            $point{$role}{n}++;
            $point{$role}{fds} += own($pid);
            $point{$role}{pss} += $now->{pss};
        }
    }
    push @{ $self->{points} }, \%point;
    return \%point;
}

# The slope of the least squares.
sub slope {
    my ($x, $y) = @_;
    my ($mx, $my) = map { sum0(@$_) / @$_ } $x, $y;
    my $over  = sum0(map { ($x->[$_] - $mx) * ($y->[$_] - $my) } 0 .. $#$x);
    my $under = sum0(map { ($_ - $mx) ** 2 } @$x);
    return $under ? $over / $under : 0;
}

# By how much the trend makes a process grow over all its points; nothing if
# they are too few.
sub trend {
    my ($role, @all) = @_;
    my $parent = $role eq 'parent';
    splice @all, 0, max(2, $parent ? 0 : @all / 3);
    return if @all < $points;
    my @x = map { $_->{ $parent ? 'restarts' : 't' } } @all;
    my $range = $x[-1] - $x[0];
    return if $parent && $range < $restarts;
    return slope(\@x, [ map { $_->{memory} } @all ]) * ($parent ? 1 : $range);
}

# The most that one of each role grew: {role => KiB}.
sub trends {
    my ($self) = @_;
    my %most;
    for my $id (sort keys %{ $self->{series} }) {
        my ($role) = $id =~ /^(\w+)/;
        my @all    = @{ $self->{series}{$id} };
        my $by     = trend($role, @all) // next;
        $most{$role} = max($by, $most{$role} // $by);
        $self->{violated}->(sprintf '%s grows by %.0f KiB: %s', $id, $by,
                            join ' ', map { $_->{memory} } @all)
            if $by > $leak{$role};
    }
    my ($first, $last) = @{ $self->{points} }[1, -1];
    for my $what (sort keys %more) {
        $self->{violated}->("$what: from $first->{$what} to $last->{$what}")
            if $last->{$what} > $first->{$what} + $more{$what};
    }
    return %most;
}

1;
