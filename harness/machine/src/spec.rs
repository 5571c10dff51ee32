//! What an emulated machine consists of, read from TOML and checked once.
//!
//! [`Machine`] cannot be wrong: sizes are whole lines, set counts powers of two, bandwidths and latencies positive.
//! How the parts behave is the business of [`crate::cache`], [`crate::bandwidth`] and [`crate::pipeline`].

use serde::Deserialize;

/// Bytes in a cache line, everywhere in the machine.
pub const LINE_BYTES: u64 = 64;

/// Most LLC domains of a machine.
pub const MAX_DOMAINS: usize = 64;

/// Most CPUs in one LLC domain.
pub const MAX_CPUS_PER_DOMAIN: u32 = 64;

const PRESETS: [(&str, &str); 1] = [("small-2x2", include_str!("../../machines/small-2x2.toml"))];

/// A CPU of the machine; consecutive over its domains, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(pub u32);

/// An LLC domain of the machine, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub u32);

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

/// The memory channel behind each LLC domain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemorySpec {
    /// From issue to use of a load from idle memory, in cycles; includes the way through the caches.
    pub latency_cycles: u32,
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
    l1: CacheSpec,
    l2: Option<CacheSpec>,
    llc: CacheSpec,
    memory: MemorySpec,
    core: CoreSpec,
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

    /// Everything that a vCPU's references to the LLC depend on, as one word: its private caches. Not the LLC, the memory,
    /// the core or the epoch, which only say how long references take. A recorded stream plays on every machine that
    /// answers the same.
    #[must_use]
    pub fn private_digest(&self) -> String {
        let level = |cache: CacheSpec| format!("{}x{}", cache.sets, cache.ways);
        format!("l1-{}_l2-{}", level(self.l1), self.l2.map_or("none".into(), level))
    }

    /// Cycles it takes to read a whole LLC from memory at full bandwidth. A quantum should be many times this, or
    /// moving a vCPU costs more than any placement can win.
    #[must_use]
    pub fn refill_cycles(&self) -> u64 {
        (self.llc.bytes() as f64 / self.memory.bytes_per_cycle).ceil() as u64
    }
}

/// The path of the key that stands at byte `at` of `text`: its table's header and the word before `=`.
fn key_at(text: &str, at: usize) -> String {
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
struct RawMachine {
    name: String,
    frequency_mhz: u32,
    epoch_cycles: u64,
    domain: Vec<RawDomain>,
    l1: RawL1,
    l2: Option<RawCache>,
    llc: RawCache,
    memory: RawMemory,
    core: RawCore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDomain {
    cpus: u32,
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
struct RawMemory {
    latency_cycles: u32,
    bytes_per_cycle: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCore {
    cycles_per_instruction: f64,
    reorder_window: u32,
    miss_registers: u32,
}

impl RawMachine {
    fn check(self, text: &str) -> Result<Machine, SpecError> {
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
        let l1 = RawCache { size_kib: self.l1.size_kib, ways: self.l1.ways, latency_cycles: 1 };
        whole("memory.latency_cycles", self.memory.latency_cycles.into(), 1, 100_000)?;
        real("memory.bytes_per_cycle", self.memory.bytes_per_cycle, 0.001, 1_024.0)?;
        real("core.cycles_per_instruction", self.core.cycles_per_instruction, 0.05, 100.0)?;
        whole("core.reorder_window", self.core.reorder_window.into(), 1, 10_000)?;
        whole("core.miss_registers", self.core.miss_registers.into(), 1, 256)?;
        Ok(Machine {
            text: text.to_owned(),
            name: self.name,
            frequency_mhz: self.frequency_mhz,
            epoch_cycles: self.epoch_cycles,
            cpus_per_domain: self.domain.iter().map(|domain| domain.cpus).collect(),
            l1: l1.check("l1")?,
            l2: self.l2.map(|l2| l2.check("l2")).transpose()?,
            llc: self.llc.check("llc")?,
            memory: MemorySpec {
                latency_cycles: self.memory.latency_cycles,
                bytes_per_cycle: self.memory.bytes_per_cycle,
            },
            core: CoreSpec {
                cycles_per_instruction: self.core.cycles_per_instruction,
                reorder_window: self.core.reorder_window,
                miss_registers: self.core.miss_registers,
            },
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
            ("frequency_mhz = 2000", "frequency_mhz", "line 4"),
        ];
        for (from, to, key) in cases {
            let error = refusal(from, to);
            assert_eq!(error.key, key, "{error}");
            assert!(!error.problem.is_empty() && !error.problem.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn a_missing_section_is_named() {
        let error = refusal("[llc]\nsize_kib = 1024\nways = 16\nlatency_cycles = 40\n", "");
        assert!(error.problem.contains("llc"), "{error}");
    }
}
