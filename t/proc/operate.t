#!/usr/bin/perl

# What operators do with httpd: rotate its logs every night, run it in the
# foreground to look for a fault, run it as the first process of a container.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $backends = <<'EOT';
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
EOT

sub answers {
    my ($s, $name) = @_;
    for my $model (qw(one lines)) {
        my $r;
        ok $s->poll(sub {
            $r = $s->chat('[[say:hello]]', model => $model);
            ($r->{text} // '') eq 'hello';
        }), "$model: $name" or diag explain $r;
    }
}

# --- logs -----------------------------------------------------------------

# What Debian's logrotate does: move, make anew, apachectl graceful.
subtest 'logs are rotated' => sub {
    my $s = CLB::Server->start(config => $backends);
    answers $s, 'before';
    my $stream = $s->stream('[[stream:40:50]]', model => 'lines',
                            -until => sub { 1 })->{client};
    for my $day (1 .. 3) {
        for my $log (qw(error.log access.log)) {
            my $name = $s->path("logs/$log");
            rename "$name.1", "$name.2";
            rename $name, "$name.1" or die "$name: $!\n";
            $s->put("logs/$log", '');
        }
        my $before = $s->keeper_pid;
        $s->graceful;
        answers $s, "day $day";
        my $keeper = $s->wait_for(sub {
            my $now = $s->keeper_pid // $before;
            $now != $before && $now;
        }, 'the next keeper');
        ok $s->wait_log(qr/\[pid $keeper:.*process \d+ \(lines\): ready/),
            'its keeper writes the new log';
    }
    my $done;
    while (my $event = $stream->read_event) {
        $done = 1 if ($event->{data} // '') eq '[DONE]';
    }
    ok $done, 'a turn of the first day ends well';
    my @old;
    ok $s->poll(sub {
        @old = grep { m{/logs/.*\.[12]$} }
               map { CLB::Server::open_in($_) } $s->all_marked;
        !@old;
    }), 'nobody holds an old log' or diag explain \@old;
    $s->idle_ok;
    $s->tidy_ok;
    $s->stop;
};

# --- httpd -X -------------------------------------------------------------

for my $signal (qw(INT TERM)) {
    subtest "httpd -X, and SIG$signal" => sub {
        my $s = CLB::Server->start(config => $backends, debug => 1);
        answers $s, 'serves';
        my $held = $s->stream('[[say:a]][[hang]]', model => 'lines',
                              -until => sub { 1 })->{client};
        my $keeper = $s->keeper_pid;
        ok $keeper, 'it has a keeper';
        # a terminal sends it to the whole process group
        kill $signal => -$s->{main_pid};
        # on SIGINT prefork waits for its one request
        $held->close if $s->{mpm} eq 'prefork';
        ok $s->poll(sub { $s->reap }), 'it ends';
        my @left;
        ok $s->poll(sub { !(@left = $s->all_marked) }), 'nothing is left'
            or diag map { CLB::Server::cmdline($_) } @left;
        is_deeply [$s->entries('state/run')], [], 'nor a run directory';
        $s->{killed} = 1;    # and has ended as it should
        $s->stop;
    };
}

# --- the first process ----------------------------------------------------

# After unshare(CLONE_NEWPID) the next child is the first process of a
# namespace; only root may, so for others it is an ordinary one.
sub next_is_first {
    my %number = (x86_64 => 272, aarch64 => 97);
    my $machine = (POSIX::uname())[4];
    return $> == 0
        && syscall($number{$machine} // die("unshare on $machine?\n"),
                   0x20000000) == 0;
}

sub zombies {
    my ($s) = @_;
    return grep { $_->{parent} == $s->{main_pid} && $_->{state} eq 'Z' }
           map { CLB::Server::stat_of($_) || () } CLB::Server::all_pids();
}

subtest 'httpd is the first process' => sub {
    my $first = next_is_first();
    my $s = CLB::Server->start(config => $backends,
                               $first ? (under => ['unshare', '--mount-proc'])
                                      : ());
    is $s->pid, $first ? 1 : $s->{main_pid}, 'its pid';
    answers $s, 'serves';
    $s->graceful;
    answers $s, 'serves after a graceful restart';

    # Processes that left their session and whose CLI is killed with the keeper
    # become httpd's own children.
    my ($runaway) = $s->chat('[[setsid]]', model => 'lines')->{text} =~ /(\d+)/;
    my $held = $s->stream('[[say:a]][[hang]]', model => 'one',
                          -until => sub { 1 })->{client};
    my ($keeper, @clis) = ($s->keeper_pid, $s->marked);
    kill KILL => $keeper;
    $held->at_eof;
    answers $s, 'serves after its keeper was killed';
    isnt $s->keeper_pid, $keeper, 'by another one';
    kill KILL => grep { CLB::Server::cmdline($_) =~ /^sleep/ } $s->marked;
    my @zombies;
    ok $s->poll(sub { !(@zombies = zombies($s)) }), 'it reaps all'
        or diag explain \@zombies;
    ok $s->poll(sub { !grep { kill 0, $_ } @clis }), 'the old CLIs are gone';
    $s->idle_ok;
    $s->tidy_ok;
    $s->stop;
    is_deeply [$s->entries('state/run')], [], 'no run directory is left';
};

done_testing;
