//! How a forecaster that only knows one step says several, and how one that names a phase says how sure it is.
//!
//! Owns iteration ([`iterate`]) and measured confidence ([`Trust`]).
//!
//! # Several quanta ahead
//!
//! ```text
//! state <- where the vCPU is
//! repeat quanta - 1 times:  state <- state advanced by the most likely phase of next(state)
//! answer next(state)
//! ```
//!
//! What was learned stays as it is: nobody learns from its own guesses.

use super::Forecast;
use crate::phases::PhaseId;

/// A forecaster of one step, apart from what it has learned.
pub(super) trait OneStep {
    /// Where a vCPU is, as far as the forecast depends on it.
    type State: Clone;

    /// The distribution of the quantum after `state`.
    fn next(&self, state: &Self::State) -> Forecast;

    /// Where the vCPU will be after another quantum in `phase`.
    fn advance(&self, state: &Self::State, phase: PhaseId) -> Self::State;
}

/// The distribution `quanta` after `state`, in which the vCPU was in `last`, one of `phases`.
pub(super) fn iterate<S: OneStep>(step: &S, state: &S::State, last: PhaseId, phases: usize, quanta: u32) -> Forecast {
    if quanta == 0 {
        return Forecast::certain(last, phases);
    }
    let mut state = state.clone();
    for _ in 1..quanta {
        state = step.advance(&state, step.next(&state).most_likely());
    }
    step.next(&state)
}

/// How often what was named came true.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Trust {
    right: f64,
    named: f64,
}

impl Trust {
    /// Takes in one outcome.
    pub(super) fn learn(&mut self, right: bool) {
        self.right += f64::from(u8::from(right));
        self.named += 1.0;
    }

    /// The distribution that names `phase`: with the share of right namings so far (Laplace's rule), the rest spread
    /// evenly over the others. `phase` always stays the most likely one, or the forecaster would not be the published
    /// one any more.
    pub(super) fn forecast(self, phase: PhaseId, phases: usize) -> Forecast {
        let phases = phases.max(phase.index() + 1);
        if phases == 1 {
            return Forecast::certain(phase, 1);
        }
        let even = 1.0 / phases as f64;
        let share = ((self.right + 1.0) / (self.named + 2.0)).max(even * 1.01);
        let mut weights = vec![(1.0 - share) / (phases as f64 - 1.0); phases];
        weights[phase.index()] = share;
        Forecast::from_weights(weights).unwrap_or_else(|_| Forecast::certain(phase, phases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_right_three_times_in_four_says_so() {
        let mut trust = Trust::default();
        (0..398).for_each(|turn| trust.learn(turn % 4 != 0));
        let forecast = trust.forecast(PhaseId(1), 3);
        assert!((forecast.probability(PhaseId(1)) - 0.75).abs() < 0.01);
        assert_eq!(forecast.probability(PhaseId(0)), forecast.probability(PhaseId(2)));
    }

    #[test]
    fn who_is_always_wrong_still_names_its_phase() {
        let mut trust = Trust::default();
        (0..1000).for_each(|_| trust.learn(false));
        assert_eq!(trust.forecast(PhaseId(3), 5).most_likely(), PhaseId(3));
    }
}
