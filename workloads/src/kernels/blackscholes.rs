//! Option pricing by Black and Scholes' closed formula, as in PARSEC's blackscholes: long arithmetic on little data.
//!
//! It presses **the core alone**: some 300 instructions for 48 bytes read in order. With a working set that fits the
//! private caches it asks nothing of the LLC; it neither suffers nor hurts, which makes it the compute phase of scripts.

use super::Kernel;
use super::elementary::{exponential, natural_logarithm, normal_distribution};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_textbook_option_costs_what_the_textbook_says() {
        // Hull, Options, Futures and Other Derivatives: S 42, K 40, r 10 %, sigma 20 %, half a year: 4.76.
        let quote = Quote { spot: 42.0, strike: 40.0, rate_per_year: 0.1, volatility: 0.2, years: 0.5, price: 0.0 };
        assert!((call_price(&quote) - 4.76).abs() < 0.005);
    }
}
