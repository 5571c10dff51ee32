//! Deduplication, as in PARSEC's dedup: cuts a stream where a rolling hash says so, and writes each piece it has not seen.
//!
//! It presses **several things a little**: input and output are streams of their own, read and written in order; the rolling
//! hash is a chain of arithmetic, some ten instructions a byte, with a table of 2 KiB; the table of fingerprints is
//! looked up at random once for each piece. So it uses the LLC without reuse (it hurts more than it suffers), at a
//! moderate pace. Four sevenths of the working set are input, two output, one the table.
//!
//! The input is like a backup: parts of it come again; and between two rounds through it some bytes of it change.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 11.7;

/// A piece ends where these bits of the rolling hash are all zero: every 1024 bytes on average.
const CUT_MASK: u64 = 0x3ff << 40;

/// Shortest and longest piece.
const PIECE_BYTES: std::ops::RangeInclusive<usize> = 256..=4096;

/// Fingerprints that share a place in the table.
const WAYS: usize = 4;

/// A stream being deduplicated. An operation is one byte of input.
#[derive(Debug)]
pub struct Dedup {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Sets of [`WAYS`] fingerprints, the newest first; 0 is none.
    seen: Vec<[u64; WAYS]>,
    /// A random number for each value of a byte (Xia's gear hash).
    gear: [u64; 256],
    rolling: u64,
    piece_begins: usize,
    at: usize,
    out_at: usize,
    random: SplitMix64,
    pieces: u64,
    duplicates: u64,
}

impl Dedup {
    /// An input of 4/7 of `working_set_bytes`, of which about half stands in it twice.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let gear = std::array::from_fn(|_| random.next_u64());
        let input_bytes = working_set_bytes / 7 * 4;
        let mut input: Vec<u8> = Vec::with_capacity(input_bytes);
        while input.len() < input_bytes {
            let length = (1024 + random.below(16 * 1024)).min(input_bytes - input.len());
            if !input.is_empty() && random.below(2) == 0 {
                let from = random.below(input.len());
                let until = (from + length).min(input.len());
                input.extend_from_within(from..until);
            } else {
                input.extend((0..length).map(|_| random.next_u64() as u8));
            }
        }
        let sets = (working_set_bytes / 7 / (WAYS * 8)).max(1);
        let output = vec![0; (working_set_bytes / 7 * 2).max(*PIECE_BYTES.end())];
        Self {
            input,
            output,
            seen: vec![[0; WAYS]; sets],
            gear,
            rolling: 0,
            piece_begins: 0,
            at: 0,
            out_at: 0,
            random,
            pieces: 0,
            duplicates: 0,
        }
    }

    /// Reads up to `limit` bytes, but not beyond the end of a piece or of the input; answers how many.
    fn roll(&mut self, limit: usize) -> usize {
        let end = self.input.len().min(self.piece_begins + PIECE_BYTES.end());
        let until = self.at + limit.min(end - self.at);
        let least = self.piece_begins + PIECE_BYTES.start();
        let begin = self.at;
        let mut rolling = self.rolling;
        for at in begin..until {
            rolling = (rolling << 1).wrapping_add(self.gear[usize::from(self.input[at])]);
            if rolling & CUT_MASK == 0 && at + 1 >= least {
                self.at = at + 1;
                self.end_piece();
                return self.at - begin;
            }
        }
        (self.at, self.rolling) = (until, rolling);
        if until == end {
            self.end_piece();
        }
        until - begin
    }

    /// Writes the piece unless it was seen.
    fn end_piece(&mut self) {
        let piece = &self.input[self.piece_begins..self.at];
        let fingerprint = fingerprint(piece);
        let set = ((u128::from(fingerprint) * self.seen.len() as u128) >> 64) as usize;
        let ways = &mut self.seen[set];
        if let Some(way) = ways.iter().position(|&known| known == fingerprint) {
            ways[..=way].rotate_right(1);
            self.duplicates += 1;
        } else {
            ways.rotate_right(1);
            ways[0] = fingerprint;
            if self.out_at + piece.len() > self.output.len() {
                self.out_at = 0;
            }
            self.output[self.out_at..self.out_at + piece.len()].copy_from_slice(piece);
            self.out_at += piece.len();
        }
        self.pieces += 1;
        (self.piece_begins, self.rolling) = (self.at, 0);
    }

    /// From the end of the input to its begin; meanwhile, one byte in 8192 has changed.
    fn next_round(&mut self) {
        for _ in 0..self.input.len().div_ceil(8192) {
            let at = self.random.below(self.input.len());
            self.input[at] = self.random.next_u64() as u8;
        }
        (self.at, self.piece_begins, self.rolling) = (0, 0, 0);
    }
}

/// Eight bytes at a time, multiplied and folded; never 0. PARSEC takes SHA-1, some three times the arithmetic.
fn fingerprint(piece: &[u8]) -> u64 {
    let mut hash = piece.len() as u64;
    let (words, rest) = piece.as_chunks::<8>();
    for word in words {
        let product = u128::from(hash ^ u64::from_le_bytes(*word)) * 0x9e37_79b9_7f4a_7c15;
        hash = (product as u64) ^ ((product >> 64) as u64);
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash.max(1)
}

impl Kernel for Dedup {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            left -= self.roll(usize::try_from(left).unwrap_or(usize::MAX)) as u64;
            if self.at == self.input.len() {
                self.next_round();
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        for number in [self.at as u64, self.out_at as u64, self.rolling, self.pieces, self.duplicates] {
            hash.update_u64(number);
        }
        for &byte in self.output.iter().step_by((self.output.len() / 4096).max(1)) {
            hash.update(&[byte]);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_round_is_nearly_all_known() {
        let mut dedup = Dedup::new(7 * 64 * 1024, 1);
        let round = dedup.input.len() as u64;
        dedup.run(round);
        let (pieces, duplicates) = (dedup.pieces, dedup.duplicates);
        let mean = round / pieces;
        assert!((512..2048).contains(&mean), "{mean}");
        assert!(duplicates * 10 > pieces && duplicates * 10 < pieces * 7, "{duplicates} of {pieces}");
        dedup.run(round);
        assert!((dedup.duplicates - duplicates) * 10 > (dedup.pieces - pieces) * 7);
    }

    #[test]
    fn a_cut_depends_on_content_and_not_on_where_it_stands() {
        let cuts = |dedup: &mut Dedup| {
            let mut cuts = Vec::new();
            while dedup.at < dedup.input.len() {
                dedup.roll(usize::MAX);
                cuts.push(dedup.input.len() - dedup.at);
            }
            cuts
        };
        let mut plain = Dedup::new(7 * 16 * 1024, 3);
        let mut shifted = Dedup::new(7 * 16 * 1024, 3);
        shifted.input.splice(0..0, [1, 2, 3, 4, 5]);
        // Counted from the end, most cuts are the same although everything stands five bytes further on.
        let (plain, shifted) = (cuts(&mut plain), cuts(&mut shifted));
        let same = plain.iter().filter(|cut| shifted.contains(cut)).count();
        assert!(same * 4 > plain.len() * 3, "{same} of {}", plain.len());
    }
}
