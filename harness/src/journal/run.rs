//! What a run was: the description that stands at the head of every journal and trace, so that each can be understood
//! without the other and without the files it was made from.
//!
//! It holds no date and no path: the same run twice writes the same bytes. When and where is the manifest's business.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use predictor::counters::{Event, GuestId};
use predictor::topology::Topology;
use serde::{Deserialize, Serialize};

/// A guest as the test bed launched it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDescription {
    /// The guest's name in the mix.
    pub name: String,
    /// Its program's name in the catalogue.
    pub program: String,
    /// The name of the program's input.
    pub input: String,
}

/// A run: which guests, on what, under whose command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDescription {
    /// What the run was for, as `record`, `solo`, `mix`.
    pub purpose: String,
    /// The kind of host: `emulated`, `simulated`, ...
    pub host: String,
    /// The machine's name.
    pub machine: String,
    /// The mix's name.
    pub mix: String,
    /// The policy's name.
    pub policy: String,
    /// The seed of everything random in the run.
    pub seed: u64,
    /// How long a quantum is on the host's clock.
    pub quantum: Duration,
    /// The clock of the host's CPUs in hertz, where it is fixed and known.
    pub frequency_hz: Option<u64>,
    /// From issue to use of a load that hits the LLC, in cycles, where it is known.
    pub llc_latency_cycles: Option<u32>,
    /// From issue to use of a load from idle memory, in cycles, where it is known.
    pub memory_latency_cycles: Option<u32>,
    /// Memory bandwidth of one LLC domain, where it is known.
    pub memory_bytes_per_cycle: Option<f64>,
    /// The LLC domains.
    pub topology: Topology,
    /// What the host counts.
    pub events: BTreeSet<Event>,
    /// The guests that the test bed launched; empty where guests were found and not launched.
    pub guests: BTreeMap<GuestId, GuestDescription>,
    /// The version of Phasecast that ran it.
    pub revision: String,
}

impl RunDescription {
    /// What a model trained on this run holds for. Where LLC domains differ in size, the smallest counts.
    #[must_use]
    pub fn model_machine(&self) -> predictor::model::Machine {
        let sizes: Option<Vec<u64>> = self.topology.domains().iter().map(|domain| domain.llc_bytes).collect();
        let latencies = self.memory_latency_cycles.zip(self.llc_latency_cycles);
        predictor::model::Machine {
            quantum_nanoseconds: u64::try_from(self.quantum.as_nanos()).unwrap_or(u64::MAX),
            llc_bytes: sizes.and_then(|sizes| sizes.into_iter().min()),
            memory_bytes_per_cycle: self.memory_bytes_per_cycle,
            miss_per_hit_time: latencies.map(|(memory, llc)| f64::from(memory) / f64::from(llc)),
        }
    }
}
