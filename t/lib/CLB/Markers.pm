package CLB::Markers;

# The marker protocol: what a scripted fake model does with the text it gets.
# Markers stand in the prompt as [[name]] or [[name:argument]].
#
# The model:
#   say:TEXT  say64:BASE64  answers that text
#   stream:N:MS             answers "tok1 tok2 ... tokN", MS between the deltas
#   think:TEXT              reasons before the answer
#   muse:N:MS               reasons N times, MS between, where it stands
#   tool:NAME:JSON          calls a tool (tool64: the JSON in base64)
#   find:TEXT               "found TEXT;" or "missing TEXT;", in all it can see
#   images  tools           "images=N;"  "tools=a,b;"
#   finish:REASON  usage:IN:OUT  sleep:MS
#   error:STATUS            fails at once; error:STATUS:N after N deltas
#   reset                   forget the markers before this one
#
# The process, so that a test can put a CLI into any trouble:
#   exit:N          exits with status N
#   stderr:BYTES    floods stderr
#   big:BYTES       answers that many bytes in one line
#   garbage         writes bytes that are not UTF-8
#   hang            never answers (fake-lines: until cancelled or at EOF)
#   ignoreterm      ignores SIGTERM, then goes on
#   fork            "forked PID;", a sleeping grandchild in the same process
#                   group that holds the same stdin, stdout and stderr
#   setsid          "setsid PID;", a grandchild in a session of its own with
#                   /dev/null for its descriptors
#   closeout        closes stdout and lives on
#   env:NAME        "env NAME=value;" or "env NAME unset;"
#   args            "args <a> <b>;", what it was started with
#   say2:TEXT       writes that text to stderr
#   cwd             "cwd=PATH entries=a,b;"
#   fds             "fds 0=target 1=target;"
#   status          signal, id and process-group lines of /proc/self/status
#   request         the content of the file named by CLIBRIDGE_REQUEST
#   gate:PATH       waits until that file is there
#
# fake-lines and fake-claude:
#   halfline        writes half a JSON line and hangs
#   notjson         writes a line that is not JSON, then goes on
#   surrogate       a text with a lone \ud800 escape
#
# fake-lines only:
#   nostdin         finishes the turn and never reads stdin again
#   ignorecancel    does not hear a cancel during this turn
#
# fake-claude only:
#   then:WAY        what it does when the answer is out
#
# Text is Perl characters everywhere in here; the fakes encode and decode.

use strict;
use warnings;

use Encode ();
use Exporter 'import';
use MIME::Base64 ();
use POSIX ();

our @EXPORT_OK = qw(parse strip context plan play);

my @args = @ARGV;    # before options are taken out of it

my $bare = join '|', qw(
    reset images tools garbage hang ignoreterm fork setsid closeout cwd fds
    args status request halfline notjson surrogate nostdin ignorecancel);
my $with = join '|', qw(
    say64 say stream tool64 tool think muse error find finish usage sleep
    exit stderr say2 big env gate then);
my $marker = qr/\[\[($bare|(?:$with):.*?)\]\]/s;

# Steps that answer something; a turn without any of them says "ok".
my %speaks = map { $_ => 1 }
    qw(text garbage surrogate big fork setsid env args cwd fds status request);

sub unbase64 {
    Encode::decode('UTF-8', MIME::Base64::decode_base64($_[0]));
}

# The markers of one text in order, from the last [[reset]] on.
sub parse {
    my ($text) = @_;
    my @found;
    while ($text =~ /$marker/g) {
        my ($op, $arg) = split /:/, $1, 2;
        if ($op eq 'reset') {
            @found = ();
            next;
        }
        if ($op eq 'say64') {
            ($op, $arg) = ('say', unbase64($arg));
        }
        elsif ($op eq 'tool' || $op eq 'tool64') {
            my ($name, $json) = split /:/, $arg, 2;
            $json = '{}' unless defined $json;
            $json = unbase64($json) if $op eq 'tool64';
            push @found, { op => 'tool', name => $name, args => $json };
            next;
        }
        push @found, { op => $op, arg => $arg };
    }
    return @found;
}

sub strip {
    my ($text) = @_;
    $text =~ s/$marker//g;
    return $text;
}

sub text_of {
    my ($content) = @_;
    return '' unless defined $content;
    return $content unless ref $content;
    return join '', map { $_->{text} // '' } @$content;
}

# What plan() wants to know, out of {system, messages} of fake-lines.
sub context {
    my ($request) = @_;
    my @messages = @{ $request->{messages} || [] };
    my ($last, @results, $images) = ('');
    for my $message (@messages) {
        my ($role, $content) = @$message{qw(role content)};
        $images += grep { ($_->{type} // '') =~ /image/ } @$content
            if ref $content;
        if ($role eq 'user') {
            my $text = text_of($content);
            $last = $text if !parse($last) || parse($text);
            @results = ();
        }
        elsif ($role eq 'tool') {
            push @results, text_of($content);
        }
        else {
            # An answer uses the markers up, but results may follow it.
            ($last, @results) = ('');
        }
    }
    return (
        text       => $last,
        results    => \@results,
        images     => $images || 0,
        everything => join("\n", $request->{system} // '',
                           map { text_of($_->{content}) } @messages),
    );
}

# One turn of the model: {think, steps, calls, error, finish, usage, sleep}.
# Takes text, everything, results, images, tools.
sub plan {
    my (%ctx) = @_;
    my %turn = (think => '', sleep => 0, steps => [], calls => []);
    my $say = sub {
        push @{ $turn{steps} },
            { op => 'text', text => $_[0], delay => $_[1] || 0 };
    };
    my @tools  = sort @{ $ctx{tools} || [] };
    my $images = $ctx{images} || 0;

    if (@{ $ctx{results} || [] }) {
        $say->('tool said: ' . join ' | ', @{ $ctx{results} });
        return \%turn;
    }
    for my $m (parse($ctx{text})) {
        my ($op, $arg) = @$m{qw(op arg)};
        if ($op eq 'say') { $say->($arg) }
        elsif ($op eq 'stream') {
            my ($n, $ms) = split /:/, $arg;
            $say->($_ > 1 ? " tok$_" : 'tok1', $_ > 1 && $ms) for 1 .. $n;
        }
        elsif ($op eq 'muse') {
            my ($n, $ms) = split /:/, $arg;
            push @{ $turn{steps} }, ({ op => 'muse', delay => $ms }) x $n;
        }
        elsif ($op eq 'find') {
            my $all = strip($ctx{everything} // $ctx{text});
            $say->((index($all, $arg) < 0 ? 'missing' : 'found') . " $arg;");
        }
        elsif ($op eq 'images') { $say->("images=$images;") }
        elsif ($op eq 'tools')  { $say->('tools=' . join(',', @tools) . ';') }
        elsif ($op eq 'tool') {
            my ($name) = grep { $_ eq $m->{name} } @tools;
            ($name) = grep { /^mcp_.*_\Q$m->{name}\E$/ } @tools
                unless defined $name;
            if (defined $name) {
                push @{ $turn{calls} }, { name => $name, args => $m->{args} };
            }
            else { $say->("no such tool: $m->{name}") }
        }
        elsif ($op eq 'think')  { $turn{think} .= $arg }
        elsif ($op eq 'finish') { $turn{finish} = $arg }
        elsif ($op eq 'sleep')  { $turn{sleep} += $arg }
        elsif ($op eq 'usage') {
            @{ $turn{usage} }{qw(in out)} = split /:/, $arg;
        }
        elsif ($op eq 'error') {
            @{ $turn{error} }{qw(status after)} = split /:/, $arg;
        }
        else { push @{ $turn{steps} }, $m }
    }
    $say->('ok') unless $turn{error} || @{ $turn{calls} }
        || grep { $speaks{ $_->{op} } } @{ $turn{steps} };
    return \%turn;
}

# Plays a turn. The caller gives {text}, {think}, {wait}: wait(MS) is false
# when the turn was cancelled; any other key is its own way to do that step.
# Returns 'done', 'cancelled' or the status the turn fails with.
sub play {
    my ($turn, $do) = @_;
    my $fails = sub {
        my $e = $turn->{error} or return;
        return !defined $e->{after} ? $_[0] < 0 : $_[0] >= $e->{after};
    };
    return 'cancelled' unless $do->{wait}->($turn->{sleep});
    return $turn->{error}{status} if $fails->(-1);
    $do->{think}->($turn->{think}) if length $turn->{think};

    my $deltas = 0;
    for my $step (@{ $turn->{steps} }) {
        my ($op, $text) = @$step{qw(op text)};
        if ($op eq 'muse') { $do->{think}->('hm') }
        elsif ($op ne 'text') {
            my $own = $do->{$op} || \&{"do_$op"};
            $text = $own->($step->{arg});
        }
        return 'cancelled' unless $do->{wait}->($step->{delay});
        next unless defined $text;
        return $turn->{error}{status} if $fails->($deltas++);
        $do->{text}->($text);
    }
    return $turn->{error} ? $turn->{error}{status} : 'done';
}

sub slurp {
    my ($name) = @_;
    open my $file, '<:encoding(UTF-8)', $name or return "$name: $!";
    local $/;
    return scalar(<$file>) // '';
}

# Steps: each returns the text to answer, or undef.

sub do_exit { POSIX::_exit($_[0]) }
sub do_big  { 'x' x $_[0] }
sub do_hang { sleep 3600 while 1 }

sub do_ignoreterm {
    $SIG{TERM} = 'IGNORE';
    return;
}

sub do_stderr {
    my ($left) = @_;
    my $lines = ('e' x 79 . "\n") x 500;
    while ($left > 0) {
        my $n = syswrite STDERR, $lines, $left < 40_000 ? $left : 40_000;
        last unless $n;
        $left -= $n;
    }
    return;
}

sub do_closeout {
    close STDOUT;
    do_hang();
}

sub grandchild {
    my ($prepare) = @_;
    defined(my $pid = fork) or return "fork: $!;";
    return $pid if $pid;
    $prepare->();
    exec 'sleep', '3600' or POSIX::_exit(127);
}

sub do_fork {
    return 'forked ' . grandchild(sub { }) . ';';
}

sub do_setsid {
    return 'setsid ' . grandchild(sub {
        POSIX::setsid();
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
    }) . ';';
}

sub do_env {
    my ($name) = @_;
    return exists $ENV{$name} ? "env $name=$ENV{$name};" : "env $name unset;";
}

sub do_args { 'args' . join('', map { " <$_>" } @args) . ';' }

sub do_say2 {
    print STDERR Encode::encode('UTF-8', $_[0]);
    return;
}

sub do_cwd {
    opendir my $dir, '.' or return "cwd: $!;";
    my @names = sort grep { !/^\.\.?$/ } readdir $dir;
    return 'cwd=' . POSIX::getcwd() . ' entries=' . join(',', @names) . ';';
}

sub do_fds {
    opendir my $dir, '/proc/self/fd' or return "fds: $!;";
    my %target = map { $_ => readlink "/proc/self/fd/$_" }
        grep { /^\d+$/ } readdir $dir;
    my @own = grep { ($target{$_} // '') ne "/proc/$$/fd" } keys %target;
    return 'fds ' . join(' ', map { "$_=" . ($target{$_} // '?') }
                              sort { $a <=> $b } @own) . ';';
}

sub do_status {
    return join '', map { "$_\n" }
        grep { /^(SigBlk|SigIgn|Uid|Gid|Groups|NSpgid):/ }
        split /\n/, slurp('/proc/self/status');
}

sub do_request {
    return slurp($ENV{CLIBRIDGE_REQUEST} // return 'CLIBRIDGE_REQUEST unset;');
}

sub do_gate {
    select undef, undef, undef, 0.01 until -e $_[0];
    return;
}

# Only the fakes that write JSON know these; elsewhere they mean nothing.
sub do_then { }
sub do_halfline { }
sub do_notjson { }
sub do_surrogate { }
sub do_nostdin { }
sub do_ignorecancel { }

1;
