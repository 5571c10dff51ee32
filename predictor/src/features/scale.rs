//! From rates to points: what makes coordinates of different events comparable.
//!
//! # Problem
//!
//! Phases are near points. Rates of different events have different sizes and are spread over decades, so a distance
//! between raw rates is that of the largest. Mean and deviation of the training data would do, but for two habits of
//! counters: a start-up or a sample of a few instructions can be off by decades, and pulls both of them along.
//!
//! # Method
//!
//! Of `ln(1 + rate)` over the training vectors, for each feature,
//!
//! ```text
//! center = median
//! spread = (95th percentile - 5th percentile) / 3.29        at least SPREAD_FLOOR
//! point  = (ln(1 + rate) - center) / spread
//! ```
//!
//! 3.29 makes the spread of a normal distribution its standard deviation. The more usual interquartile range and median
//! absolute deviation are blind here: a program that computes for four fifths of its run and streams for the rest has an
//! interquartile range of nothing, and its two phases would lie hundreds of spreads apart, so that no other difference
//! counted. Percentiles 5 and 95 see every phase that takes a twentieth of the run.
//!
//! # Properties
//!
//! - Less than a twentieth of the samples, however wild, move center and spread no further than to where other samples
//!   lie.
//! - A feature that hardly varies is not blown up to matter: its spread is at least [`SPREAD_FLOOR`].
//! - Vectors in any order have the same scale.

use serde::{Deserialize, Serialize};

use super::FeatureVector;

/// Smallest spread used to scale, in units of `ln(1 + rate)`: rates within a quarter of each other are alike.
pub const SPREAD_FLOOR: f64 = 0.25;

/// The share of samples beyond each end of what counts as the spread.
const TAIL: f64 = 0.05;

/// Standard deviations of a normal distribution between those ends.
const DEVIATIONS_BETWEEN: f64 = 3.29;

/// Center and spread of `ln(1 + rate)` for each feature, as seen in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Median of each coordinate.
    pub center: Vec<f64>,
    /// Robust deviation of each coordinate, at least [`SPREAD_FLOOR`].
    pub spread: Vec<f64>,
}

impl Scale {
    /// The scale of `vectors`, all of one feature set. Of no vectors, one without coordinates.
    #[must_use]
    pub fn fit(vectors: &[FeatureVector]) -> Self {
        let dimensions = vectors.first().map_or(0, |vector| vector.0.len());
        let mut scale = Self { center: Vec::new(), spread: Vec::new() };
        for place in 0..dimensions {
            let mut logs: Vec<f64> = vectors.iter().map(|vector| vector.0[place].ln_1p()).collect();
            logs.sort_by(f64::total_cmp);
            let width = percentile(&logs, 1.0 - TAIL) - percentile(&logs, TAIL);
            scale.center.push(percentile(&logs, 0.5));
            scale.spread.push((width / DEVIATIONS_BETWEEN).max(SPREAD_FLOOR));
        }
        scale
    }

    /// `vector` as a point in which distances may be taken.
    #[must_use]
    pub fn point(&self, vector: &FeatureVector) -> Vec<f64> {
        let axes = self.center.iter().zip(&self.spread);
        vector.0.iter().zip(axes).map(|(rate, (center, spread))| (rate.ln_1p() - center) / spread).collect()
    }
}

/// The value that `share` of `sorted`, which is not empty, lie below; between two of them by their distance.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vectors(rates: &[f64]) -> Vec<FeatureVector> {
        rates.iter().map(|rate| FeatureVector(vec![*rate])).collect()
    }

    #[test]
    fn a_feature_that_hardly_varies_is_not_blown_up() {
        let vectors: Vec<_> = [250.0, 250.5, 249.5].map(|loads| FeatureVector(vec![1.0, loads])).into();
        let scale = Scale::fit(&vectors);
        assert!(scale.point(&vectors[1]).iter().all(|coordinate| coordinate.abs() < 0.05));
    }

    #[test]
    fn a_phase_of_a_tenth_of_the_run_is_seen_by_the_spread() {
        let mut rates = vec![0.1; 90];
        rates.extend([150.0; 10]);
        let scale = Scale::fit(&vectors(&rates));
        let streaming = scale.point(&FeatureVector(vec![150.0]))[0];
        assert!((3.0..3.5).contains(&streaming), "{streaming} spreads from the center");
    }

    #[test]
    fn the_spread_of_evenly_spread_logarithms_is_that_of_their_middle() {
        let rates: Vec<f64> = (0..=100).map(|step| (f64::from(step) / 10.0).exp() - 1.0).collect();
        let scale = Scale::fit(&vectors(&rates));
        assert!((scale.center[0] - 5.0).abs() < 1e-9);
        assert!((scale.spread[0] - 9.0 / DEVIATIONS_BETWEEN).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn wild_samples_that_are_few_move_the_scale_no_further_than_to_other_samples(
            rates in prop::collection::vec(10.0..1000.0f64, 60..200),
            wild in prop::collection::vec(prop::sample::select(vec![0.0, 1e15]), 2),
        ) {
            let sound = Scale::fit(&vectors(&rates));
            let disturbed = Scale::fit(&vectors(&[rates.clone(), wild].concat()));
            let range = (10.0f64.ln_1p(), 1000.0f64.ln_1p());
            prop_assert!((range.0..=range.1).contains(&disturbed.center[0]));
            prop_assert!(disturbed.spread[0] <= ((range.1 - range.0) / DEVIATIONS_BETWEEN).max(SPREAD_FLOOR));
            prop_assert_eq!(sound.spread.len(), disturbed.spread.len());
        }

        #[test]
        fn the_order_of_vectors_does_not_matter(rates in prop::collection::vec(0.0..1e6f64, 1..50)) {
            let reversed: Vec<f64> = rates.iter().rev().copied().collect();
            prop_assert_eq!(Scale::fit(&vectors(&rates)), Scale::fit(&vectors(&reversed)));
        }
    }
}
