# Runs a program and passes its output on without what differs between equal runs: times and speeds, and what a chess
# engine only says once it has thought for some seconds.
use strict;
use warnings;

open my $output, '-|', @ARGV or die "failed to start $ARGV[0]: $!\n";
while (my $line = <$output>) {
    next if $line =~ / (?:currmove|lowerbound|upperbound) /;
    $line =~ s/ (?:nps|time) \d+//g;
    print $line;
}
close $output or die "$ARGV[0] failed with status ", $? >> 8, "\n";
