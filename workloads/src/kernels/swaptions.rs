//! Swaptions priced by Monte Carlo in the model of Heath, Jarrow and Morton, as in PARSEC's swaptions.
//!
//! It presses **the core alone, with the core's own state**: each step of a path draws three normal numbers and moves
//! twenty forward rates that stand in one array of 160 bytes; a swaption's parameters are read again for every
//! path. Beside blackscholes it has stores that are read back at once, and it hardly reads anything new: a portfolio beyond the
//! LLC is read at a few bytes per thousand instructions.
//!
//! Forward rates f(l) per period, l periods ahead, move in each period by
//! f(l) <- f(l + 1) + drift(l + 1) + sum over i of volatility(i, l + 1) z(i). The drift is the discrete one that makes
//! discounted bonds martingales (Glasserman, Monte Carlo Methods in Financial Engineering, 2004, section 3.6.2), so that
//! prices do not depend on how long a period is.

use super::Kernel;
use super::elementary::{exponential, normal_quantile};
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 496.0;

/// Periods of the forward curve.
const PERIODS: usize = 20;

/// Periods until the swaption can be exercised; the swap runs for the rest.
const EXERCISE: usize = 10;

/// Random sources that move the curve.
const FACTORS: usize = 3;

/// Paths of one swaption before the next one's turn.
const PATHS: u32 = 16;

/// A swaption and what its paths have brought so far.
#[derive(Debug, Clone)]
struct Swaption {
    /// Forward rates per period, today.
    curve: [f64; PERIODS],
    drift: [f64; PERIODS],
    volatility: [[f64; PERIODS]; FACTORS],
    strike_per_period: f64,
    payoffs: f64,
    paths: u64,
}

/// A portfolio of swaptions. An operation is one period of one path.
#[derive(Debug)]
pub struct Swaptions {
    portfolio: Vec<Swaption>,
    random: SplitMix64,
    /// Whose turn it is, and how many of its paths are done.
    at: usize,
    done: u32,
    /// The path under way: periods passed, forward rates now, what 1 at this time is worth today.
    period: usize,
    rates: [f64; PERIODS],
    discount: f64,
}

impl Swaption {
    fn draw(random: &mut SplitMix64) -> Self {
        let mut within = |low: f64, high: f64| low + (high - low) * random.unit();
        let (level, slope) = (within(0.005, 0.03), within(0.0, 0.0005));
        let strike_per_period = level + within(-0.002, 0.012);
        let scale = [within(0.0002, 0.002), within(0.0001, 0.001), within(0.0, 0.0005)];
        // A parallel move, a tilt and a bend, the shapes of the first three components of a yield curve.
        let shape = |factor: usize, l: usize| match (factor, l as f64 / PERIODS as f64) {
            (0, _) => 1.0,
            (1, x) => 1.0 - 2.0 * x,
            (_, x) => 6.0 * x * (1.0 - x) - 1.0,
        };
        let volatility: [[f64; PERIODS]; FACTORS] =
            std::array::from_fn(|factor| std::array::from_fn(|l| scale[factor] * shape(factor, l)));
        let curve = std::array::from_fn(|l| level + slope * l as f64);
        Self { curve, drift: drift(&volatility), volatility, strike_per_period, payoffs: 0.0, paths: 0 }
    }

    /// What the right to pay the strike for the rates of the periods from now on is worth now.
    fn payoff(&self, rates: &[f64]) -> f64 {
        let (mut bond, mut annuity) = (1.0, 0.0);
        for rate in rates {
            bond *= exponential(-rate);
            annuity += bond;
        }
        (1.0 - bond - self.strike_per_period * annuity).max(0.0)
    }
}

/// The discrete drift without arbitrage: half the growth, from one maturity to the next, of the squared sum of volatilities.
fn drift(volatility: &[[f64; PERIODS]; FACTORS]) -> [f64; PERIODS] {
    let mut drift = [0.0; PERIODS];
    for factor in volatility {
        let mut sum = 0.0;
        // The rate of the period that is just beginning is already fixed.
        for l in 1..PERIODS {
            let before: f64 = sum;
            sum += factor[l];
            drift[l] += 0.5 * (sum * sum - before * before);
        }
    }
    drift
}

impl Swaptions {
    /// A portfolio of `working_set_bytes` / 824 swaptions.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let count = (working_set_bytes / size_of::<Swaption>()).max(1);
        let portfolio: Vec<Swaption> = (0..count).map(|_| Swaption::draw(&mut random)).collect();
        let rates = portfolio[0].curve;
        Self { portfolio, random, at: 0, done: 0, period: 0, rates, discount: 1.0 }
    }

    /// One period passes on the path under way.
    fn step(&mut self) {
        let z: [f64; FACTORS] = std::array::from_fn(|_| {
            let open = (self.random.next_u64() >> 12) as f64 + 0.5;
            normal_quantile(open / (1_u64 << 52) as f64)
        });
        let swaption = &self.portfolio[self.at];
        self.discount *= exponential(-self.rates[0]);
        let left = PERIODS - self.period;
        for l in 1..left {
            let [a, b, c] = std::array::from_fn(|factor| swaption.volatility[factor][l] * z[factor]);
            self.rates[l - 1] = self.rates[l] + swaption.drift[l] + (a + b + c);
        }
        self.period += 1;
    }

    /// The path has come to the day of exercise: takes its payoff, and begins the next path.
    fn exercise(&mut self) {
        let swaption = &mut self.portfolio[self.at];
        swaption.payoffs += self.discount * swaption.payoff(&self.rates[..PERIODS - EXERCISE]);
        swaption.paths += 1;
        self.done += 1;
        if self.done == PATHS {
            self.done = 0;
            self.at = if self.at + 1 == self.portfolio.len() { 0 } else { self.at + 1 };
        }
        (self.period, self.rates, self.discount) = (0, self.portfolio[self.at].curve, 1.0);
    }
}

impl Kernel for Swaptions {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.step();
            if self.period == EXERCISE {
                self.exercise();
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.at as u64);
        hash.update_u64(self.discount.to_bits());
        for swaption in self.portfolio.iter().step_by((self.portfolio.len() / 2048).max(1)) {
            hash.update_u64(swaption.payoffs.to_bits());
            hash.update_u64(swaption.paths);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A portfolio of one, and what its paths bring on average.
    fn price(swaption: Swaption, paths: u64) -> f64 {
        let mut alone = Swaptions::new(4096, 7);
        alone.rates = swaption.curve;
        alone.portfolio = vec![swaption];
        alone.run(paths * EXERCISE as u64);
        alone.portfolio[0].payoffs / paths as f64
    }

    #[test]
    fn a_certain_curve_pays_its_discounted_difference() {
        let mut certain = Swaption::draw(&mut SplitMix64::new(1));
        certain.volatility = [[0.0; PERIODS]; FACTORS];
        certain.drift = [0.0; PERIODS];
        certain.curve = [0.02; PERIODS];
        certain.strike_per_period = 0.01;
        let bond = |periods: i32| (-0.02 * f64::from(periods)).exp();
        let annuity: f64 = (11..=20).map(bond).sum();
        assert!((price(certain, 32) - (bond(10) - bond(20) - 0.01 * annuity)).abs() < 1e-12);
    }

    #[test]
    fn discounted_bonds_are_martingales_under_the_drift() {
        // A strike far below every rate is always exercised: the payoff is linear, and its price follows from the
        // curve of today, whatever the volatility.
        let mut surely = Swaption::draw(&mut SplitMix64::new(3));
        surely.strike_per_period = -0.5;
        let mut bonds = vec![1.0];
        for rate in surely.curve {
            bonds.push(bonds[bonds.len() - 1] * f64::exp(-rate));
        }
        let annuity: f64 = bonds[EXERCISE + 1..].iter().sum();
        let expected = bonds[EXERCISE] - bonds[PERIODS] + 0.5 * annuity;
        let found = price(surely, 40_000);
        assert!((found / expected - 1.0).abs() < 0.002, "{found} {expected}");
    }
}
