//! Eight numbers in a 256-bit register.
#![expect(unsafe_code, reason = "instructions that not every processor has are called where it was asked for them")]

use std::arch::x86_64::{
    __m256, _CMP_LT_OQ, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::{Vector, WIDTH, Work};

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

impl Vector for Register {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        instruction!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(values: &[f32; WIDTH]) -> Self {
        // SAFETY: as below, and the array has eight numbers; any alignment will do.
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self) -> [f32; WIDTH] {
        let mut values = [0.0; WIDTH];
        // SAFETY: as below, and the array has room for eight numbers; any alignment will do.
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
}
