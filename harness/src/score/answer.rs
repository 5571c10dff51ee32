//! What was found, for programs: JSON, and the predictions as CSV.

use predictor::forecast::kind::ForecasterKind;
use serde_json::{Map, Value, json};

use super::measures::Scores;
use super::numbers::MeanNumberScores;
use super::{Findings, MeanScores, Scored, SeriesScores, numbers};
use crate::report::text::csv;

/// The findings as JSON: `series` and `mean` of the first horizon, and of the others under `other_horizons`. What a series
/// cannot have is null.
#[must_use]
pub fn json(findings: &Findings) -> Value {
    let request = &findings.request;
    let mut all: Vec<Value> = (0..request.horizons.len()).map(|horizon| at_horizon(findings, horizon)).collect();
    let mut answer = all.remove(0);
    let phases: Vec<Value> = findings
        .series
        .iter()
        .map(|series| {
            json!({
                "series": series.name, "family": series.family, "intervals": series.intervals,
                "phases": series.phases_seen, "cpi_variation": series.cpi_variation, "in_mean": series.counts(),
            })
        })
        .collect();
    answer["phase_definition"] = request.phases.to_string().into();
    answer["tolerance"] = request.tolerance.into();
    answer["first"] = request.first.into();
    answer["seed"] = request.seed.into();
    answer["phases"] = phases.into();
    let means = numbers::means(&findings.numbers, request.seed);
    let means: Vec<Value> = means.iter().map(of_number).collect();
    answer["numbers"] = json!({ "series": findings.numbers, "mean": means });
    if !all.is_empty() {
        answer["other_horizons"] = all.into();
    }
    answer
}

fn at_horizon(findings: &Findings, horizon: usize) -> Value {
    let request = &findings.request;
    let series: Vec<Value> = findings
        .series
        .iter()
        .flat_map(|series| {
            let scored = series.scored[horizon].iter();
            scored.zip(&request.forecasters).map(|(scored, kind)| of_series(series, *kind, scored))
        })
        .collect();
    let named = request.forecasters.iter().zip(&findings.means[horizon]);
    let mean: Map<String, Value> = named.map(|(kind, mean)| (kind.name(), of_mean(mean))).collect();
    json!({ "horizon": request.horizons[horizon], "series": series, "mean": mean })
}

fn of_series(series: &SeriesScores, kind: ForecasterKind, scored: &Scored) -> Value {
    let mut entry = Map::new();
    entry.insert("series".to_owned(), series.name.as_str().into());
    entry.insert("forecaster".to_owned(), kind.name().into());
    for (name, value) in Scores::FIELDS {
        entry.insert(name.to_owned(), value(&scored.scores).into());
    }
    entry.insert("accuracy_interval".to_owned(), json!(scored.accuracy_interval));
    entry.insert("forecasts".to_owned(), scored.forecasts.into());
    entry.insert("changes".to_owned(), scored.changes.into());
    entry.insert("memory_bytes".to_owned(), scored.memory_bytes.into());
    entry.insert("in_mean".to_owned(), series.counts().into());
    entry.into()
}

fn of_mean(mean: &MeanScores) -> Value {
    let mut entry = Map::new();
    let mut intervals = Map::new();
    for (name, estimate) in &mean.scores {
        entry.insert((*name).to_owned(), estimate.map(|estimate| estimate.mean).into());
        intervals.insert((*name).to_owned(), json!(estimate.map(|estimate| (estimate.low, estimate.high))));
    }
    let series = mean.scores.first().and_then(|(_, accuracy)| *accuracy).map_or(0, |accuracy| accuracy.series);
    entry.insert("intervals".to_owned(), intervals.into());
    entry.insert("series".to_owned(), series.into());
    entry.insert("memory_bytes".to_owned(), mean.memory_bytes.into());
    entry.into()
}

fn of_number(mean: &MeanNumberScores) -> Value {
    json!({
        "rate": mean.rate, "horizon": mean.horizon, "mae": mean.mae, "mape": mean.mape,
        "mase": mean.mase.map(|mase| mase.mean), "mase_interval": mean.mase.map(|mase| (mase.low, mase.high)),
        "series": mean.mase.map_or(0, |mase| mase.series), "below": mean.below,
    })
}

/// What each forecaster said of each row at the first horizon: `series,index,forecaster,predicted_phase`.
#[must_use]
pub fn predictions(findings: &Findings) -> String {
    let rows = findings.series.iter().flat_map(|series| {
        let scored = series.scored.first().into_iter().flatten();
        scored.zip(&findings.request.forecasters).flat_map(move |(scored, kind)| {
            let name = kind.name();
            scored
                .predictions
                .iter()
                .map(move |(row, phase)| vec![series.name.clone(), row.to_string(), name.clone(), phase.0.to_string()])
        })
    });
    csv(&["series", "index", "forecaster", "predicted_phase"], rows)
}
