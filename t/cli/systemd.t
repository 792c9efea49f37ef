# Claude Code and other programs in the service that README describes, as far
# as it can be had without systemd.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Model;
use CLB::Readme qw(block);
use CLB::Server;

my $files = CLB::Server->new;
my $unit  = $files->put('clibridge.conf', block('systemd:'));
my $whole = $files->put('clibridge.service',
                        block('systemd:') . "ExecStart=/bin/true\n");
is(readpipe("systemd-analyze verify $whole 2>&1"), '', 'systemd reads it')
    if -x '/usr/bin/systemd-analyze';

my $key   = $files->put('key', "not-a-key\n");

# A file of root's, for the one who starts httpd alone.
chmod 0600, $key;

my $m = CLB::Model->start;
my $s = CLB::Server->start(
    under  => ["$FindBin::Bin/../bin/sandbox", $unit, '@ROOT@/run',
               '@ROOT@/logs', '@ROOT@/state', '@ROOT@/asan', '--'],
    config => join "\n",
        map({ $m->config(program => $_, name => $_, models => $_) }
            'claude', 'claude-newest'), <<"EOT");
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram \@BIN\@/fake-lines
    CLIBridgeEnvFile TOKEN $key
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend script>
    CLIBridgeDriver command
    CLIBridgeProgram /bin/sh
    CLIBridgeArg -c 'eval "\$(cat)" 2>&1; exit 0'
    \@MARK\@
</CLIBridgeBackend>
EOT

for my $model ('claude', 'claude-newest') {
    is($s->chat('[[say:hello]]', model => $model)->{text}, 'hello',
       "$model: an answer");
    my $r = $s->stream('[[stream:9999:20]]', model => $model,
                       -until => sub { $_[1]{text} =~ /tok3/ });
    ok($r->{client}, 'a stream');
    $r->{client}->cut;
    $s->idle_ok('which ends with its client');
}
is($s->chat('[[env:TOKEN]]', model => 'lines')->{text},
   'env TOKEN=not-a-key;', 'a key from a file of root');

# What programs do there.
sub told {
    my ($script) = @_;
    chomp(my $text = $s->chat($script, model => 'script')->{text} // '');
    return $text;
}
my $status = told('cat /proc/self/status');
like($status, qr/^NoNewPrivs:\s1$/m, 'no new privileges');
like($status, qr/^Seccomp:\s2$/m, 'system calls are filtered');
is(told('cd $HOME && echo x >y && cat y'), 'x', 'its home is its own');
if ($> == 0) {
    like($status, qr/^CapBnd:\s0*8004e3$/m, 'few capabilities are left')
        or diag $status;
    like(told('echo x >/var/lib/x'), qr/Read-only file system/,
         'the rest is not');
    is(told('ls /proc | grep -c "^1$"'), 0, 'nor are others to be seen');
}

# A program that hangs ends with all it started; a keeper that dies is replaced.
my $r = $s->stream('setsid sleep 999 >/dev/null & echo $!.; sleep 999',
                   model => 'script',
                   -until => sub { $_[1]{text} =~ /\d\./ });
my ($pid) = $r->{text} =~ /(\d+)\./;
ok($pid && kill(0, $pid), 'a program in a session of its own');
$r->{client}->cut;
ok($s->wait_for(sub { !kill 0, $pid }), 'ends, too');
my $keeper = $s->keeper_pid;
kill KILL => $keeper;
$s->wait_for(sub { ($s->keeper_pid // $keeper) != $keeper }, 'a new keeper');
is($s->chat('[[say:hello]]', model => 'lines')->{text}, 'hello',
   'after a keeper that died');
$s->graceful;
is($s->chat('[[say:hello]]', model => 'claude')->{text}, 'hello',
   'after a reload');
$s->stop;
$m->stop;

done_testing;
