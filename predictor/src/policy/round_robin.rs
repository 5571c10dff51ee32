//! Everybody has everybody as a neighbour in turn: the fair share of good and bad company.
//!
//! # Method
//!
//! Every [`super::Settings::round_robin_quanta`] quanta, in each domain the vCPU that has been there longest goes on to the
//! next domain, all at once; of several the one with the lowest id. Rotating whole domains would keep neighbours
//! together, and change nothing where all domains are alike.
//!
//! # Properties
//!
//! Each domain keeps the number of vCPUs it has, as long as all who are to go on may; nobody is left in a domain for ever.
//!
//! # Reference
//!
//! None: it is a baseline, as in Zhuravlev et al., "Addressing shared resource contention in multicore processors via
//! scheduling", ASPLOS 2010, where placements that change without a reason come out between the best and the worst.

use super::view::{Choice, View};

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
    let mut target = view.placement.clone();
    for (place, domain) in domains.iter().enumerate() {
        let next = &domains[(place + 1) % domains.len()];
        let stay = |vcpu| view.watches.get(&vcpu).map_or(0, |watch| watch.stay_quanta());
        let movable = view.placement.members(domain.id).filter(|vcpu| view.is_movable(*vcpu));
        let oldest = movable.min_by_key(|vcpu| (std::cmp::Reverse(stay(*vcpu)), *vcpu));
        oldest.map(|vcpu| target.0.insert(vcpu, next.id));
    }
    Choice { placement: view.towards(&target), note: "whoever has been longest in a domain goes on".to_owned() }
}
