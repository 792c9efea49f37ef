# OpenAI's Responses that are kept: going on from them, asking for them,
# answers that nobody waits for, and who may see what.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Responses qw(response response_stream);
use CLB::Server;
use CLB::Talk qw(assistant fake_claude rested upstream user);

my $path    = '/v1/responses';
my $true    = JSON::PP::true;
my $false   = JSON::PP::false;
my $invalid = 'invalid_request_error';
my $json    = JSON::PP->new->utf8;
my $event   = ($ENV{CLIBRIDGE_MPM} // 'event') ne 'prefork';
my $lines   = <<'EOT';
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend single>
    CLIBridgeDriver command
    CLIBridgeProgram @BIN@/fake-oneshot
    CLIBridgeSlots 1
    @MARK@
</CLIBridgeBackend>
EOT

my $s;

# An error as this API has it. Returns the message.
sub refused {
    my ($r, $status, $type, $code, $param, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $error = ref $r->{json} eq 'HASH' ? $r->{json}{error} || {} : {};
    is_deeply([ $r->{status}, @$error{qw(type code param)} ],
              [ $status, $type, $code, $param ], $name)
        or diag "$r->{raw}\n$r->{body}";
    return $error->{message} // '';
}

sub not_found { refused($_[0], 404, $invalid, 'not_found', undef, $_[1]) }

sub show     { $s->get("$path/$_[0]", @_[1 .. $#_]) }
sub state_of { (show($_[0])->{json} || {})->{status} // 'none' }
sub items_of { $s->get("$path/$_[0]/input_items" . ($_[1] // ''))->{json} }
sub drop     { $s->request('DELETE', "$path/$_[0]", undef, @_[1 .. $#_]) }

# As the vendor's SDK for JavaScript does it, without a body and its type.
sub cancel {
    return $s->request('POST', "$path/$_[0]/cancel", undef, @_[1 .. $#_]);
}

sub is_state {
    my ($id, $want, $name) = @_;
    my $state;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($s->poll(sub { ($state = state_of($id)) eq $want }), $name // $want)
        or diag "$id is $state";
}

# Goes on from an answer.
sub after {
    my ($id, $input, %o) = @_;
    return response($s, $input, model => 'lines', previous_response_id => $id,
                    %o);
}

sub ask { response($s, $_[0], model => 'lines', @_[1 .. $#_]) }

# The id of an answer that nobody waits for.
sub begin {
    my ($input, %o) = @_;
    my $r = ask($input, background => $true, %o);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([ $r->{status}, @{ $r->{json} || {} }{qw(status background
                store)}, $r->{output} ], [ 200, 'queued', $true, $true, [] ],
              'an answer at once') or diag "$r->{raw}\n$r->{body}";
    return $r->{json}{id};
}

# A gate, and what opens it.
my $gates = 0;
sub gate {
    my $name = 'gate-' . ++$gates;
    return ("[[gate:" . $s->path($name) . "]]", sub { $s->put($name, '') });
}

sub dir     { $s->path('state/answers') }
sub file_of { (glob dir() . "/*-$_[0]")[0] }

sub overwrite {
    my ($name, $text) = @_;
    open my $file, '>', $name or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}

# As if it had been touched last so long ago.
sub age {
    my ($id, $seconds) = @_;
    my $time = time - $seconds;
    utime $time, $time, file_of($id) or die "$id: $!\n";
}

# The files are the workers' alone, whoever started httpd.
sub private {
    my $id = ask('x')->{json}{id};
    is_deeply([ (stat dir())[2, 4, 5] ], [ 040700, @$s{qw(uid gid)} ],
              'the directory');
    is((stat file_of($id))[2], 0100600, 'a file');
    is((stat $s->path('state'))[2] & 066, 0,
       'nobody else can look into the directory above');
    chmod 0777, dir();
    $s->restart;
    is((stat dir())[2] & 07777, 0700, 'what is open to all is closed');
    is(show($id)->{status}, 200, 'what was there stays');
}

$s = CLB::Server->start($event ? (h2 => 1) : (), tls_too => 1,
    modules => [qw(filter deflate)], config => <<"EOT" . fake_claude('claude')
CLIBridgeQueue 64 timeout=30
CLIBridgeOrigin https://chat.example.org
CLIBridgeKeepAlive 1
AddOutputFilterByType DEFLATE application/json
$lines
<Location /small>
    SetHandler clibridge
    CLIBridgeMaxBody 1K
    CLIBridgeMaxAnswer 1K
</Location>
EOT
);

# --- what is kept ---------------------------------------------------------

subtest 'an answer is kept unless its client does not want it' => sub {
    my $r = ask('[[say:one]][[usage:3:4]]');
    is($r->{json}{store}, $true, 'which it says');
    is($r->{headers}{'x-clibridge-ignored'}, undef, 'nothing is ignored');
    my $again = show($r->{json}{id});
    is_deeply([ $again->{status}, $again->{json} ], [ 200, $r->{json} ],
              'it is shown as it was');
    is($again->{headers}{'cache-control'}, 'no-store', 'to nobody else');
    my $head = $s->request('HEAD', "$path/$r->{json}{id}");
    is_deeply([ @$head{qw(status body)} ], [ 200, '' ], 'HEAD');

    $r = ask('x', store => $false);
    is($r->{json}{store}, $false, 'store false');
    not_found(show($r->{json}{id}), 'is not kept');
    is(ask('x', store => $true)->{json}{store}, $true, 'store true');
    $r = response_stream($s, '[[think:hm]][[stream:3:1]]', model => 'lines');
    is_deeply(show($r->{events}[-1]{json}{response}{id})->{json},
              $r->{events}[-1]{json}{response}, 'also one that was a stream');
    refused(ask('[[error:429]]'), 429, 'rate_limit_error',
            'rate_limit_exceeded', undef, 'what failed');
    is(scalar(grep { !/-resp_/ } $s->entries(dir())), 0,
       'no other file is left');
    refused(ask('x', store => 1), 400, $invalid, undef, 'store', 'no boolean');
};

subtest 'what it is an answer to' => sub {
    my $id = ask([ { role => 'developer', content => 'd' }, user('e'),
                   assistant('f'), user([ { type => 'input_text',
                   text => 'g' } ]) ])->{json}{id};
    my $list = items_of($id);
    is_deeply([ @$list{qw(object has_more)}, map { [ @$_{qw(type role status)},
                  map { @$_{qw(type text)} } @{ $_->{content} } ] }
                @{ $list->{data} } ],
        [ 'list', $false,
          [ qw(message user completed input_text g) ],
          [ qw(message assistant completed output_text f) ],
          [ qw(message user completed input_text e) ],
          [ qw(message developer completed input_text d) ] ],
        'items, the last one first') or diag explain $list;
    my @ids = map { $_->{id} } @{ $list->{data} };
    is(scalar(grep { /^msg_\w+$/ } @ids), 4, 'with ids');
    is_deeply([ @$list{qw(first_id last_id)} ], [ @ids[0, 3] ], 'from, to');
    my $page = items_of($id, "?order=asc&limit=2&after=$ids[3]");
    is_deeply([ $page->{has_more}, map { $_->{id} } @{ $page->{data} } ],
              [ $true, @ids[2, 1] ], 'a page');
    refused($s->get("$path/$id/input_items?limit=0"), 400, $invalid, undef,
            'limit', 'no page');
};

subtest 'it is removed' => sub {
    my $id = ask('x')->{json}{id};
    my $r = drop($id);
    is_deeply([ $r->{status}, $r->{json} ], [ 200, { id => $id,
              object => 'response', deleted => $true } ], 'once');
    not_found($_, 'then it is not there')
        for drop($id), show($id), cancel($id),
            $s->get("$path/$id/input_items");
    ok(!defined file_of($id), 'nor its file');
};

subtest 'what there is not' => sub {
    not_found(show($_), "no $_")
        for 'resp_1', '..', 'a%2e%2e', '%ff', '%00x', 'x' x 1000, 'a%22b';
    ok(utf8::decode(my $text = show('%ff')->{body}), 'which is said in UTF-8');
    my $id = ask('x')->{json}{id};
    for ([ POST => $id, 'GET' ], [ PUT => $id, 'GET' ],
         [ DELETE => "$id/input_items", 'GET' ],
         [ GET => "$id/cancel", 'POST' ]) {
        my ($method, $what, $allow) = @$_;
        my $r = $s->request($method, "$path/$what", '{}');
        refused($r, 405, $invalid, 'method_not_allowed', undef, "$method");
        like($r->{headers}{allow}, qr/\b$allow\b/, "but $allow");
    }
    like(refused(cancel($id), 400, $invalid, undef, undef,
         'an answer that was waited for'), qr/in the background/,
         'cannot be cancelled');
    not_found($s->get("$path/$id/other"), 'no other part of it');
};

subtest 'pages of other hosts' => sub {
    my %from = (Origin => 'https://chat.example.org');
    my $r = $s->request('OPTIONS', "$path/resp_1", undef, headers => \%from);
    like($r->{headers}{'access-control-allow-methods'}, qr/DELETE/,
         'may remove what is theirs');
    my $id = ask('x')->{json}{id};
    refused(drop($id, headers => { Origin => 'https://other.example' }), 401,
            $invalid, 'missing_api_key', undef, 'those that may not ask');
    is(show($id)->{status}, 200, 'remove nothing');
};

# --- going on -------------------------------------------------------------

subtest 'a conversation goes on' => sub {
    my $r = ask('[[say:two]] one', instructions => 'secret-rule');
    $r = after($r->{json}{id}, '[[find:one]][[find:two]][[find:secret-rule]]');
    is($r->{text}, 'found one;found two;missing secret-rule;',
       'from what was said, without the instructions');
    my $third = response_stream($s, [ user('[[find:found one]]') ],
        model => 'lines', previous_response_id => $r->{json}{id});
    is_deeply([ @$third{qw(text grammar)} ], [ 'found found one;', undef ],
              'and on, in a stream');
    my $id = $third->{events}[0]{json}{response}{id};
    is_deeply([ map { $_->{events}[0]{json}{response}{previous_response_id} }
                $third ], [ $r->{json}{id} ], 'which says from what');
    drop($r->{json}{id});
    is(after($id, '[[find:one]][[find:found found one]]')->{text},
       'found one;found found found one;', 'whatever became of those before');
    is(after($id, '[[say:x]]', store => $false)->{text}, 'x',
       'also to one that is not kept');
    is(@{ items_of($id)->{data} }, 5, 'its input is all of it');
};

subtest 'items are referred to' => sub {
    my $r = ask([ user('one'), user('[[say:two]]') ]);
    my ($last, $first) = map { $_->{id} } @{ items_of($r->{json}{id})->{data} };
    my @refer = map { { type => 'item_reference', id => $_ } }
        $first, $last, $r->{output}[0]{id};
    is(ask([ @refer[0, 2], user('[[find:one]][[find:two]][[find:say]]') ])
       ->{text}, 'found one;found two;missing say;', 'those that are meant');
    my $stranger = { type => 'item_reference', id => 'msg_1_0' };
    like(refused(ask([ @refer, $stranger ]), 400, $invalid, undef,
                 'input[3]', 'one that is not there'), qr/input\[3\].*'msg_1_0'/, 'which');
};

subtest 'what cannot be gone on from' => sub {
    like(refused(after('resp_missing', 'x'), 400, $invalid,
                 'previous_response_not_found', 'previous_response_id',
                 'an answer that is not there'), qr/'resp_missing'/, 'which');
    refused(response_stream($s, 'x', model => 'lines',
                            previous_response_id => 'resp_missing'),
            400, $invalid, 'previous_response_not_found',
            'previous_response_id', 'in a stream, too');
    refused(after(5, 'x'), 400, $invalid, undef, 'previous_response_id',
            'no text');
    my $id = ask('[[say:' . 'x' x 1400 . ']]')->{json}{id};
    refused(after($id, 'x', -path => "/small$path"), 413, $invalid,
            'request_too_large', undef, 'a conversation that is too long')
        for 1 .. 2;
    refused($s->get("/small$path/$id"), 413, $invalid, 'request_too_large',
            undef, 'cannot be shown there either');
};

subtest 'it goes on in its process' => sub {
    my $before = rested($s, 'claude')->{hits};
    my $id = response($s, '[[think:hm]][[say:one]]', model => 'claude')
        ->{json}{id};
    rested($s, 'claude');
    my $r = response($s, '[[say:two]]', model => 'claude',
                     previous_response_id => $id);
    is($r->{text}, 'two', 'an answer');
    is(rested($s, 'claude')->{hits}, $before + 1, 'by what knows it');
    my ($first, $then) = (upstream($s))[-2, -1];
    is($then->{pid}, $first->{pid}, 'the same process');
    is_deeply($then->{messages}, [ [ user => '[[think:hm]][[say:one]]' ],
              [ assistant => 'one' ], [ user => '[[say:two]]' ] ],
              'which is told the rest');
};

subtest 'many go on from one' => sub {
    my $id = ask('needle [[say:x]]')->{json}{id};
    my @clients = map {
        my $c = $s->client;
        $c->send_request(POST => $path, { model => 'lines', stream => \($_ % 2),
            previous_response_id => $id, input => "[[find:needle]][[say:<$_>]]" });
        $c;
    } 1 .. 12;
    my @bodies = map { $_->read_response->{body} } @clients;
    is_deeply([ grep { $bodies[$_ - 1] !~ /found needle;<$_>/ } 1 .. 12 ], [],
              'each gets its own answer');
    is(@{ items_of($id)->{data} }, 1, 'the one stays as it was');
};

# --- nobody waits ---------------------------------------------------------

subtest 'in the background' => sub {
    my ($gate, $open) = gate();
    my $id = begin("[[say:a]]$gate\[[say:b]]");
    is_state($id, 'in_progress', 'it is made');
    is_deeply(show($id)->{json}{output}, [], 'nothing is shown of it yet');
    like(refused(after($id, 'x'), 400, $invalid, undef,
                 'previous_response_id', 'nor can be gone on from'),
         qr/is in_progress/, 'until its end');
    is(@{ items_of($id)->{data} }, 1, 'its input is there');
    $open->();
    is_state($id, 'completed', 'it ends');
    my $r = show($id)->{json};
    is($r->{output}[0]{content}[0]{text}, 'ab', 'all of it');
    is(after($id, '[[find:ab]]')->{text}, 'found ab;', 'one can go on');
    is(cancel($id)->{json}{status}, 'completed',
       'what has ended cannot be cancelled');
    refused(ask('x', background => $true, store => $false), 400, $invalid,
            undef, 'background', 'what is not kept nobody would find');
};

subtest 'it waits for its turn' => sub {
    my ($gate, $open) = gate();
    my $holder = begin("[[say:a]]$gate", model => 'single');
    is_state($holder, 'in_progress');
    my @ids = map { begin('[[say:x]]', model => 'single') } 1 .. 3;
    ok($s->poll(sub { $s->health->{queue}{waiting} == 3 }), 'in the queue');
    is(state_of($_), 'queued', 'which it says') for @ids;
    is(cancel($ids[0])->{json}{status}, 'cancelled', 'cancelled there');
    is(drop($ids[1])->{status}, 200, 'removed there');
    ok($s->poll(sub { $s->health->{queue}{waiting} == 1 }), 'is out of it');
    $open->();
    is_state($holder, 'completed');
    is_state($ids[2], 'completed', 'the next one is made');
    is(state_of($ids[0]), 'cancelled', 'no other is');
    not_found(show($ids[1]), 'nor comes back');
};

subtest 'it is given up' => sub {
    for my $model ('lines', 'single') {
        for my $how (\&cancel, \&drop) {
            my $id = begin('[[say:a]][[hang]]', model => $model);
            is_state($id, 'in_progress', "$model is at it");
            is($how->($id)->{status}, 200, 'given up');
            $s->idle_ok('it ends');
            is(state_of($id), $how == \&cancel ? 'cancelled' : 'none',
               'and stays so');
        }
    }
    ok($s->poll(sub { !grep { CLB::Server::cmdline($_) =~ /fake-oneshot/ }
                      $s->marked }), 'with its process');
    my $id = begin('[[hang]]');
    $s->wait_for(sub { $s->health->{slots}{running} }, 'the turn');
    age($id, 60);
    is_state($id, 'queued', 'silence does not mean that nobody is at it');
    is(cancel($id)->{json}{status}, 'cancelled', 'before its first word');
    is(cancel($id)->{json}{status}, 'cancelled', 'twice');
    refused(after($id, 'x'), 400, $invalid, undef, 'previous_response_id',
            'what was cancelled cannot be gone on from');
    $s->idle_ok;
};

# Whatever comes first, what was said of it stays true.
subtest 'it is given up as it ends' => sub {
    my (%said, @gone, @other);
    for my $i (1 .. 40) {
        my $id = ask('[[say:x]]', background => $true)->{json}{id};
        # at another moment each time
        select undef, undef, undef, ($i % 10) / 2000;
        if ($i % 2) { $said{$id} = cancel($id)->{json}{status} }
        else        { push @gone, $id if drop($id)->{status} == 200 }
    }
    $s->idle_ok;
    @other = grep { state_of($_) ne $said{$_} } keys %said;
    is_deeply(\@other, [], 'what was cancelled stays so, or was complete');
    is_deeply([ grep { state_of($_) ne 'none' } @gone ], [],
              'what was removed does not come back');
    is(scalar @gone, 20, 'all that was to be');
    note join ' ', sort values %said;
};

subtest 'it fails' => sub {
    my $id = begin('[[error:429]]');
    is_state($id, 'failed');
    my $r = show($id)->{json};
    is_deeply([ $r->{error}{code}, @$r{qw(output usage)} ],
              [ 'rate_limit_exceeded', [], undef ], 'and says why');
    refused(after($id, 'x'), 400, $invalid, undef, 'previous_response_id',
            'it cannot be gone on from');
};

subtest 'its client leaves' => sub {
    my ($gate, $open) = gate();
    my $c = $s->client;
    $c->send_request(POST => $path, { model => 'lines', background => $true,
                     input => "[[say:a]]$gate" });
    my $id = $c->read_response->{json}{id};
    $c->cut;
    is_state($id, 'in_progress', 'it goes on');
    my $r = response_stream($s, "[[say:a]]$gate\[[say:b]]",
        model => 'lines', background => $true,
        -until => sub { $_[0]{event} =~ /delta/ });
    ok($r->{client}, 'a stream');
    my $streamed = $r->{events}[0]{json}{response}{id};
    $r->{client}->cut;
    $open->();
    is_state($_, 'completed', 'to its end') for $id, $streamed;
    is(show($streamed)->{json}{output}[0]{content}[0]{text}, 'ab',
       'all of it');
};

subtest 'a stream that nobody need wait for' => sub {
    my $r = response_stream($s, '[[stream:3:1]]', model => 'lines',
                            background => $true);
    is_deeply([ @$r{qw(text grammar state)} ],
              [ 'tok1 tok2 tok3', undef, 'completed' ], 'is a stream');
    my $response = $r->{events}[-1]{json}{response};
    is_deeply(show($response->{id})->{json}, $response, 'and kept');
    my $c = $s->client;
    $c->send_request(POST => $path, { model => 'lines', stream => $true,
        background => $true, input => '[[say:a]][[hang]]' });
    my $id = $c->read_event->{json}{response}{id};
    is(cancel($id)->{json}{status}, 'cancelled', 'cancelled');
    my @events;
    while (my $event = $c->read_event) {
        push @events, $event->{json}{type} if $event->{json};
    }
    is($events[-1], 'response.failed', 'its client is told');
    $c = $s->client;
    $c->send_request(POST => $path, { model => 'lines', stream => $true,
        background => $true, input => '[[hang]]' });
    $id = $c->read_event->{json}{response}{id};
    $c->cut;
    is_state($id, 'queued', 'its id is told before there is a word of it');
    cancel($id);
};

# curl ends when it has all of an answer: not so if that ended with the turn.
sub at_once {
    my ($kind, $url, @more) = @_;
    my ($gate, $open) = gate();
    my ($exit, $body) = $s->curl('-H', 'Content-Type: application/json',
        '--data-binary', $json->encode({ model => 'lines',
            background => $true, input => "[[say:a]]$gate" }),
        '-w', ' %{http_version}', @more, $url . $path);
    my ($id) = $body =~ /"id":"(resp_\w+)"/;
    is($exit, 0, "$kind: the client has all of its answer");
    my $want = $kind =~ /2/ ? '2' : '1.1';
    like($body, qr/"status":"queued".* \Q$want\E$/s, 'and what it says');
    is_state($id, 'in_progress', 'while it is made');
    $open->();
    is_state($id, 'completed');
}

subtest 'the client has its answer at once' => sub {
    my $plain = $s->url;
    my $tls   = "https://127.0.0.1:$s->{tls_port}";
    at_once('HTTP/1.1', $plain);
    at_once('compressed', $plain, '--compressed');
    at_once('TLS', $tls, '--http1.1');
    at_once('h2c', $plain, '--http2-prior-knowledge') if $event;
    at_once('h2', $tls, '--http2', '--compressed')    if $event;
    my $c = $s->client;
    $c->send_request(POST => $path, { model => 'lines', background => $true,
                     input => '[[say:x]]' }, version => '1.0');
    is($c->read_response->{json}{status}, 'queued', 'HTTP/1.0');
};

# --- whoever has it in hand is gone ---------------------------------------

# What stays of an answer whose worker is gone.
sub is_given_up {
    my ($id) = @_;
    is(state_of($id), 'in_progress', 'nobody knows at first');
    age($id, 60);
    my $r = show($id)->{json};
    is_deeply([ $r->{status}, $r->{error}{code} ],
              [ 'failed', 'server_error' ], 'after a while it has failed');
    like($r->{error}{message}, qr/was stopped/, 'and says why');
    is(cancel($id)->{json}{status}, 'failed', 'there is nothing to cancel');
    refused(after($id, 'x'), 400, $invalid, undef, 'previous_response_id',
            'nor to go on from');
    is(drop($id)->{status}, 200, 'it can be removed');
}

subtest 'a worker is killed' => sub {
    my $id = begin('[[say:a]][[hang]]');
    is_state($id, 'in_progress');
    $s->expect_log(qr/exit signal Killed/);
    kill KILL => $s->workers;
    $s->wait_for(sub { $s->health }, 'other workers');
    is_given_up($id);
    $s->idle_ok;
};

subtest 'restarts' => sub {
    my ($gate, $open) = gate();
    my $whole = ask('[[say:kept]]')->{json}{id};
    my $id    = begin("[[say:a]]$gate");
    is_state($id, 'in_progress');
    $s->graceful;
    is(state_of($id), 'in_progress', 'a graceful one: it is still made');
    $open->();
    is_state($id, 'completed', 'to its end');
    $id = begin('[[say:a]][[hang]]');
    is_state($id, 'in_progress');
    $s->restart;
    # prefork's workers end where they are
    $event ? is_state($id, 'failed', 'a hard one is its end')
           : is_given_up($id);
    is(after($whole, '[[find:kept]]')->{text}, 'found kept;',
       'what is kept stays');
};

# --- compaction -----------------------------------------------------------

subtest 'a conversation is made short' => sub {
    my @talk = (user('needle-u [[reset]]'), assistant('needle-a'),
                user('[[reset]][[say:the summary]]'));
    my $r = $s->post("$path/compact", { model => 'claude', input => \@talk,
        instructions => 'rule', tools => [ { type => 'function', name => 'f',
        parameters => { type => 'object' } } ] });
    my ($unique) = ($r->{json}{id} // '') =~ /^resp_(\w+)$/;
    is_deeply([ $r->{status}, map { $r->{json}{$_} } qw(object output) ],
        [ 200, 'response.compaction', [
            (map { { type => 'message', role => 'user', status => 'completed',
                     id => "msg_${unique}_$_", content => [ {
                     type => 'input_text', text => $talk[$_]{content} } ] } }
             0, 2),
            { id => "cmp_$unique", type => 'compaction',
              encrypted_content => 'clb-summary.the summary' } ] ],
        'what the user said, and a summary') or diag $r->{body};
    cmp_ok($r->{json}{usage}{total_tokens}, '>', 0, 'with its price');
    my $told = (upstream($s))[-1];
    like($told->{messages}[-1][1], qr/summary of our conversation/,
         'the model is asked for one');
    is_deeply($told->{system}, ['rule'], 'under the instructions');
    not_found(show($r->{json}{id}), 'it is not kept');

    my @short = @{ $r->{json}{output} };
    $r = ask([ $short[2], user('[[find:the summary]][[find:needle-a]]') ]);
    is($r->{text}, 'found the summary;missing needle-a;',
       'the model is told it in the place of the rest');
    is($r->{headers}{'x-clibridge-ignored'}, undef, 'nothing is ignored');
    $r = ask([ user('[[say:x]]'), { type => 'compaction', id => 'cmp_1',
               encrypted_content => "gAAAAA" } ]);
    is_deeply([ $r->{text}, $r->{headers}{'x-clibridge-ignored'} ],
              [ 'x', 'input[1]' ], "another vendor's is ignored");

    my $id = ask('needle-q [[say:one]]')->{json}{id};
    $r = $s->post("$path/compact", { model => 'lines',
        previous_response_id => $id, input => '[[reset]][[find:needle-q]]' });
    is($r->{json}{output}[-1]{encrypted_content},
       'clb-summary.found needle-q;', 'also of one that is kept');
};

subtest 'what no CLI does' => sub {
    for ('embeddings', 'audio/speech', 'images/generations', 'moderations',
         'realtime', 'conversations/conv_1') {
        like(not_found($s->post("/v1/$_", {}), $_),
             qr/here: (?:no CLI|answers are)/, 'is said');
    }
};

# --- files ----------------------------------------------------------------

subtest 'whose the files are' => \&private;

# A file may be anything: nobody is answered nonsense, and nothing falls.
subtest 'files that are no records' => sub {
    my $id = ask('x')->{json}{id};
    my $file = file_of($id);
    for my $text ('', 'null', '[]', '"x"', '{"response":[]}', "\xff", '{',
                  '{"items":[],"inputs":1}') {
        overwrite($file, $text);
        not_found(show($id), "no record: '$text'");
        not_found(cancel($id), 'nothing to cancel');
        refused(after($id, 'x'), 400, $invalid, 'previous_response_not_found',
                'previous_response_id', 'nothing to go on from');
    }
    for my $text ('{}', '{"status":"completed"}', '{"status":7,"id":[]}',
                  '{"status":"completed"},"items":{"a":1},"inputs":-1',
                  '{"status":"completed"},"items":5,"inputs":99') {
        overwrite($file, "{\"response\":$text}");
        is(show($id)->{status}, 200, "half a record: $text");
        is_deeply(items_of($id)->{data}, [], 'which has no items');
        is(after($id, 'x')->{status}, 400, 'nor can be gone on from');
    }
    overwrite($file, '{"response":{"status":'
        . '"completed"},"items":[1,null,{"id":5},{"type":"x"}],"inputs":9}');
    is(after($id, 'x')->{status}, 400, 'items that are none');
    is(@{ items_of($id)->{data} }, 4, 'are shown');
    is(drop($id)->{status}, 200, 'and removed');
};

sub no_room {
    my ($name) = @_;
    my $r = ask('[[say:x]] needle');
    is($r->{text}, 'x', "$name: whoever waits gets an answer");
    is(show($r->{json}{id})->{status}, 404, 'which is not kept');
    like(refused(ask('x', background => $true), 503, 'server_error',
                 'overloaded', undef, 'who does not wait is refused'),
         qr/CLIBridgeStore/, 'and told why');
    $s->wait_log(qr/the answer cannot be kept in \S+ \(CLIBridgeStore\)/);
}

subtest 'no room' => sub {
    my $id = ask('[[say:there]]')->{json}{id};
    my $dir = dir();
    rename $dir, "$dir.away";
    no_room('no directory');
    rename "$dir.away", $dir;
    my $running = begin('[[say:a]][[hang]]');
    is_state($running, 'in_progress');
    chmod 0500, $dir;
    no_room('read-only');
    refused(cancel($running), 503, 'server_error', 'overloaded', undef,
            'what cannot be noted is not said');
    chmod 0700, $dir;
    is(cancel($running)->{json}{status}, 'cancelled', 'now it can');
    is(after($id, '[[find:there]]')->{text}, 'found there;', 'all is well');
};

unlike($s->log, qr/needle|\[\[/, 'no log has what was said');
$s->idle_ok;
$s->stop;

# --- Off ------------------------------------------------------------------

$s = CLB::Server->start(config => "CLIBridgeStore Off\n$lines");
subtest 'CLIBridgeStore Off' => sub {
    my $r = ask('x');
    is_deeply([ $r->{json}{store}, $r->{headers}{'x-clibridge-ignored'} ],
              [ $false, undef ], 'nothing is kept');
    not_found(show($r->{json}{id}), 'nor found');
    $r = ask('x', store => $true);
    is_deeply([ $r->{json}{store}, $r->{headers}{'x-clibridge-ignored'} ],
              [ $false, 'store' ], 'who wants it is told');
    is(ask('x', store => $false)->{headers}{'x-clibridge-ignored'}, undef,
       'who does not is not');
    like(refused(ask('x', background => $true), 400, $invalid, undef,
         'background', 'background'), qr/CLIBridgeStore/, 'is refused');
    refused(after('resp_1', 'x'), 400, $invalid,
            'previous_response_not_found', 'previous_response_id',
            'nothing to go on from');
    ok(!-e dir(), 'there is no directory');
};
$s->stop;

# --- keys -----------------------------------------------------------------

my $keys = File::Temp->new;
print $keys map { "$_:" . sha256_hex("clb-$_") . ":chat\n" } qw(me you);
close $keys;
chmod 0644, "$keys";    # httpd's workers do not read it, but may
# As an ordinary user, for whom it is another business to own a directory.
$s = CLB::Server->start($> == 0 ? (as => 'nobody') : (), config => <<"EOT");
CLIBridgeKeyFile $keys
CLIBridgeAnonymous on
$lines
EOT

# What somebody else gets of an answer, and of one that is made.
sub hidden {
    my ($name, @who) = @_;
    my @mine = (key => 'clb-me');
    my $id      = ask('needle', -key => 'clb-me')->{json}{id};
    my $running = begin('[[say:a]][[hang]]', -key => 'clb-me');
    for ($id, $running) {
        not_found(show($_, @who), "$name sees none");
        not_found($s->get("$path/$_/input_items", @who), 'nor its input');
        not_found(drop($_, @who), 'removes none');
        not_found(cancel($_, @who), 'cancels none');
        refused(after($_, 'x', map { /key/ ? "-$_" : $_ } @who), 400,
                $invalid, 'previous_response_not_found',
                'previous_response_id', 'goes on from none');
    }
    refused(ask([ { type => 'item_reference', id => $_ }, user('x') ],
                map { /key/ ? "-$_" : $_ } @who), 400, $invalid, undef,
            'input[0]', 'refers to none')
        for $s->get("$path/$id/input_items", @mine)->{json}{data}[0]{id};
    ok($s->poll(sub { show($running, @mine)->{json}{status}
                      eq 'in_progress' }), 'its owner does');
    is(cancel($running, @mine)->{json}{status}, 'cancelled', 'and may');
    is(after($id, '[[find:needle]]', -key => 'clb-me')->{text},
       'found needle;', 'all of it');
    return $id;
}

subtest 'nobody sees what is another key\'s' => sub {
    hidden('another key', key => 'clb-you');
    my $id = hidden('who has no key');
    refused(show($id, key => 'clb-none'), 401, $invalid, 'invalid_api_key',
            undef, 'a wrong key is one');
    $s->graceful;
    is(show($id, key => 'clb-me')->{status}, 200, 'a reload changes nothing');
};

subtest 'whose the files are, of an ordinary user' => \&private;

subtest 'nobody sees what is another peer\'s' => sub {
    my $id = ask('x')->{json}{id};
    is(show($id)->{status}, 200, 'its own');
    my ($exit, $body) = $s->curl('--interface', '127.0.0.2',
                                 $s->url("$path/$id"));
    like($body, qr/there is no response/, "another's");
    ($exit, $body) = $s->curl($s->url("$path/$id?key=clb-me"));
    like($body, qr/there is no response/, 'nor does who has a key then');
};
$s->stop;

done_testing;
