# What the real CLIs say of themselves, what there is to type when they are not
# logged in, and that it does what it says: offline, so that Codex logs in with
# a key, and Claude's own login begins.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Cwd qw(abs_path);
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use CLB::Model qw(cli);
use CLB::Server;

my $root  = $> == 0;
my $user  = $root ? 'nobody' : getpwuid $>;
my $login = "sh $FindBin::Bin/../../conf/clibridge-login";
my %clis  = (claude => 'claude', 'claude-newest' => 'claude',
             codex  => 'codex',  'codex-newest'  => 'codex');

# Nobody listens there: nothing is to leave this machine.
my $nowhere = join "\n", map { "CLIBridgeEnv $_ http://127.0.0.1:9" }
                             qw(HTTP_PROXY HTTPS_PROXY);
my $s = CLB::Server->start(config => join '', map { <<"EOT" } sort keys %clis);
<CLIBridgeBackend $_>
    CLIBridgeDriver $clis{$_}
    CLIBridgeProgram ${\ cli($_) }
    CLIBridgeModels $_ claude-* sonnet haiku gpt-*
    CLIBridgeWarm none
    CLIBridgeUntested warn
    $nowhere
    \@MARK\@
</CLIBridgeBackend>
EOT

sub of {
    my ($name) = @_;
    my ($backend) = grep { $_->{name} eq $name }
        @{ $s->get('/v1/auth/status')->{json}{backends} || [] };
    return $backend;
}

sub stands {
    my ($name, $state, $what) = @_;
    my $backend;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        $backend = of($name);
        $backend && $backend->{state} eq $state;
    }, 60), $what or diag explain($backend), join "\n", $s->tail;
    return $backend;
}

sub logged {
    my ($name) = @_;
    return $s->log =~ /:warn\] .* backend \Q$name\E .*; type: (.*)$/m
         ? $1 : 'nothing';
}

# Runs a line until it says what is expected; then looks at the program that
# does, and ends it. (what it said, who runs it, its HOME)
sub begins {
    my ($line, $program, $until, @as) = @_;
    pipe my $stdin, my $typed or die "pipe: $!\n";
    defined(my $pid = open my $output, '-|') or die "fork: $!\n";
    if (!$pid) {
        POSIX::setsid();
        open STDIN,  '<&', $stdin;
        open STDERR, '>&', \*STDOUT;
        close $typed;
        exec @as, 'sh', '-c', $line or POSIX::_exit(127);
    }
    my ($said, $end) = ('', time + 30);
    while ($said !~ $until && time < $end) {
        next unless IO::Select->new($output)->can_read(1);
        sysread $output, $said, 65536, length $said or last;
    }
    my ($it) = grep {
        my $stat = CLB::Server::stat_of($_);
        $stat && $stat->{group} == $pid
            && (readlink "/proc/$_/exe" // '') eq $program;
    } CLB::Server::all_pids();
    my ($home) = $it ? CLB::Server::slurp("/proc/$it/environ")
                       =~ /(?:^|\0)HOME=([^\0]*)/ : ();
    my $who = $it ? getpwuid((stat "/proc/$it")[4]) : undef;
    kill TERM => -$pid;
    close $output;
    return ($said, $who, $home);
}

# --- without a login ------------------------------------------------------

my %out = map { $_ => stands($_, 'login', "$_: has no login") }
              sort keys %clis;
is $out{$_}{mend}, logged($_), "$_: what to type is in the log, too"
    for sort keys %clis;
my %listed;
push @{ $listed{ $_->{owned_by} } }, $_->{id}
    for @{ $s->get('/v1/models')->{json}{data} };
cmp_ok scalar(grep { /^claude-\w+-\d/ } @{ $listed{claude} }), '>', 1,
    'Claude says which models it has';
cmp_ok scalar(grep { /^gpt-\d/ } @{ $listed{claude} }), '==', 0,
    'and no others';
is $s->get('/v1/models/gpt-5.5')->{json}{owned_by}, 'claude',
    'the first backend with a pattern serves';

my @as_user = $root ? qw(setpriv --reuid=nobody --regid=nogroup
                         --clear-groups) : ();
my %begins = (claude => qr{https://claude\.\w+/\S*oauth/authorize\?\S+},
              codex  => qr{https://auth\.openai\.com/oauth/authorize\?\S+});
for my $name (sort keys %clis) {
    my $home = $out{$name}{accounts}[0]{home};
    is readpipe("$login -n -f " . $s->path('httpd.conf') . " $name"),
        "$out{$name}{mend}\n", "$name: clibridge-login runs the same";
    for (['as printed', $out{$name}{mend}],
         ['by clibridge-login',
          "$login -f " . $s->path('httpd.conf') . " $name"],
         ['by the user', $out{$name}{mend}, @as_user]) {
        my ($how, $line, @as) = @$_;
        my ($said, $who, $where) = begins($line, abs_path(cli($name)),
                                          $begins{ $clis{$name} }, @as);
        like $said, $begins{ $clis{$name} }, "$name: its login begins, $how";
        is_deeply [$who, $where], [$user, $home],
            'by who runs it and in its HOME';
    }
}

# --- with one -------------------------------------------------------------

my $key = 'sk-test-' . 'x' x 40;
for my $name (grep { /codex/ } sort keys %clis) {
    my $said = readpipe("echo $key | $login -f " . $s->path('httpd.conf')
                        . " $name --with-api-key 2>&1");
    is $?, 0, "$name: logs in with a key" or diag $said;
}
for my $name (grep { /claude/ } sort keys %clis) {
    my $home = $out{$name}{accounts}[0]{home};
    mkdir "$home/.claude";
    $s->own("$home/.claude");
    open my $file, '>', "$home/.claude/.credentials.json" or die "$name: $!";
    print $file '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-x",'
        . '"refreshToken":"sk-ant-ort01-x","expiresAt":4102444800000,'
        . '"scopes":["user:inference"],"subscriptionType":"max"}}';
    close $file;
    $s->own("$home/.claude/.credentials.json");
}
$s->graceful;
stands($_, 'ok', "$_: has a login") for sort keys %clis;
$s->stop;

# A key in the environment is one, and no file is needed.
$s = CLB::Server->start(config => join '', map { <<"EOT" } sort keys %clis);
<CLIBridgeBackend $_>
    CLIBridgeDriver $clis{$_}
    CLIBridgeProgram ${\ cli($_) }
    CLIBridgeWarm none
    CLIBridgeUntested warn
    CLIBridgeEnv ${\ ($clis{$_} eq 'codex' ? 'OPENAI' : 'ANTHROPIC') }_API_KEY $key
    $nowhere
    \@MARK\@
</CLIBridgeBackend>
EOT
stands($_, 'ok', "$_: has a key") for sort keys %clis;
my %said = $s->log =~ /backend (\S+) \(default\): says that it is ([\w ]+?) and/g;
is_deeply \%said, { map { $_ => 'logged in' } keys %clis },
    'by their own word';
my $status = $s->get('/v1/auth/status')->{body};
unlike $status, qr/\Q$key/, 'which nobody is shown';
my %has;
push @{ $has{ $_->{owned_by} } }, $_->{id}
    for @{ $s->get('/v1/models')->{json}{data} };
cmp_ok scalar @{ $has{codex} }, '>', 5, 'Codex says which models it has';
is scalar(grep { !/^gpt-/ } @{ $has{codex} }), 0, 'by their names';
$s->stop;

done_testing;
