# Builds an index of a text and works with it: split into words, find neighbours, compare spellings, write by rule. Other
# parts of Perl than in the report: long strings, lists in hashes, substitutions.
use strict;
use warnings;

my ($path, $rounds) = @ARGV;
open my $file, '<', $path or die "failed to open $path: $!\n";
binmode $file;
my $text = do { local $/; <$file> };
close $file;

# Split: where each word stands.
my (%places, @words);
while ($text =~ /([A-Za-z]{2,14})/g) {
    push @{ $places{ lc $1 } }, scalar @words;
    push @words, lc $1;
}
my @known = sort keys %places;
printf "%d words, %d different\n", scalar @words, scalar @known;

sub distance {
    my ($one, $other) = @_;
    my @one = split //, $one;
    my @row = 0 .. @one;
    for my $letter (split //, $other) {
        my @next = ($row[0] + 1);
        for my $at (1 .. @one) {
            my $least = $row[ $at - 1 ] + ($one[ $at - 1 ] ne $letter);
            $least = $row[$at] + 1 if $row[$at] + 1 < $least;
            $least = $next[ $at - 1 ] + 1 if $next[ $at - 1 ] + 1 < $least;
            push @next, $least;
        }
        @row = @next;
    }
    return $row[-1];
}

for my $round (1 .. $rounds) {
    # Neighbours: which words follow which.
    my %follows;
    $follows{ $words[ $_ - 1 ] }{ $words[$_] } += $round for 1 .. $#words;
    my @rich = sort { keys %{ $follows{$b} } <=> keys %{ $follows{$a} } || $a cmp $b } keys %follows;
    printf "round %d: %s\n", $round, join ' ', map { "$_:" . keys %{ $follows{$_} } } @rich[0 .. 7];

    # Spellings: edit distances to every fortieth word.
    my ($sum, $near) = (0, 0);
    for (my $at = $round; $at < @known; $at += 40) {
        my $distance = distance($known[$at], $known[ ($at * 7) % @known ]);
        $sum += $distance;
        $near++ if $distance < 3;
    }
    print "  distances $sum, near $near\n";

    # Write: substitutions over the whole text.
    my $copy = $text;
    my $changed = $copy =~ s/\b(\w)(\w*?)(ing|er|on)\b/$3$2$1/g;
    $changed += $copy =~ s/([aeiou])\1*/<$1>/g;
    $changed += $copy =~ tr/a-mn-z/n-za-m/;
    my $check = unpack '%32C*', $copy;
    printf "  %d changed, %d bytes, check %d\n", $changed, length $copy, $check;

    # Walk: from word to its commonest follower, as a pointer chase through hashes.
    my ($word, $steps, $trail) = ($known[$round], 0, 0);
    while ($steps++ < 60000) {
        my $place = $places{$word};
        my $at = $place->[ ($steps * 31) % @$place ] + 1;
        $word = $words[ $at % @words ];
        $trail = ($trail * 33 + $at) % 1000003;
    }
    print "  walked to $word, trail $trail\n";
}
