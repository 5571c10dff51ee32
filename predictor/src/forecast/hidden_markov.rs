//! Hidden Markov: phases as noisy signs of states that nobody sees.
//!
//! # Problem
//!
//! A counter near the edge of a bin, or between two clusters, changes its phase at random. A chain over phases takes each
//! such change for the start of something. And one phase can stand at two places of a program, with different sequels.
//!
//! # Idea
//!
//! States follow each other as a chain; each shows phases with probabilities of its own. What was seen gives a distribution
//! over states (the forward filter), the chain moves it ahead, and states say what will show.
//!
//! ```text
//! observe(y):      p = (p A) * E[.][y], scaled to sum 1
//! forecast(h):     P(y) = sum over states of (p A^h)[s] E[s][y]
//! each 64 quanta:  expected moves and showings of the block, by forward and backward;
//!                  counts = 0.98 counts + these;  A, E = counts and pseudo-counts, scaled
//! ```
//!
//! A phase gets its states when it is first seen: two where there are at most 16 phases, one expected to last and one
//! expected to end, else one; at most 32 states in all. Which of the two is come to from where leans one way or the other
//! from the start, or learning would never tell them apart. What a state is expected to show is mostly its phase
//! ([`OWN_SHARE`]). A phase beyond the 32 has no state, and is taken as noise.
//!
//! # Properties
//!
//! - Memory is constant: the block, the counts, the chain.
//! - A horizon of `h` is `h` steps of the chain: `m + n` quanta ahead is `m` and then `n`.
//! - The filter agrees with adding up every path.
//!
//! # References
//!
//! Rabiner, Proc. IEEE 1989; learning block by block with fading counts follows Cappe, J. Comp. Graph. Stat. 2011 in
//! spirit, not in its exact recursion.
//!
//! [`gaussian`] has the same for real numbers, trained over whole sequences.

mod chain;

pub mod gaussian;

use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;
use crate::simd::Lanes;
use chain::Chain;

/// Share of a state's showings that is expected to be its own phase, before anything was learned.
pub const OWN_SHARE: f64 = 0.95;

const STATES_MOST: usize = 32;
const BLOCK: usize = 64;
const DECAY: f64 = 0.98;
/// Pseudo-counts of a state's showings and moves, in quanta.
const PRIOR_WEIGHT: f64 = 2.0;
/// Expected share of staying, of the first and the second state of a phase.
const STAY: [f64; 2] = [0.9, 0.1];
/// Weights of one and the other state of a phase among the moves expected from elsewhere.
const LEAN: [f64; 2] = [1.5, 0.5];

type Row = [f64; STATES_MOST];

/// A hidden Markov model of one vCPU's phases that goes on learning.
#[derive(Debug, Clone)]
pub struct HiddenMarkov {
    phases: usize,
    states_per_phase: usize,
    /// The phase of each state there is.
    owners: Vec<PhaseId>,
    chain: Chain<STATES_MOST>,
    /// For each phase, the probability that each state shows it.
    shows: Vec<Row>,
    moves: Box<[Row]>,
    showings: Vec<Row>,
    /// States after the last block, before the first of this one; and the phases since.
    before: Row,
    block: Vec<PhaseId>,
    now: Row,
    last: Option<PhaseId>,
    lanes: Lanes,
}

impl HiddenMarkov {
    /// Nothing seen yet, of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        let nothing = vec![[0.0; STATES_MOST]; STATES_MOST].into_boxed_slice();
        Self {
            phases,
            states_per_phase: if phases * 2 <= STATES_MOST { 2 } else { 1 },
            owners: Vec::with_capacity(STATES_MOST),
            chain: Chain::new([0.0; STATES_MOST], nothing.clone()),
            shows: vec![[0.0; STATES_MOST]; phases],
            moves: nothing,
            showings: vec![[0.0; STATES_MOST]; phases],
            before: [0.0; STATES_MOST],
            block: Vec::with_capacity(BLOCK),
            now: [0.0; STATES_MOST],
            last: None,
            lanes: Lanes::widest(),
        }
    }

    /// Gives `phase` its states, where there is room; whether it did.
    fn welcome(&mut self, phase: PhaseId) -> bool {
        if self.owners.contains(&phase) || self.owners.len() + self.states_per_phase > STATES_MOST {
            return false;
        }
        let first = self.owners.len();
        self.owners.extend(std::iter::repeat_n(phase, self.states_per_phase));
        // The sign is unmistakable: it is one of these.
        self.now = [0.0; STATES_MOST];
        self.now[first..self.owners.len()].fill(1.0 / self.states_per_phase as f64);
        self.estimate();
        true
    }

    /// Probabilities from counts and pseudo-counts.
    fn estimate(&mut self) {
        let states = self.owners.len();
        let mut totals = [PRIOR_WEIGHT; STATES_MOST];
        for row in &self.showings {
            totals.iter_mut().zip(row).for_each(|(total, count)| *total += count);
        }
        let noise = PRIOR_WEIGHT * (1.0 - OWN_SHARE) / self.phases as f64;
        for (phase, (shows, counts)) in self.shows.iter_mut().zip(&self.showings).enumerate() {
            for (state, owner) in self.owners.iter().enumerate() {
                let own = if owner.index() == phase { PRIOR_WEIGHT * OWN_SHARE } else { 0.0 };
                shows[state] = (counts[state] + noise + own) / totals[state];
            }
        }
        for from in 0..states {
            let stay = if states > 1 { STAY[from % self.states_per_phase] } else { 1.0 };
            let others = (states - 1).max(1) as f64;
            // Which state of a phase is the likelier to come to differs between phases as by a coin, or learning would keep
            // both alike.
            let lean = ((from / self.states_per_phase) as u32).wrapping_mul(2_654_435_761) as usize >> 9;
            let mut row = self.moves[from];
            for (to, count) in row[..states].iter_mut().enumerate() {
                let other = LEAN[(lean ^ to) & (self.states_per_phase - 1)] / others;
                *count += PRIOR_WEIGHT * if to == from { stay } else { (1.0 - stay) * other };
            }
            let total: f64 = row.iter().sum();
            self.chain.set(from, row.map(|count| count / total));
        }
        self.chain.transpose();
    }

    /// Learns from the block, and starts the next.
    fn learn(&mut self) {
        self.chain.start = self.chain.step(&self.before);
        if self.chain.start.iter().all(|share| *share == 0.0) {
            // Before the first block no state is likelier than another.
            self.chain.start[..self.owners.len()].fill(1.0 / self.owners.len() as f64);
        }
        let mut shares: Vec<Row> = self.block.iter().map(|phase| self.shows[phase.index()]).collect();
        let expected = self.chain.expect(&mut shares, self.lanes);
        for row in self.moves.iter_mut().chain(&mut self.showings) {
            row.iter_mut().for_each(|count| *count *= DECAY);
        }
        for (row, moves) in self.moves.iter_mut().zip(&expected.moves) {
            row.iter_mut().zip(moves).for_each(|(count, expected)| *count += expected);
        }
        for (phase, shares) in self.block.iter().zip(&shares) {
            let row = &mut self.showings[phase.index()];
            row.iter_mut().zip(shares).for_each(|(count, share)| *count += share);
        }
        self.estimate();
        self.before = self.now;
        self.block.clear();
    }

    /// States `quanta` steps after the last observation.
    fn ahead(&self, quanta: u32) -> Row {
        (0..quanta).fold(self.now, |now, _| self.chain.step(&now))
    }
}

impl Forecaster for HiddenMarkov {
    fn observe(&mut self, seen: &Observation<'_>) {
        let phase = seen.phase;
        if !self.welcome(phase) {
            let mut now = self.chain.step(&self.now);
            now.iter_mut().zip(&self.shows[phase.index()]).for_each(|(share, likelihood)| *share *= likelihood);
            let total: f64 = now.iter().sum();
            self.now = now.map(|share| share / total);
        }
        self.last = Some(phase);
        self.block.push(phase);
        if self.block.len() == BLOCK {
            self.learn();
        }
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.last?;
        let certain = Forecast::certain(last, self.phases);
        if quanta == 0 {
            return Some(certain);
        }
        let states = self.ahead(quanta);
        let weight = |shows: &Row| shows.iter().zip(&states).map(|(shows, share)| shows * share).sum();
        Some(Forecast::from_weights(self.shows.iter().map(weight).collect()).unwrap_or(certain))
    }

    fn memory_bytes(&self) -> usize {
        let rows = self.shows.capacity() + self.showings.capacity() + 3 * STATES_MOST;
        let phases = self.owners.capacity() + self.block.capacity();
        size_of::<Self>() + rows * size_of::<Row>() + phases * size_of::<PhaseId>()
    }
}

#[cfg(test)]
mod tests;
