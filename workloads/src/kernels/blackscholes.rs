//! Option pricing by Black and Scholes' closed formula, as in PARSEC's blackscholes: long arithmetic on little data.
//!
//! It presses **the core alone**: some 300 instructions for 48 bytes read in order. With a working set that fits the
//! private caches it asks nothing of the LLC; it neither suffers nor hurts, which makes it the compute phase of scripts.
//!
//! Exponential, logarithm and the normal distribution are computed here from additions, multiplications, divisions and
//! square roots, which IEEE 754 defines to the last bit: a mathematical library may answer differently on a processor
//! with fused multiply-add, and the checksum with it.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 303.0;

/// One European option and the price last computed for it, 48 bytes.
#[derive(Debug, Clone, Copy)]
struct Quote {
    spot: f64,
    strike: f64,
    rate_per_year: f64,
    volatility: f64,
    years: f64,
    price: f64,
}

/// A portfolio of options. An operation prices one of them.
#[derive(Debug)]
pub struct Blackscholes {
    quotes: Vec<Quote>,
    at: usize,
    sum: f64,
}

impl Blackscholes {
    /// A portfolio of `working_set_bytes` / 48 options.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut within = |low: f64, high: f64| low + (high - low) * random.unit();
        let quotes = (0..(working_set_bytes / size_of::<Quote>()).max(1))
            .map(|_| Quote {
                spot: within(20.0, 180.0),
                strike: within(20.0, 180.0),
                rate_per_year: within(0.01, 0.1),
                volatility: within(0.05, 0.65),
                years: within(0.1, 2.0),
                price: 0.0,
            })
            .collect();
        Self { quotes, at: 0, sum: 0.0 }
    }
}

impl Kernel for Blackscholes {
    fn run(&mut self, operations: u64) {
        let (mut at, mut sum) = (self.at, self.sum);
        for _ in 0..operations {
            let quote = &mut self.quotes[at];
            quote.price = call_price(quote);
            sum += quote.price;
            at += 1;
            if at == self.quotes.len() {
                at = 0;
            }
        }
        (self.at, self.sum) = (at, sum);
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.at as u64);
        hash.update_u64(self.sum.to_bits());
        hash.digest()
    }
}

fn call_price(quote: &Quote) -> f64 {
    let deviation = quote.volatility * quote.years.sqrt();
    let drift = (quote.rate_per_year + 0.5 * quote.volatility * quote.volatility) * quote.years;
    let d1 = (natural_logarithm(quote.spot / quote.strike) + drift) / deviation;
    let discounted = quote.strike * exponential(-quote.rate_per_year * quote.years);
    quote.spot * normal_distribution(d1) - discounted * normal_distribution(d1 - deviation)
}

/// Abramowitz & Stegun 26.2.17, the approximation PARSEC uses; absolute error below 7.5e-8.
fn normal_distribution(x: f64) -> f64 {
    let k = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        k * (0.319_381_530 + k * (-0.356_563_782 + k * (1.781_477_937 + k * (-1.821_255_978 + k * 1.330_274_429))));
    let upper = exponential(-0.5 * x * x) * 0.398_942_280_401_432_7 * polynomial;
    if x < 0.0 { upper } else { 1.0 - upper }
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
fn exponential(x: f64) -> f64 {
    let n = (x * std::f64::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - n as f64 * std::f64::consts::LN_2;
    let series = INVERSE_FACTORIALS.iter().rev().fold(0.0, |series, coefficient| series * r + coefficient);
    // Below the smallest normal number the answer is 0 for every purpose here.
    if n < -1022 { 0.0 } else { series * f64::from_bits(((n + 1023) as u64) << 52) }
}

/// ln x for normal x > 0: x = m 2^n with m in [0.7, 1.4], then the series of artanh((m - 1) / (m + 1)).
fn natural_logarithm(x: f64) -> f64 {
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
    fn a_textbook_option_costs_what_the_textbook_says() {
        // Hull, Options, Futures and Other Derivatives: S 42, K 40, r 10 %, sigma 20 %, half a year: 4.76.
        let quote = Quote { spot: 42.0, strike: 40.0, rate_per_year: 0.1, volatility: 0.2, years: 0.5, price: 0.0 };
        assert!((call_price(&quote) - 4.76).abs() < 0.005);
    }

    #[test]
    fn elementary_functions_agree_with_the_library() {
        for step in -2000..=2000 {
            let x = f64::from(step) / 100.0;
            assert!((exponential(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            let positive = x.exp();
            assert!((natural_logarithm(positive) - x).abs() < 1e-11, "ln {positive}");
        }
    }
}
