//! The seam between deciding and doing. A host says what there is, lets time pass and reports what was seen, and
//! changes placement. It owns time: nothing above it reads a clock.
//!
//! Launching guests is a test bed's business and no part of the seam: a live host finds guests that others launched.

pub mod emulated;

pub mod replayed;

pub mod simulated;

pub mod live;

pub mod faulty;

pub mod foretold;

pub mod admission;

pub mod seating;

mod sampling;

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::counters::{Event, GuestId, Sample, VcpuId};
use predictor::placement::Move;
use predictor::topology::{DomainId, Topology};
use serde::{Deserialize, Serialize};

/// A vCPU that a host has begun to report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Its id from now on.
    pub vcpu: VcpuId,
    /// The guest's name, for people.
    pub name: String,
    /// Where it runs.
    pub domain: DomainId,
}

/// What a guest itself told its host. Hosts whose guests tell nothing report none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestEvent {
    /// The guest's program ran to its end and starts again.
    RunCompleted {
        /// Which guest.
        guest: GuestId,
        /// How many runs it has completed before this one.
        run: u64,
        /// FNV-1a 64 of the program's output, 16 hexadecimal digits, where the guest says it.
        checksum: Option<String>,
    },
}

/// What a host saw while one quantum passed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observation {
    /// One sample for each vCPU that was present for the whole quantum, in the order of their ids.
    pub samples: Vec<Sample>,
    /// vCPUs that came, in the order of their ids; they have samples from the next quantum on, or from this one if
    /// they were there from its start.
    pub arrivals: Vec<Arrival>,
    /// vCPUs that left.
    pub departures: Vec<VcpuId>,
    /// What guests reported of themselves, in the order in which it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guest_events: Vec<GuestEvent>,
}

/// What became of one requested move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveOutcome {
    /// The move as requested.
    pub requested: Move,
    /// Why the host refused it; `None` if the vCPU now runs in `requested.to`.
    pub refusal: Option<String>,
}

/// A failure after which the host cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}: {reason}")]
pub struct HostError {
    /// What was tried, and on whom: finishes "failed to ...".
    pub action: String,
    /// Why it did not work, and what to do about it.
    pub reason: String,
}

/// A machine with guests on it.
pub trait Host {
    /// The LLC domains to place vCPUs on.
    fn topology(&self) -> &Topology;

    /// What this host can count.
    fn events(&self) -> &BTreeSet<Event>;

    /// Lets `quantum` pass and reports what was seen. The first call also reports the vCPUs that were there from the
    /// start as arrivals.
    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError>;

    /// Moves vCPUs, all at once as seen from the guests; answers each request, in their order. A move that is refused
    /// leaves its vCPU where it was.
    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError>;
}

impl<Inner: Host + ?Sized> Host for Box<Inner> {
    fn topology(&self) -> &Topology {
        (**self).topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        (**self).events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        (**self).advance(quantum)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        (**self).apply(moves)
    }
}
