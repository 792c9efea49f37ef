#!/usr/bin/perl

# `make run`: what it says is true, what it prints can be pasted, and Ctrl-C
# leaves nothing.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp;
use FindBin;
use JSON::PP ();
use POSIX ();
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $top    = abs_path("$FindBin::Bin/../..");
my $module = $ENV{CLIBRIDGE_MODULE} || "$top/build/mod_clibridge.so";
my $build  = dirname($module);
my $dir    = File::Temp->newdir;
my $root   = $> == 0;
my $limit  = 30;

chmod 0755, $dir;
mkdir "$dir/$_" or die "$dir/$_: $!\n" for qw(bin broken);

# The make that runs the tests must not speak to this one.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SUDO_USER KEYS)};
$ENV{ANTHROPIC_API_KEY} = 'my-key';
$ENV{CLIBRIDGE_RUN_TEST} = "$dir";
$ENV{STATE_DIR} = "$dir/state";

sub put {
    my ($name, $mode, $text) = @_;
    open my $out, '>', "$dir/$name" or die "$name: $!\n";
    print $out $text;
    close $out;
    chmod $mode, "$dir/$name";
}

# Enough of the protocol of Claude Code for one answer.
put('bin/claude', 0755, "#!$^X\n" . <<'FAKE');
$| = 1;
if ("@ARGV" eq '--version') { print "1.0\n"; exit }
if ("@ARGV" eq 'auth login') { print "user $> at $ENV{HOME}\n"; exit }
while (<STDIN>) {
    if (/"control_request"/ && /"request_id": *"(\w+)"/) {
        print qq({"type":"control_response","response":),
              qq({"subtype":"success","request_id":"$1"}}\n);
        next;
    }
    my $key = $ENV{ANTHROPIC_API_KEY} || 'no key';
    print qq({"type":"stream_event","event":$_}\n) for
        '{"type":"message_start","message":{}}',
        qq({"type":"content_block_delta","delta":{"text":"$key at $ENV{HOME}"}}),
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}',
        '{"type":"message_stop"}';
}
FAKE
put('broken/claude', 0644, "#!/bin/sh\n");

sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return <$in> // '';
}

sub output { slurp("$dir/output") }

sub wait_for {
    my ($what, $sub) = @_;
    my $until = time + $limit;
    until ($sub->()) {
        if (time > $until) {
            diag("waited in vain for $what; output:\n" . output());
            return 0;
        }
        sleep 0.05;
    }
    return 1;
}

# httpd by its environment, the CLIs by their path.
sub left {
    return grep {
        $_ != $$ && (slurp("/proc/$_/environ")
                     =~ /(?:^|\0)CLIBRIDGE_RUN_TEST=\Q$dir\E(?:\0|$)/
                     || slurp("/proc/$_/cmdline") =~ /\Q$dir\E/)
    } CLB::Server::all_pids();
}

# make, in a session of its own as on a terminal of its own. Options: as
# (words before it), to (the file of its output); the rest are its variables.
sub start {
    my (%set) = @_;
    my @as   = @{ delete $set{as} || [] };
    my $to   = delete $set{to} || 'output';
    my @args = map { "$_=$set{$_}" } sort keys %set;
    unlink "$dir/$to";
    defined(my $pid = fork) or die "fork: $!\n";
    return $pid if $pid;
    POSIX::setsid();
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', "$dir/$to";
    open STDERR, '>&', \*STDOUT;
    exec @as, 'make', '-C', $top, 'run', "BUILD=$build", @args
        or POSIX::_exit(127);
}

# (exit status, output) of a run that does not serve
sub refused {
    my (%set) = @_;
    my $pid = start(%set, to => 'refusal');
    waitpid $pid, 0;
    return ($? >> 8, slurp("$dir/refusal"));
}

sub up { wait_for('the server', sub { output() =~ /^Try it:\n.*"echo"/m }) }

sub ctrl_c {
    my ($pid, $name) = @_;
    my @serving = left();
    kill INT => -$pid;
    wait_for('the end of make', sub { waitpid($pid, POSIX::WNOHANG()) > 0 });
    my $gone = wait_for('the end of all processes', sub { !left() });
    ok(@serving > 2 && $gone, $name) or diag(map { slurp("/proc/$_/cmdline")
                                                   . "\n" } left());
    kill KILL => left();
}

# What a person does with a line that a program printed.
sub paste {
    my ($model) = @_;
    my ($line) = grep { /^ *curl / && /"$model"/ } split /\n/, output();
    return $line ? scalar readpipe($line) : 'no such line';
}

# The program that stands for a CLI asks no model, so it cannot pass a test.
my $port;
sub at { (UNTESTED => 'warn', PORT => $port = CLB::Server::choose_port()) }

$ENV{PATH} = "$dir/bin:$ENV{PATH}";

# --- as whoever runs the tests ---

my $owner = getpwuid((stat $top)[4]) // 'root';
my $user  = !$root ? getpwuid($>) : $owner eq 'root' ? 'nobody' : $owner;

my $pid = start(at());
up();
like(output(), qr{at http://127\.0\.0\.1:$port/v1;}, 'it says where it is');
like(output(), qr/^They are run by $user\b/m, 'and who runs the CLIs');
like(output(), qr{^  claude .*\Q$dir/bin/claude\E}m, 'and which were found');
my ($login) = output() =~ /^If one is not logged in .* type:\n +(.*)$/m;

my $answer = JSON::PP::decode_json(paste('echo'));
is($answer->{choices}[0]{message}{content}, 'Hello!',
   'the line for echo can be pasted');
my ($home) = output() =~ /^HOME is (.+)\.$/m;
is(readpipe("$login 2>/dev/null"),
   'user ' . getpwnam($user) . " at $home\n",
   'the line that logs in can be pasted');
$answer = paste('sonnet');
like($answer, qr/"content":"[^"]* at \Q$home\E".*^data: \[DONE\]$/ms,
     'and the line for the CLI, which sees the HOME that was named');
my $mine = $user eq getpwuid $>;
like($answer, $mine ? qr/"my-key at/ : qr/"no key at/,
     'a login in my environment is mine alone');
is(scalar(output() =~ /^From your environment .* ANTHROPIC_API_KEY\.$/m), $mine,
   'and named if it is used');
my @cli;
wait_for('another CLI', sub {
    @cli = grep { slurp("/proc/$_/cmdline") =~ m{\Q$dir/bin/claude} } left();
});
is_deeply([uniq map { (stat "/proc/$_")[4] } @cli],
          [(scalar getpwnam $user)], 'the CLIs that wait belong to that user');

my ($status, $said) = refused(PORT => $port);
isnt($status, 0, 'a port that is taken ends it');
like($said, qr/^make run: port $port on 127\.0\.0\.1 is taken; choose another/m,
     'with a sentence');
ctrl_c($pid, 'Ctrl-C ends everything');
is_deeply([glob "$dir/state/run/*"], [], 'no scratch file is left');

# --- what cannot be ---

for my $bad ('0', '65536', 'http', '-1', '999999999999999999999') {
    ($status, $said) = refused(PORT => $bad);
    like($said, qr/^make run: '$bad' is no port; write a number/m,
         "PORT=$bad is refused");
}
($status, $said) = refused(HOST => '0.0.0.0', at());
like($said, qr/need a key each\. Type:\n +make key .*\n +make run .* KEYS=/,
     'nobody is let in from outside without a key');
($status, $said) = refused(CLI_USER => 'no-such-user', at());
like($said, qr/there is no user 'no-such-user'/, 'an unknown user is named');

# --- with keys, and a CLI that cannot be run ---

{
    local $ENV{PATH} = "$dir/broken:/usr/sbin:/usr/bin:/sbin:/bin";
    local $ENV{HOME} = "$dir";
    chomp(my $key = readpipe("sh $top/conf/clibridge-key me $dir/keys"
                             . ' 2>/dev/null'));
    $pid = start(at(), HOST => '0.0.0.0', KEYS => "$dir/keys");
    up();
    like(output(),
         qr{^claude is left out: $user may not execute \Q$dir\E/broken/claude}m,
         'a CLI that the user cannot execute is left out, and why');
    like(paste('echo'), qr/invalid_api_key/, 'with KEYS a key is needed');
    my ($line) = output() =~ /^ *(curl .*"echo".*)/m;
    $line =~ s/YOUR-KEY/$key/;
    like(readpipe($line), qr/"content":"Hello!"/, 'and lets one in');
    ctrl_c($pid, 'Ctrl-C ends everything again');
}

# --- as others ---

if ($root) {
    $pid = start(at(), CLI_USER => 'root', STATE_DIR => "$dir/roots");
    up();
    like(output(), qr/^They are run by root\.$/m, 'root if it is written out');
    like(paste('sonnet'), qr/"my-key at/, "with root's environment");
    ctrl_c($pid, 'Ctrl-C ends what root runs');

    $ENV{SUDO_USER} = 'daemon';
    $pid = start(at(), STATE_DIR => "$dir/daemons");
    up();
    like(output(), qr/^They are run by daemon, who called sudo\.$/m,
         'or who called sudo');
    ctrl_c($pid, 'Ctrl-C ends what sudo started');
    delete $ENV{SUDO_USER};

    mkdir "$dir/home", 0700;
    chown((getpwnam 'nobody')[2, 3], "$dir/home");
    local $ENV{HOME} = "$dir/home";
    delete $ENV{STATE_DIR};
    $pid = start(at(), as => [qw(setpriv --reuid=nobody --regid=nogroup
                                --clear-groups)]);
    up();
    like(output(), qr/^They are run by nobody\.\nHOME is \Q$dir\E\/home\.$/m,
         'an ordinary user is served, too');
    like(paste('sonnet'), qr/"content":"my-key at \Q$dir\E\/home"/,
         'with the CLIs of that user');
    ok(-d "$dir/home/.local/state/clibridge", 'and their files at home');
    ctrl_c($pid, 'Ctrl-C ends what that user started');
}

done_testing;
