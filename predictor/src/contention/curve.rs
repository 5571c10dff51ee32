//! Miss ratio against the share of the LLC, in a form small enough to travel with every demand.
//!
//! Owns the fixed set of sizes, the curve at them, and the guess that stands in for a curve where nobody measured one. Measuring
//! is [`crate::miss_ratio`]'s business, composing curves of several vCPUs is [`super::analytic`]'s.

use serde::{Deserialize, Serialize};

/// Sizes of a [`ShareCurve`].
pub const POINTS: usize = 41;

/// Sizes for each doubling.
const STEPS: f64 = 8.0;

/// The smallest size is the LLC halved so many times.
const HALVINGS: f64 = 4.0;

/// The sizes of every curve in shares of the LLC, ascending: from a sixteenth to twice, in eighths of an octave. Beyond the whole
/// since sets do not fill evenly: some lose lines before the cache is full, so what would hit a little beyond matters.
#[must_use]
pub fn shares() -> [f64; POINTS] {
    std::array::from_fn(|place| (place as f64 / STEPS - HALVINGS).exp2())
}

/// Miss ratio at each of [`shares`], in [0, 1], never rising.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f32>", into = "Vec<f32>")]
pub struct ShareCurve([f32; POINTS]);

/// What is no curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a miss-ratio curve has {POINTS} ratios from 0 to 1 that never rise with size; measure it again")]
pub struct NoCurve;

impl Default for ShareCurve {
    /// Nothing is referenced again.
    fn default() -> Self {
        Self([1.0; POINTS])
    }
}

impl ShareCurve {
    /// The curve with these ratios at [`shares`].
    pub fn new(ratios: [f32; POINTS]) -> Result<Self, NoCurve> {
        let sound = ratios.iter().all(|ratio| (0.0..=1.0).contains(ratio));
        let falls = ratios.windows(2).all(|pair| pair[1] <= pair[0]);
        if sound && falls { Ok(Self(ratios)) } else { Err(NoCurve) }
    }

    /// The ratios at [`shares`].
    #[must_use]
    pub const fn ratios(&self) -> &[f32; POINTS] {
        &self.0
    }

    /// A guess where only the miss ratio with the whole LLC is known: hits come from all sizes up to the whole alike, in octaves,
    /// and what misses the whole misses twice of it. What programs have in common is little more than that, so a vCPU whose working
    /// set has an edge is guessed wrong.
    #[must_use]
    pub fn estimated(miss_ratio: f64) -> Self {
        let miss_ratio = miss_ratio.clamp(0.0, 1.0);
        let ratio = |share: f64| miss_ratio + (1.0 - miss_ratio) * (-share.log2() / HALVINGS).clamp(0.0, 1.0);
        Self(shares().map(|share| ratio(share) as f32))
    }

    /// The mean of curves, each with its weight; `None` if they weigh nothing together.
    pub fn mean(parts: impl Iterator<Item = (f64, ShareCurve)>) -> Option<Self> {
        let mut sum = [0.0; POINTS];
        let mut total = 0.0;
        for (weight, ShareCurve(ratios)) in parts {
            total += weight;
            sum.iter_mut().zip(&ratios).for_each(|(sum, ratio)| *sum += weight * f64::from(*ratio));
        }
        let mut most = 1.0f32;
        (total > 0.0).then(|| {
            Self(sum.map(|sum| {
                most = most.min((sum / total) as f32);
                most
            }))
        })
    }
}

impl TryFrom<Vec<f32>> for ShareCurve {
    type Error = NoCurve;

    fn try_from(ratios: Vec<f32>) -> Result<Self, Self::Error> {
        Self::new(ratios.try_into().map_err(|_| NoCurve)?)
    }
}

impl From<ShareCurve> for Vec<f32> {
    fn from(curve: ShareCurve) -> Self {
        curve.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_from_a_sixteenth_to_twice() {
        let shares = shares();
        assert_eq!((shares[0], shares[32], shares[40]), (1.0 / 16.0, 1.0, 2.0));
    }

    #[test]
    fn a_curve_that_rises_or_leaves_its_range_is_refused() {
        assert!(ShareCurve::new([0.5; POINTS]).is_ok());
        assert_eq!(ShareCurve::new(std::array::from_fn(|place| place as f32 / 100.0)), Err(NoCurve));
        assert_eq!(ShareCurve::new([f32::NAN; POINTS]), Err(NoCurve));
        assert_eq!(ShareCurve::try_from(vec![0.5; 3]), Err(NoCurve));
    }

    #[test]
    fn an_estimated_curve_goes_through_what_was_counted() {
        let curve = ShareCurve::estimated(0.25);
        assert_eq!((curve.ratios()[0], curve.ratios()[32], curve.ratios()[40]), (1.0, 0.25, 0.25));
        assert!(ShareCurve::new(*curve.ratios()).is_ok());
    }

    #[test]
    fn a_mean_curve_is_weighted_and_never_rises() {
        let (low, high) = (ShareCurve::estimated(0.0), ShareCurve::estimated(1.0));
        let mean = ShareCurve::mean([(1.0, low), (3.0, high)].into_iter()).expect("they weigh something");
        assert!((f64::from(mean.ratios()[32]) - 0.75).abs() < 1e-6);
        assert!(ShareCurve::new(*mean.ratios()).is_ok());
        assert_eq!(ShareCurve::mean(std::iter::empty()), None);
    }
}
