//! Logarithm and exponential in single precision, by polynomials: the same bits on every machine, where a system's
//! mathematics library may differ in the last one, and several times faster.

/// ln `x` for `x` >= 1, to within 1e-5 absolutely.
pub(super) fn ln(x: f32) -> f32 {
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
pub(super) fn exp(x: f32) -> f32 {
    if x < -80.0 {
        return 0.0;
    }
    let scaled = x * std::f32::consts::LOG2_E;
    // To the nearest whole number, of a number that is not positive; `round` would be a call.
    let whole = (scaled - 0.5) as i32;
    let rest = (scaled - whole as f32) * std::f32::consts::LN_2;
    // |rest| <= ln 2 / 2: the Taylor series to the sixth power.
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    series * f32::from_bits(((whole + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

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
