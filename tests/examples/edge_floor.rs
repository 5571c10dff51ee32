//! How much of a forecaster's error on IPC bins is of the size that the edges of bins explain: `edge_floor FILE...` reads
//! recordings as `phasecast score` does, and prints what docs/forecasting.md calls the floor.
//!
//! ```text
//! cargo run --release -p tests --example edge_floor -- ../shared/data/counters/spec-skylake/*.csv.gz
//! ```
//!
//! The noise of a series is the spread (median absolute residual, times 1.4826) of our own forecast of IPC one interval ahead.
//! The floor is how often noise of that size, if it were normal, would take the true value across an edge, at best: it is an
//! upper bound, since a better forecast leaves a smaller residual.

use std::path::Path;

use harness::score::series;
use predictor::forecast::Observation;
use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::numeric::{NumericForecaster, NumericSettings};
use predictor::phases::bins::Bins;
use predictor::phases::{NamePhase, PhaseId};

const WIDTH: f64 = 0.25;
const FIRST: usize = 5000;

/// Shares of the intervals of one series.
#[derive(Debug, Default, Clone, Copy)]
struct Shares {
    floor: f64,
    errors: f64,
    near_an_edge: f64,
    errors_near_an_edge: f64,
    errors_one_bin_off: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for file in std::env::args().skip(1) {
        for series in series::read(Path::new(&file), Some(FIRST))? {
            let signals: Vec<_> = series.intervals.iter().map(|interval| interval.signals).collect();
            all.push(shares(&signals)?);
        }
    }
    let mean = |share: fn(&Shares) -> f64| all.iter().map(share).sum::<f64>() / all.len() as f64;
    println!("{} series, IPC bins of {WIDTH}, the first {FIRST} intervals; means over series", all.len());
    println!("errors of default                    {:.3}", mean(|shares| shares.errors));
    println!("floor that edges explain             {:.3}", mean(|shares| shares.floor));
    println!("intervals within a spread of an edge {:.3}", mean(|shares| shares.near_an_edge));
    println!("errors within a spread of an edge    {:.3}", mean(|shares| shares.errors_near_an_edge));
    println!("errors that name a neighbouring bin  {:.3}", mean(|shares| shares.errors_one_bin_off));
    Ok(())
}

fn shares(signals: &[[Option<f64>; 3]]) -> Result<Shares, Box<dyn std::error::Error>> {
    let mut bins = Bins::ipc(WIDTH)?;
    let speeds: Vec<f64> = signals.iter().filter_map(|signals| signals[0]).collect();
    let mut name = |speed: f64| bins.name(&[speed]).ok_or("an IPC is no number");
    let labels = speeds.iter().map(|speed| name(*speed)).collect::<Result<Vec<PhaseId>, _>>()?;
    let mut values = NumericForecaster::new(1, &NumericSettings::default());
    let mut phases = ForecasterKind::Default.start(bins.phases(), &Trained::default());
    let (mut residuals, mut named) = (Vec::new(), vec![None]);
    for (place, label) in labels.iter().enumerate() {
        values.observe(&[Some(speeds[place])]);
        phases.observe(&Observation { phase: *label, instructions: 1, signals: &signals[place], address_space: None });
        if let (Some(next), Some(forecast)) = (speeds.get(place + 1), values.forecast(0, 1)) {
            residuals.push((next - forecast.median()).abs());
        }
        named.push(phases.forecast(1).map(|forecast| forecast.most_likely()));
    }
    residuals.sort_by(f64::total_cmp);
    let spread = 1.4826 * residuals.get(residuals.len() / 2).copied().unwrap_or_default();
    let mut found = Shares::default();
    let (mut wrong, mut wrong_near, mut wrong_by_one) = (0.0, 0.0, 0.0f64);
    for ((speed, label), named) in speeds.iter().zip(&labels).zip(&named).skip(1) {
        let below = speed.rem_euclid(WIDTH);
        let beyond = |distance: f64| if spread > 0.0 { upper_tail(distance / spread) } else { 0.0 };
        found.floor += beyond(below) + beyond(WIDTH - below);
        let is_near = below.min(WIDTH - below) < spread;
        found.near_an_edge += f64::from(u8::from(is_near));
        if let Some(named) = named.filter(|named| named != label) {
            wrong += 1.0;
            wrong_near += f64::from(u8::from(is_near));
            wrong_by_one += f64::from(u8::from(named.0.abs_diff(label.0) == 1));
        }
    }
    let intervals = (labels.len() - 1) as f64;
    Ok(Shares {
        floor: found.floor / intervals,
        near_an_edge: found.near_an_edge / intervals,
        errors: wrong / intervals,
        errors_near_an_edge: wrong_near / f64::max(wrong, 1.0),
        errors_one_bin_off: wrong_by_one / f64::max(wrong, 1.0),
    })
}

/// How often a standard normal number is above `x`, for `x` of at least 0 (Abramowitz and Stegun, 7.1.26; to 1e-7).
fn upper_tail(x: f64) -> f64 {
    let scaled = x / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * scaled);
    let series = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let polynomial = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    0.5 * polynomial * (-scaled * scaled).exp()
}
