//! Independent random loads, as in hash-table look-ups: the counterpart of the chase.
//!
//! It presses **cache capacity and memory-level parallelism**: the addresses come from a linear congruential
//! generator, never from memory, so that as many misses overlap as the reorder window and the miss registers allow. The
//! same working set therefore hurts several times less than in a chase, and asks for several times the bandwidth.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 11.0;

/// A table and the generator of its next index. An operation is one load.
#[derive(Debug)]
pub struct Gather {
    table: Vec<u64>,
    state: u64,
    sum: u64,
}

impl Gather {
    /// A table of `working_set_bytes` / 8 words.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let table = (0..(working_set_bytes / 8).max(1)).map(|_| random.next_u64()).collect();
        Self { table, state: random.next_u64(), sum: 0 }
    }
}

impl Kernel for Gather {
    fn run(&mut self, operations: u64) {
        let words = self.table.len() as u64;
        let (mut state, mut sum) = (self.state, self.sum);
        for _ in 0..operations {
            // Knuth's MMIX multiplier; the upper 32 bits scaled to the table's length choose the word.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = ((state >> 32) * words) >> 32;
            sum = sum.wrapping_add(self.table[index as usize]);
        }
        (self.state, self.sum) = (state, sum);
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.state);
        hash.update_u64(self.sum);
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_spread_over_the_whole_table() {
        let mut gather = Gather::new(8 * 64, 5);
        // With one word set at a time the sum counts the visits of that word.
        let visits: Vec<u64> = (0..64)
            .map(|word| {
                gather.table.fill(0);
                gather.table[word] = 1;
                gather.sum = 0;
                gather.run(6400);
                gather.sum
            })
            .collect();
        assert!(visits.iter().all(|&count| (50..200).contains(&count)), "{visits:?}");
    }
}
