# Claude Code as the client, and a Claude Code of the server behind it: what
# somebody gets who points ANTHROPIC_BASE_URL at this server. Both versions are
# the client.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone cli);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $key  = 'clb-test-0123456789abcdef';

my $keys = File::Temp->new;
print $keys 'cc:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . $m->config(models => 'claude-*'));

# What the client prints, run in a directory of its own without a login.
sub run {
    my ($program, $prompt, @options) = @_;
    my $home = tempdir(CLEANUP => 1);
    my @command = (cli($program), '-p', $prompt, '--output-format',
                   'stream-json', '--verbose', '--model', 'claude-sonnet-4-6',
                   @options);
    local %ENV = (
        PATH => $ENV{PATH}, HOME => $home, TMPDIR => $home,
        ANTHROPIC_BASE_URL   => $s->url(''),
        ANTHROPIC_AUTH_TOKEN => $key,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
        CLAUDE_CODE_MAX_RETRIES => 0,
    );
    defined(my $pid = open my $out, '-|') or die "fork: $!\n";
    if (!$pid) {
        chdir $home or die "$home: $!\n";
        open STDIN, '<', '/dev/null';
        exec @command or die "$command[0]: $!\n";
    }
    my @lines = map { /^\{/ ? $json->decode($_) : () } <$out>;
    close $out;
    my ($result) = grep { $_->{type} eq 'result' } @lines;
    return $result || { result => 'no result', lines => \@lines };
}

for my $program (qw(claude claude-newest)) {
    my $r = run($program, '[[say:hello]]');
    is_deeply([ @$r{qw(result is_error)} ], [ 'hello', JSON::PP::false ],
              "$program: an answer") or diag explain $r;

    my $before = $m->requests;
    $r = run($program, '[[tool:Bash:{"command":"echo from the client"}]]',
             '--allowedTools', 'Bash(echo:*)');
    # the newest has more to say to the model than the result
    like($r->{result}, qr/^tool said: from the client$/m,
         "$program: it runs its tools, and the model hears of it")
        or diag explain $r;
    my $tools = ($m->requests)[$before]{body}{tools};
    cmp_ok(scalar @$tools, '>', 5, 'which it offers');

    $r = run($program, '[[error:529]]');
    is($r->{is_error}, JSON::PP::true, "$program: a refusal");
    like($r->{result}, qr/overloaded/i, 'with its reason')
        or diag explain $r;
}

all_gone($s);
$s->stop;
done_testing;
