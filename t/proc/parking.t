#!/usr/bin/perl

# A process stays with its conversation: the request that goes on with it finds
# it, any other one has its history replayed, and the model is told the same.

use strict;
use warnings;

use Digest::SHA qw(sha1_base64 sha256_hex);
use File::Temp ();
use FindBin;
use MIME::Base64 qw(encode_base64);
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;
use CLB::Talk qw(assistant fake_claude normal rested same_told system_text
                 upstream user);

my $keys = File::Temp->new;
printf $keys "%s:%s:chat\n", $_, sha256_hex("secret-$_") for qw(a b);
$keys->flush;

# --- asking ---------------------------------------------------------------

# Whether a turn went on with a parked process ('hit'), had its history
# replayed ('miss') or had none ('new'): by /health and by who answered.
sub how {
    my ($before, $after, $old) = @_;
    my $got = join ' ', map { $after->{$_} - $before->{$_} }
        qw(hits misses starts);
    my %how = ('1 0 0 1' => 'hit', '0 1 1 0' => 'miss', '0 0 1 0' => 'new');
    return $how{ $got . ($old ? ' 1' : ' 0') }
        // "hits, misses, starts: $got; " . ($old ? 'old' : 'new') . ' pid';
}

# One turn at a time: {how}, {pid} of who answered, {text}, {status}; checks
# what the model was told.
sub ask {
    my ($s, $messages, %o) = @_;
    my $before = rested($s, 'fake');
    my %old = map { $_->{pid} => 1 } my @before = upstream($s);
    my $r = delete $o{stream} ? $s->stream($messages, %o)
                              : $s->chat($messages, %o);
    my $after = rested($s, 'fake');
    my @told = upstream($s);
    splice @told, 0, @before;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([map { same_told($_) } @told],
              [same_told(normal({ model => 'fake', messages => $messages,
                                  %o }))],
              'the model is told what the request says')
        or diag explain $r->{body}, \@told;
    my $pid = @told ? $told[-1]{pid} : 0;
    return { %$r, pid => $pid, how => how($before, $after, $old{$pid}),
             parked => $after->{parked} };
}

# A conversation; say() adds a question and its answer.
sub talk {
    my ($s, @messages) = @_;
    return { s => $s, messages => [@messages], options => {} };
}

sub say {
    my ($talk, $text, %o) = @_;
    push @{ $talk->{messages} }, user($text);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = ask($talk->{s}, $talk->{messages}, %{ $talk->{options} }, %o);
    push @{ $talk->{messages} }, assistant($r->{text});
    return $talk->{last} = $r;
}

sub turn_is {
    my ($talk, $text, $how, $name, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = say($talk, $text, %o);
    is $r->{how}, $how, $name or diag explain $r->{body};
    return $r;
}

# Waits until so many processes are parked.
sub parked_is {
    my ($s, $want, $name, $timeout) = @_;
    my $got;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub {
        $got = $s->backend_health('fake')->{parked};
        defined $got && $got == $want;
    }, $timeout), $name or diag "parked: $got";
}

sub is_gone {
    my ($s, $pid, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $s->poll(sub { !kill 0, $pid }), $name;
}

sub start {
    my ($config, %o) = @_;
    my $s = CLB::Server->start(config => $config, %o);
    rested($s, $_) for $config =~ /<CLIBridgeBackend (\w+)>/g;
    return $s;
}

my $n = 0;
sub word { 'word' . ++$n }

# --- beside everything else -----------------------------------------------

# It takes a while until a server finds that memory is short.
my $short = start("CLIBridgeMemory 1M\n" . fake_claude('fake',
                  'CLIBridgeWarm none'));
my $squeezed = talk($short);
say($squeezed, 'one');

# --- what goes on ---------------------------------------------------------

my $s = start(<<'EOT' . fake_claude('fake', 'CLIBridgeWarm none',
CLIBridgeAlias nick fake
CLIBridgeAnonymous on
CLIBridgeProcesses 400
EOT
    'CLIBridgePark 400') . fake_claude('stuck') . "CLIBridgeKeyFile $keys\n");

# This one is never ready for another turn; that takes a while, too.
$s->chat('[[then:never]]', model => 'stuck');
my ($stuck) = upstream($s);

subtest 'a conversation goes on with its process' => sub {
    my $talk  = talk($s, system_text('be brief'));
    my $first = turn_is($talk, '[[say:one]]', 'new', 'the first turn');
    is $first->{parked}, 1, 'leaves its process parked';
    for my $i (2 .. 5) {
        my $r = turn_is($talk, "[[say:answer $i]]", 'hit', "turn $i",
                        stream => $i % 2);
        is $r->{text}, "answer $i", 'is answered';
        is $r->{pid}, $first->{pid}, 'by the same process';
    }
    is scalar(grep { $_->{pid} == $first->{pid} } upstream($s)), 5,
        'which asked its model five times';
};

# [what is different, a change to the next request]
my @others = (
    [ 'another key', sub { $_[0]{-key} = 'secret-b' } ],
    [ 'no key',      sub { delete $_[0]{-key} } ],
    [ 'another model', sub { $_[0]{model} = 'fake-2' } ],
    [ 'another system prompt', sub { $_[0]{messages}[0]{content} .= ' ' } ],
    [ 'no system prompt', sub { shift @{ $_[0]{messages} } } ],
    [ 'one more system prompt',
      sub { push @{ $_[0]{messages} }, system_text('x') } ],
    (map {
        my ($name, $value) = @$_;
        [ $name, sub { $_[0]{$name} = $value } ];
    } [ temperature => 0 ], [ top_p => 0.5 ], [ top_k => 5 ],
      [ max_tokens => 100 ], [ reasoning_effort => 'low' ],
      [ reasoning_effort => 'none' ],
      [ thinking => { type => 'enabled', budget_tokens => 2000 } ],
      [ stop => 'y' ]),
    [ 'an edited question', sub { $_[0]{messages}[1]{content} .= ' ' } ],
    [ 'an edited answer',   sub { $_[0]{messages}[2]{content} = 'oK' } ],
    [ 'a longer answer',    sub { $_[0]{messages}[2]{content} .= "\n" } ],
    [ 'a letter of the answer in the question', sub {
        $_[0]{messages}[1]{content} .= 'o';
        $_[0]{messages}[2]{content} = 'k' } ],
    [ 'one more turn', sub {
        splice @{ $_[0]{messages} }, 3, 0, user('x'), assistant('y') } ],
    [ 'the beginning left out',
      sub { splice @{ $_[0]{messages} }, 1, 1 } ],
    [ 'a question in parts', sub {
        $_[0]{messages}[1]{content} = [ map { { type => 'text', text => $_ } }
            '', split //, $_[0]{messages}[1]{content} ] } ],
    [ 'a question in two messages', sub {
        my ($first, $rest) = $_[0]{messages}[1]{content} =~ /(.)(.*)/;
        splice @{ $_[0]{messages} }, 1, 1, user($first), user($rest) } ],
    [ 'no answer', sub { splice @{ $_[0]{messages} }, 2, 1 }, 'new' ],
    [ 'an answer of the user', sub { $_[0]{messages}[2]{role} = 'user' },
      'new' ],
);
my @same = (
    [ 'a stream', sub { $_[0]{stream} = 1 } ],
    [ 'a user and metadata',
      sub { @{ $_[0] }{qw(user metadata)} = ('u', {}) } ],
    [ 'a question as a part, and an empty one', sub {
        $_[0]{messages}[1]{content} = [ map { { type => 'text', text => $_ } }
            '', $_[0]{messages}[1]{content} ] } ],
    [ 'an answer in two messages', sub {
        splice @{ $_[0]{messages} }, 2, 1, assistant('o'), assistant('k') } ],
    [ 'empty messages', sub {
        splice @{ $_[0]{messages} }, 2, 0, user(''), assistant(undef),
            user([]) } ],
    [ 'the reasoning', sub { $_[0]{messages}[2]{reasoning_content} = 'hm' } ],
    [ 'a system prompt of another role and place', sub {
        my $system = shift @{ $_[0]{messages} };
        push @{ $_[0]{messages} }, { %$system, role => 'developer' } } ],
);

# The next request of a conversation, changed.
sub go_on {
    my ($talk, $text, $change) = @_;
    my %request = (-key => 'secret-a', messages => [
        map { { %$_ } } @{ $talk->{messages} }, user($text) ]);
    $change->(\%request);
    return ask($s, delete $request{messages}, %request);
}

subtest 'what is the same conversation, and what is not' => sub {
    my $talk  = talk($s, system_text('be brief'));
    my $first = say($talk, word(), -key => 'secret-a');
    for my $case (@others) {
        my ($name, $change, $how) = @$case;
        my $r = go_on($talk, 'on', $change);
        is $r->{how}, $how || 'miss', "$name: not the same"
            or diag explain $r->{body};
    }
    for my $case (@same) {
        my ($name, $change) = @$case;
        my $r = go_on($talk, $name, $change);
        is $r->{how}, 'hit', "$name: the same" or diag explain $r->{body};
        is $r->{pid}, $first->{pid}, 'and its process';
        push @{ $talk->{messages} }, user($name), assistant($r->{text});
    }
};

subtest 'an alias is the model it means' => sub {
    my $talk  = talk($s);
    my $first = say($talk, word());
    my $r = $s->chat([@{ $talk->{messages} }, user('x')], model => 'nick');
    is $r->{json}{model}, 'nick', 'another name';
    is((upstream($s))[-1]{pid}, $first->{pid}, 'for the same conversation');
};

subtest 'settings stay with the conversation' => sub {
    my $talk = talk($s, system_text('be brief'));
    $talk->{options} = { temperature => 0.5, max_tokens => 77,
                         reasoning_effort => 'low' };
    turn_is($talk, word(), 'new', 'set at first');
    my $set = (upstream($s))[-1]{settings};
    turn_is($talk, 'x', 'hit', 'and then');
    is $set->{env}{CLAUDE_CODE_MAX_OUTPUT_TOKENS}, 77, 'one of them';
    is_deeply((upstream($s))[-1]{settings}, $set, 'they are what they were');
};

subtest 'the same request again' => sub {
    my $talk = talk($s);
    my $word = word();
    turn_is($talk, $word, 'new', 'a question');
    my $other = talk($s);
    turn_is($other, $word, 'new', 'again');
    turn_is($talk, 'two', 'hit', 'the next one');
    splice @{ $talk->{messages} }, -2;
    turn_is($talk, 'two', 'hit',
            'again: who answered the first one twice has it');
    splice @{ $talk->{messages} }, -2;
    turn_is($talk, 'two', 'miss', 'again: nobody else has');
    turn_is($talk, 'three', 'hit', 'and it goes on');
};

subtest 'branches' => sub {
    my $talk = talk($s);
    my $one  = turn_is($talk, word(), 'new', 'a beginning');
    my $branch = talk($s, @{ $talk->{messages} });
    turn_is($talk, 'this way', 'hit', 'goes on');
    my $two = turn_is($branch, 'that way', 'miss', 'and differently, too');
    for my $i (1 .. 2) {
        is turn_is($talk, "this $i", 'hit', 'the one')->{pid}, $one->{pid},
            'has its process';
        is turn_is($branch, "that $i", 'hit', 'the other')->{pid},
            $two->{pid}, 'has another';
    }
};

subtest 'a twin' => sub {
    my ($talk, $gate) = (talk($s), $s->path('state/gate'));
    my $first = say($talk, word());
    my @messages = (@{ $talk->{messages} }, user("[[say:a]][[gate:$gate]]"));
    my $before = $s->backend_health('fake');
    my $one = $s->stream(\@messages, -until => sub { $_[1]{text} ne '' });
    my $two = $s->stream(\@messages, -until => sub { $_[1]{text} ne '' });
    open my $file, '>', $gate or die "$gate: $!\n";
    for my $twin ($one, $two) {
        1 while $twin->{client}->read_event;
        ok $twin->{client}{clean}, 'is answered';
    }
    my $after = rested($s, 'fake');
    my @told = (upstream($s))[-2, -1];
    is scalar(grep { $_->{pid} == $first->{pid} } @told), 1,
        'one has the process, the other has not';
    is same_told($told[0]), same_told($told[1]), 'both say the same';
    is_deeply [map { $after->{$_} - $before->{$_} } qw(hits misses parked)],
        [1, 1, 1], 'a hit, a miss, one more process';
    push @{ $talk->{messages} }, user("[[say:a]][[gate:$gate]]"),
        assistant('a');
    turn_is($talk, 'on', 'hit', 'it goes on with one of them');
};

# A client may go on before the process has said that it is ready.
subtest 'the next request at once' => sub {
    my @messages = (user(word()));
    my $before = rested($s, 'fake');
    for (1 .. 20) {
        push @messages, assistant($s->chat(\@messages)->{text}), user("turn $_");
    }
    my $after = rested($s, 'fake');
    is_deeply [map { $after->{$_} - $before->{$_} } qw(hits misses starts)],
        [19, 0, 1], 'is waited for';
};

# --- what does not --------------------------------------------------------

# [what, the first question, options, its answer]
my @ends = (
    [ 'length', '[[say:cut]][[finish:length]]', {}, 'cut' ],
    [ 'nothing to see', '[[say: ]]', {}, ' ' ],
    [ 'an error', '[[error:500]]', {}, undef ],
    [ 'an error in the middle', '[[say:x]][[say:y]][[error:500:1]]', {},
      undef ],
    [ 'cut at stop', '[[say:one two three]]', { stop => ' tw' }, 'one' ],
    [ 'cut at stop, and all came at once',
      '[[then:burst]][[say:one]][[say: two]][[say: three]]',
      { stop => ' tw' }, 'one' ],
    [ 'half a result', '[[then:half]]', {}, 'ok' ],
    [ 'half a result at once', '[[then:burst]][[then:half]]', {}, 'ok' ],
    [ 'a late error', '[[then:fail]]', {}, 'ok' ],
    [ 'a late error at once', '[[then:burst]][[then:fail]]', {}, 'ok' ],
);

subtest 'turns that leave nothing' => sub {
    for my $case (@ends) {
        my ($name, $text, $options, $answer) = @$case;
        my $talk = talk($s);
        my $was  = $s->backend_health('fake')->{parked};
        my $r = say($talk, word() . $text, %$options);
        is $r->{text}, $answer, $name;
        is $r->{parked}, $was, 'is not parked';
        is_gone($s, $r->{pid}, 'its process is gone');
        next unless defined $answer;
        is ask($s, [@{ $talk->{messages} }, user('on')], %$options)->{how},
            $answer =~ /\S/ ? 'miss' : 'new', 'the next turn is replayed';
    }
};

subtest 'turns that end oddly' => sub {
    for my $then ('burst', 'slow', 'burst]][[then:slow') {
        my $talk = talk($s);
        turn_is($talk, word() . "[[then:$then]]", 'new', $then);
        turn_is($talk, 'on', 'hit', 'and goes on');
    }
};

subtest 'a client that leaves' => sub {
    my $gate = $s->path('state/never');
    my $was  = rested($s, 'fake');
    for my $text ("[[say:a]][[gate:$gate]]",
                  "[[then:burst]][[say:a]][[say:b]]") {
        my $talk = talk($s);
        my $first = say($talk, word());
        my $client = $s->client;
        $client->send_request('POST', '/v1/chat/completions', {
            model => 'fake', stream => JSON::PP::true,
            messages => [@{ $talk->{messages} }, user($text)] });
        $s->wait_for(sub { same_told((upstream($s))[-1]) =~ /\Q$text/ },
                     'the turn');
        $client->cut;
        rested($s, 'fake');
        turn_is($talk, 'on', 'miss', 'takes the process with it');
    }
};

subtest 'a process that dies while it is parked' => sub {
    my $talk  = talk($s);
    my $first = say($talk, word());
    my $from  = $s->log_size;
    kill KILL => $first->{pid};
    parked_is($s, $first->{parked} - 1, 'is forgotten');
    turn_is($talk, 'on', 'miss', 'and its conversation replayed');
    my $health = $s->backend_health('fake');
    is $health->{status}, 'ok', 'the backend is well';
    unlike $s->log($from), qr/:(?:error|crit|alert|emerg)\]/,
        'nobody needs to hear of it';

    # the keeper may not know yet
    for (1 .. 10) {
        my $word = word();
        $s->chat($word);
        kill KILL => (upstream($s))[-1]{pid};
        my $r = $s->chat([user($word), assistant('ok'), user('on')]);
        is_deeply [@$r{qw(status text)}], [200, 'ok'],
            'nor the next request, however soon it comes' or diag $r->{body};
    }
};

subtest 'a parked process that speaks, or hangs up' => sub {
    my $talk = talk($s);
    say($talk, word() . '[[then:talk]]');
    my $r = turn_is($talk, '[[say:x]]', 'hit', 'what it says means nothing');
    is $r->{text}, 'x', 'and is no answer';

    for my $then (qw(regret close)) {
        my $talk  = talk($s);
        my $first = say($talk, word() . "[[then:$then]]");
        is_gone($s, $first->{pid}, "$then: it is ended") if $then eq 'regret';
        for (1 .. 2) {
            my $r = $s->chat([@{ $talk->{messages} }, user('on')]);
            is_deeply [@$r{qw(status text)}], [200, 'ok'], "$then: is replaced"
                or diag $r->{body};
        }
        is_gone($s, $first->{pid}, "$then: it is gone");
    }
};

subtest 'a parked process that ends when it is asked' => sub {
    for my $stream (0, 1) {
        my $talk  = talk($s);
        my $first = say($talk, word() . '[[then:die]]');
        push @{ $talk->{messages} }, user('[[say:on]]');
        my $before = upstream($s);
        my $r = $stream ? $s->stream($talk->{messages})
                        : $s->chat($talk->{messages});
        my @told = upstream($s);
        is_deeply [@$r{qw(status text)}], [200, 'on'], 'another one answers'
            or diag $r->{body};
        is @told - $before, 1, 'and only that';
        isnt $told[-1]{pid}, $first->{pid}, 'from a process of its own';
        is same_told($told[-1]),
            same_told(normal({ model => 'fake', %$talk })), 'and all of it';
        rested($s, 'fake');
        push @{ $talk->{messages} }, assistant('on');
        turn_is($talk, 'and on', 'hit', 'which is parked, too');
    }
};

subtest 'a parked process that ends in its answer' => sub {
    my $talk = talk($s);
    say($talk, word());
    my $before = upstream($s);
    my $r = $s->stream([@{ $talk->{messages} }, user('[[say:a]][[exit:3]]')]);
    is_deeply [$r->{text}, ref $r->{error} && $r->{error}{code}],
        ['a', 'cli_failed'], 'is an error like any';
    is upstream($s) - $before, 1, 'nothing is asked twice';
    turn_is($talk, 'on', 'miss', 'and the next turn is replayed');
};

subtest 'a process that never gets ready again' => sub {
    my $health = rested($s, 'stuck');
    is $health->{parked}, 0, 'is not parked';
    is_gone($s, $stuck->{pid}, 'but ended');
    is $health->{status}, 'ok', 'which is no failure';
};

subtest 'a graceful restart' => sub {
    my $talk  = talk($s);
    my $first = say($talk, word());
    my $gate  = $s->path('state/late');
    my $open  = $s->stream("[[say:a]][[gate:$gate]]",
                           -until => sub { $_[1]{text} ne '' });
    my ($held) = map { $_->{pid} } (upstream($s))[-1];
    $s->graceful;
    parked_is($s, 0, 'ends what is parked');
    is_gone($s, $first->{pid}, 'its process, too');
    ok kill(0, $held), 'though a turn still runs';
    turn_is($talk, 'on', 'miss', 'the conversation is replayed');
    turn_is($talk, 'and on', 'hit', 'and goes on');
    open my $file, '>', $gate or die "$gate: $!\n";
    1 while $open->{client}->read_event;
    is_gone($s, $held, 'nor is parked what nobody could come back to');
};

$s->idle_ok;
$s->stop;

# --- limits ---------------------------------------------------------------

subtest 'CLIBridgePark off' => sub {
    my $s = start(fake_claude('fake', 'CLIBridgeWarm none',
                              'CLIBridgePark off'));
    my $talk = talk($s);
    say($talk, word());
    my $r = turn_is($talk, 'on', 'miss', 'everything is replayed');
    is $r->{parked}, 0, 'nothing stays';
    is_gone($s, $r->{pid}, 'nobody');
    $s->stop;
};

subtest 'a number' => sub {
    my $s = start(fake_claude('fake', 'CLIBridgeWarm none',
                              'CLIBridgePark 2'));
    my ($one, $two, $three) = map { talk($s) } 1 .. 3;
    my $first = say($one, 'one');
    say($two, 'two');
    is say($three, 'three')->{parked}, 2, 'no more than that';
    is_gone($s, $first->{pid}, 'the oldest goes');
    turn_is($_, 'on', 'hit', 'the others stay') for $two, $three;
    turn_is($one, 'on', 'miss', 'it is replayed');
    turn_is($two, 'on', 'miss', 'and the next oldest went');
    turn_is($one, 'on', 'hit', 'not a younger one');
    $s->stop;
};

subtest 'as many as slots' => sub {
    my $s = start(fake_claude('fake', 'CLIBridgeWarm none',
                              'CLIBridgeSlots 3'));
    is say(talk($s), word())->{parked}, $_ > 3 ? 3 : $_, "turn $_" for 1 .. 5;
    $s->stop;
};

subtest 'a time' => sub {
    my $s = start(fake_claude('fake', 'CLIBridgeWarm none',
                              'CLIBridgePark 4 timeout=1'));
    my $talk = talk($s);
    my $first = say($talk, 'one');
    is $first->{parked}, 1, 'it stays';
    parked_is($s, 0, 'for a while');
    is_gone($s, $first->{pid}, 'then it is gone');
    turn_is($talk, 'on', 'miss', 'and the conversation replayed');
    $s->stop;
};

subtest 'CLIBridgeProcesses' => sub {
    my $s = start("CLIBridgeProcesses 2\n"
        . fake_claude('fake', 'CLIBridgeWarm none')
        . fake_claude('other', 'CLIBridgeWarm none'));
    my ($one, $two) = map { talk($s) } 1, 2;
    my $first = say($one, 'one');
    is say($two, 'two')->{parked}, 2, 'there is room for two';
    turn_is($two, 'on', 'hit', 'who goes on needs none') for 1, 2;
    is $s->chat('hello', model => 'other')->{text}, 'ok',
        'another backend needs one';
    parked_is($s, 1, 'so one goes');
    is_gone($s, $first->{pid}, 'the oldest');
    turn_is($two, 'on', 'hit', 'not the other');
    is scalar($s->marked), 2, 'they are no more than two';
    turn_is($one, 'on', 'miss', 'its own backend gets one in the same way');
    is scalar($s->marked), 2, 'and still no more';
    $s->stop;
};

subtest 'a warm process goes after those' => sub {
    my $s = start("CLIBridgeProcesses 2\n"
        . fake_claude('fake', 'CLIBridgeWarm none')
        . fake_claude('warm', 'CLIBridgeWarm persistent max=1')
        . fake_claude('other', 'CLIBridgeWarm none'));
    ok $s->wait_for(sub { $s->backend_health('warm')->{idle} == 1 }, 'it'),
        'a warm one';
    my $first = say(talk($s), 'one');
    is $s->chat('hello', model => 'other')->{text}, 'ok', 'room is needed';
    is_gone($s, $first->{pid}, 'the parked one makes it');
    is $s->backend_health('warm')->{starts}, 1, 'the warm one stays';
    $s->stop;
};

subtest 'CLIBridgeMemory' => sub {
    parked_is($short, 0, 'ends what is parked');
    turn_is($squeezed, 'on', 'miss', 'it is replayed');
    $short->stop;
};

# --- whose it is ----------------------------------------------------------

# While its first connection is open, a worker of prefork serves nobody else.
subtest 'another worker goes on' => sub {
    my $s = start("KeepAliveTimeout 60\nCustomLog \@ROOT\@/logs/pid.log \%P\n"
        . fake_claude('fake', 'CLIBridgeWarm none'), mpm => 'prefork');
    my @messages = user('one');
    my (@open, @pids);
    for my $i (1 .. 4) {
        push @open, my $client = $s->client;
        push @messages, assistant($client->chat(\@messages)->{text}),
            user("turn $i");
    }
    my $health = rested($s, 'fake');
    is_deeply [@$health{qw(hits misses starts)}], [3, 0, 1],
        'one process for all turns';
    my %pid = map { $_ => 1 }
        split /\n/, CLB::Server::slurp($s->path('logs/pid.log'));
    cmp_ok scalar(keys %pid), '>=', 4, 'and each had a worker of its own';
    $_->close for @open;
    $s->stop;
};

subtest 'users of httpd, and peers' => sub {
    my $users = File::Temp->new;
    print $users map { "$_:{SHA}" . sha1_base64('pw') . "=\n" } qw(ann bob);
    close $users;
    chmod 0644, "$users";
    my $s = start(<<"EOT" . fake_claude('fake', 'CLIBridgeWarm none'),
CLIBridgeAnonymous on
RemoteIPHeader X-Test-IP
RemoteIPInternalProxy 127.0.0.1
<Location /basic>
    SetHandler clibridge
    AuthType Basic
    AuthName people
    AuthBasicProvider file
    AuthUserFile $users
    Require valid-user
</Location>
EOT
        modules => [qw(auth_basic authn_file authz_user remoteip)]);
    my %as = (
        (map { $_ => { -path => '/basic/v1/chat/completions', -headers => {
             Authorization => 'Basic ' . encode_base64("$_:pw", '') } } }
         qw(ann bob)),
        (map { $_ => { -headers => { 'X-Test-IP' => $_ } } }
         qw(192.0.2.1 192.0.2.2)));
    for my $case ([qw(ann bob)], [qw(192.0.2.1 192.0.2.2)],
                  ['ann', '192.0.2.1']) {
        my ($one, $other) = @$case;
        my $talk = talk($s);
        turn_is($talk, word(), 'new', $one, %{ $as{$one} });
        is ask($s, [@{ $talk->{messages} }, user('x')],
               %{ $as{$other} })->{how}, 'miss', "$other has another process";
        turn_is($talk, 'x', 'hit', "$one has it", %{ $as{$one} });
    }
    $s->stop;
};

done_testing;
