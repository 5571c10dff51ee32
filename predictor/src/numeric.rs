//! What a counter will read: mean and quantiles of CPI, of LLC misses per kilo-instruction, or of any other rate.
//!
//! Owns forecasts of numbers, for a counter itself ([`NumericForecaster`]) and for each phase ([`levels`]). Which phase
//! comes next is [`crate::forecast`]'s business.
//!
//! # Problem
//!
//! One number for each of a few rates is seen every quantum. Say what each will be 1, 4 and 16 quanta ahead, so that
//! the absolute error is small, and how far off that may be. Nothing is known beforehand, the unit included; it must
//! cost microseconds and bounded memory for each vCPU.
//!
//! # Idea
//!
//! Programs are loops of loops: what followed a stretch of quanta follows it again. So the best forecast is usually a
//! copy of what came after the moment of the past most like now (analogues: Lorenz 1969; nearest neighbours in a delay
//! embedding: Farmer and Sidorowich 1987). Where nothing repeats, a program wanders or is noise, and the last value or an
//! average is best. Which of these holds changes within a run: so all of them forecast, and are weighed by how far off
//! they were of late (Herbster and Warmuth 1998).
//!
//! # Terms
//!
//! - *rate*: a number of one quantum, not negative; absent where it was not read.
//! - *horizon*: quanta ahead; 1 is the coming one.
//! - *deviation*: decayed mean of |rate - its decayed mean|, what differences are measured in.
//! - *unlikeness* of a lag: decayed sum of the differences of all rates, between each quantum and the one `lag` before
//!   it. Four of them, that remember about 2, 5, 20 and 100 quanta.
//! - *expert*: the last value; five moving averages; for each unlikeness the value that followed at the most alike
//!   lag, and the medians of those at the best 4 and 8 lags.
//!
//! # Each quantum
//!
//! ```text
//! judge     for each rate and horizon: losses and weights of the experts; what the mixture left over
//! remember  histories, moving averages, deviations; unlikeness of every lag; the 8 most alike lags of each
//! forecast  value(rate, horizon, lag) = the rate at t + horizon - lag, or a whole number of lags earlier if that is
//!           yet to come; experts, their mixture, quantiles around it
//! ```
//!
//! # Properties
//!
//! - A loop within the history is forecast all but without error after two rounds and the time that weights need.
//! - A rate in another unit is forecast alike.
//! - Quantiles stand in order, and in the long run the share of values below each is what it says.
//! - An absent rate is never zero: it teaches nothing, and the others go on.
//! - Memory does not grow, and the same rates give the same forecasts.
//!
//! # Example
//!
//! ```
//! use predictor::numeric::{NumericForecaster, NumericSettings};
//!
//! let mut forecaster = NumericForecaster::new(1, &NumericSettings::default());
//! for quantum in 0..200 {
//!     let cpi = if quantum % 10 < 7 { 0.5 } else { 2.0 };
//!     forecaster.observe(&[Some(cpi)]);
//! }
//! // Quantum 199 was the last of the three slow ones; 203 is a fast one again.
//! let next = |horizon| forecaster.forecast(0, horizon).map(|forecast| forecast.median());
//! assert!((next(1).unwrap() - 0.5).abs() < 0.05);
//! assert!((next(4).unwrap() - 0.5).abs() < 0.05);
//! assert_eq!(next(5), None, "no forecast is made for a horizon that was not asked for");
//! ```
//!
//! What was tried and left out stands in docs/numeric-forecasts.md.

pub mod levels;

mod history;

mod likeness;

mod mixture;

pub mod quantiles;

use serde::{Deserialize, Serialize};

use self::history::History;
use self::likeness::{DIFFERENCE_MOST, Likeness};
use self::mixture::{Mixture, Weighing};
use self::quantiles::Residuals;

/// How long each unlikeness remembers: what a quantum weighs against the next.
const MEMORIES: [f32; 4] = [0.5, 0.8, 0.95, 0.99];

/// What a quantum weighs in each moving average.
const AVERAGES: [f64; 5] = [0.5, 0.25, 0.1, 0.03, 0.01];

/// Alike lags that are looked up; medians are taken of the first 4 and of all.
const MATCHES: usize = 8;
const FEW_MATCHES: usize = 4;

/// The last value, the averages, and three for each unlikeness.
const EXPERTS: usize = 1 + AVERAGES.len() + 3 * MEMORIES.len();

/// What a quantum weighs in the deviation of a rate, at least.
const DEVIATION_SHARE: f64 = 0.003;

/// How numbers are forecast; part of a model. The defaults were chosen by cross-validation over program families.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawSettings", into = "RawSettings")]
pub struct NumericSettings(RawSettings);

/// Settings as they are written, not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSettings {
    /// Horizons that forecasts are made for, in quanta, ascending.
    pub horizons: Vec<u32>,
    /// Quanta of the past in which the present is looked for.
    pub history_quanta: usize,
    /// What a quantum's loss weighs against that of the next, in (0, 1).
    pub loss_memory: f64,
    /// The power of the inverse loss by which experts are weighed.
    pub sharpness: u8,
    /// How far a quantile moves each quantum, in spreads.
    pub quantile_step: f64,
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("numeric.{key} must be {allowed}")]
pub struct SettingsError {
    key: &'static str,
    allowed: &'static str,
}

impl NumericSettings {
    /// Horizons that forecasts are made for, in quanta, ascending.
    #[must_use]
    pub fn horizons(&self) -> &[u32] {
        &self.0.horizons
    }
}

impl Default for NumericSettings {
    fn default() -> Self {
        Self(RawSettings {
            horizons: vec![1, 4, 16],
            history_quanta: 1024,
            loss_memory: 0.98,
            sharpness: 8,
            quantile_step: 0.01,
        })
    }
}

impl TryFrom<RawSettings> for NumericSettings {
    type Error = SettingsError;

    fn try_from(raw: RawSettings) -> Result<Self, SettingsError> {
        let within = |share: f64| share > 0.0 && share < 1.0;
        let horizons = &raw.horizons;
        let sound = (1..=8).contains(&horizons.len())
            && horizons.is_sorted_by(|a, b| a < b)
            && horizons.iter().all(|horizon| (1..=64).contains(horizon));
        let checks = [
            (sound, "horizons", "1 to 8 ascending numbers from 1 to 64"),
            ((64..=16_384).contains(&raw.history_quanta), "history_quanta", "from 64 to 16384"),
            (within(raw.loss_memory), "loss_memory", "between 0 and 1, both excluded"),
            ((1..=64).contains(&raw.sharpness), "sharpness", "from 1 to 64"),
            (within(raw.quantile_step), "quantile_step", "between 0 and 1, both excluded"),
        ];
        match checks.into_iter().find(|(sound, ..)| !sound) {
            Some((_, key, allowed)) => Err(SettingsError { key, allowed }),
            None => Ok(Self(raw)),
        }
    }
}

impl From<NumericSettings> for RawSettings {
    fn from(settings: NumericSettings) -> Self {
        settings.0
    }
}

/// What a rate is expected to be, in its own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumericForecast {
    /// Its mean.
    pub mean: f64,
    /// The values below which it stays with the probabilities of [`quantiles::SHARES`], in order.
    pub quantiles: [f64; 3],
}

impl NumericForecast {
    /// The value with the least absolute error.
    #[must_use]
    pub const fn median(&self) -> f64 {
        self.quantiles[1]
    }
}

/// One rate at one horizon.
#[derive(Debug, Clone)]
struct Slot {
    mixture: Mixture,
    residuals: Residuals,
    forecast: Option<NumericForecast>,
}

/// One rate: what it was, and what it will be at each horizon.
#[derive(Debug, Clone)]
struct Rate {
    history: History,
    /// The last value that was read.
    last: Option<f64>,
    averages: [f64; AVERAGES.len()],
    center: f64,
    deviation: f64,
    read: f64,
    slots: Vec<Slot>,
}

/// Forecasts a few rates of one vCPU together: they share what moment of the past is like now.
#[derive(Debug, Clone)]
pub struct NumericForecaster {
    settings: NumericSettings,
    rates: Vec<Rate>,
    likeness: [Likeness; MEMORIES.len()],
    /// Differences of the newest quantum to each before it, kept to be filled again.
    differences: Vec<f32>,
}

impl NumericForecaster {
    /// A forecaster of `rates` rates.
    #[must_use]
    pub fn new(rates: usize, settings: &NumericSettings) -> Self {
        let lags = settings.0.history_quanta;
        let rate = || Rate::new(lags + 1, settings.horizons());
        Self {
            settings: settings.clone(),
            rates: (0..rates).map(|_| rate()).collect(),
            likeness: MEMORIES.map(|memory| Likeness::new(memory, lags)),
            differences: Vec::with_capacity(lags),
        }
    }

    /// A quantum passed in which the rates were these, in the order in which they are forecast; `None` where one was not
    /// read. Rates that are not listed count as not read, those beyond the number announced are left out.
    pub fn observe(&mut self, rates: &[Option<f64>]) {
        let finite = |rate: Option<f64>| rate.filter(|rate| rate.is_finite());
        let raw = &self.settings.0;
        let weighing = Weighing { memory: raw.loss_memory, sharpness: raw.sharpness };
        for (place, rate) in self.rates.iter_mut().enumerate() {
            rate.observe(finite(rates.get(place).copied().flatten()), weighing, raw.quantile_step);
        }
        self.compare();
        let matches: [Option<[usize; MATCHES]>; MEMORIES.len()] =
            std::array::from_fn(|place| self.likeness[place].best::<MATCHES>());
        let horizons = &self.settings.0.horizons;
        self.rates.iter_mut().for_each(|rate| rate.foresee(horizons, &matches));
    }

    /// What rate number `rate` is expected to be `quanta` ahead. `None` before it was read for the first time, and for a
    /// horizon that is not one of the settings'.
    #[must_use]
    pub fn forecast(&self, rate: usize, quanta: u32) -> Option<NumericForecast> {
        let place = self.settings.0.horizons.iter().position(|horizon| *horizon == quanta)?;
        self.rates.get(rate)?.slots[place].forecast
    }

    /// Memory it holds on to, itself included: as much at the start as ever after.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let likeness: usize = self.likeness.iter().map(Likeness::memory_bytes).sum();
        let rates: usize = self.rates.iter().map(Rate::memory_bytes).sum();
        size_of::<Self>() + likeness + rates + self.differences.capacity() * size_of::<f32>()
    }

    /// How the newest quantum differs from each before it, in all rates that it has.
    fn compare(&mut self) {
        let lags = self.rates.first().map_or(0, |rate| rate.history.newest_first().len().saturating_sub(1));
        self.differences.clear();
        self.differences.resize(lags, 0.0);
        for rate in &self.rates {
            let [now, past @ ..] = rate.history.newest_first() else { continue };
            if now.is_nan() || rate.deviation <= 0.0 {
                continue;
            }
            let per_deviation = (1.0 / rate.deviation) as f32;
            for (difference, then) in self.differences.iter_mut().zip(past) {
                let apart = (now - then).abs() * per_deviation;
                // A value that was not read differs by the most: no comparison with not-a-number holds.
                *difference += if apart < DIFFERENCE_MOST { apart } else { DIFFERENCE_MOST };
            }
        }
        self.likeness.iter_mut().for_each(|likeness| likeness.observe(&self.differences));
    }
}

impl Rate {
    fn new(capacity: usize, horizons: &[u32]) -> Self {
        let slot = |horizon: &u32| {
            let horizon = *horizon as usize;
            Slot { mixture: Mixture::new(horizon, EXPERTS), residuals: Residuals::new(horizon), forecast: None }
        };
        Self {
            history: History::new(capacity),
            last: None,
            averages: [0.0; AVERAGES.len()],
            center: 0.0,
            deviation: 0.0,
            read: 0.0,
            slots: horizons.iter().map(slot).collect(),
        }
    }

    fn observe(&mut self, value: Option<f64>, weighing: Weighing, quantile_step: f64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.forecast.is_some()) {
            slot.mixture.judge(value, weighing);
            slot.residuals.judge(value, quantile_step);
        }
        self.history.push(value);
        let Some(value) = value else { return };
        self.last = Some(value);
        self.read += 1.0;
        for (average, share) in self.averages.iter_mut().zip(AVERAGES) {
            *average += share.max(1.0 / self.read) * (value - *average);
        }
        let share = DEVIATION_SHARE.max(1.0 / self.read);
        self.center += share * (value - self.center);
        self.deviation += share * ((value - self.center).abs() - self.deviation);
    }

    /// Forecasts at every horizon, from the lags most like now.
    fn foresee(&mut self, horizons: &[u32], matches: &[Option<[usize; MATCHES]>]) {
        let Some(last) = self.last else { return };
        let past = self.history.newest_first();
        for (slot, horizon) in self.slots.iter_mut().zip(horizons) {
            let horizon = *horizon as usize;
            let mut said = [last as f32; EXPERTS];
            for (said, average) in said[1..].iter_mut().zip(self.averages) {
                *said = average as f32;
            }
            let (_, by_likeness) = said.split_at_mut(1 + AVERAGES.len());
            for (said, lags) in by_likeness.chunks_exact_mut(3).zip(matches) {
                let Some(lags) = lags else { continue };
                let mut after = lags.map(|lag| value_after(past, lag, horizon).unwrap_or(last as f32));
                said[0] = after[0];
                said[1] = median(&mut after[..FEW_MATCHES]);
                said[2] = median(&mut after);
            }
            let (mean, quantiles) = slot.residuals.around(slot.mixture.say(&said));
            // No rate is negative, whatever its past was off by.
            let quantiles = quantiles.map(|quantile| quantile.max(0.0));
            slot.forecast = Some(NumericForecast { mean: mean.max(0.0), quantiles });
        }
    }

    fn memory_bytes(&self) -> usize {
        let slot = |slot: &Slot| size_of::<Slot>() + slot.mixture.memory_bytes() + slot.residuals.memory_bytes();
        size_of::<Self>() + self.history.memory_bytes() + self.slots.iter().map(slot).sum::<usize>()
    }
}

/// What came `horizon` quanta after the moment `lag` ago, in a history that has the newest first; a whole number of lags
/// earlier where that is yet to come. `None` where it was not read.
fn value_after(past: &[f32], lag: usize, horizon: usize) -> Option<f32> {
    let ago = if horizon <= lag { lag - horizon } else { (lag - horizon % lag) % lag };
    past.get(ago).copied().filter(|value| !value.is_nan())
}

/// The middle value, the mean of the middle two of an even number. Sorts by insertion: there are eight at most, half of
/// them sorted already.
fn median(values: &mut [f32]) -> f32 {
    for end in 1..values.len() {
        let value = values[end];
        let mut place = end;
        while place > 0 && values[place - 1] > value {
            values[place] = values[place - 1];
            place -= 1;
        }
        values[place] = value;
    }
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { 0.5 * (values[half - 1] + values[half]) } else { values[half] }
}

#[cfg(test)]
mod tests;
