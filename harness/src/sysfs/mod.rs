//! What a Linux machine says of its CPUs, cores, packages, nodes and last-level caches, under `sys/devices/system`.
//!
//! Owns reading the tree of any machine, wherever it lies: files may be missing, lie, or be garbage; and the LLC domains
//! that vCPUs can be placed on. Placing them is [`predictor`]'s business.
//!
//! Rules, in this order:
//!
//! - CPUs are online if `cpu/online` says so; without that file, if their `cpuN/online` does not say 0. All other sets are
//!   cut down to these.
//! - A set is read from its list; without one, from its map. What is neither is passed over, and told as a remark.
//! - Packages and cores are distinct sets of siblings, not distinct ids: ids repeat, and some are -1.
//! - The last level is the highest at which any online CPU has a unified or data cache. A sharing map that is all zero says
//!   only that the threads of one core share.

mod cpu_set;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use cpu_set::trimmed;
pub use cpu_set::{CpuSet, NoCpuSet};

use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology, TopologyError};

use crate::input::InputError;

/// No file of the tree is longer; of what is, the beginning is read.
const LONGEST_FILE_BYTES: u64 = 64 << 10;

/// Remarks beyond these are counted and not told.
const MOST_REMARKS: usize = 20;

/// CPUs that share one last-level cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLevelCache {
    /// The online ones, at least one.
    pub cpus: CpuSet,
    /// Its size; absent where the machine does not say.
    pub size_bytes: Option<u64>,
}

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// CPUs that can run something.
    pub cpus_online: CpuSet,
    /// CPUs of each package, where the machine says; sorted.
    pub packages: Vec<CpuSet>,
    /// CPUs of each core, where the machine says; sorted.
    pub cores: Vec<CpuSet>,
    /// CPUs of each NUMA node; nodes of memory alone have none.
    pub nodes: BTreeMap<u32, CpuSet>,
    /// Level of the last-level caches; 0 where no CPU tells of any.
    pub llc_level: u32,
    /// All last-level caches, by their first CPU.
    pub llc_domains: Vec<LastLevelCache>,
    /// Online CPUs that tell of no cache of that level.
    pub cpus_without_llc: CpuSet,
    /// What was passed over because it made no sense.
    pub remarks: Vec<String>,
}

/// Reads what the machine says whose sysfs is at `sys`; `/sys` is this one's.
pub fn read(sys: &Path) -> Result<Found, InputError> {
    let mut tree = Tree { system: sys.join("devices/system"), remarks: Vec::new(), untold: 0 };
    let all = tree.numbered("cpu", "cpu");
    let cpus_online = tree.online(&all);
    if cpus_online.is_empty() {
        let problem = "no CPU is online under devices/system/cpu";
        return Err(InputError::new(problem, "this has to be the sysfs of a Linux machine, or a copy").in_file(sys));
    }
    let mut siblings = |stems: [&str; 2]| -> BTreeMap<u32, CpuSet> {
        let set = |cpu| Some((cpu, tree.first_set(&format!("cpu/cpu{cpu}/topology"), &stems, &cpus_online)?));
        cpus_online.iter().filter_map(set).collect()
    };
    let packages = siblings(["package_cpus", "core_siblings"]);
    let cores = siblings(["core_cpus", "thread_siblings"]);
    let caches = tree.last_level(&cpus_online, &cores);
    let nodes = tree.nodes(&cpus_online);
    let distinct = |sets: BTreeMap<u32, CpuSet>| sets.into_values().collect::<BTreeSet<_>>().into_iter().collect();
    let told: CpuSet = caches.domains.iter().flat_map(|domain| domain.cpus.iter()).collect();
    if tree.untold > 0 {
        tree.remarks.push(format!("and {} more", tree.untold));
    }
    Ok(Found {
        packages: distinct(packages),
        cores: distinct(cores),
        nodes,
        llc_level: caches.level,
        cpus_without_llc: cpus_online.iter().filter(|cpu| !told.contains(*cpu)).collect(),
        llc_domains: caches.domains,
        cpus_online,
        remarks: tree.remarks,
    })
}

impl Found {
    /// The LLC domains as a placement wants them; refused where a CPU is told to have two last-level caches, or none has
    /// one. A domain is near the first node that its first CPU belongs to.
    pub fn topology(&self) -> Result<Topology, TopologyError> {
        let node_of = |cpu: Option<u32>| {
            self.nodes.iter().find(|(_, cpus)| cpu.is_some_and(|cpu| cpus.contains(cpu))).map_or(0, |(node, _)| *node)
        };
        let domains = (0u32..).zip(&self.llc_domains).map(|(id, domain)| LlcDomain {
            id: DomainId(id),
            node: NodeId(node_of(domain.cpus.iter().next())),
            cpus: domain.cpus.iter().map(CpuId).collect(),
            llc_bytes: domain.size_bytes,
        });
        Topology::new(domains.collect())
    }
}

struct Tree {
    system: PathBuf,
    remarks: Vec<String>,
    untold: usize,
}

#[derive(Default)]
struct LastLevel {
    level: u32,
    domains: Vec<LastLevelCache>,
}

impl Tree {
    fn remark(&mut self, file: &str, what: impl std::fmt::Display) {
        if self.remarks.len() < MOST_REMARKS {
            self.remarks.push(format!("{file}: {what}"));
        } else {
            self.untold += 1;
        }
    }

    /// The text of a file, `None` where there is none that can be read.
    fn text(&mut self, file: &str) -> Option<String> {
        let path = self.system.join(file);
        // Anything else than a file might never end.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|open| open.take(LONGEST_FILE_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                self.remark(file, error);
                None
            }
        }
    }

    /// Numbers of the folders called `prefix` and a number.
    fn numbered(&self, folder: &str, prefix: &str) -> CpuSet {
        let names = fs::read_dir(self.system.join(folder)).into_iter().flatten().flatten();
        let number = |name: &str| name.strip_prefix(prefix)?.parse().ok();
        names.filter_map(|entry| number(entry.file_name().to_str()?)).collect()
    }

    fn online(&mut self, all: &CpuSet) -> CpuSet {
        if let Some(online) = self.list("cpu/online").filter(|online| !online.is_empty()) {
            return online;
        }
        let is_online = |cpu: &u32| self.text(&format!("cpu/cpu{cpu}/online")).is_none_or(|text| trimmed(&text) != "0");
        all.iter().filter(is_online).collect()
    }

    fn list(&mut self, file: &str) -> Option<CpuSet> {
        let read = CpuSet::from_list(&self.text(file)?);
        read.map_err(|error| self.remark(file, error)).ok()
    }

    fn map(&mut self, file: &str) -> Option<CpuSet> {
        let read = CpuSet::from_map(&self.text(file)?);
        read.map_err(|error| self.remark(file, error)).ok()
    }

    /// The set that `list` names, else the one that `map` does, of online CPUs.
    fn set(&mut self, list: &str, map: &str, online: &CpuSet) -> Option<CpuSet> {
        let read = self.list(list).or_else(|| self.map(map))?;
        Some(read.intersection(online))
    }

    /// The first set that is there and not empty, of `STEM_list` and `STEM` for each stem.
    fn first_set(&mut self, folder: &str, stems: &[&str], online: &CpuSet) -> Option<CpuSet> {
        stems.iter().find_map(|stem| {
            let file = format!("{folder}/{stem}");
            self.set(&format!("{file}_list"), &file, online).filter(|set| !set.is_empty())
        })
    }

    fn nodes(&mut self, online: &CpuSet) -> BTreeMap<u32, CpuSet> {
        let numbers = self.numbered("node", "node");
        let set = |node| {
            let file = |name: &str| format!("node/node{node}/{name}");
            (node, self.set(&file("cpulist"), &file("cpumap"), online).unwrap_or_default())
        };
        numbers.iter().map(set).collect()
    }

    fn last_level(&mut self, online: &CpuSet, cores: &BTreeMap<u32, CpuSet>) -> LastLevel {
        let mut level = 0;
        let mut of_cpus: Vec<(u32, u32, String)> = Vec::new();
        for cpu in online.iter() {
            let caches = format!("cpu/cpu{cpu}/cache");
            for index in self.numbered(&caches, "index").iter() {
                let folder = format!("{caches}/index{index}");
                let kind = self.text(&format!("{folder}/type")).unwrap_or_default();
                let of_cache =
                    self.text(&format!("{folder}/level")).and_then(|text| trimmed(&text).parse::<u32>().ok());
                if let Some(of_cache) = of_cache.filter(|_| matches!(trimmed(&kind), "Unified" | "Data")) {
                    level = level.max(of_cache);
                    of_cpus.push((of_cache, cpu, folder));
                }
            }
        }
        let mut sizes: BTreeMap<CpuSet, Option<u64>> = BTreeMap::new();
        for (_, cpu, folder) in of_cpus.into_iter().filter(|(of_cache, ..)| *of_cache == level) {
            let file = format!("{folder}/shared_cpu");
            let shared = self.set(&format!("{file}_list"), &format!("{file}_map"), online);
            let shared = shared.filter(|set| !set.is_empty()).or_else(|| cores.get(&cpu).cloned());
            let size = self.text(&format!("{folder}/size")).and_then(|text| size_bytes(&text));
            let known = sizes.entry(shared.unwrap_or_else(|| CpuSet::from_iter([cpu]))).or_default();
            *known = known.or(size);
        }
        let domains = sizes.into_iter().map(|(cpus, size_bytes)| LastLevelCache { cpus, size_bytes }).collect();
        LastLevel { level, domains }
    }
}

/// A size as the kernel writes it: a number of bytes, or with K, M or G.
fn size_bytes(text: &str) -> Option<u64> {
    let text = trimmed(text);
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests;
