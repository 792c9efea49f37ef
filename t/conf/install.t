#!/usr/bin/perl

# What `make install` installs, and that it works as it is.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find;
use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $top    = abs_path("$FindBin::Bin/../..");
my $module = $ENV{CLIBRIDGE_MODULE} || "$top/build/mod_clibridge.so";
my $dest   = File::Temp->newdir;
chmod 0755, $dest;

# The make that runs the tests must not speak to this one.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

sub make {
    my $build = dirname($module);
    my $out = readpipe("make -s -C '$top' BUILD='$build' DESTDIR='$dest' @_"
                       . ' 2>&1 </dev/null');
    diag($out) if $?;
    return $? >> 8;
}

sub slurp {
    open my $in, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$in>;
}

sub installed {
    my %mode;
    find(sub {
        $mode{ substr $File::Find::name, length $dest } =
            sprintf '%o', (stat)[2] & 07777 if -f;
    }, "$dest");
    return \%mode;
}

my $libexec = CLB::Server::module_dir();
chomp(my $etc = readpipe('apxs -q SYSCONFDIR'));
$etc .= -d "$etc/mods-available" ? '/mods-available' : '/conf.d';

is(make('install'), 0, 'make install');
is_deeply(installed(), {
    "$libexec/mod_clibridge.so"                    => '644',
    "$etc/clibridge.load"                          => '644',
    "$etc/clibridge.conf"                          => '644',
    '/usr/sbin/clibridge-key'                      => '755',
    '/usr/sbin/clibridge-login'                    => '755',
    '/usr/share/doc/mod-clibridge/clibridge-tls.conf' => '644',
    '/usr/share/man/man8/mod_clibridge.8'          => '644',
}, 'installs these files with these modes');
like(slurp("$dest$etc/clibridge.load"),
     qr{^LoadModule clibridge_module \Q$libexec\E/mod_clibridge.so$}m,
     'the module is loaded from where it is');

# --- the configuration as installed ---

$ENV{CLIBRIDGE_MODULE} = "$dest$libexec/mod_clibridge.so";
my $conf = slurp("$dest$etc/clibridge.conf");
my ($status, $output) = CLB::Server->configtest(main => $conf, config => '',
                                                bridge => 0);
is($status, 0, 'clibridge.conf works as installed') or diag($output);

my $s = CLB::Server->start(main => $conf, config => '', bridge => 0);
is($s->get('/v1/models')->{status}, 404, 'and answers nowhere');
$s->stop;

# Every directive that is only shown, with its own value. The two files do not
# exist here.
(my $shown = $conf) =~ s/^(\s*)#(?=<?\/?CLIBridge)/$1/mg;
$shown =~ s{^(\s*CLIBridgeKeyFile) .*}{$1 /dev/null}m;
$shown =~ s{^(\s*CLIBridgeEnvFile \S+) .*}{$1 /dev/null}m;
cmp_ok(() = $shown =~ /^\s*<?CLIBridge/mg, '>', 25, 'it shows directives');
($status, $output) = CLB::Server->configtest(config => $shown);
is($status, 0, 'which are right as they stand') or diag($output);

# --- the virtual host with TLS ---

sub replace {
    my ($text, $from, $to) = @_;
    $$text =~ s/$from/$to/g or fail("the example has no $from");
}

my $keys = "$dest/keys";
chomp(my $key = readpipe("$dest/usr/sbin/clibridge-key alice $keys 2>&1"
                         . ' | head -n 1'));
chomp(my $admin = readpipe("$dest/usr/sbin/clibridge-key root $keys admin 2>&1"
                           . ' | head -n 1'));
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
       . " -nodes -days 2 -subj /CN=localhost -keyout $dest/key.pem"
       . " -out $dest/cert.pem 2>/dev/null") and die "openssl failed\n";

my $host = slurp("$dest/usr/share/doc/mod-clibridge/clibridge-tls.conf");
replace(\$host, qr{\*:443},                    '*:@PORT@');
replace(\$host, qr{ai\.example\.org$}m,        'localhost');
replace(\$host, qr{/etc/ssl/certs/\S+\.pem},   "$dest/cert.pem");
replace(\$host, qr{/etc/ssl/private/\S+\.key}, "$dest/key.pem");
replace(\$host, qr{/etc/apache2/clibridge\.keys}, $keys);
replace(\$host, qr{/var/log/apache2/},         '@ROOT@/logs/');

$s = CLB::Server->start(modules => [qw(ssl http2 reqtimeout)],
                        config => $host);
$s->{tls} = 1;
my $r = $s->chat('over TLS', model => 'echo', -key => $key);
is($r->{status}, 200, 'the virtual host answers a key');
is($r->{text}, 'over TLS', 'with what was asked for');
$r = $s->chat('over TLS', model => 'echo');
is($r->{status}, 401, 'no key, no answer');
is($r->{json}{error}{code}, 'missing_api_key', 'which is said in JSON');
is($s->chat('x', model => 'echo', -key => $admin)->{status}, 403,
   'a key without the scope is refused');

my $url = "https://127.0.0.1:$s->{port}/v1/models";
my (undef, $version) = $s->curl('-o', '/dev/null', '-w', '%{http_version}',
                                '-H', "Authorization: Bearer $key", $url);
is($version, $s->{mpm} eq 'prefork' ? '1.1' : '2', "HTTP/$version is spoken");

my $line = $s->wait_for(sub {
    (grep { / 200 / && m{/chat/} } split /\n/, slurp($s->path(
        'logs/clibridge.log')))[0];
}, 'a line in the log');
like($line, qr/ alice .* id=req_\w+ backend=echo model=echo in=\d+ out=\d+ /,
     'the log says who asked and what it cost');
like($line, qr/ queue=\d+ first=\d+ all=\d+ error=- process=\d+$/,
     'and how long it took');
$s->stop;

# --- again, and away ---

open my $edit, '>>', "$dest$etc/clibridge.conf" or die;
print $edit "# mine\n";
close $edit;
is(make('install'), 0, 'make install again');
like(slurp("$dest$etc/clibridge.conf"), qr/# mine/,
     'leaves the configuration alone');
is(make('uninstall'), 0, 'make uninstall');
is_deeply([sort keys %{ installed() }],
          ['/cert.pem', "$etc/clibridge.conf", '/key.pem', '/keys'],
          'leaves nothing else');

done_testing;
