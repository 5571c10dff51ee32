//! A mean with its interval by Student's t, kept without keeping the values.
//!
//! # Method
//!
//! Mean and squared deviations go on by Welford's update. The interval is `mean ± t * s / sqrt(n)`, `t` the quantile of Student's
//! distribution with `n - 1` degrees of freedom, found by bisection of its distribution function, which is a regularised
//! incomplete beta function (continued fraction by Lentz's method; Press et al., Numerical Recipes, 6.4).

/// Values seen so far, as their number, mean and spread.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mean {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Mean {
    /// Takes in one value.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / f64::from(self.count);
        self.squares += before * (value - self.mean);
    }

    /// How many values there were.
    #[must_use]
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Their mean; `None` of none.
    #[must_use]
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The ends of an interval that misses the true mean with probability `error`, where values are normal and independent;
    /// `None` of fewer than two values.
    #[must_use]
    pub(super) fn interval(&self, error: f64) -> Option<(f64, f64)> {
        if self.count < 2 {
            return None;
        }
        let freedom = f64::from(self.count - 1);
        let half =
            student_quantile(1.0 - error / 2.0, freedom) * (self.squares / freedom / f64::from(self.count)).sqrt();
        Some((self.mean - half, self.mean + half))
    }
}

/// Below which Student's variable stays with the given probability, at least a half.
fn student_quantile(probability: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_below(high, freedom) < probability && high < 1e12 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if student_below(middle, freedom) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The probability that Student's variable is below `t`, which is not negative.
fn student_below(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(freedom / (freedom + t * t), 0.5 * freedom, 0.5)
}

fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(x, a, b) / a
    } else {
        1.0 - front * continued_fraction(1.0 - x, b, a) / b
    }
}

fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = denominator;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            denominator = 1.0 / away(1.0 + term * denominator);
            numerator = away(1.0 + term / numerator);
            change = denominator * numerator;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Stirling's series, after stepping up to where it is exact to the last digits.
fn log_gamma(value: f64) -> f64 {
    let (mut x, mut product) = (value, 1.0);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * square)) / square) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_printed_tables() {
        let table = [(0.975, 1.0, 12.706), (0.975, 5.0, 2.571), (0.975, 29.0, 2.045), (0.995, 9.0, 3.250)];
        for (probability, freedom, expected) in table {
            let found = student_quantile(probability, freedom);
            assert!((found - expected).abs() < 5e-4, "{probability} {freedom}: {found}");
        }
        assert!((student_quantile(0.975, 1e6) - 1.959_964).abs() < 1e-4, "nearly normal");
    }

    #[test]
    fn a_mean_of_none_or_one_has_no_interval() {
        let mut mean = Mean::default();
        assert_eq!((mean.mean(), mean.interval(0.05)), (None, None));
        mean.add(3.0);
        assert_eq!((mean.mean(), mean.interval(0.05)), (Some(3.0), None));
    }

    #[test]
    fn mean_and_spread_are_those_of_the_values() {
        let mut mean = Mean::default();
        [1.0, 2.0, 3.0, 4.0].into_iter().for_each(|value| mean.add(value));
        let (low, high) = mean.interval(0.05).expect("four values");
        // s = 1.29099, t(0.975; 3) = 3.18245
        assert!((low - (2.5 - 3.182_45 * 1.290_99 / 2.0)).abs() < 1e-4 && (low + high - 5.0).abs() < 1e-12);
    }
}
