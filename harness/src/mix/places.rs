//! Where each guest of a mix starts: the LLC domain and CPU that were asked for, else the first with room.

use std::collections::{BTreeMap, BTreeSet};

use machine::spec::{Cpu, Machine};
use predictor::topology::{CpuId, DomainId};

use crate::input::InputError;

/// What a guest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) vcpus: u32,
    pub(super) domain: Option<u32>,
    pub(super) cpu: Option<u32>,
}

/// What it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) domain: DomainId,
    /// Only if it was asked for.
    pub(super) cpu: Option<CpuId>,
}

/// A place for every guest: those that name a CPU have it, together with others that name the same if the machine has
/// time slices; then those that name a domain; then the others, each in the first domain with a CPU left.
pub(super) fn assign(wishes: &[Wish], machine: &Machine) -> Result<Vec<Place>, InputError> {
    let taken = named_cpus(wishes, machine)?;
    let mut free: BTreeMap<DomainId, u64> = BTreeMap::new();
    for (domain, cpus) in machine.domains() {
        free.insert(DomainId(domain.0), cpus.iter().filter(|cpu| !taken.contains(cpu)).count() as u64);
    }
    let unnamed = || wishes.iter().enumerate().filter(|(_, wish)| wish.cpu.is_none());
    let needed: u64 = unnamed().map(|(_, wish)| u64::from(wish.vcpus)).sum();
    let left: u64 = free.values().sum();
    if needed > left {
        let (all, cpus) = (needed + taken.len() as u64, left + taken.len() as u64);
        let problem = format!("{all} vCPUs in all, and the machine has {cpus} CPUs");
        return Err(InputError::new(problem, "leave guests out, or choose a larger machine").at("guest"));
    }
    for (index, wish) in unnamed() {
        if let Some(domain) = wish.domain {
            take(&mut free, DomainId(domain), wish.vcpus.into())
                .map_err(|mistake| mistake.at(format!("guest[{index}].domain")))?;
        }
    }
    let place = |(index, wish): (usize, &Wish)| match (wish.cpu, wish.domain) {
        (Some(cpu), _) => Ok(Place { domain: domain_of(machine, cpu, index)?, cpu: Some(CpuId(cpu)) }),
        (None, Some(domain)) => Ok(Place { domain: DomainId(domain), cpu: None }),
        (None, None) => {
            let vcpus = u64::from(wish.vcpus);
            let Some(domain) = free.iter().find(|(_, cpus)| **cpus >= vcpus).map(|(domain, _)| *domain) else {
                let problem = format!("no LLC domain has {vcpus} CPUs free for {:?}", wish.name);
                let remedy = "give domains to the other guests that leave room in one";
                return Err(InputError::new(problem, remedy).at(format!("guest[{index}]")));
            };
            take(&mut free, domain, vcpus)?;
            Ok(Place { domain, cpu: None })
        }
    };
    wishes.iter().enumerate().map(place).collect()
}

/// The CPUs that guests name, each checked.
fn named_cpus(wishes: &[Wish], machine: &Machine) -> Result<BTreeSet<Cpu>, InputError> {
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    for (index, wish) in wishes.iter().enumerate() {
        let Some(cpu) = wish.cpu else { continue };
        let wrong =
            |problem: String, remedy: String| Err(InputError::new(problem, remedy).at(format!("guest[{index}].cpu")));
        let domain = domain_of(machine, cpu, index)?;
        if let Some(other) = wish.domain.filter(|other| *other != domain.0) {
            let problem = format!("CPU {cpu} is in LLC domain {}, and domain = {other} is given", domain.0);
            return wrong(problem, "remove one of the two".to_owned());
        }
        if wish.vcpus != 1 {
            return wrong(format!("one CPU for {} vCPUs", wish.vcpus), "give a domain instead".to_owned());
        }
        if let Some(other) = taken.insert(cpu, &wish.name)
            && machine.timeslice_cycles().is_none()
        {
            let problem =
                format!("{other:?} is on CPU {cpu} already, and machine {:?} has no time slices", machine.name());
            let remedy = "choose another CPU, or a machine with core.timeslice_cycles".to_owned();
            return wrong(problem, remedy);
        }
    }
    Ok(taken.into_keys().map(Cpu).collect())
}

fn domain_of(machine: &Machine, cpu: u32, index: usize) -> Result<DomainId, InputError> {
    let last = machine.domains().iter().map(|(_, cpus)| cpus.len()).sum::<usize>() - 1;
    machine.domain_of(Cpu(cpu)).map(|domain| DomainId(domain.0)).ok_or_else(|| {
        InputError::new(format!("the machine has no CPU {cpu}"), format!("give a number from 0 to {last}"))
            .at(format!("guest[{index}].cpu"))
    })
}

fn take(free: &mut BTreeMap<DomainId, u64>, domain: DomainId, vcpus: u64) -> Result<(), InputError> {
    let last = free.len() - 1;
    let Some(cpus) = free.get_mut(&domain) else {
        let problem = format!("the machine has no LLC domain {}", domain.0);
        return Err(InputError::new(problem, format!("give a number from 0 to {last}")));
    };
    if *cpus < vcpus {
        let problem = format!("LLC domain {} has not enough CPUs for the guests that start in it", domain.0);
        return Err(InputError::new(problem, "start one of them in another domain"));
    }
    *cpus -= vcpus;
    Ok(())
}
