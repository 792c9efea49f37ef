package CLB::Client;

# An HTTP/1.1 client that can also misbehave: cut a connection, read slowly,
# send what no library would send. Nothing in here dies: a response that did
# not come has status 0 and says why in {error}.
#
#   my $r = request($s, 'POST', '/v1/…', {…}, headers => {…});
#       {status, reason, headers (lower case), body, json, error, t}
#   my $r = chat($s, 'text' or [messages], temperature => 0);
#       the same and {text, reasoning, tool_calls, finish, usage}
#   my $r = stream($s, …);
#       {status, headers, events, text, reasoning, tool_calls, finish, usage,
#        error, done, clean, first, client}; body and json when it was no stream
# {error} is the server's error object when the stream carried one.
#
# $s is a CLB::Server, "host:port", or an open client (keep-alive).
# Options of request: headers, key (a Bearer token), timeout, chunked (sends
# the body in pieces of that many bytes), expect (waits for 100 Continue),
# version ('1.0'), and those of open: tls, alpn, host, rcvbuf, timeout.
# chat and stream take those after a dash (-headers, -key, …), -path, and
# stream -until => sub ($event, $so_far): true stops reading and leaves the
# connection open in {client}.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Scalar::Util qw(blessed);
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(time);

our @EXPORT_OK = qw(request chat stream);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

$SIG{PIPE} = 'IGNORE';    # the server may go first

# --- the connection -------------------------------------------------------

sub open {
    my ($class, $server, %o) = @_;
    my $self = bless { in => '', timeout => $o{timeout} || 20 }, $class;
    my $to = $server;
    if (blessed $server) {
        $to = '127.0.0.1:' . $server->port;
        $o{tls} //= $server->{tls};
    }
    $self->{name} = $to;
    my ($host, $port) = $to =~ /^\[?(.*?)\]?:(\d+)$/;
    $host = $o{host} if $o{host};
    if ($o{tls}) { $self->open_tls("$host:$port", %o) }
    else         { $self->open_plain($host, $port, %o) }
    $self->{socket}->blocking(0) if $self->{socket};
    return $self;
}

sub open_plain {
    my ($self, $host, $port, %o) = @_;
    my $class = 'IO::Socket::INET';
    if ($host =~ /:/) {
        require IO::Socket::IP;
        $class = 'IO::Socket::IP';
    }
    # The window is settled when connecting, so the buffer comes before it.
    $self->{socket} = $class->new(
        PeerHost => $host, PeerPort => $port, Timeout => $self->{timeout},
        $o{rcvbuf} ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, $o{rcvbuf}]]) : ())
        or $self->fail("connect to $host port $port: $@");
}

# Core Perl has no TLS; openssl is the other end of a socket pair.
sub open_tls {
    my ($self, $to, %o) = @_;
    socketpair my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or return $self->fail("socketpair: $!");
    defined(my $pid = fork) or return $self->fail("fork: $!");
    if (!$pid) {
        CORE::open STDIN,  '<&', $its;
        CORE::open STDOUT, '>&', $its;
        CORE::open STDERR, '>', '/dev/null';
        exec qw(openssl s_client -quiet -servername localhost -connect), $to,
            $o{alpn} ? ('-alpn', $o{alpn}) : () or POSIX::_exit(127);
    }
    bless $mine, 'IO::Socket';
    @$self{qw(socket openssl owner)} = ($mine, $pid, $$);
    return 1;
}

sub fail {
    my ($self, $why) = @_;
    $self->{error} //= $why;
    return;
}

sub error  { $_[0]{error} }
sub socket { $_[0]{socket} }

sub close {
    my ($self) = @_;
    if (my $socket = delete $self->{socket}) { CORE::close $socket }
    if (my $pid = delete $self->{openssl}) {
        return if $self->{owner} != $$;
        local ($?, $!);
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    return;
}

# As a process that was killed or a cable that was pulled would: with RST.
sub cut {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if $self->{socket} && !$self->{openssl};
    return $self->close;
}

sub half_close { $_[0]{socket} && shutdown $_[0]{socket}, 1 }
sub DESTROY    { $_[0]->close }

# --- bytes ----------------------------------------------------------------

# How many bytes went out; fewer than all when the server stopped reading.
sub send {
    my ($self, $bytes, $timeout) = @_;
    my $until = time + ($timeout || $self->{timeout});
    my $sent  = 0;
    while ($sent < length $bytes) {
        my $socket = $self->{socket} or return $sent;
        my $left = $until - time;
        if ($left <= 0 || !IO::Select->new($socket)->can_write($left)) {
            $self->fail('timeout while sending');
            last;
        }
        my $n = syswrite $socket, $bytes, 65536, $sent;
        next if !defined $n && $!{EAGAIN};
        unless ($n) {
            $self->fail("send: $!");
            last;
        }
        $sent += $n;
    }
    return $sent;
}

# Takes at most $size bytes into {in}: 1, 0 at EOF, undef at a time-out.
sub fill {
    my ($self, $until, $size) = @_;
    my $socket = $self->{socket} or return 0;
    for (;;) {
        my $left = $until - time;
        return $self->fail('timeout while reading')
            if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        my $n = sysread $socket, $self->{in}, $size || 65536,
                        length $self->{in};
        next if !defined $n && $!{EAGAIN};
        $self->{t} = time;
        $self->fail("read: $!") unless defined $n;
        return $n ? 1 : 0;
    }
}

# For slow readers: at most $size bytes as they come, '' at EOF.
sub read_some {
    my ($self, $size, $timeout) = @_;
    $self->fill(time + ($timeout || $self->{timeout}), $size)
        // return undef unless length $self->{in};
    return substr $self->{in}, 0, $size, '';
}

# True when the server has closed the connection, waiting for it.
sub at_eof {
    my ($self, $timeout) = @_;
    my $until = time + ($timeout || $self->{timeout});
    my $got;
    do { $got = $self->fill($until) } while $got;
    return defined $got;
}

sub take_line {
    my ($self, $until) = @_;
    while ((my $end = index $self->{in}, "\n") < 0) {
        $self->fill($until) or return;
    }
    $self->{in} =~ s/^(.*?)\r?\n//;
    return $1;
}

# --- requests -------------------------------------------------------------

sub send_request {
    my ($self, $method, $path, $body, %o) = @_;
    my $headers = $o{headers} || {};
    my %has = map { lc $_ => 1 } keys %$headers;
    my @head = map {
        my $name = $_;
        map { "$name: $_" } ref $headers->{$name} ? @{ $headers->{$name} }
            : defined $headers->{$name} ? $headers->{$name} : ();
    } sort keys %$headers;

    my $is_json = ref $body;
    $body = $json->encode($body) if $is_json;
    utf8::encode($body) if defined $body && utf8::is_utf8($body);
    push @head, "Host: $self->{name}" unless $has{host};
    push @head, "Authorization: Bearer $o{key}"
        if defined $o{key} && !$has{authorization};
    push @head, 'Content-Type: application/json'
        if defined $body && !$has{'content-type'};
    push @head, 'Expect: 100-continue' if $o{expect} && !$has{expect};
    if (defined $body && $o{chunked}) {
        push @head, 'Transfer-Encoding: chunked';
        my @pieces = unpack "(a$o{chunked})*", $body;
        $body = join '', (map { sprintf "%x\r\n%s\r\n", length, $_ } @pieces),
                         "0\r\n\r\n";
    }
    elsif (defined $body && !$has{'content-length'}) {
        push @head, 'Content-Length: ' . length $body;
    }
    delete @$self{qw(head left chunked body_end clean sse)};
    $self->{method}  = $method;
    $self->{started} = time;
    my $head = join "\r\n", "$method $path HTTP/" . ($o{version} || '1.1'),
                            @head, '', '';
    $body //= '';
    return $self->send($head . $body) unless $o{expect};
    $self->send($head);
    my $got = $self->read_one_head or return;
    return $self->send($body) if $got->{status} == 100;
    $self->start_body($got);
    return 1;
}

sub read_one_head {
    my ($self, $until) = @_;
    $until ||= time + $self->{timeout};
    my $line = $self->take_line($until)
        // return $self->fail('no response');
    my ($version, $status, $reason) = $line =~ m{^HTTP/(\S+) (\d+) ?(.*)}
        or return $self->fail("not HTTP: $line");
    my (%headers, $raw);
    for (;;) {
        my $line = $self->take_line($until)
            // return $self->fail('a header was cut');
        last if $line eq '';
        $raw .= "$line\n";
        my ($name, $value) = $line =~ /^([^:\s]+):\s*(.*?)\s*$/
            or return $self->fail("not a header: $line");
        $name = lc $name;
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value"
                                                  : $value;
    }
    return { version => $version, status => $status, reason => $reason,
             headers => \%headers, raw => $raw // '' };
}

# The head of the final response; reads it once.
sub read_head {
    my ($self, $timeout) = @_;
    return $self->{head} if $self->{head};
    my $head;
    do {
        $head = $self->read_one_head(time + ($timeout || $self->{timeout}))
            or return;
    } while $head->{status} < 200;
    return $self->start_body($head);
}

sub start_body {
    my ($self, $head) = @_;
    my $h = $head->{headers};
    $self->{head}    = $head;
    $self->{chunked} = ($h->{'transfer-encoding'} // '') =~ /chunked/i;
    $self->{left}    = $self->{chunked} ? 0 : $h->{'content-length'};
    $self->end_body(1)
        if $head->{status} == 204 || $head->{status} == 304
        || ($self->{method} // '') eq 'HEAD'
        || defined $self->{left} && !$self->{chunked} && !$self->{left};
    return $head;
}

sub end_body {
    my ($self, $clean) = @_;
    @$self{qw(body_end clean)} = (1, $clean ? 1 : 0);
    return '';
}

# The next piece of the body: '' at its end ({clean} if it was complete),
# undef at a time-out.
sub read_piece {
    my ($self, $until) = @_;
    return '' if $self->{body_end};
    if ($self->{chunked} && !$self->{left}) {
        my $size = $self->take_line($until);
        return $self->no_more unless defined $size;
        return $self->fail("not a chunk size: $size") // $self->end_body(0)
            unless $size =~ /^([0-9a-fA-F]+)/;
        $self->{left} = hex $1;
        unless ($self->{left}) {
            while (length($self->take_line($until) // return $self->no_more)) {
                # a trailer
            }
            return $self->end_body(1);
        }
    }
    unless (length $self->{in}) {
        $self->fill($until) or return $self->no_more(!defined $self->{left});
    }
    my $n = $self->{left} // length $self->{in};
    my $piece = substr $self->{in}, 0, $n, '';
    if (defined $self->{left}) {
        $self->{left} -= length $piece;
        if (!$self->{left}) {
            if ($self->{chunked}) { $self->take_line($until) // $self->no_more }
            else                  { $self->end_body(1) }
        }
    }
    return $piece;
}

sub no_more {
    my ($self, $clean) = @_;
    return undef if ($self->{error} // '') =~ /timeout/;
    $self->fail('the response was cut') unless $clean;
    return $self->end_body($clean);
}

sub decode {
    my ($text) = @_;
    return undef unless $text =~ /^\s*[\[{]/;
    return scalar eval { $json->decode($text) };
}

sub read_response {
    my ($self, $timeout) = @_;
    my $until = time + ($timeout || $self->{timeout});
    my %r = (status => 0, headers => {}, body => '');
    if (my $head = $self->read_head($timeout)) {
        %r = (%r, %$head);
        while (length(my $piece = $self->read_piece($until) // '')) {
            $r{body} .= $piece;
        }
    }
    $r{error} = $self->{error};
    $r{clean} = $self->{clean};
    $r{json}  = decode($r{body});
    $r{t}     = time - ($self->{started} // time);
    return \%r;
}

sub client_for {
    my ($at, %o) = @_;
    return $at if blessed $at && $at->isa(__PACKAGE__);
    return __PACKAGE__->open($at, %o);
}

sub request {
    my ($at, $method, $path, $body, %o) = @_;
    my $self = client_for($at, %o);
    $self->send_request($method, $path, $body, %o);
    # A refusal may stand there although the body was not taken.
    delete $self->{error} if $self->{socket};
    return $self->read_response($o{timeout});
}

# --- events ---------------------------------------------------------------

# The next event: {data, json, event, id, t} or {comment, t}, t being seconds
# since the request was sent; nothing at the end of the body or at a time-out.
sub read_event {
    my ($self, $timeout) = @_;
    my $until = time + ($timeout || $self->{timeout});
    $self->read_head($timeout) or return;
    my (%event, $seen);
    for (;;) {
        while ((my $end = index $self->{sse} //= '', "\n", $seen // 0) >= 0) {
            my $line = substr $self->{sse}, 0, $end + 1, '';
            $line =~ s/\r?\n\z//;
            $seen = 0;
            my $t = $self->{t} - ($self->{started} // 0);
            if ($line =~ /^:\s?(.*)/) {
                return { comment => $1, t => $t };
            }
            if ($line eq '') {
                next unless %event;
                $event{json} = decode($event{data} // '');
                return { %event, t => $t };
            }
            my ($name, $value) = $line =~ /^([^:]*):? ?(.*)$/;
            $event{$name} = defined $event{$name} && $name eq 'data'
                ? "$event{data}\n$value" : $value;
        }
        $seen = length $self->{sse};    # a line may be megabytes
        my $piece = $self->read_piece($until);
        return unless defined $piece && length $piece;
        $self->{sse} .= $piece;
    }
}

# --- chat -----------------------------------------------------------------

sub split_options {
    my ($text, %extra) = @_;
    my %o = map { /^-(.*)/ ? ($1 => delete $extra{$_}) : () } keys %extra;
    my $messages = ref $text ? $text : [ { role => 'user', content => $text } ];
    $o{path} ||= '/v1/chat/completions';
    return (\%o, { model => 'fake', messages => $messages, %extra });
}

sub chat {
    my ($at, $text, %extra) = @_;
    my ($o, $body) = split_options($text, %extra);
    delete $body->{model} unless defined $body->{model};
    my $r = request($at, 'POST', $o->{path}, $body, %$o);
    my $choice = ref $r->{json} eq 'HASH' && $r->{json}{choices}
        ? $r->{json}{choices}[0] : {};
    my $message = $choice->{message} || {};
    @$r{qw(text reasoning tool_calls finish)} =
        (@$message{qw(content reasoning_content tool_calls)},
         $choice->{finish_reason});
    $r->{usage} = $r->{json}{usage} if ref $r->{json} eq 'HASH';
    return $r;
}

sub add_delta {
    my ($r, $chunk) = @_;
    $r->{usage} = $chunk->{usage} if $chunk->{usage};
    $r->{error} = $chunk->{error} if $chunk->{error};
    my $choice = ($chunk->{choices} || [])->[0] or return;
    my $delta = $choice->{delta} || {};
    $r->{finish}     = $choice->{finish_reason} if $choice->{finish_reason};
    $r->{text}      .= $delta->{content} // '';
    $r->{reasoning} .= $delta->{reasoning_content} // '';
    for my $part (@{ $delta->{tool_calls} || [] }) {
        my $call = $r->{tool_calls}[ $part->{index} // 0 ]
            ||= { arguments => '' };
        $call->{id}   = $part->{id} if defined $part->{id};
        $call->{name} = $part->{function}{name}
            if defined $part->{function}{name};
        $call->{arguments} .= $part->{function}{arguments} // '';
    }
}

sub stream {
    my ($at, $text, %extra) = @_;
    my ($o, $body) = split_options($text, stream => JSON::PP::true, %extra);
    delete $body->{model} unless defined $body->{model};
    my $self = client_for($at, %$o);
    $self->send_request('POST', $o->{path}, $body, %$o);
    delete $self->{error} if $self->{socket};

    my $head = $self->read_head($o->{timeout});
    my $type = $head ? $head->{headers}{'content-type'} // '' : '';
    my %r = (events => [], text => '', reasoning => '', done => 0);
    return { %r, %{ $self->read_response($o->{timeout}) } }
        unless $type =~ m{^text/event-stream};
    %r = (%r, %$head);
    while (my $event = $self->read_event($o->{timeout})) {
        push @{ $r{events} }, $event;
        $r{first} //= $event->{t} unless defined $event->{comment};
        $r{done} = 1 if ($event->{data} // '') eq '[DONE]';
        add_delta(\%r, $event->{json}) if ref $event->{json} eq 'HASH';
        if ($o->{until} && $o->{until}->($event, \%r)) {
            $r{client} = $self;
            last;
        }
    }
    $r{error} //= $self->{error};
    $r{clean} = $self->{clean};
    return \%r;
}

1;
