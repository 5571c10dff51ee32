//! One forecaster on one series, online: at each interval it forecasts, then the interval comes and it learns.
//!
//! Interval `t` is forecast `h` ahead from what was seen up to and including interval `t - h`. So with `n` labelled intervals
//! `n - h` forecasts are scored; the first is made after one observation.

use std::collections::VecDeque;

use predictor::forecast::{Forecast, Forecaster, Observation};
use predictor::phases::PhaseId;

use super::measures::{LENGTH_CLASSES, Outcome, length_class};
use super::series::Interval;

/// What came of one forecaster on one series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluated {
    /// For each horizon asked for, the outcomes in order of time.
    pub outcomes: Vec<Vec<Outcome>>,
    /// For each run that was seen from begin to end, the classes of its expected and of its actual length.
    pub lengths: Vec<(u32, u32)>,
    /// Most memory that it held, in bytes.
    pub memory_bytes: usize,
}

/// Runs `forecaster` over the intervals that have a label.
#[must_use]
pub fn evaluate(
    intervals: &[Interval],
    labels: &[Option<PhaseId>],
    horizons: &[u32],
    forecaster: &mut dyn Forecaster,
) -> Evaluated {
    let mut evaluated = Evaluated { outcomes: vec![Vec::new(); horizons.len()], ..Evaluated::default() };
    let mut pending: Vec<VecDeque<(PhaseId, Option<Forecast>)>> = vec![VecDeque::new(); horizons.len()];
    let mut run = Run::default();
    for (interval, label) in intervals.iter().zip(labels) {
        let Some(phase) = *label else { continue };
        for ((pending, outcomes), horizon) in pending.iter_mut().zip(&mut evaluated.outcomes).zip(horizons) {
            if pending.len() < *horizon as usize {
                continue;
            }
            if let Some((known, Some(forecast))) = pending.pop_front() {
                outcomes.push(Outcome::of(interval.row, known, &forecast, phase));
            }
        }
        evaluated.lengths.extend(run.go_on(phase));
        let address_space = interval.sample.address_space;
        let seen =
            Observation { address_space, signals: &interval.signals, ..Observation::of(phase, interval.instructions) };
        forecaster.observe(&seen);
        for (pending, horizon) in pending.iter_mut().zip(horizons) {
            pending.push_back((phase, forecaster.forecast(*horizon)));
        }
        if run.length == 1 {
            run.expected = Some(expected_class(forecaster, phase));
        }
    }
    evaluated.memory_bytes = forecaster.memory_bytes();
    evaluated
}

/// The class of length of the run that began just now: the first horizon of 1, 2, 4, ... at which another phase is likelier.
fn expected_class(forecaster: &dyn Forecaster, phase: PhaseId) -> u32 {
    let ends = |class: &u32| {
        let forecast = forecaster.forecast(1 << class);
        forecast.is_some_and(|forecast| forecast.most_likely() != phase)
    };
    (0..LENGTH_CLASSES - 1).find(ends).unwrap_or(LENGTH_CLASSES - 1)
}

/// The run that goes on.
#[derive(Debug, Default)]
struct Run {
    phase: Option<PhaseId>,
    length: usize,
    /// Whether it is the first: nobody saw where that began.
    is_first: bool,
    expected: Option<u32>,
}

impl Run {
    /// An interval in `phase` came. Answers the classes of the run that ended with it, if one did.
    fn go_on(&mut self, phase: PhaseId) -> Option<(u32, u32)> {
        if self.phase == Some(phase) {
            self.length += 1;
            return None;
        }
        let is_first = self.phase.is_none();
        let ended =
            if self.is_first { None } else { self.expected.take().map(|class| (class, length_class(self.length))) };
        *self = Self { phase: Some(phase), length: 1, is_first, expected: None };
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use predictor::counters::{GuestId, Readings, Sample, VcpuId};
    use predictor::forecast::last_value::LastValue;
    use predictor::topology::DomainId;

    use super::*;

    fn interval(row: usize) -> Interval {
        let sample = Sample {
            vcpu: VcpuId { guest: GuestId(0), index: 0 },
            domain: DomainId(0),
            elapsed: Duration::ZERO,
            readings: Readings::default(),
            address_space: None,
            truth: None,
        };
        Interval { row, instructions: 1, signals: [None; 3], sample }
    }

    fn on(labels: &[Option<u32>], horizons: &[u32]) -> Evaluated {
        let intervals: Vec<Interval> = (0..labels.len()).map(interval).collect();
        let labels: Vec<Option<PhaseId>> = labels.iter().map(|label| label.map(PhaseId)).collect();
        evaluate(&intervals, &labels, horizons, &mut LastValue::new(3))
    }

    #[test]
    fn each_horizon_scores_all_but_its_first_intervals() {
        let evaluated = on(&[Some(0), Some(1), Some(1), Some(2)], &[1, 2]);
        let rows = |place: usize| -> Vec<_> {
            evaluated.outcomes[place]
                .iter()
                .map(|outcome| (outcome.row, outcome.forecast.0, outcome.actual.0))
                .collect()
        };
        assert_eq!(rows(0), [(1, 0, 1), (2, 1, 1), (3, 1, 2)]);
        assert_eq!(rows(1), [(2, 0, 1), (3, 1, 2)]);
    }

    #[test]
    fn intervals_without_a_phase_are_passed_over_and_rows_keep_their_numbers() {
        let evaluated = on(&[None, Some(0), None, Some(0)], &[1]);
        assert_eq!(evaluated.outcomes[0].iter().map(|outcome| outcome.row).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn only_runs_seen_from_begin_to_end_have_a_length() {
        let labels: Vec<Option<u32>> = [0, 0, 1, 1, 1, 2, 2].map(Some).to_vec();
        // Last value expects every run to last; the one of 1 lasted three intervals.
        assert_eq!(on(&labels, &[1]).lengths, [(5, 2)]);
    }
}
