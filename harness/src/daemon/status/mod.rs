//! What the daemon shows of itself: one snapshot, told as JSON, as a page and as metrics.
//!
//! # Why a thread and no framework
//!
//! The page is read by one or two people and a scraper, on loopback. A thread that accepts, a cap on connections and a deadline
//! for each do that in a page of code, and nothing of it shares a run queue with the loop that watches guests. The loop
//! leaves a snapshot that nobody changes any more; readers take it away by its count of references and format it in their own
//! time, so that a slow reader costs the loop nothing.

pub mod metrics;
pub mod page;
pub mod request;
pub mod server;

use std::sync::{Arc, Mutex, PoisonError};

use predictor::counters::VcpuId;
use predictor::topology::Topology;
use serde::{Deserialize, Serialize};

use crate::daemon::trial::Standing;
use crate::journal::note::{Mode, UnixMillis};
use crate::resctrl::GuestUse;

/// How it goes, as of one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of Phasecast.
    pub version: String,
    /// When it began.
    pub started: UnixMillis,
    /// As of when this is.
    pub at: UnixMillis,
    /// What becomes of moves.
    pub mode: Mode,
    /// Which policy decides.
    pub policy: String,
    /// Where its model lies; absent where only the load is known.
    pub model: Option<String>,
    /// The length of a quantum.
    pub quantum_milliseconds: u64,
    /// Quanta so far.
    pub quanta: u64,
    /// The LLC domains.
    pub topology: Topology,
    /// Everybody who is watched, in the order of ids.
    pub vcpus: Vec<VcpuStatus>,
    /// What guests use of the shared caches; empty where resctrl is not asked, or does not tell.
    pub cache_use: Vec<GuestUse>,
    /// Counts since the start.
    pub totals: Totals,
    /// The mean slowdown expected of late, the oldest first; empty without a model.
    pub slowdowns: Vec<f64>,
    /// Moves decided of late, the newest first.
    pub decisions: Vec<Decided>,
    /// How the trial stands, where there is one.
    pub trial: Option<Standing>,
    /// What happened of late, the newest first.
    pub happened: Vec<Happened>,
}

/// One vCPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VcpuStatus {
    /// Which.
    pub vcpu: VcpuId,
    /// Its guest's name.
    pub guest: String,
    /// Where it runs.
    pub domain: u32,
    /// What it did in the last quantum.
    pub state: String,
    /// The phase it was in.
    pub phase: Option<u32>,
    /// Its likeliest next phase.
    pub next_phase: Option<u32>,
    /// How probable that is.
    pub next_probability: Option<f64>,
    /// How much it is expected to be slowed where it is: 1 is alone.
    pub slowdown: Option<f64>,
    /// The share of the last quantum in which it had a CPU, where the host says.
    pub running_share: Option<f64>,
    /// What becomes of it and why.
    pub verdict: String,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Moves that were made.
    pub done: u64,
    /// Moves that the host refused.
    pub refused: u64,
    /// Moves that were decided and not made, in a dry run or while holding.
    pub withheld: u64,
    /// Quanta that took more than half as long again as they should.
    pub overruns: u64,
    /// Configurations that were taken in while running.
    pub reloads: u64,
    /// Times that placement was given back.
    pub given_back: u64,
    /// What moves were to gain, in slowdowns times quanta.
    pub predicted_gain: f64,
    /// What they gained.
    pub realised_gain: f64,
    /// Moves whose gain is known.
    pub scored: u64,
}

/// A move that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// When.
    pub at: UnixMillis,
    /// After which quantum.
    pub quantum: u64,
    /// Who.
    pub vcpu: VcpuId,
    /// Its guest's name.
    pub guest: String,
    /// From where.
    pub from: u32,
    /// To where.
    pub to: u32,
    /// Why it was not made; absent where it was.
    pub refusal: Option<String>,
    /// Why it was decided.
    pub why: String,
}

/// Something that happened beside the loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at: UnixMillis,
    /// Of which kind.
    pub kind: String,
    /// What.
    pub text: String,
}

/// Where the loop leaves snapshots and readers take them.
#[derive(Debug)]
pub struct Board(Mutex<Arc<Snapshot>>);

impl Board {
    /// With something to read from the start.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Mutex::new(Arc::new(snapshot)))
    }

    /// Puts up a new snapshot.
    pub fn put(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// The latest.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
