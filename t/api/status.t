# GET /v1/auth/status: how each CLI stands, who may see it, and that what it
# says to type mends what it says is wrong.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

# What CLIs get of the server's environment, beside what is configured.
delete @ENV{ grep { /_PROXY$|^NODE_EXTRA_CA|^SSL_CERT/i } keys %ENV };

my $root = $> == 0;
my $top  = File::Temp->newdir;
chmod 0755, $top;
my $json  = JSON::PP->new->utf8->canonical;
my $known = CLB::Server::slurp(
    "$FindBin::Bin/../data/claude/canary-2.1.329.json");

sub put {
    my ($name, $text, $mode) = @_;
    open my $file, '>', "$top/new" or die "$top/new: $!\n";
    print $file $text;
    close $file or die "$top/new: $!\n";
    chmod $mode // 0644, "$top/new";
    rename "$top/new", "$top/$name" or die "$top/$name: $!\n";
    return "$top/$name";
}

sub directory {
    mkdir "$top/$_" or die "$top/$_: $!\n" for @_;
}

my @ask = (POST => '/v1/messages?beta=true');
my $asks = put('asks', $json->encode([@ask, $known]) . "\n");
my $odd  = put('odd', $json->encode([@ask, '{"tools":[{"name":"Bash"}]}'])
                      . "\n");

# A program that is logged in when its HOME has a file "login", as `auth login`
# makes one; what that was told stands in it.
sub program {
    my ($asks) = @_;
    return <<"EOT";
#!/bin/sh
if [ "\$1" = auth ]; then
    { id -un; echo "\$*"; pwd; env | sort; } >"\$HOME/login"
    exit
fi
export FAKE_CLAUDE_ASKS="$asks" FAKE_CLAUDE_SAYS="\$HOME/says"
if [ -e "\$HOME/login" ]; then
    echo '{"models":[{"value":"in"}],"account":{"apiProvider":"x"}}'
else
    echo '{"models":[],"account":{"tokenSource":"none"}}'
fi >"\$HOME/says.\$\$"
mv "\$HOME/says.\$\$" "\$HOME/says"
exec $FindBin::Bin/../bin/fake-claude "\$@"
EOT
}

# npm as far as we use it: it puts a program where the real one would.
directory('path', map({ ($_, "$_/bin") } qw(gone odd-one odd-two)));
put('good', program($asks), 0755);
put("$_/bin/claude", program($odd), 0755) for qw(odd-one odd-two);
put('login-program', program($asks), 0755);
put('path/npm', <<"EOT", 0755);
#!/bin/sh
echo "\$*" >>$top/npm
while [ \$# -gt 1 ]; do
    [ "\$1" != --prefix ] || prefix=\$2
    shift
done
[ ! -e "\$prefix/bin/claude" ] || rm "\$prefix/bin/claude"
cp $top/good "\$prefix/bin/claude"
EOT

# --- servers --------------------------------------------------------------

my $s;

sub backend {
    my ($name, $program, @lines) = @_;
    return join "\n", "<CLIBridgeBackend $name>", "CLIBridgeDriver claude",
        "CLIBridgeProgram \"$top/$program\"", "CLIBridgeModels $name in",
        'CLIBridgeWarm none', '@MARK@', @lines, "</CLIBridgeBackend>\n";
}

sub command {
    my ($name, @lines) = @_;
    return join "\n", "<CLIBridgeBackend $name>", 'CLIBridgeDriver command',
        'CLIBridgeProgram @BIN@/fake-oneshot', '@MARK@', @lines,
        "</CLIBridgeBackend>\n";
}

sub status { $s->get('/v1/auth/status', @_)->{json} }

sub of {
    my ($name) = @_;
    my ($backend) = grep { $_->{name} eq $name }
                    @{ (status() || {})->{backends} || [] };
    return $backend;
}

# One test: a backend comes to stand so. Returns it.
sub stands {
    my ($name, $state, $message, $what, $timeout) = @_;
    my $backend;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        $backend = of($name) or return;
        $backend->{state} eq $state
            && ($backend->{message} // '') =~ $message;
    }, $timeout), $what // "$name: $state"
        or diag explain($backend), join "\n", $s->tail;
    return $backend;
}

# What a person does with a line that was printed. (exit status, output)
sub paste {
    my ($line, @as) = @_;
    local $ENV{PATH} = "$top/path:$ENV{PATH}";
    local $ENV{SECRET} = 'of the caller';
    local $ENV{TERM} = 'vt100';
    open my $pipe, '-|', @as, 'sh', '-c', "exec 2>&1 </dev/null; $line"
        or die "sh: $!";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($? >> 8, $output);
}

sub mends {
    my ($backend, @as) = @_;
    my ($code, $output) = paste($backend->{mend}, @as);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $code, 0, "$backend->{name}: what it says can be pasted"
        or diag "$backend->{mend}\n$output";
    my ($logged) = $s->log =~ /:warn\] .*\ backend\ \Q$backend->{name}\E
                               \ \(\w+\):\ .*;\ type:\ (.*)$/mx;
    is $logged, $backend->{mend}, 'and stands in the log';
}

# --- all states beside each other -----------------------------------------

my @user = $root ? 'nobody' : scalar getpwuid $>;
$s = CLB::Server->start(config => join "\n",
    command('well'),
    backend('gone', 'gone/bin/claude'),
    backend('elsewhere', 'gone/my claude'),
    command('nowhere', "CLIBridgeProgram $top/nowhere"),
    backend('odd', 'odd-one/bin/claude'),
    backend('used', 'odd-two/bin/claude', 'CLIBridgeUntested warn',
            'CLIBridgeHome @ROOT@/state'),
    backend('out', 'login-program',
            'CLIBridgeEnv CLAUDE_CONFIG_DIR "a $(dir)"',
            'CLIBridgeEnv HTTPS_PROXY http://proxy.example:8080',
            'CLIBridgeEnv HTTP_PROXY http://me:hidden-1@proxy.example',
            'CLIBridgeEnv MY_KEY hidden-2'),
    backend('two', 'login-program', '<CLIBridgeAccount first>',
            '</CLIBridgeAccount>', '<CLIBridgeAccount second>',
            '</CLIBridgeAccount>'),
    backend('keyless', 'login-program', 'CLIBridgeEnvFile KEY /dev/null'),
    backend('hangs', 'login-program', 'CLIBridgeEnv FAKE_CLAUDE endless'),
    backend('dies', 'login-program', 'CLIBridgeEnv FAKE_CLAUDE die'),
    command('off', 'CLIBridgeSlots 0'));

my $out = stands('out', 'login', qr/^it is not logged in$/);
my %at = map { $_->{name} => $_ } (
    $out,
    stands('well', 'ok', qr/^$/),
    stands('gone', 'missing',
           qr{^\Q$top\E/gone/bin/claude cannot be started: No such file}),
    stands('elsewhere', 'missing', qr{/gone/my claude cannot be started}),
    stands('nowhere', 'missing', qr{/nowhere cannot be started}),
    stands('odd', 'untrusted', qr/^odd failed its test, so this server does/),
    stands('used', 'login', qr/^it is not logged in/),
    stands('two', 'login', qr/^it is not logged in/),
    stands('keyless', 'login', qr/lacks a variable .* CLIBridgeEnvFile/),
    stands('hangs', 'testing', qr/^$/),
    stands('dies', 'failing', qr/dies ended before it was ready.*died at start\z/),
    stands('off', 'off', qr/^CLIBridgeSlots is 0$/));

is_deeply $at{well}, {
    name => 'well', driver => 'command', program => $s->expand(
        '@BIN@/fake-oneshot'), state => 'ok', message => undef, mend => undef,
    accounts => [ { name => 'default', state => 'ok', message => undef,
                    home => $s->path('state/home/well-default'),
                    mend => undef } ],
}, 'all that is said of a backend';
is_deeply status()->{server_info},
    { api_key_required => JSON::PP::false, version => '0.1' },
    'and of the server';
is_deeply [map { $_->{name} } @{ status()->{backends} }],
    [qw(well gone elsewhere nowhere odd used out two keyless hangs dies off
        echo)], 'the backends as configured';
is_deeply [map { [@$_{qw(name state home)}] } @{ $at{two}{accounts} }],
    [map { [$_, 'login', $s->path("state/home/two-$_")] } qw(first second)],
    'each account';
is $at{two}{mend}, $at{two}{accounts}[0]{mend}, 'the first one is to be mended';
is $at{$_}{mend}, undef, "$_: nothing to type"
    for qw(nowhere keyless hangs dies off);

is $s->chat('[[say:x]]', model => 'well')->{text}, 'x',
    'what is bad hides no other';
my %listed = map { $_->{id} => 1 } @{ $s->get('/v1/models')->{json}{data} };
ok $listed{$_}, "$_ is in the list of models" for qw(well echo odd out);
is $s->chat('x', model => 'odd')->{json}{error}{code}, 'cli_untrusted',
    'the untrusted one says so';
is $s->chat('x', model => 'gone')->{json}{error}{code}, 'cli_missing',
    'the missing one, too';
is $s->chat('[[say:x]]', model => 'out')->{text}, 'x',
    'and who says that there is no login may be wrong';

# --- what is to be typed --------------------------------------------------

is $at{elsewhere}{mend}, "npm install -g --prefix /usr/local "
    . "\@anthropic-ai/claude-code && ln -sf /usr/local/bin/claude "
    . "'$top/gone/my claude'", 'a program in a place that npm does not use';

subtest 'a program that is missing' => sub {
    is $at{gone}{mend}, "npm install -g --prefix $top/gone"
        . ' @anthropic-ai/claude-code', 'it is installed';
    mends($at{gone});
    stands('gone', 'login', qr/not logged in/, 'then it has no login');
};

subtest 'a program that is not known' => sub {
    is $at{odd}{mend}, "npm install -g --force --prefix $top/odd-one"
        . ' @anthropic-ai/claude-code@2.1.329', 'a known one is installed';
    mends($at{odd});
    stands('odd', 'login', qr/not logged in/, 'then it is trusted');
};

subtest 'a CLI that is not logged in' => sub {
    my ($status, $home) = ($s->get('/v1/auth/status')->{body},
                           $out->{accounts}[0]{home});
    mends($out);
    my ($who, $what, $cwd, @env) = split /\n/,
        CLB::Server::slurp("$home/login");
    is $who, $user[0], 'it logs in as who runs it';
    is $what, 'auth login', 'by its own command';
    is $cwd, '/', 'from where everybody may be';
    is join("\n", grep { !/^(?:PWD|OLDPWD|SHLVL|_)=/ } @env), join("\n",
        'CLAUDE_CONFIG_DIR=a $(dir)', "HOME=$home",
        'HTTPS_PROXY=http://proxy.example:8080', 'LC_ALL=C.UTF-8',
        "PATH=$top:/usr/local/bin:/usr/bin:/bin", 'TERM=vt100'),
        'with no more than it needs';
    unlike $status, qr/hidden-\d/, 'no secret is told';
    unlike $s->log, qr/hidden-\d/, 'nor logged';
};

subtest 'as the user who runs it' => sub {
    my ($code, $output) = paste($at{two}{mend}, $root
        ? qw(setpriv --reuid=nobody --regid=nogroup --clear-groups) : ());
    is $code, 0, 'the same can be pasted' or diag $output;
    is((split /\n/, CLB::Server::slurp("$at{two}{accounts}[0]{home}/login"))[0],
       $user[0], 'to the same end');
};

# --- who may see it -------------------------------------------------------

my $first = $s;
my %key = (chat => 'chat-secret-1', admin => 'admin-secret-2');
my $file = File::Temp->new;
print $file map { "$_:" . sha256_hex($key{$_}) . ":$_\n" } sort keys %key;
close $file;
chmod 0644, "$file";

$s = CLB::Server->start(modules => ['remoteip'], config => <<"EOT");
RemoteIPHeader X-Test-IP
RemoteIPInternalProxy 127.0.0.1
CLIBridgeKeyFile $file
<Location /open>
    SetHandler clibridge
    CLIBridgeAnonymous on
</Location>
EOT
my %remote = (headers => { 'X-Test-IP' => '192.0.2.7' });

sub code {
    my ($path, @how) = @_;
    my $r = $s->get($path, @how);
    return join ' ', $r->{status}, $r->{json}{error}{code} // ();
}

my $path = '/v1/auth/status';
is code($_), 200, "this machine, $_"
    for $path, "$path/", '//v1//auth/status', '/open/v1/auth/status',
        '/open/auth/status';
is code($path, key => $key{chat}), 200, 'this machine with a key';
is code($path, %remote), '401 missing_api_key', 'others without a key';
is code('/open/v1/auth/status', %remote), '401 missing_api_key',
    'also where they may chat without one';
is code($path, %remote, key => 'nonsense'), '401 invalid_api_key',
    'with a wrong one';
is code($path, %remote, key => $key{chat}), '403 insufficient_permissions',
    'with one for chat';
is code($path, %remote, key => $key{admin}), 200, 'with an admin\'s';
is code($path, headers => { $_ => '192.0.2.7' }), '401 missing_api_key', $_
    for 'Forwarded', 'X-Forwarded-For', 'Via';
is code('/auth/status'), '404', 'not at the root';
ok status()->{server_info}{api_key_required}, 'a key is needed here';
ok !$s->get('/open/v1/auth/status')->{json}{server_info}{api_key_required},
    'and not there';
my $r = $s->post($path, {});
is_deeply [$r->{status}, $r->{headers}{allow}], [405, 'GET, HEAD, OPTIONS'],
    'POST';
$r = $s->get($path);
is_deeply [@{ $r->{headers} }{qw(content-type cache-control)}],
    ['application/json', 'no-store'], 'headers';
$r = $s->request('HEAD', $path);
is_deeply [@$r{qw(status body)}], [200, ''], 'HEAD';
$s->stop;

# --- it is noticed --------------------------------------------------------

# Within a minute, without a word to the server.
$s = $first;
stands('out', 'ok', qr/^$/, 'a login is noticed', 80);
$s->wait_log(qr/backend two \(first\): says that it is logged in/, 80);
my $two = stands('two', 'ok', qr/^$/, 'one of two logins is enough');
is_deeply [map { $_->{state} } @{ $two->{accounts} }], [qw(ok login)],
    'though the other is missing';
paste(of('used')->{mend});
$s->graceful;
stands('used', 'ok', qr/failed its test and is used all the same/,
       'a reload notices it at once');
$s->wait_for(sub {
    grep { $_->{id} eq 'in' } @{ $s->get('/v1/models')->{json}{data} };
}, 'what it has with a login');
ok unlink("$top/login-program"), 'a program goes away';
stands('out', 'missing', qr/No such file/, 'which is noticed');

# A turn knows better than the CLI.
put('login-program', program($asks), 0755);
stands('out', 'ok', qr/^$/, 'and that it is back');
is $s->chat('[[error:401]]', model => 'out')->{json}{error}{code},
    'login_required', 'a turn that is refused';
stands('out', 'login', qr/^the login it has was refused$/, 'is noticed');
is $s->chat('[[say:x]]', model => 'out')->{text}, 'x', 'a turn that works';
stands('out', 'ok', qr/^$/, 'is, too');
is $s->chat('[[exit:77]]', model => 'well')->{json}{error}{code},
    'login_required', 'a program that says so by its status';
is stands('well', 'login', qr/^the login it has was refused$/)->{mend}, undef,
    'of which nobody knows what to type';
$s->idle_ok;
$s->stop;

done_testing;
