package CLB::Tap;

# Between a CLI and its model, or what its test puts in the model's place: all
# that the CLI sends, word for word, and to whom.
#
#   my $tap = CLB::Tap->start;
#   $s->put(name => $tap->wrapper('/bin/claude'))   # the program to configure,
#                   Claude Code or Codex
#   $tap->heard     every request so far, oldest first:
#                   {method, path, to, headers (one text), body}
#                   to is the address that the CLI was given as its model's
#   $tap->stop
#
# wrapper(PROGRAM, ARGUMENT...) is a script that runs the program with further
# arguments (for a shell); a test of the program is what goes to an address
# with a path, because that is where the secret is.

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();

my $json = JSON::PP->new->latin1->canonical;

sub start {
    my ($class) = @_;
    my $self = bless { owner => $$, dir => File::Temp->newdir }, $class;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         Listen => 16) or die "listen: $@\n";
    $self->{port} = $listener->sockport;
    $self->{log}  = "$self->{dir}/log";
    defined($self->{pid} = fork) or die "fork: $!\n";
    return $self if $self->{pid};
    @SIG{qw(TERM HUP INT)} = ('DEFAULT') x 3;
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $client = $listener->accept or next;
        next if fork;
        $self->pass($client);
        POSIX::_exit(0);
    }
}

# One request for each connection.
sub pass {
    my ($self, $client) = @_;
    my $head = do { local $/ = "\r\n\r\n"; <$client> } // return;
    my ($method, $port, $path, $version, $headers)
        = $head =~ m{\A(\S+) /(\d+)(\S*) (\S+)\r\n(.*)\z}s or return;
    my ($length) = $headers =~ /^content-length: *(\d+)/mi;
    $length //= 0;
    read($client, my ($body), $length) == $length or return;
    my ($secret, $rest) = $path =~ m{\A((?:/[0-9a-f]{32})?)(.*)}s;

    open my $log, '>>', $self->{log} or die "$self->{log}: $!\n";
    $log->autoflush;
    syswrite $log, $json->encode({
        method => $method, path => $rest, headers => $headers,
        to => "http://127.0.0.1:$port$secret", body => $body }) . "\n";

    my $model = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or return;
    $headers =~ s/^connection:[^\n]*\n//gmi;
    $path = '/' if $path eq '';
    print $model "$method $path $version\r\nConnection: close\r\n$headers",
        $body;
    $model->flush;
    # whoever goes first, the other hears of it
    while (1) {
        my @ready = IO::Select->new($model, $client)->can_read;
        last if grep { $_ == $client } @ready;
        sysread($model, my ($data), 65536) or last;
        syswrite $client, $data;
    }
}

sub wrapper {
    my ($self, $program, @more) = @_;
    my $address = 'model_providers.clibridge.base_url';
    return <<"EOT";
#!/bin/sh
tap=http://127.0.0.1:$self->{port}
case \$1 in
app-server)
    set -- "\$@" -c $address=\$tap/\${OPENAI_BASE_URL##*:} ;;
*)  export ANTHROPIC_BASE_URL=\$tap/\${ANTHROPIC_BASE_URL##*:} ;;
esac
exec $program "\$@" @more
EOT
}

sub heard {
    my ($self) = @_;
    open my $log, '<', $self->{log} or return;
    return map { $json->decode($_) } grep { /\n\z/ } <$log>;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    local ($?, $!);
    kill TERM => $pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY { $_[0]->stop }

1;
