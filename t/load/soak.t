#!/usr/bin/perl

# The short form of soak: fifteen wild seconds, without the real CLIs.

use strict;
use warnings;

use FindBin;

$ENV{SECONDS} ||= 15;
delete $ENV{CLIBRIDGE_CLIS};
exec $^X, "$FindBin::Bin/soak" or die "soak: $!\n";
