//! From the text of a machine to a checked one: the raw shape, and every check with its remedy.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    CacheSpec, CoreSpec, LINE_BYTES, LINES_PER_PAGE, MAX_CPUS_PER_DOMAIN, MAX_DOMAINS, Machine, MemorySpec, Node,
    PrefetcherSpec, SpecError,
};

/// The path of the key that stands at byte `at` of `text`: its table's header and the word before `=`.
pub(super) fn key_at(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let Some((key, _)) = line.split_once('=') else { return format!("line {number}") };
    let header = before[..start].lines().rev().map(str::trim).find(|line| line.starts_with('['));
    match header.map(|header| header.trim_matches(['[', ']', ' '])) {
        Some(table) => format!("{table}.{}", key.trim()),
        None => key.trim().to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMachine {
    name: String,
    frequency_mhz: u32,
    epoch_cycles: u64,
    domain: Vec<RawDomain>,
    l1: RawL1,
    l2: Option<RawCache>,
    prefetcher: Option<RawPrefetcher>,
    llc: RawCache,
    memory: RawMemory,
    core: RawCore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDomain {
    cpus: u32,
    #[serde(default)]
    node: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawL1 {
    size_kib: u64,
    ways: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCache {
    size_kib: u64,
    ways: u32,
    latency_cycles: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrefetcher {
    streams: u32,
    degree: u32,
    distance: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMemory {
    latency_cycles: u32,
    remote_latency_cycles: Option<u32>,
    bytes_per_cycle: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCore {
    cycles_per_instruction: f64,
    reorder_window: u32,
    miss_registers: u32,
    timeslice_cycles: Option<u64>,
}

impl RawMachine {
    pub(super) fn check(self, text: &str) -> Result<Machine, SpecError> {
        whole("frequency_mhz", self.frequency_mhz.into(), 1, 10_000)?;
        whole("epoch_cycles", self.epoch_cycles, 1_000, 10_000_000)?;
        let count = self.domain.len();
        if !(1..=MAX_DOMAINS).contains(&count) {
            let remedy = format!("write 1 to {MAX_DOMAINS} [[domain]] sections");
            return Err(SpecError::new("domain", format!("{count} LLC domains"), remedy));
        }
        for (position, domain) in self.domain.iter().enumerate() {
            whole(&format!("domain[{position}].cpus"), domain.cpus.into(), 1, MAX_CPUS_PER_DOMAIN.into())?;
        }
        let nodes = check_nodes(&self.domain)?;
        let memory = self.memory.check(nodes.iter().max().map_or(1, |last| last.0 + 1))?;
        let l1 = RawCache { size_kib: self.l1.size_kib, ways: self.l1.ways, latency_cycles: 1 };
        real("core.cycles_per_instruction", self.core.cycles_per_instruction, 0.05, 100.0)?;
        whole("core.reorder_window", self.core.reorder_window.into(), 1, 10_000)?;
        whole("core.miss_registers", self.core.miss_registers.into(), 1, 256)?;
        let l2 = self.l2.map(|l2| l2.check("l2")).transpose()?;
        let prefetcher = self.prefetcher.map(RawPrefetcher::check).transpose()?;
        if prefetcher.is_some() && l2.is_none() {
            let problem = "a prefetcher, and no L2 for it to fetch into";
            return Err(SpecError::new("prefetcher", problem, "add an [l2] section, or leave the prefetcher out"));
        }
        if let Some(slice) = self.core.timeslice_cycles
            && (slice == 0 || !slice.is_multiple_of(self.epoch_cycles))
        {
            let problem = format!("{slice} is not a multiple of the epoch of {} cycles", self.epoch_cycles);
            let nearest = (slice / self.epoch_cycles).max(1) * self.epoch_cycles;
            return Err(SpecError::new("core.timeslice_cycles", problem, format!("give for example {nearest}")));
        }
        Ok(Machine {
            text: text.to_owned(),
            name: self.name,
            frequency_mhz: self.frequency_mhz,
            epoch_cycles: self.epoch_cycles,
            nodes,
            cpus_per_domain: self.domain.iter().map(|domain| domain.cpus).collect(),
            l1: l1.check("l1")?,
            l2,
            prefetcher,
            llc: self.llc.check("llc")?,
            memory,
            timeslice_cycles: self.core.timeslice_cycles,
            core: CoreSpec {
                cycles_per_instruction: self.core.cycles_per_instruction,
                reorder_window: self.core.reorder_window,
                miss_registers: self.core.miss_registers,
            },
        })
    }
}

/// The node of each domain: numbered from 0 without holes, in any order.
fn check_nodes(domains: &[RawDomain]) -> Result<Vec<Node>, SpecError> {
    let used: BTreeSet<u32> = domains.iter().map(|domain| domain.node).collect();
    if let Some((position, domain)) = domains.iter().enumerate().find(|(_, domain)| domain.node as usize >= used.len())
    {
        let problem = format!("node {}, and there are {} nodes", domain.node, used.len());
        return Err(SpecError::new(
            format!("domain[{position}].node"),
            problem,
            "number the nodes from 0 without holes",
        ));
    }
    Ok(domains.iter().map(|domain| Node(domain.node)).collect())
}

impl RawMemory {
    fn check(self, nodes: u32) -> Result<MemorySpec, SpecError> {
        const REMOTE: &str = "memory.remote_latency_cycles";
        whole("memory.latency_cycles", self.latency_cycles.into(), 1, 100_000)?;
        real("memory.bytes_per_cycle", self.bytes_per_cycle, 0.001, 1_024.0)?;
        let remote_latency_cycles = match (self.remote_latency_cycles, nodes) {
            (None, 1) => 0,
            (Some(_), 1) => {
                let problem = "all domains are on one node, and no memory is remote";
                return Err(SpecError::new(REMOTE, problem, "remove it, or give some [[domain]] another node"));
            }
            (None, _) => {
                let problem = format!("missing, and there are {nodes} nodes");
                return Err(SpecError::new(REMOTE, problem, "give what a load from another node takes more"));
            }
            (Some(cycles), _) => {
                whole(REMOTE, cycles.into(), 1, 100_000)?;
                cycles
            }
        };
        Ok(MemorySpec {
            latency_cycles: self.latency_cycles,
            remote_latency_cycles,
            bytes_per_cycle: self.bytes_per_cycle,
        })
    }
}

impl RawCache {
    fn check(self, section: &str) -> Result<CacheSpec, SpecError> {
        whole(&format!("{section}.ways"), self.ways.into(), 1, 64)?;
        whole(&format!("{section}.size_kib"), self.size_kib, 1, 1 << 20)?;
        whole(&format!("{section}.latency_cycles"), self.latency_cycles.into(), 1, 100_000)?;
        let lines = self.size_kib * 1024 / LINE_BYTES;
        let ways = u64::from(self.ways);
        if !lines.is_multiple_of(ways) || !(lines / ways).is_power_of_two() {
            return Err(SpecError::new(
                format!("{section}.size_kib"),
                format!("{} KiB in {ways} ways make {:.2} sets", self.size_kib, lines as f64 / ways as f64),
                "choose size and ways so that size_kib * 16 / ways is a power of two",
            ));
        }
        Ok(CacheSpec { sets: (lines / ways) as usize, ways: self.ways as usize, latency_cycles: self.latency_cycles })
    }
}

impl RawPrefetcher {
    fn check(self) -> Result<PrefetcherSpec, SpecError> {
        whole("prefetcher.streams", self.streams.into(), 1, 256)?;
        whole("prefetcher.degree", self.degree.into(), 1, LINES_PER_PAGE - 1)?;
        whole("prefetcher.distance", self.distance.into(), 1, LINES_PER_PAGE - 1)?;
        Ok(PrefetcherSpec { streams: self.streams, degree: self.degree, distance: self.distance })
    }
}

fn whole(key: &str, value: u64, least: u64, most: u64) -> Result<(), SpecError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SpecError::new(key, format!("{value} is out of range"), format!("write a whole number from {least} to {most}")))
}

fn real(key: &str, value: f64, least: f64, most: f64) -> Result<(), SpecError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SpecError::new(key, format!("{value} is out of range"), format!("write a number from {least} to {most}")))
}
