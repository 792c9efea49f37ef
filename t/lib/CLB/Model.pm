package CLB::Model;

# The model behind a real CLI, on loopback: what it received is what a test of
# t/cli asserts on.
#
#   my $m = CLB::Model->start;
#   my $s = CLB::Server->start(config => $m->config(program => 'claude'));
#   $m->requests    every question so far, oldest first:
#                   {n, t, path, headers, body, end, end_t}; end is 'done',
#                   'closed' (the client left first) or undef
#   $m->last        the last of them
#   $m->end($n)     how the N-th ended, if it did
#   $m->ended($n)   the same, waiting for it
#   all_gone($s)    waits until no process is left that has served a turn, and
#                   so nothing more can come
#   $m->stop
#
# What the model says is decided by markers in the prompt (t/bin/markers.mjs).
# An API that says something else, always the same, and keeps no log:
#
#   my $m = CLB::Model->canned(status => 400, body => $json,
#                              headers => { 'retry-after' => 3 });
#
# config() takes driver (claude, codex, gemini or qwen), program (a pinned one, or a path; the
# one called like the driver), name (of the section), models, key (undef = no
# credentials at all), url and more (text of further directives).
#
# system_of($body), turns_of($body): the client's part of a request, without
# what the CLI adds itself, so that tests can compare exactly:
#   ['text', ...]   and   [[role => 'text', ...], ...]
# where a block that is no text stands as it came; thinking_of($body) is the
# same of `thinking`. In a body of the Responses API, an item that is no
# message is a turn of its own, [type => {...}].

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();

use CLB::Server;

our @EXPORT_OK = qw(all_gone cli sse system_of thinking_of turns_of);

my $json = JSON::PP->new->utf8;

# The path of one of the pinned programs.
sub cli {
    my ($name) = @_;
    my $dir = $ENV{CLIBRIDGE_CLIS}
        or die "CLIBRIDGE_CLIS is not set; t/bin/fetch-clis prints it\n";
    return "$dir/bin/$name";
}

# --- starting and ending --------------------------------------------------

sub start {
    my ($class) = @_;
    my $self = bless { owner => $$, rest => '', all => [], posts => [] },
        $class;
    $self->{dir} = File::Temp->newdir;
    my $log = "$self->{dir}/log";
    my $script = dirname(__FILE__) . '/../../bin/model-server.mjs';
    $self->{pid} = open $self->{out}, '-|', cli('node'), $script, '--log', $log
        or die "node: $!\n";
    my $line = readline($self->{out}) // '';
    ($self->{port}) = $line =~ /^listening (\d+)/
        or die "the model server did not start\n";
    open $self->{log}, '<', $log or die "$log: $!\n";
    return $self;
}

sub canned {
    my ($class, %o) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         Listen => 16) or die "listen: $@\n";
    defined(my $pid = fork) or die "fork: $!\n";
    unless ($pid) {
        @SIG{qw(TERM HUP INT)} = ('DEFAULT') x 3;
        while (my $client = $listener->accept) { serve($client, %o) }
        POSIX::_exit(0);
    }
    return bless { owner => $$, pid => $pid, port => $listener->sockport },
        $class;
}

# Anything but a POST is the CLI seeing whether somebody is there.
sub serve {
    my ($client, %o) = @_;
    local $/ = "\r\n\r\n";
    my $head = <$client> // return;
    read $client, my ($body), $head =~ /^content-length: (\d+)/im ? $1 : 0;
    my $post = $head =~ /^POST/;
    my %h = ('content-type' => 'application/json', connection => 'close',
             $post ? %{ $o{headers} || {} } : ());
    print $client 'HTTP/1.1 ', $post ? $o{status} || 200 : 200, " X\r\n",
        (map { "$_: $h{$_}\r\n" } sort keys %h), "\r\n",
        $post ? $o{body} : '';
    close $client;
}

# The events as a stream, each named by its type.
sub sse {
    return join '', map { "event: $_->{type}\ndata: " . $json->encode($_)
                          . "\n\n" } @_;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    local ($?, $!);
    kill TERM => $pid;
    if ($self->{out}) { close $self->{out} }    # waits for it
    else              { waitpid $pid, 0 }
    return;
}

sub DESTROY { $_[0]->stop }

# --- the backend that asks it ---------------------------------------------

sub url { "http://127.0.0.1:$_[0]{port}" }

my %api = (
    claude => { models => 'claude-*', url => 'ANTHROPIC_BASE_URL', path => '',
                key => 'ANTHROPIC_API_KEY' },
    codex  => { models => 'gpt-*', url => 'OPENAI_BASE_URL', path => '/v1',
                key => 'OPENAI_API_KEY' },
    gemini => { models => 'gemini-*', url => 'GOOGLE_GEMINI_BASE_URL',
                path => '', key => 'GEMINI_API_KEY' },
    qwen   => { models => 'qwen-*', url => 'OPENAI_BASE_URL', path => '/v1',
                key => 'OPENAI_API_KEY' },
);

sub config {
    my ($self, %o) = @_;
    my $driver = $o{driver} || 'claude';
    my $api = $api{$driver};
    my $key = exists $o{key} ? $o{key} : 'sk-ant-test';
    my $program = $o{program} || $driver;
    return join '', map { "$_\n" }
        '<CLIBridgeBackend ' . ($o{name} || $driver) . '>',
        "CLIBridgeDriver $driver",
        'CLIBridgeProgram ' . ($program =~ m{^/} ? $program : cli($program)),
        'CLIBridgeModels ' . ($o{models} || $api->{models}),
        "CLIBridgeEnv $api->{url} " . ($o{url} || $self->url) . $api->{path},
        defined $key ? "CLIBridgeEnv $api->{key} $key" : (),
        '@MARK@', $o{more} || (), '</CLIBridgeBackend>';
}

# --- what it received -----------------------------------------------------

sub read_log {
    my ($self) = @_;
    seek $self->{log}, 0, 1;    # forget the end of the file
    while (defined(my $line = readline $self->{log})) {
        $self->{rest} .= $line;
        last unless $self->{rest} =~ /\n\z/;
        my $entry = $json->decode($self->{rest});
        $self->{rest} = '';
        if ($entry->{end}) {
            @{ $self->{all}[ $entry->{n} ] }{qw(end end_t)} =
                @$entry{qw(end t)};
            next;
        }
        $self->{all}[ $entry->{n} ] = $entry;
        # counting tokens is asking nothing
        push @{ $self->{posts} }, $entry if $entry->{method} eq 'POST'
            && $entry->{path} !~ /:countTokens/;
    }
    return;
}

sub requests {
    my ($self) = @_;
    $self->read_log;
    return @{ $self->{posts} };
}

sub last { ($_[0]->requests)[-1] }

sub end {
    my ($self, $n) = @_;
    $self->read_log;
    return $self->{all}[$n] && $self->{all}[$n]{end};
}

sub ended {
    my ($self, $n, $timeout) = @_;
    return CLB::Server->wait_for(sub { $self->end($n) },
                                 "the end of request $n at the model",
                                 $timeout);
}

sub all_gone {
    my ($s) = @_;
    return $s->wait_for(sub {
        my $health = $s->health or return;
        !grep { $_->{leased} || $_->{settling} || $_->{dying} }
            @{ $health->{backends} };
    }, 'the end of the processes that served');
}

# --- the client's part of it ----------------------------------------------

# At the head of `system`, in every version.
my @identity = (
    qr/x-anthropic-billing-header: cc_version=[\w.]+; cc_entrypoint=sdk-cli;/,
    qr/You are a Claude agent, built on Anthropic's Claude Agent SDK\./,
);

# What each version adds to the messages, once per request.
my $date = qr/Today's date is \d{4}-\d\d-\d\d\.\n/;
my %facts = (
    context     => qr/As you answer the user's questions, you can use [^\n]*\n/,
    relevance   => qr/\n +IMPORTANT: this context may or may not [^\n]*\n/,
    model       => qr/You are powered by the model [^\n]*\n/,
    environment => join '', "# Environment\n[^\n]*\n", map { " - $_\[^\n]*\n" }
        'Primary working directory: ', 'Is a git repository: (?:true|false)',
        'Platform: ', 'Shell: ', 'OS Version: ', 'Downloaded files and ',
        'In `curl`, ',
);
my %reminders = (
    '2.1.197' => [
        qr/$facts{context}# currentDate\n$date$facts{relevance}/,
    ],
    '2.1.329' => [ @facts{qw(environment model)}, $date ],
);

# With some models 2.1.329 says it in messages of their own: the date behind
# the first question of the process, which may not be the first of all.
my $system = qr/$facts{environment}\n$facts{model}(?:\n$date)?|$date/;

sub version_of {
    my ($body) = @_;
    my ($version) = ($body->{system}[0]{text} // '')
        =~ /cc_version=(\d+\.\d+\.\d+)/;
    return $version // '';
}

sub system_of {
    my ($body) = @_;
    return instructions_of($body) if $body->{input};
    my @texts = map { $_->{text} } @{ $body->{system} || [] };
    for my $own (@identity) {
        shift @texts if @texts && $texts[0] =~ /\A$own\z/;
    }
    return \@texts;
}

# True once for each reminder that the version of $body adds.
sub reminders_of {
    my ($body) = @_;
    my @own = @{ $reminders{ version_of($body) } || [] };
    return sub {
        my ($text) = @_;
        for my $i (0 .. $#own) {
            next unless $text =~
                m{\A<system-reminder>\n$own[$i]</system-reminder>\n*\z};
            splice @own, $i, 1;
            return 1;
        }
        return 0;
    };
}

# A block without the CLI's mark of how far the vendor may cache.
sub uncached {
    my %block = %{ $_[0] };
    delete $block{cache_control};
    return \%block;
}

sub turns_of {
    my ($body) = @_;
    return items_of($body) if $body->{input};
    my $is_reminder = reminders_of($body);
    my @turns;
    for my $message (@{ $body->{messages} }) {
        my ($role, $content) = @$message{qw(role content)};
        my @parts = map { $_->{type} eq 'text' ? $_->{text} : uncached($_) }
            ref $content ? @$content : { type => 'text', text => $content };
        next if $role eq 'system' && "@parts\n" =~ /\A(?:$system)\z/;
        @parts = grep { ref || !$is_reminder->($_) } @parts
            if $role eq 'user';
        push @turns, [ $role, @parts ];
    }
    return \@turns;
}

# `thinking` without how much of it 2.1.329 wants to be shown.
sub thinking_of {
    my ($body) = @_;
    my %thinking = %{ $body->{thinking} || {} };
    delete $thinking{display}
        if version_of($body) eq '2.1.329'
        && ($thinking{display} // '') eq 'updates';
    return \%thinking;
}

# --- the same of the Responses API ----------------------------------------

# Where the system prompt ends and the conversation begins.
sub start_of {
    my @items = @_;
    my $i = 0;
    $i++ while $i < @items && ($items[$i]{role} // '') eq 'developer';
    return $i;
}

# Texts as they are, other parts as they came.
sub parts_of {
    my ($content) = @_;
    return $content unless ref $content;
    return map { $_->{text} // $_ } @$content;
}

sub instructions_of {
    my ($body) = @_;
    my @items = @{ $body->{input} };
    return [ grep { defined && length } $body->{instructions},
        map { parts_of($_->{content}) } @items[ 0 .. start_of(@items) - 1 ] ];
}

sub items_of {
    my ($body) = @_;
    my @items = @{ $body->{input} };
    return [ map {
        my %item = %$_;
        delete @item{qw(id status)};
        my $type = delete $item{type};
        $type eq 'message' ? [ $item{role}, parts_of($item{content}) ]
                           : [ $type => \%item ];
    } @items[ start_of(@items) .. $#items ] ];
}

1;
