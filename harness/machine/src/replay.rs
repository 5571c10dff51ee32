//! A whole machine in this process that plays recorded streams: no QEMU, no shared memory, deterministic to the byte.
//! Recording and reading streams is [`crate::stream`]'s business.

use std::sync::Arc;

use crate::counters::Counters;
use crate::marks::PHASES;
use crate::segment::Slot;
use crate::spec::{Cpu, Domain, Machine};
use crate::stream::{Stream, StreamError};

/// Why a replay could not begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The caller asked for what cannot be.
    #[error("failed to {action}: {reason}")]
    Refused {
        /// Finishes "failed to ...".
        action: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// A stream is at its end before the granted time is.
    #[error(
        "failed to replay slot {}: its stream ends after {instructions} instructions; record a longer one or replay fewer quanta",
        slot.0
    )]
    Exhausted {
        /// Whose stream.
        slot: Slot,
        /// How many it covers.
        instructions: u64,
    },
    /// A stream could not be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// A machine and the streams that play on it: slot i plays the i-th.
#[derive(Debug)]
pub struct ReplayedMachine {
    machine: Machine,
    streams: Vec<Arc<Stream>>,
}

impl ReplayedMachine {
    /// A machine with empty caches at virtual time 0. `seed` chooses the page colours, as on the emulated host.
    pub fn new(machine: &Machine, streams: Vec<Arc<Stream>>, _seed: u64) -> Result<Self, ReplayError> {
        Ok(Self { machine: machine.clone(), streams })
    }

    /// Puts a vCPU on a CPU; on another than before, its private caches go cold. As [`crate::segment::Segment::place`].
    pub fn place(&mut self, slot: Slot, cpu: Cpu) -> Result<(), ReplayError> {
        let action = format!("place slot {} on CPU {}", slot.0, cpu.0);
        Err(ReplayError::Refused { action, reason: "this build cannot replay".into() })
    }

    /// Lets `cycles` of virtual time pass in every domain. As [`crate::segment::Segment::grant`] and waiting.
    pub fn advance(&mut self, cycles: u64) -> Result<(), ReplayError> {
        let action = format!("replay {cycles} virtual cycles of {} streams", self.streams.len());
        Err(ReplayError::Refused { action, reason: "this build cannot replay".into() })
    }

    /// The vCPU's counts up to the horizon.
    #[must_use]
    pub fn counters(&self, _slot: Slot) -> Counters {
        Counters::default()
    }

    /// Instructions the vCPU began under each phase of its ground truth, running sums; the last is of those under none.
    #[must_use]
    pub fn phase_instructions(&self, _slot: Slot) -> [u64; PHASES + 1] {
        [0; PHASES + 1]
    }

    /// The current latency of a domain's memory in cycles, queueing included.
    #[must_use]
    pub fn memory_latency_cycles(&self, _domain: Domain) -> f64 {
        self.machine.memory().latency_cycles.into()
    }
}
