#!/usr/bin/perl

# clibridge-key makes keys that the server knows, and never shows one twice.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp;
use FindBin;
use Test::More;

use lib "$FindBin::Bin/../lib";
use CLB::Server;

my $dir  = File::Temp->newdir;
my $file = "$dir/keys";

chmod 0755, $dir;    # the server's workers are somebody else

sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return <$in> // '';
}

# (exit status, stdout, stderr)
sub key {
    my @args = map { "'$_'" } @_;
    my $out = readpipe("sh $FindBin::Bin/../../conf/clibridge-key @args"
                       . " 2>$dir/stderr");
    return ($? >> 8, $out, slurp("$dir/stderr"));
}

my ($status, $out, $err) = key('alice', $file);
is($status, 0, 'a key is made');
like($out, qr/\Aclb_[A-Za-z0-9_-]{43}\n\z/, 'and printed, alone');
chomp(my $alice = $out);
unlike($err, qr/\Q$alice/, 'once');
like($err, qr/\A[^\n]+'Authorization: Bearer KEY'[^\n]+ \Q$file\E\n\z/,
     'with a line that says how to use it');
is(slurp($file), 'alice:' . sha256_hex($alice) . ":chat\n",
   'the file has its name, digest and scope');

my @stat = stat $file;
my $group = $> == 0 && getgrnam('www-data');
is(sprintf('%o', $stat[2] & 07777), $group ? '640' : '600',
   'others cannot read the file');
is($stat[5], $group, 'the server can') if $group;

($status, $out, $err) = key('alice', $file);
is("$status$out", '1', 'a name is made once');
like($err, qr/alice is in \Q$file\E already/, 'and the refusal says so');

($status, $out) = key('al', $file, 'chat,admin');
is($status, 0, 'a part of a name is another name');
chomp(my $al = $out);

($status, $out) = key('run', $file, 'chat,run');
is($status, 0, 'any scopes');
like(slurp($file), qr/^run:[0-9a-f]{64}:chat,run$/m, 'as they were given');

# as an editor may leave it
open my $edit, '>>', $file or die;
print $edit '  bob : ', sha256_hex('guess'), ' : admin # no line end';
close $edit;
is((key('bob', $file))[0], 1, 'a name is found between blanks');
is((key('no', $file))[0], 0, 'a key is added after a line without an end');
like(slurp($file), qr/no line end\nno:/, 'on a line of its own');

for (['', 'no name'], ['a b', 'a name with a blank'], ['a:b', 'with a colon'],
     ['x' x 65, 'a long name'], ['root', 'an unknown scope', 'root'],
     map { ['x', "the scopes '$_'", $_] } 'chat,', ',run', 'chat,,run',
         'chat run', 'chat,root', 'chat:x', '*') {
    my ($name, $what, @scopes) = @$_;
    my $before = slurp($file);
    my ($status, $out, $err) = key($name, $file, @scopes);
    is("$status$out", '1', "$what is refused");
    like($err, qr/\Aclibridge-key: .+\n\z/, '... with a sentence');
    is(slurp($file), $before, '... and without a trace');
}
like((key('x', "$dir/none/keys"))[2], qr/^clibridge-key: cannot write/,
     'a file that cannot be written is named');

my $s = CLB::Server->start(config => "CLIBridgeKeyFile $file\n");
is($s->get('/v1/models', key => $alice)->{status}, 200, 'the key is valid');
is($s->get('/v1/models')->{status}, 401, 'and needed');
is($s->get('/v1/models', key => $al)->{status}, 200, 'two scopes are valid');
$s->stop;

done_testing;
