//! Logarithm and exponential in single precision, by polynomials: the same bits on every machine, where a system's
//! mathematics library may differ in the last one, and several times faster. Both are free of branches, so that many
//! numbers are worked out side by side ([`Logarithms`], [`Exponentials`]).

use crate::simd::{Lanes, Vector, Work};

/// Puts the logarithm of each number, which is at least 1, in its place.
pub(super) struct Logarithms<'a>(pub(super) &'a mut [f32]);

/// Puts e to each number, none of which is above 0, in its place.
pub(super) struct Exponentials<'a>(pub(super) &'a mut [f32]);

impl Logarithms<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) {
        Lanes::widest().run(self);
    }
}

impl Exponentials<'_> {
    /// Computes them on the widest registers there are.
    pub(super) fn compute(self) {
        Lanes::widest().run(self);
    }
}

impl Work for Logarithms<'_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        self.0.iter_mut().for_each(|number| *number = ln(*number));
    }
}

impl Work for Exponentials<'_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        self.0.iter_mut().for_each(|number| *number = exp(*number));
    }
}

/// ln `x` for `x` >= 1, to within 1e-5 absolutely.
#[inline(always)]
fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    // The mantissa, in [1, 2), brought to [sqrt(1/2), sqrt(2)).
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    let (mantissa, exponent) =
        if mantissa > std::f32::consts::SQRT_2 { (mantissa * 0.5, exponent + 1) } else { (mantissa, exponent) };
    // ln m = 2 artanh((m - 1) / (m + 1)), whose series converges fast this near to 1.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = 2.0 * ratio * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0))));
    series + exponent as f32 * std::f32::consts::LN_2
}

/// e to the `x` for `x` <= 0, to within 1e-5 relatively; 0 below -80.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let held = if x < LEAST { LEAST } else { x };
    let scaled = held * std::f32::consts::LOG2_E;
    // To the nearest whole number, of a number that is not positive; `round` would be a call.
    let whole = (scaled - 0.5) as i32;
    let rest = (scaled - whole as f32) * std::f32::consts::LN_2;
    // |rest| <= ln 2 / 2: the Taylor series to the sixth power.
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    let power = series * f32::from_bits(((whole + 127) as u32) << 23);
    if x < LEAST { 0.0 } else { power }
}

/// Where the exponential is taken for 0.
const LEAST: f32 = -80.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_the_same_bit_by_bit_on_any_registers() {
        let numbers: Vec<f32> = (0..1003u16).map(|step| f32::from(step) * f32::from(step) * 0.01).collect();
        for lanes in [Lanes::Portable, Lanes::widest()] {
            let mut logarithms: Vec<f32> = numbers.iter().map(|number| 1.0 + number).collect();
            let mut powers: Vec<f32> = numbers.iter().map(|number| -number).collect();
            lanes.run(Logarithms(&mut logarithms));
            lanes.run(Exponentials(&mut powers));
            for (place, number) in numbers.iter().enumerate() {
                assert_eq!(logarithms[place].to_bits(), ln(1.0 + number).to_bits(), "{lanes:?}: ln of {number} and 1");
                assert_eq!(powers[place].to_bits(), exp(-number).to_bits(), "{lanes:?}: e to the -{number}");
            }
        }
    }

    #[test]
    fn the_logarithm_is_right_to_five_digits() {
        for step in 0..4000u16 {
            let x = 1.0 + f32::from(step) * f32::from(step) * 0.01;
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() < 1e-5, "ln {x} is {exact}, not {}", ln(x));
        }
    }

    #[test]
    fn the_exponential_is_right_to_five_digits() {
        for step in 0..4000u16 {
            let x = -f32::from(step) * 0.02;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 1e-5, "exp {x} is {exact:e}, not {:e}", exp(x));
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }
}
