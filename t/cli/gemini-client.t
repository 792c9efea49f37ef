# Gemini CLI as the client, and a Claude Code of the server behind it: what
# somebody gets who points GOOGLE_GEMINI_BASE_URL at this server.

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

my $json    = JSON::PP->new->utf8->canonical;
my $false   = JSON::PP::false;
my $key     = 'clb-test-0123456789abcdef';
my @program = (cli('node'), "$ENV{CLIBRIDGE_CLIS}/node_modules/"
                            . '@google/gemini-cli/bundle/gemini.js');

my $keys = File::Temp->new;
print $keys 'gc:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . "CLIBridgeKeepAlive 1\n" . $m->config(models => 'claude-*'));

sub write_file {
    my ($name, $text) = @_;
    open my $file, '>', $name or die "$name: $!\n";
    print $file $text;
    close $file;
}

# What the client prints, run in a directory of its own without a login.
sub run {
    my ($prompt) = @_;
    my $home = tempdir(CLEANUP => 1);
    mkdir "$home/$_" for qw(.gemini project);
    write_file("$home/project/a-file.txt", 'x');
    write_file("$home/.gemini/settings.json", $json->encode({
        security => { auth => { selectedType => 'gemini-api-key' },
                      folderTrust => { enabled => $false } },
        privacy  => { usageStatisticsEnabled => $false },
        general  => { enableAutoUpdate => $false, maxAttempts => 1 } }));
    my @command = (@program, '-m', 'claude-sonnet-4-6', '-y',
                   '-o', 'stream-json', '-p', $prompt);
    local %ENV = (
        PATH => $ENV{PATH}, HOME => $home, TMPDIR => $home, NO_COLOR => 1,
        GOOGLE_GEMINI_BASE_URL => $s->url(''), GEMINI_API_KEY => $key,
        GEMINI_CLI_NO_RELAUNCH => 1, GEMINI_CLI_TRUST_WORKSPACE => 'true',
    );
    defined(my $pid = open my $out, '-|') or die "fork: $!\n";
    if (!$pid) {
        chdir "$home/project" or die "$home: $!\n";
        open STDIN,  '<', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec @command or die "$command[0]: $!\n";
    }
    my @lines = map { /^\{/ ? $json->decode($_) : () } <$out>;
    close $out;
    my ($result) = grep { $_->{type} eq 'result' } @lines;
    my ($error)  = grep { $_->{type} eq 'error' } @lines;
    return {
        text => join('', map { $_->{content} } grep { $_->{type} eq 'message'
            && $_->{role} eq 'assistant' } @lines),
        status => $result->{status}, stats => $result->{stats},
        error => $error ? $error->{message} : $result->{error}{message},
    };
}

my $r = run('[[say:hello]]');
is_deeply([ @$r{qw(text status error)} ], [ 'hello', 'success', undef ],
          'an answer') or diag explain $r;
cmp_ok($r->{stats}{input_tokens}, '>', 0, 'with its usage');

$r = run('[[sleep:2500]][[stream:5:20]]');
is_deeply([ @$r{qw(text status)} ], [ 'tok1 tok2 tok3 tok4 tok5', 'success' ],
          'one behind signs of life') or diag explain $r;

my $before = $m->requests;
$r = run('[[tool:list_directory:{"dir_path":"."}]]');
like($r->{text}, qr/^tool said: .*a-file\.txt/s,
     'it runs its tools, and the model hears of it') or diag explain $r;
cmp_ok(scalar @{ ($m->requests)[$before]{body}{tools} }, '>', 5,
       'which it offers');

$r = run('[[error:529]]');
is($r->{status}, 'error', 'a refusal');
like($r->{error}, qr/529 Overloaded/, 'with its reason')
    or diag explain $r;
$r = run('[[stream:9:20]][[error:500:3]]');
like($r->{text}, qr/^tok1/, 'an error in a stream');
# the SDK in it does not see errors in events
like($r->{error}, qr/without a finish reason/, 'does not look complete')
    or diag explain $r;

all_gone($s);
$s->stop;
done_testing;
