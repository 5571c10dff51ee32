//! What there is to place vCPUs on: CPUs, the LLC domains they share, and the nodes behind those.
//!
//! Reading it from a machine is the harness's business; this is the checked answer.

use serde::{Deserialize, Serialize};

/// A logical CPU of the host, by the host's own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuId(pub u32);

/// An LLC domain: the CPUs that share one last-level cache. Numbered from 0 in the topology's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DomainId(pub u32);

/// A NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

/// One LLC domain of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlcDomain {
    /// The domain's name in placements and decisions.
    pub id: DomainId,
    /// The node whose memory is near.
    pub node: NodeId,
    /// Online CPUs that share this cache, ascending, never empty.
    pub cpus: Vec<CpuId>,
    /// Size of the shared cache in bytes; absent where the host does not say.
    pub llc_bytes: Option<u64>,
}

/// Why a list of domains is no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// There is nothing to place a vCPU on.
    #[error("a host needs at least one LLC domain")]
    NoDomain,
    /// A domain without a CPU can run nothing.
    #[error("LLC domain {0} has no CPU; give it at least 1 or leave it out")]
    EmptyDomain(u32),
    /// Ids are positions, so that a placement can be checked.
    #[error("LLC domain at position {position} is called {found}; domains are numbered from 0 without holes")]
    Misnumbered {
        /// Where it stands in the list.
        position: u32,
        /// What it is called.
        found: u32,
    },
    /// A CPU has one last-level cache.
    #[error("CPU {0} belongs to two LLC domains")]
    SharedCpu(u32),
}

/// The LLC domains of a host: at least one, numbered from 0, disjoint, none empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<LlcDomain>", into = "Vec<LlcDomain>")]
pub struct Topology {
    domains: Vec<LlcDomain>,
}

impl Topology {
    /// Checks that `domains` can be placed on.
    pub fn new(domains: Vec<LlcDomain>) -> Result<Self, TopologyError> {
        if domains.is_empty() {
            return Err(TopologyError::NoDomain);
        }
        let mut seen = std::collections::BTreeSet::new();
        for (position, domain) in (0u32..).zip(&domains) {
            if domain.id.0 != position {
                return Err(TopologyError::Misnumbered { position, found: domain.id.0 });
            }
            if domain.cpus.is_empty() {
                return Err(TopologyError::EmptyDomain(position));
            }
            if let Some(cpu) = domain.cpus.iter().find(|cpu| !seen.insert(**cpu)) {
                return Err(TopologyError::SharedCpu(cpu.0));
            }
        }
        Ok(Self { domains })
    }

    /// All domains, in the order of their ids.
    #[must_use]
    pub fn domains(&self) -> &[LlcDomain] {
        &self.domains
    }

    /// The domain called `id`, if the host has it.
    #[must_use]
    pub fn domain(&self, id: DomainId) -> Option<&LlcDomain> {
        self.domains.get(id.0 as usize)
    }

    /// How many CPUs `id` offers; 0 for a domain the host does not have.
    #[must_use]
    pub fn capacity(&self, id: DomainId) -> usize {
        self.domain(id).map_or(0, |domain| domain.cpus.len())
    }
}

impl TryFrom<Vec<LlcDomain>> for Topology {
    type Error = TopologyError;

    fn try_from(domains: Vec<LlcDomain>) -> Result<Self, Self::Error> {
        Self::new(domains)
    }
}

impl From<Topology> for Vec<LlcDomain> {
    fn from(topology: Topology) -> Self {
        topology.domains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(id: u32, cpus: &[u32]) -> LlcDomain {
        LlcDomain {
            id: DomainId(id),
            node: NodeId(0),
            cpus: cpus.iter().copied().map(CpuId).collect(),
            llc_bytes: None,
        }
    }

    #[test]
    fn a_domain_without_a_cpu_is_refused_by_name() {
        let refused = Topology::new(vec![domain(0, &[0]), domain(1, &[])]);
        assert_eq!(refused, Err(TopologyError::EmptyDomain(1)));
    }

    #[test]
    fn a_cpu_has_one_last_level_cache() {
        let refused = Topology::new(vec![domain(0, &[0, 1]), domain(1, &[1])]);
        assert_eq!(refused, Err(TopologyError::SharedCpu(1)));
    }

    #[test]
    fn domains_are_numbered_from_zero_without_holes() {
        assert_eq!(Topology::new(vec![]), Err(TopologyError::NoDomain));
        let refused = Topology::new(vec![domain(0, &[0]), domain(2, &[1])]);
        assert_eq!(refused, Err(TopologyError::Misnumbered { position: 1, found: 2 }));
    }

    #[test]
    fn capacity_counts_cpus_and_is_zero_where_there_is_no_domain() {
        let host = Topology::new(vec![domain(0, &[0, 1]), domain(1, &[4])]).expect("sound");
        assert_eq!([0, 1, 2].map(|id| host.capacity(DomainId(id))), [2, 1, 0]);
    }
}
