//! What a simulated machine consists of: LLC domains, cores with one or more hardware threads, nodes, and the few figures
//! that say what sharing them costs. Made of an emulated machine's description, or of what any Linux machine says of
//! itself in its sysfs.

use std::collections::BTreeSet;

use machine::spec::Machine;
use predictor::contention::analytic::SharedLlc;
use predictor::contention::{Contention, Rule};
use predictor::topology::{CpuId, Topology, TopologyError};

use crate::host::seating;
use crate::machines;
use crate::sysfs::Found;

/// How much longer everything takes beside one busy hardware thread of the same core. Two threads then do 1.25 times the
/// work of one, about what vendors claim for two-way multithreading; assumed, not measured.
pub const SIBLING_SLOWDOWN: f64 = 1.6;

/// How much longer waiting for memory takes, as a share, where another node's memory is as far as on most machines of two
/// sockets (Lameter, "NUMA: An Overview", ACM Queue 11(7), 2013: half as far again).
pub const REMOTE_SHARE: f64 = 0.5;

/// What a machine that tells only of its topology is taken to run at.
const ASSUMED_FREQUENCY_HZ: u64 = 2_500_000_000;

/// And what memory gives each core, in bytes per cycle: 3.2 GB/s, as a core of a socket of 64 with eight channels has.
const ASSUMED_BYTES_PER_CYCLE_AND_CORE: f64 = 1.28;

/// And what its last-level caches are like, but for their size.
const ASSUMED_LLC: SharedLlc =
    SharedLlc { lines: 0.0, ways: 16.0, hit_cycles: 40.0, miss_cycles: 240.0, hidden_cycles: 96.0 };

/// And how large a last-level cache is whose size is not told.
const ASSUMED_LLC_BYTES: u64 = 32 << 20;

/// A simulated machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardware {
    /// The LLC domains and their CPUs.
    pub topology: Topology,
    /// CPUs that are hardware threads of one core, for each core of several; every other CPU is a core of its own.
    pub cores: Vec<Vec<CpuId>>,
    /// The clock of every CPU.
    pub frequency_hz: u64,
    /// How much longer everything takes beside one busy hardware thread of the same core, at least 1; further ones add
    /// as much again.
    pub sibling_slowdown: f64,
    /// How much longer waiting for memory takes when it is another node's: 0.5 means half as long again.
    pub remote_share: f64,
    /// Cycles in which a whole LLC is read from memory: what a vCPU loses by a move that used all of it.
    pub refill_cycles: u64,
    /// What the caches and the memory behind one domain are like, and by which rule demands become slowdowns: the analytic one,
    /// unless somebody chose another.
    pub contention: Contention,
}

impl Hardware {
    /// An emulated machine, each CPU a core of its own.
    #[must_use]
    pub fn of_machine(machine: &Machine) -> Self {
        let memory = machine.memory();
        let remote = f64::from(memory.remote_latency_cycles) / f64::from(memory.latency_cycles);
        Self {
            topology: seating::topology(machine),
            cores: Vec::new(),
            frequency_hz: u64::from(machine.frequency_mhz()) * 1_000_000,
            sibling_slowdown: SIBLING_SLOWDOWN,
            remote_share: remote,
            refill_cycles: machine.refill_cycles(),
            contention: machines::contention(machine),
        }
    }

    /// A Linux machine from what it says of its topology. What that does not tell is assumed: the clock, the memory's
    /// bandwidth for each core, and how far another node's memory is.
    pub fn of_sysfs(found: &Found) -> Result<Self, TopologyError> {
        let topology = found.topology()?;
        let cores: Vec<Vec<CpuId>> =
            found.cores.iter().filter(|core| core.len() > 1).map(|core| core.iter().map(CpuId).collect()).collect();
        let threads = cores.iter().map(Vec::len).max().unwrap_or(1);
        let largest = topology.domains().iter().map(|domain| domain.cpus.len()).max().unwrap_or(1);
        let bytes_per_cycle = largest.div_ceil(threads) as f64 * ASSUMED_BYTES_PER_CYCLE_AND_CORE;
        let llc_bytes = topology.domains().iter().filter_map(|domain| domain.llc_bytes).max();
        Ok(Self {
            cores,
            frequency_hz: ASSUMED_FREQUENCY_HZ,
            sibling_slowdown: SIBLING_SLOWDOWN,
            remote_share: REMOTE_SHARE,
            refill_cycles: (llc_bytes.unwrap_or(ASSUMED_LLC_BYTES) as f64 / bytes_per_cycle).ceil() as u64,
            contention: machines::analytic(
                SharedLlc { lines: llc_bytes.unwrap_or(ASSUMED_LLC_BYTES) as f64 / 64.0, ..ASSUMED_LLC },
                bytes_per_cycle,
            ),
            topology,
        })
    }

    /// The same machine, where demands become slowdowns by the additive rule, as most policies' models have it.
    #[must_use]
    pub const fn with_additive_contention(mut self) -> Self {
        self.contention.rule = Rule::Additive;
        self
    }

    /// The same machine, with so many neighbouring CPUs of each LLC domain being hardware threads of one core.
    #[must_use]
    pub fn with_threads_per_core(mut self, threads: usize) -> Self {
        let domains = self.topology.domains().iter();
        let cores = domains.flat_map(|domain| domain.cpus.chunks(threads.max(1)).map(<[CpuId]>::to_vec));
        self.cores = cores.filter(|core| core.len() > 1).collect();
        self
    }

    /// What of it is no machine, if anything: the figure, and what it must be.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let mut seen = BTreeSet::new();
        let known: BTreeSet<CpuId> = self.topology.domains().iter().flat_map(|domain| &domain.cpus).copied().collect();
        let cores_apart = self.cores.iter().flatten().all(|cpu| known.contains(cpu) && seen.insert(*cpu));
        [
            (self.frequency_hz > 0, "the frequency", "above 0 Hz"),
            (cores_apart, "the cores", "disjoint sets of the machine's CPUs"),
            (
                self.sibling_slowdown.is_finite() && self.sibling_slowdown >= 1.0,
                "the slowdown beside a hardware thread",
                "finite and at least 1",
            ),
            (
                self.remote_share.is_finite() && self.remote_share >= 0.0,
                "the share for remote memory",
                "finite and at least 0",
            ),
        ]
        .into_iter()
        .find(|(holds, _, _)| !holds)
        .map(|(_, what, range)| (what, range))
    }
}

#[cfg(test)]
mod tests {
    use predictor::topology::NodeId;

    use super::*;
    use crate::sysfs::{CpuSet, LastLevelCache};

    #[test]
    fn a_linux_machine_has_its_domains_cores_and_nodes() {
        let set = |cpus: &[u32]| cpus.iter().copied().collect::<CpuSet>();
        let llc = |cpus: &[u32]| LastLevelCache { cpus: set(cpus), size_bytes: Some(16 << 20) };
        let found = Found {
            cpus_online: set(&[0, 1, 2, 3]),
            packages: vec![set(&[0, 2]), set(&[1, 3])],
            cores: vec![set(&[0, 2]), set(&[1]), set(&[3])],
            nodes: [(0, set(&[0, 2])), (1, set(&[1, 3]))].into(),
            llc_level: 3,
            llc_domains: vec![llc(&[0, 2]), llc(&[1, 3])],
            cpus_without_llc: set(&[]),
            remarks: Vec::new(),
        };
        let hardware = Hardware::of_sysfs(&found).expect("a machine");
        assert_eq!(hardware.cores, [[0, 2].map(CpuId)]);
        let nodes: Vec<NodeId> = hardware.topology.domains().iter().map(|domain| domain.node).collect();
        assert_eq!(nodes, [NodeId(0), NodeId(1)]);
        assert_eq!(hardware.mistake(), None);
        let nonsense = Hardware { cores: vec![vec![CpuId(7)]], ..hardware };
        assert_eq!(nonsense.mistake().map(|(what, _)| what), Some("the cores"));
    }

    #[test]
    fn an_emulated_machine_keeps_its_latencies() {
        let hardware = Hardware::of_machine(&Machine::preset("rome-4x2").expect("it comes with the program"));
        assert!((hardware.remote_share - 141.0 / 283.0).abs() < 1e-12);
        assert!((hardware.contention.miss_per_hit_time - 283.0 / 34.0).abs() < 1e-12);
        assert_eq!(hardware.with_threads_per_core(2).cores.len(), 4);
    }
}
