package CLB::Soak::Client;

# What the clients of t/load/soak do: each act is some requests of one kind.
# An answer is compared with what its prompt asked for, and told as
#
#   {begin => 1, kind, model, via, t}
#   {end => KIND, model, via, t, took, first, outcome, code, why}
#
# outcome   ok       all of the answer, or the refusal that was provoked
#           refused  another error instead of an answer
#           broken   an error after a part of the answer
#           cut      the connection ended without an error
#           closed   the same on a kept connection, before a byte: ask again
#           unheard  the same on one of HTTP/2, which a restart turns away
#           left     the client went away itself
#           hang     nothing came any more
#           wrong    anything else; why says what
#
# new takes server, number (of the client), models (name => weight, ...), keys
# and patience (seconds until an answer counts as lost).

use strict;
use warnings;
use utf8;

use Exporter 'import';
use File::Temp ();
use JSON::PP ();
use List::Util qw(sum0);
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(sleep time);

use CLB::Client;
use CLB::Server;

our @EXPORT_OK = qw(weighted);

my $json = JSON::PP->new->utf8->canonical;
my $chat = '/v1/chat/completions';

# How often each kind comes, of their sum.
my @kinds = (
    whole => 20, stream => 20, talk => 15, cut => 12, bad => 8, keep => 6,
    trouble => 8, key => 4, body => 2, slow => 2, burst => 1,
);
my %act = (
    whole => \&whole, stream => \&stream, talk => \&talk, cut => \&cut,
    bad => \&bad, keep => \&keep, trouble => \&trouble, key => \&key,
    body => \&body, slow => \&slow, burst => \&burst,
);

sub new {
    my ($class, %o) = @_;
    return bless { %o, talks => 0 }, $class;
}

sub one_of { $_[rand @_] }

# Of value => weight pairs.
sub weighted {
    my @pairs = @_;
    my $at = rand sum0(map { $pairs[2 * $_ + 1] } 0 .. $#pairs / 2);
    while (@pairs > 2 && ($at -= $pairs[1]) >= 0) { splice @pairs, 0, 2 }
    return $pairs[0];
}

# One act; the number of requests it made.
sub act {
    my ($self, $tell) = @_;
    local @$self{qw(tell asked)} = ($tell, 0);
    my $kind = weighted(@kinds);
    $self->{kind} = $kind;
    $act{$kind}->($self);
    return $self->{asked};
}

# --- asking ---------------------------------------------------------------

sub model { weighted(@{ $_[0]{models} }) }

sub user      { { role => 'user',      content => $_[0] } }
sub assistant { { role => 'assistant', content => $_[0] } }

sub way {
    my ($self) = @_;
    return weighted(plain => 7, tls => 2, $self->{server}{h2} ? (h2 => 1) : ());
}

# Where that is, and options of CLB::Client.
sub to {
    my ($self, $via) = @_;
    my $s = $self->{server};
    return $via eq 'plain' ? ($s) : ("127.0.0.1:$s->{tls_port}", tls => 1);
}

# The error that an answer carries, in either place.
sub error_of {
    my ($r) = @_;
    return $r->{error} if ref $r->{error} eq 'HASH';
    return ref $r->{json} eq 'HASH' && ref $r->{json}{error} eq 'HASH'
         ? $r->{json}{error} : undef;
}

my %status = (
    queue_full => 429, queue_timeout => 429, rate_limit_exceeded => 429,
    insufficient_quota => 429, cli_failed => 502, upstream_error => 502,
    overloaded => 503, shutting_down => 503, login_required => 503,
    cli_missing => 503, timeout => 504, missing_api_key => 401,
    invalid_api_key => 401, model_not_found => 404, not_found => 404,
    method_not_allowed => 405, request_too_large => 413,
    unsupported_parameter => 400, none => 400,
);

# What is wrong with an error, if anything.
sub wrong_error {
    my ($r, $error) = @_;
    my $code = $error->{code} // 'none';
    return "unknown code $code" unless $status{$code};
    return 'an error without a message' unless length($error->{message} // '');
    return if $r->{status} == 200;    # in a stream
    return "$code with status $r->{status}" if $r->{status} != $status{$code};
    return 'no x-request-id' unless $r->{headers}{'x-request-id'};
    return 'no Retry-After' if $code =~ /^queue_/
                            && !$r->{headers}{'retry-after'};
    return;
}

sub is_want {
    my ($want, $text) = @_;
    return ref $want eq 'Regexp' ? $text =~ $want : $text eq $want;
}

# (outcome, code, why) of an answer that should be $want: a text, a pattern of
# one, or a reference to the code of a refusal.
sub judge {
    my ($r, $want) = @_;
    my $text  = $r->{text} // '';
    my $error = error_of($r);
    my $end   = $r->{finish} // 'none';
    if ($r->{done} || $r->{status} == 200 && $r->{json} && !$error) {
        return ('wrong', undef, 'an answer and an error') if $error;
        return ('wrong', undef, "an answer instead of $$want: $text")
            if ref $want eq 'SCALAR';
        return ('wrong', undef, "finish_reason $end") if $end ne 'stop';
        return ('ok') if is_want($want, $text);
        return ('wrong', undef, "asked for '$want', got '$text'");
    }
    return ('wrong', undef, "'$text' is no beginning of '$want'")
        if length $text && !ref $want && index($want, $text) != 0;
    if ($error) {
        my $code  = $error->{code} // 'none';
        my $wrong = wrong_error($r, $error);
        return ('wrong', $code, $wrong) if $wrong;
        return ('ok', $code) if ref $want eq 'SCALAR' && $code eq $$want;
        return ($r->{status} == 200 ? 'broken' : 'refused', $code,
                $error->{message});
    }
    my $why = ref $r->{error} ? '' : $r->{error} // '';
    return ('hang', undef, $why) if $why =~ /^timeout/;
    return ('cut', undef, "$why, status $r->{status}, '$text'")
        if !$r->{status} || !$r->{clean};
    return ('wrong', undef, "status $r->{status}: " . ($r->{body} // ''));
}

sub begin {
    my ($self, %o) = @_;
    $self->{asked}++;
    my $t = time;
    $self->{tell}->({ begin => 1, kind => $self->{kind}, t => $t, %o });
    return $t;
}

sub finish {
    my ($self, $began, $r, $want, %o) = @_;
    my ($outcome, $code, $why) = $o{outcome} ? ($o{outcome})
                                             : judge($r, $want);
    $outcome = $o{kept} ? 'closed' : ($o{via} // '') eq 'h2' ? 'unheard' : 'cut'
        if $outcome eq 'cut' && !$r->{status};
    my $request = $r->{headers} && $r->{headers}{'x-request-id'};
    $why = join ' ', $request // (), substr $why, 0, 400 if defined $why;
    $self->{tell}->({ end => $self->{kind}, t => $began, took => time - $began,
        model => $o{model}, via => $o{via}, outcome => $outcome,
        code => $code, why => $why, first => $r->{first} });
    return $outcome;
}

# Asks, judges, tells. Options: model, via, stream, path, key, at (a connection
# that stays), want; the rest are fields of the request.
sub ask {
    my ($self, $messages, %o) = @_;
    my $model  = delete $o{model} // $self->model;
    my $via    = delete $o{via}   // $self->way;
    my $want   = delete $o{want};
    my $stream = delete $o{stream} // rand() < 0.6;
    my $at     = delete $o{at};
    my $path   = delete $o{path} // $chat;
    my $key    = delete $o{key}  // one_of(@{ $self->{keys} });
    my ($to, @tls) = $at ? ($at) : $self->to($via);
    my %how = (model => $model, via => $via);
    my $began = $self->begin(%how);
    my $ask = $via eq 'h2' ? \&over_h2
            : $stream      ? \&CLB::Client::stream : \&CLB::Client::chat;
    my $r = $ask->($to, $messages, model => $model, -path => $path,
                   -key => $key, -timeout => $self->{patience}, @tls
                   ? (-tls => 1) : (), $via eq 'h2'
                   ? (-server => $self->{server}, -stream => $stream) : (),
                   %o);
    my $outcome = $self->finish($began, $r, $want, %how, kept => !!$at);
    return wantarray ? ($outcome, $r) : $outcome;
}

# The same as CLB::Client's, with curl.
sub over_h2 {
    my ($to, $messages, %o) = @_;
    my %dash = map { /^-(.*)/ ? ($1 => delete $o{$_}) : () } keys %o;
    $messages = [ user($messages) ] unless ref $messages;
    my $file = File::Temp->new;    # too long for a command line
    print $file $json->encode({ messages => $messages, %o,
        stream => $dash{stream} ? JSON::PP::true : JSON::PP::false });
    close $file;
    my ($exit, $out) = $dash{server}->curl('--http2', '-N', '-D', '-',
        '--no-show-error', '--max-time', $dash{timeout},
        '-H', 'Content-Type: application/json',
        '-H', "Authorization: Bearer $dash{key}", '--data-binary', "\@$file",
        "https://$to$dash{path}");
    my ($head, $body) = split /\r\n\r\n/, $out, 2;
    my %r = (status => 0, clean => !$exit, body => $body // '', text => '',
             headers => { map { /^([^:]+): (.*?)\r?$/ ? (lc $1 => $2) : () }
                          split /\n/, $head // '' },
             error => $exit == 28 ? 'timeout' : $exit ? "curl: $exit" : undef);
    return \%r unless ($head // '') =~ m{\AHTTP/2 (\d+)};
    $r{status} = $1;
    if (($r{headers}{'content-type'} // '') =~ /event-stream/) {
        for my $data ($body =~ /^data: (.*)\n\n/mg) {
            if ($data eq '[DONE]') { $r{done} = 1 }
            else { CLB::Client::add_delta(\%r, $json->decode($data)) }
        }
        return \%r;
    }
    $r{json} = CLB::Client::decode($body);
    if (my $choice = $r{json} && ($r{json}{choices} || [])->[0]) {
        @r{qw(text finish)} = ($choice->{message}{content},
                               $choice->{finish_reason});
    }
    return \%r;
}

# --- the kinds ------------------------------------------------------------

my @words = (qw(apple pear "plum" fig\\lime <b> &amp; 0 [x] a:b), 'Straße',
             '漢字', "\x{1f34b}", "tab\tbed", "two\nlines");

sub words { join ' ', map { one_of(@words) } 1 .. 1 + rand $_[0] }

sub say {
    my ($text) = @_;
    utf8::encode(my $bytes = $text);
    return '[[say64:' . encode_base64($bytes, '') . ']]';
}

sub whole {
    my ($self, %o) = @_;
    my $text = words(60);
    return $self->ask(say($text), want => $text, stream => 0, %o)
        if rand() < 0.8;
    return $self->ask(say("$text END more"), want => "$text ", stop => 'END',
                      %o);
}

sub tokens { join ' ', map { "tok$_" } 1 .. $_[0] }

sub stream {
    my ($self, %o) = @_;
    my $n = 1 + int rand 40;
    return $self->ask(sprintf('[[stream:%d:%d]]', $n, rand 30), stream => 1,
                      want => tokens($n), %o);
}

# The model sees this conversation, all of it, and no other: each turn has a
# word of its own, and somebody else's is asked for. Now and then the client
# asks once more, or goes back and takes another way: what it took back is not
# to be seen either. Answers are sent back in one form or the other.
sub talk {
    my ($self) = @_;
    my $n   = ++$self->{talks};
    my $its = 'word' . join '-', $n, $self->{number} ^ 1, 1;
    my @how = (model => $self->model, key => one_of(@{ $self->{keys} }));
    my @said;    # [word, question, answer]
    my @system = rand() < 0.5 ? { role => 'system', content => 'Be brief.' }
                              : ();
    for my $turn (1 .. 1 + rand 6) {
        my @taken_back = @said && rand() < 0.15 ? splice @said, rand @said
                                                : ();
        my $word = "word$n-$self->{number}-$turn";
        my ($asks, $want) = (say("turn $turn "), "turn $turn ");
        for (map({ [ found => $_->[0] ] } @said), [ found => $word ],
             map({ [ missing => $_->[0] ] } @taken_back),
             [ missing => "$its-$turn" ]) {
            $asks .= "[[find:$_->[1]]]";
            $want .= "$_->[0] $_->[1];";
        }
        my @messages = (@system, map({ @$_[1, 2] } @said),
                        user("$word [[reset]]$asks"));
        my $outcome = 'ok';
        $outcome = $self->ask(\@messages, want => $want, @how)
            for 1 .. (rand() < 0.15 ? 2 : 1);
        return if $outcome ne 'ok';
        push @said, [ $word, $messages[-1], assistant(rand() < 0.7 ? $want
            : [ { type => 'text', text => $want } ]) ];
        sleep rand;
    }
}

# Leaves at some moment: before its request is complete, before the answer, in
# its midst, and some as if the cable was pulled.
sub cut {
    my ($self) = @_;
    my $model = $self->model;
    my $via   = weighted(plain => 8, tls => 2);
    my @prompts = ('[[stream:100:20]]', '[[hang]]', '[[say:x]][[hang]]');
    push @prompts, '[[ignoreterm]][[hang]]' if $model eq 'one';
    push @prompts, '[[ignorecancel]][[stream:100:20]]' if $model eq 'lines';
    my $body = $json->encode({ model => $model,
        stream   => rand() < 0.7 ? JSON::PP::true : JSON::PP::false,
        messages => [ user(one_of(@prompts)) ] });
    my %how = (model => $model, via => $via);
    my $began = $self->begin(%how);
    my ($to, @tls) = $self->to($via);
    my $c = CLB::Client->open($to, @tls, timeout => 5);
    $c->send_request('POST', $chat,
        rand() < 0.1 ? substr $body, 0, rand length $body : $body,
        key => $self->{keys}[0],
        headers => { 'Content-Length' => length $body });
    my $until = $began + rand one_of(0.05, 0.5, 2);
    $c->read_some(4096, $until - time) while time < $until && !$c->error;
    $c->half_close if rand() < 0.1;
    if (rand() < 0.5) { $c->cut }
    else              { $c->close }
    $self->finish($began, {}, undef, %how, outcome => 'left');
}

sub slow {
    my ($self) = @_;
    my $model = one_of(qw(lines one));
    my $n     = 600;
    my $pause = 0.02 + rand 0.1;
    my $seen  = 0;
    $self->ask("[[stream:$n:0]]", model => $model, stream => 1, via => 'plain',
               want => tokens($n), -rcvbuf => 4096,
               -until => sub { sleep $pause if ++$seen % 20 == 0; 0 });
}

my @bad = (
    [ '{"model": "lines", "messages": [', 'none' ],
    [ '', 'none' ],
    [ "\xff\xfe", 'none' ],
    [ { model => 'lines', messages => [] }, 'none' ],
    [ { model => 'nobody', messages => [ user('x') ] }, 'model_not_found' ],
    [ { model => 'lines', messages => [ user('x') ], n => 2 },
      'unsupported_parameter' ],
    [ { model => 'lines', messages => [ user('x') ], temperature => 'hot' },
      'none' ],
    [ undef, 'method_not_allowed' ],
);

sub bad {
    my ($self, %o) = @_;
    my ($body, $code) = @{ one_of(@bad) };
    return $self->post($body, \$code, %o);
}

sub post {
    my ($self, $body, $want, %o) = @_;
    my $via = $o{via} // weighted(plain => 8, tls => 2);
    my ($to, @tls) = $o{at} ? ($o{at}) : $self->to($via);
    my $began = $self->begin(via => $via);
    my $r = CLB::Client::request($to, defined $body ? 'POST' : 'GET', $chat,
        $body, key => $o{key} // one_of(@{ $self->{keys} }), @tls,
        timeout => $self->{patience}, %{ $o{how} || {} });
    return $self->finish($began, $r, $want, via => $via, kept => !!$o{at});
}

sub key {
    my ($self) = @_;
    my $body = { model => 'lines', messages => [ user('x') ] };
    return $self->post($body, \'invalid_api_key', key => 'clb_wrong')
        if rand() < 0.7;
    return $self->post($body, \'missing_api_key', key => '',
                       how => { headers => { Authorization => undef } });
}

# The limit is 1 MB; a chunked body does not say how much comes.
sub body {
    my ($self) = @_;
    my $text = join '', map { sprintf '%07d ', $_ } 1 .. 20_000;
    return $self->ask($text, model => 'echo', want => $text)
        if rand() < 0.5;
    return $self->post('{"model":"lines","x":"' . 'x' x 3_000_000,
        \'request_too_large', rand() < 0.5 ? (how => { chunked => 60_000 })
                                           : ());
}

# Several on one connection, some of them bad.
sub keep {
    my ($self) = @_;
    my $via = weighted(plain => 7, tls => 3);
    my ($to, @tls) = $self->to($via);
    my ($c, $used);
    for (1 .. 2 + rand 6) {
        $c ||= CLB::Client->open($to, @tls, timeout => $self->{patience});
        my @how = (via => $via, at => $c);
        my $outcome = rand() < 0.2 ? $self->bad(@how)
                    : rand() < 0.5 ? $self->whole(@how) : $self->stream(@how);
        my $h = $c->{head} ? $c->{head}{headers} : {};
        undef $c if $outcome !~ /^(?:ok|refused)$/
                 || ($h->{connection} // '') =~ /close/i;
        sleep rand 0.3;
    }
}

# More at once than slots and queue can take.
sub burst {
    my ($self) = @_;
    my @all = map {
        my $text = "burst $_";
        my $c = CLB::Client->open($self->{server},
                                  timeout => $self->{patience});
        my $began = $self->begin(model => 'lines', via => 'plain');
        $c->send_request('POST', $chat, { model => 'lines', messages => [
            user("[[sleep:200]][[say:$text]]") ] },
            key => one_of(@{ $self->{keys} }));
        [ $c, $began, $text ];
    } 1 .. 30;
    for (@all) {
        my ($c, $began, $text) = @$_;
        my $r = $c->read_response;
        my $choice = ref $r->{json} eq 'HASH' && $r->{json}{choices};
        @$r{qw(text finish)} = ($choice->[0]{message}{content},
                                $choice->[0]{finish_reason}) if $choice;
        $self->finish($began, $r, $text, model => 'lines', via => 'plain');
    }
}

# CLIs in trouble: [model, prompt, what comes of it, path].
my $soon = "/impatient$chat";    # with short timeouts
my @trouble = (
    [ one   => '[[exit:1]]', \'cli_failed' ],
    [ one   => '[[exit:75]]', \'overloaded' ],
    [ one   => '[[hang]]', \'timeout', $soon ],
    [ one   => '[[closeout]]', \'cli_failed' ],
    [ one   => '[[stderr:300000]][[say:done]]', 'done' ],
    [ one   => '[[say:a]][[fork]]', qr/\Aaforked \d+;\z/ ],
    [ one   => '[[say:a]][[setsid]]', qr/\Aasetsid \d+;\z/ ],
    [ lines => '[[error:429]]', \'rate_limit_exceeded' ],
    [ lines => '[[exit:3]]', \'cli_failed' ],
    [ lines => '[[halfline]]', \'timeout', $soon ],
    [ lines => '[[hang]]', \'timeout', $soon ],
    [ lines => '[[say:a]][[notjson]][[say:b]]', 'ab' ],
    [ lines => '[[stderr:300000]][[surrogate]]', "a\x{fffd}b" ],
    [ fake  => '[[error:429]]', \'rate_limit_exceeded' ],
    [ fake  => '[[exit:1]]', \'cli_failed' ],
    [ fake  => '[[hang]]', \'timeout', $soon ],
    [ fake  => '[[say:a]][[setsid]]', qr/\Aasetsid \d+;\z/ ],
);

sub trouble {
    my ($self) = @_;
    my ($model, $text, $want, $path) = @{ one_of(@trouble) };
    return $self->ask($text, model => $model, want => $want,
                      path => $path // $chat);
}

1;
