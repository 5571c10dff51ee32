//! The LLC domains of a machine, from its sysfs.
//!
//! Rules, each needed by some real machine: CPU sets are cut down to the CPUs that are online; the last level is the
//! highest cache of type Unified or Data on any of them; a list of sharing CPUs is preferred to a bit map; a map of
//! zeros says nothing, and the threads of one core are then taken to share. The reader takes its root as a
//! parameter, so that it can be tested on the trees of other machines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

use super::{Check, State};

/// The name of the check of LLC domains.
pub const NAME: &str = "LLC domains";

type CpuSet = BTreeSet<u32>;

/// Why the LLC domains cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlcError {
    /// No CPU folder could be read.
    #[error("failed to list CPUs in {}: there is no cpuN folder; is sysfs mounted there?", .0.display())]
    NoCpus(PathBuf),
    /// The kernel says nothing about caches, as in some virtual machines.
    #[error("failed to find a cache in {}: no CPU has a cache folder; the hypervisor hides it", .0.display())]
    NoCaches(PathBuf),
    /// The folders contradict each other.
    #[error("failed to make LLC domains of {}: {reason}", .folder.display())]
    Contradiction {
        /// What was read.
        folder: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// Reads the LLC domains below `sys` (usually `/sys`), in the order of their lowest CPU.
pub fn read(sys: &Path) -> Result<Topology, LlcError> {
    let folder = sys.join("devices/system/cpu");
    let cpus = numbered(&folder, "cpu");
    if cpus.is_empty() {
        return Err(LlcError::NoCpus(folder));
    }
    let online = online(&folder, &cpus);
    let caches: BTreeMap<u32, Cache> =
        online.iter().filter_map(|cpu| Some((*cpu, last_level(&folder.join(format!("cpu{cpu}")))?))).collect();
    let Some(level) = caches.values().map(|cache| cache.level).max() else {
        return Err(LlcError::NoCaches(folder));
    };
    let nodes = nodes(&sys.join("devices/system/node"));
    let mut sets: BTreeMap<CpuSet, Option<u64>> = BTreeMap::new();
    for (cpu, cache) in caches.iter().filter(|(_, cache)| cache.level == level) {
        let mut sharing: CpuSet = cache.sharing.intersection(&online).copied().collect();
        sharing.insert(*cpu);
        sets.entry(sharing).or_insert(cache.bytes);
    }
    let domains = (0u32..).zip(sets).map(|(id, (cpus, llc_bytes))| LlcDomain {
        id: DomainId(id),
        node: cpus.first().and_then(|cpu| nodes.get(cpu)).copied().unwrap_or(NodeId(0)),
        cpus: cpus.into_iter().map(CpuId).collect(),
        llc_bytes,
    });
    Topology::new(domains.collect())
        .map_err(|error| LlcError::Contradiction { folder: folder.clone(), reason: error.to_string() })
}

/// Says how many LLC domains there are to place vCPUs on.
#[must_use]
pub fn check(sys: &Path) -> Check {
    let meaning = "a live host moves vCPUs between these; the emulated host brings its own";
    match read(sys) {
        Err(error) => Check::new(NAME, State::Missing, error.to_string(), meaning),
        Ok(topology) => {
            let domains: Vec<_> = topology.domains().iter().map(describe).collect();
            let count = domains.len();
            let found = match count {
                1..=8 => domains.join("; "),
                _ => format!("{count} of them, the first {}", domains[0]),
            };
            if count == 1 {
                let meaning =
                    "with a single LLC domain there is nowhere to move a vCPU to; the emulated host brings its own";
                Check::new(NAME, State::Limited, found, meaning)
            } else {
                Check::new(NAME, State::Ok, found, meaning)
            }
        }
    }
}

fn describe(domain: &LlcDomain) -> String {
    let size = domain.llc_bytes.map_or("of unknown size".into(), |bytes| format!("{} KiB", bytes / 1024));
    let cpus: Vec<_> = domain.cpus.iter().map(|cpu| cpu.0).collect();
    format!("domain {}: {size} for CPUs {}", domain.id.0, list_of(&cpus))
}

/// One CPU's last-level cache.
struct Cache {
    level: u32,
    bytes: Option<u64>,
    sharing: CpuSet,
}

/// A file's text without the blanks and zero bytes that some kernels put at its end.
fn text(path: PathBuf) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

/// Numbers n of the folders called `<prefix>n`.
fn numbered(folder: &Path, prefix: &str) -> CpuSet {
    let Ok(entries) = std::fs::read_dir(folder) else { return CpuSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()).collect()
}

/// The CPUs that are online: the kernel's list, else each CPU's own flag; a CPU without a flag cannot be turned off.
fn online(folder: &Path, cpus: &CpuSet) -> CpuSet {
    let listed = text(folder.join("online")).map(|list| parse_list(&list)).unwrap_or_default();
    if !listed.is_empty() {
        return cpus.intersection(&listed).copied().collect();
    }
    let is_online = |cpu: &&u32| text(folder.join(format!("cpu{cpu}/online"))).is_none_or(|flag| flag != "0");
    cpus.iter().filter(is_online).copied().collect()
}

fn last_level(cpu: &Path) -> Option<Cache> {
    let folder = cpu.join("cache");
    let indices = numbered(&folder, "index");
    let caches = indices.into_iter().filter_map(|index| {
        let folder = folder.join(format!("index{index}"));
        let kind = text(folder.join("type"))?;
        let level = text(folder.join("level"))?.parse().ok()?;
        matches!(kind.as_str(), "Unified" | "Data").then_some((level, folder))
    });
    // The first of several at one level: data caches stand before unified ones only at level 1.
    let (level, index) = caches.max_by_key(|(level, folder)| (*level, std::cmp::Reverse(folder.clone())))?;
    Some(Cache {
        level,
        bytes: text(index.join("size")).and_then(|size| parse_size(&size)),
        sharing: sharing(&index, cpu),
    })
}

fn sharing(index: &Path, cpu: &Path) -> CpuSet {
    let list = text(index.join("shared_cpu_list")).map(|list| parse_list(&list)).filter(|set| !set.is_empty());
    let map = || text(index.join("shared_cpu_map")).map(|map| parse_map(&map)).filter(|set| !set.is_empty());
    let siblings = || {
        let topology = cpu.join("topology");
        ["thread_siblings_list", "core_cpus_list"]
            .iter()
            .find_map(|name| text(topology.join(name)).map(|list| parse_list(&list)))
            .or_else(|| {
                let map = ["thread_siblings", "core_cpus"].iter().find_map(|name| text(topology.join(name)))?;
                Some(parse_map(&map))
            })
    };
    list.or_else(map).or_else(siblings).unwrap_or_default()
}

/// `0-3,8` as a set; what is not a number is left out.
fn parse_list(list: &str) -> CpuSet {
    list.split(',')
        .filter_map(|part| {
            let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
        })
        .flatten()
        .collect()
}

/// A kernel bit map, hexadecimal in words of 32 bits, the highest first, as a set.
fn parse_map(map: &str) -> CpuSet {
    let digits = map.chars().rev().filter(|digit| *digit != ',');
    (0u32..)
        .zip(digits)
        .flat_map(|(place, digit)| {
            let bits = digit.to_digit(16).unwrap_or(0);
            (0..4).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| place * 4 + bit)
        })
        .collect()
}

/// `32768K` or `4M` in bytes.
fn parse_size(size: &str) -> Option<u64> {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    let bytes_per_unit = match unit {
        "" => 1,
        "K" => 1024,
        "M" => 1024 * 1024,
        "G" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes_per_unit)
}

fn nodes(folder: &Path) -> BTreeMap<u32, NodeId> {
    numbered(folder, "node")
        .into_iter()
        .flat_map(|node| {
            let folder = folder.join(format!("node{node}"));
            let cpus = text(folder.join("cpulist")).map(|list| parse_list(&list)).filter(|set| !set.is_empty());
            let cpus = cpus.or_else(|| text(folder.join("cpumap")).map(|map| parse_map(&map))).unwrap_or_default();
            cpus.into_iter().map(move |cpu| (cpu, NodeId(node)))
        })
        .collect()
}

/// CPU numbers as the kernel lists them: `0-3,8`.
#[must_use]
pub fn list_of(cpus: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => ranges.push((*cpu, *cpu)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_maps_and_sizes_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-2,8"), CpuSet::from([0, 1, 2, 8]));
        assert_eq!(parse_list(""), CpuSet::new());
        assert_eq!(parse_map("00000001,00000105"), CpuSet::from([0, 2, 8, 32]));
        assert_eq!(["32768K", "4M", "512", "x"].map(parse_size), [Some(32 << 20), Some(4 << 20), Some(512), None]);
        assert_eq!(list_of(&[0, 1, 2, 8]), "0-2,8");
    }

    #[test]
    fn a_machine_that_hides_its_caches_is_told_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(read(folder.path()), Err(LlcError::NoCpus(_))));
        std::fs::create_dir_all(folder.path().join("devices/system/cpu/cpu0")).expect("made");
        assert!(matches!(read(folder.path()), Err(LlcError::NoCaches(_))));
    }
}
