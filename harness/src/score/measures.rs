//! What a list of forecasts and of what came is worth: every score as a pure function. `docs/scores.md` defines them.
//!
//! A score that the list cannot have is `None`, never 0: accuracy on changes where nothing changed, precision where no
//! change was forecast.

use predictor::forecast::Forecast;
use predictor::phases::PhaseId;

/// Probabilities below this count as this in the log loss, or one forecast that was sure and wrong would cost all.
pub const LEAST_PROBABILITY: f64 = 1e-6;

/// The share of intervals that [`Scores::accuracy_at_coverage_80`] looks at.
pub const COVERAGE: f64 = 0.8;

/// Bins of confidence in the calibration error, of equal width.
pub const CONFIDENCE_BINS: usize = 10;

/// One forecast and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The interval that was forecast, by its row in the recording.
    pub row: usize,
    /// The last phase that was known when the forecast was made.
    pub known: PhaseId,
    /// The phase that was forecast: the most likely one.
    pub forecast: PhaseId,
    /// Its probability.
    pub confidence: f64,
    /// The probability of the phase that came.
    pub probability: f64,
    /// The sum of all squared probabilities.
    pub concentration: f64,
    /// The phase that came.
    pub actual: PhaseId,
}

impl Outcome {
    /// What `forecast`, made when `known` was the last phase, was worth when `actual` came.
    #[must_use]
    pub fn of(row: usize, known: PhaseId, forecast: &Forecast, actual: PhaseId) -> Self {
        let likely = forecast.most_likely();
        Self {
            row,
            known,
            forecast: likely,
            confidence: forecast.probability(likely),
            probability: forecast.probability(actual),
            concentration: forecast.iter().map(|(_, probability)| probability * probability).sum(),
            actual,
        }
    }

    /// Whether the phase came that was forecast.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.forecast == self.actual
    }

    fn is_change(&self) -> bool {
        self.actual != self.known
    }

    fn is_forecast_change(&self) -> bool {
        self.forecast != self.known
    }
}

/// Every score of one forecaster on one series at one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Share of forecasts that came true.
    pub accuracy: Option<f64>,
    /// The same of last value, on the same intervals.
    pub last_value_accuracy: Option<f64>,
    /// Mispredictions as a share of those of last value.
    pub misprediction_ratio: Option<f64>,
    /// Accuracy where the phase was another than the last known.
    pub change_accuracy: Option<f64>,
    /// Share of forecast changes that a change matches.
    pub change_precision: Option<f64>,
    /// Share of changes that a forecast one matches.
    pub change_recall: Option<f64>,
    /// The harmonic mean of the two.
    pub change_f1: Option<f64>,
    /// Intervals from the moment when a matched change was forecast to the change, in the mean.
    pub lead_time_intervals: Option<f64>,
    /// Accuracy on the most confident 80 %.
    pub accuracy_at_coverage_80: Option<f64>,
    /// Mean of -ln of the probability of what came, in nats.
    pub log_loss: Option<f64>,
    /// Mean squared distance between the forecast and what came, in [0, 2].
    pub brier: Option<f64>,
    /// Mean distance between confidence and accuracy, over bins of confidence.
    pub calibration_error: Option<f64>,
    /// Mean distance between the forecast and the actual length of a run, in doublings.
    pub duration_error_doublings: Option<f64>,
}

/// A score's name in JSON and tables, and where it stands.
pub type Field = (&'static str, fn(&Scores) -> Option<f64>);

impl Scores {
    /// Every score with its name, in the order of tables.
    pub const FIELDS: [Field; 13] = [
        ("accuracy", |scores| scores.accuracy),
        ("last_value_accuracy", |scores| scores.last_value_accuracy),
        ("misprediction_ratio", |scores| scores.misprediction_ratio),
        ("change_accuracy", |scores| scores.change_accuracy),
        ("change_precision", |scores| scores.change_precision),
        ("change_recall", |scores| scores.change_recall),
        ("change_f1", |scores| scores.change_f1),
        ("lead_time_intervals", |scores| scores.lead_time_intervals),
        ("accuracy_at_coverage_80", |scores| scores.accuracy_at_coverage_80),
        ("log_loss", |scores| scores.log_loss),
        ("brier", |scores| scores.brier),
        ("calibration_error", |scores| scores.calibration_error),
        ("duration_error_doublings", |scores| scores.duration_error_doublings),
    ];

    /// The scores of `outcomes`, which stand in the order of time, forecast `horizon` intervals ahead. Changes match within
    /// `tolerance` intervals.
    #[must_use]
    pub fn of(outcomes: &[Outcome], horizon: usize, tolerance: usize) -> Self {
        let mean = |value: &dyn Fn(&Outcome) -> f64| share(outcomes.iter().map(value).sum(), outcomes.len());
        let hit = |outcome: &Outcome| f64::from(u8::from(outcome.is_hit()));
        let accuracy = mean(&hit);
        let last_value_accuracy = mean(&|outcome| f64::from(u8::from(!outcome.is_change())));
        let changes: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.is_change()).collect();
        let matched = Matches::of(outcomes, tolerance);
        Self {
            accuracy,
            last_value_accuracy,
            misprediction_ratio: misprediction_ratio(accuracy, last_value_accuracy),
            change_accuracy: share(changes.iter().map(|outcome| hit(outcome)).sum(), changes.len()),
            change_precision: matched.precision(),
            change_recall: matched.recall(),
            change_f1: matched.f1(),
            lead_time_intervals: matched.lead(horizon),
            accuracy_at_coverage_80: accuracy_at(outcomes, COVERAGE),
            log_loss: mean(&|outcome| -outcome.probability.max(LEAST_PROBABILITY).ln()),
            brier: mean(&|outcome| outcome.concentration - 2.0 * outcome.probability + 1.0),
            calibration_error: calibration_error(outcomes),
            duration_error_doublings: None,
        }
    }
}

fn share(part: f64, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part / whole as f64)
}

/// Mispredictions for each one of last value; `None` where that makes none.
#[must_use]
pub fn misprediction_ratio(accuracy: Option<f64>, last_value_accuracy: Option<f64>) -> Option<f64> {
    let (wrong, last_wrong) = (1.0 - accuracy?, 1.0 - last_value_accuracy?);
    (last_wrong > 0.0).then(|| wrong / last_wrong)
}

/// Changes that were forecast and changes that came, matched one to one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Matches {
    forecast: usize,
    actual: usize,
    matched: usize,
    /// Places by which forecast changes came before the actual ones, added up.
    early: f64,
}

impl Matches {
    /// Matches what is nearest first: exact forecasts, then those one off, early ones before late ones, and so on.
    fn of(outcomes: &[Outcome], tolerance: usize) -> Self {
        let mut said: Vec<bool> = outcomes.iter().map(Outcome::is_forecast_change).collect();
        let mut came: Vec<bool> = outcomes.iter().map(Outcome::is_change).collect();
        let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
        let mut found = Self { forecast: count(&said), actual: count(&came), matched: 0, early: 0.0 };
        for distance in 0..=tolerance.min(outcomes.len()) {
            for late in [false, true] {
                for place in 0..outcomes.len().saturating_sub(distance) {
                    let (first, second) = if late { (&mut came, &mut said) } else { (&mut said, &mut came) };
                    if first[place] && second[place + distance] {
                        (first[place], second[place + distance]) = (false, false);
                        found.matched += 1;
                        found.early += if late { -(distance as f64) } else { distance as f64 };
                    }
                }
            }
        }
        found
    }

    fn precision(&self) -> Option<f64> {
        share(self.matched as f64, self.forecast)
    }

    fn recall(&self) -> Option<f64> {
        share(self.matched as f64, self.actual)
    }

    /// 0 where changes came and none was forecast; `None` where none came.
    fn f1(&self) -> Option<f64> {
        (self.actual > 0).then(|| 2.0 * self.matched as f64 / (self.forecast + self.actual) as f64)
    }

    fn lead(&self, horizon: usize) -> Option<f64> {
        Some(share(self.early, self.matched)? + horizon as f64)
    }
}

/// Places of `outcomes` from the most confident, those as confident together.
fn by_confidence(outcomes: &[Outcome]) -> Vec<(f64, bool)> {
    let mut sorted: Vec<(f64, bool)> = outcomes.iter().map(|outcome| (outcome.confidence, outcome.is_hit())).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted
}

/// Accuracy on the most confident `coverage` of `outcomes`. Of outcomes that are as confident, of which only some are in, each
/// is in by the same share: the order of time decides nothing.
#[must_use]
pub fn accuracy_at(outcomes: &[Outcome], coverage: f64) -> Option<f64> {
    accuracies_at(outcomes, &[coverage]).pop().flatten()
}

/// [`accuracy_at`] for several coverages.
#[must_use]
pub fn accuracies_at(outcomes: &[Outcome], coverages: &[f64]) -> Vec<Option<f64>> {
    let sorted = by_confidence(outcomes);
    let of = |coverage: &f64| {
        let wanted = (coverage * sorted.len() as f64).ceil();
        let (mut taken, mut hits) = (0.0, 0.0);
        for alike in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let part = (wanted - taken).min(alike.len() as f64);
            hits += alike.iter().filter(|(_, hit)| *hit).count() as f64 * part / alike.len() as f64;
            taken += part;
            if taken >= wanted {
                break;
            }
        }
        (taken > 0.0).then(|| hits / taken)
    };
    coverages.iter().map(of).collect()
}

/// One bin of confidence.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct ConfidenceBin {
    /// Forecasts in it.
    pub forecasts: usize,
    /// Their confidence, added up.
    pub confidence: f64,
    /// How many came true.
    pub hits: usize,
}

/// The outcomes by their confidence, in [`CONFIDENCE_BINS`] bins of equal width from 0 to 1.
#[must_use]
pub fn reliability(outcomes: &[Outcome]) -> [ConfidenceBin; CONFIDENCE_BINS] {
    let mut bins = [ConfidenceBin::default(); CONFIDENCE_BINS];
    for outcome in outcomes {
        let bin = ((outcome.confidence * CONFIDENCE_BINS as f64) as usize).min(CONFIDENCE_BINS - 1);
        bins[bin].forecasts += 1;
        bins[bin].confidence += outcome.confidence;
        bins[bin].hits += usize::from(outcome.is_hit());
    }
    bins
}

fn calibration_error(outcomes: &[Outcome]) -> Option<f64> {
    let gap = |bin: ConfidenceBin| (bin.confidence - bin.hits as f64).abs();
    share(reliability(outcomes).into_iter().map(gap).sum(), outcomes.len())
}

/// How long runs were expected to be and were, in classes of doubling length: 1, 2, 3-4, 5-8, 9-16, and more. Answers the
/// mean distance.
#[must_use]
pub fn duration_error(expected_and_actual: &[(u32, u32)]) -> Option<f64> {
    let distance = |(expected, actual): &(u32, u32)| f64::from(expected.abs_diff(*actual));
    share(expected_and_actual.iter().map(distance).sum(), expected_and_actual.len())
}

/// The class of a run of `length` intervals: 0 for 1, then each twice as long as the one before; the last is open.
#[must_use]
pub fn length_class(length: usize) -> u32 {
    length.max(1).next_power_of_two().ilog2().min(LENGTH_CLASSES - 1)
}

/// Classes of [`length_class`].
pub const LENGTH_CLASSES: u32 = 6;

/// How much CPI varies within phases: the mean over phases of deviation / mean, weighed by their intervals; and how many
/// phases there are, since splitting alone lowers it. `None` where no CPI is known.
#[must_use]
pub fn cpi_variation(labelled: &[(PhaseId, Option<f64>)]) -> (usize, Option<f64>) {
    let mut by_phase: std::collections::BTreeMap<PhaseId, Vec<f64>> = std::collections::BTreeMap::new();
    for (phase, cpi) in labelled {
        by_phase.entry(*phase).or_default().extend(cpi);
    }
    let variation = |values: &Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len() as f64;
        if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
    };
    let known = by_phase.values().filter(|values| !values.is_empty());
    let (weighed, intervals) = known
        .fold((0.0, 0), |(sum, count), values| (sum + variation(values) * values.len() as f64, count + values.len()));
    (by_phase.len(), share(weighed, intervals))
}
