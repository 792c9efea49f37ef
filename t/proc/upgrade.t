#!/usr/bin/perl

# Another build of the module is put in place, and httpd restarted gracefully:
# turns of the old one run to their end, new ones are served by the new one,
# also when it lays out its messages and what it shares quite differently.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $top = "$FindBin::Bin/../..";
my $dir = File::Temp->newdir;
chmod 0755, $dir;

sub run {
    my $output = readpipe("@_ 2>&1");
    die "@_:\n$output\n" if $?;
}

# Changes one line of a source.
sub change {
    my ($name, $from, $to) = @_;
    my $text = CLB::Server::slurp("$dir/src/$name");
    $text =~ s/$from/$to/ or die "$name: no $from\n";
    open my $file, '>', "$dir/src/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}

run("cp -a $top/Makefile $top/mod_clibridge.c $top/src $top/conf $dir");
change('proc/wire.h', qr/(?<=CLB_WIRE_VERSION )\d+/, 901);
change('proc/wire.h', qr/(?=\} clb_msg_lease_t;)/, "char more[8];\n");
change('shm/table.h', qr/(?<=CLB_TABLE_VERSION )\d+/, 901);
change('shm/table.h', qr/(?<=CLB_TURNS_MAX )\d+/, 512);
change('proc/supervise.c', qr/(?=apr_shm_t \*shm;)/, "char more[8];\n");
change('http/health.c', qr/(?<=: ")ok(?=")/, 'okay');
run("make -C $dir -j2 BUILD=b CFLAGS=-O1 b/mod_clibridge.so",
    $ENV{CLIBRIDGE_ASAN} ? "'SANITIZE=-fsanitize=address,undefined'" : ());

my %build = (
    old => $ENV{CLIBRIDGE_MODULE} || "$top/build/mod_clibridge.so",
    new => "$dir/b/mod_clibridge.so",
);
$ENV{CLIBRIDGE_MODULE} = "$dir/mod_clibridge.so";

# As "make install" does: never written over, because it is mapped.
sub put_in_place {
    my ($which) = @_;
    run("cp $build{$which} $dir/next");
    rename "$dir/next", $ENV{CLIBRIDGE_MODULE} or die "rename: $!\n";
}

put_in_place('old');
my $s = CLB::Server->start(config => <<'EOT');
CLIBridgeSlots 2
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

sub status { ($s->health || {})->{status} // '' }

# What the main process keeps of a generation: descriptors and mapped modules.
sub kept {
    my $maps = CLB::Server::slurp('/proc/' . $s->pid . '/maps');
    my %modules = map { $_ => 1 } $maps =~ m{ (\S*mod_clibridge\.so.*)}g;
    my @fds = CLB::Server::open_in($s->pid);
    return scalar(@fds) . ' ' . keys %modules;
}

my $n = 40;
my $whole = join ' ', map { "tok$_" } 1 .. $n;

sub begin {
    my ($model) = @_;
    my $client = $s->client;
    $client->send_request('POST', '/v1/chat/completions', {
        model => $model, stream => JSON::PP::true,
        messages => [{ role => 'user', content => "[[stream:$n:50]]" }] });
    return $client;
}

sub text_of {
    my ($client) = @_;
    my ($text, $done) = ('', 0);
    while (my $event = $client->read_event) {
        $done = 1 if ($event->{data} // '') eq '[DONE]';
        $text .= $event->{json}{choices}[0]{delta}{content} // ''
            if ref $event->{json};
    }
    return $done ? $text : "cut: $text";
}

is(status(), 'ok', 'the old build serves');
my $kept;
for my $which (qw(new old new)) {
    my $state = $which eq 'new' ? 'okay' : 'ok';
    my @clients = map { begin($_) } qw(one lines one);
    $s->wait_for(sub {
        my $health = $s->health;
        $health->{slots}{running} == 2 && $health->{queue}{waiting} == 1;
    }, 'two turns and one that waits');
    my $old_keeper = $s->keeper_pid;

    put_in_place($which);
    ok($s->graceful, "the $which build, gracefully");
    ok($s->poll(sub { status() eq $state }), 'it is there');
    ok(kill(0, $old_keeper), 'while turns of the one before run');
    for my $model (qw(one lines)) {
        my $r;
        ok($s->poll(sub {
            $r = $s->chat('[[say:hello]]', model => $model);
            ($r->{text} // '') eq 'hello';
        }), "it serves $model") or diag explain $r;
    }
    is(text_of($_), $whole, 'a turn of the one before ends well')
        for @clients;
    ok($s->wait_for(sub { $s->keepers == 1 }, 'one keeper'),
       'the keeper before ends');
    $s->idle_ok;
    $s->tidy_ok;
    is(status(), $state, 'all workers are of the new build');
    $kept //= kept();
    ok($s->poll(sub { kept() eq $kept }), 'the main process keeps nothing')
        or diag "$kept -> " . kept();
}
$s->stop;
done_testing;
