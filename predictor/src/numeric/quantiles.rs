//! How far off the forecasts of one signal at one horizon are: quantiles and mean of what was left over.
//!
//! ```text
//! left over      = (value - forecast) / spread at the time of the forecast
//! offset(share) += step * (share - [left over < offset(share)])      for the shares 0.1, 0.5, 0.9
//! quantile       = forecast + offset(share) * spread
//! ```
//!
//! The step moves an offset up by `share` and down by `1 - share`, so it comes to rest where that share of values lies
//! below, whatever their distribution: over `n` quanta the share that lies below differs from the one asked for by at most
//! (range of the offset) / (step * n). This is the update of adaptive conformal inference (Gibbs, Candès, NeurIPS
//! 2021) applied to the offset itself. The spread follows how far off forecasts were of late, so that
//! quantiles widen when a program becomes hard to forecast.

use std::collections::VecDeque;

/// Shares of values that lie below the quantiles given.
pub const SHARES: [f64; 3] = [0.1, 0.5, 0.9];

/// Where offsets start, in spreads: the quantiles of a Laplace distribution, whose spread is its mean deviation.
const START: [f64; 3] = [-1.6, 0.0, 1.6];

/// What a quantum weighs in the spread and in the mean left over, at least.
const SPREAD_SHARE: f64 = 0.05;
const BIAS_SHARE: f64 = 0.005;

/// A forecast made, until its value is seen.
#[derive(Debug, Clone, Copy)]
struct Pending {
    forecast: f64,
    spread: f64,
}

/// What is left over by the forecasts of one signal at one horizon.
#[derive(Debug, Clone)]
pub(super) struct Residuals {
    horizon: usize,
    pending: VecDeque<Pending>,
    offsets: [f64; 3],
    /// Decayed mean of |value - forecast|.
    spread: f64,
    /// Decayed mean of value - forecast.
    bias: f64,
    judged: f64,
}

impl Residuals {
    pub(super) fn new(horizon: usize) -> Self {
        let pending = VecDeque::with_capacity(horizon + 1);
        Self { horizon, pending, offsets: START, spread: 0.0, bias: 0.0, judged: 0.0 }
    }

    /// The value of the newest quantum, `None` where it was not read.
    pub(super) fn judge(&mut self, value: Option<f64>, step: f64) {
        if self.pending.len() < self.horizon {
            return;
        }
        let (Some(Pending { forecast, spread }), Some(value)) = (self.pending.pop_front(), value) else { return };
        let left_over = value - forecast;
        self.judged += 1.0;
        self.spread += SPREAD_SHARE.max(1.0 / self.judged) * (left_over.abs() - self.spread);
        self.bias += BIAS_SHARE * (left_over - self.bias);
        // Without a spread nothing was ever off: there is no scale to measure by.
        if spread > 0.0 {
            // Larger steps at first: a start that does not suit must not last.
            let step = step.max(0.5 / self.judged.sqrt());
            for (offset, share) in self.offsets.iter_mut().zip(SHARES) {
                let below = left_over < *offset * spread;
                *offset += step * (share - f64::from(u8::from(below)));
            }
        }
    }

    /// Takes in the forecast made now; gives the mean and the quantiles around it, in order.
    pub(super) fn around(&mut self, forecast: f64) -> (f64, [f64; 3]) {
        self.pending.push_back(Pending { forecast, spread: self.spread });
        let mut quantiles = self.offsets.map(|offset| forecast + offset * self.spread);
        quantiles.sort_by(f64::total_cmp);
        (forecast + self.bias, quantiles)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.pending.capacity() * size_of::<Pending>()
    }
}
