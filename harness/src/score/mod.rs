//! Scores of forecasters on recorded series.
//!
//! Owns what is scored ([`series`], [`labels`]), the forecasts themselves ([`evaluate`]), what they are worth ([`measures`]),
//! means with intervals ([`crate::report::estimate`]), and how it is told ([`answer`], [`summary`], [`figures`]). Forecasters are the
//! predictor's. `docs/scores.md` defines every score and says which intervals count.

pub mod answer;
pub mod evaluate;
pub mod figures;
pub mod labels;
pub mod measures;
pub mod numbers;
pub mod series;
pub mod summary;

use std::path::PathBuf;

use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::model::Model;
use predictor::phases::PhaseId;

use crate::input::InputError;
use crate::interrupt::{Interrupt, Interrupted};
use crate::report::estimate::{self, Estimate, within_series};
use crate::workers::side_by_side;
use evaluate::{Evaluated, evaluate};
use labels::PhaseDefinition;
use measures::{CONFIDENCE_BINS, ConfidenceBin, Outcome, Scores, accuracies_at, cpi_variation, reliability};
use numbers::NumberScores;
use series::Series;

/// Coverages at which accuracy is shown.
pub const COVERAGES: [f64; 20] =
    [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];

/// What is to be scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Recordings.
    pub files: Vec<PathBuf>,
    /// What a phase is.
    pub phases: PhaseDefinition,
    /// Who forecasts, in the order of tables.
    pub forecasters: Vec<ForecasterKind>,
    /// Only so many intervals of each series.
    pub first: Option<usize>,
    /// How far ahead, ascending.
    pub horizons: Vec<u32>,
    /// Intervals within which a forecast change matches one that came.
    pub tolerance: usize,
    /// Seed of clusterings and of bootstraps.
    pub seed: u64,
}

/// One forecaster on one series at one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Every score.
    pub scores: Scores,
    /// 95 % interval of the accuracy, by moving blocks.
    pub accuracy_interval: Option<(f64, f64)>,
    /// Forecasts that were compared.
    pub forecasts: usize,
    /// How many of them were for another phase than the last known.
    pub changes: usize,
    /// Confidence and what came of it.
    pub reliability: [ConfidenceBin; CONFIDENCE_BINS],
    /// Accuracy at each of [`COVERAGES`].
    pub coverage: Vec<Option<f64>>,
    /// What was forecast for which row.
    pub predictions: Vec<(usize, PhaseId)>,
    /// Memory that the forecaster held, in bytes.
    pub memory_bytes: usize,
}

/// One series with what all forecasters made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesScores {
    /// The series' name.
    pub name: String,
    /// The family of its program.
    pub family: String,
    /// Intervals that have a phase.
    pub intervals: usize,
    /// How many phases came.
    pub phases_seen: usize,
    /// Deviation / mean of CPI within phases.
    pub cpi_variation: Option<f64>,
    /// By horizon, then by forecaster, in the order of the request.
    pub scored: Vec<Vec<Scored>>,
}

impl SeriesScores {
    /// Whether it counts in means: where only one phase ever came, there is nothing to forecast.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.phases_seen > 1
    }
}

/// A forecaster's scores over all series that count.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanScores {
    /// Each score's name with its mean over the series that have it.
    pub scores: Vec<(&'static str, Option<Estimate>)>,
    /// Most memory that it held for one series, in bytes.
    pub memory_bytes: usize,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// What was asked.
    pub request: Request,
    /// Every series, in the order of the files.
    pub series: Vec<SeriesScores>,
    /// By horizon, then by forecaster.
    pub means: Vec<Vec<MeanScores>>,
    /// Forecasts of numbers, by series, rate and horizon.
    pub numbers: Vec<NumberScores>,
}

/// Why nothing was scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// What a person asked for cannot be had.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Somebody wants it to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Scores what `request` asks for; tells what is being done.
pub fn score(request: &Request, interrupt: &Interrupt, tell: &(dyn Fn(&str) + Sync)) -> Result<Findings, ScoreError> {
    tell("reading series");
    let mut all: Vec<Series> = Vec::new();
    for file in &request.files {
        interrupt.check()?;
        for series in series::read(file, request.first)? {
            if all.iter().any(|other| other.name == series.name) {
                let problem = format!("a second series is called {:?}", series.name);
                return Err(InputError::new(problem, "give each file once, under names that differ")
                    .in_file(file)
                    .into());
            }
            all.push(series);
        }
    }
    tell("naming phases");
    let labels = labels::label(&all, &request.phases, request.seed)?;
    let trained = labels.model.as_ref().map(Model::trained).unwrap_or_default();
    let trained = Trained { horizons: &request.horizons, ..trained };
    let start = |kind: ForecasterKind| kind.start(labels.phases, &trained);
    let kinds = request.forecasters.len();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let evaluated = side_by_side(all.len() * kinds, workers, &|job| {
        interrupt.check()?;
        let (place, kind) = (job / kinds, request.forecasters[job % kinds]);
        tell(&format!("{kind} on {}, {} of {}", all[place].name, job + 1, all.len() * kinds));
        let mut forecaster = start(kind);
        let found = evaluate(&all[place].intervals, &labels.labels[place], &request.horizons, forecaster.as_mut());
        Ok::<_, Interrupted>(condense(&found, request))
    })?;
    let mut evaluated = evaluated.into_iter();
    let series: Vec<SeriesScores> = (0..all.len())
        .map(|place| collect(&all[place], &labels.labels[place], evaluated.by_ref().take(kinds).collect(), request))
        .collect();
    tell("forecasting numbers");
    let settings = labels.model.as_ref().map(|model| model.parts().numeric.clone()).unwrap_or_default();
    let numbers = side_by_side(all.len(), workers, &|place| {
        interrupt.check()?;
        Ok::<_, Interrupted>(numbers::score(&all[place], &request.horizons, &settings))
    })?;
    let means = means(&series, request);
    Ok(Findings { request: request.clone(), series, means, numbers: numbers.concat() })
}

/// What is kept of one forecaster on one series, by horizon.
fn condense(found: &Evaluated, request: &Request) -> Vec<Scored> {
    let duration_error_doublings = measures::duration_error(&found.lengths);
    let of = |(outcomes, horizon): (&Vec<Outcome>, &u32)| {
        let hits: Vec<bool> = outcomes.iter().map(Outcome::is_hit).collect();
        let scores = Scores::of(outcomes, *horizon as usize, request.tolerance);
        Scored {
            scores: Scores { duration_error_doublings, ..scores },
            accuracy_interval: within_series(&hits, request.seed),
            forecasts: outcomes.len(),
            changes: outcomes.iter().filter(|outcome| outcome.actual != outcome.known).count(),
            reliability: reliability(outcomes),
            coverage: accuracies_at(outcomes, &COVERAGES),
            predictions: outcomes.iter().map(|outcome| (outcome.row, outcome.forecast)).collect(),
            memory_bytes: found.memory_bytes,
        }
    };
    found.outcomes.iter().zip(&request.horizons).map(of).collect()
}

fn collect(
    series: &Series,
    labels: &[Option<PhaseId>],
    by_forecaster: Vec<Vec<Scored>>,
    request: &Request,
) -> SeriesScores {
    let labelled: Vec<(PhaseId, Option<f64>)> = series
        .intervals
        .iter()
        .zip(labels)
        .filter_map(|(interval, label)| Some(((*label)?, interval.cycles_per_instruction())))
        .collect();
    let (phases_seen, cpi_variation) = cpi_variation(&labelled);
    let mut scored: Vec<Vec<Scored>> = vec![Vec::new(); request.horizons.len()];
    for by_horizon in by_forecaster {
        for (place, one) in by_horizon.into_iter().enumerate() {
            scored[place].push(one);
        }
    }
    SeriesScores {
        name: series.name.clone(),
        family: series.family.clone(),
        intervals: labelled.len(),
        phases_seen,
        cpi_variation,
        scored,
    }
}

fn means(series: &[SeriesScores], request: &Request) -> Vec<Vec<MeanScores>> {
    let counting: Vec<&SeriesScores> = series.iter().filter(|series| series.counts()).collect();
    let of = |horizon: usize, forecaster: usize| {
        let scored: Vec<&Scored> = counting.iter().map(|series| &series.scored[horizon][forecaster]).collect();
        let mean = |(name, value): measures::Field| {
            if name == "misprediction_ratio" {
                return (name, ratio_of_means(&scored, request.seed));
            }
            let values: Vec<f64> = scored.iter().filter_map(|scored| value(&scored.scores)).collect();
            (name, estimate::over_series(&values, request.seed))
        };
        MeanScores {
            scores: Scores::FIELDS.into_iter().map(mean).collect(),
            memory_bytes: scored.iter().map(|scored| scored.memory_bytes).max().unwrap_or(0),
        }
    };
    let by_forecaster = |horizon| (0..request.forecasters.len()).map(|forecaster| of(horizon, forecaster)).collect();
    (0..request.horizons.len()).map(by_forecaster).collect()
}

/// Mispredictions of all series against those of last value: the ratio of the mean shares, since the mean of ratios would
/// be ruled by series on which last value hardly errs.
fn ratio_of_means(scored: &[&Scored], seed: u64) -> Option<Estimate> {
    let both = |scored: &&Scored| Some((1.0 - scored.scores.accuracy?, 1.0 - scored.scores.last_value_accuracy?));
    let errors: Vec<(f64, f64)> = scored.iter().filter_map(both).collect();
    estimate::estimate(errors.len(), seed, &|drawn| {
        let sum = |error: &dyn Fn(&(f64, f64)) -> f64| drawn.iter().map(|place| error(&errors[*place])).sum::<f64>();
        sum(&|(wrong, _)| *wrong) / sum(&|(_, last_wrong)| *last_wrong)
    })
}

#[cfg(test)]
mod tests;
