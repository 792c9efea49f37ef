# The client's tools with the real Claude Code between client and model: the
# model gets them natively, its calls reach the client, and their results the
# model; nobody in between runs anything. Both versions.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp ();
use JSON::PP ();
use List::Util qw(uniq);
use Test::More;

use CLB::Model qw(all_gone system_of turns_of);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my ($m, $s);

# --- asking ---------------------------------------------------------------

# The answer and the one request that the model got for it. Conversations of
# sonnet go on in their process, those of haiku never do.
sub ask {
    my ($messages, %o) = @_;
    my $before = $m->requests;
    my $r = $o{stream} ? $s->stream($messages, model => 'claude-sonnet-4-6', %o)
                       : $s->chat($messages, model => 'claude-sonnet-4-6', %o);
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, 'one request to the model') or diag explain $r->{body};
    return ($r, @new ? $new[-1]{body} : { system => [], messages => [] });
}

sub refused {
    my ($messages, $param, $name, %o) = @_;
    my $before = $m->requests;
    my $r = $s->chat($messages, model => 'claude-sonnet-4-6', %o);
    is_deeply([ $r->{status}, $r->{json}{error}{param} ], [ 400, $param ],
              $name) or diag $r->{body};
    is(scalar $m->requests, $before, 'the model is not asked');
}

sub user { { role => 'user', content => $_[0] } }
sub text { { type => 'text', text    => $_[0] } }

sub tool {
    my ($name, %o) = @_;
    return { type => 'function', function => { name => $name, %o } };
}

sub call {
    my ($id, $name, $arguments) = @_;
    return { id => $id, type => 'function', function => {
        name => $name, arguments => $arguments // '{}' } };
}

sub calls  { { role => 'assistant', content => undef, tool_calls => [@_] } }
sub result { { role => 'tool', tool_call_id => $_[0], content => $_[1] } }

# As the model's API has them.
sub use_of {
    my ($id, $name, $input) = @_;
    return { type => 'tool_use', id => $id, name => $name,
             input => $input || {} };
}

sub result_of {
    my ($id, @content) = @_;
    return { type => 'tool_result', tool_use_id => $id,
             content => [ map { ref ? $_ : text($_) } @content ] };
}

my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q'
          . 'DwADhgGAWjR9awAAAABJRU5ErkJggg==';
my $image = { type => 'image_url', image_url => {
    url => "data:image/png;base64,$pixel" } };
my $image_of = { type => 'image', source => {
    type => 'base64', media_type => 'image/png', data => $pixel } };

my %schema = (
    type       => 'object',
    properties => {
        where => { '$ref' => '#/$defs/place' },
        days  => { type => [ 'integer', 'null' ], minimum => 0.5 },
        how   => { anyOf => [ { const => 'é' }, { type => 'array',
                                                  items => {} } ] },
    },
    required   => ['where'],
    '$defs'    => { place => { type => 'string', pattern => '^\\w+ "x"$' } },
    additionalProperties => $false,
);

# --- what the model gets --------------------------------------------------

sub offers_all {
    my $long = "It looks things up: " . 'ä word. ' x 1250;
    my @own  = qw(Bash Read Write Edit Glob Grep Task Agent WebSearch WebFetch
                  ToolSearch StructuredOutput AskUserQuestion ExitPlanMode
                  Skill TodoWrite mcp__c__x c);
    my $deep = 'd' x 65;
    my @tools = (
        tool('look-up', description => $long, parameters => \%schema),
        tool('wetter für.morgen', description => 'short'), tool('天気'),
        tool($deep), (map { tool($_) } @own));
    push @tools, map { tool("t$_") } @tools + 1 .. 128;
    my ($r, $body) = ask([ { role => 'system', content => 'Be brief.' },
                           user('[[tool:wetter_f__r_morgen_1:{"a":"ü"}]]') ],
                         tools => \@tools);
    my %got = map { $_->{name} => $_ } @{ $body->{tools} };
    is(scalar keys %got, 128, '128 tools');
    is_deeply($got{'look-up'}{input_schema}, \%schema, 'a schema, unchanged');
    is_deeply(system_of($body), ["Be brief.\n\nThe tool look-up: $long"],
              'a description of 10 KB');
    is($got{'wetter_f__r_morgen_1'}{description}, 'short', 'and a short one');
    is(scalar(grep { $got{$_} } @own), @own - 1,
       'tools that are called like its own');
    is_deeply([ map { @$_{qw(name arguments)} } map { $_->{function} }
                @{ $r->{tool_calls} } ],
              [ 'wetter für.morgen', '{"a":"ü"}' ],
              'a call has the name that the client gave');
}

sub choices {
    my @two  = (tools => [ tool('a.b'), tool('g') ]);
    my @list = (
        [ 'auto', { type => 'auto' }, undef ],
        [ 'none', 'none', undef ],
        [ 'required', 'required', { type => 'any' } ],
        [ 'one by its name', { type => 'function', function => {
              name => 'a.b' } }, { type => 'tool', name => 'a_b_0' } ],
        [ 'some that are allowed', { type => 'allowed_tools', allowed_tools =>
              { mode => 'required', tools => [ tool('g') ] } },
          { type => 'any' } ],
    );
    for my $case (@list) {
        my ($name, $choice, $want) = @$case;
        my ($r, $body) = ask('[[reset]]', @two, tool_choice => $choice,
                             reasoning_effort => 'low');
        is_deeply([ $body->{tool_choice}, map { $_->{name} }
                    @{ $body->{tools} } ],
                  [ $want, $name eq 'none' ? () : $name =~ /allowed/ ? 'g'
                    : ('a_b_0', 'g') ], $name);
        is($body->{thinking}{type}, $want ? 'disabled' : 'adaptive',
           $want ? 'a forced call excludes thinking' : 'with thoughts');
        is_deeply($body->{output_config}, { effort => 'low' }, 'and effort');
        is_deeply([ map { $_->{function}{name} } @{ $r->{tool_calls} || [] } ],
                  $want ? [ $want->{name} ? 'a.b' : $name =~ /allowed/ ? 'g'
                            : 'a.b' ] : [], 'and the model does it');
    }
    my ($r, $body) = ask('[[tool:a_b_0:{}]][[tool:g:{}]]', @two,
                         parallel_tool_calls => $false);
    is_deeply($body->{tool_choice},
              { type => 'auto', disable_parallel_tool_use => $true },
              'one call at most');
    is(scalar @{ $r->{tool_calls} }, 1, 'one it is');

    my @past = (user('q'), calls(call('1', 'a.b')), result('1', 'r'));
    (undef, $body) = ask([ @past, user('[[tools]]') ], @two,
                         tool_choice => 'none');
    is_deeply([ $body->{tool_choice}, map { $_->{name} }
                @{ $body->{tools} } ], [ { type => 'none' }, 'a_b_0', 'g' ],
              'none any more, after there were calls');
    (undef, $body) = ask([ @past, user('x') ]);
    is_deeply([ $body->{tool_choice}, @{ $body->{tools} } ], [undef],
              'nor when the client has no tools left');
}

# --- calls and results ----------------------------------------------------

sub whole_and_streamed {
    my $ran    = "$s->{root}/state/ran";
    my $prompt = "[[say:so]][[tool:Bash:{\"command\":\"touch $ran\"}]]"
               . '[[tool:g:{}]]';
    my @tools  = (tools => [ tool('Bash', parameters => { type => 'object',
        properties => { command => { type => 'string' } } }), tool('g') ]);
    my $want   = [ [ 'Bash', "{\"command\":\"touch $ran\"}" ],
                   [ 'g', '{}' ] ];

    my ($r) = ask($prompt, @tools);
    is_deeply([ map { [ @$_{qw(name arguments)} ] } map { $_->{function} }
                @{ $r->{tool_calls} } ], $want, 'parallel calls');
    is_deeply([ @$r{qw(text finish)} ], [ 'so', 'tool_calls' ],
              'after a text');

    ($r) = ask($prompt, @tools, stream => $true);
    is_deeply([ map { [ @$_{qw(name arguments)} ] } @{ $r->{tool_calls} } ],
              $want, 'streamed');
    is_deeply([ @$r{qw(text finish done)} ], [ 'so', 'tool_calls', 1 ],
              'to the end');
    my @deltas = map { @{ $_->{json}{choices}[0]{delta}{tool_calls} || [] } }
        grep { $_->{json} } @{ $r->{events} };
    is_deeply([ uniq map { $_->{index} } @deltas ], [ 0, 1 ],
              'each delta has its index');
    is_deeply([ map { [ sort keys %$_ ] } grep { $_->{id} } @deltas ],
              [ ([qw(function id index type)]) x 2 ], 'one the id and name');
    is(scalar(grep { $_->{function}{name} } @deltas), 2, 'only those');

    all_gone($s);
    ok(!-e $ran, 'nothing was run');
}

sub goes_on {
    my @tools = (tools => [ tool('f.x'), tool('g') ]);
    my @start = (user('[[tool:f_x_0:{"a":1,"b":[1.5]}]][[tool:g:{}]]'));
    my ($r) = ask(\@start, @tools);
    my ($one, $two) = map { $_->{id} } @{ $r->{tool_calls} };
    my $hits = $s->backend_health('claude')->{hits};
    my @next = (@start, calls(call($one, 'f.x', '{"b": [1.50], "a": 1.0}'),
                              call($two, 'g')),
                result($two, [ text('a'), $image, text('/help') ]),
                result($one, ''), user('@/etc/hostname'));
    my @native = (
        [ user => $start[0]{content} ],
        [ assistant => use_of($one, 'f_x_0', { a => 1, b => [1.5] }),
          use_of($two, 'g') ],
        [ user => result_of($two, 'a', $image_of, '/help'), result_of($one),
          '@/etc/hostname' ],
    );
    my ($again, $body) = ask(\@next, @tools);
    is($again->{status}, 200, 'results are answered');
    is($s->backend_health('claude')->{hits}, $hits + 1,
       'by the process that has the calls');
    is_deeply(turns_of($body), \@native, 'natively, as they came')
        or diag explain turns_of($body);

    # nobody waits with that any more
    ($again, $body) = ask(\@next, @tools, model => 'claude-haiku-4-5');
    my %ours = ($one => 'toolu_h1_0', $two => 'toolu_h1_1');
    my $replayed = $json->encode(\@native);
    $replayed =~ s/$_/$ours{$_}/g for keys %ours;
    is_deeply(turns_of($body), $json->decode($replayed),
              'and so in another process') or diag explain turns_of($body);
    my @alone = (@next[0 .. 1], result($one, 'x'), result($two, 'y'));
    (undef, $body) = ask(\@alone, @tools, model => 'claude-haiku-4-5');
    is_deeply(turns_of($body)->[-1],
              [ user => result_of('toolu_h1_0', 'x'),
                result_of('toolu_h1_1', 'y') ],
              'results alone are all that the model gets')
        or diag explain turns_of($body);
}

sub history {
    my @odd = ('', 'not json', '[1]', '{"a":', '{"b":"\u00e9 \ud83d\ude00"}');
    my @turns = map { (user("q$_"), calls(call('same', 'gone.x', $odd[$_])),
                       result('same', "r$_")) } 0 .. $#odd;
    my ($r, $body) = ask([ @turns, user('go') ], tools => [ tool('f') ]);
    my @input = ({}, map({ { arguments => $_ } } @odd[ 1 .. 3 ]),
                 { b => "é \x{1f600}" });
    my @want = ([ user => 'q0' ]);
    for my $i (0 .. $#odd) {
        my $id = 'toolu_h' . (2 * $i + 1) . '_0';
        push @want, [ assistant => use_of($id, 'gone_x_0', $input[$i]) ],
                    [ user => result_of($id, "r$i"),
                      $i < $#odd ? 'q' . ($i + 1) : 'go' ];
    }
    is_deeply(turns_of($body), \@want, 'odd ids, names and arguments')
        or diag explain turns_of($body);

    my @open = (user('q'), calls(call('1', 'f'), call('2', 'f')));
    refused([ @open, result('1', 'r') ], 'messages', 'a result that is missing');
    refused([ @open, result('1', 'r'), result('1', 's') ],
            'messages[3].tool_call_id', 'one too many');
    refused([ user('q'), calls(call('1', 'f'), call('1', 'g')) ],
            'messages[1].tool_calls[1]', 'two calls with one id');
    refused([ user('q'), result('1', 'r') ], 'messages[1].tool_call_id',
            'a result of nothing');
}

# --- older and other forms ------------------------------------------------

sub functions {
    my @f = (functions => [ { name => 'f', parameters => \%schema } ]);
    my ($r, $body) = ask('[[tool:f:{"where":"x"}]]', @f);
    my $message = $r->{json}{choices}[0]{message};
    is_deeply([ @$message{qw(content function_call tool_calls)} ],
              [ undef, { name => 'f', arguments => '{"where":"x"}' }, undef ],
              'a function is called') or diag $r->{body};
    is($r->{finish}, 'function_call', 'and says so');
    is_deeply($body->{tools}[0]{input_schema}, \%schema, 'by its schema');

    (undef, $body) = ask([ user('q'), { role => 'assistant', content => undef,
        function_call => { name => 'f', arguments => '{"a":1}' } },
        { role => 'function', name => 'f', content => 'r' } ], @f);
    is_deeply(turns_of($body), [ [ user => 'q' ],
        [ assistant => use_of('toolu_h1_0', 'f', { a => 1 }) ],
        [ user => result_of('toolu_h1_0', 'r') ] ], 'with a result');
}

sub custom {
    my @patch = (tools => [ { type => 'custom', custom => {
        name => 'patch', description => 'd' } } ]);
    my ($r, $body) = ask('[[tool:patch:{"input":"a \"b\"\n"}]]', @patch);
    is_deeply($body->{tools}[0]{input_schema}, { type => 'object',
        properties => { input => { type => 'string' } },
        required => ['input'] }, 'a tool that takes a text');
    my $call = $r->{tool_calls}[0];
    is_deeply([ @$call{qw(type custom)} ],
              [ 'custom', { name => 'patch', input => "a \"b\"\n" } ],
              'is called with one');
    my $hits = $s->backend_health('claude')->{hits};
    (undef, $body) = ask([ user('[[tool:patch:{"input":"a \"b\"\n"}]]'),
                           calls($call), result($call->{id}, 'r') ], @patch);
    is_deeply(turns_of($body)->[1], [ assistant => use_of(
        $call->{id}, 'patch', { input => "a \"b\"\n" }) ], 'and goes on');
    is($s->backend_health('claude')->{hits}, $hits + 1, 'where it began');
}

# --- when the model errs --------------------------------------------------

# The CLI would tell its model so, in a request of its own.
sub invented {
    for my $stream ($false, $true) {
        my ($r) = ask('[[invent:no_such:{"a":1}]]', tools => [ tool('f') ],
                      stream => $stream);
        my $call = $r->{tool_calls}[0];
        is_deeply([ $r->{finish}, @{ $call->{function} || $call }
                    {qw(name arguments)} ],
                  [ 'tool_calls', 'no_such', '{"a":1}' ],
                  'a tool that the model made up reaches the client');
    }
    my $before = $m->requests;
    all_gone($s);
    is(scalar $m->requests, $before, 'nobody else answers the model');
}

# The CLI drops such a tool, or all of them, without a word.
sub lost {
    my %bad = (type => 'object', properties => { x => 'string' });
    my $r = $s->chat('[[tools]]', model => 'claude-sonnet-4-6',
        tools => [ tool('f'), tool('g.h', parameters => \%bad) ]);
    is($r->{status}, 400, 'a schema that the CLI does not take');
    like($r->{json}{error}{message}, qr/g\.h/, 'is told');
    refused('x', 'tools[1]', 'one that nobody takes', tools => [
        tool('f'), tool('g', parameters => { type => 'string' }) ]);
}

for my $program (qw(claude claude-newest)) {
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => join "\n",
        $m->config(program => $program, models => 'claude-sonnet-*'),
        $m->config(program => $program, models => 'claude-haiku-*',
                   name => 'forgets', more => "CLIBridgePark off\n"
                   . 'CLIBridgeWarm none'));
    subtest "$program: 128 tools reach the model"   => \&offers_all;
    subtest "$program: every choice"                => \&choices;
    subtest "$program: calls reach the client"      => \&whole_and_streamed;
    subtest "$program: the conversation goes on"    => \&goes_on;
    subtest "$program: a history that is odd"       => \&history;
    subtest "$program: functions"                   => \&functions;
    subtest "$program: custom tools"                => \&custom;
    subtest "$program: a tool that is not there"    => \&invented;
    subtest "$program: a tool that is not possible" => \&lost;
    $s->stop;
    $m->stop;
}
done_testing;
