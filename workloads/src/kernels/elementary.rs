//! Exponential, logarithm and the normal distribution for kernels, from additions, multiplications, divisions and
//! square roots, which IEEE 754 defines to the last bit: a mathematical library may answer differently on a processor
//! with fused multiply-add, and a checksum with it.

/// The distribution function of the normal distribution: Abramowitz & Stegun 26.2.17, the approximation PARSEC uses;
/// absolute error below 7.5e-8.
pub(super) fn normal_distribution(x: f64) -> f64 {
    let k = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        k * (0.319_381_530 + k * (-0.356_563_782 + k * (1.781_477_937 + k * (-1.821_255_978 + k * 1.330_274_429))));
    let upper = exponential(-0.5 * x * x) * 0.398_942_280_401_432_7 * polynomial;
    if x < 0.0 { upper } else { 1.0 - upper }
}

/// The x with `normal_distribution(x)` = `probability`, for probabilities in (0, 1): Abramowitz & Stegun 26.2.23,
/// absolute error below 4.5e-4.
pub(super) fn normal_quantile(probability: f64) -> f64 {
    let tail = if probability < 0.5 { probability } else { 1.0 - probability };
    let t = (-2.0 * natural_logarithm(tail)).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let quantile = t - above / below;
    if probability < 0.5 { -quantile } else { quantile }
}

/// 1 / n! for n from 0 to 11.
const INVERSE_FACTORIALS: [f64; 12] = {
    let mut inverse = [1.0; 12];
    let mut n = 1;
    while n < 12 {
        inverse[n] = inverse[n - 1] / n as f64;
        n += 1;
    }
    inverse
};

/// 1 / (2 n + 1) for n from 0 to 8.
const INVERSE_ODDS: [f64; 9] = {
    let mut inverse = [1.0; 9];
    let mut n = 0;
    while n < 9 {
        inverse[n] = 1.0 / (2 * n + 1) as f64;
        n += 1;
    }
    inverse
};

/// e^x for |x| < 700: x = n ln 2 + r with |r| <= ln 2 / 2, then a Taylor polynomial of degree 11.
pub(crate) fn exponential(x: f64) -> f64 {
    let n = (x * std::f64::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - n as f64 * std::f64::consts::LN_2;
    let series = INVERSE_FACTORIALS.iter().rev().fold(0.0, |series, coefficient| series * r + coefficient);
    // Below the smallest normal number the answer is 0 for every purpose here.
    if n < -1022 { 0.0 } else { series * f64::from_bits(((n + 1023) as u64) << 52) }
}

/// ln x for normal x > 0: x = m 2^n with m in [0.7, 1.4], then the series of artanh((m - 1) / (m + 1)).
pub(crate) fn natural_logarithm(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut n = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        n += 1;
    }
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let series = INVERSE_ODDS.iter().rev().fold(0.0, |series, coefficient| series * square + coefficient);
    2.0 * t * series + n as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elementary_functions_agree_with_the_library() {
        for step in -2000..=2000 {
            let x = f64::from(step) / 100.0;
            assert!((exponential(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            let positive = x.exp();
            assert!((natural_logarithm(positive) - x).abs() < 1e-11, "ln {positive}");
        }
    }

    #[test]
    fn a_quantile_is_where_the_distribution_reaches_it() {
        for percent in 1..100 {
            let probability = f64::from(percent) / 100.0;
            let reached = normal_distribution(normal_quantile(probability));
            assert!((reached - probability).abs() < 2e-4, "{probability} {reached}");
        }
    }
}
