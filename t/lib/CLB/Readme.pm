package CLB::Readme;

# What README gives people to paste, so that tests paste it, too.
#
#   block('Virtual hosts:', '*:443' => '127.0.0.1:@PORT@', …)
#
# is the first indented block after the line that begins so, with those texts
# replaced. It dies when there is no such line or text.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);

our @EXPORT_OK = qw(block);

my $readme = abs_path(dirname(__FILE__) . '/../../../README');

sub block {
    my ($begin, @replace) = @_;
    open my $file, '<', $readme or die "$readme: $!\n";
    my $text = do { local $/; <$file> };
    my ($block) = $text =~ /^\Q$begin\E.*?^((?:    [^\n]*\n)+)/ms
        or die "README has no block after '$begin'\n";
    $block =~ s/^    //gm;
    while (my ($from, $to) = splice @replace, 0, 2) {
        $block =~ s/\Q$from\E/$to/g
            or die "README does not say '$from' after '$begin'\n";
    }
    return $block;
}

1;
