//! Every way to share guests out to LLC domains, and the fewest moves from one to another.
//!
//! Domains of the same node with as many CPUs and as large a cache are alike: guests that exchange two whole domains run
//! as they did. So ways that differ by such an exchange are one *arrangement*, and where its parts stand matters for
//! moves alone.

use std::collections::{BTreeMap, BTreeSet};

use predictor::counters::VcpuId;
use predictor::placement::{Move, Placement};
use predictor::topology::{DomainId, Topology};

/// Who runs together, with every placement that comes to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrangement {
    placements: Vec<Placement>,
}

impl Arrangement {
    /// The first of its placements: the one in which the first vCPUs stand in the first domains.
    #[must_use]
    pub fn first(&self) -> &Placement {
        &self.placements[0]
    }

    /// Whether `placement` is one of it.
    #[must_use]
    pub fn holds(&self, placement: &Placement) -> bool {
        self.placements.contains(placement)
    }

    /// The moves by which `from` becomes this arrangement with as few vCPUs moved as possible: each way to do so.
    #[must_use]
    pub fn ways_from(&self, from: &Placement) -> Vec<Vec<Move>> {
        let ways: Vec<Vec<Move>> = self.placements.iter().map(|to| from.moves_to(to)).collect();
        let fewest = ways.iter().map(Vec::len).min().unwrap_or(0);
        ways.into_iter().filter(|way| way.len() == fewest).collect()
    }
}

/// All arrangements of these vCPUs with one for each CPU at most; `None` if there are more than `most`.
#[must_use]
pub fn all(vcpus: &[VcpuId], topology: &Topology, most: usize) -> Option<Vec<Arrangement>> {
    let mut classes: BTreeMap<BTreeSet<(Kind, BTreeSet<VcpuId>)>, Vec<Placement>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut homes = Vec::new();
    let complete = share_out(vcpus.len(), topology, &mut homes, &mut |homes| {
        let placement = Placement(vcpus.iter().copied().zip(homes.iter().copied()).collect());
        let class = class_of(&placement, topology);
        if !classes.contains_key(&class) {
            order.push(class.clone());
        }
        classes.entry(class).or_default().push(placement);
        order.len() <= most
    });
    let arrangement = |class| Some(Arrangement { placements: classes.remove(&class)? });
    complete.then(|| order.into_iter().filter_map(arrangement).collect())
}

/// What makes domains alike: node, CPUs, bytes of cache.
type Kind = (u32, usize, Option<u64>);

fn class_of(placement: &Placement, topology: &Topology) -> BTreeSet<(Kind, BTreeSet<VcpuId>)> {
    let occupied = topology.domains().iter().map(|domain| {
        let kind = (domain.node.0, domain.cpus.len(), domain.llc_bytes);
        (kind, placement.members(domain.id).collect::<BTreeSet<_>>())
    });
    occupied.filter(|(_, members)| !members.is_empty()).collect()
}

/// Hands `keep` every way to give each of `left` more vCPUs a home after `homes`, in lexical order; `false` if it had enough.
fn share_out(
    vcpus: usize,
    topology: &Topology,
    homes: &mut Vec<DomainId>,
    keep: &mut dyn FnMut(&[DomainId]) -> bool,
) -> bool {
    if homes.len() == vcpus {
        return keep(homes);
    }
    for domain in topology.domains() {
        let held = homes.iter().filter(|home| **home == domain.id).count();
        if held < topology.capacity(domain.id) {
            homes.push(domain.id);
            let more = share_out(vcpus, topology, homes, keep);
            homes.pop();
            if !more {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use predictor::counters::GuestId;
    use predictor::topology::{CpuId, LlcDomain, NodeId};

    use super::*;

    fn vcpus(count: u32) -> Vec<VcpuId> {
        (0..count).map(|guest| VcpuId { guest: GuestId(guest), index: 0 }).collect()
    }

    fn topology(nodes: &[u32], cpus_each: u32) -> Topology {
        let domain = |(id, node): (u32, &u32)| LlcDomain {
            id: DomainId(id),
            node: NodeId(*node),
            cpus: (id * cpus_each..(id + 1) * cpus_each).map(CpuId).collect(),
            llc_bytes: Some(1 << 20),
        };
        Topology::new((0..).zip(nodes).map(domain).collect()).expect("sound")
    }

    #[test]
    fn four_guests_on_two_domains_of_two_pair_up_in_three_ways() {
        let all = all(&vcpus(4), &topology(&[0, 0], 2), 100).expect("few");
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|arrangement| arrangement.placements.len() == 2));
    }

    #[test]
    fn domains_of_different_nodes_are_not_exchanged() {
        assert_eq!(all(&vcpus(4), &topology(&[0, 1], 2), 100).expect("few").len(), 6);
    }

    #[test]
    fn an_arrangement_is_reached_by_exchanging_two_guests_in_either_way() {
        let all = all(&vcpus(4), &topology(&[0, 0], 2), 100).expect("few");
        let start = all[0].first().clone();
        assert_eq!(all[0].ways_from(&start), [vec![]]);
        for other in &all[1..] {
            let ways = other.ways_from(&start);
            assert_eq!(ways.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2], "one from each domain, or the other two");
            assert!(ways.iter().all(|way| {
                let mut after = start.clone();
                after.0.extend(way.iter().map(|change| (change.vcpu, change.to)));
                other.holds(&after)
            }));
        }
    }

    #[test]
    fn too_many_arrangements_are_none() {
        assert_eq!(all(&vcpus(8), &topology(&[0, 0, 0, 0], 2), 104), None);
        assert_eq!(all(&vcpus(8), &topology(&[0, 0, 0, 0], 2), 105).expect("few enough").len(), 105);
    }
}
