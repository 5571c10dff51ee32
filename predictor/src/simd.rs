//! The same arithmetic on whatever registers the processor has.
//!
//! Owns the choice between instruction sets, and all `unsafe` that it needs. What is computed is the caller's: a [`Work`]
//! is written once over [`Vector`], eight numbers side by side, and compiled for every processor of the target and once
//! more for AVX2.
//!
//! # Properties
//!
//! - Both give the same bits. Each operation of [`Vector`] rounds each lane once, as IEEE 754 says, on either; no
//!   operation adds lanes up, and products are not fused with sums. So the choice is one of speed alone, and asking the
//!   processor does not make a decision depend on the machine.
//! - `fma` is left out for that reason, at no cost where products and sums have ports of their own.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// How many numbers stand side by side.
pub const WIDTH: usize = 8;

/// The instruction set that a [`Work`] is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// What every processor of the target has.
    Portable,
    /// 256-bit registers; on a processor without them the portable code runs instead.
    Avx2,
}

impl Lanes {
    /// The widest that this processor has.
    #[must_use]
    pub fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if avx2::present() {
            return Self::Avx2;
        }
        Self::Portable
    }

    /// Does `work` with these registers.
    pub fn run<W: Work>(self, work: W) -> W::Answer {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if avx2::present() => avx2::run(work),
            _ => work.run::<Portable>(),
        }
    }
}

/// Arithmetic to be compiled for more than one instruction set.
pub trait Work {
    /// What it computes.
    type Answer;

    /// Computes it. Implementations, and what they call in their inner loops, are `#[inline(always)]`, or they would be
    /// compiled for the narrowest registers only.
    fn run<V: Vector>(self) -> Self::Answer;
}

/// [`WIDTH`] numbers side by side; each operation is one on each lane.
pub trait Vector: Copy {
    /// As wide a register of double numbers.
    type Doubles: Doubles;

    /// The same number everywhere.
    fn splat(value: f32) -> Self;
    /// The numbers of an array.
    fn load(values: &[f32; WIDTH]) -> Self;
    /// As an array.
    fn store(self) -> [f32; WIDTH];
    /// Sums.
    fn plus(self, other: Self) -> Self;
    /// Differences.
    fn minus(self, other: Self) -> Self;
    /// Products.
    fn times(self, other: Self) -> Self;
    /// The smaller of two; `other` where they are equal or one is no number.
    fn min(self, other: Self) -> Self;
    /// The larger of two; `other` where they are equal or one is no number.
    fn max(self, other: Self) -> Self;
    /// Where this is less than `other`, `yes`, elsewhere `no`.
    fn select_below(self, other: Self, yes: Self, no: Self) -> Self;
    /// Whether any number is at most the one beside it in `other`.
    fn any_at_most(self, other: Self) -> bool;
}

/// How many double numbers stand side by side.
pub const HALF: usize = WIDTH / 2;

/// [`HALF`] double numbers side by side.
pub trait Doubles: Copy {
    /// The same number everywhere.
    fn splat(value: f64) -> Self;
    /// The numbers of an array.
    fn load(values: &[f64; HALF]) -> Self;
    /// As an array.
    fn store(self) -> [f64; HALF];
    /// Sums.
    fn plus(self, other: Self) -> Self;
    /// Differences.
    fn minus(self, other: Self) -> Self;
    /// Products.
    fn times(self, other: Self) -> Self;
    /// The larger of two; `other` where they are equal or one is no number.
    fn max(self, other: Self) -> Self;
}

/// Four double numbers as an array.
#[derive(Debug, Clone, Copy)]
pub struct PortableDoubles([f64; HALF]);

impl Doubles for PortableDoubles {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; HALF])
    }

    #[inline(always)]
    fn load(values: &[f64; HALF]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self) -> [f64; HALF] {
        self.0
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| if self.0[lane] > other.0[lane] { self.0[lane] } else { other.0[lane] }))
    }
}

/// Eight numbers as an array: what the compiler makes of it on any processor.
#[derive(Debug, Clone, Copy)]
pub struct Portable([f32; WIDTH]);

impl Portable {
    #[inline(always)]
    fn each(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| operation(self.0[lane], other.0[lane])))
    }
}

impl Vector for Portable {
    type Doubles = PortableDoubles;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; WIDTH])
    }

    #[inline(always)]
    fn load(values: &[f32; WIDTH]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self) -> [f32; WIDTH] {
        self.0
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.each(other, |a, b| a - b)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.each(other, |a, b| a * b)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.each(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.each(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn select_below(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|lane| if self.0[lane] < other.0[lane] { yes.0[lane] } else { no.0[lane] }))
    }

    #[inline(always)]
    fn any_at_most(self, other: Self) -> bool {
        // All lanes are looked at: to stop at the first would be a branch a lane.
        (0..WIDTH).fold(false, |any, lane| any | (self.0[lane] <= other.0[lane]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every operation on the same numbers, as bits.
    struct Everything([f32; WIDTH], [f32; WIDTH]);

    impl Work for Everything {
        type Answer = Vec<u32>;

        #[inline(always)]
        fn run<V: Vector>(self) -> Vec<u32> {
            let (a, b) = (V::load(&self.0), V::load(&self.1));
            let all = [a.plus(b), a.minus(b), a.times(b), a.min(b), a.max(b), a.select_below(b, b, a)];
            let mut bits: Vec<u32> = all.iter().flat_map(|vector| vector.store().map(f32::to_bits)).collect();
            bits.push(V::splat(self.0[0]).store()[7].to_bits());
            bits.push(u32::from(a.any_at_most(b)));
            bits.push(u32::from(b.any_at_most(V::splat(self.0[0]))));
            let double = |values: [f32; WIDTH]| V::Doubles::load(&std::array::from_fn(|lane| f64::from(values[lane])));
            let (a, b) = (double(self.0), double(self.1));
            let all = [a.plus(b), a.minus(b), a.times(b), a.max(b), V::Doubles::splat(0.1)];
            bits.extend(all.iter().flat_map(|vector| vector.store()).flat_map(|value| {
                let bits = value.to_bits();
                [(bits >> 32) as u32, bits as u32]
            }));
            bits
        }
    }

    proptest! {
        #[test]
        fn portable_and_avx2_agree_bit_by_bit(
            a in prop::array::uniform8(prop::num::f32::POSITIVE | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL),
            b in prop::array::uniform8(prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::INFINITE),
        ) {
            let portable = Lanes::Portable.run(Everything(a, b));
            prop_assert_eq!(Lanes::widest().run(Everything(a, b)), portable);
        }
    }
}
