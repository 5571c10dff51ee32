//! Eight numbers in a 256-bit register.
#![expect(unsafe_code, reason = "instructions that not every processor has are called where it was asked for them")]

use std::arch::x86_64::{
    __m256, __m256d, _CMP_LE_OQ, _CMP_LT_OQ, _mm256_add_pd, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps,
    _mm256_loadu_pd, _mm256_loadu_ps, _mm256_max_pd, _mm256_max_ps, _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_pd,
    _mm256_mul_ps, _mm256_set1_pd, _mm256_set1_ps, _mm256_storeu_pd, _mm256_storeu_ps, _mm256_sub_pd, _mm256_sub_ps,
};

use super::{Doubles, HALF, Vector, WIDTH, Work};

/// Whether this processor has them.
pub(super) fn present() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// Does `work` in them; on a processor that has them.
pub(super) fn run<W: Work>(work: W) -> W::Answer {
    assert!(present(), "this processor has no AVX2");
    // SAFETY: the processor was just asked.
    unsafe { compiled(work) }
}

#[target_feature(enable = "avx2")]
fn compiled<W: Work>(work: W) -> W::Answer {
    work.run::<Register>()
}

/// Private to this file and handed to [`compiled`] alone: where there is one, the processor has AVX2. That is what makes
/// each call below safe.
#[derive(Clone, Copy)]
struct Register(__m256);

/// One instruction that touches no memory.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: only `compiled` names this type, and it runs with AVX2.
        Self(unsafe { $call })
    };
}

/// As [`Register`] in every respect.
#[derive(Clone, Copy)]
struct DoubleRegister(__m256d);

impl Doubles for DoubleRegister {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        instruction!(_mm256_set1_pd(value))
    }

    #[inline(always)]
    fn load(values: &[f64; HALF]) -> Self {
        // SAFETY: only `compiled` names this type, and the array has four numbers; any alignment will do.
        Self(unsafe { _mm256_loadu_pd(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self) -> [f64; HALF] {
        let mut values = [0.0; HALF];
        // SAFETY: only `compiled` names this type, and the array has room for four numbers; any alignment will do.
        unsafe { _mm256_storeu_pd(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        instruction!(_mm256_add_pd(self.0, other.0))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        instruction!(_mm256_sub_pd(self.0, other.0))
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        instruction!(_mm256_mul_pd(self.0, other.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        instruction!(_mm256_max_pd(self.0, other.0))
    }
}

impl Vector for Register {
    type Doubles = DoubleRegister;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        instruction!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(values: &[f32; WIDTH]) -> Self {
        // SAFETY: only `compiled` names this type, and the array has eight numbers; any alignment will do.
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self) -> [f32; WIDTH] {
        let mut values = [0.0; WIDTH];
        // SAFETY: only `compiled` names this type, and the array has room for eight numbers; any alignment will do.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        instruction!(_mm256_add_ps(self.0, other.0))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        instruction!(_mm256_sub_ps(self.0, other.0))
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        instruction!(_mm256_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        instruction!(_mm256_min_ps(self.0, other.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        instruction!(_mm256_max_ps(self.0, other.0))
    }

    #[inline(always)]
    fn select_below(self, other: Self, yes: Self, no: Self) -> Self {
        instruction!(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0)))
    }
    #[inline(always)]
    fn any_at_most(self, other: Self) -> bool {
        // SAFETY: only `compiled` names this type, and it runs with AVX2; neither instruction touches memory.
        let signs = unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(self.0, other.0)) };
        signs != 0
    }
}
