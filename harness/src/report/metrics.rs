//! What an experiment's numbers come to.
//!
//! **Slowdown at equal work.** A guest's position is counted in instructions since it began, so the same position is
//! the same work alone and in the mix, restarts of its program included. Slowdown is the time the mix took for a span
//! of work over the time the guest took alone for the same span; 1 means undisturbed. The span is the longest that
//! both runs completed, from the start; times between two quanta are interpolated linearly.
//!
//! **System scores** after Eyerman and Eeckhout, "System-level performance metrics for multiprogram workloads"
//! (IEEE Micro 28(3), 2008): system throughput (STP) is the sum of 1/slowdown, the number of guests' worth of work
//! done at once; average normalised turnaround time (ANTT) is the mean slowdown. Harmonic speedup (Luo, Gummaraju,
//! Franklin, ISPASS 2001) is the harmonic mean of 1/slowdown, which is 1/ANTT. Unfairness is told twice: largest over
//! smallest slowdown, and their standard deviation over their mean.
//!
//! **Forecasts** are scored on the quanta for which a forecast was made and a phase was seen afterwards, beside the
//! simplest rival, which says that nothing changes (last value). On quanta at which the phase did change, last value
//! is wrong by definition.

mod agreement;
mod forecasts;
mod slowdown;

pub use agreement::{best_mapping, truth_agreement, work_agreement};
pub use forecasts::ForecastScore;
pub use slowdown::{Progress, slowdown};

use super::collected::{Collected, Run};

/// System scores of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Sum of 1/slowdown: between 0 and the number of guests.
    pub stp: f64,
    /// Mean slowdown.
    pub antt: f64,
    /// Harmonic mean of 1/slowdown.
    pub harmonic_speedup: f64,
    /// Largest slowdown over the smallest.
    pub unfairness_ratio: f64,
    /// Standard deviation of slowdowns over their mean.
    pub unfairness_deviation: f64,
    /// The largest slowdown.
    pub worst_slowdown: f64,
}

impl Scores {
    /// The scores of a mix with these slowdowns; `None` without any, or if one is no positive number.
    #[must_use]
    pub fn of(slowdowns: &[f64]) -> Option<Self> {
        if slowdowns.is_empty() || slowdowns.iter().any(|slowdown| !slowdown.is_finite() || *slowdown <= 0.0) {
            return None;
        }
        let count = slowdowns.len() as f64;
        let antt = slowdowns.iter().sum::<f64>() / count;
        let variance = slowdowns.iter().map(|slowdown| (slowdown - antt).powi(2)).sum::<f64>() / count;
        let worst_slowdown = slowdowns.iter().copied().fold(f64::MIN, f64::max);
        let least = slowdowns.iter().copied().fold(f64::MAX, f64::min);
        Some(Self {
            stp: slowdowns.iter().map(|slowdown| slowdown.recip()).sum(),
            antt,
            harmonic_speedup: antt.recip(),
            unfairness_ratio: worst_slowdown / least,
            unfairness_deviation: variance.sqrt() / antt,
            worst_slowdown,
        })
    }
}

/// A number over repeated runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Over all runs.
    pub mean: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// How many runs.
    pub runs: usize,
}

impl Spread {
    /// Of `values`; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        (!values.is_empty()).then(|| Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            least: values.iter().copied().fold(f64::MAX, f64::min),
            most: values.iter().copied().fold(f64::MIN, f64::max),
            runs: values.len(),
        })
    }

    /// From the smallest to the largest.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.most - self.least
    }
}

/// The slowdown of each guest in `run`, in the order of the guests; absent where instructions were not counted.
#[must_use]
pub fn slowdowns(collected: &Collected, run: &Run) -> Vec<Option<f64>> {
    collected.solo.iter().zip(&run.series).map(|(solo, mix)| slowdown(solo, mix)).collect()
}

/// The scores of `run`; `None` if one guest's slowdown is not known.
#[must_use]
pub fn scores(collected: &Collected, run: &Run) -> Option<Scores> {
    Scores::of(&slowdowns(collected, run).into_iter().collect::<Option<Vec<_>>>()?)
}

/// How the last of two policies compares with the first, judged by STP over all their runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It was better, by more than repeated runs of either differ.
    Better,
    /// It was worse, by more than repeated runs of either differ.
    Worse,
    /// The difference is no larger than the spread of repeated runs, or smaller than 0.5 %.
    NoDifference,
}

/// Smallest difference worth a word, as a share: repeated runs of one policy may happen to agree exactly.
const LEAST_DIFFERENCE: f64 = 0.005;

/// Compares `candidate` with `yardstick`.
#[must_use]
pub fn compare(candidate: Spread, yardstick: Spread) -> Comparison {
    let noise = candidate.width().max(yardstick.width()).max(LEAST_DIFFERENCE * yardstick.mean);
    let difference = candidate.mean - yardstick.mean;
    if difference > noise {
        Comparison::Better
    } else if difference < -noise {
        Comparison::Worse
    } else {
        Comparison::NoDifference
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(values: &[f64]) -> Spread {
        Spread::of(values).expect("not empty")
    }

    #[test]
    fn undisturbed_guests_score_one_each() {
        let scores = Scores::of(&[1.0; 4]).expect("sound");
        assert_eq!(
            (scores.stp, scores.antt, scores.unfairness_ratio, scores.unfairness_deviation),
            (4.0, 1.0, 1.0, 0.0)
        );
    }

    #[test]
    fn one_guest_at_half_speed_costs_half_a_guest_of_throughput() {
        let scores = Scores::of(&[1.0, 2.0]).expect("sound");
        assert_eq!((scores.stp, scores.antt, scores.worst_slowdown, scores.unfairness_ratio), (1.5, 1.5, 2.0, 2.0));
        assert!((scores.unfairness_deviation - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_slowdown_makes_no_score_up() {
        assert_eq!(Scores::of(&[]), None);
        assert_eq!(Scores::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_difference_within_the_spread_of_repeats_is_none() {
        assert_eq!(compare(spread(&[3.0, 3.2]), spread(&[3.0, 3.05])), Comparison::NoDifference);
        assert_eq!(compare(spread(&[3.3, 3.35]), spread(&[3.0, 3.05])), Comparison::Better);
        assert_eq!(compare(spread(&[2.0]), spread(&[3.0])), Comparison::Worse);
        assert_eq!(compare(spread(&[3.0001]), spread(&[3.0])), Comparison::NoDifference);
    }

    proptest! {
        #[test]
        fn throughput_never_exceeds_the_guests_where_nobody_gains(slowdowns in prop::collection::vec(1.0..50.0f64, 1..9)) {
            let scores = Scores::of(&slowdowns).expect("positive");
            prop_assert!(scores.stp <= slowdowns.len() as f64 + 1e-9);
            prop_assert!(scores.antt <= scores.worst_slowdown + 1e-9);
            prop_assert!((scores.harmonic_speedup * scores.antt - 1.0).abs() < 1e-9);
        }
    }
}
