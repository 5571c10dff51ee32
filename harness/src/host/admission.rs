//! Which of a batch of moves a host can carry out: the rules that every host shares.
//!
//! A batch happens all at once, so a swap between two full domains is possible. Room is counted after the moves that
//! are accepted; where a domain would overflow, the moves requested last into it are refused, and whoever stays
//! behind because of that is counted where it stays.

use std::collections::{BTreeMap, BTreeSet};

use predictor::counters::VcpuId;
use predictor::placement::{Move, Placement};
use predictor::topology::{DomainId, Topology};

use super::MoveOutcome;

/// Answers each of `moves`, in their order, and changes `placement` by those that are accepted.
///
/// Refused are: a vCPU the host does not have, a domain it does not have, a vCPU that runs elsewhere than the request
/// says, a second move of one vCPU in a batch, and a move into a domain that has no CPU left.
pub fn admit(topology: &Topology, placement: &mut Placement, moves: &[Move]) -> Vec<MoveOutcome> {
    let mut refusals: Vec<Option<String>> = Vec::with_capacity(moves.len());
    let mut seen = BTreeSet::new();
    for request in moves {
        refusals.push(ill_formed(topology, placement, request, &mut seen));
    }
    while let Some(late) = last_into_a_full_domain(topology, placement, moves, &refusals) {
        let to = moves[late].to;
        refusals[late] = Some(format!("LLC domain {} has no CPU free; it has {}", to.0, topology.capacity(to)));
    }
    for (request, refusal) in moves.iter().zip(&refusals) {
        if refusal.is_none() {
            placement.0.insert(request.vcpu, request.to);
        }
    }
    let answer = |(request, refusal): (&Move, _)| MoveOutcome { requested: *request, refusal };
    moves.iter().zip(refusals).map(answer).collect()
}

fn ill_formed(
    topology: &Topology,
    placement: &Placement,
    request: &Move,
    seen: &mut BTreeSet<VcpuId>,
) -> Option<String> {
    let Some(here) = placement.0.get(&request.vcpu) else {
        return Some(format!("this host has no {}", request.vcpu));
    };
    if topology.domain(request.to).is_none() {
        return Some(format!("this host has no LLC domain {}", request.to.0));
    }
    if *here != request.from {
        return Some(format!("{} runs in LLC domain {}, not in {}", request.vcpu, here.0, request.from.0));
    }
    if !seen.insert(request.vcpu) {
        return Some(format!("{} is moved twice in one batch", request.vcpu));
    }
    None
}

/// The last accepted move that changes domain and ends in one with more vCPUs than CPUs.
fn last_into_a_full_domain(
    topology: &Topology,
    placement: &Placement,
    moves: &[Move],
    refusals: &[Option<String>],
) -> Option<usize> {
    let mut after = placement.0.clone();
    for (request, _) in moves.iter().zip(refusals).filter(|(_, refusal)| refusal.is_none()) {
        after.insert(request.vcpu, request.to);
    }
    let mut load: BTreeMap<DomainId, usize> = BTreeMap::new();
    for domain in after.into_values() {
        *load.entry(domain).or_default() += 1;
    }
    let overfull = |domain: DomainId| load.get(&domain).is_some_and(|&load| load > topology.capacity(domain));
    (0..moves.len())
        .rev()
        .find(|&place| refusals[place].is_none() && moves[place].from != moves[place].to && overfull(moves[place].to))
}

#[cfg(test)]
mod tests {
    use predictor::counters::GuestId;
    use predictor::topology::{CpuId, LlcDomain, NodeId};
    use proptest::prelude::*;

    use super::*;

    fn topology() -> Topology {
        let domain = |id: u32| LlcDomain {
            id: DomainId(id),
            node: NodeId(0),
            cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)],
            llc_bytes: None,
        };
        Topology::new(vec![domain(0), domain(1)]).expect("sound")
    }

    fn vcpu(guest: u32) -> VcpuId {
        VcpuId { guest: GuestId(guest), index: 0 }
    }

    fn request(guest: u32, from: u32, to: u32) -> Move {
        Move { vcpu: vcpu(guest), from: DomainId(from), to: DomainId(to) }
    }

    /// The domain of guest 0, of guest 1, and so on.
    fn placed(domains: &[u32]) -> Placement {
        Placement((0..).zip(domains).map(|(guest, &domain)| (vcpu(guest), DomainId(domain))).collect())
    }

    fn refused(outcomes: &[MoveOutcome]) -> Vec<bool> {
        outcomes.iter().map(|outcome| outcome.refusal.is_some()).collect()
    }

    #[test]
    fn a_swap_between_full_domains_is_accepted() {
        let mut placement = placed(&[0, 0, 1, 1]);
        let outcomes = admit(&topology(), &mut placement, &[request(0, 0, 1), request(2, 1, 0)]);
        assert_eq!(refused(&outcomes), [false, false]);
        assert_eq!(placement, placed(&[1, 0, 0, 1]));
    }

    #[test]
    fn a_full_domain_refuses_the_last_comer() {
        let mut placement = placed(&[0, 0, 1]);
        let outcomes = admit(&topology(), &mut placement, &[request(0, 0, 1), request(1, 0, 1)]);
        assert_eq!(refused(&outcomes), [false, true]);
        assert_eq!(placement, placed(&[1, 0, 1]));
    }

    #[test]
    fn a_swap_with_an_unknown_partner_is_refused_as_a_whole() {
        let mut placement = placed(&[0, 0, 1, 1]);
        let outcomes = admit(&topology(), &mut placement, &[request(0, 0, 1), request(9, 1, 0)]);
        assert_eq!(refused(&outcomes), [true, true]);
        assert_eq!(placement, placed(&[0, 0, 1, 1]));
    }

    #[test]
    fn a_picture_that_is_out_of_date_is_refused() {
        let mut placement = placed(&[0, 1]);
        let outcomes = admit(&topology(), &mut placement, &[request(0, 1, 0), request(1, 1, 7)]);
        let reasons: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.refusal).collect();
        assert_eq!(reasons, ["guest 0 vCPU 0 runs in LLC domain 0, not in 1", "this host has no LLC domain 7"]);
    }

    proptest! {
        #[test]
        fn no_domain_ever_overflows_and_refused_vcpus_stay(
            start in proptest::sample::subsequence(vec![0u32, 0, 1, 1], 0..=4),
            wanted in proptest::collection::vec((0u32..5, 0u32..2, 0u32..3), 0..8),
        ) {
            let before = placed(&start);
            let moves: Vec<Move> = wanted.into_iter().map(|(guest, from, to)| request(guest, from, to)).collect();
            let mut after = before.clone();
            let outcomes = admit(&topology(), &mut after, &moves);
            prop_assert_eq!(outcomes.len(), moves.len());
            for domain in [DomainId(0), DomainId(1)] {
                prop_assert!(after.0.values().filter(|place| **place == domain).count() <= 2);
            }
            for (vcpu, domain) in &after.0 {
                let accepted = outcomes.iter().find(|o| o.requested.vcpu == *vcpu && o.refusal.is_none());
                prop_assert_eq!(*domain, accepted.map_or(before.0[vcpu], |o| o.requested.to));
            }
        }
    }
}
