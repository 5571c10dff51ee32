//! The forecast that every other must beat: the coming phase is the present one. The whole foresight of a reactive
//! policy.

use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Forecasts the last observed phase, with certainty, at every horizon.
#[derive(Debug, Clone)]
pub struct LastValue {
    phases: usize,
    last: Option<PhaseId>,
}

impl LastValue {
    /// For a model of `phases` phases.
    #[must_use]
    pub const fn new(phases: usize) -> Self {
        Self { phases, last: None }
    }
}

impl Forecaster for LastValue {
    fn observe(&mut self, seen: &Observation<'_>) {
        self.last = Some(seen.phase);
    }

    fn forecast(&self, _quanta: u32) -> Option<Forecast> {
        self.last.map(|phase| Forecast::certain(phase, self.phases))
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_sequence_moved_by_one(path in prop::collection::vec(0u32..4, 1..200)) {
            let mut forecaster = LastValue::new(4);
            let mut named = Vec::new();
            for phase in &path {
                named.push(forecaster.forecast(1).map(|forecast| forecast.most_likely().0));
                forecaster.observe(&Observation::of(PhaseId(*phase), 1));
            }
            let moved: Vec<Option<u32>> = std::iter::once(None).chain(path.into_iter().map(Some)).collect();
            prop_assert_eq!(named, &moved[..moved.len() - 1]);
        }
    }

    #[test]
    fn the_present_goes_on_for_ever() {
        let mut forecaster = LastValue::new(3);
        assert_eq!(forecaster.forecast(1), None);
        forecaster.observe(&Observation::of(PhaseId(2), 1));
        assert_eq!(forecaster.forecast(1), Some(Forecast::certain(PhaseId(2), 3)));
        assert_eq!(forecaster.forecast(1), forecaster.forecast(16));
    }
}
