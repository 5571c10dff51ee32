//! Sequences of bases for programs that align them: a genome of two chromosomes with repeats, and reads of it with the
//! errors of a sequencer.

use crate::random::SplitMix64;

const BASES: [u8; 4] = *b"ACGT";

/// Bases a line.
const LINE_BASES: usize = 70;

/// About `bytes` of FASTA: two chromosomes, of which a fifth are copies of earlier stretches with some bases changed.
pub(super) fn reference(seed: u64, bytes: usize) -> Vec<u8> {
    let mut fasta = Vec::with_capacity(bytes + bytes / LINE_BASES + 64);
    for (number, bases) in chromosomes(seed, bytes).iter().enumerate() {
        fasta.extend_from_slice(format!(">chromosome{}\n", number + 1).as_bytes());
        for line in bases.chunks(LINE_BASES) {
            fasta.extend_from_slice(line);
            fasta.push(b'\n');
        }
    }
    fasta
}

/// About `bytes` of FASTA: long reads of the genome of the same seed and size, 1,500 to 7,500 bases with one in ten
/// wrong, lost or added, from both strands.
pub(super) fn long_reads(seed: u64, bytes: usize) -> Vec<u8> {
    reads(seed, bytes, (1500, 6000), 10)
}

/// About `bytes` of FASTA: short reads of the genome of the same seed and size, 150 bases with one in a hundred wrong,
/// lost or added, from both strands.
pub(super) fn short_reads(seed: u64, bytes: usize) -> Vec<u8> {
    reads(seed, bytes, (150, 1), 100)
}

fn reads(seed: u64, bytes: usize, (shortest, spread): (usize, usize), bases_an_error: usize) -> Vec<u8> {
    let genome = chromosomes(seed, bytes);
    let mut random = SplitMix64::new(seed ^ 0x7265_6164);
    let mut fasta = Vec::with_capacity(bytes + 8192);
    for number in 0.. {
        if fasta.len() >= bytes {
            break;
        }
        let chromosome = &genome[random.below(genome.len())];
        let length = (shortest + random.below(spread)).min(chromosome.len() / 2);
        let start = random.below(chromosome.len() - length);
        let mut read = Vec::with_capacity(length + length / 8);
        for &base in &chromosome[start..start + length] {
            match random.below(3 * bases_an_error) {
                0 => read.push(*random.pick(&BASES)),
                1 => {}
                2 => read.extend_from_slice(&[base, *random.pick(&BASES)]),
                _ => read.push(base),
            }
        }
        if random.below(2) == 1 {
            read.reverse();
            read.iter_mut().for_each(|base| *base = complement(*base));
        }
        fasta.extend_from_slice(format!(">read{number}\n").as_bytes());
        fasta.extend_from_slice(&read);
        fasta.push(b'\n');
    }
    fasta
}

fn chromosomes(seed: u64, bases: usize) -> [Vec<u8>; 2] {
    let mut random = SplitMix64::new(seed);
    [bases * 2 / 3, bases / 3].map(|bases| chromosome(&mut random, bases))
}

fn chromosome(random: &mut SplitMix64, bases: usize) -> Vec<u8> {
    let mut sequence: Vec<u8> = Vec::with_capacity(bases + 2000);
    while sequence.len() < bases {
        let length = 200 + random.below(1800);
        if random.below(5) == 0 && sequence.len() > length {
            let start = random.below(sequence.len() - length);
            for at in start..start + length {
                let base = if random.below(50) == 0 { *random.pick(&BASES) } else { sequence[at] };
                sequence.push(base);
            }
        } else {
            // Stretches differ in how rich in G and C they are.
            let rich = 30 + random.below(40);
            let base = |random: &mut SplitMix64| match (random.below(100) < rich, random.below(2)) {
                (true, 0) => b'G',
                (true, _) => b'C',
                (false, 0) => b'A',
                (false, _) => b'T',
            };
            sequence.extend((0..length).map(|_| base(random)));
        }
    }
    sequence.truncate(bases);
    sequence
}

fn complement(base: u8) -> u8 {
    match base {
        b'A' => b'T',
        b'T' => b'A',
        b'G' => b'C',
        _ => b'G',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_genome_is_made_of_bases_in_two_chromosomes() {
        let text = String::from_utf8(reference(3, 50_000)).expect("ASCII");
        assert_eq!(text.lines().filter(|line| line.starts_with('>')).count(), 2);
        assert!(
            text.lines().filter(|line| !line.starts_with('>')).all(|line| line.bytes().all(|b| BASES.contains(&b)))
        );
    }

    #[test]
    fn most_short_reads_share_a_stretch_with_the_genome_of_their_seed() {
        let strands: Vec<String> = chromosomes(5, 40_000)
            .iter()
            .flat_map(|forward| {
                let backward: Vec<u8> = forward.iter().rev().map(|&base| complement(base)).collect();
                [forward.clone(), backward]
            })
            .map(|strand| String::from_utf8(strand).expect("ASCII"))
            .collect();
        let text = String::from_utf8(short_reads(5, 40_000)).expect("ASCII");
        let reads: Vec<&str> = text.lines().filter(|line| !line.starts_with('>')).collect();
        let found = |read: &&&str| strands.iter().any(|strand| strand.contains(&read[..40]));
        assert!(reads.iter().filter(found).count() * 2 > reads.len());
    }
}
