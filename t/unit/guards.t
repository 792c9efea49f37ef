#!/usr/bin/perl

# Rules of the house that no compiler checks, read off the sources: who may
# include whom, who may do what, what is documented, how code looks.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find ();
use FindBin;
use JSON::PP ();
use Test::More;

chdir "$FindBin::Bin/../.." or die "chdir: $!\n";

sub slurp {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return scalar(<$file>) // '';
}

# Code without comments and strings; lines stay where they are.
sub code {
    my ($text) = @_;
    $text =~ s{("|')(?:\\.|(?!\1)[^\\\n])*\1|/\*.*?\*/}
              {$1 ? "$1$1" : $& =~ tr/\n//cdr}gse;
    return $text;
}

# One test: a rule holds when it finds nothing.
sub none {
    my ($name, @found) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(!@found, $name) or diag(join "\n", @found);
}

# file:line of every match in code.
sub matches {
    my ($regex, @names) = @_;
    my @found;
    for my $name (@names) {
        my $text = code(slurp($name));
        while ($text =~ /$regex/g) {
            my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
            push @found, "$name:$line: $&";
        }
    }
    return @found;
}

my @src     = sort glob 'src/*/*.[ch]';
my @sources = ('mod_clibridge.c', @src);
my %text    = map { $_ => slurp($_) } @sources;
my @headers = grep { /\.h$/ } @src;
cmp_ok(scalar @src, '>', 50, 'there are sources to look at');

sub layer { $_[0] =~ m{^src/(\w+)/} ? $1 : 'top' }

# --- who may include whom -------------------------------------------------

my %below = (
    core    => [],
    api     => ['core'],
    backend => ['core'],
    shm     => ['core'],
    proc    => [qw(core backend shm)],
    acct    => [qw(core shm)],
    http    => [qw(core api backend shm proc acct)],
    cfg     => [qw(core api backend shm proc acct http)],
);
$below{top} = [keys %below];
none('every directory has its place',
     grep { !$below{ layer($_) } } @src);

my @upward;
for my $name (@sources) {
    my %may = map { $_ => 1 } layer($name), @{ $below{ layer($name) } || [] };
    while ($text{$name} =~ /^#include "([^"]+)"/gm) {
        my $path = dirname($name) . "/$1";
        1 while $path =~ s{[^/]+/\.\./|(?:^|(?<=/))\./}{};
        push @upward, "$name: $1 is not there" unless -e $path;
        push @upward, "$name: $1" unless $may{ layer($path) };
    }
}
none('core <- api, backend, shm <- proc, acct <- http, cfg', @upward);

my @pure = grep { layer($_) =~ /^(?:core|api|backend|shm|acct)$/ } @src;
none('core, api, backend, shm and acct do not know httpd',
     matches(qr/^\#include\ <(?!apr)(?:ap|http|util|mod|mpm|unixd|scoreboard)
                \w*\.h>/mx, @pure));
none('only core/json.c knows jansson',
     grep { $_ ne 'src/core/json.c' && $text{$_} =~ /^#include <jansson/m }
     @sources);

# --- who may do what ------------------------------------------------------

my @elsewhere = grep { layer($_) ne 'proc' } @sources;
none('only proc forks, signals, changes users and passes descriptors',
     matches(qr/\b(?:v?fork|clone|exec[vl]p?e?|posix_spawnp?|kill|killpg|
                signal|sigaction|prctl|setsid|setpgid|set[re]{0,3}[ug]id|
                setgroups|initgroups|apr_proc_(?:create|fork|kill|detach)|
                apr_signal|sendmsg|recvmsg)\s*\(|\bSCM_RIGHTS\b/x,
             @elsewhere));
none('only http, cfg and the module itself know statuses of HTTP',
     matches(qr/\bHTTP_[A-Z][A-Z_]+\b/,
             grep { layer($_) !~ /^(?:http|cfg|top)$/ } @sources));

# --- directives -----------------------------------------------------------

my @directives = $text{'src/cfg/cmds.c'}
    =~ /^\s*(?:TAKE1|AP_INIT_\w+)\("<?(CLIBridge\w*)",/gm;
cmp_ok(scalar @directives, '>', 25, 'the table of directives was read');

my %where = (
    'README'              => -e 'README' ? slurp('README') : '',
    'conf/clibridge.conf' => -e 'conf/clibridge.conf'
                             ? slurp('conf/clibridge.conf') : '',
    't/conf'              => join('', map { slurp($_) } glob 't/conf/*.t'),
);
for my $place (sort keys %where) {
    none("every directive stands in $place",
         grep { $where{$place} !~ /\b$_\b/ } @directives);
}
my %known = map { $_ => 1 } @directives;
for my $place ('README', 'conf/clibridge.conf') {
    my %seen;
    none("$place invents no directive",
         grep { !$known{$_} && !$seen{$_}++ }
         $where{$place} =~ /\b(CLIBridge[A-Z]\w*)/g);
}

# --- how code looks -------------------------------------------------------

my @ugly;
for my $name (@sources) {
    my $number = 0;
    for my $line (split /\n/, $text{$name}) {
        $number++;
        my $width = length($line =~ s/[\x80-\xbf]//gr);
        push @ugly, "$name:$number: $width columns" if $width > 80;
        push @ugly, "$name:$number: a tab" if $line =~ /\t/;
        push @ugly, "$name:$number: a trailing blank" if $line =~ /\s$/;
    }
    push @ugly, "$name: $number lines" if $number > 700;
    push @ugly, "$name: no line feed at the end" unless $text{$name} =~ /\n\z/;
    push @ugly, "$name: SPDX is not first" unless $text{$name}
        =~ m{\A/\* SPDX-License-Identifier: Apache-2\.0 \*/\n};
}
none('80 columns, no tab, no trailing blank, 700 lines, SPDX first', @ugly);

# From the line with the name to the brace in the first column.
my ($functions, @long) = (0);
for my $name (@sources) {
    my ($number, $start) = (0);
    for my $line (split /\n/, code($text{$name})) {
        $number++;
        $start = $number if $line =~ /^[a-z]\w.*\(/ && $line !~ /;$/;
        next unless $line eq '}' && $start;
        $functions++;
        my $lines = $number - $start + 1;
        push @long, "$name:$start: $lines lines" if $lines > 80;
        undef $start;
    }
}
cmp_ok($functions, '>', 400, 'functions were found');
none('no function has more than 80 lines', @long);

# Neighbours without an empty line between them share a comment.
my ($declared, @bare) = (0);
for my $name (@headers) {
    my $documented = 0;
    my $number = 0;
    for my $line (split /\n/, $text{$name}) {
        $number++;
        if ($line =~ m{\*/$})    { $documented = 1 }
        elsif ($line =~ /^\s*$/) { $documented = 0 }
        next unless $line =~ /^[a-z][\w ]*[ *]clb_\w+\(/;
        $declared++;
        push @bare, "$name:$number: $line" unless $documented;
    }
}
cmp_ok($declared, '>', 100, 'declarations were found');
none('every function in a header has a comment', @bare);

# --- the whole tree -------------------------------------------------------

my @tree;
File::Find::find({ no_chdir => 1, wanted => sub {
    $File::Find::prune = 1 if m{^\./build$|/(?:\.git|node_modules)$};
    push @tree, $_ if -f && !-l;
} }, '.');
cmp_ok(scalar @tree, '>', @src + 50, 'the tree was walked');

# In two pieces, so that this file does not have it.
my $registry = join '.', 'registry', 'npmjs';
none('no address of a package registry stands anywhere',
     grep { index(slurp($_), $registry) >= 0 } @tree);

my @resolved;
my $lock = JSON::PP->new->decode(slurp('t/cli/package-lock.json'));
for my $name (sort keys %{ $lock->{packages} }) {
    push @resolved, $name if exists $lock->{packages}{$name}{resolved};
}
none('nor does the lock file say where a package came from', @resolved);

my @scripts = grep { slurp($_) =~ m{\A#!\s*/bin/sh\b} } @tree;
cmp_ok(scalar @scripts, '>=', 2, 'scripts were found');
none('every shell script can be parsed',
     grep { system('sh', '-n', $_) != 0 } @scripts);

done_testing;
