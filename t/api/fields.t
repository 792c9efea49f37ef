# Every field of a request does with every driver what the tables
# t/data/*_fields.json say. Their columns of real CLIs are tried in
# t/cli/fields.t.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Gemini qw(gemini user);
use CLB::Messages qw(message message_stream);
use CLB::Responses qw(response response_stream);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;

# Both programs answer with the request as they got it.
my $s = CLB::Server->start(config => <<'EOT');
<CLIBridgeBackend command>
    CLIBridgeDriver command
    CLIBridgeProgram /bin/sh
    CLIBridgeArg -c 'cat >/dev/null; cat "$CLIBRIDGE_REQUEST"'
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @PERL@
    CLIBridgeArg -MJSON::PP -ne
    CLIBridgeArg '$| = 1; print encode_json({ text => $_, done => \1 }), qq(\n)'
    @MARK@
</CLIBridgeBackend>
<Location /ignore>
    SetHandler clibridge
    CLIBridgeUnsupported ignore
</Location>
<Location /reject>
    SetHandler clibridge
    CLIBridgeUnsupported reject
</Location>
EOT

my ($api, $driver, $field, $row);    # what is tried right now

# How each API is asked, and by what it says which field it refuses.
my %apis = (
    chat => {
        list   => 'messages',
        path   => sub { 'chat/completions' },
        ask    => sub { $s->chat(@_) },
        stream => sub { $s->stream(@_) },
        param  => sub { $_[0]{json}{error}{param} // '' },
    },
    gemini => {
        list   => 'contents',
        path   => sub { "models/$driver:generateContent" },
        ask    => sub { gemini($s, @_) },
        param  => sub { $_[0]{json}{error}{message} // '' },
    },
    messages => {
        list   => 'messages',
        path   => sub { 'messages' },
        ask    => sub { message($s, @_) },
        stream => sub { message_stream($s, @_) },
        param  => sub { $_[0]{json}{error}{message} // '' },
    },
    responses => {
        list   => 'input',
        path   => sub { 'responses' },
        ask    => sub { response($s, @_) },
        stream => sub { response_stream($s, @_) },
        param  => sub { $_[0]{json}{error}{param} // '' },
    },
);

sub ask {
    my ($where, %more) = @_;
    my $its  = $apis{$api};
    my $text = 'before END after';
    my %body = (
        $its->{list} => [ $api eq 'gemini' ? user($text)
                          : { role => 'user', content => $text } ],
        %{ $row->{with} || {} },
        $field => $row->{example},
        %more,
        model => $driver,    # the names of models are the configuration's
    );
    my $messages = delete $body{ $its->{list} };
    return $its->{ $body{stream} ? 'stream' : 'ask' }->(
        $messages, %body, -path => "$where/" . $its->{path}->());
}

# Messages must have a max_tokens, which not every program can honour.
sub unavoidable {
    return $api eq 'messages' && $driver eq 'command'
        && $field ne 'max_tokens';
}

sub ignores {
    my ($where, @names) = @_;
    my $r = ask($where);
    unshift @names, 'max_tokens' if unavoidable() && $where eq '/v1';
    is_deeply([$r->{status}, $r->{headers}{'x-clibridge-ignored'}],
              [200, @names ? join ', ', @names : undef],
              "$where: what is ignored") or diag $r->{body};
    return $r;
}

sub places { '/v1', '/ignore', unavoidable() ? () : '/reject' }

sub refused {
    my ($where) = @_;
    my $r = ask($where);
    my $want = $row->{param} || $row->{named} || $field;
    is($r->{status}, 400, "$where: refused");
    # some have no other place for the name than their sentence
    like($apis{$api}{param}->($r), $api =~ /^(?:messages|gemini)$/
         ? qr/\b\Q$want\E\b/ : qr/\A\Q$want\E\z/, 'by name');
}

my %effect = (
    stop => sub {
        my ($r) = @_;
        like($r->{text}, qr/before \z/, 'cut before the sequence');
        is($r->{finish} // $r->{state}, $api eq 'chat' ? 'stop' : 'completed',
           'a proper end');
    },
    stop_sequences => sub {
        my ($r) = @_;
        like($r->{text}, qr/before \z/, 'cut before the sequence');
        is_deeply([ @$r{qw(stop sequence)} ], [ 'stop_sequence', 'END' ],
                  'which is named');
    },
    'generationConfig.stopSequences' => sub {
        my ($r) = @_;
        like($r->{text}, qr/before \z/, 'cut before the sequence');
        is($r->{finish}, 'STOP', 'finishReason');
    },
    background => sub { is($_[0]{state}, 'queued', 'later') },
    store => sub {
        is($s->get("/v1/responses/$_[0]{json}{id}")->{status}, 404,
           'not kept');
    },
    stream => sub {
        is($_[0]{headers}{'content-type'}, 'text/event-stream', 'a stream');
    },
    stream_options => sub {
        is(ref $_[0]{usage}, 'HASH', 'usage in the stream');
        is(ask('/v1', stream_options => undef)->{usage}, undef,
           'and not without');
    },
);

my %try = (
    native => sub {
        my $seen = $field eq 'model' ? { model => $driver }
                 : $row->{seen} || { $field => $row->{example} };
        for my $where (places()) {
            my $got = $json->decode(ignores($where)->{text});
            is_deeply({ map { $_ => $got->{$_} } keys %$seen }, $seen,
                      "$where: the program got it");
        }
    },
    bridge => sub {
        $effect{$field}->(ignores($_)) for places();
    },
    ignored => sub {
        ignores('/v1', $row->{named} || $field);
        ignores('/ignore');
        refused('/reject');
    },
    refused  => sub { refused($_) for qw(/v1 /ignore /reject) },
    accepted => sub { ignores($_) for places() },
);

for my $try_api (sort keys %apis) {
    my $table = $json->decode(CLB::Server::slurp(
        "$FindBin::Bin/../data/${try_api}_fields.json"))->{fields};
    for my $try_driver (qw(command lines)) {
        for my $try_field (sort keys %$table) {
            ($api, $driver, $field, $row) =
                ($try_api, $try_driver, $try_field, $table->{$try_field});
            subtest "$api: $field, $driver: $row->{$driver}" => sub {
                $try{ $row->{$driver} }->();
            };
        }
    }
}

subtest 'several ignored fields' => sub {
    my $r = $s->chat('x', model => 'lines', verbosity => 'low', seed => 1);
    is($r->{headers}{'x-clibridge-ignored'}, 'seed, verbosity', 'are listed');
    is($r->{status}, 200, 'and the answer comes');
};

$s->idle_ok;
$s->stop;
done_testing;
