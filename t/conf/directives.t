#!/usr/bin/perl

# Every directive: its good forms pass `httpd -t`, every bad one is refused
# with the directive's name and what to write instead. Never a crash.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

sub backend {
    my ($lines, $name) = @_;
    return sprintf "<CLIBridgeBackend %s>\nCLIBridgeDriver command\n"
        . "CLIBridgeProgram /bin/cat\n%s\n</CLIBridgeBackend>\n",
        $name // 'one', $lines;
}

sub account { backend("<CLIBridgeAccount work>\n$_[0]\n</CLIBridgeAccount>") }
sub host     { "<VirtualHost *:1>\n$_[0]\n</VirtualHost>" }
sub location { "<Location /x>\n$_[0]\n</Location>" }

# The text in one line, for the name of a test.
sub short {
    my ($text) = @_;
    $text =~ s/\s*\n\s*/ | /g;
    return length $text > 70 ? substr($text, 0, 67) . '...' : $text;
}

sub good {
    my ($text, %o) = @_;
    my ($status, $output) = CLB::Server->configtest(config => $text, %o);
    is($status, 0, $o{name} // 'good: ' . short($text)) or diag($output);
    return $output;
}

# The line of the configuration that httpd complains of.
sub line_of {
    my ($output) = @_;
    my ($number, $name) = $output =~ /Syntax error on line (\d+) of (\S+?):/;
    open my $file, '<', $name // return '';
    my @lines = <$file>;
    return $lines[$number - 1];
}

sub bad {
    my ($text, $message, %o) = @_;
    my ($status, $output) = CLB::Server->configtest(config => $text, %o);
    subtest 'bad: ' . ($o{name} // short($text)) => sub {
        is($status, 1, 'refused, not crashed');
        like($output, ref $message ? $message : qr/^\Q$message\E$/m,
             'and told why');
        like(line_of($output), qr/^\Q$o{at}\E/, 'and where') if $o{at};
    };
}

sub number { "write a number from $_[0] to $_[1], not '$_[2]'" }
my $seconds = 'write seconds from 1 to 864000, not';
my $size    = 'write a size such as 32M or 4G, not';

# --- the forms of a value -------------------------------------------------

my %good = (
    CLIBridgeUser         => ['nobody', 'root'],
    CLIBridgeStateDir     => ['@ROOT@/state', 'state'],
    CLIBridgeSlots        => [1, 1024 - 64],
    CLIBridgeQueue        => [0, 64, '64 timeout=1', '64 timeout=864000',
                              1024 - 8],
    CLIBridgeProcesses    => [1, 4096],
    CLIBridgeSockets      => [1, 256, 'off', '16 idle=1', 'off idle=300'],
    CLIBridgeStore        => [1, 1000000, 'Off', 'size=1M', 'days=3650',
                              '100 days=1 size=4G', 'off size=1G'],
    CLIBridgeMemory       => ['off', 'OFF', '1M', '4G', 1048576, '1024G'],
    CLIBridge             => ['On', 'off'],
    CLIBridgeAlias        => ['gpt-4o echo', '"with blank" echo'],
    CLIBridgeDefaultModel => ['echo'],
    CLIBridgeDefaultBackend => ['echo'],
    CLIBridgeTimeout      => ['first=1', 'first=60 idle=90 turn=600 write=30',
                              'turn=864000'],
    CLIBridgeKeepAlive    => [1, 864000],
    CLIBridgeMaxBody      => ['1K', '32M', '32m', 1024, '1024G'],
    CLIBridgeMaxAnswer    => ['1K', '16m', '4G'],
    CLIBridgeAnonymous    => ['off', 'loopback', 'On'],
    CLIBridgeUnsupported  => ['ignore', 'warn', 'Reject'],
    CLIBridgeReasoning    => ['field', 'tags', 'Off'],
    CLIBridgeOrigin       => ['*', 'https://chat.example.org',
                              'http://localhost:3000 https://example.org'],
    CLIBridgeRun          => ['On', 'off'],
);
my %bad = (
    CLIBridgeUser => $> ? {}     # read only by root
        : { 'no-such-user' => "there is no user 'no-such-user'" },
    CLIBridgeSlots => {
        map { $_ => number(1, 1024, $_) } 0, -1, 1025, 'many', '8x', '1.5'
    },
    CLIBridgeQueue => {
        (map { $_ => number(0, 1024, $_) } -1, 1025, 'long'),
        '64 timeout=0'  => "$seconds '0'",
        '64 timeout=1h' => "$seconds '1h'",
        '64 60'         => 'write a number and timeout=60',
        '64 wait=60'    => 'write a number and timeout=60',
    },
    CLIBridgeProcesses => { map { $_ => number(1, 4096, $_) } 0, 4097, 'x' },
    CLIBridgeStore => {
        (map { $_ => number(1, 1000000, $_) } 0, -1, 1000001, 'many'),
        (map { ("100 size=$_" => "$size '$_'") } '1K', '', 'x'),
        (map { ("days=$_" => number(1, 3650, $_)) } 0, 3651, '1h'),
        ''        => 'write a number of answers, or off',
        '100 200' => "write size= or days= after the number, not '200'",
        'size=1M 100' => "write size= or days= after the number, not '100'",
        '100 age=1'   => "write size= or days= after the number, not 'age=1'",
    },
    CLIBridgeSockets => {
        (map { $_ => number(1, 256, $_) } 0, 257, 'many'),
        '16 idle=0' => "$seconds '0'",
        '16 60'     => 'write a number and idle=300',
    },
    CLIBridgeMemory => {
        map { $_ => "$size '$_'" } '1K', '1025G', 'lots', '-1M', 'M', '1MB'
    },
    CLIBridgeKeyFile => {
        'no/such' => qr{cannot read \S+/no/such: No such file},
        'logs'    => qr{cannot read \S+/logs: it is not a file},
    },
    CLIBridgeAlias => {
        'gpt-* echo' => 'write two names without * or ?',
        'gpt-4o e?'  => 'write two names without * or ?',
    },
    CLIBridgeDefaultModel => {
        'claude-*' => "write one model's name without * or ?",
        'nobody'   => "no backend serves 'nobody'; see CLIBridgeModels",
    },
    CLIBridgeDefaultBackend => {
        'nobody' => "there is no backend 'nobody' that has slots",
        'e*'     => "there is no backend 'e*' that has slots",
    },
    CLIBridgeTimeout => {
        'first=0'      => "$seconds '0'",
        'idle=864001'  => "$seconds '864001'",
        'turn='        => "$seconds ''",
        'first=1 x=2'  => 'write first=, idle=, turn= or write= and seconds,'
                          . " not 'x=2'",
        '60'           => 'write first=, idle=, turn= or write= and seconds,'
                          . " not '60'",
    },
    CLIBridgeKeepAlive => { map { $_ => "$seconds '$_'" } 0, '15s', 864001 },
    CLIBridgeMaxBody   => { map { $_ => "$size '$_'" } 0, 1023, '1025G', 'x' },
    CLIBridgeMaxAnswer => { map { $_ => "$size '$_'" } 0, '-1', '16T' },
    CLIBridgeAnonymous =>
        { yes => "write one of off, loopback, on, not 'yes'" },
    CLIBridgeUnsupported =>
        { error => "write one of ignore, warn, reject, not 'error'" },
    CLIBridgeReasoning =>
        { think => "write one of field, tags, off, not 'think'" },
    CLIBridgeOrigin => {
        map { $_ => "write an origin such as https://chat.example.org or *,"
                    . " not '$_'" }
            'chat.example.org', 'https://example.org/', 'null', 'https://'
    },
);

# In a backend.
my %good_there = (
    CLIBridgeDriver  => ['command', 'claude'],
    CLIBridgeProgram => ['/bin/cat', '/no/such/program'],
    CLIBridgeArg     => ['-c', '-c some.setting=1', '"one word"'],
    CLIBridgeRunArg  => ['--verbose', '--effort high', '"two words" ""',
                         join ' ', 1 .. 32],
    CLIBridgeEnv     => ['NAME value', 'NAME "two words"'],
    CLIBridgeEnvFile => ['NAME @ROOT@/httpd.conf', 'NAME httpd.conf'],
    CLIBridgeModels  => ['one', 'claude-* haiku son?et'],
    CLIBridgeHome    => ['/home/alice'],
    CLIBridgeSlots   => [0, 1, 1024],
    CLIBridgeReuse   => ['none', 'lines', 'Lines'],
    CLIBridgeWarm    => ['none', 'Periodic refresh=60', 'persistent max=2',
                         'adaptive min=1 max=4', 'adaptive min=3 max=3',
                         'adaptive max=0', 'periodic min=1024'],
    CLIBridgePark    => ['off', 'Off timeout=60'],
    CLIBridgeUntested => ['warn', 'Refuse'],
    CLIBridgeTools   => ['none'],
);
my %bad_there = (
    CLIBridgeDriver =>
        { gpt => "there is no driver 'gpt'; there are: claude codex gemini "
               . 'qwen acp command' },
    CLIBridgeProgram => {
        'bin/cat' => "write an absolute path, not 'bin/cat'",
        'cat'     => "write an absolute path, not 'cat'",
    },
    CLIBridgeRunArg => {
        map { $_ => 'write 1 to 32 words' } '', join ' ', 1 .. 33
    },
    CLIBridgeEnv => {
        map { $_ => "write a variable's name, then its value, as two words" }
            'NAME=value more', '"NA ME" value'
    },
    CLIBridgeEnvFile => {
        'NAME no/such'         => 'there is no file no/such',
        'NAME=x @ROOT@/httpd.conf' =>
            "write a variable's name, then its value, as two words",
    },
    CLIBridgeHome  => { 'home/alice' => 'write an absolute path' },
    CLIBridgeSlots => { map { $_ => number(0, 1024, $_) } -1, 1025, 'x' },
    CLIBridgeReuse => { always => "write one of none, lines, not 'always'" },
    CLIBridgeWarm  => {
        ''           => 'write none, periodic, persistent or adaptive',
        cold         => "write one of none, periodic, persistent, adaptive,"
                        . " not 'cold'",
        'none 3'     => "write min=, max= or refresh= after the mode,"
                        . " not '3'",
        'adaptive min=1025' => number(0, 1024, 1025),
        'adaptive max=-1'   => number(0, 1024, -1),
        'periodic refresh=0' => "$seconds '0'",
        'adaptive min=3 max=2' => 'min= must not be more than max=',
        'adaptive max=2 min=3' => 'min= must not be more than max=',
    },
    CLIBridgePark => {
        (map { $_ => number(1, 1024, $_) } 0, 1025, 'x'),
        '4 60'        => "write a number or off, then timeout=SECONDS, not"
                         . " '60'",
        '4 timeout=0' => "$seconds '0'",
    },
    CLIBridgeUntested =>
        { yes => "write one of warn, refuse, not 'yes'" },
    CLIBridgeTools => {
        map { $_ => 'write none, web, or the name of a tool of the program,'
                    . " not '$_'" } 'Bash(ls:*)', 'web,files', '-x', 'x' x 64
    },
);

my $mine = sub { "$_[0]\n" };
for ([$mine, \%good, \%bad], [\&backend, \%good_there, \%bad_there]) {
    my ($wrap, $good, $bad) = @$_;
    for my $name (sort keys %$good) {
        good($wrap->("$name $_"), name => "good: $name $_")
            for @{ $good->{$name} };
    }
    for my $name (sort keys %$bad) {
        for my $value (sort keys %{ $bad->{$name} }) {
            my $why = $bad->{$name}{$value};
            bad($wrap->("$name $value"),
                ref $why ? qr/^$name: $why/m : "$name: $why",
                name => "$name $value");
        }
    }
}

# httpd counts the arguments.
bad($_, qr/^\Q$_\E (?:takes|requires) \w+/m)
    for qw(CLIBridgeUser CLIBridgeStateDir CLIBridgeSlots CLIBridgeQueue
           CLIBridgeProcesses CLIBridgeMemory CLIBridgeKeyFile CLIBridgeAlias
           CLIBridgeDefaultModel CLIBridgeDefaultBackend CLIBridgeTimeout
           CLIBridgeKeepAlive CLIBridgeMaxBody CLIBridgeMaxAnswer
           CLIBridgeAnonymous CLIBridgeUnsupported CLIBridgeReasoning
           CLIBridgeOrigin);
bad(backend($_), qr/^\Q$_\E (?:takes|requires) \w+/m, name => "$_ alone")
    for qw(CLIBridgeDriver CLIBridgeProgram CLIBridgeArg CLIBridgeEnv
           CLIBridgeEnvFile CLIBridgeModels CLIBridgeHome CLIBridgeReuse
           CLIBridgePark CLIBridgeUntested CLIBridgeTools);
bad("$_ maybe", "$_ must be On or Off") for qw(CLIBridge CLIBridgeRun);

# --- where a directive may stand ------------------------------------------

my %value = (
    (map { $_ => $good{$_}[0] } keys %good),
    (map { $_ => $good_there{$_}[0] } grep { !$good{$_} } keys %good_there),
    CLIBridgeKeyFile => '/dev/null',
);
my @global = qw(CLIBridgeUser CLIBridgeStateDir CLIBridgeSlots CLIBridgeQueue
                CLIBridgeProcesses CLIBridgeMemory CLIBridgeSockets
                CLIBridgeStore);
my @host   = qw(CLIBridge CLIBridgeKeyFile CLIBridgeAlias
                CLIBridgeDefaultModel CLIBridgeDefaultBackend);
my @dir    = qw(CLIBridgeTimeout CLIBridgeKeepAlive CLIBridgeMaxBody
                CLIBridgeMaxAnswer CLIBridgeAnonymous CLIBridgeUnsupported
                CLIBridgeReasoning CLIBridgeOrigin CLIBridgeRun);
my @both   = qw(CLIBridgeHome CLIBridgeEnv CLIBridgeEnvFile);
my @there  = qw(CLIBridgeDriver CLIBridgeProgram CLIBridgeArg
                CLIBridgeRunArg CLIBridgeModels CLIBridgeReuse CLIBridgeWarm CLIBridgePark
                CLIBridgeUntested CLIBridgeTools);

for my $name (@global) {
    bad(host("$name $value{$name}"), "$name: belongs to the main server, "
        . 'outside of any <VirtualHost>, <Location> or backend');
}
for my $name (@host, @dir) {
    next if $name eq 'CLIBridgeKeyFile';
    good(host("$name $value{$name}"));
}
good(location("$_ $value{$_}")) for @dir;
bad(location("$_ $value{$_}"), "$_ not allowed in <Location> context")
    for @global, @host, @both, @there;
bad("$_ $value{$_}", "$_: belongs into a <CLIBridgeBackend> section")
    for @both, @there;
good(account("$_ $value{$_}")) for @both;

my $belongs = 'does not belong into this section; what does:';
my $inside  = 'CLIBridgeDriver CLIBridgeProgram CLIBridgeArg CLIBridgeRunArg '
            . 'CLIBridgeEnv CLIBridgeEnvFile CLIBridgeModels CLIBridgeHome '
            . 'CLIBridgeTools CLIBridgeSlots CLIBridgeReuse CLIBridgeWarm '
            . 'CLIBridgePark CLIBridgeUntested <CLIBridgeAccount>';
bad(backend("$_ $value{$_}"), "<CLIBridgeBackend>: $_ $belongs $inside",
    name => "$_ in a backend", at => $_)
    for grep({ $_ ne 'CLIBridgeSlots' } @global), @host, @dir;
bad(account("$_ $value{$_}"), "<CLIBridgeAccount>: $_ $belongs "
    . 'CLIBridgeHome CLIBridgeEnv CLIBridgeEnvFile',
    name => "$_ in an account", at => $_)
    for @global, @host, @dir, @there;
bad(backend("<Location /x>\n</Location>"),
    "<CLIBridgeBackend>: <Location> $belongs $inside");

# --- sections -------------------------------------------------------------

my $name_it = 'NAME of letters, digits and ._-';
for my $section (qw(CLIBridgeBackend CLIBridgeAccount)) {
    my $wrap = $section =~ /Account/ ? \&backend : $mine;
    for my $arg ('', ' ', ' ""', ' a/b', ' two words', ' ' . 'x' x 64) {
        bad($wrap->("<$section$arg>\n</$section>\n"),
            "<$section>: write <$section NAME>, $name_it",
            name => "<$section$arg>");
    }
    bad($wrap->("<$section one\n</$section>\n"),
        "<$section>: write <$section NAME>, $name_it");
}
good(backend('', $_), name => "a backend $_")
    for 'A.b_c-9', '"quoted"', 'x' x 63;
bad(backend('') . backend(''),
    "<CLIBridgeBackend>: there is a backend 'one' already");
bad(backend("<CLIBridgeAccount a>\n</CLIBridgeAccount>\n" x 2),
    "<CLIBridgeAccount>: there is an account 'a' already");
good(backend("<CLIBridgeAccount a>\n</CLIBridgeAccount>\n"
             . "<CLIBridgeAccount b>\n</CLIBridgeAccount>"));
my @accounts = map { "<CLIBridgeAccount a$_>\n</CLIBridgeAccount>\n" } 1 .. 17;
good(backend(join '', @accounts[1 .. 16]), name => '16 accounts');
bad(backend(join '', @accounts),
    '<CLIBridgeAccount>: there can be 16 accounts at most',
    name => '17 accounts');
bad("<CLIBridgeAccount a>\n</CLIBridgeAccount>\n",
    '<CLIBridgeAccount>: belongs into a <CLIBridgeBackend> section');
bad(location(backend('')),
    qr/^<CLIBridgeBackend not allowed in <Location> context/m);
bad(backend(backend('', 'two')), "<CLIBridgeBackend>: <CLIBridgeBackend> "
    . "$belongs $inside", name => 'a backend in a backend');
bad(account("<CLIBridgeAccount two>\n</CLIBridgeAccount>"),
    "<CLIBridgeAccount>: <CLIBridgeAccount> $belongs CLIBridgeHome "
    . 'CLIBridgeEnv CLIBridgeEnvFile', name => 'an account in an account');
bad("<CLIBridgeBackend one>\n",
    qr/<CLIBridgeBackend> was not closed/);
good(backend("<IfModule clibridge_module>\nDefine MODEL m1\n"
             . "CLIBridgeModels \${MODEL}\n</IfModule>")
     . "CLIBridgeDefaultModel m1\n", name => 'conditions inside a section');
good("CLIBridgeSlots 4\n" . backend('CLIBridgeSlots 2'),
     name => 'CLIBridgeSlots in both of its scopes');
good(backend('CLIBridgeSlots 9') . "CLIBridgeSlots 4\n",
     name => 'more slots than there are in all');
bad(backend("CLIBridgeModels m\nCLIBridgeWarm cold"), qr/^CLIBridgeWarm: /m,
    name => 'a value inside a section', at => 'CLIBridgeWarm');

# --- the configuration as a whole -----------------------------------------

my $section = "<CLIBridgeBackend %s>\n%s\n</CLIBridgeBackend>\n";
bad(sprintf($section, 'one', 'CLIBridgeProgram /bin/cat'),
    '<CLIBridgeBackend one>: write CLIBridgeDriver with one of: claude codex '
    . 'gemini qwen acp command');
good(sprintf($section, 'claude', 'CLIBridgeProgram /bin/cat'),
     name => 'a name may say the driver');
good(sprintf($section, 'claude', "CLIBridgeProgram /bin/cat\n"
             . "CLIBridgeTools $_"), name => "CLIBridgeTools $_")
    for 'web', 'Web', 'Bash Read', 'web Bash', 'none web';
bad(backend('CLIBridgeTools web'), '<CLIBridgeBackend one>: CLIBridgeTools is '
    . 'not for the driver command');
for ('claude', 'echo') {
    bad(sprintf($section, $_, 'CLIBridgeDriver command'),
        "<CLIBridgeBackend $_>: write CLIBridgeProgram with the absolute path"
        . ' of the CLI');
}
good(sprintf($section, 'echo', 'CLIBridgeSlots 1'),
     name => 'echo needs no more than it has');
bad(sprintf($section, 'claude', "CLIBridgeProgram /bin/cat\n"
            . 'CLIBridgeReuse none'),
    '<CLIBridgeBackend claude>: CLIBridgeReuse is for the driver command '
    . 'only');

bad(sprintf($section, 'echo', 'CLIBridgePark 4'),
    '<CLIBridgeBackend echo>: CLIBridgePark is not for the driver command, '
    . 'whose programs hold no conversation');
good(sprintf($section, 'claude', "CLIBridgeProgram /bin/cat\n"
             . "CLIBridgePark $_"), name => "claude parks: $_")
    for 1, '1024 timeout=864000';

bad("CLIBridgeDefaultModel other\n" . backend('CLIBridgeModels one-*'),
    "CLIBridgeDefaultModel: no backend serves 'other'; see CLIBridgeModels");
good("CLIBridgeDefaultModel one-2\n" . backend('CLIBridgeModels one-*'));
good("CLIBridgeDefaultModel best\nCLIBridgeAlias best echo");
good("CLIBridgeDefaultModel other\nCLIBridgeAlias best another\n"
     . "CLIBridgeDefaultBackend one\n" . backend('CLIBridgeModels one-*'),
     name => 'the default backend serves what nobody lists');
bad("CLIBridgeDefaultBackend one\n" . backend('CLIBridgeSlots 0'),
    "CLIBridgeDefaultBackend: there is no backend 'one' that has slots",
    name => 'the default backend is switched off');
bad(host('CLIBridgeDefaultBackend other'),
    "CLIBridgeDefaultBackend: there is no backend 'other' that has slots");
bad("CLIBridgeDefaultModel m\n"
    . backend("CLIBridgeModels m\nCLIBridgeSlots 0"),
    "CLIBridgeDefaultModel: no backend serves 'm'; see CLIBridgeModels",
    name => 'the default model is of a backend that is switched off');
bad('CLIBridgeAlias gpt-4o nobodys-model',
    qr/CLIBridgeAlias: no backend serves 'nobodys-model'; see CLIBridgeModels/);
bad("CLIBridgeAlias best echo\n" . host('CLIBridgeDefaultModel beste'),
    "CLIBridgeDefaultModel: no backend serves 'beste'; see CLIBridgeModels");

bad("CLIBridgeSlots 1000\nCLIBridgeQueue 25",
    'CLIBridgeSlots + CLIBridgeQueue must not be more than 1024');
good("CLIBridgeSlots 1000\nCLIBridgeQueue 24");
bad(join('', map { backend('', "b$_") } 1 .. 32),
    'CLIBridgeBackend: there can be 31 backends at most',
    name => '32 backends');
good(join('', map { backend('', "b$_") } 1 .. 31), name => '31 backends');
bad(backend("CLIBridgeRunArg -a\n" x 33),
    'CLIBridgeRunArg: there can be 32 in a backend at most',
    name => '33 arguments of runs');
good(backend("CLIBridgeRunArg -a\n" x 32), name => '32 arguments of runs');

bad("Mutex $_ clibridge-slots", "Mutex: '$_' cannot protect clibridge-slots; "
    . 'write pthread or fcntl') for qw(sysvsem posixsem flock);
bad('Mutex none clibridge-slots',
    'None is not allowed for mutex type clibridge-slots');
good("Mutex $_ clibridge-slots") for qw(default pthread fcntl);

# --- key files ------------------------------------------------------------

my %digest = map { $_ => sha256_hex("secret-$_") } qw(a b);
my $dir = File::Temp->newdir;
chmod 0755, $dir;

sub key_file {
    my ($text) = @_;
    open my $file, '>', "$dir/keys" or die "$dir/keys: $!\n";
    print $file $text;
    close $file or die "$dir/keys: $!\n";
    return "CLIBridgeKeyFile $dir/keys\n";
}

my $first = "a:$digest{a}:chat\n";
good(key_file("# keys\n\n$first  b:$digest{b}:chat,admin   # Bob\n"),
     name => 'a key file');
my $scopes = 'the third field must be scopes: chat, admin, run, or several '
           . 'with commas between';
my %line = (
    ":$digest{b}:chat"   => 'the name must be 1 to 64 letters, digits or any '
                            . 'of ._-@',
    'b'                  => "the second field must be the key's SHA-256 in 64"
                            . ' hex digits',
    'b:secret:chat'      => "the second field must be the key's SHA-256 in 64"
                            . ' hex digits',
    "b:$digest{b}"       => $scopes,
    "b:$digest{b}:root"  => $scopes,
    "b:$digest{b}:chat:rate=1" => 'this version knows no attributes: nothing '
                            . 'may follow the scopes',
    "a:$digest{b}:chat"  => 'the name stands twice',
    "b:$digest{a}:chat"  => 'the key stands twice',
);
for my $line (sort keys %line) {
    bad(key_file("# a comment\n$first\n$line\n"),
        "CLIBridgeKeyFile: $dir/keys, line 4: $line{$line}",
        name => 'a key ' . substr $line, 0, 20);
}

# --- who runs what --------------------------------------------------------

my $nobody_named = "<IfDefine Never>\nCLIBridgeUser alice\n</IfDefine>\n";
if ($> == 0) {
    bad($nobody_named, 'CLIBridgeUser: write the name of the user who runs '
        . 'the CLIs (the one who is logged in to them); httpd starts as root '
        . 'and the CLIs must not run as root by accident',
        name => 'root without CLIBridgeUser');

    # What is root's may be out of reach for whoever asks for the test.
    my $secret = File::Temp->newdir;
    symlink '/dev/null', "$secret/key" or die "$secret/key: $!\n";
    my $keys = key_file($first);
    chmod 0600, "$dir/keys";
    good($keys, name => "root reads the key file");
    good("CLIBridgeUser root\n$keys"
         . backend("CLIBridgeEnvFile KEY $secret/key"), as => 'nobody',
         name => 'an ordinary user tests the configuration of root');
}
good($nobody_named, as => 'nobody', name => 'an ordinary user needs none');
bad('CLIBridgeSlots 0', 'CLIBridgeSlots: ' . number(1, 1024, 0),
    as => 'nobody', name => 'an ordinary user is told what is wrong');
bad("CLIBridgeUser root\nMutex sysvsem clibridge-slots",
    "Mutex: 'sysvsem' cannot protect clibridge-slots; write pthread or fcntl",
    as => 'nobody', name => 'also of the whole');

done_testing;
