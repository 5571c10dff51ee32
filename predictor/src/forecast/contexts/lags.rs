//! The two loops over all lags, which cost most of a forecast.
//!
//! Plain loops without reassociation or fused multiplication: the compiler makes them as wide as the registers for which
//! [`crate::simd`] has them compiled, and they agree bit by bit.

use crate::simd::{Lanes, Vector, Work};

/// Consecutive lags of which at most one is an analogue.
pub(super) const BLOCK: usize = 16;

/// How much each lag differs from now: the squared difference of two signals, each with its past, newest first, and its
/// precision.
pub(super) struct Differences<'a> {
    /// The answer, for as many lags as it has room for.
    pub(super) step: &'a mut [f32],
    pub(super) first: (&'a [f32], f32),
    pub(super) second: (&'a [f32], f32),
}

/// Lets the distance of every lag forget to `keep` of itself and adds how much it differs; `least` becomes the least
/// distance of each block, for as many blocks as it has room for.
pub(super) struct Advance<'a> {
    pub(super) keep: f32,
    pub(super) distances: &'a mut [f32],
    pub(super) step: &'a [f32],
    pub(super) least: &'a mut [f32],
}

impl Differences<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) {
        Lanes::widest().run(self);
    }
}

impl Advance<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) {
        Lanes::widest().run(self);
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
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        advance(self.keep, self.distances, self.step, self.least);
    }
}

/// The least of `distances`, none of which is no number.
pub(super) fn smallest(distances: &[f32]) -> f32 {
    distances.iter().fold(f32::INFINITY, |least, distance| if *distance < least { *distance } else { least })
}

#[inline(always)]
fn differences(step: &mut [f32], first: (&[f32], f32), second: (&[f32], f32)) {
    let (now_first, now_second) = (first.0[0], second.0[0]);
    for ((step, then_first), then_second) in step.iter_mut().zip(first.0).zip(second.0) {
        let (one, other) = (now_first - then_first, now_second - then_second);
        *step = first.1 * one * one + second.1 * other * other;
    }
}

#[inline(always)]
fn advance(keep: f32, distances: &mut [f32], step: &[f32], least: &mut [f32]) {
    for (distance, step) in distances.iter_mut().zip(step) {
        *distance = keep * *distance + step;
    }
    for (block, least) in distances.as_chunks().0.iter().zip(least) {
        *least = least_of_block(block);
    }
}

/// The least distance of one block, by halves, so that no chain of comparisons is long. Never inlined: within the loop
/// above it would be compiled to work on eight blocks at once, which means to gather every number by itself.
#[inline(never)]
fn least_of_block(block: &[f32; BLOCK]) -> f32 {
    let halves: [f32; 8] = std::array::from_fn(|lane| lesser(block[lane], block[lane + 8]));
    let quarters: [f32; 4] = std::array::from_fn(|lane| lesser(halves[lane], halves[lane + 4]));
    lesser(lesser(quarters[0], quarters[2]), lesser(quarters[1], quarters[3]))
}

#[inline(always)]
fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wide_registers_agree_with_portable_ones_bit_by_bit(
            rows in prop::collection::vec((0.0f32..9.0, -3.0f32..3.0, -1.0f32..1.0), 4 * BLOCK), keep in 0.0f32..1.0
        ) {
            let first: Vec<f32> = rows.iter().map(|row| row.1).collect();
            let second: Vec<f32> = rows.iter().map(|row| row.2).collect();
            let mut results = [Lanes::Portable, Lanes::widest()].map(|lanes| {
                let mut distances: Vec<f32> = rows.iter().map(|row| row.0).collect();
                let (mut step, mut least) = (vec![0.0; 4 * BLOCK], vec![0.0; 4]);
                lanes.run(Differences { step: &mut step, first: (&first, 0.7), second: (&second, 1.3) });
                lanes.run(Advance { keep, distances: &mut distances, step: &step, least: &mut least });
                [step, distances, least].concat().iter().map(|number| number.to_bits()).collect::<Vec<_>>()
            });
            let portable = std::mem::take(&mut results[0]);
            prop_assert_eq!(&portable, &results[1]);
        }
    }
}
