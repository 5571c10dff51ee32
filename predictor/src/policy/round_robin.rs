//! Everybody has everybody as a neighbour in turn: the fair share of good and bad company.
//!
//! # Method
//!
//! Every [`super::Settings::round_robin_quanta`] quanta two domains take a turn, the first and the second, then the second and
//! the third, and so on round: the vCPU that has been longest in the one goes to the other, in exchange for the one that
//! came there last where no CPU is free; of several the one with the lowest id. Rotating whole domains would keep neighbours
//! together, and change nothing where all domains are alike; so would exchanging the two that have been there longest.
//!
//! # Properties
//!
//! Nobody is left in a domain for ever. On two domains of two CPUs everybody has everybody as a neighbour.
//!
//! # Reference
//!
//! None: it is a baseline, as in Zhuravlev et al., "Addressing shared resource contention in multicore processors via
//! scheduling", ASPLOS 2010, where placements that change without a reason come out between the best and the worst.

use std::cmp::Reverse;

use super::view::{Choice, View};
use crate::counters::VcpuId;

pub(super) fn choose(view: &View<'_>) -> Choice {
    let period = u64::from(view.settings.round_robin_quanta);
    let passed = view.quanta % period;
    if passed != 0 {
        return view.stay(format!("its next turn is in {} quanta", period - passed));
    }
    let domains = view.topology.domains();
    if domains.len() < 2 {
        return view.stay("there is one domain only");
    }
    let turn = (view.quanta / period) as usize;
    let (from, to) = (domains[turn % domains.len()].id, domains[(turn + 1) % domains.len()].id);
    let stay = |vcpu: &VcpuId| view.watches.get(vcpu).map_or(0, |watch| watch.stay_quanta());
    let movable = |domain| view.placement.members(domain).filter(|vcpu| view.is_movable(*vcpu));
    let mut target = view.placement.clone();
    let note = format!("whoever has been longest in domain {} goes to domain {}", from.0, to.0);
    if let Some(oldest) = movable(from).min_by_key(|vcpu| (Reverse(stay(vcpu)), *vcpu)) {
        target.0.insert(oldest, to);
        let latest = movable(to).min_by_key(|vcpu| (stay(vcpu), *vcpu));
        if let Some(latest) = latest.filter(|_| !view.has_room(view.placement, to)) {
            target.0.insert(latest, from);
        }
    }
    Choice { placement: view.towards(&target), note }
}
