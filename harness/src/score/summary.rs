//! What was found, for people: accuracy by series, every score in the mean, and how to read them.

use super::{Findings, MeanScores, numbers};
use crate::report::text::{Align, Table, UNKNOWN, number, percent};

/// How each score is headed in a table, and with how many digits; in the order of the scores.
const HEADS: [(&str, &str, usize); 12] = [
    ("accuracy", "accuracy", 4),
    ("misprediction_ratio", "errors/last", 3),
    ("change_accuracy", "on changes", 3),
    ("change_precision", "precision", 3),
    ("change_recall", "recall", 3),
    ("change_f1", "F1", 3),
    ("lead_time_intervals", "lead", 2),
    ("accuracy_at_coverage_80", "at 80 %", 4),
    ("log_loss", "log loss", 3),
    ("brier", "Brier", 3),
    ("calibration_error", "ECE", 3),
    ("duration_error_doublings", "length", 2),
];

/// The whole report in Markdown, with the figures that it shows.
#[must_use]
pub fn markdown(findings: &Findings, command: &str, figures: &[crate::report::Figure]) -> String {
    let mut text = format!("# Scores of forecasts\n\n{}\n\n```\n{command}\n```\n", heading(findings));
    for (place, horizon) in findings.request.horizons.iter().enumerate() {
        let title = format!("\n## {horizon} ahead\n\n");
        text += &title;
        text += &means(findings, place).markdown();
        text.push('\n');
        text += &by_series(findings, place).markdown();
    }
    text += "\n## Numbers\n\n";
    text += &of_numbers(findings).markdown();
    for figure in figures {
        text += &format!("\n![{}]({})\n\n{}\n", figure.file, figure.file, figure.caption);
    }
    text += &format!("\n## How to read them\n\n{}\n", notes(findings));
    text
}

/// Tables for a terminal.
#[must_use]
pub fn terminal(findings: &Findings) -> String {
    let mut text = format!("{}\n", heading(findings));
    for (place, horizon) in findings.request.horizons.iter().enumerate() {
        text += &format!("\naccuracy by series, {horizon} ahead\n");
        text += &by_series(findings, place).aligned();
        text += &format!("\nmean over series, {horizon} ahead\n");
        text += &means(findings, place).aligned();
    }
    text += "\nforecasts of numbers, mean over series\n";
    text += &of_numbers(findings).aligned();
    text += &format!("\n{}", notes(findings));
    text
}

fn heading(findings: &Findings) -> String {
    let request = &findings.request;
    let counting: Vec<_> = findings.series.iter().filter(|series| series.counts()).collect();
    let intervals: usize = counting.iter().map(|series| series.intervals).sum();
    let single = findings.series.len() - counting.len();
    let first = request.first.map(|first| format!(", the first {first} intervals of each")).unwrap_or_default();
    let mut text = format!(
        "Phases: {}. {} series with {intervals} intervals{first}; online: forecast, then learn.",
        request.phases,
        counting.len()
    );
    if single > 0 {
        text += &format!(" {single} more with a single phase, which are left out of means.");
    }
    text
}

fn by_series(findings: &Findings, horizon: usize) -> Table {
    let kinds: Vec<String> = findings.request.forecasters.iter().map(|kind| kind.name()).collect();
    let heads = [("series", Align::Left), ("phases", Align::Right), ("CPI variation", Align::Right)];
    let forecasters = kinds.iter().map(|kind| (kind.as_str(), Align::Right));
    let mut table = Table::new(heads.into_iter().chain(forecasters));
    for series in &findings.series {
        let cells = [series.name.clone(), series.phases_seen.to_string(), number(series.cpi_variation, 3)];
        let accuracies = series.scored[horizon].iter().map(|scored| number(scored.scores.accuracy, 4));
        table.row(cells.into_iter().chain(accuracies));
    }
    table
}

fn means(findings: &Findings, horizon: usize) -> Table {
    let heads = HEADS.iter().map(|(_, head, _)| (*head, Align::Right));
    let ends = [("interval", Align::Right), ("KiB", Align::Right)];
    let mut table = Table::new([("forecaster", Align::Left)].into_iter().chain(heads).chain(ends));
    for (kind, mean) in findings.request.forecasters.iter().zip(&findings.means[horizon]) {
        let of =
            |wanted: &str| mean.scores.iter().find(|(name, _)| *name == wanted).and_then(|(_, estimate)| *estimate);
        let cells = HEADS.iter().map(|(name, _, digits)| number(of(name).map(|estimate| estimate.mean), *digits));
        let memory = format!("{:.1}", mean.memory_bytes as f64 / 1024.0);
        table.row([kind.name()].into_iter().chain(cells).chain([interval(mean), memory]));
    }
    table
}

fn of_numbers(findings: &Findings) -> Table {
    let heads = ["ahead", "MAE", "MAPE", "MASE", "interval", "below 10 %", "below 50 %", "below 90 %", "series"];
    let heads = heads.map(|head| (head, Align::Right));
    let mut table = Table::new([("rate", Align::Left)].into_iter().chain(heads));
    for mean in numbers::means(&findings.numbers, findings.request.seed) {
        let scaled = mean.mase.map_or(UNKNOWN.to_owned(), |mase| format!("{:.3}-{:.3}", mase.low, mase.high));
        let [low, middle, high] = mean.below.map(|share| percent(share, 1));
        table.row([
            mean.rate.to_owned(),
            mean.horizon.to_string(),
            number(mean.mae, 4),
            percent(mean.mape, 1),
            number(mean.mase.map(|mase| mase.mean), 3),
            scaled,
            low,
            middle,
            high,
            mean.mase.map_or(0, |mase| mase.series).to_string(),
        ]);
    }
    table
}

fn interval(mean: &MeanScores) -> String {
    let accuracy = mean.scores.first().and_then(|(_, estimate)| *estimate);
    accuracy.map_or(UNKNOWN.to_owned(), |accuracy| format!("{:.3}-{:.3}", accuracy.low, accuracy.high))
}

fn notes(findings: &Findings) -> String {
    format!(
        "Interval: 95 % of the mean accuracy, series drawn with replacement. errors/last: mispredictions for each one of last \
         value.\nPrecision, recall and F1 are of changes, matched within {} intervals; lead: intervals from a matched forecast to its \
         change.\nAt 80 %: accuracy where confidence is highest. Log loss in nats. ECE: calibration error. Length: error of \
         forecast run lengths in doublings.\nMASE: absolute error for each of last value's. Below: share of values below the forecast quantile.\ndocs/scores.md defines them all.",
        findings.request.tolerance
    )
}
