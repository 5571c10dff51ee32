//! How well a model trained like this one forecasts, on what it has not seen.
//!
//! Phases: for each program, a model is trained on all other programs, names the phases of this one's series, and the
//! default forecaster, started from that model, forecasts the next quantum's phase before it is shown. Another input
//! of a program is the same program and left out with it. Numbers: nothing of them is trained, so every series is
//! forecast online as it is.

use std::collections::BTreeSet;

use super::{Series, TrainError, TrainSettings, train};
use crate::counters::{Event, Sample};
use crate::features::Observed;
use crate::forecast::Observation;
use crate::forecast::kind::ForecasterKind;
use crate::model::{Machine, Model, NumberScores, PhaseScores, RATES, Scores, rates};
use crate::numeric::{NumericForecaster, NumericSettings};

/// Scores models trained with `settings` on these series.
pub fn scores(series: &[Series], machine: &Machine, settings: &TrainSettings) -> Result<Scores, TrainError> {
    let numbers = NumericSettings::default();
    let cells = (0..RATES.len()).flat_map(|rate| numbers.horizons().iter().map(move |horizon| (rate, *horizon)));
    Ok(Scores {
        phases: phases(series, machine, settings)?,
        numbers: cells.map(|(rate, horizon)| number(series, rate, horizon, &numbers)).collect(),
    })
}

/// The program of a series.
fn program(series: &Series) -> &str {
    series.name.split(' ').next().unwrap_or_default()
}

fn phases(series: &[Series], machine: &Machine, settings: &TrainSettings) -> Result<Option<PhaseScores>, TrainError> {
    let programs: BTreeSet<&str> = series.iter().map(program).collect();
    let mut accuracies: Vec<(f64, f64)> = Vec::new();
    for left_out in programs {
        let others: Vec<Series> = series.iter().filter(|series| program(series) != left_out).cloned().collect();
        let model = match train(&others, machine, settings) {
            Ok(model) => model,
            // Too little is left to learn from; the others are scored all the same.
            Err(TrainError::TooFewSamples { .. } | TrainError::EventsLacking { .. }) => continue,
            Err(error) => return Err(error),
        };
        accuracies.extend(series.iter().filter(|series| program(series) == left_out).filter_map(|series| {
            let accuracy = |kind| accuracy(&model, &series.samples, kind);
            Some((accuracy(ForecasterKind::Default)?, accuracy(ForecasterKind::LastValue)?))
        }));
    }
    let count = accuracies.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| (accuracies.iter().map(of).sum::<f64>() / count).clamp(0.0, 1.0);
    Ok((!accuracies.is_empty()).then(|| PhaseScores {
        series: accuracies.len() as u64,
        accuracy: mean(|both| both.0),
        last_value_accuracy: mean(|both| both.1),
    }))
}

/// The share of quanta whose phase was forecast one quantum ahead; `None` of a series without two active quanta.
fn accuracy(model: &Model, samples: &[Sample], kind: ForecasterKind) -> Option<f64> {
    let mut forecaster = model.forecaster(kind);
    let (mut right, mut all) = (0.0, 0.0);
    for sample in samples {
        let Observed::Active(vector) = model.parts().phases.features.observe(sample) else { continue };
        let phase = model.parts().phases.classify(&vector).phase;
        if let Some(forecast) = forecaster.forecast(1) {
            all += 1.0;
            right += f64::from(u8::from(forecast.most_likely() == phase));
        }
        let signals: Vec<Option<f64>> = vector.0.into_iter().map(Some).collect();
        let instructions = sample.count(Event::Instructions)?;
        let address_space = sample.address_space;
        forecaster.observe(&Observation { phase, instructions, signals: &signals, address_space });
    }
    (all > 0.0).then(|| right / all)
}

fn number(series: &[Series], rate: usize, horizon: u32, settings: &NumericSettings) -> NumberScores {
    let scored: Vec<(f64, f64)> =
        series.iter().filter_map(|series| number_of(&series.samples, rate, horizon, settings)).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| scored.iter().map(of).sum::<f64>() / scored.len().max(1) as f64;
    NumberScores {
        rate: RATES[rate].to_owned(),
        horizon_quanta: horizon,
        series: scored.len() as u64,
        error_of_last_value: mean(|both| both.0),
        within_quantiles: mean(|both| both.1).clamp(0.0, 1.0),
    }
}

/// Error in last value's error, and the share of values within the outer quantiles; `None` where last value never errs.
fn number_of(samples: &[Sample], rate: usize, horizon: u32, settings: &NumericSettings) -> Option<(f64, f64)> {
    let mut forecaster = NumericForecaster::new(RATES.len(), settings);
    let (mut error, mut last_value_error, mut within, mut all) = (0.0, 0.0, 0.0, 0.0);
    for (now, sample) in samples.iter().enumerate() {
        let shown = rates(sample);
        forecaster.observe(&shown);
        let to_come = samples.get(now + horizon as usize).and_then(|sample| rates(sample)[rate]);
        let (Some(last), Some(value), Some(forecast)) = (shown[rate], to_come, forecaster.forecast(rate, horizon))
        else {
            continue;
        };
        error += (forecast.median() - value).abs();
        last_value_error += (last - value).abs();
        within += f64::from(u8::from((forecast.quantiles[0]..=forecast.quantiles[2]).contains(&value)));
        all += 1.0;
    }
    (last_value_error > 0.0).then(|| (error / last_value_error, within / all))
}
