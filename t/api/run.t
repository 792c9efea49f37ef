# POST /run: a prompt for a CLI, with arguments that the operator allows, for
# keys that may run and nobody else.

use strict;
use warnings;

use Digest::SHA qw(sha1 sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Readme qw(block);
use CLB::Server;
use CLB::Talk qw(fake_claude rested);

my ($true, $false, $null) = (JSON::PP::true, JSON::PP::false, undef);
my $json = JSON::PP->new->utf8->canonical;
my %scopes = (chat => 'chat', admin => 'admin', run => 'run',
              both => 'chat,run');

sub file {
    my $file = File::Temp->new;
    print $file @_;
    close $file;
    chmod 0644, "$file";
    return $file;
}

my $keys = file(map { "$_:" . sha256_hex("key-$_") . ":$scopes{$_}\n" }
                sort keys %scopes);
my $users = file('ann:{SHA}', encode_base64(sha1('pass')));

my $backends = <<'EOT' . fake_claude('fake', 'CLIBridgeWarm adaptive max=1',
<CLIBridgeBackend one>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    CLIBridgeArg --first
    CLIBridgeRunArg --verbose
    CLIBridgeRunArg --effort high
    CLIBridgeRunArg -a
    CLIBridgeRunArg -a -b
    CLIBridgeRunArg -b -c
    CLIBridgeRunArg "two words" ""
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    CLIBridgeRunArg --slow-start 1
    CLIBridgeRunArg --no-such-option
    @MARK@
</CLIBridgeBackend>
EOT
    'CLIBridgeRunArg --allowed', 'CLIBridgeRunArg --die');

my $s = CLB::Server->start(
    modules => [qw(auth_basic authn_file authz_user)],
    config  => <<"EOT" . $backends);
CLIBridgeKeyFile $keys
CLIBridgeRun On
CustomLog "\@ROOT\@/logs/own.log" "%U %u %>s %{clibridge-model}n \\
%{clibridge-backend}n %{clibridge-error}n"
<Location /ai>
    SetHandler clibridge
    CLIBridgeTimeout turn=1
</Location>
<Location /off>
    SetHandler clibridge
    CLIBridgeRun Off
</Location>
<Location /scope>
    SetHandler clibridge
    AuthType CLIBridge
    Require clibridge-scope run
</Location>
<Location /basic>
    SetHandler clibridge
    AuthType Basic
    AuthName people
    AuthBasicProvider file
    AuthUserFile $users
    Require valid-user
</Location>
<Location /basic/either>
    CLIBridgeAnonymous on
    <RequireAny>
        Require valid-user
        Require clibridge-scope run
    </RequireAny>
</Location>
EOT

sub post {
    my ($body, %o) = @_;
    return $s->post(delete $o{path} // '/run', $body, key => 'key-run', %o);
}

sub run {
    my ($prompt, %more) = @_;
    my $path = delete $more{-path} // '/run';
    return post({ model => 'one', prompt => $prompt, %more }, path => $path);
}

sub error_is {
    my ($r, $want, $name) = @_;
    my $error = ref $r->{json} eq 'HASH' && $r->{json}{error} || {};
    is(join(' ', $r->{status}, map { $error->{$_} // () } qw(code param)),
       $want, $name) or diag $r->{body};
}

sub answer_is {
    my ($r, $want, $name) = @_;
    my %want = (stdout => $null, stderr => $null, returncode => 0, %$want);
    is_deeply([$r->{status}, $r->{json}], [200, \%want], $name)
        or diag $r->{body};
}

my $none    = '401 missing_api_key';
my $wrong   = '401 invalid_api_key';
my $not_you = '403 insufficient_permissions';

# --- who ------------------------------------------------------------------

subtest 'a scope of its own' => sub {
    my $body = { model => 'one', prompt => '[[say:x]]' };
    my $as = sub {
        my ($path, %o) = @_;
        return $s->post($path, $body, %o);
    };
    for my $path ('/run', '/ai/run', '/scope/v1/run') {
        error_is($as->($path), $none, "$path: no key");
        error_is($as->($path, key => 'key-other'), $wrong, "$path: a wrong one");
        error_is($as->($path, key => "key-$_"), $not_you, "$path: scope $_")
            for qw(chat admin);
        answer_is($as->($path, key => "key-$_"), { output => 'x' },
                  "$path: scopes $scopes{$_}") for qw(run both);
    }
    error_is($s->chat('x', model => 'one', -key => 'key-run'), $not_you,
             'who may run may not chat for that');
    is($s->chat('[[say:x]]', model => 'one', -key => 'key-both')->{text}, 'x',
       'but with both scopes');
    my $basic = 'Basic ' . encode_base64('ann:pass', '');
    error_is($as->($_, headers => { Authorization => $basic }), $not_you,
             "nor may another kind of user: $_")
        for '/basic/run', '/basic/either/run';
};

subtest 'where' => sub {
    for my $path ('/run', '/run/', '//run', '/v1/run', '/ai/v1/run') {
        answer_is(post({ model => 'one', prompt => '[[say:x]]' },
                       path => $path), { output => 'x' }, $path);
    }
    for my $path ('/off/run', '/ai/runs', '/v1/x/run', '/v1beta/run') {
        error_is(post({}, path => $path), '404 not_found', $path)
            if $path ne '/v1beta/run';
        is(post({}, path => $path)->{status}, 404, $path);
    }
    isnt(post({}, path => '/run/x')->{headers}{'content-type'},
         'application/json', 'what is below it is not ours');
    my $r = $s->get('/run', key => 'key-run');
    error_is($r, '405 method_not_allowed', 'a GET');
    is($r->{headers}{allow}, 'POST, OPTIONS', 'what is allowed');
};

# --- what -----------------------------------------------------------------

subtest 'output' => sub {
    my $blank = "[[say:\n \t a  b \x{e9}\n]][[say2: said \n]]";
    answer_is(run($blank), { output => "a  b \x{e9}" }, 'trimmed');
    answer_is(run($blank, clean => $true), { output => "a  b \x{e9}" },
              'clean');
    answer_is(run($blank, clean => $null), { output => "a  b \x{e9}" },
              'null is the default');
    my $all = "\n \t a  b \x{e9}\n";
    answer_is(run($blank, clean => $false), { output => $all, stdout => $all,
              stderr => " said \n" }, 'as it is');
    answer_is(run('[[say: ]]'), { output => '' }, 'blanks alone');
    answer_is(run('[[say:x]]', clean => $false), { output => 'x',
              stdout => 'x', stderr => '' }, 'nothing on stderr');
    answer_is(post({ model => 'lines', clean => $false,
                     prompt => '[[think:hm]][[say: x ]]' }),
              { output => ' x ', stdout => ' x ', stderr => '' },
              'of a CLI that lives on');
    answer_is(run('[[say:x]]', stream => $true, no_such_field => {}, n => 5),
              { output => 'x' }, 'other fields mean nothing');
    is(run('x' x 1_000_000 . '[[say:x]]')->{json}{output}, 'x',
       'a prompt of 1 MB');
    my $echo = "  \x{1F600} \"\\\n\t System: x\n\n";
    is(post({ model => 'echo', prompt => $echo, clean => $false })
       ->{json}{stdout}, $echo, 'the prompt comes as it is');
};

subtest 'an exit status is an answer' => sub {
    my $failed = '[[say:so far ]][[say2:a ]][[say2:b' . "\n]][[exit:%d]]";
    answer_is(run(sprintf($failed, 3), clean => $false),
              { output => 'so far ', stdout => 'so far ',
                stderr => "a b\n", returncode => 3 }, 'status 3');
    answer_is(run(sprintf $failed, $_), { output => 'so far',
              returncode => $_ }, "status $_, clean") for 1, 64, 69, 77, 255;
    answer_is(run('[[exit:2]]', clean => $false), { output => '',
              stdout => '', stderr => '', returncode => 2 }, 'without a word');
    answer_is(post({ model => 'lines', prompt => '[[exit:4]]' }),
              { output => '', returncode => 4 }, 'of a CLI that would stay');
    my $long = run('[[stderr:100000]][[exit:1]]', clean => $false);
    like($long->{json}{stderr}, qr/^e+\n(?:e{79}\n)+\z/,
         'the end of a long stderr');
    is($s->chat('[[exit:3]]', model => 'one', -key => 'key-both')->{status},
       502, 'but not of a chat');
};

subtest 'errors are those of the API' => sub {
    error_is(post({ model => 'lines', prompt => "[[error:$_->[0]]]" }),
             $_->[1], "the program says $_->[0]")
        for [429, '429 rate_limit_exceeded'], [401, '503 login_required'],
            [500, '502 upstream_error'];
    error_is(post({ model => 'nobody', prompt => 'x' }),
             '404 model_not_found model', 'no such model');
    error_is(post({ prompt => 'x' }), '400 model', 'no model');
    like(post({ prompt => 'x' })->{headers}{'x-request-id'}, qr/^req_/,
         'with an id');
};

subtest 'hostile bodies' => sub {
    for (['no prompt', 'prompt', { model => 'one' }],
         map({ my $value = $_;
               map { ["$_ is " . $json->encode([$value]), $_,
                      { model => 'one', prompt => 'x', $_ => $value }] }
                   grep { $_ ne 'timeout' || $value ne '5' }
                   qw(model prompt args timeout clean) }
             5, {}, { a => 'b' }),
         map({ ["prompt is " . $json->encode([$_]), 'prompt',
                { model => 'one', prompt => $_ }] } $null, [], ['x'], $true),
         map({ ["args are " . $json->encode($_), 'args',
                { model => 'one', prompt => 'x', args => $_ }] }
             [5], ['-a', $null], [['-a']], [$true], [{}]),
         map({ ["timeout is " . $json->encode([$_]), 'timeout',
                { model => 'one', prompt => 'x', timeout => $_ }] }
             0, -1, '5', [], $false),
         map({ ["clean is " . $json->encode([$_]), 'clean',
                { model => 'one', prompt => 'x', clean => $_ }] }
             0, 'true', []),
         ['100,000 args', 'args', { model => 'one', prompt => 'x',
                                    args => [('-a') x 100_000] }],
         ['33 args', 'args', { model => 'one', prompt => 'x',
                               args => [('-a') x 33] }]) {
        my ($name, $param, $body) = @$_;
        error_is(post($body), "400 $param", $name);
    }
    for my $body ('', '[]', '5', '"x"', '{"model":"one","prompt":"a\u0000b"}',
                  "{\"model\":\"one\",\"prompt\":\"a\0b\"}",
                  "{\"model\":\"one\",\"prompt\":\"\xff\"}",
                  '{"model":"one","prompt":"x","args":["-a\u0000"]}',
                  '{"model":"one","prompt":"x","timeout":1e999}',
                  '[' x 100_000) {
        my $r = post($body);
        is($r->{status}, 400, 'not ' . substr $body, 0, 60)
            or diag $r->{body};
        ok($r->{json}{error}{message}, 'it says why');
    }
};

# --- arguments ------------------------------------------------------------

sub args_are {
    my ($args, $want, %o) = @_;
    my $r = run('[[args]]', args => $args, %o);
    answer_is($r, { output => "args <--first>$want;" },
              'args ' . $json->encode($args // []));
}

subtest 'what is allowed is given to the program' => sub {
    args_are($null, '');
    args_are([], '');
    args_are(['--verbose'], ' <--verbose>');
    args_are(['--effort', 'high', '--verbose'],
             ' <--effort> <high> <--verbose>');
    args_are(['--verbose', '--effort', 'high', '--verbose'],
             ' <--verbose> <--effort> <high> <--verbose>');
    args_are([qw(-a -b -c)], ' <-a> <-b> <-c>');
    args_are([qw(-a -b -b -c -a)], ' <-a> <-b> <-b> <-c> <-a>');
    args_are(['two words', ''], ' <two words> <>');
    args_are([('-a') x 32], ' <-a>' x 32);
};

subtest 'and nothing else' => sub {
    for (['--evil', '--evil'], ['--verbose', '--evil', '--evil'],
         ['--effort', 'low', 'low'], ['high', 'high'],
         ['--verbose --effort', '--verbose --effort'], ['--Verbose',
         '--Verbose'], ['--verbose ', '--verbose '], ['--first', '--first'],
         ['-b', '-a', '-a'], ['', ''], ['--verbose', '', ''],
         ["\x{1F600}" x 1000, "\x{1F600}" x 20]) {
        my ($word, @args) = (pop @$_, @$_);
        my $r = run('[[args]]', args => \@args);
        error_is($r, '400 args', $json->encode(\@args));
        like($r->{json}{error}{message}, qr/'\Q$word\E/, 'it names the word');
    }
    my $r = run('x', args => ['--effort']);
    error_is($r, '400 args', 'half of what is allowed');
    like($r->{json}{error}{message}, qr/such an end/, 'it says so');
    error_is(post({ model => 'echo', prompt => 'x', args => ['-n'] }),
             '400 args', 'a backend without any');
};

subtest 'of a persistent program' => sub {
    my $args = [qw(--slow-start 1)];
    my $of = sub {
        return post({ model => 'lines', prompt => '[[args]]', @_ })
            ->{json}{output};
    };
    is($of->(), 'args;', 'one that stood ready has none');
    is($of->(args => $args), 'args <--slow-start> <1>;', 'its own process');
    is($of->(), 'args;', 'which serves nobody else');
    my $r = post({ model => 'lines', prompt => 'x', clean => $false,
                   args => ['--no-such-option'] });
    is($r->{json}{returncode}, 2, 'one that does not like them');
    like($r->{json}{stderr}, qr/^Unknown option: no-such-option/, 'says so');
};

subtest 'of a CLI that is warm and keeps conversations' => sub {
    my $health = rested($s, 'fake');
    my @before = sort $s->marked;
    my $ask = sub {
        return post({ model => 'fake', prompt => '[[args]]', @_ });
    };
    like($ask->(args => ['--allowed'])->{json}{output},
         qr/ <--allowed>;\z/, 'its arguments come after all others');
    my $now = rested($s, 'fake');
    is($now->{starts}, $health->{starts} + 1, 'from a process of its own');
    is_deeply([@$now{qw(idle parked)}], [1, 0], 'which does not stay');
    $s->wait_for(sub { $s->marked == @before }, 'the end of its process');
    is_deeply([sort $s->marked], \@before, 'what was warm still is');
    unlike($ask->()->{json}{output}, qr/--allowed/, 'and serves without them');

    my $r = $ask->(args => ['--die']);
    error_is($r, '502 cli_failed', 'one that cannot start with them');
    like($r->{json}{error}{message}, qr/died at start/, 'tells why');
    like($ask->()->{json}{output}, qr/^args /, 'others do not notice');
    isnt($s->backend_health('fake')->{status}, 'failing',
         'nor does who looks after it');
};

# Processes that serve one turn.
sub at_work {
    return grep { CLB::Server::cmdline($_) =~ /fake-oneshot/ } $s->marked;
}

# --- time -----------------------------------------------------------------

subtest 'a timeout' => sub {
    for my $args ([], ['--verbose']) {
        my $begin = time;
        my $r = run('[[ignoreterm]][[say:x]][[hang]]', args => $args,
                    timeout => 0.5);
        error_is($r, '504 timeout', 'it took too long');
        cmp_ok(time - $begin, '>=', 0.5, 'not too early');
        ok($s->wait_for(sub { !at_work() }, 'its end'), 'the process is gone');
    }
    answer_is(run('[[say:x]]', timeout => $_), { output => 'x' },
              "timeout $_") for 5, 7.5, 1e300;
    answer_is(run('[[say:x]]', timeout => $null), { output => 'x' }, 'null');
    error_is(run('[[hang]]', timeout => 1e9, -path => '/ai/run'),
             '504 timeout', 'not longer than the server allows');
};

subtest 'a client that leaves' => sub {
    my $c = $s->client;
    $c->send_request('POST', '/run', { model => 'one', args => ['--verbose'],
                     prompt => '[[say:x]][[hang]]' }, key => 'key-run');
    ok($s->wait_for(sub { at_work() }, 'the process'), 'it runs');
    $c->cut;
    ok($s->wait_for(sub { !at_work() }, 'its end'), 'its process ends');
};

subtest 'the log' => sub {
    run('[[say:x]]');
    run('[[exit:3]]');
    my $log = CLB::Server::slurp($s->path('logs/own.log'));
    like($log, qr{^/run run 200 one one -$}m, 'an answer');
    like($log, qr{^/run run 200 one one cli_failed$}m, 'a status');
    like($log, qr{^/run run 504 one one timeout_turn$}m, 'a timeout');
    like($log, qr{^/run - 401 - - auth_missing$}m, 'a refusal');
};

$s->idle_ok;
$s->stop;

# --- no room, and a client that does not wait ------------------------------

$s = CLB::Server->start(config => <<"EOT"
CLIBridgeKeyFile $keys
CLIBridgeRun On
CLIBridgeProcesses 1
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram \@BIN\@/fake-lines
    CLIBridgeWarm persistent max=1
    CLIBridgeRunArg --slow-start 1
    \@MARK\@
</CLIBridgeBackend>
EOT
    . fake_claude('late', 'CLIBridgeEnv FAKE_CLAUDE late:1000',
                  'CLIBridgeWarm none', 'CLIBridgeRunArg --allowed'));

subtest 'a warm process makes room' => sub {
    $s->wait_for(sub { $s->backend_health('lines')->{idle} },
                 'a warm process');
    for my $args ([qw(--slow-start 1)], [], [qw(--slow-start 1)]) {
        is(post({ model => 'lines', prompt => '[[say:x]]', args => $args })
           ->{json}{output}, 'x', $json->encode($args));
    }
};

subtest 'a client that leaves before the start is over' => sub {
    my $c = $s->client;
    $c->send_request('POST', '/run', { model => 'late', prompt => 'x',
                     args => ['--allowed'] }, key => 'key-run');
    my ($pid) = @{ $s->wait_for(sub {
        my @late = grep { CLB::Server::cmdline($_) =~ /--allowed/ } $s->marked;
        return @late && \@late;
    }, 'the process') || [] };
    $c->cut;
    ok($s->wait_for(sub { !kill 0, $pid }, 'its end'),
       'nobody else gets the process');
};
$s->idle_ok;
$s->stop;

# --- nobody's -------------------------------------------------------------

$s = CLB::Server->start(config => <<"EOT" . $backends);
<LocationMatch "^(/run|/any)">
    CLIBridgeRun On
</LocationMatch>
<Location /any>
    SetHandler clibridge
    CLIBridgeAnonymous on
</Location>
EOT
my $body = { model => 'one', prompt => 'x' };
error_is($s->post($_, $body), $none, "nobody runs at $_") for '/run',
    '/any/run';
error_is($s->post('/run', $body, key => 'sk-any'), $wrong,
         'a key is not one where none exists');
error_is($s->post('/v1/run', $body), '404 not_found', 'off at /v1/run');
is($s->chat('[[say:x]]', model => 'one')->{text}, 'x', 'who may chat anyhow');
$s->stop;

# --- as README has it -----------------------------------------------------

$s = CLB::Server->start(config => "CLIBridgeKeyFile $keys\n"
    . block('Direct runs', '/usr/local/bin/claude' => "\@BIN\@/fake-claude\n"
            . "CLIBridgeUntested warn\n\@MARK\@"));
my $curl = block('A request with it', '8030' => $s->port, 'Hello!' => '[[args]]');
my $answer = $json->decode(readpipe("KEY=key-run; $curl"));
like(delete $answer->{output}, qr/ <--effort> <high>;\z/, 'README is right');
is_deeply($answer, { stdout => $null, stderr => $null, returncode => 0 },
          'in all it says');
$s->stop;

# --- off ------------------------------------------------------------------

$s = CLB::Server->start(config => <<"EOT" . $backends);
CLIBridgeKeyFile $keys
<Location /ai>
    SetHandler clibridge
</Location>
EOT
error_is(post($body, path => $_), '404 not_found', "off: POST $_")
    for '/run', '/run/', '/v1/run', '/ai/run';
error_is($s->post('/run', $body), '404 not_found', 'whoever asks');
$s->put('htdocs/run', 'mine');
is($s->get('/run')->{body}, 'mine', 'then it is whoever has it');
$s->stop;

done_testing;
