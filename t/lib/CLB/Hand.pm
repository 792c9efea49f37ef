package CLB::Hand;

# A CLI driven by hand, to measure the bridge against: the program, arguments,
# environment and user of the bridge's own, and the same lines, over two pipes,
# with nothing in between.
#
#   my $h = CLB::Hand->new($s, 'claude');   # like those of that CLB::Server
#   $h->warm;                            # it is ready, as the bridge's are
#   my $ms = $h->ask($text, $model);     # from the question to the first word
#   my $ms = $h->ask($text);             # the next turn of the conversation
#   $h->stop;

use strict;
use warnings;

use File::Path ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time);

use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;

my %agents = map { $_ => 1 } qw(gemini qwen);

sub new {
    my ($class, $s, $driver) = @_;
    our $count;
    my $self = bless { owner => $$, got => '', driver => $driver,
                       dir => $s->path('hand') . ++$count }, $class;
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    $s->own($self->{dir});
    my $pid = $self->like($s);
    pipe my $its_in, $self->{in} or die "pipe: $!\n";
    pipe $self->{out}, my $its_out or die "pipe: $!\n";
    defined($self->{pid} = fork) or die "fork: $!\n";
    become($self, $s, $pid, $its_in, $its_out) unless $self->{pid};
    return $self;
}

# The process of the bridge's that it is to be like: one that stays. Agents
# write into the private directory of theirs, and so get a copy of it, without
# what says where it was.
sub like {
    my ($self, $s) = @_;
    for (1 .. 100) {
        for my $pid (map { $_->{pid} }
                     CLB::Server::children_of($s->keeper_pid)) {
            readlink "/proc/$pid/exe" or next;
            return $pid unless $agents{ $self->{driver} };
            my $from = (readlink("/proc/$pid/cwd") // next) =~ s{/w$}{}r;
            system("cp -a '$from/.' '$self->{dir}' 2>/dev/null") == 0 or next;
            system("find '$self->{dir}' '(' -name projects.json "
                   . "-o -name .project_root ')' -delete") == 0 or next;
            $self->{copied} = $from;
            return $pid if readlink "/proc/$pid/exe";
        }
        select undef, undef, undef, .1;
    }
    die "the bridge has no process\n";
}

sub become {
    my ($self, $s, $pid, $in, $out) = @_;
    my $program = readlink "/proc/$pid/exe";
    my @argv = split /\0/, CLB::Server::slurp("/proc/$pid/cmdline");
    my %env  = map { /^([^=]+)=(.*)/s }
               split /\0/, CLB::Server::slurp("/proc/$pid/environ");
    POSIX::setpgid(0, 0);
    open STDIN,  '<&', $in;
    open STDOUT, '>&', $out;
    open STDERR, '>',  '/dev/null';
    chdir($self->{copied} ? "$self->{dir}/w" : $self->{dir});
    s/^\Q$self->{copied}\E/$self->{dir}/ for $self->{copied} ? values %env : ();
    if ($> == 0) {
        $( = $s->{gid};
        $) = "$s->{gid} $s->{gid}";
        POSIX::setuid($s->{uid});
    }
    %ENV = (%env, TMPDIR => $self->{dir});
    exec { $program } @argv or POSIX::_exit(127);
}

sub put {
    my ($self, @lines) = @_;
    syswrite $self->{in}, join '', map { $json->encode($_) . "\n" } @lines;
}

sub control {
    my ($id, %request) = @_;
    return { type => 'control_request', request_id => $id,
             request => \%request };
}

# When $text has come; it and all before it is taken.
sub wait_for {
    my ($self, $text) = @_;
    my $now = time;
    while (index($self->{got}, $text) < 0) {
        sysread $self->{out}, $self->{got}, 65536, length $self->{got}
            or die "$self->{driver} ended before it said $text\n";
        $now = time;
        die "$self->{driver}: $self->{got}\n"
            if $agents{ $self->{driver} } && $self->{got} =~ /"error":/;
    }
    $self->{got} =~ s/^.*?\Q$text\E//s;
    return $now;
}

# --- what is said, by driver ----------------------------------------------

sub warm_claude {
    my ($self) = @_;
    $self->put(control('w0', subtype => 'get_binary_version'),
               control('w1', subtype => 'apply_flag_settings',
                             settings => {}));
    $self->wait_for('"request_id":"w1"');
}

sub question_claude {
    my ($self, $text, $model) = @_;
    $self->put(
        $model ? control('i', subtype => 'initialize', title => 'x',
            systemPrompt => [],
            agents => { bridge => { description => 'b', prompt => 'b',
                                    model => $model } }) : (),
        { type => 'user', parent_tool_use_id => undef, message => {
            role => 'user', content => [ { type => 'text', text => $text },
                                         { type => 'text', text => '' } ] } });
}

sub call {
    my ($id, $method, %params) = @_;
    return { id => $id, method => $method, params => \%params };
}

sub warm_codex {
    my ($self) = @_;
    $self->put(call('i', 'initialize',
        clientInfo   => { name => 'clibridge', version => '1' },
        capabilities => { experimentalApi => JSON::PP::true }));
    $self->wait_for('"id":"i"');
    $self->put({ method => 'initialized' },
        call('t', 'thread/start', model => 'x', ephemeral => JSON::PP::true,
             baseInstructions => '', environments => []));
    $self->wait_for('"id":"t"');
    $self->wait_for('"thread":{"id":"');
    ($self->{thread}) = $self->{got} =~ /^([^"]+)/;
}

sub question_codex {
    my ($self, $text, $model) = @_;
    $self->{model} = $model if $model;
    my @thread = (threadId => $self->{thread});
    $self->put(
        call('j', 'thread/inject_items', @thread, items => [ {
            type => 'message', role => 'user', content => [ {
                type => 'input_text', text => $text } ] } ]),
        call('u', 'turn/start', @thread, input => [],
             model => $self->{model}));
}

sub request { return { jsonrpc => '2.0', %{ call(@_) } } }

sub session {
    my ($self) = @_;
    $self->put(request('s', 'session/new', cwd => '.', mcpServers => []));
    $self->wait_for('"id":"s"');
    $self->wait_for('"sessionId":"');
    ($self->{session}) = $self->{got} =~ /^([^"]+)/;
}

# One that has served before is faster.
sub warm_agent {
    my ($self) = @_;
    $self->put(request('i', 'initialize', protocolVersion => 1,
                       clientCapabilities => {}));
    $self->wait_for('"id":"i"');
    for (1 .. 3) {
        $self->session;
        $self->put($self->prompt('[[say:well]]'));
        $self->wait_for('"stopReason"');
    }
    $self->session;
}

sub prompt {
    my ($self, @texts) = @_;
    return request('p', 'session/prompt', sessionId => $self->{session},
                prompt => [ map { { type => 'text', text => $_ } } @texts ]);
}

# What it is asked to say.
sub said_to { $_[0] =~ /\[\[say:(.*?)\]\]/ ? $1 : '' }

sub warm_gemini { warm_agent(@_) }
sub warm_qwen   { warm_agent(@_) }

# A session of it takes one question. The next one loads what was said from a
# file, as the bridge does, and has no other.
sub question_gemini {
    my ($self, $text, $model) = @_;
    my @talk = @{ $self->{talk} || [] };
    push @talk, [ user => $text ];
    $self->{talk} = [ @talk, [ gemini => said_to($text) ] ];
    $self->{model} = $model if $model;
    $self->load_gemini(@talk) if @talk > 1;
    $self->put(request('m', 'session/set_model', sessionId => $self->{session},
                    modelId => $self->{model}),
               $self->prompt(@talk > 1 ? '' : $text));
}

sub load_gemini {
    my ($self, @talk) = @_;
    my $when = '2026-01-01T00:00:00.000Z';
    my $id = '00000000-0000-4000-8000-000000000001';
    open my $file, '>', "$self->{dir}/history.jsonl" or die "history: $!\n";
    print $file map { $json->encode($_) . "\n" }
        { sessionId => $id, projectHash => 'x', startTime => $when,
          lastUpdated => $when, kind => 'main' },
        map { { id => "m$_", timestamp => $when, type => $talk[$_][0],
                model => 'm', content => [ { text => $talk[$_][1] } ] } }
        0 .. $#talk;
    close $file;
    $self->{session} = $id;
    $self->put(request('l', 'session/load', sessionId => $id, cwd => '.',
                    mcpServers => []));
    $self->wait_for('"id":"l"');
}

# Its settings have the model.
sub question_qwen {
    my ($self, $text) = @_;
    $self->put($self->prompt('', $text));
}

my %said = (    # of the first word, of the end
    claude => [ '"text_delta"', '"type":"result"' ],
    codex  => [ '"item/agentMessage/delta"', '"turn/completed"' ],
    map { $_ => [ undef, '"stopReason"' ] } keys %agents,
);

sub warm { my ($self) = @_; $self->can("warm_$self->{driver}")->($self) }

# An agent repeats what was said before, too.
sub ask {
    my ($self, $text, $model) = @_;
    my $since = time;
    $self->can("question_$self->{driver}")->($self, $text, $model);
    my ($word, $end) = @{ $said{ $self->{driver} } };
    my $first = $self->wait_for($word // '"text":"' . said_to($text) . '"');
    $self->wait_for($end);
    return 1000 * ($first - $since);
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    local ($?, $!);
    kill KILL => -$pid, $pid;
    waitpid $pid, 0;
    File::Path::remove_tree($self->{dir});
    return;
}

sub DESTROY { $_[0]->stop }

1;
