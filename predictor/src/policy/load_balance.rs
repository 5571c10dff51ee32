//! As many vCPUs at work in each domain as in any other, for its CPUs: what an operating system does that knows run
//! queues and no caches.
//!
//! # Method
//!
//! After Linux, which counts runnable tasks by scheduling domain and pulls from the busiest group to the idlest while
//! that evens them out. A vCPU is runnable if it did not idle in the last quantum. One at a time:
//!
//! ```text
//! load(d) = runnable vCPUs in d / CPUs of d
//! take the busiest and the idlest domain; if one vCPU less there and one more here still leaves load(busiest) at
//! least as high as load(idlest): move the runnable vCPU that has been in the busiest domain longest
//! ```
//!
//! # Properties
//!
//! Where all domains have as many CPUs and are full, it moves nobody. It never exchanges.
//!
//! # Reference
//!
//! `kernel/sched/fair.c` of Linux, `find_busiest_group`; Lozi et al., "The Linux scheduler: a decade of wasted cores",
//! EuroSys 2016. The kernel also weighs priorities and asks how warm a task's cache is; vCPUs here have no priorities,
//! and the cool-down stands for the latter.

use super::view::{Choice, View};
use crate::placement::Placement;
use crate::topology::DomainId;

pub(super) fn choose(view: &View<'_>) -> Choice {
    let mut placement = view.placement.clone();
    for _ in 0..view.most_moves {
        let Some((from, to)) = imbalance(view, &placement) else { break };
        let mut movable: Vec<_> =
            placement.members(from).filter(|vcpu| view.is_movable(*vcpu) && is_runnable(view, *vcpu)).collect();
        movable.sort_by_key(|vcpu| std::cmp::Reverse(view.watches.get(vcpu).map(|watch| watch.stay_quanta())));
        let Some(first) = movable.first() else { break };
        placement.0.insert(*first, to);
    }
    let loads = view.topology.domains().iter().map(|domain| {
        let runnable = placement.members(domain.id).filter(|vcpu| is_runnable(view, *vcpu)).count();
        format!("{runnable} of {}", domain.cpus.len())
    });
    let note = format!("at work after this, by domain: {}", loads.collect::<Vec<_>>().join(", "));
    Choice { placement, note }
}

fn is_runnable(view: &View<'_>, vcpu: crate::counters::VcpuId) -> bool {
    view.watches.get(&vcpu).is_some_and(|watch| !watch.is_idle())
}

/// The busiest and the idlest domain, if one vCPU less there and one more here is more even.
fn imbalance(view: &View<'_>, placement: &Placement) -> Option<(DomainId, DomainId)> {
    let load = |id: DomainId, change: f64| {
        let runnable = placement.members(id).filter(|vcpu| is_runnable(view, *vcpu)).count() as f64;
        (runnable + change) / view.topology.capacity(id) as f64
    };
    let ids = || view.topology.domains().iter().map(|domain| domain.id);
    let busiest = ids().min_by(|one, other| load(*other, 0.0).total_cmp(&load(*one, 0.0)))?;
    let idlest =
        ids().filter(|id| view.has_room(placement, *id)).min_by(|a, b| load(*a, 0.0).total_cmp(&load(*b, 0.0)))?;
    (busiest != idlest && load(busiest, -1.0) >= load(idlest, 1.0) - 1e-9).then_some((busiest, idlest))
}
