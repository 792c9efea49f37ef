# Direct runs with the real CLIs: arguments of the operator's reach the CLI that
# serves the run, and no other; no process of a run with arguments stays.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Model;
use CLB::Server;
use CLB::Talk qw(rested);

# What each CLI is given, and where its model sees that.
my %cli = (
    claude => [ [qw(--effort low)], sub { $_[0]{output_config}{effort} } ],
    codex  => [ ['-c', 'model_reasoning_effort="low"'],
                sub { $_[0]{reasoning}{effort} } ],
    gemini => [ ['--debug'] ],
    qwen   => [ ['--debug'] ],
);

my $keys = File::Temp->new;
print $keys 'me:', sha256_hex('key'), ":chat,run\n";
close $keys;
chmod 0644, "$keys";

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => join "\n", 'CLIBridgeRun On',
    "CLIBridgeKeyFile $keys",
    map { my $words = join ' ', map { '"' . s/"/\\"/gr . '"' } @{ $cli{$_}[0] };
          $m->config(driver => $_, models => $_, more =>
                     "CLIBridgeWarm none\nCLIBridgeRunArg $words") }
        sort keys %cli);

for my $name (sort keys %cli) {
    my ($args, $seen) = @{ $cli{$name} };
    my $run = sub {
        return $s->post('/run', { model => $name, @_ }, key => 'key');
    };
    # the processes that have the arguments
    my $theirs = sub {
        my $words = join ' ', @$args;
        return grep { CLB::Server::cmdline($_) =~ /\Q$words\E/ } $s->marked;
    };

    subtest $name => sub {
        is($s->chat('[[say:one]]', model => $name, -key => 'key')->{text},
           'one', 'a conversation');
        my $before = rested($s, $name);
        my $c = $s->client;
        $c->send_request('POST', '/run', { model => $name, args => $args,
            prompt => '[[stream:20:50]]' }, key => 'key');
        ok($s->wait_for($theirs, 'its process'), 'a process has them');
        my $r = $c->read_response;
        is($r->{json}{output}, join(' ', map { "tok$_" } 1 .. 20),
           'and answers') or diag $r->{body};
        is($r->{json}{returncode}, 0, 'well');
        is($seen->($m->last->{body}), 'low', 'its model sees them') if $seen;
        ok($s->wait_for(sub { !$theirs->() }, 'its end'), 'then it ends');
        is($s->backend_health($name)->{parked}, $before->{parked},
           'the conversation stays, and that of the run does not');
        is($run->(prompt => ' [[say: two ]]', clean => JSON::PP::false)
           ->{json}{stdout}, ' two ', 'a run without arguments');
        isnt($seen->($m->last->{body}), 'low', 'has none') if $seen;
    };
}

$s->idle_ok;
$s->stop;
$m->stop;
done_testing;
