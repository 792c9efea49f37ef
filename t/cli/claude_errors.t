# What a client is told when the model's API fails the CLI, how often the CLI
# asked it, and that a failure never looks like an answer. Both releases.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use IO::Socket::INET;
use JSON::PP ();
use Test::More;

use CLB::Model qw(all_gone);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;

# --- the APIs and their backends ------------------------------------------

sub refusing {
    my ($status, $type, $message, %headers) = @_;
    return CLB::Model->canned(
        status => $status, headers => \%headers, body => $json->encode({
            type => 'error', error => { type => $type, message => $message },
        }));
}

# Bound, so that no other program can have it, but nobody listens there.
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp')
    or die "no port: $@\n";

my $m   = CLB::Model->start;
my %api = (
    busy => refusing(429, 'rate_limit_error', 'slow down',
                     'retry-after' => 20),
    long => refusing(400, 'invalid_request_error',
                     'prompt is too long: 210000 tokens > 200000 maximum'),
    poor => refusing(400, 'invalid_request_error', 'Your credit balance is '
                     . 'too low to access the Anthropic API.'),
);
my %backend = (
    ''    => [$m],
    nokey => [ $m, key => undef ],
    login => [ $m, key => undef,
               more => 'CLIBridgeEnv CLAUDE_CODE_OAUTH_TOKEN token' ],
    dead  => [ $m, url => 'http://127.0.0.1:' . $deaf->sockport ],
    map { $_ => [ $api{$_} ] } keys %api,
);

sub model { join '-', grep { length } @_ }

sub config {
    my ($program) = @_;
    return map {
        my ($api, %o) = @{ $backend{$_} };
        my $name = model($program, $_);
        $api->config(%o, program => $program, name => $name, models => $name,
                     more => "CLIBridgeWarm none\n" . ($o{more} || ''));
    } sort keys %backend;
}

my $s = CLB::Server->start(config => join "\n",
    (map { config($_) } qw(claude claude-newest)),
    # a stream that has begun has no status: no sign of life before the answer
    'CLIBridgeKeepAlive 600',
    # time enough for a CLI to ask its model, and say what it said
    '<Location /impatient>', 'SetHandler clibridge',
    'CLIBridgeTimeout first=10 idle=2', '</Location>');

# --- before the first word: a status --------------------------------------

my @impatient = (-path => '/impatient/v1/chat/completions');

# name, prompt (HOUR: in an hour), backend, status, code, message, Retry-After
# (least, most), POSTs by 2.1.197 and by 2.1.329
my @refused = (
    [ '400', '[[error:400]]', '', 400, undef, qr/^API Error: 400 scripted/,
      undef, 1, 3 ],
    [ '401', '[[error:401]]', '', 503, 'login_required', qr/401 scripted/,
      undef, 2, 2 ],
    [ '401 for a login', '[[error:401]]', 'login', 503, 'login_required',
      qr/401 scripted/, undef, 2, 2 ],
    [ '403', '[[error:403]]', '', 503, 'login_required', qr/403 scripted/,
      undef, 1, 1 ],
    [ '404', '[[error:404]]', '', 404, 'model_not_found',
      qr/issue with the selected model/, undef, 2, 2 ],
    [ '413', '[[error:413]]', '', 413, 'request_too_large',
      qr/^Request too large/, undef, 1, 1 ],
    [ '429', '[[error:429]]', '', 429, 'rate_limit_exceeded', qr/429/,
      [ 1, 5 ], 1, 1 ],
    [ '429 that says when', 'x', 'busy', 429, 'rate_limit_exceeded', qr/429/,
      [ 20, 30 ] ],
    [ '500', '[[error:500]]', '', 502, 'upstream_error', qr/500 scripted/,
      undef, 2, 2 ],
    [ '503', '[[error:503]]', '', 503, 'overloaded', qr/503 scripted/,
      [ 1, 60 ], 2, 2 ],
    [ '529', '[[error:529]]', '', 503, 'overloaded', qr/529 Overloaded/,
      [ 1, 60 ], 2, 2 ],
    [ 'a subscription that is used up', '[[quota:HOUR]]', 'login', 429,
      'insufficient_quota', qr/^You've hit your .* limit . resets /,
      [ 3500, 3600 ], 1, 1 ],
    [ 'no money', 'x', 'poor', 429, 'insufficient_quota',
      qr/^Credit balance is too low/ ],
    [ 'a prompt that is too long', 'x', 'long', 400,
      'context_length_exceeded', qr/^Prompt is too long/ ],
    [ 'a connection that is cut', '[[say:x]][[drop:0]]', '', 502,
      'upstream_error', qr/Connection to the API was lost|broke off/ ],
    [ 'an API that nobody serves', 'x', 'dead', 502, 'upstream_error',
      qr/connect|refused/i, undef, 0, 0 ],
    [ 'no credentials', 'x', 'nokey', 503, 'login_required',
      qr/^Not logged in/, undef, 0, 0 ],
    [ 'silence', '[[hang]]', '', 504, 'timeout', qr/did not begin/, undef,
      1, 1, @impatient ],
);

my %type = (400 => 'invalid_request_error', 404 => 'invalid_request_error',
            413 => 'invalid_request_error', 429 => 'rate_limit_error');

sub is_error {
    my ($error, $status, $code, $message) = @_;
    is($error->{type}, $type{$status} || 'server_error', 'type');
    is($error->{code}, $code, 'code');
    like($error->{message}, $message, 'the reason');
    unlike($error->{message}, qr/127\.0\.0\.1|localhost|gateway/,
           'no address of ours');
}

sub refuses {
    my ($program, $case) = @_;
    my ($name, $prompt, $backend, $status, $code, $message, $wait, $old, $new,
        @more) = @$case;
    my $before = $m->requests;
    my $hour = time + 3600;
    my $r = $s->stream($prompt =~ s/HOUR/$hour/r,
                       model => model($program, $backend), @more);
    is($r->{status}, $status, 'status') or diag explain $r->{body};
    like($r->{headers}{'content-type'}, qr{^application/json}, 'JSON');
    is_error($r->{json}{error}, $status, $code, $message);
    my $after = $r->{headers}{'retry-after'} // 0;
    ok($after >= $wait->[0] && $after <= $wait->[1], 'Retry-After')
        or diag "Retry-After: $after" if $wait;
    all_gone($s);
    is($m->requests - $before, $program eq 'claude' ? $old : $new,
       'requests to the model') if defined $old;
}

# --- after it: an event, and no end ---------------------------------------

my @broken = (
    [ 'an error', '[[stream:9:20]][[error:500:3]]', 502, 'upstream_error',
      qr/scripted error 500/ ],
    [ 'a cut', '[[stream:9:20]][[drop:3]]', 502, 'upstream_error',
      qr/Connection to the API was lost|broke off/ ],
    [ 'silence', '[[stream:9:20]][[stall:3]]', 504, 'timeout',
      qr/fell silent/, @impatient ],
);

sub breaks_off {
    my ($program, $case) = @_;
    my ($name, $prompt, $status, $code, $message, @more) = @$case;
    my $before = $m->requests;
    my $r = $s->stream($prompt, model => $program, @more);
    is($r->{status}, 200, 'a stream');
    like($r->{text}, qr/^tok1/, 'with words');
    is_error($r->{error}, $status, $code, $message);
    is($r->{finish}, undef, 'no finish_reason');
    ok(!$r->{done}, 'no [DONE]');

    $r = $s->chat($prompt, model => $program, @more);
    is($r->{status}, $status, 'a status where nothing was sent');
    is_error($r->{json}{error}, $status, $code, $message);
    all_gone($s);
    is($m->requests - $before, 2, 'one request to the model each');
}

# --------------------------------------------------------------------------

for my $program (qw(claude claude-newest)) {
    for my $case (@refused) {
        subtest "$program, $case->[0]" => sub { refuses($program, $case) };
    }
    for my $case (@broken) {
        subtest "$program, $case->[0] after some words" =>
            sub { breaks_off($program, $case) };
    }
    is($s->chat('[[say:well]]', model => $program)->{text}, 'well',
       "$program, and the next answer is one");
}

$s->stop;
done_testing;
