//! In which LLC domain a thread is, as its mask says, or where it ran last.

use predictor::topology::{CpuId, DomainId, Topology};

use crate::affinity;
use crate::procfs::{Proc, ProcError, ThreadIdentity};

/// The domain of a CPU, if it is in one.
pub(super) fn domain_of_cpu(topology: &Topology, cpu: u32) -> Option<DomainId> {
    topology.domains().iter().find(|domain| domain.cpus.contains(&CpuId(cpu))).map(|domain| domain.id)
}

/// Where a thread is: in the domain that its mask lies in, else where it ran last; `None` on CPUs of no domain.
pub(super) fn current_domain(
    proc: &Proc,
    topology: &Topology,
    thread: &ThreadIdentity,
) -> Result<Option<DomainId>, ProcError> {
    let stat = proc.stat(thread.pid, thread.tid)?;
    let mask = affinity::mask_of(thread.tid).unwrap_or_default();
    let mut domains: Vec<Option<DomainId>> = mask.iter().map(|cpu| domain_of_cpu(topology, cpu)).collect();
    domains.dedup();
    match domains[..] {
        [Some(only)] => Ok(Some(only)),
        _ => Ok(stat.last_cpu.and_then(|cpu| domain_of_cpu(topology, cpu))),
    }
}
