# Reads a server's log and writes a report: parse, count, sort, relax. Each part works differently on the processor,
# and the parts are long, so that a watcher sees them as phases.
use strict;
use warnings;
use integer;

my ($path, $rounds) = @ARGV;
open my $log, '<', $path or die "failed to open $path: $!\n";

# Parse: regular expressions over all lines.
my (@entries, %per_host, %per_path);
while (my $line = <$log>) {
    next unless $line =~ m{^(\S+)T(\d\d):(\d\d):(\d\d)Z\s+(\w+)\s+(\w+)\s+(\w+)\[(\d+)\]:\s+(\w+)\s+(\S+)\s+took\s+(\d+)\s+ms,\s+status\s+(\d+)\s+from\s+(\S+)};
    my $seconds = $2 * 3600 + $3 * 60 + $4;
    push @entries, { second => $seconds, level => $5, host => $6, path => $10, took => $11, status => $12, from => $13 };
    $per_host{$6}{$5}++;
    $per_path{$10} += $11;
}
close $log;
printf "%d entries, %d hosts, %d paths\n", scalar @entries, scalar keys %per_host, scalar keys %per_path;

for my $round (1 .. $rounds) {
    # Count: hashes of strings, at random.
    my (%from, %pairs);
    for my $entry (@entries) {
        $from{ $entry->{from} }++;
        $pairs{"$entry->{host} $entry->{path}"} += $entry->{took};
    }
    printf "round %d: %d addresses, %d pairs\n", $round, scalar keys %from, scalar keys %pairs;

    # Sort: comparisons of numbers and strings.
    my @slowest = sort { $b->{took} <=> $a->{took} || $a->{path} cmp $b->{path} || $a->{second} <=> $b->{second} } @entries;
    printf "  %s %d ms\n", $_->{path}, $_->{took} for @slowest[0 .. 9];
    my @busiest = sort { $pairs{$b} <=> $pairs{$a} || $a cmp $b } keys %pairs;
    printf "  %s %d ms\n", $_, $pairs{$_} for @busiest[0 .. 9];

    # Relax: arithmetic on a small array.
    my @cells = map { ($_ * 7919 + $round) % 1009 } 0 .. 1023;
    for my $sweep (1 .. 120) {
        my $last = $cells[0];
        for my $at (1 .. 1022) {
            my $here = $cells[$at];
            $cells[$at] = ($last + 2 * $here + $cells[ $at + 1 ] + $sweep) / 4;
            $last = $here;
        }
    }
    my $sum = 0;
    $sum = ($sum * 31 + $_) % 1000003 for @cells;
    print "  relaxed $sum\n";
}
