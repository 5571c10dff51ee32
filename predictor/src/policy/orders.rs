//! vCPUs that belong in one domain are brought there, whatever the policy.
//!
//! # Method
//!
//! In the order of ids, each vCPU that is not where it was ordered goes to a free CPU there, or is exchanged with the first
//! vCPU there that nobody holds. Who finds no room stays and tries again next quantum. While somebody is on the way, nothing
//! else moves: an order is rare, and what it does to the others is to be seen before it is weighed.
//!
//! # Properties
//!
//! Nobody who is held, cools down or was ordered where it is moves. No domain gets fuller than it has CPUs.

use super::view::{Choice, View};
use crate::counters::VcpuId;
use crate::placement::rules::Rules;

/// Those who can be brought where they belong; `None` where nobody can.
pub(super) fn choose(view: &View<'_>, rules: &Rules) -> Option<Choice> {
    let mut placement = view.placement.clone();
    let mut brought = Vec::new();
    let away = |vcpu: &VcpuId| !view.is_cooling(*vcpu);
    for (vcpu, to) in rules.homes().filter(|(vcpu, _)| away(vcpu)) {
        let Some(home) = placement.0.get(&vcpu).copied().filter(|home| *home != to) else { continue };
        let is_free = |other: &VcpuId| view.is_movable(*other);
        let partner = placement.members(to).find(is_free);
        let has_room = view.topology.domains().get(to.0 as usize).is_some() && view.has_room(&placement, to);
        match (has_room, partner) {
            (true, _) => {}
            (false, Some(partner)) => drop(placement.0.insert(partner, home)),
            (false, None) => continue,
        }
        placement.0.insert(vcpu, to);
        brought.push(format!("{vcpu} to domain {}", to.0));
    }
    let note = format!("by the operator's order: {}", brought.join(", "));
    (!brought.is_empty()).then_some(Choice { placement, note })
}
