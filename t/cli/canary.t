# The test of a program before it serves, with the real CLIs: what they send to
# the test's stub is what is known of a version, with a login of their own in
# their home, and nothing of that login. t/proc/canary.t has all that scripted
# programs can show.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp qw(tempdir);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use Test::More;

use CLB::Model qw(all_gone cli system_of);
use CLB::Server;
use CLB::Tap;

my $json = JSON::PP->new->utf8->canonical;
my $top  = tempdir(CLEANUP => 1);
chmod 0755, $top;

my $m   = CLB::Model->start;
my $tap = CLB::Tap->start;

sub put {
    my ($name, $text) = @_;
    open my $file, '>', $name or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
    return $name;
}

# Puts a program in the place of the one there was.
sub program {
    my ($name, @wrapped) = @_;
    put("$top/$name.new", $tap->wrapper(@wrapped));
    chmod 0755, "$top/$name.new";
    rename "$top/$name.new", "$top/$name" or die "$name: $!\n";
    return "$top/$name";
}

# Each version and the one it is known as.
my %version = (claude => '2.1.197', 'claude-newest' => '2.1.329',
               codex  => '0.169.0', 'codex-newest'  => '0.169.0');
my @names   = sort keys %version;

sub driver_of { $_[0] =~ s/-.*//r }

# An addition, where its test finds it, and a header with which it serves.
my %of = (
    claude => {
        more  => [ '--append-system-prompt', 'needle-more' ],
        # with an addition the program introduces itself by another name
        where => qr/system\[1\]\.text: /,
        has   => [ 'x-own' => 'needle-own' ],
    },
    codex => {
        more  => [ '-c', 'developer_instructions=needle-more' ],
        where => qr/input/,
        has   => [ authorization => 'Bearer sk-ant-needle-key' ],
    },
);

sub more_of { @{ $of{ driver_of($_[0]) }{more} } }

# --- programs and their homes ---------------------------------------------

# A token as it would come from a vendor, which can be read, but not checked.
sub token {
    return join '.', map({ encode_base64url($json->encode($_)) }
        { alg => 'RS256', typ => 'JWT' }, {
            email => 'needle@x.org', exp => time + 86400,
            'https://api.openai.com/auth' => {
                chatgpt_plan_type => 'pro', chatgpt_user_id => 'needle-user',
                chatgpt_account_id => 'needle-account' } }), "needle-$_[0]";
}

my %login = (
    '.claude.json' => $json->encode({
        hasCompletedOnboarding => JSON::PP::true,
        primaryApiKey => 'sk-ant-needle-primary',
        oauthAccount => {
            accountUuid  => 'needle-account', emailAddress => 'needle@x.org',
            displayName  => 'needle-name', organizationUuid => 'needle-org',
            organizationName => 'needle-organization' } }),
    '.claude/.credentials.json' => $json->encode({ claudeAiOauth => {
        accessToken  => 'sk-ant-oat01-needle', scopes => ['user:inference'],
        refreshToken => 'sk-ant-ort01-needle', subscriptionType => 'max',
        expiresAt    => 1000 * (time + 86400) } }),
    '.codex/auth.json' => $json->encode({
        auth_mode => 'chatgpt', last_refresh => '2026-01-01T00:00:00Z',
        tokens => { account_id => 'needle-account',
                    refresh_token => 'needle-refresh',
                    map { ("${_}_token" => token($_)) } qw(id access) } }),
);

my ($uid, $gid) = $> ? ($>, $) + 0) : (getpwnam 'nobody')[2, 3];

sub home {
    my $home = "$top/home-$_[0]";
    my @dirs = ($home, "$home/.claude", "$home/.codex");
    mkdir $_ for @dirs;
    chown $uid, $gid, @dirs,
        map { put("$home/$_", $login{$_}) } keys %login;
    return $home;
}

my @env = map { "CLIBridgeEnv $_" } 'CLAUDE_CODE_OAUTH_TOKEN needle-token',
    'ANTHROPIC_AUTH_TOKEN needle-auth', 'CODEX_API_KEY needle-codex',
    'OPENAI_ORGANIZATION needle-org',
    '"ANTHROPIC_CUSTOM_HEADERS" "x-own: needle-own"';

sub backend {
    my ($name, $program, @lines) = @_;
    return $m->config(driver => driver_of($name), name => $name,
                      models => $name, program => $program,
                      key => 'sk-ant-needle-key', more => join "\n", @lines);
}

# Arguments that bring back what ours switch off, and what of it is seen.
my %back = (
    'codex-web'   => [ '-c web_search=live', 'web_search' ],
    'codex-mcp'   => [ '-c mcp_servers.evil.command=/bin/true',
                       'list_mcp_resources' ],
    'codex-code'  => [ '--enable code_mode', 'JavaScript' ],
    'codex-where' => [ '-c include_environment_context=true', 'input' ],
);

# Tools for one model, by a list of models.
my $models = put("$top/models.json", $json->encode({ models => [ {
    slug => 'codex-models', display_name => '', priority => 1,
    supported_reasoning_levels => [], shell_type => 'default',
    visibility => 'list', supported_in_api => JSON::PP::true,
    support_verbosity => JSON::PP::false, base_instructions => 'needle-base',
    truncation_policy => { mode => 'tokens', limit => 100000 },
    experimental_supported_tools => [], apply_patch_tool_type => 'freeform',
} ] }));

my $s = CLB::Server->start(config => join "\n",
    backend('codex-models', cli('codex-newest'), 'CLIBridgeWarm none',
            "CLIBridgeArg -c model_catalog_json=$models"),
    map({ backend($_, cli('codex-newest'), 'CLIBridgeWarm none',
                  "CLIBridgeArg $back{$_}[0]") } sort keys %back),
    map {
        my $cli = cli($_);
        my $args = join ' ', 'CLIBridgeArg', more_of($_);
        (backend($_, program($_, $cli), 'CLIBridgeHome ' . home($_), @env),
         backend("$_-more", $cli, $args, 'CLIBridgeWarm none'),
         backend("$_-warn", $cli, $args, 'CLIBridgeWarm none',
                 'CLIBridgeUntested warn'));
    } @names);

sub test_is {
    my ($backend, $want) = @_;
    my $got = '';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        my $health = $s->backend_health($backend) or return;
        ($got = $health->{test} // 'none') eq $want;
    }, 60), "$backend: $want" or diag "$got\n", join "\n", $s->tail;
}

sub answer_is {
    my ($r, $status, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ $r->{status}, $r->{json} && $r->{json}{error}{code} ],
        [ $status, $code ], $name or diag explain $r;
}

# --- the tests at the start -----------------------------------------------

subtest 'the first turn waits for the test' => sub {
    my $r = $s->chat('[[say:hi]]', model => 'claude', -timeout => 60);
    is $r->{text}, 'hi', 'and is answered';
    is $s->backend_health('claude')->{test}, 'passed', 'by a program that is';
};

subtest 'what the real ones send is known' => sub {
    for my $name (@names) {
        test_is $name, 'passed';
        $s->wait_log(qr/backend $name \(.*\): .* behaves as \Q$version{$name}/);
        test_is "$name-more", 'failed';
        test_is "$name-warn", 'failed';
        my $where = qr/unlike \Q$version{$name}\E, /;
        $where = qr/$where$of{ driver_of($name) }{where}/;
        like $s->log, qr/:error\].*backend $name-more .* not used .*$where/,
            "$name: the log says what is too much";
        like $s->log, qr/:warn\].*backend $name-warn .* all the same .*$where/,
            "$name: also where it serves";
    }
};

subtest 'a test is between the program and us' => sub {
    my @tests = grep { $_->{to} ne $m->url } $tap->heard;
    is scalar(grep { $_->{method} eq 'POST' } @tests), @names,
        'one request of each program';
    is scalar $m->requests, 1, 'none to the model but of the turn that ran';
    unlike $json->encode(\@tests), qr/needle/,
        'no login, key or token of the account is used';
    is_deeply [ sort map { $_->{headers}
                    =~ /^(?:x-api-key|authorization): *(\S.*\S)/mi }
                grep { $_->{method} eq 'POST' } @tests ],
        [ ('Bearer sk-canary') x 2, ('sk-ant-canary') x 2 ],
        'but the key of the test';
    for my $name (@names) {
        my $home = "$top/home-$name";
        for my $file (qw(.claude/.credentials.json .codex/auth.json)) {
            is CLB::Server::slurp("$home/$file"), $login{$file},
                "$name: its login is kept";
        }
        is_deeply $json->decode(CLB::Server::slurp("$home/.claude.json"))
                ->{oauthAccount},
            $json->decode($login{'.claude.json'})->{oauthAccount},
            "$name: so is its account";
        # the process that serves has its lock, now and then
        ok $s->wait_for(sub { !glob "$home/.claude.json.*" }, 'an empty home'),
            "$name: and nothing is left";
    }
};

subtest 'turns' => sub {
    for my $name (@names) {
        is $s->chat('[[say:hi]]', model => $name)->{text}, 'hi',
            "$name: who passed serves";
        my ($header, $value) = @{ $of{ driver_of($name) }{has} };
        is $m->last->{headers}{$header}, $value,
            "$name: with its own variables";
        answer_is $s->chat('x', model => "$name-more"), 503, 'cli_untrusted',
            "$name: who failed does not";
        my $r = $s->chat('[[say:hi]]', model => "$name-warn");
        is $r->{text}, 'hi', "$name: unless it may";
        like $json->encode(system_of($m->last->{body})), qr/needle-more/,
            "$name: as it is";
    }
};

subtest 'what is off stays off' => sub {
    for my $name (sort keys %back) {
        test_is $name, 'failed';
        answer_is $s->chat('x', model => $name), 503, 'cli_untrusted',
            "$name: who brings it back does not serve";
        like $s->log, qr/backend $name .* not used .*$back{$name}[1]/,
            "$name: the log says what it is";
    }
    test_is 'codex-models', 'passed';
    is $s->chat('[[say:hi]]', model => 'codex-models')->{text}, 'hi',
        'another list of models';
    my $body = $m->last->{body};
    is_deeply [ $body->{tools}, system_of($body) ], [ [], [] ],
        'changes nothing';
};

# --- a program that is replaced -------------------------------------------

# The processes of the program that may be replaced.
sub of {
    my $home = "$top/home-$_[0]";
    return grep { CLB::Server::slurp("/proc/$_/environ")
                  =~ /\0HOME=\Q$home\E\0/ } $s->marked;
}

subtest 'a program that is replaced' => sub {
    my @names = qw(claude-newest codex-newest);
    my @said  = ({ role => 'user', content => '[[say:one]]' });
    for my $name (@names) {
        is $s->chat(\@said, model => $name)->{text}, 'one', "$name: it serves";
        $s->wait_for(sub { $s->backend_health($name)->{parked} }, 'parking');
    }
    my @old = map { of($_) } @names;

    my %running = map { $_ => $s->stream('[[stream:60:100]]', model => $_,
        -until => sub { $_[1]{text} ne '' }) } @names;
    program($_, cli($_), more_of($_)) for @names;
    push @said, { role => 'assistant', content => 'one' },
                { role => 'user',      content => '[[say:two]]' };
    for my $name (@names) {
        test_is $name, 'failed';
        my $health;
        ok $s->wait_for(sub {
            $health = $s->backend_health($name);
            !$health->{parked} && !$health->{idle};
        }, 'the end of the old'), "$name: nothing waits or stands ready"
            or diag explain $health;
        answer_is $s->chat(\@said, model => $name), 503, 'cli_untrusted',
            "$name: no next turn";
    }
    for my $name (@names) {
        my $text = $running{$name}{text};
        while (my $event = $running{$name}{client}->read_event) {
            $text .= $event->{json}{choices}[0]{delta}{content} // ''
                if $event->{json};
        }
        is $text, join(' ', map { "tok$_" } 1 .. 60),
            "$name: the turn that ran ends well";
    }

    program($_, cli($_)) for @names;
    for my $name (@names) {
        test_is $name, 'passed';
        is $s->chat(\@said, model => $name)->{text}, 'two',
            "$name: with the good one the conversation goes on";
    }
    ok $s->wait_for(sub { !kill 0, @old }, 'their end'),
        'nothing is left of the first';
};

all_gone($s);
$s->idle_ok;
$s->stop;
done_testing;
