//! The memory channel of one LLC domain: how long a load from memory takes under load.
//!
//! **Problem.** The vCPUs of a domain run one after another within an epoch, so requests cannot be queued in their
//! order of time. **Idea.** A fluid queue: all requests of one epoch see one latency `x`, and each epoch's traffic
//! moves `x` towards its equilibrium.
//!
//! Terms, all in cycles: `b` latency of an idle channel, `s` service time of one line (line bytes / bandwidth),
//! `u` = lines moved x `s` / epoch, the utilisation under the present `x`. The *demand* `L = u x` is what does not
//! change when `x` does, for vCPUs that wait for their misses: half the latency, twice the rate. The equilibrium `y`
//! for a demand `L` solves `y = b + s u'/(2 (1 - u'))` with `u' = L / y`, the mean wait of an M/D/1 queue:
//!
//! ```text
//! y = ((b + L) + sqrt((b - L)^2 + 2 s L)) / 2        but at least L / 0.95: the channel is never fuller than 95 %
//! x <- x + (1 - exp(-epoch / tau)) (y - x)
//! ```
//!
//! Properties, each with a test: an idle channel answers in `b`; two streams together never move more than the
//! channel carries; halving the epoch changes nothing, since the relaxation is exact for a constant demand; `x` goes
//! to its equilibrium without swinging past it.
//!
//! Solving for the demand instead of adding the wait at the present utilisation is what keeps it calm: near
//! saturation the wait rises by thousands of cycles for each unit of `u`, and feeding that back directly swings.
//!
//! ```
//! use machine::bandwidth::Channel;
//! use machine::spec::Machine;
//!
//! let channel = Channel::new(&Machine::preset("small-2x2").expect("preset")); // 16 cycles a line, 20,000 an epoch
//! let mut latency = channel.idle_latency_cycles();
//! for _ in 0..100 {
//!     let misses = 40.0 * 20_000.0 / latency; // 40 misses always under way
//!     latency = channel.next_latency_cycles(latency, misses as u64);
//! }
//! assert!((latency - 40.0 * 16.0 / 0.95).abs() < 2.0); // as long as it takes to serve 40 at 95 %
//! ```

use crate::spec::{LINE_BYTES, Machine};

/// Time constant of the queue in cycles. Long against the latency, so that one epoch's noise does not show; short
/// against a quantum, so that a burst has met its queue after 1 % of one.
const TAU_CYCLES: f64 = 100_000.0;

/// The fullest a channel gets; refresh and turn-around take the rest.
const FULLEST: f64 = 0.95;

/// A domain's memory channel. Its state, the present latency, is kept by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    idle_latency_cycles: f64,
    service_cycles: f64,
    epoch_cycles: f64,
    gain: f64,
}

impl Channel {
    /// The channel of each of `machine`'s domains.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        let epoch_cycles = machine.epoch_cycles() as f64;
        Self {
            idle_latency_cycles: machine.memory().latency_cycles.into(),
            service_cycles: LINE_BYTES as f64 / machine.memory().bytes_per_cycle,
            epoch_cycles,
            gain: 1.0 - (-epoch_cycles / TAU_CYCLES).exp(),
        }
    }

    /// What a load takes that finds the channel idle.
    #[must_use]
    pub const fn idle_latency_cycles(&self) -> f64 {
        self.idle_latency_cycles
    }

    /// The latency in the next epoch, after one in which loads took `latency_cycles` and `lines_moved` went to and
    /// from memory.
    #[must_use]
    pub fn next_latency_cycles(&self, latency_cycles: f64, lines_moved: u64) -> f64 {
        let utilisation = lines_moved as f64 * self.service_cycles / self.epoch_cycles;
        let demand = utilisation * latency_cycles;
        let idle = self.idle_latency_cycles;
        let queueing = ((idle + demand) + ((idle - demand).powi(2) + 2.0 * self.service_cycles * demand).sqrt()) / 2.0;
        let equilibrium = queueing.max(demand / FULLEST);
        latency_cycles + self.gain * (equilibrium - latency_cycles)
    }

    /// The latency after `epochs` epochs in which nobody asked.
    #[must_use]
    pub fn calmed_latency_cycles(&self, latency_cycles: f64, epochs: u64) -> f64 {
        let left = (1.0 - self.gain).powf(epochs as f64);
        self.idle_latency_cycles + left * (latency_cycles - self.idle_latency_cycles)
    }
}
