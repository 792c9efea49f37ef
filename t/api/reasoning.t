# Reasoning: where clients find it (CLIBridgeReasoning), and how the name of a
# model asks for it.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Messages qw(message message_stream);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;

# The second one answers with the request as it got it.
my $s = CLB::Server->start(config => <<'EOT');
CLIBridgeAlias much echoing(high)
CLIBridgeAlias other echoing
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @BIN@/fake-lines
    @MARK@
</CLIBridgeBackend>
<CLIBridgeBackend request>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram @PERL@
    CLIBridgeArg -MJSON::PP -ne
    CLIBridgeArg '$| = 1; print encode_json({ text => $_, done => \1 }), qq(\n)'
    CLIBridgeModels echoing real-thinking r-*
    @MARK@
</CLIBridgeBackend>
<Location /tags>
    SetHandler clibridge
    CLIBridgeReasoning tags
</Location>
<Location /off>
    SetHandler clibridge
    CLIBridgeReasoning off
</Location>
EOT

# --- where it stands ------------------------------------------------------

my $prompt = '[[think:hm END]][[say:so END no]]';
my $tagged = "<think>\nhm END\n</think>\n\nso END no";

for (['', 'so END no', 'hm END'], ['/tags', $tagged, undef],
     ['/off', 'so END no', undef]) {
    my ($where, $text, $reasoning) = @$_;
    my @path = (-path => "$where/v1/chat/completions");
    my $r = $s->chat($prompt, model => 'lines', @path);
    my $message = $r->{json}{choices}[0]{message};
    is_deeply([@$message{qw(content reasoning_content)}], [$text, $reasoning],
              "whole answer $where") or diag $r->{body};
    $r = $s->stream($prompt, model => 'lines', @path);
    is($r->{text}, $text, "streamed $where");
    is($r->{reasoning}, $reasoning // '', 'and nowhere else');
    ok($r->{done}, 'to its end');
    $r = $s->stream($prompt, model => 'lines', stop => ['END'], @path);
    is($r->{text}, $text =~ s/(so ).*/$1/sr,
       "a stop sequence is looked for in the answer alone $where");
}

# Messages has a place of its own for it.
for (['/tags', 'hm END'], ['/off', '']) {
    my ($where, $thinking) = @$_;
    for my $ask (\&message, \&message_stream) {
        my $r = $ask->($s, $prompt, model => 'lines',
                       thinking => { type => 'adaptive' },
                       -path => "$where/v1/messages");
        is_deeply([@$r{qw(text thinking)}], ['so END no', $thinking],
                  "in Messages $where") or diag $r->{body};
    }
}

# --- who does not want it -------------------------------------------------

for my $where ('', '/tags') {
    for my $none ([ reasoning_effort => 'none' ],
                  [ reasoning => { max_tokens => 0 } ]) {
        for my $ask ('chat', 'stream') {
            my $r = $s->$ask($prompt, model => 'lines', @$none,
                             -path => "$where/v1/chat/completions");
            is($r->{text}, 'so END no', "$ask, $none->[0] none $where");
            unlike($r->{body}, qr/hm/, 'is without it');
        }
    }
    for my $ask (\&message, \&message_stream) {
        for my $none ([], [ thinking => { type => 'disabled' } ]) {
            my $r = $ask->($s, $prompt, model => 'lines', @$none,
                           -path => "$where/v1/messages");
            is_deeply([ map { $_->{type} } @{ $r->{content} } ], ['text'],
                      "thinking that is not enabled $where") or diag $r->{body};
        }
    }
}
my $r = message($s, $prompt, model => 'lines(high)',
                thinking => { type => 'disabled' });
is($r->{thinking}, 'hm END', 'but the name of the model counts more');

my $history = [
    { role => 'user',      content => "<think>\nmine\n</think>\n\nq" },
    { role => 'assistant', content => $tagged },
    { role => 'user',      content => 'next' },
];
for (['', $tagged], ['/tags', 'so END no']) {
    my ($where, $want) = @$_;
    for my $effort ('high', 'none') {
        my $got = $s->chat($history, model => 'echoing',
                           reasoning_effort => $effort,
                           -path => "$where/v1/chat/completions");
        my $sent = $json->decode($got->{text})->{messages};
        is_deeply([map { $_->{content} } @$sent],
                  [$history->[0]{content}, $want, 'next'],
                  'what we put into an answer is taken out again '
                  . "$where, effort $effort");
    }
}
$r = $s->request('POST', '/tags/v1/completions',
                 { model => 'lines', prompt => $prompt });
is($r->{json}{choices}[0]{text}, $tagged, 'completions, too')
    or diag $r->{body};

# --- asked for by the model's name ----------------------------------------

sub asked {
    my ($model, %o) = @_;
    my $answer = $s->chat('x', model => $model, %o);
    return $answer->{status} if $answer->{status} != 200;
    is($answer->{json}{model}, $model, "$model: as the client named it");
    my $got = $json->decode($answer->{text});
    return [ @$got{qw(model reasoning_effort reasoning_budget temperature)},
             $answer->{headers}{'x-clibridge-ignored'} ];
}

my @wishes = (
    [ 'echoing',                 'echoing', undef, undef, undef, undef ],
    [ 'echoing-thinking',        'echoing', undef, 30000, undef, undef ],
    [ 'echoing(high)',           'echoing', 'high', undef, undef, undef ],
    [ 'echoing(MINIMAL)',        'echoing', 'minimal', undef, undef, undef ],
    [ 'echoing(8192)',           'echoing', undef, 8192, undef, undef ],
    [ 'echoing(0)',              'echoing', undef, 0, undef, undef ],
    [ 'echoing(auto)',           'echoing', undef, undef, undef, undef ],
    [ 'echoing(-1)',             'echoing', undef, undef, undef, undef ],
    [ 'much',                    'echoing', 'high', undef, undef, undef ],
    [ 'much(low)',               'echoing', 'low', undef, undef, undef ],
    [ 'other-thinking',          'echoing', undef, 30000, undef, undef ],
    [ 'real-thinking',           'real-thinking', undef, undef, undef, undef ],
    [ 'r-x-thinking',            'r-x', undef, 30000, undef, undef ],
    [ 'r-x(strange)',            'r-x(strange)', undef, undef, undef, undef ],
);
is_deeply(asked($_->[0]), [@$_[1 .. 5]], $_->[0]) for @wishes;
is_deeply(asked('echoing(high)', reasoning_effort => 'low',
                thinking => { type => 'enabled', budget_tokens => 5 }),
          ['echoing', 'high', undef, undef, undef],
          'the name counts more than the body');
is_deeply(asked('echoing(high)', temperature => 0.5),
          ['echoing', 'high', undef, undef, 'temperature'],
          'reasoning excludes sampling');
is_deeply(asked('echoing(none)', temperature => 0.5),
          ['echoing', 'none', undef, 0.5, undef], 'but not without it');
is(asked($_), 404, "$_ is nobody's")
    for 'nothing(high)', 'echoing(odd)', '(high)', '-thinking';
$r = $s->get('/v1/models/echoing(high)');
is_deeply([@{ $r->{json} }{qw(id owned_by)}], ['echoing(high)', 'request'],
          'it can be looked up');
is(scalar(grep { /[(]/ } map { $_->{id} }
          @{ $s->get('/v1/models')->{json}{data} }), 0,
   'but is not in the list');

$s->stop;
done_testing;
