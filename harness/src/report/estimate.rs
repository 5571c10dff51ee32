//! Means and how far they can be trusted: 95 % intervals by bootstrap.
//!
//! The unit of a mean is the series: intervals of one series are not independent of each other, series are. So a mean's
//! interval comes from drawing series with replacement. Within one series, what is drawn are blocks of neighbouring intervals
//! (Künsch 1989), as long as the square root of the series, so that phases stay whole.
//!
//! Whether paired differences are more than luck is asked by exchanging the pair's sides at random ([`paired_permutation`]),
//! which supposes no distribution.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

/// Draws of each bootstrap.
const DRAWS: usize = 1000;

/// What lies below and above the interval, each.
const TAIL: f64 = 0.025;

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// How many series have a value.
    pub series: usize,
}

/// The mean of `values`, one for each series, where there is any. The same seed draws the same series, so that the intervals
/// of several scores are comparable.
#[must_use]
pub fn over_series(values: &[f64], seed: u64) -> Option<Estimate> {
    estimate(values.len(), seed, &|drawn| drawn.iter().map(|place| values[*place]).sum::<f64>() / drawn.len() as f64)
}

/// What `statistic` says of all of `count` series, with its interval; `None` of none.
#[must_use]
pub fn estimate(count: usize, seed: u64, statistic: &dyn Fn(&[usize]) -> f64) -> Option<Estimate> {
    if count == 0 {
        return None;
    }
    let all: Vec<usize> = (0..count).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = vec![0; count];
    let draws = (0..DRAWS).map(|_| {
        drawn.iter_mut().for_each(|place| *place = rng.gen_range(0..count));
        statistic(&drawn)
    });
    let (low, high) = ends(draws.filter(|value| value.is_finite()).collect());
    let mean = statistic(&all);
    mean.is_finite().then_some(Estimate { mean, low, high, series: count })
}

/// The 95 % interval of the share of hits in one series, by moving blocks.
#[must_use]
pub fn within_series(hits: &[bool], seed: u64) -> Option<(f64, f64)> {
    if hits.is_empty() {
        return None;
    }
    let block = ((hits.len() as f64).sqrt().ceil() as usize).clamp(1, hits.len());
    let mut sums = vec![0u32];
    for hit in hits {
        sums.push(sums.last().copied().unwrap_or(0) + u32::from(*hit));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let blocks = hits.len().div_ceil(block);
    let draw = |_| {
        let hits: u32 = (0..blocks)
            .map(|_| {
                let start = rng.gen_range(0..=hits.len() - block);
                sums[start + block] - sums[start]
            })
            .sum();
        f64::from(hits) / (blocks * block) as f64
    };
    Some(ends((0..DRAWS).map(draw).collect()))
}

/// How probable a mean at least as far from 0 as that of `differences` would be if in each pair either side could as well
/// have been the other: two-sided, with all exchanges where there are few pairs, else of so many drawn by `seed` (and then at
/// least one over their number, since what was seen is one of them). `None` of no pair.
#[must_use]
pub fn paired_permutation(differences: &[f64], seed: u64) -> Option<f64> {
    const ALL_UP_TO: usize = 16;
    const DRAWN: u64 = 100_000;
    if differences.is_empty() {
        return None;
    }
    // What differs in the last bits of a sum is the same sum.
    let scale: f64 = differences.iter().map(|difference| difference.abs()).sum();
    let seen = differences.iter().sum::<f64>().abs() - 1e-12 * scale;
    let signed = |signs: &mut dyn FnMut() -> bool| {
        differences.iter().map(|difference| if signs() { *difference } else { -difference }).sum::<f64>().abs() >= seen
    };
    if differences.len() <= ALL_UP_TO {
        let all = 1u64 << differences.len();
        let as_far = (0..all).filter(|signs| {
            let mut left = *signs;
            signed(&mut || {
                let sign = left & 1 == 1;
                left >>= 1;
                sign
            })
        });
        return Some(as_far.count() as f64 / all as f64);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let as_far = (0..DRAWN).filter(|_| signed(&mut || rng.gen_bool(0.5))).count() as u64;
    Some((as_far + 1) as f64 / (DRAWN + 1) as f64)
}

fn ends(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (values.len().saturating_sub(1)) as f64).round() as usize;
        values.get(place).copied().unwrap_or(f64::NAN)
    };
    (at(TAIL), at(1.0 - TAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_the_seed_decides() {
        let values = [0.2, 0.4, 0.9, 0.5, 0.7];
        let one = over_series(&values, 1).expect("some");
        assert!((one.mean - 0.54).abs() < 1e-12 && one.low < one.mean && one.mean < one.high, "{one:?}");
        assert_eq!(Some(one), over_series(&values, 1));
        assert_eq!(over_series(&[], 1), None);
        let single = over_series(&[0.5], 1).expect("some");
        assert_eq!((single.low, single.high), (0.5, 0.5));
    }

    #[test]
    fn intervals_of_independent_series_narrow_with_their_number() {
        let width = |count: usize| {
            let values: Vec<f64> = (0..count).map(|place| (place % 10) as f64).collect();
            over_series(&values, 1).map(|estimate| estimate.high - estimate.low).expect("some")
        };
        let ratio = width(40) / width(640);
        assert!((3.0..5.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn few_pairs_are_told_by_all_exchanges() {
        // Of 8 exchanges only the one that was seen and its mirror image are as far from 0.
        assert_eq!(paired_permutation(&[1.0, 2.0, 3.0], 1), Some(0.25));
        assert_eq!(paired_permutation(&[0.0, 0.0], 1), Some(1.0));
        assert_eq!(paired_permutation(&[], 1), None);
    }

    #[test]
    fn many_pairs_are_told_by_drawn_exchanges_and_the_seed_decides() {
        let better: Vec<f64> = (0..30).map(|pair| 0.5 + f64::from(pair % 5)).collect();
        let luck: Vec<f64> = (0..30).map(|pair| if pair % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(paired_permutation(&better, 1).expect("pairs") < 1e-4);
        assert!(paired_permutation(&luck, 1).expect("pairs") > 0.9);
        let some: Vec<f64> = (0..30).map(|pair| f64::from(pair % 7) - 2.5).collect();
        assert_eq!(paired_permutation(&some, 3), paired_permutation(&some, 3));
    }

    #[test]
    fn hits_that_come_in_blocks_are_less_certain_than_scattered_ones() {
        let width = |hits: &[bool]| within_series(hits, 1).map(|(low, high)| high - low).expect("some");
        let scattered: Vec<bool> = (0..1000).map(|place| place % 2 == 0).collect();
        let blocks: Vec<bool> = (0..1000).map(|place| place / 100 % 2 == 0).collect();
        assert!(width(&blocks) > 5.0 * width(&scattered), "{} {}", width(&blocks), width(&scattered));
        assert_eq!(within_series(&[], 1), None);
    }
}
