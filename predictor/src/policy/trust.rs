//! Whether a vCPU's forecasts are to be acted on: they were not worse than saying that nothing changes.
//!
//! # Method
//!
//! Each forecast is scored when the quantum it was of has passed, by its Brier score, and so is the last value known
//! when it was made. Each horizon counts by the share of time that the policy lets it stand for. Both sums decay.
//!
//! ```text
//! loss(forecast)   <- 0.98 loss(forecast)   + share(h) * |forecast made h ago - what came|^2
//! loss(last value) <- 0.98 loss(last value) + share(h) * (2 if the phase of h ago is not what came, else 0)
//! trusted = loss(forecast) <= loss(last value) + 1
//! ```
//!
//! The decay remembers about 50 quanta, so that a forecaster which rightly names the end of long phases is not distrusted
//! for the little doubt that it has within them; for the same reason it must be worse by more than a margin.
//!
//! # Properties
//!
//! One that knows no better than the last value is trusted, and one that is wrong all the time is not.
//!
//! # Reference
//!
//! Brier, "Verification of forecasts expressed in terms of probability", 1950.

use std::collections::VecDeque;

use crate::forecast::Forecast;
use crate::phases::PhaseId;

const DECAY: f64 = 0.98;
const MARGIN: f64 = 1.0;

/// How well forecasts of one vCPU did of late.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    /// What was told and when: the phase then, and one forecast for each horizon; the latest first.
    told: VecDeque<(PhaseId, Vec<Forecast>)>,
    forecasts: f64,
    last_value: f64,
}

impl Trust {
    /// `came` was seen; forecasts had been made for `points`, quanta ahead with their shares.
    pub(super) fn score(&mut self, came: PhaseId, points: &[(u32, f64)]) {
        self.forecasts *= DECAY;
        self.last_value *= DECAY;
        for (place, (quanta, share)) in points.iter().enumerate() {
            let Some((then, forecasts)) = self.told.get(*quanta as usize - 1) else { continue };
            let Some(forecast) = forecasts.get(place) else { continue };
            self.forecasts += share * brier(forecast, came);
            self.last_value += share * if *then == came { 0.0 } else { 2.0 };
        }
    }

    /// These forecasts are made now, in phase `now`; as many quanta are kept as the farthest looks ahead.
    pub(super) fn note(&mut self, now: PhaseId, forecasts: Vec<Forecast>, farthest: u32) {
        self.told.push_front((now, forecasts));
        self.told.truncate(farthest as usize);
    }

    /// The forecasts made last.
    pub(super) fn latest(&self) -> &[Forecast] {
        self.told.front().map_or(&[], |(_, forecasts)| forecasts)
    }

    pub(super) fn is_earned(&self) -> bool {
        self.forecasts <= self.last_value + MARGIN
    }
}

fn brier(forecast: &Forecast, came: PhaseId) -> f64 {
    let squares: f64 = forecast.iter().map(|(_, probability)| probability * probability).sum();
    squares - 2.0 * forecast.probability(came) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [(u32, f64); 2] = [(1, 0.5), (2, 0.5)];

    /// Trust after phases in which `tell` says the probability of the phase that comes, of three.
    fn after(quanta: u32, tell: impl Fn(u32) -> Forecast) -> Trust {
        let mut trust = Trust::default();
        for quantum in 0..quanta {
            let phase = PhaseId(quantum / 10 % 2);
            trust.score(phase, &POINTS);
            trust.note(phase, vec![tell(quantum + 1), tell(quantum + 2)], 2);
        }
        trust
    }

    #[test]
    fn who_knows_what_comes_is_trusted() {
        assert!(after(200, |quantum| Forecast::certain(PhaseId(quantum / 10 % 2), 3)).is_earned());
    }

    #[test]
    fn a_little_doubt_within_long_phases_is_forgiven() {
        let doubt = |_: u32| Forecast::from_weights(vec![0.93, 0.05, 0.02]).expect("a distribution");
        assert!(after(10, doubt).is_earned());
    }

    #[test]
    fn who_is_wrong_all_the_time_is_not_trusted_until_right_again() {
        let mut trust = after(40, |_| Forecast::certain(PhaseId(2), 3));
        assert!(!trust.is_earned());
        for _ in 0..300 {
            trust.score(PhaseId(0), &POINTS);
            trust.note(PhaseId(0), vec![Forecast::certain(PhaseId(0), 3); 2], 2);
        }
        assert!(trust.is_earned());
    }
}
