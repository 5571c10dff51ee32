//! Anybody moves anywhere: what moving costs and wins where nothing is known.
//!
//! # Method
//!
//! Each quantum in which the budget allows it, one vCPU is drawn from all that may move, and one of the other domains;
//! it goes to a free CPU there, else in exchange with one drawn from those there. Every draw is as likely as any other,
//! so that in the long run all placements are. It uses its whole budget: set `moves_per_vcpu_quantum` to what another
//! policy used to compare the two at the same number of moves.

use rand_chacha::ChaCha8Rng;

use super::view::{Choice, View, below};
use crate::counters::VcpuId;
use crate::topology::DomainId;

pub(super) fn choose(view: &View<'_>, random: &mut ChaCha8Rng) -> Choice {
    let movable: Vec<(VcpuId, DomainId)> = view
        .placement
        .0
        .iter()
        .filter(|(vcpu, _)| view.is_movable(**vcpu))
        .map(|(vcpu, home)| (*vcpu, *home))
        .collect();
    // An exchange is waited for, so that a full host is no reason to draw only from what is free.
    if view.most_moves < 2 {
        return view.stay("saves moves for an exchange");
    }
    let Some(&(vcpu, home)) = below(random, movable.len()).and_then(|place| movable.get(place)) else {
        return view.stay("nobody may move");
    };
    let others: Vec<DomainId> =
        view.topology.domains().iter().map(|domain| domain.id).filter(|id| *id != home).collect();
    let Some(to) = below(random, others.len()).and_then(|place| others.get(place)) else {
        return view.stay("there is one domain only");
    };
    match view.sent(vcpu, *to, random) {
        Some((placement, _)) => Choice { placement, note: format!("drew {vcpu} for domain {}", to.0) },
        None => view.stay(format!("drew {vcpu} for domain {}, where nobody may make room", to.0)),
    }
}
