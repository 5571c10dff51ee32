//! First-order Markov: what followed this phase before, follows it again.
//!
//! # Method
//!
//! `n[i][j]` counts quanta in phase `i` that were followed by one in phase `j`. Then
//!
//! ```text
//! P(j | i) = (n[i][j] + s * b[i][j]) / (sum over j of n[i][j] + s)
//! ```
//!
//! with one pseudo-count `s` spread as `b`: mostly on staying ([`STAY_PRIOR`]), the rest evenly over the other phases,
//! so that a phase never seen before is expected to last. A horizon of `h` quanta is `h` steps of the matrix, so `m + n`
//! quanta ahead is `m` and then `n`.
//!
//! Counts from training enter as a prior whose row weighs at most [`PRIOR_WEIGHT`] quanta; each vCPU then adds its own.
//!
//! A phase that lasts several quanta has P(stay) above one half, so this chain never calls a change before it happens.
//! It says how likely changes are and where they lead; *when* is for [`super::run_length`].

use serde::{Deserialize, Serialize};

use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Share of the pseudo-count that goes to staying in the phase.
pub const STAY_PRIOR: f64 = 0.9;

/// Most that a row of trained counts weighs against a vCPU's own, in quanta.
pub const PRIOR_WEIGHT: f64 = 32.0;

/// How often each phase was followed by each, in quanta: `k` rows of `k` counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransitionCounts(pub Vec<Vec<f64>>);

impl TransitionCounts {
    /// Nothing seen yet, for `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self(vec![vec![0.0; phases]; phases])
    }

    /// One quantum in `from` was followed by one in `to`.
    pub fn record(&mut self, from: PhaseId, to: PhaseId) {
        self.0[from.index()][to.index()] += 1.0;
    }

    /// The same shares, no row weighing more than `most` quanta.
    #[must_use]
    pub fn weighing_at_most(&self, most: f64) -> Self {
        let row = |counts: &Vec<f64>| {
            let total: f64 = counts.iter().sum();
            let factor = if total > most { most / total } else { 1.0 };
            counts.iter().map(|count| count * factor).collect()
        };
        Self(self.0.iter().map(row).collect())
    }

    /// What the counts take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.iter().map(|row| size_of_val(row) + size_of_val(row.as_slice())).sum()
    }

    /// P(j | i) for each j; `from` is i.
    #[must_use]
    pub fn row(&self, from: PhaseId) -> Vec<f64> {
        let counts = &self.0[from.index()];
        let total = counts.iter().sum::<f64>() + 1.0;
        let others = counts.len().saturating_sub(1) as f64;
        let pseudo = |to: usize| match (to == from.index(), others > 0.0) {
            (true, true) => STAY_PRIOR,
            (true, false) => 1.0,
            (false, _) => (1.0 - STAY_PRIOR) / others,
        };
        counts.iter().enumerate().map(|(to, count)| (count + pseudo(to)) / total).collect()
    }
}

/// A first-order Markov chain that goes on learning.
#[derive(Debug, Clone)]
pub struct Markov {
    counts: TransitionCounts,
    last: Option<PhaseId>,
}

impl Markov {
    /// Starts from what training saw.
    #[must_use]
    pub fn new(trained: &TransitionCounts) -> Self {
        Self { counts: trained.weighing_at_most(PRIOR_WEIGHT), last: None }
    }

    /// P(j | i) for each j, with all that was learned so far.
    #[must_use]
    pub fn row(&self, from: PhaseId) -> Vec<f64> {
        self.counts.row(from)
    }

    /// The distribution one quantum after `now`.
    #[must_use]
    pub fn step(&self, now: &Forecast) -> Forecast {
        let mut next = vec![0.0; self.counts.0.len()];
        for (phase, probability) in now.iter().filter(|(_, probability)| *probability > 0.0) {
            for (slot, share) in next.iter_mut().zip(self.row(phase)) {
                *slot += probability * share;
            }
        }
        Forecast::from_weights(next).unwrap_or_else(|_| now.clone())
    }
}

impl Forecaster for Markov {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Some(last) = self.last {
            self.counts.record(last, seen.phase);
        }
        self.last = Some(seen.phase);
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let now = Forecast::certain(self.last?, self.counts.0.len());
        Some((0..quanta).fold(now, |now, _| self.step(&now)))
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taught(path: &[u32], phases: usize) -> Markov {
        let mut markov = Markov::new(&TransitionCounts::new(phases));
        path.iter().for_each(|phase| markov.observe(&Observation::of(PhaseId(*phase), 1)));
        markov
    }

    #[test]
    fn a_phase_never_seen_is_expected_to_last() {
        let markov = taught(&[2], 4);
        assert_eq!(markov.forecast(1).expect("observed").most_likely(), PhaseId(2));
    }

    #[test]
    fn a_single_phase_is_certain() {
        assert_eq!(taught(&[0, 0], 1).forecast(3), Some(Forecast::certain(PhaseId(0), 1)));
    }

    #[test]
    fn long_phases_are_never_called_to_end() {
        let path: Vec<u32> = (0..60).map(|quantum| (quantum / 3) % 2).collect();
        for end in 1..path.len() {
            let forecast = taught(&path[..end], 2).forecast(1).expect("observed");
            assert_eq!(forecast.most_likely(), PhaseId(path[end - 1]), "after {end} quanta");
        }
    }

    #[test]
    fn what_a_vcpu_does_outweighs_what_training_saw() {
        let mut trained = TransitionCounts::new(2);
        (0..1000).for_each(|_| trained.record(PhaseId(0), PhaseId(0)));
        let mut markov = Markov::new(&trained);
        for quantum in 0..120u32 {
            markov.observe(&Observation::of(PhaseId(quantum % 2), 1));
        }
        markov.observe(&Observation::of(PhaseId(0), 1));
        assert_eq!(markov.forecast(1).expect("observed").most_likely(), PhaseId(1));
    }

    proptest! {
        #[test]
        fn m_plus_n_quanta_ahead_is_m_and_then_n(
            path in prop::collection::vec(0u32..4, 2..60), m in 0u32..8, n in 0u32..8
        ) {
            let markov = taught(&path, 4);
            let direct = markov.forecast(m + n).expect("observed");
            let staged = (0..n).fold(markov.forecast(m).expect("observed"), |now, _| markov.step(&now));
            for (phase, probability) in direct.iter() {
                prop_assert!((probability - staged.probability(phase)).abs() < 1e-9);
            }
        }
    }
}
