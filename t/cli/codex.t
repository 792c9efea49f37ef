# What is Codex's alone: the binary behind npm's script, a directory with
# nothing of the account's but its login, and one process for turn after turn,
# whatever becomes of them. Both versions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use IPC::Open2 qw(open2);
use JSON::PP ();
use Test::More;

use CLB::Model qw(cli system_of turns_of);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $m    = CLB::Model->start;

# What npm links into its bin directories; it starts the native program.
my %script = (
    codex => "$ENV{CLIBRIDGE_CLIS}/node_modules/\@openai/codex/bin/codex.js",
    'codex-newest' => "$ENV{CLIBRIDGE_CLIS}/node_modules/codex-newest/bin/"
                    . 'codex.js',
);

sub wait_for_child { waitpid $_[0], 0; return $? >> 8 }

# A file of a home, as its owner would write it.
sub put {
    my ($s, $home, $name, $text) = @_;
    for my $dir ($home, "$home/.codex") { mkdir $dir; $s->own($dir) }
    open my $file, '>', "$home/.codex/$name" or die "$name: $!\n";
    print $file $text;
    close $file;
    $s->own("$home/.codex/$name");
}

for my $program (sort keys %script) {
    ok(-e $script{$program}, "$program: npm's script is there");
    my $s = CLB::Server->start(config => join "\n",
        $m->config(driver => 'codex', program => $script{$program},
                   name => 'script', models => 'script'),
        $m->config(driver => 'codex', program => $program, name => 'one',
                   models => 'one', more => "CLIBridgeSlots 1\n"
                       . "CLIBridgePark off\n"
                       . 'CLIBridgeWarm persistent max=1'),
        $m->config(driver => 'codex', program => $program, name => 'home',
                   models => 'home', key => undef,
                   more => "CLIBridgeHome \@ROOT\@/state/alice\n"
                       . 'CLIBridgeWarm none'));
    my $backend = sub { $s->backend_health($_[0]) };
    my $answers = sub {
        my ($model, $name) = @_;
        is($s->chat('[[say:well]]', model => $model)->{text}, 'well', $name);
    };

    subtest "$program: the binary behind npm's script" => sub {
        $answers->('script', 'answers');
        my @run = grep { $_ } map { readlink "/proc/$_/exe" } $s->marked;
        is(scalar(grep { m{/node[^/]*$} } @run), 0, 'no node between us');
        cmp_ok(scalar(grep { m{/vendor/.*/codex$} } @run), '>', 0,
               'but the binary');
        is($backend->('script')->{test}, 'passed', 'which was tested');
    };

    subtest "$program: turn after turn" => sub {
        my $from = $s->log_size;
        is(scalar(grep {
            ($s->chat("[[say:$_]]", model => 'one')->{text} // '') eq $_
        } 1 .. 40), 40, 'new conversations');
        my @cut = map {
            my $r = $s->stream('[[stream:500:20]]', model => 'one',
                               -until => sub { $_[1]{text} });
            $r->{client}->close;
            $m->ended($m->last->{n});
        } 1 .. 5;
        is_deeply(\@cut, [ ('closed') x 5 ], 'clients that left');
        $s->idle_ok;
        is($s->stream('[[stream:3:5]][[drop:1]]', model => 'one')->{done}, 0,
           'a broken answer');
        my $tool = { type => 'function', function => { name => 'f',
            parameters => { type => 'object', properties => {} } } };
        is($s->chat('[[tool:f:{}]]', model => 'one', tools => [$tool])
             ->{finish}, 'tool_calls', 'calls that are never answered');
        is($s->chat('[[stream:500:20]]', model => 'one', stop => ['tok9'])
             ->{finish}, 'stop', 'an answer that was cut');
        $answers->('one', 'and still it answers');
        # those without a turn were asked about themselves
        unlike($s->log($from),
               qr/process \d+ \(one\): gone, status -?\d+, [1-9]/,
               'no process ended over it');
        cmp_ok($backend->('one')->{starts}, '<=', 2, 'nor was many started');
    };

    subtest "$program: nothing of the account's home" => sub {
        my $home = $s->path('state/alice');
        my $seen = $s->path('state/seen');
        my $run  = qq(["/bin/sh", "-c", "echo x >>$seen"]);
        put($s, $home, 'AGENTS.md', 'canary-agents');
        put($s, $home, 'config.toml', <<"EOT");
notify = $run
developer_instructions = "canary-developer"
instructions = "canary-instructions"
model_reasoning_effort = "high"
[mcp_servers.bad]
command = "/bin/sh"
args = ["-c", "echo x >>$seen"]
EOT
        my @user = $> == 0 ? ('setpriv', "--reuid=$s->{uid}",
            "--regid=$s->{gid}", '--clear-groups') : ();
        my $pid = open2(my $out, my $in, @user, 'env', '-i', "HOME=$home",
                        cli($program), 'login', '--with-api-key');
        print $in "sk-of-alice\n";
        close $in;
        is(wait_for_child($pid), 0, 'it is logged in by its own command');
        my @before = $s->entries("$home/.codex");
        # before there was a home it could not start
        $s->graceful;
        $s->wait_for(sub { $backend->('home')->{test} eq 'passed' }, 'a test');
        $answers->('home', 'answers');
        my $asked = $m->last;
        is($asked->{headers}{authorization}, 'Bearer sk-of-alice',
           'with the login');
        is_deeply([ system_of($asked->{body}), turns_of($asked->{body}),
                    $asked->{body}{tools} ],
                  [ [], [ [ user => '[[say:well]]' ] ], [] ],
                  'and nothing else');
        is($asked->{body}{reasoning}{effort}, undef, 'no setting of it');
        ok(!-e $seen, 'no program of it ran');
        my %new = map { $_ => 1 } $s->entries("$home/.codex");
        delete @new{ @before, 'auth.json.lock' };
        is_deeply([ keys %new ], ['installation_id'],
                  'nothing was written there but its own id');
    };
    $s->stop;
}

done_testing;
