//! The best path through a profile hidden Markov model, as in hmmer's P7Viterbi: dynamic programming, row by row.
//!
//! It presses **the first- and second-level cache and integer arithmetic**: for each residue of a sequence one row of cells is
//! computed, each from its neighbours of the row above and to the left, with scores read from fifteen arrays in order. With a
//! model that fits the private caches, as hmmer's do, it is compute-bound and indifferent to neighbours. A larger model turns
//! it into fifteen streams that are reused once a row.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 60.0;

/// Kinds of residues: amino acids.
const RESIDUES: usize = 20;

/// Residues in a sequence.
const SEQUENCE: u32 = 360;

/// What cannot be; far from overflow.
const NEVER: i32 = -987_654_321;

/// A state's scores for what comes after it, and for entering the model there.
#[derive(Debug, Clone, Copy, Default)]
struct Transitions {
    match_match: i32,
    match_insert: i32,
    match_delete: i32,
    insert_match: i32,
    insert_insert: i32,
    delete_match: i32,
    delete_delete: i32,
    begin: i32,
}

/// The best scores that end in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    matched: i32,
    inserted: i32,
    deleted: i32,
}

const NOWHERE: Cell = Cell { matched: NEVER, inserted: NEVER, deleted: NEVER };

/// A model and the sequence being scored. An operation is one cell.
#[derive(Debug)]
pub struct Viterbi {
    /// Scores of each residue in each state, residue by residue.
    emissions: Vec<i32>,
    transitions: Vec<Transitions>,
    /// The row above and the one being computed.
    above: Vec<Cell>,
    row: Vec<Cell>,
    /// The next state, the residue of this row, rows left in the sequence.
    at: usize,
    residue: usize,
    rows_left: u32,
    best: i32,
    random: SplitMix64,
    hash: Fnv1a,
}

impl Viterbi {
    /// A model of `working_set_bytes` / 136 states.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let bytes_per_state = RESIDUES * 4 + size_of::<Transitions>() + 2 * size_of::<Cell>();
        let states = (working_set_bytes / bytes_per_state).max(1);
        let mut score = |low: i32, high: i32| low + random.below((high - low) as usize) as i32;
        let emissions = (0..RESIDUES * states).map(|_| score(-400, 300)).collect();
        let transitions = (0..states)
            .map(|_| Transitions {
                match_match: score(-60, 0),
                match_insert: score(-900, -500),
                match_delete: score(-900, -500),
                insert_match: score(-300, -100),
                insert_insert: score(-300, -100),
                delete_match: score(-300, -100),
                delete_delete: score(-300, -100),
                begin: score(-700, -400),
            })
            .collect();
        let residue = random.below(RESIDUES);
        Self {
            emissions,
            transitions,
            above: vec![NOWHERE; states],
            row: vec![NOWHERE; states],
            at: 0,
            residue,
            rows_left: SEQUENCE,
            best: NEVER,
            random,
            hash: Fnv1a::default(),
        }
    }

    /// Computes the cells of this row up to state `until`.
    fn fill(&mut self, until: usize) {
        let range = self.at..until;
        let emissions = &self.emissions[self.residue * self.transitions.len()..][range.clone()];
        let (mut left, mut diagonal, mut before) = match self.at {
            0 => (NOWHERE, NOWHERE, Transitions::default()),
            at => (self.row[at - 1], self.above[at - 1], self.transitions[at - 1]),
        };
        let scores = self.transitions[range.clone()].iter().zip(emissions);
        let cells = self.row[range.clone()].iter_mut().zip(&self.above[range]);
        for ((&here, emission), (cell, &above)) in scores.zip(cells) {
            let matched = (diagonal.matched + before.match_match)
                .max(diagonal.inserted + before.insert_match)
                .max(diagonal.deleted + before.delete_match)
                .max(here.begin);
            *cell = Cell {
                matched: (matched + emission).max(NEVER),
                inserted: (above.matched + here.match_insert).max(above.inserted + here.insert_insert).max(NEVER),
                deleted: (left.matched + before.match_delete).max(left.deleted + before.delete_delete).max(NEVER),
            };
            self.best = self.best.max(cell.matched);
            (left, diagonal, before) = (*cell, above, here);
        }
        self.at = until;
    }

    fn end_row(&mut self) {
        std::mem::swap(&mut self.above, &mut self.row);
        self.at = 0;
        self.residue = self.random.below(RESIDUES);
        self.rows_left -= 1;
        if self.rows_left == 0 {
            self.hash.update_u64(self.best as u64);
            (self.rows_left, self.best) = (SEQUENCE, NEVER);
            self.above.fill(NOWHERE);
        }
    }
}

impl Kernel for Viterbi {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            let now = left.min((self.row.len() - self.at) as u64);
            self.fill(self.at + now as usize);
            left -= now;
            if self.at == self.row.len() {
                self.end_row();
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = self.hash.clone();
        for number in [self.best as u64, self.at as u64, u64::from(self.rows_left)] {
            hash.update_u64(number);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best score of a path that ends in a match, found by trying what can come before each state.
    fn best_match(model: &Viterbi, residues: &[usize], row: usize, state: usize) -> i32 {
        let states = model.transitions.len();
        let emission = model.emissions[residues[row] * states + state];
        let mut best = model.transitions[state].begin;
        if row > 0 && state > 0 {
            let before = model.transitions[state - 1];
            best = best.max(best_match(model, residues, row - 1, state - 1) + before.match_match);
            best = best.max(best_insert(model, residues, row - 1, state - 1) + before.insert_match);
            best = best.max(best_delete(model, residues, row - 1, state - 1) + before.delete_match);
        }
        best + emission
    }

    fn best_insert(model: &Viterbi, residues: &[usize], row: usize, state: usize) -> i32 {
        if row == 0 {
            return NEVER;
        }
        let here = model.transitions[state];
        let from_match = best_match(model, residues, row - 1, state) + here.match_insert;
        from_match.max(best_insert(model, residues, row - 1, state) + here.insert_insert).max(NEVER)
    }

    fn best_delete(model: &Viterbi, residues: &[usize], row: usize, state: usize) -> i32 {
        if state == 0 {
            return NEVER;
        }
        let before = model.transitions[state - 1];
        let from_match = best_match(model, residues, row, state - 1) + before.match_delete;
        from_match.max(best_delete(model, residues, row, state - 1) + before.delete_delete).max(NEVER)
    }

    #[test]
    fn rows_find_the_best_of_all_paths() {
        let states = 6;
        for seed in 0..20 {
            let mut model = Viterbi::new(136 * states, seed);
            assert_eq!(model.row.len(), states);
            let mut residues = Vec::new();
            let mut expected = NEVER;
            for row in 0..6 {
                residues.push(model.residue);
                for state in 0..states {
                    expected = expected.max(best_match(&model, &residues, row, state));
                }
                model.run(states as u64);
                assert_eq!(model.best, expected, "seed {seed}, row {row}");
            }
        }
    }
}
