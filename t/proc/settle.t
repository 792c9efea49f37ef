#!/usr/bin/perl

# A process whose turn was cut short serves again, or goes: in no case does the
# next client get what was meant for the one before.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $dir = File::Temp->newdir;
chmod 0777, $dir;

sub put {
    my ($name, $text) = @_;
    open my $file, '>', "$dir/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}

put('empty', '');

# answers a cancel late, and with one "done" too many, in one write
put('twice', <<'PERL');
$| = 1;
while (<STDIN>) {
    if (/cancel/) {
        print qq({"text":"secret of A"}\n);
        select undef, undef, undef, 0.05;
        print qq({"done":true}\n{"done":true}\n{"text":"secret of A"}\n);
    }
    elsif (/long/) {
        print qq({"text":"secret of A"}\n);
    }
    else {
        print qq({"text":"answer to B"}\n{"done":true}\n);
    }
}
PERL

# an agent that has one more word behind its answer, in one write, and takes its
# time to make the next session
put('agent', <<'PERL');
use JSON::PP;
$| = 1;
my $n = 0;
sub line { encode_json({ jsonrpc => '2.0', @_ }) . "\n" }
while (<STDIN>) {
    my $asked  = decode_json($_);
    my $method = $asked->{method};
    my @id     = (id => $asked->{id});
    my $update = sub { line(method => 'session/update', params => {
        sessionId => $asked->{params}{sessionId}, update => {
            sessionUpdate => $_[0], content => { type => 'text',
                                                 text => 'well' } } }) };
    if ($method eq 'session/new') {
        select undef, undef, undef, 0.1;
        print line(@id, result => { sessionId => 's' . ++$n });
        open my $file, '>', "$ENV{DIR}/made.$n";
    }
    elsif ($method eq 'session/prompt') {
        print $update->('agent_message_chunk')
            . line(@id, result => { stopReason => 'end_turn' })
            . $update->('available_commands_update');
    }
    else {
        print line(@id, result => {});
    }
}
PERL

my $s = CLB::Server->start(config => <<"EOT");
CLIBridgeProcesses 2
CLIBridgeTimeout first=10
<CLIBridgeBackend agent>
    CLIBridgeDriver acp
    CLIBridgeWarm persistent max=1
    CLIBridgeSlots 1
    CLIBridgeProgram \@PERL\@
    CLIBridgeArg $dir/agent
    CLIBridgeEnv DIR $dir
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend twice>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeWarm none
    CLIBridgeSlots 1
    CLIBridgeProgram \@PERL\@
    CLIBridgeArg $dir/twice
    \@MARK\@
</CLIBridgeBackend>
<CLIBridgeBackend nokey>
    CLIBridgeDriver command
    CLIBridgeProgram /bin/cat
    CLIBridgeEnvFile API_KEY $dir/empty
    \@MARK\@
</CLIBridgeBackend>
EOT
for my $round (1 .. 3) {
    my $r = $s->stream('long', model => 'twice',
        -until => sub { $_[1]{text} ne '' });
    is $r->{text}, 'secret of A', 'a turn begins';
    $r->{client}->cut;
    $s->idle_ok;
    is $s->chat('B', model => 'twice')->{text}, 'answer to B',
        'the next client gets its own answer, and all of it';
}

for my $n (1 .. 3) {
    $s->wait_for(sub { -e "$dir/made.$n" }, "session $n");
    is $s->chat('x', model => 'agent')->{text}, 'well',
        "turn $n of an agent that speaks on has its session";
}

my $r = $s->chat('x', model => 'nokey');
is $r->{status}, 503, 'a CLI whose key cannot be read does not run';
is $r->{json}{error}{code}, 'login_required', 'and the client learns why';

$s->stop;
done_testing;
