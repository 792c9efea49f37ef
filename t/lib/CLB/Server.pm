package CLB::Server;

# One httpd for one test file.
#
#   my $s = CLB::Server->start(
#       config   => $text,      # main server; a virtual host if main is given
#       main     => $text,      # main server, outside the virtual host
#       mpm      => 'event',    # prefork, worker; default $CLIBRIDGE_MPM or event
#       modules  => ['proxy', 'proxy_http'],
#       tls      => 1, h2 => 1, # a certificate of its own; HTTP/2 (h2c without)
#       tls_too  => 1,          # the same at another port, {tls_port}, with h2
#       ipv6     => 1,          # listens on [::1] too
#       as       => 'nobody',   # starts httpd as that user
#       env      => { NAME => 'value' },
#       under    => ['strace', '-f'],   # what starts httpd; texts as below
#       loglevel => 'clibridge:trace1',
#       bridge   => 0,          # writes no "CLIBridge On"
#       debug    => 1,          # httpd -X: one process
#   );
#   $s->stop;                   # one test: it ended well and left nothing
#
# In the texts @MARK@ is a CLIBridgeEnv directive that makes the processes of
# a backend known to marked() and to the check in stop; every backend wants
# one. @ROOT@ @PORT@ @TOP@ @BIN@ @PERL@ are what they say.
#
# Environment: CLIBRIDGE_MODULE, CLIBRIDGE_MPM, CLIBRIDGE_ASAN,
# CLIBRIDGE_KEEP=1 (leaves the server root and says where).

use strict;
use warnings;

use Cwd qw(abs_path);
use Fcntl qw(SEEK_SET);
use File::Basename qw(basename dirname);
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(sleep time);

use CLB::Client;

my $top   = abs_path(dirname(__FILE__) . '/../../..');
my $limit = 20;    # seconds, for anything a server does by itself

# --- what is installed ----------------------------------------------------

sub first_program {
    for my $name (@_) {
        for my $dir (split(/:/, $ENV{PATH} // ''), '/usr/sbin') {
            return "$dir/$name" if -x "$dir/$name";
        }
    }
    die "neither of @_ is installed\n";
}

sub httpd {
    our $httpd ||= first_program(qw(apache2 httpd));
    return $httpd;
}

sub is_static {
    our %static;
    %static = map { /^\s+(?:mod_)?(\w+)\.c$/ ? ($1 => 1) : () }
        readpipe(httpd() . ' -l') unless %static;
    return $static{ $_[0] };
}

sub module_dir {
    our $module_dir;
    chomp($module_dir ||= readpipe('apxs -q LIBEXECDIR 2>/dev/null')
                          || '/usr/lib/apache2/modules');
    return $module_dir;
}

# --- the server root ------------------------------------------------------

# All of httpd's files; whoever runs the CLIs must be able to walk in.
sub new {
    my ($class, %o) = @_;
    my $self = bless { %o, owner => $$ }, $class;
    $self->{mpm}  ||= $ENV{CLIBRIDGE_MPM} || 'event';
    $self->{mark}   = sprintf '%d-%x', $$, time * 1e6;
    $self->{uid}    = $>;
    $self->{gid}    = $) + 0;
    my $user = $o{as} || ($> ? undef : 'nobody');
    if ($user) {
        (undef, undef, @$self{qw(uid gid)}) = getpwnam $user
            or die "no user $user\n";
    }
    $self->{root} = File::Temp::tempdir('clb-XXXXXXXX', TMPDIR => 1,
                                        CLEANUP => !$ENV{CLIBRIDGE_KEEP});
    chmod 0755, $self->{root};
    Test::More::diag("server root: $self->{root}") if $ENV{CLIBRIDGE_KEEP};
    for (qw(run logs htdocs state tls asan)) {
        mkdir $self->path($_) or die $self->path($_) . ": $!\n";
    }
    $self->own($self->path($_)) for $o{as} ? qw(run logs state) : 'state';
    chmod 0700,  $self->path('state');
    chmod 01777, $self->path('asan');
    return $self;
}

sub path { "$_[0]{root}/$_[1]" }
sub own  { chown $_[0]{uid}, $_[0]{gid}, $_[1] }

sub put {
    my ($self, $name, $text) = @_;
    open my $file, '>', $self->path($name) or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
    return $self->path($name);
}

sub expand {
    my ($self, $text) = @_;
    my %value = (
        MARK => "CLIBridgeEnv CLIBRIDGE_TEST $self->{mark}",
        ROOT => $self->{root},
        PORT => $self->{port},
        TOP  => $top,
        BIN  => "$top/t/bin",
        PERL => $^X,
    );
    $text =~ s/\@([A-Z]+)\@/$value{$1} \/\/ "\@$1\@"/ge;
    return $text;
}

my %size = (
    event => <<'EOT',
StartServers 2
ServerLimit 4
ThreadsPerChild 64
MinSpareThreads 32
MaxSpareThreads 256
MaxRequestWorkers 256
EOT
    prefork => <<'EOT',
StartServers 8
ServerLimit 128
MinSpareServers 4
MaxSpareServers 32
MaxRequestWorkers 128
EOT
);
$size{worker} = $size{event};

# "combined", and the URL as the module left it behind the request line.
my $log_format = <<'EOT';
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" \
%U%q" test
EOT

sub load_module {
    my ($name) = @_;
    return '' if is_static($name);
    return "LoadModule ${name}_module " . module_dir() . "/mod_$name.so\n";
}

sub make_certificate {
    my ($self) = @_;
    my ($key, $cert) = ($self->path('tls/key.pem'), $self->cert);
    my $output = readpipe("openssl req -x509 -newkey ec -pkeyopt"
        . " ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        . " -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        . " -keyout $key -out $cert 2>&1");
    die "openssl: $output\n" if $?;
    $self->own($key);
    return "SSLEngine On\nSSLCertificateFile $cert\n"
         . "SSLCertificateKeyFile $key\n";
}

sub tls_host {
    my ($self) = @_;
    my $port = $self->{tls_port} = choose_port();
    return "Listen 127.0.0.1:$port\n<VirtualHost 127.0.0.1:$port>\n"
         . "ServerName localhost\n" . $self->make_certificate
         . ($self->{h2} ? "Protocols h2 http/1.1\n" : '') . "</VirtualHost>\n";
}

sub configuration {
    my ($self) = @_;
    my ($port, $config) = ($self->{port}, $self->{config} // '');
    my $texts  = join "\n", $config, $self->{main} // '';
    my $says   = sub { $texts =~ /^\s*$_[0]\b/mi };
    my $module = $ENV{CLIBRIDGE_MODULE} || "$top/build/mod_clibridge.so";
    -e $module or die "$module: build the module first\n";

    my %seen;
    my $out = join '', map { load_module($_) } grep { !$seen{$_}++ }
        "mpm_$self->{mpm}",
        qw(unixd log_config authz_core authn_core authz_host env setenvif),
        'status',
        $self->{tls} || $self->{tls_too} ? 'ssl' : (),
        $self->{h2} ? 'http2' : (),
        @{ $self->{modules} || [] };
    $out .= "LoadModule clibridge_module $module\n";
    $out .= $size{ $self->{mpm} };
    $out .= <<"EOT";
ServerRoot "\@ROOT\@"
ServerName localhost
DocumentRoot "\@ROOT\@/htdocs"
DefaultRuntimeDir "\@ROOT\@/run"
PidFile "\@ROOT\@/run/httpd.pid"
ErrorLog "\@ROOT\@/logs/error.log"
$log_format
CustomLog "\@ROOT\@/logs/access.log" test
LogLevel notice $self->{loglevel}
Listen 127.0.0.1:$port
Timeout 20
EOT
    $out .= "Listen [::1]:$port\n" if $self->{ipv6};
    $out .= 'Protocols ' . ($self->{tls} ? 'h2' : 'h2c') . " http/1.1\n"
        if $self->{h2};
    if ($> == 0 && !$self->{as}) {
        my $group = getgrgid $self->{gid};
        $out .= "User nobody\nGroup $group\n";
        $out .= "CLIBridgeUser nobody\n" unless $says->('CLIBridgeUser');
    }
    $out .= "CLIBridgeStateDir \"\@ROOT\@/state\"\n"
        unless $says->('CLIBridgeStateDir');

    $config = "CLIBridge On\n$config"
        unless $says->('CLIBridge')
            || defined $self->{bridge} && !$self->{bridge};
    $config = $self->make_certificate . $config if $self->{tls};
    if (defined $self->{main}) {
        my $hosts = "127.0.0.1:$port" . ($self->{ipv6} ? " [::1]:$port" : '');
        $out .= "$self->{main}\n<VirtualHost $hosts>\n"
              . "ServerName localhost\n$config\n</VirtualHost>\n";
    }
    else {
        $out .= "$config\n";
    }
    $out .= $self->tls_host if $self->{tls_too};
    return $self->expand($out);
}

# The kernel chooses; between here and httpd's bind someone else may take it,
# so start() tries again.
sub choose_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no port: $@\n";
    return $socket->sockport;
}

# --- running httpd --------------------------------------------------------

# In the child: the environment, the user, and a session of its own, because
# httpd signals its whole process group when it stops.
sub become_httpd {
    my ($self, $output, @args) = @_;
    POSIX::setsid();
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', $output;
    open STDERR, '>&', \*STDOUT;
    $ENV{CLIBRIDGE_TEST} = $self->{mark};
    %ENV = (%ENV, %{ $self->{env} || {} });
    if ($ENV{CLIBRIDGE_ASAN}) {
        my $log = 'log_path=' . $self->path('asan/');
        chomp(my @libs = map { scalar readpipe "gcc -print-file-name=$_" }
                  qw(libasan.so libubsan.so));
        $ENV{ASAN_OPTIONS}  = "detect_leaks=0:abort_on_error=1:${log}asan";
        $ENV{UBSAN_OPTIONS} = "print_stacktrace=1:${log}ubsan";
        $ENV{LD_PRELOAD}    = "@libs";
    }
    if ($self->{as} && $> == 0) {
        $( = $self->{gid};
        $) = "$self->{gid} $self->{gid}";
        POSIX::setuid($self->{uid});
    }
    my @under = map { $self->expand($_) } @{ $self->{under} || [] };
    exec @under, httpd(), '-f', $self->path('httpd.conf'), @args
        or POSIX::_exit(127);
}

sub spawn {
    my ($self, @args) = @_;
    my $output = $self->put('output', '');
    defined(my $pid = fork) or die "fork: $!\n";
    become_httpd($self, $output, @args) unless $pid;
    return $pid;
}

my %servers;

sub start {
    my ($class, %o) = @_;
    $o{loglevel} //= 'clibridge:debug';
    my $self = $class->new(%o);
    for my $try (1 .. 5) {
        $self->{port} = choose_port();
        $self->put('httpd.conf', $self->configuration);
        $self->{main_pid} = $self->spawn($o{debug} ? '-X' : '-DFOREGROUND');
        $servers{$self} = $self;
        weaken($servers{$self});
        return $self if $self->poll(sub { $self->is_up || $self->reap })
                     && !$self->{reaped};
        last unless $self->output =~ /Address already in use/;
        delete @$self{qw(reaped status)};
    }
    my $why = $self->output . $self->log;
    $self->clear_away;
    die "httpd did not start:\n$why";
}

# (exit status, output) of a configuration test.
sub configtest {
    my ($class, %o) = @_;
    $o{loglevel} //= 'clibridge:debug';
    my $self = $class->new(%o);
    $self->{port} = choose_port();
    $self->put('httpd.conf', $self->configuration);
    waitpid $self->spawn('-t'), 0;
    return ($? >> 8 || $?, $self->output);
}

sub is_up {
    my ($self) = @_;
    return ($self->{debug} || $self->starts) && IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 1);
}

sub reap {
    my ($self) = @_;
    return 1 if $self->{reaped};
    return 0 unless waitpid($self->{main_pid}, POSIX::WNOHANG()) > 0;
    @$self{qw(reaped status)} = (1, $?);
    return 1;
}

sub starts {
    my ($self) = @_;
    return scalar(() = $self->log =~ /resuming normal operations/g);
}

sub signal_and_resume {
    my ($self, $signal) = @_;
    my $before = $self->starts;
    kill $signal, $self->{main_pid};
    return $self->wait_for(sub { $self->starts > $before },
                           "httpd after $signal");
}

sub graceful { $_[0]->signal_and_resume('USR1') }
sub restart  { $_[0]->signal_and_resume('HUP') }

# Only the main process; the rest must find out by itself.
sub kill9 {
    my ($self) = @_;
    $self->{killed} = 1;
    kill KILL => $self->{main_pid};
    return $self->wait_for(sub { $self->reap }, 'the end of httpd');
}

# Ends everything and returns what was wrong.
# Wait until no connection is left: event's main thread was seen to crash when
# a stop met one that was closing.
sub quiet {
    my ($self) = @_;
    my $port = sprintf '%04X', $self->{port};
    $self->poll(sub {
        !grep { /^ *\d+: \S+:$port \S+ (?!0A|06)/ }
            map { split /\n/, slurp($_) } '/proc/net/tcp', '/proc/net/tcp6';
    }, 1);
}

sub clear_away {
    my ($self) = @_;
    return if $self->{cleared}++;
    delete $servers{$self};
    my @wrong;

    unless ($self->reap) {
        $self->quiet;
        kill TERM => $self->{main_pid};
        unless ($self->poll(sub { $self->reap })) {
            push @wrong, "httpd was still there $limit s after SIGTERM";
            kill KILL => $self->{main_pid};
            $self->poll(sub { $self->reap });
        }
        push @wrong, "httpd ended with status $self->{status}"
            if $self->{status} && !@wrong;
    }
    elsif (!$self->{killed}) {
        push @wrong, "httpd had ended by itself with status $self->{status}";
    }

    # httpd's workers outlive a main process that was killed.
    kill KILL => $self->all_httpd if $self->{killed};
    unless ($self->poll(sub { !$self->all_marked }, 10)) {
        for my $pid ($self->all_marked) {
            push @wrong, "left over: $pid " . cmdline($pid);
            kill KILL => $pid;
        }
    }
    # gcc 12 forgets log_path when both sanitizers are loaded, and then a
    # report is in the error log.
    push @wrong, grep {
        /AH0005[12]|runtime error: |ERROR: AddressSanitizer/
            && !$self->expected($_)
    } split /\n/, $self->output . $self->log;
    for my $report (glob $self->path('asan/*')) {
        push @wrong, slurp($report);
    }
    return @wrong;
}

# What a test does on purpose (killing a worker) is not an error.
sub expect_log { push @{ $_[0]{expected} }, $_[1] }
sub expected {
    my ($self, $line) = @_;
    return grep { $line =~ $_ } @{ $self->{expected} || [] };
}

# One test.
sub stop {
    my ($self) = @_;
    return if $self->{cleared};
    my @wrong = $self->clear_away;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(!@wrong, 'httpd ends well and leaves nothing')
        or Test::More::diag(join "\n", @wrong, $self->tail);
    return !@wrong;
}

sub tail {
    my ($self) = @_;
    my @lines = split /\n/, $self->log;
    splice @lines, 0, -40 if @lines > 40;
    return @lines;
}

# A test that died, or forgot to stop: the same checks, by exit status.
my $failed;

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{main_pid} || $self->{cleared};
    local ($?, $@, $!);
    my @wrong = $self->clear_away or return;
    Test::More::diag(join "\n", @wrong, $self->tail);
    $failed = 1;
}

END {
    my $status = $?;
    $_->DESTROY for grep { $_ } values %servers;
    $? = $status || ($failed ? 1 : 0);
}
$SIG{$_} ||= sub { exit 1 } for qw(INT TERM HUP);

# --- looking at it --------------------------------------------------------

sub port { $_[0]{port} }
sub root { $_[0]{root} }
sub mark { $_[0]{mark} }
sub cert { $_[0]->path('tls/cert.pem') }

sub url {
    my ($self, $path) = @_;
    return ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{port}"
         . ($path // '');
}

sub slurp {
    my ($name, $from) = @_;
    open my $file, '<', $name or return '';
    seek $file, $from, SEEK_SET if $from;
    local $/;
    return scalar(<$file>) // '';
}

sub pid {
    my ($self) = @_;
    return slurp($self->path('run/httpd.pid')) =~ /(\d+)/ ? $1 : undef;
}

sub output     { slurp($_[0]->path('output')) }
sub access_log { slurp($_[0]->path('logs/access.log')) }

# log_size() before and log(FROM) or wait_log(..., from => FROM) after
# something show what was logged since.
sub log      { slurp($_[0]->path('logs/error.log'), $_[1]) }
sub log_size { -s $_[0]->path('logs/error.log') || 0 }

# --- waiting --------------------------------------------------------------

# What $sub returns, as soon as it is true; false after $timeout seconds.
sub poll {
    my ($self, $sub, $timeout) = @_;
    my $until = time + ($timeout || $limit);
    for (;;) {
        my $value = $sub->();
        return $value if $value || time >= $until;
        sleep 0.02;
    }
}

sub wait_for {
    my ($self, $sub, $what, $timeout) = @_;
    my $value = $self->poll($sub, $timeout);
    Test::More::diag('waited in vain for ' . ($what // 'it')) unless $value;
    return $value;
}

# The text that matched.
sub wait_log {
    my ($self, $regex, $timeout, %o) = @_;
    return $self->wait_for(
        sub { $self->log($o{from}) =~ /($regex)/ ? $1 : '' },
        "$regex in the log", $timeout);
}

# One test: no turn runs and none waits.
sub idle_ok {
    my ($self, $name, $timeout) = @_;
    my $health;
    my $idle = $self->poll(sub {
        $health = $self->health or return;
        !$health->{slots}{running} && !$health->{queue}{waiting};
    }, $timeout);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($idle, $name // 'no turn runs, none waits')
        or Test::More::diag(Test::More::explain($health));
    return $idle;
}

sub health { $_[0]->request('GET', '/health')->{json} }

sub backend_health {
    my ($self, $name) = @_;
    my $health = $self->health or return;
    my ($backend) = grep { $_->{name} eq $name } @{ $health->{backends} || [] };
    return $backend;
}

# --- processes ------------------------------------------------------------

sub stat_of {
    my ($pid) = @_;
    my ($comm, $rest) = slurp("/proc/$pid/stat") =~ /\((.*)\) (.*)/s or return;
    my @field = split ' ', $rest;
    return { pid => $pid, comm => $comm, state => $field[0],
             parent => $field[1], group => $field[2], started => $field[19] };
}

sub cmdline { slurp("/proc/$_[0]/cmdline") =~ tr/\0/ /r }

sub all_pids {
    opendir my $proc, '/proc' or die "/proc: $!\n";
    return grep { /^\d+$/ } readdir $proc;
}

sub is_httpd {
    my ($pid) = @_;
    my $exe = readlink "/proc/$pid/exe" // return 0;
    return basename($exe =~ s/ \(deleted\)$//r) =~ /^(?:apache2|httpd)$/;
}

sub all_marked {
    my ($self) = @_;
    my $mark = qr/(?:^|\0)CLIBRIDGE_TEST=\Q$self->{mark}\E(?:\0|$)/;
    return grep { $_ != $$ && slurp("/proc/$_/environ") =~ $mark } all_pids();
}

sub all_httpd { grep { is_httpd($_) } $_[0]->all_marked }

# The CLIs and all they started, wherever they went.
sub marked { grep { !is_httpd($_) } $_[0]->all_marked }

sub children_of {
    my ($pid) = @_;
    return sort { $a->{started} <=> $b->{started} }
           grep { $_ && $_->{parent} == $pid && $_->{state} ne 'Z' }
           map { stat_of($_) } all_pids();
}

sub children { map { $_->{pid} } children_of($_[0]{main_pid}) }

sub is_keeper {
    my ($stat) = @_;
    return $stat->{comm} =~ /^(?:clb-keeper|clibridge)/
        || cmdline($stat->{pid}) =~ /^(?:clb-keeper|clibridge)/;
}

# Oldest first: while generations overlap there are several.
sub keepers {
    my ($self) = @_;
    return map { $_->{pid} } grep { is_keeper($_) }
           children_of($self->{main_pid});
}

sub keeper_pid { ($_[0]->keepers)[-1] }

sub workers {
    my ($self) = @_;
    return map { $_->{pid} } grep { !is_keeper($_) }
           children_of($self->{main_pid});
}

# What a process has open; one entry for each descriptor.
sub open_in { map { readlink($_) // '?' } glob "/proc/$_[0]/fd/*" }

# What is in a directory of the server root, or anywhere.
sub entries {
    my ($self, $name) = @_;
    $name = $self->path($name) unless $name =~ m{^/};
    opendir my $dir, $name or return ();
    my @names = sort grep { !/^\.\.?$/ } readdir $dir;
    return @names;
}

# What the keeper and the busiest worker have open beside the keeper's three
# for each CLI. Only root sees the keeper's.
sub descriptors {
    my ($self) = @_;
    my ($most) = sort { $b <=> $a }
                 map { my @open = open_in($_); scalar @open } $self->workers;
    my @keeper = open_in($self->keeper_pid);
    return (@keeper && @keeper - 3 * $self->marked, $most);
}

# One test: one run directory, with a scratch directory for each CLI that is
# there (and "w", where those of the driver claude run), and descriptors are as
# many as when descriptors() said @before, but for what comes and goes: a leak
# adds up.
sub tidy_ok {
    my ($self, @before) = @_;
    my $state = $self->{state} // $self->path('state');
    my (@runs, @dirs, @clis, @now);
    my $tidy = $self->poll(sub {
        @runs = $self->entries("$state/run");
        @dirs = grep { $_ ne 'w' } map { $self->entries("$state/run/$_") }
            @runs;
        @clis = $self->marked;
        @now  = $self->descriptors;
        return @runs == 1 && @dirs == @clis
            && (!@before
                || $now[0] <= $before[0] + 1 && $now[1] <= $before[1] + 4);
    });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($tidy, 'no scratch directory, no descriptor is left')
        or Test::More::diag("keepers: @runs; scratch directories: @dirs; "
            . "CLIs: @clis; descriptors: @before, now @now");
    return $tidy;
}

# --- asking it ------------------------------------------------------------

sub client  { CLB::Client->open(@_) }
sub request { CLB::Client::request(@_) }
sub chat    { CLB::Client::chat(@_) }
sub stream  { CLB::Client::stream(@_) }

sub get {
    my ($self, $path, %o) = @_;
    return $self->request('GET', $path, undef, %o);
}

sub post {
    my ($self, $path, $body, %o) = @_;
    return $self->request('POST', $path, $body, %o);
}

# For what a raw socket cannot speak (HTTP/2): (exit status, output).
sub curl {
    my ($self, @args) = @_;
    open my $pipe, '-|', 'curl', '-sS', '-k', '--max-time', $limit, @args
        or die "curl: $!\n";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($? >> 8, $output);
}

1;
