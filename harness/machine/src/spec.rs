//! What an emulated machine consists of, read from TOML and checked once.
//!
//! [`Machine`] cannot be wrong: sizes are whole lines, set counts powers of two, bandwidths and latencies positive.
//! How the parts behave is the business of [`crate::cache`], [`crate::bandwidth`] and [`crate::pipeline`].

mod parse;

use self::parse::{RawMachine, key_at};

/// Bytes in a cache line, everywhere in the machine.
pub const LINE_BYTES: u64 = 64;

/// Lines in a page of 4 KiB, within which a prefetcher stays.
pub const LINES_PER_PAGE: u64 = 4096 / LINE_BYTES;

/// Most LLC domains of a machine.
pub const MAX_DOMAINS: usize = 64;

/// Most CPUs in one LLC domain.
pub const MAX_CPUS_PER_DOMAIN: u32 = 64;

/// The first is the default machine; the others are real ones, scaled down.
const PRESETS: [(&str, &str); 6] = [
    ("small-2x2", include_str!("../../machines/small-2x2.toml")),
    ("skylake-sp-2x2", include_str!("../../machines/skylake-sp-2x2.toml")),
    ("broadwell-ep-2x2", include_str!("../../machines/broadwell-ep-2x2.toml")),
    ("naples-2x2", include_str!("../../machines/naples-2x2.toml")),
    ("rome-4x2", include_str!("../../machines/rome-4x2.toml")),
    ("graviton2-1x4", include_str!("../../machines/graviton2-1x4.toml")),
];

/// A CPU of the machine; consecutive over its domains, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(pub u32);

/// An LLC domain of the machine, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub u32);

/// A node of the machine: LLC domains with memory of their own, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u32);

/// Why a text describes no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}; {remedy}")]
pub struct SpecError {
    /// The key's path, as `llc.size_kib` or `domain[1].cpus`; a line number where the text is no TOML.
    pub key: String,
    /// What is wrong, with the value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl SpecError {
    fn new(key: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

/// One level of cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSpec {
    /// Sets; a power of two.
    pub sets: usize,
    /// Lines in each set.
    pub ways: usize,
    /// From issue to use of a load that hits here, in cycles. The L1's is part of the core's cycles per instruction.
    pub latency_cycles: u32,
}

impl CacheSpec {
    /// How many lines it holds.
    #[must_use]
    pub const fn lines(&self) -> usize {
        self.sets * self.ways
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.lines() as u64 * LINE_BYTES
    }
}

/// What fetches streams into each L2 before they are asked for; [`crate::prefetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefetcherSpec {
    /// Pages whose accesses are remembered.
    pub streams: u32,
    /// Most lines fetched for one access; less than a page.
    pub degree: u32,
    /// How far ahead of an access it fetches, in lines; less than a page.
    pub distance: u32,
}

/// The memory channel behind each LLC domain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemorySpec {
    /// From issue to use of a load from idle memory, in cycles; includes the way through the caches.
    pub latency_cycles: u32,
    /// What a load takes more that goes to another node's memory, in cycles; 0 on a machine with one node.
    pub remote_latency_cycles: u32,
    /// Bandwidth of each domain's channel.
    pub bytes_per_cycle: f64,
}

/// How a core executes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoreSpec {
    /// Cycles for each instruction when every access hits the L1.
    pub cycles_per_instruction: f64,
    /// Instructions that may be under way behind an unfinished load.
    pub reorder_window: u32,
    /// L1 misses that may be under way at once.
    pub miss_registers: u32,
}

/// A checked machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    text: String,
    name: String,
    frequency_mhz: u32,
    epoch_cycles: u64,
    cpus_per_domain: Vec<u32>,
    nodes: Vec<Node>,
    l1: CacheSpec,
    l2: Option<CacheSpec>,
    prefetcher: Option<PrefetcherSpec>,
    llc: CacheSpec,
    memory: MemorySpec,
    core: CoreSpec,
    timeslice_cycles: Option<u64>,
}

impl Machine {
    /// Names of the machines that come with the program.
    #[must_use]
    pub fn preset_names() -> Vec<&'static str> {
        PRESETS.iter().map(|(name, _)| *name).collect()
    }

    /// The machine that comes with the program under this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.iter().find(|(known, _)| *known == name)?;
        Some(Self::from_toml(text).expect("a preset is sound: a test reads them all"))
    }

    /// Reads and checks a machine.
    pub fn from_toml(text: &str) -> Result<Self, SpecError> {
        let raw: RawMachine = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            SpecError::new(
                key_at(text, at),
                error.message(),
                "see docs/emulated-machine.md for the keys and their units",
            )
        })?;
        raw.check(text)
    }

    /// The text it was read from; reading it again gives an equal machine.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Virtual cycles in a microsecond of virtual time.
    #[must_use]
    pub const fn frequency_mhz(&self) -> u32 {
        self.frequency_mhz
    }

    /// The step in which the vCPUs of a domain take turns, in cycles. A quantum is a multiple of it.
    #[must_use]
    pub const fn epoch_cycles(&self) -> u64 {
        self.epoch_cycles
    }

    /// Its LLC domains with their CPUs, both numbered from 0 without holes.
    #[must_use]
    pub fn domains(&self) -> Vec<(Domain, Vec<Cpu>)> {
        let mut next = 0;
        (0..)
            .zip(&self.cpus_per_domain)
            .map(|(domain, &cpus)| {
                let first = next;
                next += cpus;
                (Domain(domain), (first..next).map(Cpu).collect())
            })
            .collect()
    }

    /// The domain that `cpu` belongs to, if the machine has that CPU.
    #[must_use]
    pub fn domain_of(&self, cpu: Cpu) -> Option<Domain> {
        self.domains().into_iter().find(|(_, cpus)| cpus.contains(&cpu)).map(|(domain, _)| domain)
    }

    /// The node that `domain` belongs to, if the machine has that domain.
    #[must_use]
    pub fn node_of(&self, domain: Domain) -> Option<Node> {
        self.nodes.get(domain.0 as usize).copied()
    }

    /// What a load from memory takes more for a vCPU whose memory is on `home` and that runs in `domain`, in cycles.
    #[must_use]
    pub fn remote_latency_cycles(&self, home: Node, domain: Domain) -> u32 {
        if self.node_of(domain) == Some(home) { 0 } else { self.memory.remote_latency_cycles }
    }

    /// Each CPU's private first-level data cache.
    #[must_use]
    pub const fn l1(&self) -> CacheSpec {
        self.l1
    }

    /// Each CPU's private second-level cache, if it has one.
    #[must_use]
    pub const fn l2(&self) -> Option<CacheSpec> {
        self.l2
    }

    /// What fetches streams into each L2, if anything does.
    #[must_use]
    pub const fn prefetcher(&self) -> Option<PrefetcherSpec> {
        self.prefetcher
    }

    /// Each domain's shared last-level cache.
    #[must_use]
    pub const fn llc(&self) -> CacheSpec {
        self.llc
    }

    /// Each domain's memory channel.
    #[must_use]
    pub const fn memory(&self) -> MemorySpec {
        self.memory
    }

    /// Each CPU's core.
    #[must_use]
    pub const fn core(&self) -> CoreSpec {
        self.core
    }

    /// For how long each of the vCPUs that share a CPU has it at a time, a multiple of the epoch; absent if none may.
    #[must_use]
    pub const fn timeslice_cycles(&self) -> Option<u64> {
        self.timeslice_cycles
    }

    /// Everything that a vCPU's references to the LLC depend on, as one word: its private caches and its prefetcher. Not
    /// the LLC, the memory, the core or the epoch, which only say how long references take. A recorded stream plays on
    /// every machine that answers the same.
    #[must_use]
    pub fn private_digest(&self) -> String {
        let level = |cache: CacheSpec| format!("{}x{}", cache.sets, cache.ways);
        let prefetcher = self
            .prefetcher
            .map(|PrefetcherSpec { streams, degree, distance }| format!("_prefetcher-{streams}x{degree}x{distance}"));
        let l2 = self.l2.map_or("none".into(), level);
        format!("l1-{}_l2-{l2}{}", level(self.l1), prefetcher.unwrap_or_default())
    }

    /// Cycles it takes to read a whole LLC from memory at full bandwidth. A quantum should be many times this, or
    /// moving a vCPU costs more than any placement can win.
    #[must_use]
    pub fn refill_cycles(&self) -> u64 {
        (self.llc.bytes() as f64 / self.memory.bytes_per_cycle).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> &'static str {
        PRESETS[0].1
    }

    fn refusal(from: &str, to: &str) -> SpecError {
        assert!(small().contains(from), "the preset has {from:?}");
        Machine::from_toml(&small().replacen(from, to, 1)).expect_err(to)
    }

    #[test]
    fn every_preset_is_sound_and_carries_its_own_name() {
        for name in Machine::preset_names() {
            let machine = Machine::preset(name).expect(name);
            assert_eq!(machine.name(), name);
            assert_eq!(Machine::from_toml(machine.text()), Ok(machine));
        }
        assert_eq!(Machine::preset("no such machine"), None);
    }

    #[test]
    fn every_preset_but_the_default_has_a_prefetcher_and_says_what_it_is_after() {
        for (name, text) in &PRESETS[1..] {
            let machine = Machine::preset(name).expect(name);
            assert!(machine.prefetcher().is_some(), "{name}");
            assert!(text.starts_with("# After ") && text.contains("scaled"), "{name}");
            // A twentieth of a quantum of 10 M cycles.
            assert!(machine.refill_cycles() < 500_000, "{name}: {}", machine.refill_cycles());
        }
    }

    #[test]
    fn cpus_are_numbered_over_all_domains() {
        let machine = Machine::preset("small-2x2").expect("preset");
        assert_eq!(machine.domains(), [(Domain(0), vec![Cpu(0), Cpu(1)]), (Domain(1), vec![Cpu(2), Cpu(3)])],);
        assert_eq!(machine.domain_of(Cpu(3)), Some(Domain(1)));
        assert_eq!(machine.domain_of(Cpu(4)), None);
    }

    #[test]
    fn a_refill_reads_the_whole_cache_at_full_bandwidth() {
        let machine = Machine::preset("small-2x2").expect("preset");
        assert_eq!(machine.refill_cycles(), 1024 * 1024 / 4);
    }

    #[test]
    fn a_mistake_names_its_key_and_a_remedy() {
        let cases = [
            ("cpus = 2", "cpus = 0", "domain[0].cpus"),
            ("epoch_cycles = 20_000", "epoch_cycles = 0", "epoch_cycles"),
            ("size_kib = 1024", "size_kib = 1000", "llc.size_kib"),
            ("ways = 16", "ways = 0", "llc.ways"),
            ("bytes_per_cycle = 4.0", "bytes_per_cycle = -1.0", "memory.bytes_per_cycle"),
            ("bytes_per_cycle = 4.0", "bytes_per_cycle = nan", "memory.bytes_per_cycle"),
            ("reorder_window = 192", "reorder_windw = 192", "core.reorder_windw"),
            ("miss_registers = 10", "miss_registers = \"ten\"", "core.miss_registers"),
            ("miss_registers = 10", "miss_registers = 10\ntimeslice_cycles = 30_000", "core.timeslice_cycles"),
            ("frequency_mhz = 2000", "frequency_mhz", "line 4"),
        ];
        for (from, to, key) in cases {
            let error = refusal(from, to);
            assert_eq!(error.key, key, "{error}");
            assert!(!error.problem.is_empty() && !error.problem.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn a_prefetcher_is_optional_stays_in_its_page_and_needs_an_l2() {
        assert_eq!(Machine::preset("small-2x2").and_then(|machine| machine.prefetcher()), None);
        let with =
            |prefetcher: &str| Machine::from_toml(&small().replacen("[llc]", &format!("{prefetcher}\n[llc]"), 1));
        let machine = with("[prefetcher]\nstreams = 32\ndegree = 2\ndistance = 20").expect("sound");
        assert_eq!(machine.prefetcher(), Some(PrefetcherSpec { streams: 32, degree: 2, distance: 20 }));
        let error = with("[prefetcher]\nstreams = 32\ndegree = 2\ndistance = 64").expect_err("past the page");
        assert_eq!(error.key, "prefetcher.distance");
        let without = machine.text().replace("[l2]\nsize_kib = 128\nways = 8\nlatency_cycles = 12\n", "");
        assert_eq!(Machine::from_toml(&without).expect_err("no L2").key, "prefetcher");
    }

    #[test]
    fn memory_is_remote_only_where_there_are_several_nodes_and_then_its_latency_is_asked_for() {
        let one = Machine::preset("small-2x2").expect("preset");
        assert_eq!(one.remote_latency_cycles(Node(0), Domain(1)), 0);
        let two = |node: &str, remote: &str| {
            let text = small().replacen("[l1]", &format!("[[domain]]\ncpus = 2\n{node}\n[l1]"), 1);
            Machine::from_toml(&text.replacen("[memory]", &format!("[memory]\n{remote}"), 1))
        };
        let machine = two("node = 1", "remote_latency_cycles = 120").expect("sound");
        assert_eq!(
            [0, 1, 2, 3].map(|domain| machine.node_of(Domain(domain))),
            [Some(Node(0)), Some(Node(0)), Some(Node(1)), None]
        );
        assert_eq!(machine.remote_latency_cycles(Node(0), Domain(2)), 120);
        assert_eq!(machine.remote_latency_cycles(Node(1), Domain(2)), 0);
        assert_eq!(two("node = 1", "").expect_err("how remote?").key, "memory.remote_latency_cycles");
        assert_eq!(two("", "remote_latency_cycles = 120").expect_err("of whom?").key, "memory.remote_latency_cycles");
        assert_eq!(two("node = 2", "remote_latency_cycles = 120").expect_err("a hole").key, "domain[2].node");
    }

    #[test]
    fn a_missing_section_is_named() {
        let error = refusal("[llc]\nsize_kib = 1024\nways = 16\nlatency_cycles = 40\n", "");
        assert!(error.problem.contains("llc"), "{error}");
    }
}
