#!/usr/bin/perl

# clibridge-login runs a CLI's own login as the user and with the HOME that it
# serves with, says what else it could do, and refuses what it could not.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

delete @ENV{ qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES),
             grep { /_PROXY$|^NODE_EXTRA_CA|^SSL_CERT/i } keys %ENV };

my $top  = abs_path("$FindBin::Bin/../..");
my $root = $> == 0;
my $user = $root ? 'nobody' : getpwuid $>;
my $dir  = File::Temp->newdir;
chmod 0755, $dir;
mkdir "$dir/it's here" or die "$dir: $!\n";

# A program that can do nothing but log in: it writes down how it was started,
# asks a question, and exits as it is told.
sub program {
    my ($name) = @_;
    open my $file, '>', "$dir/$name" or die "$name: $!\n";
    print $file <<'EOT';
#!/bin/sh
case $1 in auth | login) ;; *) exit 1 ;; esac
read -r answer
{
    printf '%s\n' "$(id -un)" "$PWD" "$#" "$@" "answer $answer"
    env | grep -Ev '^(PWD|OLDPWD|SHLVL|_)=' | sort
} >"$HOME/started"
[ "$answer" != bad ] || exit 7
EOT
    close $file;
    chmod 0755, "$dir/$name";
}
program("claude");
program("it's here/codex");

my @shell = ('sh', "$top/conf/clibridge-login");
my @as_user = $root ? qw(setpriv --reuid=nobody --regid=nogroup
                         --clear-groups) : ();

# (exit status, output) of a command; the answer is what is typed.
sub run {
    my ($answer, @command) = @_;
    open my $file, '>', "$dir/stdin" or die "stdin: $!\n";
    print $file "$answer\n";
    close $file;
    local $ENV{SECRET} = 'of the caller';
    local $ENV{TERM} = 'vt100';
    defined(my $pid = open my $pipe, '-|') or die "fork: $!\n";
    if (!$pid) {
        chdir '/';
        open STDIN, '<', "$dir/stdin";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($? >> 8, $output);
}

# What the program wrote down, and no longer.
sub started {
    my ($home) = @_;
    my $text = CLB::Server::slurp("$home/started");
    unlink "$home/started";
    return $text;
}

my $config = <<"EOT";
<CLIBridgeBackend claude>
    CLIBridgeProgram "$dir/claude"
    CLIBridgeWarm none
    CLIBridgeEnv CLAUDE_CONFIG_DIR "in \$HOME"
    CLIBridgeEnv OTHER x
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend codex>
    CLIBridgeProgram "$dir/it's here/codex"
    CLIBridgeWarm none
    \@MARK\@
    <CLIBridgeAccount one>
    </CLIBridgeAccount>
    <CLIBridgeAccount two>
        CLIBridgeHome "\@ROOT\@/state/home of two"
    </CLIBridgeAccount>
</CLIBridgeBackend>
EOT
my $s = CLB::Server->start(config => $config);
my $conf = $s->path('httpd.conf');
my $home = $s->path('state/home');
mkdir $s->path('state/home of two');
$s->own($s->path('state/home of two'));
my @login = (@shell, '-f', $conf);
my $notices = "clibridge-login: the server notices it within a minute\n";

sub claude_is {
    my ($got, $answer, $name, @words) = @_;
    my $text = join "\n", $user, '/', 2 + @words, qw(auth login), @words,
        "answer $answer", 'CLAUDE_CONFIG_DIR=in $HOME',
        "HOME=$home/claude-default", 'LC_ALL=C.UTF-8',
        "PATH=$dir:/usr/local/bin:/usr/bin:/bin", 'TERM=vt100', '';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $got, $text, $name;
}

# --- the login ------------------------------------------------------------

my ($status, $output) = run('yes', @login, 'claude');
is_deeply [$status, $output], [0, $notices], 'a login'
    or diag explain $output;
claude_is(started("$home/claude-default"), 'yes',
          'by who runs the CLI, in its HOME, with nothing of the caller');
my @odd = ('--device-auth', 'two words', "it's", '$(x)', '');
($status, $output) = run('', @login, 'claude', @odd);
claude_is(started("$home/claude-default"), '', 'with more words', @odd);
($status, $output) = run('bad', @login, 'claude', 'default', '--x');
is_deeply [$status, $output], [7, ''], 'one that fails';
claude_is(started("$home/claude-default"), 'bad', 'with an account', '--x');
($status, $output) = run('me', @as_user, @login, 'claude');
is $status, 0, 'the user may, too' or diag $output;
claude_is(started("$home/claude-default"), 'me', 'to the same end');
($status, $output) = run('', @login, 'codex', 'two');
is $status, 0, 'odd paths' or diag $output;
like started($s->path('state/home of two')),
    qr{^\Q$user\E\n/\n1\nlogin\nanswer \n}, 'are no matter';
ok !-e "$home/codex-one/started", 'and another account is another';
($status, $output) = run('made', 'make', '-s', '-C', $top, 'login',
                         'BACKEND=claude', 'ARGS=--x --y', "CONF=$conf");
is $status, 0, 'by make' or diag $output;
claude_is(started("$home/claude-default"), 'made', 'the same', '--x', '--y');

# --- what it prints -------------------------------------------------------

($status, $output) = run('', @login, '-n', 'claude', @odd);
is $status, 0, '-n';
is started("$home/claude-default"), '', 'starts nothing';
run('pasted', 'sh', '-c', $output);
claude_is(started("$home/claude-default"), 'pasted', 'and can be pasted',
          @odd);
($status, $output) = run('', @login, '-n', 'codex', 'two');
run('', 'sh', '-c', $output);
like started($s->path('state/home of two')), qr/^\Q$user\E\n/, 'always';

# --- what cannot be -------------------------------------------------------

my $all = "\n    claude default\n    codex one\n    codex two\n";
my $how = "write clibridge-login [-n] [-f FILE] BACKEND [ACCOUNT] [WORD...]\n";
for (['nothing', $how], ['an unknown option', $how, '-x', 'claude'],
     ['another backend', "there is no 'gemini' to be logged in; there is$all",
      'gemini'],
     ['one that has no login',
      "there is no 'echo' to be logged in; there is$all", 'echo'],
     ['another account',
      "there is no 'codex three' to be logged in; there is$all",
      qw(codex three)],
     ['no account of several', 'codex has several accounts; name one of'
      . $all, 'codex']) {
    my ($name, $want, @args) = @$_;
    is_deeply [run('', @login, @args)], [1, "clibridge-login: $want"], $name;
}
is_deeply [run('', qw(setpriv --reuid=daemon --regid=daemon --clear-groups),
               @login, 'claude')],
    [1, "clibridge-login: $user runs this CLI; only $user and root can log it"
        . " in\n"], 'another user' if $root;
$s->stop;

my $bad = $s->put('bad.conf', CLB::Server::slurp($conf)
                  . "CLIBridgeSlots none\n");
($status, $output) = run('', @shell, '-f', $bad, 'claude');
is $status, 1, 'a configuration that is wrong';
like $output, qr/\Aclibridge-login: httpd does not accept .*:$
.*\/bad\.conf:$
^CLIBridgeSlots: write/m, 'is shown';

rename "$home/claude-default", "$home/away" or die "$home: $!\n";
($status, $output) = run('', @login, 'claude');
is_deeply [$status, $output], [1, "clibridge-login: its HOME, "
    . "$home/claude-default, is not there; start httpd once\n"],
    'before the first start';

# --- a server of an ordinary user -----------------------------------------

if ($root) {
    $s = CLB::Server->start(config => $config, as => 'nobody');
    $home = $s->path('state/home');
    ($status, $output) = run('', @shell, '-f', $s->path('httpd.conf'),
                             qw(claude));
    is $status, 1, 'root does not know who started it';
    like $output, qr/CLIBridgeUser: write the name of the user/,
        'and is told so';
    ($status, $output) = run('own', @as_user, @shell, '-f',
                             $s->path('httpd.conf'), 'claude');
    is $status, 0, 'but that user does' or diag $output;
    claude_is(started("$home/claude-default"), 'own', 'and logs in');
    $s->stop;
}

done_testing;
