//! The phase that the vCPU was in most often so far, whatever it is in now: what a forecaster without memory can do.

use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Forecasts each phase with its share of all quanta so far, at every horizon.
#[derive(Debug, Clone)]
pub struct Majority {
    quanta: Vec<f64>,
    last: Option<PhaseId>,
}

impl Majority {
    /// For a model of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self { quanta: vec![0.0; phases], last: None }
    }
}

impl Forecaster for Majority {
    fn observe(&mut self, seen: &Observation<'_>) {
        self.quanta[seen.phase.index()] += 1.0;
        self.last = Some(seen.phase);
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        match quanta {
            0 => Some(Forecast::certain(self.last?, self.quanta.len())),
            _ => Forecast::from_weights(self.quanta.clone()).ok(),
        }
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.quanta.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_quanta_so_far() {
        let mut forecaster = Majority::new(3);
        assert_eq!(forecaster.forecast(1), None);
        [2, 2, 0, 2].iter().for_each(|phase| forecaster.observe(&Observation::of(PhaseId(*phase), 1)));
        let forecast = forecaster.forecast(4).expect("observed");
        assert_eq!(Vec::from(forecast), [0.25, 0.0, 0.75]);
    }
}
