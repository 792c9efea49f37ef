# claude.t with the newest release of Claude Code.

use strict;
use warnings;

use FindBin;

our $program = 'claude-newest';
do "$FindBin::Bin/claude.t" or die $@ || $!;
