#!/usr/bin/perl

# What is said for the main server holds in virtual hosts and Locations until
# they say otherwise: one value at a time.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $dir = File::Temp->newdir;
chmod 0755, $dir;

sub key_file {
    my ($name) = @_;
    open my $file, '>', "$dir/$name" or die "$dir/$name: $!\n";
    print $file "$name:" . sha256_hex("secret-$name") . ":chat\n";
    close $file or die "$dir/$name: $!\n";
    return "CLIBridgeKeyFile $dir/$name";
}

my ($main_keys, $own_keys) = map { key_file($_) } qw(main own);

# base says nothing of its own, own says everything again, open has a key file
# without keys, off is off.
my $s = CLB::Server->start(config => <<"EOT");
CLIBridge On
<CLIBridgeBackend lines>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram \@BIN\@/fake-lines
    \@MARK\@
</CLIBridgeBackend>
$main_keys
CLIBridgeAlias common echo
CLIBridgeAlias again echo
CLIBridgeDefaultModel echo
CLIBridgeMaxBody 4K
CLIBridgeMaxAnswer 7K
CLIBridgeTimeout first=1 idle=1
CLIBridgeUnsupported ignore
CLIBridgeOrigin https://main.example https://also.example

<Location /patient>
    SetHandler clibridge
    CLIBridgeTimeout first=20
</Location>
<Location /patient/chatty>
    CLIBridgeKeepAlive 1
</Location>
<Location /small>
    SetHandler clibridge
    CLIBridgeMaxBody 1K
    CLIBridgeMaxAnswer 1K
</Location>
<Location /warns>
    SetHandler clibridge
    CLIBridgeUnsupported warn
    CLIBridgeOrigin https://warns.example
</Location>
<Location /warns/rejects>
    CLIBridgeUnsupported reject
</Location>
<Location /closed>
    SetHandler clibridge
    CLIBridgeAnonymous off
</Location>

<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName base
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName own
    CLIBridgeDefaultBackend echo
    $own_keys
    CLIBridgeAlias again lines
    CLIBridgeAlias mine echo
    CLIBridgeDefaultModel lines
    CLIBridgeMaxBody 8K
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName open
    CLIBridgeDefaultBackend lines
    CLIBridgeKeyFile /dev/null
    <Location /closed>
        CLIBridgeAnonymous loopback
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName off
    CLIBridge Off
</VirtualHost>
EOT

my %key = (base => 'secret-main', own => 'secret-own');

sub at {
    my ($host, %o) = @_;
    return (-headers => { Host => $host, %{ $o{headers} || {} } },
            -path => ($o{below} // '') . '/v1/chat/completions',
            $o{key} // $key{$host} ? (-key => $o{key} // $key{$host}) : ());
}

sub get {
    my ($host, $path) = @_;
    return $s->get($path, headers => { Host => $host }, key => $key{$host});
}

sub owner { get($_[0], "/v1/models/$_[1]")->{json}{owned_by} // 'nobody' }

subtest 'aliases add up, the inner one of a name wins' => sub {
    is(owner('base', 'common'), 'echo',   'the alias of the main server');
    is(owner('base', 'again'),  'echo',   'another');
    is(owner('base', 'mine'),   'nobody', 'not that of another host');
    is(owner('own', 'common'),  'echo',   'inherited');
    is(owner('own', 'mine'),    'echo',   'its own');
    is(owner('own', 'again'),   'lines',  'its own instead of the inherited');
    my %listed = map { $_->{id} => 1 }
                 @{ get('own', '/v1/models')->{json}{data} };
    is(join(' ', sort keys %listed), 'again common echo lines mine',
       'all are listed');
};

subtest 'the default model' => sub {
    is($s->chat('[[say:x]]', model => undef, at('base'))->{text},
       '[[say:x]]', 'inherited: echo');
    is($s->chat('[[say:x]]', model => undef, at('own'))->{text}, 'x',
       'its own: lines');
};

subtest 'the default backend' => sub {
    is(owner('base', 'unlisted'), 'nobody', 'none');
    is(owner('own', 'unlisted'), 'echo', 'of one host');
    is(owner('open', 'unlisted'), 'lines', 'of another');
    is($s->chat('[[say:x]]', model => 'unlisted', at('open'))->{text}, 'x',
       'which serves');
};

subtest 'a key file replaces, it does not add' => sub {
    my $status = sub { $s->chat('x', model => 'echo', @_)->{status} };
    is($status->(at('base')), 200, 'the key of the main server');
    is($status->(at('base', key => 'secret-own')), 401, 'not that of a host');
    is($status->(at('own')), 200, 'the key of the host');
    is($status->(at('own', key => 'secret-main')), 401,
       'not that of the main server');
    is($status->(at('base', key => '')), 401, 'none at all');
    is($status->(at('open')), 200, 'a file without keys asks for none');
};

subtest 'CLIBridge Off in one host' => sub {
    my $r = get('off', '/v1/models');
    is($r->{status}, 404, 'nothing is there');
    ok(!$r->{headers}{'x-request-id'}, 'and it is not ours to say so');
    is(get('base', '/v1/models')->{status}, 200, 'but elsewhere');
};

subtest 'CLIBridgeMaxBody' => sub {
    my $status = sub {
        my ($size, @at) = @_;
        $s->chat('x' x $size, model => 'echo', @at)->{status};
    };
    my %below = (below => '/small');
    is($status->(2000, at('base')), 200, '2 KB in the main server');
    is($status->(2000, at('base', %below)), 413, 'are too much in a Location');
    is($status->(6000, at('base')), 413, '6 KB are too much for all');
    is($status->(6000, at('own')), 200, 'but for the host that says so');
    is($status->(2000, at('own', %below)), 413,
       'where the Location is stricter too');
    is($status->(900, at('own', %below)), 200, 'and takes small ones');
};

subtest 'CLIBridgeMaxAnswer' => sub {
    my $status = sub {
        $s->chat('[[big:2000]]', model => 'lines', @_)->{status};
    };
    is($status->(at('base')), 200, 'in the main server');
    is($status->(at('base', below => '/small')), 502, 'in a Location');
};

subtest 'CLIBridgeUnsupported' => sub {
    my $ask = sub {
        my ($below) = @_;
        my $r = $s->chat('x', model => 'echo', seed => 7,
                         at('base', below => $below));
        return join ' ', $r->{status},
                         $r->{headers}{'x-clibridge-ignored'} // '-';
    };
    is($ask->(''), '200 -', 'ignore in the main server');
    is($ask->('/warns'), '200 seed', 'warn in a Location');
    is($ask->('/warns/rejects'), '400 -', 'reject in a Location in it');
};

subtest 'CLIBridgeOrigin replaces' => sub {
    my $allowed = sub {
        my ($below, $origin) = @_;
        my $r = $s->request('OPTIONS', "$below/v1/models", undef, headers =>
                    { Host => 'base', Origin => "https://$origin.example" });
        return $r->{headers}{'access-control-allow-origin'} // 'no';
    };
    is($allowed->('', 'main'), 'https://main.example', 'the first');
    is($allowed->('', 'also'), 'https://also.example', 'the second');
    is($allowed->('', 'warns'), 'no', 'another');
    is($allowed->('/warns', 'warns'), 'https://warns.example',
       'that of a Location');
    is($allowed->('/warns', 'main'), 'no', 'instead of the main one');
    is($allowed->('/warns/rejects', 'warns'), 'https://warns.example',
       'a Location in it inherits');
};

subtest 'CLIBridgeAnonymous' => sub {
    my $status = sub { $s->chat('x', model => 'echo', @_)->{status} };
    is($status->(at('base', below => '/closed')), 200, 'with a key');
    is($status->(at('base', below => '/closed', key => '')), 401, 'without');
    is($status->(at('open', below => '/closed')), 200,
       'where the host opens the Location again');
};

# Each waits a little more than a second, so they wait together.
subtest 'CLIBridgeTimeout and CLIBridgeKeepAlive, each value by itself' => sub {
    my %ask = (
        first   => ['[[sleep:1500]][[say:late]]'],
        patient => ['[[sleep:1500]][[say:late]]', below => '/patient'],
        chatty  => ['[[sleep:1500]][[say:late]]', below => '/patient/chatty'],
        idle    => ['[[stream:2:1500]]', below => '/patient'],
    );
    my (%pipe, %got);
    for my $name (sort keys %ask) {
        my ($text, @at) = @{ $ask{$name} };
        my $pid = open $pipe{$name}, '-|';
        die "fork: $!\n" unless defined $pid;
        next if $pid;
        my $r = $s->stream($text, model => 'lines', at('base', @at));
        my $error = ref $r->{error} ? $r->{error} : $r->{json}{error};
        my $comments = grep { defined $_->{comment} } @{ $r->{events} };
        print join ' ', $r->{status}, $error->{code} // '-', $r->{text} || '-',
                        $comments ? 'comments' : 'silence';
        close STDOUT;
        POSIX::_exit(0);
    }
    for my $name (sort keys %ask) {
        $got{$name} = readline $pipe{$name};
        close $pipe{$name};
    }
    is($got{first}, '504 timeout - silence', 'first=1 in the main server');
    is($got{patient}, '200 - late silence', 'first=20 in a Location');
    is($got{chatty}, '200 - late comments', 'a sign of life in one in it');
    is($got{idle}, '200 timeout tok1 silence', 'idle=1 is inherited');
};

$s->stop;
done_testing;
