# Codex as the client, and a Claude Code of the server behind it: what somebody
# gets who makes this server a model provider in Codex's config.toml. Both
# versions are the client.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone cli turns_of);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $key  = 'clb-test-0123456789abcdef';

my $keys = File::Temp->new;
print $keys 'codex:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . $m->config(models => 'claude-*'));

# A home of its own with the settings that README tells.
sub home {
    my $home = tempdir(CLEANUP => 1);
    mkdir "$home/$_" or die "$home/$_: $!\n" for qw(.codex work);
    open my $file, '>', "$home/.codex/config.toml" or die "$home: $!\n";
    print $file <<"EOT";
model = "claude-sonnet-4-6"
model_provider = "bridge"
check_for_update_on_startup = false

[model_providers.bridge]
name = "bridge"
base_url = "@{[ $s->url('/v1') ]}"
env_key = "CLIBRIDGE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
EOT
    close $file;
    return $home;
}

# The items and errors that the client prints, and the text it ends with.
sub run {
    my ($program, $home, @words) = @_;
    my @command = (cli($program), 'exec', @words[0 .. $#words - 1], '--json',
                   '--skip-git-repo-check',
                   '--dangerously-bypass-approvals-and-sandbox', $words[-1]);
    local %ENV = (PATH => $ENV{PATH}, HOME => $home, CLIBRIDGE_KEY => $key);
    defined(my $pid = open my $out, '-|') or die "fork: $!\n";
    if (!$pid) {
        chdir "$home/work" or die "$home/work: $!\n";
        open STDIN, '<', '/dev/null';
        open STDERR, '>', "$home/stderr";
        exec @command or die "$command[0]: $!\n";
    }
    my @lines = map { /^\{/ ? $json->decode($_) : () } <$out>;
    close $out;
    my @items = map { $_->{item} } grep { $_->{type} eq 'item.completed' }
        @lines;
    my ($text) = map { $_->{text} } reverse grep {
        $_->{type} eq 'agent_message' } @items;
    my ($usage) = map { $_->{usage} } grep { $_->{type} eq 'turn.completed' }
        @lines;
    my ($failed) = map { $_->{error}{message} } grep {
        $_->{type} eq 'turn.failed' } @lines;
    return { text => $text, items => \@items, usage => $usage,
             failed => $failed, lines => \@lines };
}

for my $program (qw(codex codex-newest)) {
    my $home = home();
    my $r = run($program, $home, '[[say:hello]][[usage:12:3]]');
    is_deeply([ @$r{qw(text failed)}, $r->{usage}{output_tokens} ],
              [ 'hello', undef, 3 ], "$program: an answer, with its usage")
        or diag explain $r->{lines};
    my $tools = $m->last->{body}{tools};
    ok((grep { $_->{name} eq 'exec_command' } @$tools),
       'its tools are offered');
    my ($grouped) = grep { /multi_agent_v1.*wait_agent/ }
        map { $_->{name} } @$tools;
    ok($grouped, 'those in groups, too');

    $r = run($program, $home, '[[think:hm]][[tool:exec_command:{"cmd":"echo '
             . 'from the client"}]]');
    like($r->{text} // '', qr/^tool said: .*from the client/s,
         "$program: it runs its tools, and the model hears of it")
        or diag explain $r->{lines};
    my ($called) = grep { $_->[0] eq 'assistant' }
        @{ turns_of($m->last->{body}) };
    is_deeply([ map { $_->{type} } grep { ref } @$called[1 .. $#$called] ],
              [qw(thinking tool_use)], 'its thoughts come back before the call')
        or diag explain $called;

    $r = run($program, $home, 'resume', '--last', '[[find:from the client]]');
    is($r->{text}, 'found from the client;', 'a conversation goes on')
        or diag explain $r->{lines};

    $r = run($program, $home, "[[tool:$grouped:{}]]");
    like($r->{text} // '', qr/^tool said: (?!unsupported call)/,
         'it knows a tool of a group') or diag explain $r->{lines};

    for (['[[error:500]]', 'at once', '502 Bad Gateway'],
         ['[[stream:9:1]][[error:500:3]]', 'in the midst', 'stream']) {
        my ($prompt, $when, $what) = @$_;
        $r = run($program, home(), $prompt);
        like($r->{failed} // '', qr/\Q$what\E.*scripted error 500/,
             "$program: a failure $when") or diag explain $r->{lines};
    }
}

all_gone($s);
$s->stop;
done_testing;
