# What is the agents' alone: a directory of their own with nothing of the
# account's but its login, system prompts and parameters that do not leak, one
# process for turn after turn of which nothing stays on disk, and what a CLI that
# lost its settings may not do.

use strict;
use warnings;
use utf8;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use CLB::Model qw(cli);
use CLB::Server;

my $json = JSON::PP->new->utf8->canonical;
my $m    = CLB::Model->start;
my $false = JSON::PP::false;

my %of = (
    gemini => { dir => '.gemini', memory => 'GEMINI.md',
                settings => '$GEMINI_CLI_HOME/.gemini/settings.json',
                auth => 'gemini-api-key' },
    qwen   => { dir => '.qwen', memory => 'QWEN.md',
                settings => '$QWEN_HOME/settings.json', auth => 'openai' },
);

# Programs that forget our settings before they start.
my $lost = File::Temp->newdir;
chmod 0755, $lost;
for my $driver (keys %of) {
    open my $file, '>', "$lost/$driver" or die "$lost: $!\n";
    print $file "#!/bin/sh\nPATH=@{[ cli('') ]}:\$PATH\n", 'echo \'',
        $json->encode({ security => { auth => {
            selectedType => $of{$driver}{auth} } },
            general => { sessionRetention => { enabled => $false } } }),
        "' >$of{$driver}{settings}\nexec @{[ cli($driver) ]} \"\$\@\"\n";
    close $file;
    chmod 0755, "$lost/$driver";
}

sub user { { role => 'user', content => $_[0] } }
sub says { { role => 'assistant', content => $_[0] } }

sub slurp {
    my ($name) = @_;
    open my $file, '<:raw', $name or return '';
    local $/;
    return scalar(<$file>) // '';
}

# A file of a home, as its owner would write it.
sub put {
    my ($s, $home, $name, $text) = @_;
    my $dir = $home;
    for my $step ('', split m{/}, $name =~ s{/?[^/]*\z}{}r) {
        $dir .= "/$step" if length $step;
        mkdir $dir;
        $s->own($dir);
    }
    open my $file, '>', "$home/$name" or die "$name: $!\n";
    print $file $text;
    close $file;
    return $s->own("$home/$name");
}

for my $driver (sort keys %of) {
    my ($dir, $memory) = @{ $of{$driver} }{qw(dir memory)};
    my $s = CLB::Server->start(config => join "\n",
        $m->config(driver => $driver, name => 'one', models => 'one qwen-*',
                   more => "CLIBridgeSlots 1\n"
                       . 'CLIBridgeWarm persistent max=1'),
        $m->config(driver => $driver, name => 'home', models => 'home',
                   more => "CLIBridgeHome \@ROOT\@/state/alice\n"
                       . 'CLIBridgeWarm none'),
        $m->config(driver => $driver, name => 'lost', models => 'lost',
                   program => "$lost/$driver", more => 'CLIBridgeWarm none'));
    my $backend = sub { $s->backend_health($_[0]) };
    my $answers = sub {
        my ($model, $name) = @_;
        is($s->chat('[[say:well]]', model => $model)->{text}, 'well', $name);
    };

    $s->wait_for(sub { $backend->('one')->{idle} }, 'a process', 60);

    subtest "$driver: turn after turn" => sub {
        my $from = $s->log_size;
        is(scalar(grep {
            ($s->chat("[[say:$_]]", model => 'one')->{text} // '') eq $_
        } 1 .. 30), 30, 'conversations');
        for (1 .. 3) {
            my $r = $s->stream('[[stream:500:20]]', model => 'one',
                               -until => sub { $_[1]{text} });
            $r->{client}->close;
            is($m->ended($m->last->{n}), 'closed', 'a client that left');
        }
        $s->idle_ok;
        is($s->chat('[[stream:500:20]]', model => 'one', stop => ['tok9'])
             ->{finish}, 'stop', 'an answer that was cut');
        $answers->('one', 'and still it answers');
        unlike($s->log($from),
               qr/process \d+ \(one\): gone, .* [1-9]\d* turns/,
               'no process ended over it');
        cmp_ok($backend->('one')->{starts}, '<=', 2, 'nor was many started');
    };

    subtest "$driver: system prompts" => sub {
        my @order = (1, 2, 2, 1, 0, 3, 0, 0, 1, 1, 2);
        for my $i (0 .. $#order) {
            my $n = $order[$i];
            my @talk = $n ? { role => 'system', content => "secret-$n" } : ();
            push @talk, { role => 'user', content => 'q' },
                { role => 'assistant', content => 'a' } if $i % 3 == 1;
            push @talk, { role => 'user', content => join '',
                map { "[[find:secret-$_]]" } 1 .. 3 };
            is($s->chat(\@talk, model => 'one')->{text}, join('', map {
                ($_ == $n ? 'found' : 'missing') . " secret-$_;" } 1 .. 3),
               "turn $i has its own");
        }
        $s->chat([ { role => 'system', content => 'a ${AvailableTools} b' },
                   { role => 'user', content => '[[say:x]]' } ],
                 model => 'one');
        my $told = JSON::PP->new->encode($m->last->{body});
        like($told, qr/a \$\W*\{AvailableTools\} b/, 'no variables in it');
    };

    subtest "$driver: parameters" => sub {
        # what was said a moment ago must not be remembered
        my @asked = map { { temperature => $_ } } .25, .5, .25, .25, .75;
        push @asked, {}, { top_k => 7 }, {}, {}, { temperature => .5 };
        for my $i (0 .. $#asked) {
            my %want = %{ $asked[$i] };
            $s->chat('[[say:x]]', model => 'one', %want);
            my $body = $m->last->{body};
            my $got = $body->{generationConfig} || $body;
            my @plain = $driver eq 'gemini' ? (1, 64) : ();
            is_deeply([ $got->{temperature}, $got->{topK} // $got->{top_k} ],
                      [ $want{temperature} // $plain[0],
                        $want{top_k} // $plain[1] ], "turn $i has its own");
        }
    };

    subtest "$driver: words that could be the CLI's own" => sub {
        for my $word ('<hook_context>', '?', '$a', '/help', "\x{a0}/about",
                      "\x{feff}/help", '@/etc/hostname') {
            my $shown = $word =~ s/[^ -~]/./r;
            is($s->chat([ user("$word [[find:$word]]") ], model => 'one')
                 ->{text}, "found $word;", "asked: $shown");
            is($s->chat([ user($word), says('a'), user("[[find:$word]]") ],
                        model => 'one')->{text}, "found $word;",
               "said before: $shown");
        }
    };

    subtest "$driver: nothing of the account's home" => sub {
        my $home = $s->path('state/alice');
        my $seen = $s->path('state/seen');
        my %bad = (command => '/bin/sh', args => ['-c', "echo x >>$seen"]);
        put($s, $home, "$dir/$memory", 'canary-memory');
        put($s, $home, $memory, 'canary-memory');
        put($s, $home, "$dir/settings.json", $json->encode({
            mcpServers => { bad => \%bad }, context => {
                fileName => $memory } }));
        # before there was a home it could not start
        $s->graceful;
        $s->wait_for(sub { $backend->('home')->{test} eq 'passed' }, 'a test',
                     60);
        $answers->('home', 'answers');
        my $asked = $json->encode($m->last->{body});
        unlike($asked, qr/canary-memory/, 'no memory');
        is($backend->('home')->{test}, 'passed', 'so it was tested');
        ok(!-e $seen, 'no program of it ran');
    };

    subtest "$driver: a CLI without our settings" => sub {
        my $n = () = $m->requests;
        my $r = $s->chat('[[say:well]]', model => 'lost');
        is($r->{json}{error}{code}, 'cli_untrusted', 'is not used')
            or diag $r->{body};
        is(scalar(() = $m->requests), $n, 'nor does it ask the model');
        like($s->log, qr/backend lost .*failed its test/, 'the log says why');
    };

    subtest "$driver: what is on disk" => sub {
        my $left = sub {
            grep { -f && slurp($_) =~ /on-disk/ }
                split /\0/, qx(find @{[ $s->path('state') ]} -type f -print0);
        };
        my @system = { role => 'system', content => 'system-on-disk' };
        my %tools = (tools => [ { type => 'function', function => {
            name => 'f', description => 'tool-on-disk',
            parameters => { type => 'object' } } } ]);
        my @rest;
        for (['a question', ''], ['a failure', '[[error:400]]'],
             ['a history', '', user('old-on-disk'), says('old-on-disk')]) {
            my ($name, $mark, @talk) = @$_;
            $s->chat([ @system, @talk, user("$mark question-on-disk "
                       . '[[say:answer-on-disk]]') ], model => 'one', %tools);
            push @rest, grep { !m{/run/} } $left->();
            is($s->chat('[[say:next]]', model => 'one')->{text}, 'next', $name);
            $s->idle_ok;
            is_deeply([$left->()], [], 'is gone when another turn was');
        }
        is_deeply(\@rest, [], 'and was in scratch directories alone');
    };

    $s->stop;
}

subtest 'a history of Gemini CLI' => sub {
    my $s = CLB::Server->start(config => $m->config(driver => 'gemini'));
    my $ask = sub { $s->chat([@_ > 1 ? @_ : user($_[0])],
                             model => 'gemini-2.5-pro', temperature => .5,
                             max_tokens => 9, reasoning_effort => 'low') };
    my @talk = (user('q'), says('a'), user('[[usage:1:9]][[say:x]]'));

    my $r = $ask->('[[usage:1:9]][[say:x]]');
    is($r->{headers}{'x-clibridge-ignored'}, undef, 'all is honoured');
    is($r->{finish}, 'length', 'as its length shows');
    is($m->last->{body}{generationConfig}{thinkingConfig}{thinkingBudget},
       1024, 'effort is a number for older models');
    $r = $ask->(@talk);
    is($r->{headers}{'x-clibridge-ignored'}, 'reasoning_effort',
       'but for effort once there is a history, which is told');
    is($r->{finish}, 'length', 'not so the limit');
    my %got = %{ $m->last->{body}{generationConfig} };
    is_deeply([ @got{qw(temperature topP topK maxOutputTokens)} ],
              [ .5, .95, 64, 9 ], 'the model has it');
    $r = $s->chat([@talk], model => 'gemini-2.5-pro');
    is_deeply([ @{ $m->last->{body}{generationConfig} }{
                qw(temperature maxOutputTokens)} ], [ 1, undef ],
              'and nothing that was said before');
    $s->chat([@talk], model => 'gemini-2.5-pro', tool_choice => 'required',
        tools => [ { type => 'function', function => { name => 'f' } } ]);
    is($m->last->{body}{toolConfig}{functionCallingConfig}{mode}, 'ANY',
       'a call can be demanded');
    is($m->last->{body}{generationConfig}{temperature}, 1,
       'with nothing else');
    $r = $s->chat([@talk], model => 'gemini-2.5-pro',
                  response_format => { type => 'json_object' });
    is($r->{status}, 400, 'JSON is refused then');

    is($s->chat('[[say:half]][[finish:none]]', model => 'gemini-2.5-pro')
         ->{status}, 502, 'an answer that breaks off is no whole one');

    $r = $s->chat([ user('q'), { role => 'assistant', tool_calls => [ {
            id => 'c', type => 'function', function => { name => 'f',
                arguments => '{}' } } ] },
        { role => 'tool', tool_call_id => 'c', content => 'forty-two' } ],
        model => 'gemini-2.5-pro', tools => [ { type => 'function',
            function => { name => 'f' } } ]);
    is($r->{text}, 'tool said: forty-two', 'a result is answered');
    my @contents = @{ $m->last->{body}{contents} };
    is_deeply([ map { $_->{role} } @contents ], [qw(user model user)],
              'and the CLI puts no words of its own before that');
    is_deeply($contents[2]{parts}[1], { text => "\x{2060}" },
              'but for one that is none');
    $s->stop;
};

subtest 'any other agent' => sub {
    my $s = CLB::Server->start(config => <<"EOT");
<CLIBridgeBackend agent>
CLIBridgeDriver acp
CLIBridgeProgram @{[ cli('qwen') ]}
CLIBridgeArg --acp --auth-type openai
CLIBridgeEnv OPENAI_BASE_URL @{[ $m->url ]}/v1
CLIBridgeEnv OPENAI_API_KEY k
\@MARK\@
</CLIBridgeBackend>
EOT
    $s->wait_for(sub { $s->backend_health('agent')->{idle} }, 'a process', 60);
    my $r = $s->chat([ { role => 'system', content => 'sys-1' },
        { role => 'user', content => 'q-1' },
        { role => 'assistant', content => 'a-1' },
        { role => 'user', content => join '', map { "[[find:$_]]" }
          qw(sys-1 q-1 a-1) } ], model => 'agent');
    is($r->{text}, 'found sys-1;found q-1;found a-1;', 'is told all');
    $r = $s->stream('[[stream:5:20]]', model => 'agent');
    is_deeply([ @$r{qw(text finish done)} ],
              [ 'tok1 tok2 tok3 tok4 tok5', 'stop', 1 ], 'and answers');
    $r = $s->chat('x', model => 'agent', tools => [ { type => 'function',
        function => { name => 'f', parameters => { type => 'object' } } } ]);
    is($r->{status}, 400, 'but gets no tools');
    $s->stop;
};

subtest 'names of models' => sub {
    my $s = CLB::Server->start(config => join "\n",
        $m->config(driver => 'qwen', models => 'qwen* coder-*',
                   more => 'CLIBridgeEnv OPENAI_MODEL its-own'),
        $m->config(driver => 'gemini',
                   models => 'gemini-* models/gemini-*'));
    for (['qwen-plus', 'qwen-plus'], ['qwen3-coder', 'qwen3-coder'],
         ['qwen-qwen3-coder', 'qwen3-coder'], ['coder-model', 'coder-model'],
         ['qwen-coder-model', 'coder-model'], ['qwen-auto', 'its-own']) {
        my ($name, $want) = @$_;
        $s->chat('[[say:x]]', model => $name);
        is($m->last->{body}{model}, $want, $name);
    }
    for ('gemini-2.5-pro', 'models/gemini-2.5-pro') {
        $s->chat('[[say:x]]', model => $_);
        like($m->last->{path}, qr{/models/gemini-2\.5-pro:}, $_);
    }
    $s->stop;
};

done_testing;
