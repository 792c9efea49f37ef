#!/usr/bin/perl

# A graceful restart brings what changed into force and cuts nothing; a
# configuration that is wrong changes nothing at all.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $dir = File::Temp->newdir;
chmod 0755, $dir;

sub put_key {
    my ($name) = @_;
    open my $file, '>', "$dir/keys" or die "$dir/keys: $!\n";
    print $file "$name:" . sha256_hex("secret-$name") . ":chat,admin\n";
    close $file or die "$dir/keys: $!\n";
}

sub configuration {
    my ($slots, $text) = @_;
    return "CLIBridgeKeyFile $dir/keys\nCLIBridgeSlots $slots\n$text";
}

sub backend {
    my ($name, $models) = @_;
    return <<"EOT";
<CLIBridgeBackend $name>
    CLIBridgeDriver command
    CLIBridgeReuse lines
    CLIBridgeProgram \@BIN\@/fake-lines
    CLIBridgeModels $models
    \@MARK\@
</CLIBridgeBackend>
EOT
}

put_key('old');
my $s = CLB::Server->start(config =>
    configuration(2, backend('stays', 'm1') . backend('goes', 'm2')));

sub configure {
    $s->{config} = configuration(@_);
    $s->put('httpd.conf', $s->configuration);
}

sub status {
    my ($key, $model) = @_;
    return $s->chat('x', model => $model, -key => "secret-$key")->{status};
}

sub models {
    my ($key) = @_;
    my $r = $s->get('/v1/models', key => "secret-$key");
    return join ' ', sort map { $_->{id} } @{ $r->{json}{data} || [] };
}

# Workers of the old generation may still take a connection for a moment.
sub becomes {
    my ($sub, $want, $name) = @_;
    my $got;
    $s->poll(sub { ($got = $sub->()) eq $want });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($got, $want, $name);
}

sub generation { $s->health->{generation} }

is(models('old'), 'echo m1 m2', 'what is configured is there');
is(status('old', 'm2'), 200, 'and answers');

my $first = generation();
my $asked = time;
my $r = $s->stream('[[stream:60:50]]', model => 'm2', -key => 'secret-old',
                   -until => sub { $_[1]{text} ne '' });
my $stream = $r->{client};

put_key('new');
configure(3, backend('stays', 'm1 m3') . backend('comes', 'm4'));
ok($s->graceful, 'a graceful restart');
my $reloaded = time;
becomes(\&generation, $first + 1, 'a new generation');
is($s->health->{slots}{running}, 1,
   'the turn of the old generation takes one of its slots');
becomes(sub { models('new') }, 'echo m1 m3 m4', 'other models');
becomes(sub { status('new', 'm4') }, 200, 'the new backend answers');
becomes(sub { status('new', 'm3') }, 200, 'so does the old, by a new name');
becomes(sub { status('new', 'm2') }, 404, 'the other is gone');
becomes(sub { status('old', 'm1') }, 401, 'so is the old key');
becomes(sub { $s->health->{slots}{max} }, 3, 'there are more slots');

my ($text, $done) = ($r->{text}, 0);
while (my $event = $stream->read_event) {
    $done = $event->{t} if ($event->{data} // '') eq '[DONE]';
    next unless ref $event->{json};
    $text .= $event->{json}{choices}[0]{delta}{content} // '';
}
is($text, join(' ', map { "tok$_" } 1 .. 60), 'the stream came whole');
cmp_ok($done, '>', $reloaded - $asked, 'to its end, after the reload');
becomes(sub { scalar(() = $s->keepers) }, 1, 'the old keeper is gone');

# `apachectl graceful` is this; a bare SIGUSR1 would end any httpd whose
# configuration is wrong.
sub reload {
    waitpid $s->spawn('-k', 'graceful'), 0;
    return ($? >> 8 || $?, $s->output);
}

my $good = backend('stays', 'm1');
my %bad = (
    'CLIBridgeSlots: write a number' => [0, $good],
    'CLIBridgeBackend: there can be' =>
        [3, join '', map { backend("b$_", "b$_") } 1 .. 32],
    'CLIBridgeDefaultModel: no backend serves' =>
        [3, "CLIBridgeDefaultModel m9\n$good"],
    'there is no driver' => [3, $good =~ s/Driver command/Driver gpt/r],
);
for my $why (sort keys %bad) {
    configure(@{ $bad{$why} });
    my ($status, $output) = reload();
    is($status, 1, "a bad reload fails: $why");
    like($output, qr/\Q$why\E/, 'and says why');
}
configure(3, $good);
open my $keys, '>', "$dir/keys" or die "$dir/keys: $!\n";
print $keys "new:secret:chat\n";
close $keys;
my ($status, $output) = reload();
is($status, 1, 'a bad key file fails');
like($output, qr{CLIBridgeKeyFile: $dir/keys, line 1: }, 'and says where');

is(generation(), $first + 1, 'the server is the one it was');
is(models('new'), 'echo m1 m3 m4', 'with its models');
is(status('new', 'm4'), 200, 'and its keys');

put_key('new');
# A reload may rename every backend there can be.
for my $name (qw(a b)) {
    configure(2, join '', map { backend("$name$_", "$name$_") } 1 .. 31);
    is((reload())[0], 0, "a reload with 31 new backends ($name)");
    becomes(sub { status('new', "${name}31") }, 200, 'and they answer');
}
configure(2, backend('stays', 'm1'));
is((reload())[0], 0, 'a good reload succeeds');
becomes(sub { models('new') }, 'echo m1', 'and takes effect');

$s->idle_ok;
$s->stop;
done_testing;
