# The test of a program before it serves, with the real Claude Code: what it
# sends to the test's stub is what is known of its version, with a login of its
# own in its home, and nothing of that login. t/proc/canary.t has all that
# scripted programs can show.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp qw(tempdir);
use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone cli);
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

my @more = ('--append-system-prompt', 'needle-more');

# --- programs and their homes ---------------------------------------------

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
);

my ($uid, $gid) = $> ? ($>, $) + 0) : (getpwnam 'nobody')[2, 3];

sub home {
    my $home = "$top/home-$_[0]";
    mkdir $_ for $home, "$home/.claude";
    chown $uid, $gid, $home, "$home/.claude",
        map { put("$home/$_", $login{$_}) } keys %login;
    return $home;
}

my @env = map { "CLIBridgeEnv $_" } 'CLAUDE_CODE_OAUTH_TOKEN needle-token',
    'ANTHROPIC_AUTH_TOKEN needle-auth',
    '"ANTHROPIC_CUSTOM_HEADERS" "x-own: needle-own"';

my %version = (claude => '2.1.197', 'claude-newest' => '2.1.329');

sub backend {
    my ($name, $program, @lines) = @_;
    return $m->config(name => $name, models => $name, program => $program,
                      key => 'sk-ant-needle-key', more => join "\n", @lines);
}

my $s = CLB::Server->start(config => join "\n",
    map {
        my $cli = cli($_);
        my $args = "CLIBridgeArg @more";
        (backend($_, program($_, $cli), 'CLIBridgeHome ' . home($_), @env),
         backend("$_-more", $cli, $args, 'CLIBridgeWarm none'),
         backend("$_-warn", $cli, $args, 'CLIBridgeWarm none',
                 'CLIBridgeUntested warn'));
    } sort keys %version);

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
    for my $name (sort keys %version) {
        test_is $name, 'passed';
        $s->wait_log(qr/backend $name \(.*\): .* behaves as \Q$version{$name}/);
        test_is "$name-more", 'failed';
        test_is "$name-warn", 'failed';
        # with an addition the program introduces itself by another name
        my $where = qr/unlike \Q$version{$name}\E, system\[1\]\.text: /;
        like $s->log, qr/:error\].*backend $name-more .* not used .*$where/,
            "$name: the log says what is too much";
        like $s->log, qr/:warn\].*backend $name-warn .* all the same .*$where/,
            "$name: also where it serves";
    }
};

subtest 'a test is between the program and us' => sub {
    my @tests = grep { $_->{to} ne $m->url } $tap->heard;
    is scalar(grep { $_->{method} eq 'POST' } @tests), 2,
        'one request of each program';
    is scalar $m->requests, 1, 'none to the model but of the turn that ran';
    unlike $json->encode(\@tests), qr/needle/,
        'no login, key or token of the account is used';
    is_deeply [ map { $_->{headers} =~ /^x-api-key: *(\S+)/mi }
                grep { $_->{method} eq 'POST' } @tests ],
        [ ('sk-ant-canary') x 2 ], 'but the key of the test';
    for my $name (sort keys %version) {
        my $home = "$top/home-$name";
        is CLB::Server::slurp("$home/.claude/.credentials.json"),
            $login{'.claude/.credentials.json'}, "$name: its login is kept";
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
    for my $name (sort keys %version) {
        is $s->chat('[[say:hi]]', model => $name)->{text}, 'hi',
            "$name: who passed serves";
        is $m->last->{headers}{'x-own'}, 'needle-own',
            "$name: with its own variables";
        answer_is $s->chat('x', model => "$name-more"), 503, 'cli_untrusted',
            "$name: who failed does not";
        my $r = $s->chat('[[say:hi]]', model => "$name-warn");
        is $r->{text}, 'hi', "$name: unless it may";
        like $json->encode($m->last->{body}{system}), qr/needle-more/,
            "$name: as it is";
    }
};

# --- a program that is replaced -------------------------------------------

# The processes of the program that may be replaced.
sub of {
    my $home = "$top/home-$_[0]";
    return grep { CLB::Server::slurp("/proc/$_/environ")
                  =~ /\0HOME=\Q$home\E\0/ } $s->marked;
}

subtest 'a program that is replaced' => sub {
    my $name = 'claude-newest';
    my @said = ({ role => 'user', content => '[[say:one]]' });
    my $r = $s->chat(\@said, model => $name);
    is $r->{text}, 'one', 'it serves';
    $s->wait_for(sub { $s->backend_health($name)->{parked} }, 'parking');
    my @old = of($name);

    my $running = $s->stream('[[stream:60:100]]', model => $name,
                             -until => sub { $_[1]{text} ne '' });
    program($name, cli($name), @more);
    test_is $name, 'failed';
    my $health;
    ok $s->wait_for(sub {
        $health = $s->backend_health($name);
        !$health->{parked} && !$health->{idle};
    }, 'the end of the old'), 'nothing waits or stands ready'
        or diag explain $health;
    push @said, { role => 'assistant', content => 'one' },
                { role => 'user',      content => '[[say:two]]' };
    answer_is $s->chat(\@said, model => $name), 503, 'cli_untrusted',
        'no next turn';
    my $text = $running->{text};
    while (my $event = $running->{client}->read_event) {
        $text .= $event->{json}{choices}[0]{delta}{content} // ''
            if $event->{json};
    }
    is $text, join(' ', map { "tok$_" } 1 .. 60), 'the turn that ran ends well';

    program($name, cli($name));
    test_is $name, 'passed';
    is $s->chat(\@said, model => $name)->{text}, 'two',
        'with the good one the conversation goes on';
    ok $s->wait_for(sub { !kill 0, @old }, 'their end'),
        'nothing is left of the first';
};

all_gone($s);
$s->idle_ok;
$s->stop;
done_testing;
