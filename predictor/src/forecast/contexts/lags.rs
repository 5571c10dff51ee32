//! The two loops over all lags, which cost most of a forecast.
//!
//! Owns how each lag differs from now ([`Differences`]) and how the distances of all lags go on ([`Advance`]). Which of them
//! are the least is [`super::nearest`]'s business.
//!
//! No sum is taken in another order on wider registers, and no product is fused with one: [`crate::simd`] has the loops
//! compiled for the widest there are, and they agree bit by bit.

use super::nearest::{BLOCK, Candidates, Nearest, nearest};
use crate::simd::{Lanes, Vector, WIDTH, Work};

/// How much each lag differs from now: the squared difference of two signals, each with its past, newest first, and its
/// precision.
pub(super) struct Differences<'a> {
    /// The answer, for as many lags as it has room for.
    pub(super) step: &'a mut [f32],
    pub(super) first: (&'a [f32], f32),
    pub(super) second: (&'a [f32], f32),
}

/// Lets the distance of every lag forget to `keep` of itself and adds how much it differs; finds the nearest.
pub(super) struct Advance<'a> {
    pub(super) keep: f32,
    /// Whole blocks of lags, the first of which is 0, now itself.
    pub(super) distances: &'a mut [f32],
    /// As many.
    pub(super) step: &'a [f32],
    /// The longest lag that does not reach back before the beginning, in the last of the blocks.
    pub(super) lags: usize,
    /// The nearest a quantum ago: most of them still are, so that few blocks need a closer look.
    pub(super) before: &'a Nearest,
}

impl Differences<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) {
        Lanes::widest().run(self);
    }
}

impl Advance<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) -> Nearest {
        Lanes::widest().run(self)
    }

    /// Distances that the nearest are not above: the nearest of a quantum ago lie in as many blocks and are not, now.
    fn bound(&self) -> f32 {
        if !self.before.is_full() {
            return f32::INFINITY;
        }
        let now = |lag: usize| self.keep * self.distances[lag] + self.step[lag];
        self.before.iter().fold(0.0, |most, known| f32::max(most, now(known.lag)))
    }
}

impl Work for Differences<'_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        differences(self.step, self.first, self.second);
    }
}

impl Work for Advance<'_> {
    type Answer = Nearest;

    #[inline(always)]
    fn run<V: Vector>(self) -> Nearest {
        let bound = self.bound();
        let candidates = advance::<V>(self.keep, self.distances, self.step, bound);
        // Now is like itself and tells nothing.
        self.distances[0] = f32::INFINITY;
        let found = nearest::<V>(self.distances, self.lags, &candidates);
        // What reaches back before the beginning has no distance yet.
        self.distances[self.lags + 1..].fill(0.0);
        found
    }
}

#[inline(always)]
fn differences(step: &mut [f32], first: (&[f32], f32), second: (&[f32], f32)) {
    let (now_first, now_second) = (first.0[0], second.0[0]);
    for ((step, then_first), then_second) in step.iter_mut().zip(first.0).zip(second.0) {
        let (one, other) = (now_first - then_first, now_second - then_second);
        *step = first.1 * one * one + second.1 * other * other;
    }
}

/// Goes on, and names the blocks that hold a distance of at most `bound`.
#[inline(always)]
fn advance<V: Vector>(keep: f32, distances: &mut [f32], step: &[f32], bound: f32) -> Candidates {
    let (keep, bound) = (V::splat(keep), V::splat(bound));
    let mut candidates = Candidates::default();
    let steps = step.as_chunks::<WIDTH>().0.as_chunks::<2>().0;
    let blocks = distances.as_chunks_mut::<WIDTH>().0.as_chunks_mut::<2>().0;
    for (block, ([low, high], [low_step, high_step])) in (0u32..).zip(blocks.iter_mut().zip(steps)) {
        let first = keep.times(V::load(low)).plus(V::load(low_step));
        let second = keep.times(V::load(high)).plus(V::load(high_step));
        (*low, *high) = (first.store(), second.store());
        candidates.add_if(first.min(second).any_at_most(bound), block);
    }
    candidates
}

const _: () = assert!(BLOCK == 2 * WIDTH, "a block is two registers");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAGS: usize = 40 * BLOCK;

    proptest! {
        #[test]
        fn wide_registers_agree_with_portable_ones_bit_by_bit(
            rows in prop::collection::vec((0.0f32..9.0, -3.0f32..3.0, -1.0f32..1.0), LAGS),
            keep in 0.0f32..1.0,
            lags in LAGS - BLOCK..LAGS,
        ) {
            let first: Vec<f32> = rows.iter().map(|row| row.1).collect();
            let second: Vec<f32> = rows.iter().map(|row| row.2).collect();
            let results = [Lanes::Portable, Lanes::widest()].map(|lanes| {
                let mut distances: Vec<f32> = rows.iter().map(|row| row.0).collect();
                let mut step = vec![0.0; LAGS];
                let mut before = Nearest::default();
                let mut found = Vec::new();
                for _ in 0..2 {
                    lanes.run(Differences { step: &mut step, first: (&first, 0.7), second: (&second, 1.3) });
                    let distances = &mut distances;
                    before = lanes.run(Advance { keep, distances, step: &step, lags, before: &before });
                    found.extend(before.iter().flat_map(|one| [one.lag as u32, one.distance.to_bits(), one.weight.to_bits()]));
                }
                found.extend(step.iter().chain(&distances).map(|number| number.to_bits()));
                found
            });
            prop_assert_eq!(&results[0], &results[1]);
        }
    }
}
