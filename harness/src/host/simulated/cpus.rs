//! Who sits on which CPU: within an LLC domain a vCPU gets the CPU that is least shared, a core of its own before a hardware
//! thread beside somebody.

use std::collections::BTreeMap;

use predictor::topology::{CpuId, DomainId};

use super::hardware::Hardware;

/// The CPUs of a host, each by its place among all, and how many vCPUs are on each.
#[derive(Debug, Clone)]
pub(super) struct Cpus {
    ids: Vec<CpuId>,
    /// The places of each domain's CPUs.
    domains: Vec<std::ops::Range<usize>>,
    core: Vec<usize>,
    threads_of_core: Vec<usize>,
    on_cpu: Vec<usize>,
    on_core: Vec<usize>,
}

impl Cpus {
    pub(super) fn new(hardware: &Hardware) -> Self {
        let mut ids = Vec::new();
        let mut domains = Vec::new();
        for domain in hardware.topology.domains() {
            domains.push(ids.len()..ids.len() + domain.cpus.len());
            ids.extend(domain.cpus.iter().copied());
        }
        let mut core_of: BTreeMap<CpuId, usize> = BTreeMap::new();
        for (number, core) in hardware.cores.iter().enumerate() {
            core_of.extend(core.iter().map(|cpu| (*cpu, number)));
        }
        let mut threads_of_core = vec![0; hardware.cores.len()];
        let mut core = Vec::new();
        for cpu in &ids {
            let number = core_of.get(cpu).copied().unwrap_or_else(|| {
                threads_of_core.push(0);
                threads_of_core.len() - 1
            });
            threads_of_core[number] += 1;
            core.push(number);
        }
        Self {
            on_cpu: vec![0; ids.len()],
            on_core: vec![0; threads_of_core.len()],
            ids,
            domains,
            core,
            threads_of_core,
        }
    }

    /// How many vCPUs are in `domain`.
    pub(super) fn load(&self, domain: DomainId) -> usize {
        self.on_cpu[self.domains[domain.0 as usize].clone()].iter().sum()
    }

    /// Seats somebody in `domain`, on the CPU that is named, if one is.
    pub(super) fn sit(&mut self, domain: DomainId, named: Option<CpuId>) -> usize {
        let places = self.domains[domain.0 as usize].clone();
        let asked = named.and_then(|cpu| places.clone().find(|place| self.ids[*place] == cpu));
        let least =
            || places.clone().min_by_key(|place| (self.on_cpu[*place], self.on_core[self.core[*place]], *place));
        let place = asked.or_else(least).expect("a domain has a CPU");
        self.on_cpu[place] += 1;
        self.on_core[self.core[place]] += 1;
        place
    }

    /// Somebody leaves this CPU.
    pub(super) fn leave(&mut self, place: usize) {
        self.on_cpu[place] -= 1;
        self.on_core[self.core[place]] -= 1;
    }

    /// The share of time that each on this CPU has it.
    pub(super) fn share(&self, place: usize) -> f64 {
        1.0 / self.on_cpu[place].max(1) as f64
    }

    /// Whether the core of this CPU has several hardware threads.
    pub(super) fn is_threaded(&self, place: usize) -> bool {
        self.threads_of_core[self.core[place]] > 1
    }

    /// Whether two CPUs are hardware threads of one core.
    pub(super) fn same_core(&self, one: usize, other: usize) -> bool {
        self.core[one] == self.core[other]
    }
}
