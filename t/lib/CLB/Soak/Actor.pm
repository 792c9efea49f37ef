package CLB::Soak::Actor;

# A process that does one thing after the other until it is told otherwise.
#
#   my $a = CLB::Soak::Actor->start($seed, sub { my ($self) = @_; ... });
#   $a->order('pause')   it ends what it does, then tells {paused => 1}
#   $a->order('go')
#   $a->end              it ends what it does, and then itself
#   $a->ended            true when it has
#   $a->heard            what it told since the last call
# and in that process
#   $self->tell({ ... });
#   $self->rest($seconds)    or until there is an order

use strict;
use warnings;

use IO::Select;
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);

my $json = JSON::PP->new->utf8->canonical;
my @ours;    # ends that a later actor must not hold

sub start {
    my ($class, $seed, $act) = @_;
    socketpair my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";
    defined(my $pid = fork) or die "fork: $!\n";
    my $self = bless { pid => $pid, socket => $pid ? $mine : $its, in => '' },
        $class;
    if ($pid) {
        $mine->blocking(0);
        push @ours, $mine;
        return $self;
    }
    close $_ for @ours, $mine;
    srand $seed;
    eval { $self->live($act); 1 } or $self->tell({ died => "$@" });
    POSIX::_exit(0);
}

sub order { syswrite $_[0]{socket}, "$_[1]\n" }

sub end   { shutdown $_[0]{socket}, 1 }
sub ended { $_[0]{ended} ||= waitpid($_[0]{pid}, POSIX::WNOHANG()) != 0 }
sub kill9 { kill KILL => $_[0]{pid} unless $_[0]->ended }

sub heard {
    my ($self) = @_;
    while (sysread $self->{socket}, $self->{in}, 65536, length $self->{in}) {
        # until there is nothing more
    }
    my @lines;
    push @lines, $1 while $self->{in} =~ s/^(.*)\n//;
    return map { $json->decode($_) } @lines;
}

sub tell {
    my ($self, $what) = @_;
    my $line = $json->encode($what) . "\n";
    while (length $line) {
        my $n = syswrite $self->{socket}, $line;
        POSIX::_exit(0) unless defined $n;
        substr $line, 0, $n, '';
    }
}

sub rest { IO::Select->new($_[0]{socket})->can_read($_[1]) }

sub live {
    my ($self, $act) = @_;
    my $going = 1;
    for (;;) {
        while (!$going || $self->rest(0)) {
            my $orders = '';
            sysread $self->{socket}, $orders, 4096 or return;
            $going = $orders =~ /go\n\z/;
            $self->tell({ paused => 1 }) unless $going;
        }
        $act->($self);
    }
}

1;
