//! What each phase's quanta read: mean and quantiles of a rate within a phase, and of the phases forecast together.
//!
//! Phase-aware regression (Alcorta et al., SAMOS 2021) forecasts the phase and then the counter within it. Here a phase has
//! levels of its own that are learned online: decayed mean and quantiles of a rate over the quanta spent in it. A
//! forecast over phases then gives a mixture,
//!
//! ```text
//! mean          = sum of p(phase) * mean(phase)
//! P(rate <= x)  = sum of p(phase) * P(rate <= x | phase)
//! ```
//!
//! where the distribution within a phase is taken as three points, its quantiles, with the probabilities that lie nearest
//! to each. A phase that was never seen has no level: its probability is left out, and the others' count for the whole.

use super::NumericForecast;
use super::quantiles::SHARES;
use crate::forecast::Forecast;
use crate::phases::PhaseId;

/// What a quantum weighs in a phase's levels, at least.
const LEVEL_SHARE: f64 = 0.02;

/// Probabilities that the three points of a phase stand for: up to halfway between the shares.
const POINT_WEIGHTS: [f64; 3] = [0.3, 0.4, 0.3];

/// One rate in one phase.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    quanta: f64,
    mean: f64,
    spread: f64,
    quantiles: [f64; 3],
}

/// The levels of one rate in every phase.
#[derive(Debug, Clone)]
pub struct Levels(Vec<Level>);

impl Levels {
    /// Nothing known of any of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self(vec![Level::default(); phases])
    }

    /// A quantum in `phase` read `rate`; `None` teaches nothing.
    pub fn observe(&mut self, phase: PhaseId, rate: Option<f64>) {
        let (Some(level), Some(rate)) = (self.0.get_mut(phase.index()), rate.filter(|rate| rate.is_finite())) else {
            return;
        };
        if level.quanta == 0.0 {
            level.mean = rate;
            level.quantiles = [rate; 3];
        }
        level.quanta += 1.0;
        let share = LEVEL_SHARE.max(1.0 / level.quanta);
        level.spread += share * ((rate - level.mean).abs() - level.spread);
        level.mean += share * (rate - level.mean);
        for (quantile, share_below) in level.quantiles.iter_mut().zip(SHARES) {
            let below = f64::from(u8::from(rate < *quantile));
            *quantile += 4.0 * share * level.spread * (share_below - below);
        }
        level.quantiles.sort_by(f64::total_cmp);
    }

    /// What is expected of the rate in `phase`; `None` before the phase was seen.
    #[must_use]
    pub fn of(&self, phase: PhaseId) -> Option<NumericForecast> {
        let level = self.0.get(phase.index()).filter(|level| level.quanta > 0.0)?;
        Some(NumericForecast { mean: level.mean, quantiles: level.quantiles })
    }

    /// What is expected of the rate when the phase is as `forecast` says; `None` if no phase in it was ever seen.
    #[must_use]
    pub fn expected(&self, forecast: &Forecast) -> Option<NumericForecast> {
        let known = || forecast.iter().filter_map(|(phase, share)| Some((share, self.of(phase)?)));
        let total: f64 = known().map(|(share, _)| share).sum();
        if total <= 0.0 {
            return None;
        }
        let mean = known().map(|(share, level)| share * level.mean).sum::<f64>() / total;
        let mut points: Vec<(f64, f64)> = known()
            .flat_map(|(share, level)| {
                let weights = POINT_WEIGHTS.map(|weight| weight * share / total);
                level.quantiles.into_iter().zip(weights)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let quantiles = SHARES.map(|share| {
            let mut below = 0.0;
            let reached = points.iter().find(|(_, weight)| {
                below += weight;
                below >= share
            });
            reached.or(points.last()).map_or(mean, |(value, _)| *value)
        });
        Some(NumericForecast { mean, quantiles })
    }

    /// Memory it holds on to, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.0.capacity() * size_of::<Level>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_reads_what_it_read_and_phases_mix_by_their_probabilities() {
        let mut levels = Levels::new(3);
        for _ in 0..50 {
            levels.observe(PhaseId(0), Some(1.0));
            levels.observe(PhaseId(1), Some(3.0));
        }
        let known = |mean: f64| NumericForecast { mean, quantiles: [mean; 3] };
        assert_eq!(levels.of(PhaseId(0)), Some(known(1.0)));
        let even = Forecast::from_weights(vec![0.5, 0.5, 0.0]).expect("a distribution");
        assert_eq!(levels.expected(&even), Some(NumericForecast { mean: 2.0, quantiles: [1.0, 1.0, 3.0] }));
    }

    #[test]
    fn a_phase_never_seen_has_no_level_and_is_not_zero() {
        let mut levels = Levels::new(2);
        levels.observe(PhaseId(0), Some(5.0));
        levels.observe(PhaseId(1), None);
        assert_eq!(levels.of(PhaseId(1)), None);
        let mostly_unseen = Forecast::from_weights(vec![0.1, 0.9]).expect("a distribution");
        assert_eq!(levels.expected(&mostly_unseen).map(|level| level.mean), Some(5.0));
        assert_eq!(levels.expected(&Forecast::certain(PhaseId(1), 2)), None);
    }

    #[test]
    fn quantiles_within_a_phase_cover_what_they_say() {
        let mut levels = Levels::new(1);
        let mut below = [0u32; 3];
        for quantum in 0..20_000u32 {
            let rate = f64::from(quantum.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
            if let Some(level) = levels.of(PhaseId(0)) {
                for (count, quantile) in below.iter_mut().zip(level.quantiles) {
                    *count += u32::from(rate < quantile);
                }
            }
            levels.observe(PhaseId(0), Some(rate));
        }
        for (count, share) in below.into_iter().zip(SHARES) {
            assert!((f64::from(count) / 20_000.0 - share).abs() < 0.02, "{below:?}");
        }
    }
}
