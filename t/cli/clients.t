# Clients, set up as README says, and behind the server CLIs of other vendors.
# Each program reads and edits a file of a repository, by two calls of its
# tools, one after the other; curl and the SDKs say hello.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone cli turns_of);
use CLB::Readme qw(block);
use CLB::Server;

my $json  = JSON::PP->new->utf8->canonical;
my $false = JSON::PP::false;
my $key   = 'clb-test-0123456789abcdef';

my $keys = File::Temp->new;
print $keys 'client:', sha256_hex($key), ":chat\n";
close $keys;

my $m = CLB::Model->start;
my $s = CLB::Server->start(config => join "\n", "CLIBridgeKeyFile $keys",
    block('Other paths') =~ s/SetHandler .*/$&\nCLIBridgeKeepAlive 1/gr,
    map { $m->config(driver => $_) } qw(claude codex gemini));

# What README tells to paste, for our server.
sub told {
    my ($begin, $model, $at) = @_;
    return block($begin, 'http://127.0.0.1:8030' => $s->url($at // ''))
        =~ s/\bKEY\b/$key/gr =~ s/\bsonnet\b/$model/gr;
}

sub put {
    my ($name, $text) = @_;
    make_path($name =~ s{/[^/]*\z}{}r);
    open my $file, '>', $name or die "$name: $!\n";
    print $file $text;
    close $file;
}

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return scalar <$file>;
}

# --- the programs ---------------------------------------------------------

sub of_type {
    my ($type, @lines) = @_;
    return grep { $_->{type} eq $type } @lines;
}

# The stream-json of Claude Code and of Qwen Code.
sub read_result {
    my ($r) = of_type(result => @_);
    my $said = $r->{result} // $r->{error}{message};
    return { $r->{is_error} ? 'failed' : 'text' => $said,
             output => $r->{usage}{output_tokens} };
}

# A conversation goes on; tools in groups; a WebSocket.
sub codex_more {
    my ($name, $program, $home, $api, $tools) = @_;
    my $again = sub { finish(start($name, $program, $home, $api,
                                   qw(resume --last), @_)) };
    my $r = $again->('[[find:done]]');
    is($r->{text}, 'found done;', 'a conversation goes on')
        or diag explain $r->{lines};
    my ($called) = grep { $_->[0] eq 'assistant' }
        @{ turns_of($m->last->{body}) };
    is_deeply([ map { $_->{type} } grep { ref } @$called[1 .. $#$called] ],
              [qw(thinking tool_use)], 'its thoughts come back before the call')
        or diag explain $called;

    my ($grouped) = $tools =~ /\b(multi_agent_v1\w+wait_agent\w*)/;
    $r = $again->("[[tool:$grouped:{}]]");
    like($r->{text} // '', qr/^tool said: (?!unsupported call)/,
         'it knows a tool of a group') or diag explain $r->{lines};

    my $config = "$home/.codex/config.toml";
    put($config, slurp($config)
        =~ s/^wire_api.*\n/$&supports_websockets = true\n/mr);
    $r = $again->('[[find:done]]');
    is($r->{text}, 'found done;', 'a WebSocket will do')
        or diag explain $r->{lines};
    ok($s->poll(sub { $s->access_log =~ m{"GET /\S+/responses HTTP/1.1" 101} }),
       'and is one');
}

# Of each:
#   shell     what README says for the shell: variables, the command
#   files     what is in its home, by the model and the path of the API
#   env       more of its environment, for a test
#   options   words before the prompt
#   read      what it printed, as {text or failed, output (tokens)}
#   edit      calls that read the file and put "two" for "one" into it
#   fails     [what the model does => what the client says]
#   more      what else there is to see when it has edited
my %clients = (
    claude => {
        shell => 'Claude Code, in',
        env => {
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
            CLAUDE_CODE_MAX_RETRIES => 0,
        },
        options => [ qw(--output-format stream-json --verbose
                        --permission-mode acceptEdits -p) ],
        read => \&read_result,
        edit => sub { (
            [ Read => { file_path => $_[0] } ],
            [ Edit => { file_path => $_[0], old_string => 'one',
                        new_string => 'two' } ],
        ) },
        fails => [ [ '[[error:529]]' => qr/overloaded/i ] ],
    },

    codex => {
        files => sub { '.codex/config.toml' =>
            "check_for_update_on_startup = false\n" . told('Codex, in', @_)
            . "request_max_retries = 0\nstream_max_retries = 0\n"
            . "[analytics]\nenabled = false\n" },
        env => { CLIBRIDGE_KEY => $key },
        options => [ qw(exec --json
                        --dangerously-bypass-approvals-and-sandbox) ],
        read => sub {
            my ($text) = map { $_->{text} } reverse
                of_type(agent_message => map { $_->{item} }
                        of_type('item.completed' => @_));
            my ($end) = of_type('turn.completed' => @_);
            my ($failed) = of_type('turn.failed' => @_);
            return { text => $text, failed => $failed->{error}{message},
                     output => $end->{usage}{output_tokens} };
        },
        edit => sub { (
            [ exec_command => { cmd => "cat $_[0]" } ],
            [ exec_command => { cmd => "apply_patch <<'EOF'\n"
              . "*** Begin Patch\n*** Update File: $_[0]\n@@\n-one\n+two\n"
              . "*** End Patch\nEOF\n" } ],
        ) },
        more => \&codex_more,
        fails => [
            [ '[[error:500]]' => qr/502 Bad Gateway.*scripted error 500/ ],
            [ '[[stream:9:20]][[error:500:3]]' =>
              qr/stream.*scripted error 500/ ],
        ],
    },

    gemini => {
        shell => 'Gemini CLI, in',
        files => sub { '.gemini/settings.json' => $json->encode({
            %{ $json->decode(block('and, because')) },
            privacy => { usageStatisticsEnabled => $false },
            general => { enableAutoUpdate => $false, maxAttempts => 1 } }) },
        env => { NO_COLOR => 1, GEMINI_CLI_NO_RELAUNCH => 1,
                 GEMINI_CLI_TRUST_WORKSPACE => 'true' },
        options => [ qw(-y -o stream-json -p) ],
        read => sub {
            my ($result) = of_type(result => @_);
            my ($error)  = of_type(error => @_);
            return {
                text => join('', map { $_->{content} } grep {
                    $_->{role} eq 'assistant' } of_type(message => @_)),
                output => $result->{stats}{output_tokens},
                failed => ($error // $result->{error} // {})->{message},
            };
        },
        edit => sub { (
            [ read_file => { file_path => $_[0] } ],
            [ replace => { file_path => $_[0], instruction => 'x',
                           old_string => 'one', new_string => 'two' } ],
        ) },
        fails => [
            [ '[[error:529]]' => qr/529 Overloaded/ ],
            # its SDK does not see errors in events
            [ '[[stream:9:20]][[error:500:3]]' =>
              qr/without a finish reason/ ],
        ],
    },

    qwen => {
        shell => 'Qwen Code, in',
        files => sub { '.qwen/settings.json' => $json->encode({
            telemetry => { enabled => $false },
            privacy => { usageStatisticsEnabled => $false },
            general => { enableAutoUpdate => $false },
            memory  => { enableManagedAutoMemory => $false } }) },
        env => { QWEN_CODE_SUPPRESS_YOLO_WARNING => 1 },
        options => [ qw(-y -o stream-json -p) ],
        read => \&read_result,
        edit => sub { (
            [ read_file => { file_path => $_[0] } ],
            [ edit => { file_path => $_[0], old_string => 'one',
                        new_string => 'two' } ],
        ) },
        # others it tries again, for more than a minute
        fails => [ [ '[[error:400]]' => qr/scripted error 400/ ] ],
    },
);

# A home with the client's settings, and a repository in it.
sub home {
    my ($client, @api) = @_;
    my $home = tempdir(CLEANUP => 1);
    my %files = $client->{files} ? $client->{files}->(@api) : ();
    put("$home/$_", $files{$_}) for keys %files;
    make_path(map { "$home/repo/.git/$_" } qw(objects refs));
    put("$home/repo/.git/HEAD", "ref: refs/heads/main\n");
    put("$home/repo/notes.txt", "zero\none\nthree\n");
    return $home;
}

sub start {
    my ($name, $program, $home, $api, @words) = @_;
    my $client = $clients{$name};
    my $shell = $client->{shell} ? told($client->{shell}, @$api) : "$name\n";
    my %env = $shell =~ /^export (\w+)=(\S+)$/mg;
    my ($words) = $shell =~ /^$name\b *(.*)$/m;
    my @command = (cli($program), split(' ', $words),
                   @{ $client->{options} }, @words);
    local %ENV = (PATH => "$ENV{CLIBRIDGE_CLIS}/bin:$ENV{PATH}", HOME => $home,
                  TMPDIR => $home, %env, %{ $client->{env} });
    defined(my $pid = open my $out, '-|') or die "fork: $!\n";
    return { out => $out, read => $client->{read} } if $pid;
    chdir "$home/repo" or die "$home/repo: $!\n";
    open STDIN,  '<', '/dev/null';
    open STDERR, '>', "$home/stderr";
    exec @command or die "$command[0]: $!\n";
}

sub finish {
    my ($run) = @_;
    my $out = $run->{out};
    my @lines = map { /^\{/ ? $json->decode($_) : () } <$out>;
    close $out;
    return { %{ $run->{read}->(@lines) }, lines => \@lines };
}

# Whose failures clients are told of.
my $failing = 'claude-sonnet-4-6';

for (['claude', 'claude', '/api', 'gpt-5.5'],
     ['claude', 'claude-newest', '/api', 'gpt-5.5'],
     ['codex', 'codex', '/openai', 'claude-sonnet-4-6'],
     ['codex', 'codex-newest', '/openai', 'claude-sonnet-4-6'],
     ['gemini', 'gemini', '/api', 'claude-sonnet-4-6'],
     ['qwen', 'qwen', '/openai', 'gpt-5.5'],
     ['qwen', 'qwen-newest', '/openai', 'gemini-2.5-pro']) {
    my ($name, $program, $at, $model) = @$_;
    my $client = $clients{$name};
    my @api    = ($model, $at);
    my $home   = home($client, @api);
    my $file   = "$home/repo/notes.txt";
    my $prompt = '[[sleep:1200]][[think:hm]]' . join '[[usage:12:3]][[next]]',
        map({ "[[tool:$_->[0]:" . $json->encode($_->[1]) . ']]' }
            $client->{edit}->($file)),
        '[[say:done;]][[find:three]][[tools]][[usage:12:3]]';

    # at once: they wait more than they work
    my $edit = start($name, $program, $home, \@api, $prompt);
    my @fails = map {
        [ start($name, $program, home($client, $failing), [$failing],
                $_->[0]), @$_ ]
    } @{ $client->{fails} };

    my $r = finish($edit);
    is(slurp($file), "zero\ntwo\nthree\n", "$program: $model edits a file");
    is_deeply([ @$r{qw(failed output)} ], [ undef, 9 ], 'it knows the tokens');
    my ($tools) = ($r->{text} // '') =~ /done;found three;tools=(.*);/;
    cmp_ok(scalar split(/,/, $tools // ''), '>', 5,
           'the model has its tools, and heard of their results')
        or diag explain $r->{lines};
    $client->{more}->($name, $program, $home, \@api, $tools)
        if $client->{more};

    for (@fails) {
        my ($run, $does, $says) = @$_;
        my $r = finish($run);
        like($r->{failed} // $r->{text}, $says, $does)
            or diag explain $r->{lines};
    }
}

# --- curl and the SDKs ----------------------------------------------------

my $dir = tempdir(CLEANUP => 1);
symlink "$ENV{CLIBRIDGE_CLIS}/node_modules", "$dir/node_modules";
for (['curl, one line', '/bin/sh', 4],
     ["OpenAI's SDK for JavaScript", cli('node'), 2],
     ["Anthropic's SDK for JavaScript", cli('node'), 1],
     ["Google's SDK for JavaScript", cli('node'), 1]) {
    my ($begin, $program, $times) = @$_;
    put("$dir/hello.mjs", told($begin, 'echo'));
    my $said = readpipe("$program $dir/hello.mjs 2>&1");
    is(scalar(() = $said =~ /Hello!/g), $times, $begin) or diag $said;
}

all_gone($s);
$s->stop;
done_testing;
