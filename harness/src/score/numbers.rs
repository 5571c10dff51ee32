//! Forecasts of numbers, CPI and LLC misses per 1000 instructions: errors against last value, and what lies below quantiles.

use std::collections::VecDeque;

use predictor::numeric::{NumericForecast, NumericForecaster, NumericSettings, RawSettings};
use serde::Serialize;

use super::series::{Interval, Series};
use crate::report::estimate::{Estimate, over_series};

/// What is forecast, in the order in which forecasters are shown it.
pub const RATES: [&str; 2] = ["cycles_per_instruction", "llc_misses_per_kilo_instruction"];

/// Most horizons of one forecaster.
const HORIZONS_MOST: usize = 8;

/// One rate of one series at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberScores {
    /// The series' name.
    pub series: String,
    /// The rate, one of [`RATES`].
    pub rate: &'static str,
    /// Intervals ahead.
    pub horizon: u32,
    /// Forecasts that were compared.
    pub forecasts: usize,
    /// Mean absolute error of the median.
    pub mae: Option<f64>,
    /// Mean of the absolute error over the value.
    pub mape: Option<f64>,
    /// `mae` over last value's.
    pub mase: Option<f64>,
    /// Shares of values below the quantiles 0.1, 0.5, 0.9; a value that equals one counts half.
    pub below: [Option<f64>; 3],
}

/// One rate at one horizon over all series that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanNumberScores {
    /// The rate, one of [`RATES`].
    pub rate: &'static str,
    /// Intervals ahead.
    pub horizon: u32,
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Mean relative error.
    pub mape: Option<f64>,
    /// Mean of the series' MASE, with its interval.
    pub mase: Option<Estimate>,
    /// Shares of values below the quantiles.
    pub below: [Option<f64>; 3],
}

/// Errors of one rate at one horizon, added up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Errors {
    forecasts: usize,
    absolute: f64,
    last_absolute: f64,
    relative: f64,
    relatives: usize,
    below: [f64; 3],
}

impl Errors {
    fn add(&mut self, forecast: &NumericForecast, last: f64, actual: f64) {
        let error = (forecast.median() - actual).abs();
        self.forecasts += 1;
        self.absolute += error;
        self.last_absolute += (last - actual).abs();
        if actual != 0.0 {
            self.relative += error / actual.abs();
            self.relatives += 1;
        }
        for (below, quantile) in self.below.iter_mut().zip(forecast.quantiles) {
            *below += match actual.total_cmp(&quantile) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            };
        }
    }

    fn scores(&self, series: &str, rate: &'static str, horizon: u32) -> NumberScores {
        let share = |part: f64, whole: usize| (whole > 0).then(|| part / whole as f64);
        NumberScores {
            series: series.to_owned(),
            rate,
            horizon,
            forecasts: self.forecasts,
            mae: share(self.absolute, self.forecasts),
            mape: share(self.relative, self.relatives),
            mase: (self.last_absolute > 0.0).then(|| self.absolute / self.last_absolute),
            below: self.below.map(|below| share(below, self.forecasts)),
        }
    }
}

fn rates(interval: &Interval) -> [Option<f64>; RATES.len()] {
    [interval.cycles_per_instruction(), interval.llc_misses_per_instruction().map(|misses| 1000.0 * misses)]
}

/// Forecasts the rates of `series` online, at those of `horizons` that `settings` can take on.
#[must_use]
pub fn score(series: &Series, horizons: &[u32], settings: &NumericSettings) -> Vec<NumberScores> {
    let mut horizons = horizons.to_vec();
    horizons.sort_unstable();
    horizons.truncate(HORIZONS_MOST);
    let raw = RawSettings { horizons: horizons.clone(), ..settings.clone().into() };
    let Ok(settings) = NumericSettings::try_from(raw) else { return Vec::new() };
    let mut forecaster = NumericForecaster::new(RATES.len(), &settings);
    type Pending = VecDeque<Option<(NumericForecast, f64)>>;
    let mut pending: Vec<Vec<Pending>> = vec![vec![VecDeque::new(); horizons.len()]; RATES.len()];
    let mut errors = vec![vec![Errors::default(); horizons.len()]; RATES.len()];
    let mut last = [None; RATES.len()];
    for interval in &series.intervals {
        let seen = rates(interval);
        forecaster.observe(&seen);
        for (rate, actual) in seen.into_iter().enumerate() {
            last[rate] = actual.or(last[rate]);
            for (place, horizon) in horizons.iter().enumerate() {
                let queue = &mut pending[rate][place];
                if queue.len() == *horizon as usize
                    && let (Some(Some((forecast, known))), Some(actual)) = (queue.pop_front(), actual)
                {
                    errors[rate][place].add(&forecast, known, actual);
                }
                queue.push_back(forecaster.forecast(rate, *horizon).zip(last[rate]));
            }
        }
    }
    let of = |(rate, errors): (&'static str, &Vec<Errors>)| -> Vec<NumberScores> {
        errors.iter().zip(&horizons).map(|(errors, horizon)| errors.scores(&series.name, rate, *horizon)).collect()
    };
    let scored = RATES.into_iter().zip(&errors).flat_map(of);
    scored.filter(|scores| scores.forecasts > 0).collect()
}

/// Means over series, by rate, then by horizon.
#[must_use]
pub fn means(scores: &[NumberScores], seed: u64) -> Vec<MeanNumberScores> {
    let mut horizons: Vec<u32> = scores.iter().map(|scores| scores.horizon).collect();
    horizons.sort_unstable();
    horizons.dedup();
    let of = |rate: &'static str, horizon: u32| {
        let mine: Vec<&NumberScores> =
            scores.iter().filter(|scores| scores.rate == rate && scores.horizon == horizon).collect();
        let mean = |value: &dyn Fn(&NumberScores) -> Option<f64>| {
            let values: Vec<f64> = mine.iter().filter_map(|scores| value(scores)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let scaled: Vec<f64> = mine.iter().filter_map(|scores| scores.mase).collect();
        MeanNumberScores {
            rate,
            horizon,
            mae: mean(&|scores| scores.mae),
            mape: mean(&|scores| scores.mape),
            mase: over_series(&scaled, seed),
            below: [0, 1, 2].map(|place| mean(&|scores: &NumberScores| scores.below[place])),
        }
    };
    let all = RATES.into_iter().flat_map(|rate| horizons.iter().map(move |horizon| (rate, *horizon)));
    all.map(|(rate, horizon)| of(rate, horizon)).filter(|mean| mean.mae.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_scaled_by_those_of_last_value_and_ties_count_half() {
        let mut errors = Errors::default();
        let forecast = NumericForecast { mean: 2.0, quantiles: [1.0, 2.0, 4.0] };
        errors.add(&forecast, 6.0, 4.0);
        errors.add(&forecast, 3.0, 1.0);
        let scores = errors.scores("a", RATES[0], 1);
        // Off by 2 and 1; last value by 2 and 2.
        assert_eq!((scores.mae, scores.mape, scores.mase), (Some(1.5), Some(0.75), Some(0.75)));
        assert_eq!(scores.below, [Some(0.25), Some(0.5), Some(0.75)]);
    }

    #[test]
    fn a_rate_that_never_moved_has_no_scaled_error() {
        let mut errors = Errors::default();
        errors.add(&NumericForecast { mean: 0.0, quantiles: [0.0; 3] }, 0.0, 0.0);
        let scores = errors.scores("a", RATES[1], 1);
        assert_eq!((scores.mae, scores.mape, scores.mase), (Some(0.0), None, None));
        assert_eq!(means(&[scores], 1)[0].mase, None);
    }
}
