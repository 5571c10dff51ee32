//! Which phase comes next: a distribution over phases at a horizon.
//!
//! Owns forecasts and the forecasters that make them, one per vCPU: which kinds there are and how each is started is in
//! [`kind`]. What a forecast phase will cost is [`crate::contention`]'s business; scoring forecasts is the harness's.

mod history;

mod one_step;

mod recent;

pub mod last_value;

pub mod majority;

pub mod markov;

pub mod markov_order;

pub mod rle_markov;

pub mod burst;

pub mod gpht;

pub mod run_length;

pub mod hidden_markov;

pub mod change;

pub mod contexts_basic;

pub mod contexts;

pub mod kind;

use serde::{Deserialize, Serialize};

use crate::counters::AddressSpace;
use crate::phases::PhaseId;

/// Probabilities of the phases 0, 1, ... at some horizon: each in [0, 1], together 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Forecast(Vec<f64>);

/// Numbers that are no distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a forecast needs weights that are finite, not negative and not all zero")]
pub struct NoDistribution;

impl Forecast {
    /// The distribution proportional to `weights`, one for each phase.
    pub fn from_weights(mut weights: Vec<f64>) -> Result<Self, NoDistribution> {
        let total: f64 = weights.iter().sum();
        if !total.is_finite() || total <= 0.0 || weights.iter().any(|weight| *weight < 0.0) {
            return Err(NoDistribution);
        }
        weights.iter_mut().for_each(|weight| *weight /= total);
        Ok(Self(weights))
    }

    /// Certainty that it will be `phase`, one of `phases`.
    #[must_use]
    pub fn certain(phase: PhaseId, phases: usize) -> Self {
        let mut weights = vec![0.0; phases.max(phase.index() + 1)];
        weights[phase.index()] = 1.0;
        Self(weights)
    }

    /// The probability of `phase`; 0 for one that the model does not have.
    #[must_use]
    pub fn probability(&self, phase: PhaseId) -> f64 {
        self.0.get(phase.index()).copied().unwrap_or(0.0)
    }

    /// The most probable phase; of several, the lowest.
    #[must_use]
    pub fn most_likely(&self) -> PhaseId {
        let mut best = PhaseId(0);
        for (phase, probability) in self.iter() {
            if probability > self.probability(best) {
                best = phase;
            }
        }
        best
    }

    /// How sure the forecast is of its most probable phase: that phase's probability.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        self.probability(self.most_likely())
    }

    /// Every phase with its probability, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PhaseId, f64)> + '_ {
        (0u32..).map(PhaseId).zip(self.0.iter().copied())
    }
}

impl TryFrom<Vec<f64>> for Forecast {
    type Error = NoDistribution;

    fn try_from(weights: Vec<f64>) -> Result<Self, Self::Error> {
        // What already sums to 1 is kept bit by bit, so that a journal reloads equal.
        let total: f64 = weights.iter().sum();
        let kept = (total - 1.0).abs() < 1e-9 && weights.iter().all(|weight| *weight >= 0.0);
        if kept { Ok(Self(weights)) } else { Self::from_weights(weights) }
    }
}

impl From<Forecast> for Vec<f64> {
    fn from(forecast: Forecast) -> Self {
        forecast.0
    }
}

/// What one quantum of a vCPU showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    /// The phase it was in.
    pub phase: PhaseId,
    /// What it retired.
    pub instructions: u64,
    /// Numbers beside the phase, such as misses per 1000 instructions: rates, in an order that the caller chooses once
    /// for the life of a forecaster, the most telling first; `None` where one was not read. May be empty. Whoever acts
    /// on forecasts gives only rates that its own actions do not change (see [`crate::features`]).
    pub signals: &'a [Option<f64>],
    /// Whose memory the vCPU saw when the quantum ended, where that is known.
    pub address_space: Option<AddressSpace>,
}

impl Observation<'_> {
    /// A quantum of which nothing is known but its phase and its work.
    #[must_use]
    pub const fn of(phase: PhaseId, instructions: u64) -> Self {
        Self { phase, instructions, signals: &[], address_space: None }
    }
}

/// Forecasts the phases of one vCPU from what it has been through.
///
/// Every implementation keeps these laws: a forecast sums to 1; the same observations give the same forecasts, bit by
/// bit; 0 quanta ahead is the last observed phase with certainty; memory stays below a bound however long the vCPU
/// runs; signals and address spaces may be absent, all or some; asking changes nothing.
///
/// Not promised: that the forecast `m + n` quanta ahead is what the one `m` ahead gives after `n` more. It holds for a chain that
/// steps its whole distribution, and cannot for one that learns every horizon by itself.
pub trait Forecaster {
    /// A quantum passed.
    fn observe(&mut self, seen: &Observation<'_>);

    /// The phase of the quantum that lies `quanta` ahead; 1 is the coming one, 0 the last observed. `None` before
    /// anything was observed.
    fn forecast(&self, quanta: u32) -> Option<Forecast>;

    /// The memory it holds for its vCPU, in bytes.
    fn memory_bytes(&self) -> usize;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_equally_likely_phases_the_lowest_is_named() {
        let forecast = Forecast::from_weights(vec![1.0, 2.0, 2.0]).expect("a distribution");
        assert_eq!(forecast.most_likely(), PhaseId(1));
    }

    #[test]
    fn weights_that_are_no_distribution_are_refused() {
        for weights in [vec![], vec![0.0, 0.0], vec![-1.0, 2.0], vec![f64::NAN], vec![f64::INFINITY, 1.0]] {
            assert_eq!(Forecast::from_weights(weights), Err(NoDistribution));
        }
    }

    proptest! {
        #[test]
        fn a_forecast_sums_to_one_and_reads_back_equal(weights in prop::collection::vec(0.001f64..100.0, 1..12)) {
            let forecast = Forecast::from_weights(weights).expect("positive");
            let total: f64 = forecast.iter().map(|(_, probability)| probability).sum();
            prop_assert!((total - 1.0).abs() < 1e-9);
            let text = serde_json::to_string(&forecast).expect("plain data");
            prop_assert_eq!(serde_json::from_str::<Forecast>(&text).expect("own text"), forecast);
        }
    }
}
