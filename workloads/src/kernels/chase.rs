//! Pointer chase, as in mcf's network simplex: each load's address is the value of the load before.
//!
//! It presses **cache capacity and memory latency**: one random cycle through all lines of the working set (Sattolo's
//! shuffle) visits each line once a round, in an order no prefetcher learns. While the set fits the LLC each step costs
//! an LLC hit; as soon as a neighbour takes part of the LLC the lost part costs memory latency, unhidden, since no two
//! loads can overlap. The bandwidth it asks for is small: it suffers from neighbours and hurts them little.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 5.0;

/// Words in a cache line; the successor stands in the first one, the others are never read.
const LINE_WORDS: usize = 8;

/// A random cycle through the lines of a buffer. An operation is one step.
#[derive(Debug)]
pub struct Chase {
    /// The first word of each line is the index of the next line's first word.
    words: Vec<usize>,
    at: usize,
    steps: u64,
}

impl Chase {
    /// A cycle through `working_set_bytes` / 64 lines.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let lines = (working_set_bytes / (LINE_WORDS * 8)).max(2);
        let mut random = SplitMix64::new(seed);
        let mut order: Vec<usize> = (0..lines).collect();
        // Sattolo: never swapping an element with itself makes the permutation one single cycle.
        for last in (1..lines).rev() {
            order.swap(last, random.below(last));
        }
        let mut words = vec![0; lines * LINE_WORDS];
        for (line, next) in order.into_iter().enumerate() {
            words[line * LINE_WORDS] = next * LINE_WORDS;
        }
        Self { words, at: 0, steps: 0 }
    }
}

impl Kernel for Chase {
    fn run(&mut self, operations: u64) {
        let mut at = self.at;
        for _ in 0..operations {
            at = self.words[at];
        }
        self.at = at;
        self.steps += operations;
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.at as u64);
        hash.update_u64(self.steps);
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_visits_each_line_once_and_ends_where_it_began() {
        let mut chase = Chase::new(64 * 1000, 3);
        let mut visited = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            assert!(visited.insert(chase.at));
            chase.run(1);
        }
        assert_eq!(chase.at, 0);
        assert_eq!(visited.len(), 1000);
    }
}
