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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> Channel {
        Channel::new(&Machine::preset("small-2x2").expect("preset"))
    }

    #[test]
    fn an_idle_channel_keeps_its_idle_latency() {
        let channel = small();
        assert_eq!(channel.next_latency_cycles(channel.idle_latency_cycles(), 0), channel.idle_latency_cycles());
    }

    #[test]
    fn calm_in_one_step_is_as_many_steps_of_silence() {
        let channel = small();
        let silence = (0..7).fold(900.0, |latency, _| channel.next_latency_cycles(latency, 0));
        assert!((channel.calmed_latency_cycles(900.0, 7) - silence).abs() < 1e-9);
    }

    proptest! {
        /// vCPUs that always have `under_way` misses under way: whatever the start, the latency goes to its equilibrium
        /// from one side, and there the channel is no fuller than it can be.
        #[test]
        fn the_latency_goes_to_its_equilibrium_without_swinging(under_way in 0.1f64..80.0, start in 200.0f64..3000.0) {
            let channel = small();
            let lines = |latency: f64| under_way * channel.epoch_cycles / latency;
            let mut path = vec![start];
            for _ in 0..200 {
                let latency = path[path.len() - 1];
                path.push(channel.next_latency_cycles(latency, lines(latency).round() as u64));
            }
            let end = path[path.len() - 1];
            // Lines are whole, so the very end trembles by less than a cycle.
            for pair in path.windows(2) {
                let rises = start <= end;
                prop_assert!(if rises { pair[1] >= pair[0] - 1.0 } else { pair[1] <= pair[0] + 1.0 }, "{pair:?} of {end}");
            }
            prop_assert!(end >= channel.idle_latency_cycles - 1e-9);
            prop_assert!(lines(end) * channel.service_cycles / channel.epoch_cycles <= FULLEST + 0.005);
        }
    }
}
