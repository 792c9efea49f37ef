#!/usr/bin/perl

# The state directory is full, or cannot be written any more: what needs no
# scratch files serves on, the rest is refused and told why, the log says so
# once, and all is well again when there is room. And whose run directory it
# is: a dead keeper's goes, whoever has its pid now; a living one's stays.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $backends = <<'EOT';
CLIBridgeQueue 8 timeout=15
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeReuse lines
CLIBridgeWarm persistent min=1 max=1
CLIBridgeSlots 1
CLIBridgeProgram @BIN@/fake-lines
@MARK@
</CLIBridgeBackend>
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram @BIN@/fake-oneshot
@MARK@
</CLIBridgeBackend>
EOT

sub run {
    system(@_) == 0 or die "@_: $?\n";
}

# Only root may mount; for others it is an ordinary directory.
my $dir = File::Temp->newdir;
my $can_mount = $> == 0;
run('mount', '-t', 'tmpfs', '-o', 'size=64k,nr_inodes=64,mode=0755',
    'clibridge-test', $dir) if $can_mount;
chmod 0755, $dir;

END {
    my $status = $?;
    system('umount', $dir) if $can_mount && defined $dir;
    $? = $status;
}

sub started {
    my $s = CLB::Server->start(state => "$dir/state",
        config => "CLIBridgeStateDir $dir/state\n$backends");
    $s->wait_for(sub { $s->backend_health('lines')->{idle} }, 'a process');
    return $s;
}

sub answers {
    my ($s, $model, $name) = @_;
    my $r;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        $r = $s->chat('[[say:hello]]', model => $model);
        ($r->{text} // '') eq 'hello';
    }), $name or diag explain $r;
}

sub refused {
    my ($s, $model, $text) = @_;
    my $r = $s->chat($text // '[[say:hello]]', model => $model);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$r->{status}, $r->{json} && $r->{json}{error}{code}],
        [503, 'overloaded'], "$model: refused" or diag explain $r;
    like $r->{json}{error}{message}, qr/CLIBridgeStateDir/, 'and told why';
}

# --- no room --------------------------------------------------------------

sub fill {
    open my $file, '>', "$dir/filler" or die "filler: $!\n";
    my $n = 0;
    $n = syswrite $file, 'x' x 4096 while defined $n;
}

sub use_up_inodes {
    for my $n (1 .. 1000) {
        open my $file, '>', "$dir/file$n" or last;
    }
}

sub remount { run('mount', '-o', "remount,$_[0]", $dir) }
sub forbid  { chmod $_[0], "$dir/state/run", glob "$dir/state/run/*" }

my @no_room = (
    ['cannot be written', sub { forbid(0500) }, sub { forbid(0700) }],
    $can_mount ? (
        ['full', \&fill, sub { unlink "$dir/filler" }],
        ['full of files', \&use_up_inodes, sub { unlink glob "$dir/file*" }],
        ['read-only', sub { remount('ro') }, sub { remount('rw') }],
    ) : (),
);

for my $case (@no_room) {
    my ($name, $break, $mend) = @$case;
    subtest $name => sub {
        my $s = started();
        answers $s, $_, "$_ serves" for qw(lines one);
        $s->idle_ok;
        $s->tidy_ok;    # what is removed later cannot be
        my $from = $s->log_size;
        $break->();
        refused $s, 'one';
        sleep 2;    # it may be tried again every second
        refused $s, 'one';
        answers $s, 'lines', 'a process that is there serves on';
        my @said = $s->log($from) =~ /:error\].*CLIBridgeStateDir.*/g;
        is @said, 1, 'the log says so once' or diag explain \@said;
        $mend->();
        answers $s, $_, "$_ serves again" for qw(one lines);
        $s->idle_ok;
        $s->tidy_ok;

        # A keeper may start when there is no room.
        $break->();
        kill TERM => my $keeper = $s->keeper_pid;
        $s->wait_for(sub { ($s->keeper_pid // $keeper) != $keeper },
                     'another keeper');
        $break->();    # the one before may have made room
        refused $s, 'one';
        $mend->();
        answers $s, $_, "$_ serves again" for qw(one lines);
        $s->graceful;    # what the one before could not remove
        answers $s, $_, "$_ serves the next generation" for qw(one lines);
        $s->idle_ok;
        $s->tidy_ok;
        $s->stop;
    };
}

subtest 'a request that is larger than the room' => sub {
    my $s = started();
    if ($can_mount) {
        refused $s, 'one', 'x' x 200_000;
    }
    answers $s, $_, "$_ serves" for qw(one lines);
    $s->idle_ok;
    $s->tidy_ok;
    $s->stop;
};

subtest 'run directories that somebody removes' => sub {
    my $s = started();
    run('rm', '-r', glob "$dir/state/run/*");
    answers $s, $_, "$_ serves" for qw(one lines);
    $s->stop;
};

# --- whose it is ----------------------------------------------------------

subtest 'leftovers whose pid is another process\'s' => sub {
    my $s = started();
    my $keeper = $s->keeper_pid;
    for my $pid ($$, 1) {
        for my $path ("$dir/state/run/$pid", "$dir/state/run/$pid/7") {
            mkdir $path or die "$path: $!\n";
            $s->own($path);
        }
    }
    my $r = $s->stream('[[stream:20:100]]', model => 'one',
                       -until => sub { $_[1]{text} ne '' });
    $s->graceful;
    ok $s->wait_for(sub {
        !-e "$dir/state/run/$$" && !-e "$dir/state/run/1";
    }, 'the sweep'), 'are swept at the start';
    ok -d "$dir/state/run/$keeper", 'a living keeper\'s is not';
    my $done = 0;
    while (my $event = $r->{client}->read_event) {
        $done = 1 if ($event->{data} // '') eq '[DONE]';
    }
    ok $done, 'its turn ends well';
    $s->idle_ok;
    $s->tidy_ok;
    $s->stop;
    is_deeply [$s->entries("$dir/state/run")], [], 'at the end there is none';
};

done_testing;
