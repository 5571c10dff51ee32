//! The two loops over all lags, which cost most of a forecast: plain, and compiled once more for eight lanes.
//!
//! Both are the same source without reassociation or fused multiplication, so that they agree bit by bit.
#![expect(unsafe_code, reason = "SIMD dispatch: a function compiled for AVX2 is called where the processor has it")]

/// Consecutive lags of which at most one is an analogue.
pub(super) const BLOCK: usize = 16;

/// How much each lag differs from now: the squared difference of two signals, each with its past, newest first, and its
/// precision.
pub(super) fn differences(step: &mut [f32], first: (&[f32], f32), second: (&[f32], f32)) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function needs.
        return unsafe { differences_by_eight(step, first, second) };
    }
    differences_plain(step, first, second);
}

/// Lets the distance of every lag forget to `keep` of itself and adds how much it differs; `least` becomes the least
/// distance of each block, for as many blocks as it has room for.
pub(super) fn advance(keep: f32, distances: &mut [f32], step: &[f32], least: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function needs.
        return unsafe { advance_by_eight(keep, distances, step, least) };
    }
    advance_plain(keep, distances, step, least);
}

/// The least of `distances`, none of which is no number.
pub(super) fn smallest(distances: &[f32]) -> f32 {
    distances.iter().fold(f32::INFINITY, |least, distance| if *distance < least { *distance } else { least })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn differences_by_eight(step: &mut [f32], first: (&[f32], f32), second: (&[f32], f32)) {
    differences_plain(step, first, second);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn advance_by_eight(keep: f32, distances: &mut [f32], step: &[f32], least: &mut [f32]) {
    advance_plain(keep, distances, step, least);
}

#[inline(always)]
fn differences_plain(step: &mut [f32], first: (&[f32], f32), second: (&[f32], f32)) {
    let (now_first, now_second) = (first.0[0], second.0[0]);
    for ((step, then_first), then_second) in step.iter_mut().zip(first.0).zip(second.0) {
        let (one, other) = (now_first - then_first, now_second - then_second);
        *step = first.1 * one * one + second.1 * other * other;
    }
}

#[inline(always)]
fn advance_plain(keep: f32, distances: &mut [f32], step: &[f32], least: &mut [f32]) {
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
        fn eight_lanes_agree_with_the_plain_loops_bit_by_bit(
            rows in prop::collection::vec((0.0f32..9.0, -3.0f32..3.0, -1.0f32..1.0), 4 * BLOCK), keep in 0.0f32..1.0
        ) {
            let first: Vec<f32> = rows.iter().map(|row| row.1).collect();
            let second: Vec<f32> = rows.iter().map(|row| row.2).collect();
            let mut results = [false, true].map(|dispatched| {
                let mut distances: Vec<f32> = rows.iter().map(|row| row.0).collect();
                let (mut step, mut least) = (vec![0.0; 4 * BLOCK], vec![0.0; 4]);
                let parts = ((first.as_slice(), 0.7), (second.as_slice(), 1.3));
                if dispatched {
                    differences(&mut step, parts.0, parts.1);
                    advance(keep, &mut distances, &step, &mut least);
                } else {
                    differences_plain(&mut step, parts.0, parts.1);
                    advance_plain(keep, &mut distances, &step, &mut least);
                }
                [step, distances, least].concat().iter().map(|number| number.to_bits()).collect::<Vec<_>>()
            });
            let plain = std::mem::take(&mut results[0]);
            prop_assert_eq!(&plain, &results[1]);
        }
    }
}
