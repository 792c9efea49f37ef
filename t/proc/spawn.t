#!/usr/bin/perl

# What a CLI gets from its keeper: environment, directory, descriptors, signals
# and limits; where the request is, and where it is not.

use strict;
use warnings;

use FindBin;
use File::Temp ();
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

# Of the server's environment only some variables are passed on.
delete @ENV{grep { /proxy|^SSL_CERT|^NODE_EXTRA/i } keys %ENV};
my %server_env = (
    HTTPS_PROXY         => 'http://127.0.0.1:9',
    NODE_EXTRA_CA_CERTS => '/etc/none.pem',
    SERVER_SECRET       => 'not for CLIs',
    ANTHROPIC_API_KEY   => 'not for CLIs',
    CLAUDECODE          => '1',
    LC_ALL              => 'C',
    TZ                  => 'Europe/Berlin',
);

# Only the user who starts httpd can read it.
my $secret = File::Temp->new;
print $secret "the secret\nsecond line\n";
$secret->flush;

my $s = CLB::Server->start(env => \%server_env, config => <<"EOT");
<CLIBridgeBackend one>
CLIBridgeDriver command
CLIBridgeProgram \@BIN\@/fake-oneshot
CLIBridgeEnv ADDED by-us
\@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
CLIBridgeDriver command
CLIBridgeProgram \@BIN\@/fake-lines
CLIBridgeReuse lines
\@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend accounts>
CLIBridgeDriver command
CLIBridgeProgram \@BIN\@/fake-oneshot
CLIBridgeHome \@ROOT\@/state/home-of-backend
CLIBridgeEnv BOTH backend
CLIBridgeEnv BACKEND yes
CLIBridgeEnv TZ Asia/Tokyo
\@MARK\@
<CLIBridgeAccount work>
CLIBridgeHome \@ROOT\@/state/home-of-account
CLIBridgeEnv BOTH account
CLIBridgeEnvFile FROM_FILE $secret
</CLIBridgeAccount>
</CLIBridgeBackend>
<CLIBridgeBackend home>
CLIBridgeDriver command
CLIBridgeProgram \@BIN\@/fake-oneshot
CLIBridgeHome \@ROOT\@/state/home-of-backend
\@MARK\@
</CLIBridgeBackend>
EOT
my $state = $s->path('state');
my $bin   = Cwd::abs_path("$FindBin::Bin/../bin");

sub say_of {
    my ($model, $text) = @_;
    my $r = $s->chat($text, model => $model);
    return $r->{text} // diag explain $r;
}

sub value_of {
    my ($model, $name) = @_;
    return say_of($model, "[[env:$name]]") =~ /^env \Q$name\E=(.*);$/
         ? $1 : undef;
}

# A turn that hangs: its process, and a client that must be kept.
sub running {
    my ($model, $text) = @_;
    my %before = map { $_ => 1 } $s->marked;
    my $r = $s->stream("$text\[[say:a]][[hang]]", model => $model,
                       -until => sub { 1 });
    my ($pid) = $model eq 'lines' ? keys %before
                                  : grep { !$before{$_} } $s->marked;
    return ($pid, $r->{client});
}

sub environ {
    my ($pid) = @_;
    return { map { /^([^=]+)=(.*)/s ? ($1 => $2) : () }
                 split /\0/, CLB::Server::slurp("/proc/$pid/environ") };
}

# --- from the inside ------------------------------------------------------

for my $model (qw(one lines)) {
    my %is = say_of($model, '[[status]]') =~ /^(\w+):\s*(.*?)\s*$/mg;
    is hex $is{SigBlk}, 0, "$model: no signal is blocked";
    # perl itself ignores SIGFPE; 32 and 33 are libc's own, out of reach
    is hex(substr $is{SigIgn}, -8) & ~(1 << 7 | 1 << 31), 0,
        "$model: none is ignored";
    is $is{Uid}, join("\t", ($s->{uid}) x 4), "$model: its user";
    is $is{Gid}, join("\t", ($s->{gid}) x 4), "$model: its group";
    unlike " $is{Groups} ", qr/ 0 /, "$model: no group of root's"
        if $> == 0;

    like say_of($model, '[[fds]]'),
        qr/^fds 0=pipe:\S+ 1=pipe:\S+ 2=pipe:\S+;$/,
        "$model: three pipes and no more";
    like say_of($model, '[[cwd]]'),
        qr{^cwd=\Q$state\E/run/\d+/\d+/w entries=;$},
        "$model: an empty directory of its own";
    is value_of($model, 'HOME'), "$state/home/$model-default",
        "$model: a home below the state directory";
    like value_of($model, 'PATH'), qr{^\Q$bin\E:/},
        "$model: PATH begins where the program is";
    like value_of($model, 'TMPDIR'), qr{^\Q$state\E/run/\d+/\d+/tmp$},
        "$model: a TMPDIR of its own";
}

subtest 'accounts' => sub {
    is value_of('accounts', 'BOTH'), 'account', 'win over the backend';
    is value_of('accounts', 'BACKEND'), 'yes', 'whose variables they get';
    is value_of('accounts', 'FROM_FILE'), 'the secret',
        'a value from a file the CLI could not read';
    is value_of('accounts', 'TZ'), 'Asia/Tokyo', 'the operator\'s time zone';
    is value_of('accounts', 'HOME'), "$state/home-of-account", 'their home';
    is value_of('home', 'HOME'), "$state/home-of-backend",
        'without one: the backend\'s';
};

# --- from the outside -----------------------------------------------------

subtest 'environment and limits of a running CLI' => sub {
    my ($pid, $client) = running('one', 'needle-in-prompt');
    my $env = environ($pid);
    my $dir = $env->{TMPDIR} =~ s{/tmp$}{}r;
    is_deeply $env, {
        ADDED               => 'by-us',
        CLIBRIDGE_REQUEST   => "$dir/request.json",
        CLIBRIDGE_TEST      => $s->mark,
        HOME                => "$state/home/one-default",
        HTTPS_PROXY         => $server_env{HTTPS_PROXY},
        LC_ALL              => 'C.UTF-8',
        NODE_EXTRA_CA_CERTS => $server_env{NODE_EXTRA_CA_CERTS},
        PATH                => $env->{PATH},
        TMPDIR              => "$dir/tmp",
        TZ                  => 'UTC',
    }, 'these variables and no others';

    my $args = join ' ', map { CLB::Server::cmdline($_) }
                   $s->marked, $s->keeper_pid;
    like $args, qr/fake-oneshot/, 'command lines';
    unlike $args . join(' ', %$env), qr/needle/, 'know nothing of the prompt';

    my $stat = CLB::Server::stat_of($pid);
    is $stat->{group}, $pid, 'a process group of its own';
    is $stat->{parent}, $s->keeper_pid, 'a child of the keeper';
    like CLB::Server::slurp("/proc/$pid/limits"),
        qr/^Max core file size\s+1\s+1\s/m, 'no core files';
    is CLB::Server::slurp("/proc/$pid/oom_score_adj") + 0, 500,
        'the kernel kills it before others';
    is CLB::Server::slurp('/proc/' . $s->keeper_pid . '/oom_score_adj'),
        CLB::Server::slurp('/proc/' . $s->pid . '/oom_score_adj'),
        'but not its keeper';
    like CLB::Server::slurp("/proc/$pid/status"), qr/^NoNewPrivs:\s*1$/m,
        'no way to more privileges';

    my @stat = stat $env->{CLIBRIDGE_REQUEST};
    is $stat[2] & 07777, 0600, 'the request is private';
    is $stat[4], $s->{uid}, 'and the user\'s';
    is +(stat $dir)[2] & 07777, 0700, 'so is its directory';
    ok -d $_, "$_ exists" for @$env{qw(HOME TMPDIR)};

    $client->close;
    ok $s->wait_for(sub { !-e $dir }, 'removal'), 'removed after the turn';
};

subtest 'a reused process has no request in a file' => sub {
    my ($pid, $client) = running('lines', 'needle-in-prompt');
    my $env = environ($pid);
    is $env->{CLIBRIDGE_TEST}, $s->mark, 'its environment';
    is $env->{CLIBRIDGE_REQUEST}, undef, 'names no file';
    unlike CLB::Server::cmdline($pid) . join(' ', %$env), qr/needle/,
        'nor the prompt';
    is CLB::Server::slurp("/proc/$pid/oom_score_adj") + 0, 500,
        'the kernel kills it before others';
    $client->close;
};

subtest 'CLIBRIDGE_REQUEST is the whole request' => sub {
    my $r = $s->chat([
        { role => 'system',    content => 'be brief' },
        { role => 'user',      content => 'first' },
        { role => 'assistant', content => 'second' },
        { role => 'user',      content => '[[request]]' },
    ], model => 'one', temperature => 0.5);
    is_deeply scalar eval { JSON::PP->new->utf8(0)->decode($r->{text}) }, {
        model       => 'one',
        system      => 'be brief',
        temperature => 0.5,
        stop        => [],
        messages    => [
            { role => 'user',      content => 'first' },
            { role => 'assistant', content => 'second' },
            { role => 'user',      content => '[[request]]' },
        ],
    }, 'as JSON' or diag explain $r;
};

$s->idle_ok;
$s->stop;
done_testing;
