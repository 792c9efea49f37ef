# The fakes are what every other test believes in, so they come first.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use IO::Select;
use IPC::Open3;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Symbol qw(gensym);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Markers qw(parse strip context plan play);

my $bin   = "$FindBin::Bin/../bin";
my $json  = JSON::PP->new->utf8->canonical;
my $limit = 20;
my %alive;

$SIG{PIPE} = 'IGNORE';
END { kill KILL => keys %alive if %alive }

# --- a process on three pipes ---------------------------------------------

sub start {
    my ($name, @args) = @_;
    my $p = { out => '', err => '' };
    $p->{pid} = open3(my $in, my $out, my $err = gensym,
                      $^X, "$bin/$name", @args);
    @$p{qw(in stdout stderr)} = ($in, $out, $err);
    $in->autoflush(1);
    $alive{ $p->{pid} } = 1;
    return $p;
}

# Reads both outputs until $done says so or both have ended.
sub read_until {
    my ($p, $done, $seconds) = @_;
    my $until = time + ($seconds || $limit);
    my $open = IO::Select->new(
        grep { defined fileno $_ } @$p{qw(stdout stderr)});
    until ($done->()) {
        my $left = $until - time;
        return 0 if $left <= 0 || !$open->count;
        for my $pipe ($open->can_read($left)) {
            my $to = $pipe == $p->{stdout} ? \$p->{out} : \$p->{err};
            next if sysread $pipe, $$to, 65536, length $$to;
            $open->remove($pipe);
            close $pipe;
        }
    }
    return 1;
}

sub finish {
    my ($p) = @_;
    close $p->{in};
    read_until($p, sub { 0 });
    waitpid $p->{pid}, 0;
    delete $alive{ $p->{pid} };
    return $p->{status} = $?;
}

sub end_it {
    my ($p, $signal) = @_;
    kill $signal || 'KILL', $p->{pid};
    return finish($p);
}

sub oneshot {
    my ($prompt) = @_;
    my $p = start('fake-oneshot');
    print { $p->{in} } $prompt;
    finish($p);
    return $p;
}

sub ask {
    my ($p, $text, %more) = @_;
    my $messages = ref $text ? $text : [ { role => 'user', content => $text } ];
    print { $p->{in} } $json->encode({ messages => $messages, %more }), "\n";
}

# The JSON lines up to the end of the turn; lines that are not JSON stay text.
sub answer {
    my ($p) = @_;
    my @lines;
    my $ended;
    read_until($p, sub {
        while (!$ended && $p->{out} =~ s/^(.*)\n//) {
            my $line = $1;
            my $value = eval { $json->decode($line) };
            push @lines, $value // $line;
            $ended = ref $value && ($value->{done} || $value->{error});
        }
        $ended;
    });
    return @lines;
}

sub text_in { join '', map { ref && $_->{text} // '' } @_ }

sub is_running { kill 0, $_[0] }

sub group_of {
    open my $stat, '<', "/proc/$_[0]/stat" or return 0;
    return (split ' ', <$stat> =~ s/.*\) //r)[2];
}

# --- the parser -----------------------------------------------------------

is_deeply([ map { $_->{op} } parse('a [[say:x]] [[images]] [[no]] [[env:A]]') ],
          [qw(say images env)], 'markers come in order, unknown ones are text');
is_deeply([ parse('[[say:old]][[reset]]') ], [], 'reset forgets');
is((parse('[[say64:' . encode_base64("\xc3\xa4]]\n", '') . ']]'))[0]{arg},
   "\xe4]]\n", 'say64 decodes to characters');
is_deeply([ parse('[[tool:f:{"a":"b:c"}]]') ],
          [ { op => 'tool', name => 'f', args => '{"a":"b:c"}' } ],
          'a tool keeps the colons of its arguments');
is(strip('a[[say:b]]c'), 'ac', 'strip leaves the rest');

sub plan_text { join '', map { $_->{text} // '' } @{ plan(@_)->{steps} } }

is(plan_text(text => 'hello'), 'ok', 'no marker: ok');
is(plan_text(text => '[[think:hm]]'), 'ok', 'thinking alone: ok');
is(plan_text(text => '[[say:a]][[say:b]]'), 'ab', 'texts are joined');
is(plan_text(text => '[[stream:3:0]]'), 'tok1 tok2 tok3', 'stream');
is(plan_text(text => 'sun [[find:sun]][[find:moon]]'),
   'found sun;missing moon;', 'find does not see markers');
is(plan_text(text => '[[reset]]', results => [qw(1 2)]), 'tool said: 1 | 2',
   'tool results go first');
is(plan_text(text => '[[tools]][[tool:x:{}]]', tools => [qw(b a)]),
   'tools=a,b;no such tool: x', 'a tool that was not offered');
is_deeply(plan(text => '[[tool:f:{}]]', tools => ['mcp__s__f'])->{calls},
          [ { name => 'mcp__s__f', args => '{}' } ],
          'a tool under its MCP name');

my %seen = context({ system => 'S', messages => [
    { role => 'user',      content => '[[say:used]]' },
    { role => 'assistant', content => 'used' },
    { role => 'user',      content => [ { type => 'text', text => 'now' },
                                        { type => 'image' } ] } ] });
is($seen{text}, 'now', 'an answer uses markers up');
is($seen{images}, 1, 'images are counted');
like($seen{everything}, qr/^S\n.*say:used.*now$/s, 'everything is everything');

# --- one turn per process -------------------------------------------------

is(oneshot('hello')->{out}, 'ok', 'oneshot: no marker');
is(oneshot('[[say:old]] [[reset]] [[stream:3:1]]')->{out}, 'tok1 tok2 tok3',
   'oneshot: the whole prompt from the reset on');
is(oneshot('[[say64:' . encode_base64("\xc3\xa4", '') . ']]')->{out},
   "\xc3\xa4", 'oneshot: UTF-8');

my $p = oneshot('[[error:429]][[say:no]]');
is_deeply([ @$p{qw(out err status)} ], [ '', "error 429\n", 1 << 8 ],
          'oneshot: error before output');
$p = oneshot('[[stream:5:0]][[error:500:2]]');
is_deeply([ @$p{qw(out err)} ], [ 'tok1 tok2', "error 500\n" ],
          'oneshot: error after two deltas');
$p = oneshot('[[say:a]][[exit:7]]');
is_deeply([ @$p{qw(out status)} ], [ 'a', 7 << 8 ], 'oneshot: exit');
is(length oneshot('[[stderr:300000]]')->{err}, 300000, 'oneshot: stderr');
is(length oneshot('[[big:2000000]]')->{out}, 2000000, 'oneshot: big');
is(oneshot('[[garbage]]')->{out}, "\xff\xfe\x80\xc3(", 'oneshot: garbage');
{
    local $ENV{CLB_A} = 'x y';
    is(oneshot('[[env:CLB_A]][[env:CLB_B]]')->{out},
       'env CLB_A=x y;env CLB_B unset;', 'oneshot: env');
}
like(oneshot('[[cwd]]')->{out}, qr{^cwd=/\S* entries=\S*;$}, 'oneshot: cwd');
like(oneshot('[[fds]]')->{out}, qr/^fds 0=pipe:\S+ 1=pipe:\S+ 2=pipe:\S+[ ;]/,
     'oneshot: fds');
is(join(' ', oneshot('[[status]]')->{out} =~ /^(\w+):/mg),
   'Uid Gid Groups NSpgid SigBlk SigIgn', 'oneshot: status');
{
    my $file = File::Temp->new;
    print $file '{"a":1}';
    close $file;
    local $ENV{CLIBRIDGE_REQUEST} = "$file";
    is(oneshot('[[request]]')->{out}, '{"a":1}', 'oneshot: request');
}

# These do not end by themselves: read what they say, then end them.
sub running {
    my ($prompt, $said) = @_;
    my $p = start('fake-oneshot');
    print { $p->{in} } $prompt;
    close $p->{in};
    ok(read_until($p, sub { $p->{out} =~ $said }), "oneshot: $prompt")
        or diag "out: $p->{out}, err: $p->{err}";
    return $p;
}

$p = running('[[say:a]][[hang]][[say:b]]', qr/a/);
end_it($p, 'TERM');
is($p->{out}, 'a', 'oneshot: nothing after hang');
is($p->{status}, 15, 'oneshot: SIGTERM ends it');

$p = running('[[ignoreterm]][[say:a]][[hang]]', qr/a/);
kill TERM => $p->{pid};
ok(!read_until($p, sub { 0 }, 0.3) && is_running($p->{pid}),
   'oneshot: SIGTERM ignored');
is(end_it($p), 9, 'oneshot: SIGKILL ends it');

$p = running('[[say:a]][[closeout]]', qr/a/);
ok(read_until($p, sub { !defined fileno $p->{stdout} }),
   'oneshot: stdout closed');
ok(is_running($p->{pid}), 'oneshot: and alive');
end_it($p);

for my $way (qw(fork setsid)) {
    $p = running("[[$way]]", qr/^(?:forked|setsid) \d+;/);
    my ($pid) = $p->{out} =~ /(\d+)/;
    ok(is_running($pid), "oneshot: $way leaves a grandchild");
    if ($way eq 'setsid') {
        finish($p);
        is(group_of($pid), $pid, 'oneshot: in its own session');
    }
    else {
        is(group_of($pid), group_of($p->{pid}), 'oneshot: in the same group');
    }
    kill KILL => $pid;
    finish($p) unless $way eq 'setsid';
}

# --- one turn per line ----------------------------------------------------

my $lines = start('fake-lines');
ask($lines, 'hello');
is_deeply([ answer($lines) ],
          [ { text => 'ok' }, { done => JSON::PP::true, stop => 'stop' } ],
          'lines: no marker');

ask($lines, '[[think:hm]][[stream:2:1]][[usage:3:4]][[finish:length]]');
is_deeply([ answer($lines) ],
          [ { reasoning => 'hm' }, { text => 'tok1' }, { text => ' tok2' },
            { done => JSON::PP::true, stop => 'length',
              usage => { input_tokens => 3, output_tokens => 4 } } ],
          'lines: reasoning, text, usage, stop');

ask($lines, '[[find:sky]]', system => 'the sky');
is(text_in(answer($lines)), 'found sky;', 'lines: find sees the system text');

ask($lines, '[[stream:3:0]][[error:429:1]]');
is_deeply([ answer($lines) ],
          [ { text => 'tok1' }, { error => 'error 429', status => 429 } ],
          'lines: error after a delta');

ask($lines, '[[say:a]][[notjson]][[say:b]]');
is_deeply([ (answer($lines))[ 0 .. 2 ] ],
          [ { text => 'a' }, 'this is not JSON', { text => 'b' } ],
          'lines: a line that is not JSON');

for my $case (['[[surrogate]]', qr/"a\\ud800b"/],
              ['[[garbage]]',   qr/"\xff\xfe/]) {
    ask($lines, $case->[0]);
    read_until($lines, sub { $lines->{out} =~ /"done"/ });
    like($lines->{out}, $case->[1], "lines: $case->[0]");
    $lines->{out} = '';
}

ask($lines, '[[big:300000]]');
is(length text_in(answer($lines)), 300000, 'lines: big');

for my $marker ('[[stream:1000:50]]', '[[say:tok1]][[hang]]') {
    ask($lines, $marker);
    read_until($lines, sub { $lines->{out} =~ /tok1/ });
    my $t = time;
    print { $lines->{in} } qq({"cancel":true}\n);
    my @end = answer($lines);
    is_deeply($end[-1], { done => JSON::PP::true }, "lines: $marker cancelled");
    cmp_ok(time - $t, '<', 5, 'lines: at once');
}
ask($lines, '[[hang]]');
print { $lines->{in} } qq({"cancel":true}\n);
is_deeply([ answer($lines) ], [ { done => JSON::PP::true } ],
          'lines: a cancel right behind its turn');
print { $lines->{in} } qq({"cancel":true}\n);
ask($lines, 'hello');
is(text_in(answer($lines)), 'ok', 'lines: a late cancel does nothing');

ask($lines, '[[ignorecancel]][[stream:3:50]]');
print { $lines->{in} } qq({"cancel":true}\n);
is(text_in(answer($lines)), 'tok1 tok2 tok3', 'lines: cancel not heard');

ask($lines, $_) for '[[say:1]]', '[[say:2]]';
is(text_in(answer($lines), answer($lines)), '12', 'lines: turns queue up');
is(finish($lines), 0, 'lines: EOF ends it');

$lines = start('fake-lines');
ask($lines, '[[halfline]]');
ok(read_until($lines, sub { $lines->{out} eq '{"text":"ha' }),
   'lines: half a line');
is(finish($lines), 0, 'lines: EOF ends that too');

$lines = start('fake-lines');
ask($lines, '[[nostdin]]');
is(text_in(answer($lines)), 'ok', 'lines: the last turn it reads');
ask($lines, 'hello');
ok(!read_until($lines, sub { length $lines->{out} }, 0.3),
   'lines: and no other');
end_it($lines);

# --- trouble at the start -------------------------------------------------

$lines = start('fake-lines', '--die-at-start');
is(finish($lines), 1 << 8, 'lines: dies at start');
is($lines->{err}, "died at start\n", 'lines: with a word');

$lines = start('fake-lines', '--never-ready');
ask($lines, 'hello');
ok(!read_until($lines, sub { length $lines->{out} }, 0.3),
   'lines: never ready');
end_it($lines);

$lines = start('fake-lines', '--slow-start', 200);
my $t = time;
ask($lines, 'hello');
is(text_in(answer($lines)), 'ok', 'lines: starts in the end');
cmp_ok(time - $t, '>', 0.15, 'lines: slowly');
finish($lines);

$lines = start('fake-lines', '--say-at-start', 'Welcome!');
ok(read_until($lines, sub { $lines->{out} eq "Welcome!\n" }),
   'lines: speaks at start');
finish($lines);

$lines = start('fake-lines', '--speak-when-idle', 20);
ask($lines, 'hello');
answer($lines);
ok(read_until($lines, sub { $lines->{out} eq qq({"text":"nobody asked"}\n) }),
   'lines: speaks when idle');
finish($lines);

# --- a conversation per process -------------------------------------------

my $dir = File::Temp->newdir;
$ENV{FAKE_UPSTREAM} = "$dir/upstream";

sub line_of { print { $_[0]{in} } $json->encode($_[1]), "\n" }

sub control_line {
    my ($p, $subtype, %more) = @_;
    line_of($p, { type => 'control_request', request_id => 'r',
                  request => { subtype => $subtype, %more } });
}

sub message_line {
    my ($p, $role, $text, %more) = @_;
    line_of($p, { type => $role, %more, message => { role => $role,
        content => [ map { { type => 'text', text => $_ } } $text, '' ] } });
}

# The lines up to and with a result.
sub until_result {
    my ($p) = @_;
    read_until($p, sub { $p->{out} =~ /^\{.*"type":"result".*\n/m });
    return map { $json->decode($_) } split /\n/,
        substr $p->{out}, 0, length $p->{out}, '';
}

sub told {
    open my $file, '<', "$dir/upstream" or return;
    return map {
        my $told = $json->decode($_);
        delete $told->{born};
        $told;
    } <$file>;
}

my $claude = start('fake-claude');
control_line($claude, 'initialize', systemPrompt => ['S'],
             agents => { bridge => { model => 'm' } });
control_line($claude, 'apply_flag_settings', settings => {
    effortLevel => 'low', env => { A => 1 } });
control_line($claude, 'apply_flag_settings', settings => { env => { B => 2 } });
control_line($claude, 'set_max_thinking_tokens', max_thinking_tokens => 7);
message_line($claude, 'user', 'one', shouldQuery => JSON::PP::false);
is((until_result($claude))[-1]{num_turns}, 0, 'claude: history, acknowledged');
message_line($claude, 'assistant', 'two');
message_line($claude, 'user', '[[say:four]]');
is_deeply([ map { $_->{event}{type} // $_->{type} } until_result($claude) ],
          [ qw(message_start content_block_delta message_delta message_stop
               result) ], 'claude: a turn');
control_line($claude, 'initialize', systemPrompt => ['T']);
message_line($claude, 'user', 'five');
until_result($claude);
my %same = (pid => $claude->{pid}, model => 'm', system => ['S'], settings => {
    effortLevel => 'low', env => { A => 1, B => 2 }, thinking => 7 });
my @talk = ([ user => 'one' ], [ assistant => 'two' ],
            [ user => '[[say:four]]' ], [ assistant => 'four' ],
            [ user => 'five' ]);
is_deeply([ told() ], [ { %same, messages => [ @talk[0 .. 2] ] },
                        { %same, messages => \@talk } ],
          'claude: what its model is told');
is(finish($claude), 0, 'claude: EOF ends it');

$claude = start('fake-claude');
message_line($claude, 'user', $_, shouldQuery => JSON::PP::false) for 1, 2;
isnt(finish($claude), 0, 'claude: a message too early ends it');

# [what, its result line: how much of it, whether well]
for my $case ([ half => qr/"message_stop".*\n\{[^\n]+\z/s ],
              [ never => qr/"message_stop".*\n\z/ ],
              [ fail => qr/"is_error":true.*\n\z/ ],
              [ slow => qr/"is_error":false.*\n\z/ ]) {
    my ($then, $end) = @$case;
    $claude = start('fake-claude');
    message_line($claude, 'user', "[[then:$then]]");
    ok(read_until($claude, sub { $claude->{out} =~ $end }), "claude: $then");
    finish($claude);
    like($claude->{out}, $end, 'claude: and no more');
}
$claude = start('fake-claude');
message_line($claude, 'user', '[[then:die]]');
until_result($claude);
message_line($claude, 'user', 'two');
finish($claude);
is($claude->{out}, '', 'claude: die, without a word');

done_testing;
