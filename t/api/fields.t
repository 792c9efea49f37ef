# Every field of OpenAI's request does with every driver what the table
# t/data/chat_fields.json says. Its columns of real CLIs are tried in
# t/cli/fields.t.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $json  = JSON::PP->new->utf8->canonical;
my $table = $json->decode(CLB::Server::slurp(
    "$FindBin::Bin/../data/chat_fields.json"))->{fields};

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

my ($driver, $field, $row);    # what is tried right now

sub ask {
    my ($where, %more) = @_;
    my %body = (
        messages => [{ role => 'user', content => 'before END after' }],
        %{ $row->{with} || {} },
        $field => $row->{example},
        %more,
        model => $driver,    # the names of models are the configuration's
    );
    my $path = "$where/chat/completions";
    my $messages = delete $body{messages};
    return $body{stream} ? $s->stream($messages, %body, -path => $path)
                         : $s->chat($messages, %body, -path => $path);
}

sub works {
    my ($where) = @_;
    my $r = ask($where);
    is_deeply([$r->{status}, $r->{headers}{'x-clibridge-ignored'}],
              [200, undef], "$where: nothing is ignored")
        or diag $r->{body};
    return $r;
}

sub refused {
    my ($where) = @_;
    my $r = ask($where);
    is_deeply([$r->{status}, $r->{json}{error}{param}],
              [400, $row->{param} || $field], "$where: refused");
}

my %effect = (
    stop => sub {
        my ($r) = @_;
        like($r->{text}, qr/before \z/, 'cut before the sequence');
        is($r->{finish}, 'stop', 'finish_reason');
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
        for my $where (qw(/v1 /ignore /reject)) {
            my $got = $json->decode(works($where)->{text});
            is_deeply({ map { $_ => $got->{$_} } keys %$seen }, $seen,
                      "$where: the program got it");
        }
    },
    bridge => sub {
        for my $where (qw(/v1 /ignore /reject)) {
            $effect{$field}->(works($where));
        }
    },
    ignored => sub {
        my $r = ask('/v1');
        is_deeply([$r->{status}, $r->{headers}{'x-clibridge-ignored'}],
                  [200, $field], '/v1: works, and says so');
        works('/ignore');
        refused('/reject');
    },
    refused  => sub { refused($_) for qw(/v1 /ignore /reject) },
    accepted => sub { works($_)   for qw(/v1 /ignore /reject) },
);

for my $try_driver (qw(command lines)) {
    for my $try_field (sort keys %$table) {
        ($driver, $field, $row) = ($try_driver, $try_field,
                                   $table->{$try_field});
        subtest "$field, $driver: $row->{$driver}" => sub {
            $try{ $row->{$driver} }->();
        };
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
