//! The change predictor: a forest on signals says whether the phase changes, a chain says where to.
//!
//! # Problem
//!
//! Most quanta are like the one before, so a forecaster of labels is right by saying nothing. What it misses is written in
//! the counters themselves: they drift before a phase ends.
//!
//! # Idea
//!
//! Alcorta and Gerstlauer ("Learning-based workload phase classification and prediction using performance monitoring
//! counters", MLCAD 2021) train a classifier on raw counters. Here it answers one question, whether the coming phase is
//! another one, and a Markov chain answers where a change leads.
//!
//! They train before the run. Here nothing is known of a program before it runs, as for every other forecaster that
//! is scored beside it: the forest learns from the quanta of its own vCPU that are over, and is grown anew on a fixed schedule.
//!
//! # Terms
//!
//! - features of a quantum: the first [`SIGNALS`] signals of the last [`PAST`] quanta, newest first; the phase; the phase
//!   before this run; quanta that the run has lasted, at most [`RUN_MOST`]. A signal that was not read is taken as it was
//!   last read: a tree must get some number, and this one is no news.
//! - example: features of a quantum, and whether the next quantum was in another phase (1) or not (0).
//! - `c`: the forest's mean over its trees of the share of changes in the leaf where the features fall.
//!
//! ```text
//! observe(y):   window += (features before, y differs from last); keep the newest 512
//!               examples seen = 32, 64, 128, 256, 512, 768, ...:  grow the forest on the window
//! forecast(1):  P(stay) = 1 - c;   P(j) = c * M[i][j] / (1 - M[i][i])         M: Markov chain of this vCPU
//! forecast(h):  h - 1 more steps of M
//! ```
//!
//! Without a change in the window, or without a forest yet, the chain alone speaks.
//!
//! # Properties
//!
//! - A change that signals announce is forecast, where a chain over phases cannot.
//! - The same quanta grow the same forest: its seed is the number of forests before it.
//! - Memory is bounded by the window and by the leaves that it can fill.
//! - Cost comes in bursts: growing takes milliseconds, a quantum between takes microseconds. `docs/forecasting.md` has
//!   figures. A policy that must answer within a quantum's small share should not use this one.

use std::collections::VecDeque;

use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::markov::{Markov, TransitionCounts};
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Signals that are looked at, of those that are given.
pub const SIGNALS: usize = 3;

/// Quanta whose signals are looked at.
pub const PAST: usize = 4;

/// Longer runs look alike, in quanta.
pub const RUN_MOST: u32 = 64;

const FEATURES: usize = SIGNALS * PAST + 3;
const WINDOW: usize = 512;
/// Examples before the first forest; it is grown anew whenever they have doubled, later at every [`EVERY`].
const FIRST: u64 = 32;
const EVERY: u64 = 256;
const TREES: usize = 16;
const DEPTH_MOST: u16 = 8;
/// Features that each split chooses from.
const TRIED: usize = 5;
const LEAF_LEAST: usize = 4;
/// More than a node of a tree takes.
const NODE_BYTES: usize = 96;
/// The forest is never surer than this, so that a change is never impossible.
const DOUBT: f64 = 0.005;

type Features = [f64; FEATURES];
type Forest = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// A forest that goes on being grown anew, beside a chain that goes on learning.
#[derive(Debug)]
pub struct ChangePredictor {
    markov: Markov,
    window: VecDeque<(Features, bool)>,
    examples: u64,
    forests: u64,
    forest: Option<Forest>,
    now: Option<Now>,
}

/// Where the vCPU is.
#[derive(Debug, Clone, Copy)]
struct Now {
    phase: PhaseId,
    /// The phase before this run, its own if there was none.
    before: PhaseId,
    run: u32,
    /// Newest first.
    signals: [[f64; SIGNALS]; PAST],
}

impl Now {
    /// The first quantum.
    fn starting(seen: &Observation<'_>) -> Self {
        let signals = read(seen, [0.0; SIGNALS]);
        Self { phase: seen.phase, before: seen.phase, run: 1, signals: [signals; PAST] }
    }

    /// After another quantum.
    fn then(self, seen: &Observation<'_>) -> Self {
        let mut signals = self.signals;
        signals.rotate_right(1);
        signals[0] = read(seen, self.signals[0]);
        if seen.phase == self.phase {
            return Self { run: (self.run + 1).min(RUN_MOST), signals, ..self };
        }
        Self { phase: seen.phase, before: self.phase, run: 1, signals }
    }

    fn features(&self) -> Features {
        let mut features = [0.0; FEATURES];
        features[..SIGNALS * PAST].copy_from_slice(self.signals.as_flattened());
        let rest = [f64::from(self.phase.0), f64::from(self.before.0), f64::from(self.run)];
        features[SIGNALS * PAST..].copy_from_slice(&rest);
        features
    }
}

/// The signals of a quantum; one that was not read is as it was `before`.
fn read(seen: &Observation<'_>, before: [f64; SIGNALS]) -> [f64; SIGNALS] {
    let signal = |place: usize| seen.signals.get(place).copied().flatten().filter(|signal| signal.is_finite());
    std::array::from_fn(|place| signal(place).unwrap_or(before[place]))
}

impl ChangePredictor {
    /// A chain that starts from what training saw, and no forest yet.
    #[must_use]
    pub fn new(trained: &TransitionCounts) -> Self {
        Self {
            markov: Markov::new(trained),
            window: VecDeque::with_capacity(WINDOW),
            examples: 0,
            forests: 0,
            forest: None,
            now: None,
        }
    }

    /// Takes in whether the phase changed after `features`, and grows a forest where that is due.
    fn learn(&mut self, features: Features, changed: bool) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back((features, changed));
        self.examples += 1;
        let doubled = self.examples >= FIRST && self.examples < EVERY && self.examples.is_power_of_two();
        if doubled || self.examples.is_multiple_of(EVERY) {
            self.forest = self.grown();
            self.forests += 1;
        }
    }

    /// A forest on the window; none where all of it says the same.
    fn grown(&self) -> Option<Forest> {
        let changes = self.window.iter().filter(|(_, changed)| *changed).count();
        if changes == 0 || changes == self.window.len() {
            return None;
        }
        let rows: Vec<f64> = self.window.iter().flat_map(|(features, _)| *features).collect();
        let changed: Vec<f64> = self.window.iter().map(|(_, changed)| f64::from(u8::from(*changed))).collect();
        let examples = DenseMatrix::new(self.window.len(), FEATURES, rows, false).ok()?;
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(TREES)
            .with_max_depth(DEPTH_MOST)
            .with_min_samples_leaf(LEAF_LEAST)
            .with_m(TRIED)
            .with_seed(self.forests);
        Forest::fit(&examples, &changed, parameters).ok()
    }

    /// The probability that the coming phase is another one, by the forest.
    fn change(&self, now: &Now) -> Option<f64> {
        let row = DenseMatrix::new(1, FEATURES, now.features().to_vec(), false).ok()?;
        let answer = self.forest.as_ref()?.predict(&row).ok()?;
        answer.first().filter(|share| share.is_finite()).map(|share| share.clamp(DOUBT, 1.0 - DOUBT))
    }

    /// The distribution of the coming quantum.
    fn next(&self, now: &Now) -> Forecast {
        let mut weights = self.markov.row(now.phase);
        let own = now.phase.index();
        let leaving: f64 = weights.iter().enumerate().filter(|(phase, _)| *phase != own).map(|(_, share)| share).sum();
        if let Some(change) = self.change(now).filter(|_| leaving > 0.0) {
            weights.iter_mut().for_each(|share| *share *= change / leaving);
            weights[own] = 1.0 - change;
        }
        Forecast::from_weights(weights).unwrap_or_else(|_| Forecast::certain(now.phase, own + 1))
    }
}

impl Forecaster for ChangePredictor {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Some(before) = self.now {
            self.learn(before.features(), seen.phase != before.phase);
        }
        self.markov.observe(seen);
        self.now = Some(self.now.map_or_else(|| Now::starting(seen), |before| before.then(seen)));
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let now = self.now.as_ref()?;
        if quanta == 0 {
            return self.markov.forecast(0);
        }
        Some((1..quanta).fold(self.next(now), |ahead, _| self.markov.step(&ahead)))
    }

    fn memory_bytes(&self) -> usize {
        // A forest does not tell its size; this is the most that it can have.
        let nodes = 2 * (WINDOW / LEAF_LEAST).min(1 << DEPTH_MOST);
        let forest = if self.forest.is_some() { TREES * nodes * NODE_BYTES } else { 0 };
        let examples = self.window.capacity() * size_of::<(Features, bool)>();
        size_of::<Self>() + self.markov.memory_bytes() + examples + forest
    }
}

#[cfg(test)]
mod tests;
