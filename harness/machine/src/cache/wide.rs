//! One access to a set by vector instructions, where the processor has them: all words compared at once and moved at
//! once, without a branch on where the line was found. Answers exactly what [`super::portable_access`] does, which is
//! used elsewhere; a test holds them against each other.

#![expect(unsafe_code, reason = "vector instructions, and the question whether the processor has them")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_blend_epi32, _mm256_blendv_epi8, _mm256_castsi256_pd, _mm256_cmpeq_epi64,
    _mm256_cmpgt_epi64, _mm256_loadu_si256, _mm256_movemask_pd, _mm256_permute4x64_epi64, _mm256_set_epi64x,
    _mm256_set1_epi64x, _mm256_storeu_si256,
};

use super::{DIRTY, Direction, Line, Outcome};

/// Words in a vector.
const LANES: usize = 4;

/// As [`super::access`], for sets of 8 and 16 ways on processors with AVX2; elsewhere `None`, and nothing changes.
#[inline(always)]
pub(super) fn access(set: &mut [u64], line: Line, direction: Direction) -> Option<Outcome> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        if let Ok(set) = <&mut [u64; 16]>::try_from(&mut *set) {
            // SAFETY: the processor has AVX2.
            return Some(unsafe { avx2::<16, 4>(set, line, direction) });
        }
        if let Ok(set) = <&mut [u64; 8]>::try_from(set) {
            // SAFETY: the processor has AVX2.
            return Some(unsafe { avx2::<8, 2>(set, line, direction) });
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (set, line, direction);
    None
}

/// A set of `WAYS` words, which are `VECTORS` vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const WAYS: usize, const VECTORS: usize>(set: &mut [u64; WAYS], line: Line, direction: Direction) -> Outcome {
    const { assert!(WAYS == VECTORS * LANES) };
    let wanted = line.word();
    let (every_wanted, clean) = (_mm256_set1_epi64x(wanted as i64), _mm256_set1_epi64x(!DIRTY as i64));
    let mut words = [_mm256_set1_epi64x(0); VECTORS];
    let mut matches = 0u32;
    for (nth, words) in words.iter_mut().enumerate() {
        // SAFETY: the set has `VECTORS` times as many words as a vector.
        *words = unsafe { _mm256_loadu_si256(set.as_ptr().add(nth * LANES).cast::<__m256i>()) };
        let equal = _mm256_cmpeq_epi64(_mm256_and_si256(*words, clean), every_wanted);
        matches |= (_mm256_movemask_pd(_mm256_castsi256_pd(equal)) as u32) << (nth * LANES);
    }
    // The word that leaves its place: the wanted one, else the last.
    let way = (matches | 1 << (WAYS - 1)).trailing_zeros() as usize;
    let left = set[way];
    let found = matches != 0;
    let first = wanted | direction.flag() | if found { left & DIRTY } else { 0 };
    let last_moved = _mm256_set1_epi64x(way as i64);
    let mut carried = _mm256_set1_epi64x(first as i64);
    for (nth, words) in words.into_iter().enumerate() {
        let turned = _mm256_permute4x64_epi64::<0b10_01_00_11>(words);
        let moved = _mm256_blend_epi32::<0b0000_0011>(turned, carried);
        carried = turned;
        let at = (nth * LANES) as i64;
        let stays = _mm256_cmpgt_epi64(_mm256_set_epi64x(at + 3, at + 2, at + 1, at), last_moved);
        let words = _mm256_blendv_epi8(moved, words, stays);
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(set.as_mut_ptr().add(nth * LANES).cast::<__m256i>(), words) };
    }
    if found {
        return Outcome::Hit;
    }
    Outcome::Miss { dirty_victim: (left & DIRTY != 0).then_some(Line(left >> super::FLAG_BITS)) }
}
