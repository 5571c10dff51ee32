//! vCPUs that belong in one domain are brought there, whatever the policy.
//!
//! # Method
//!
//! In the order of ids, each vCPU that is not where it was ordered goes to a free CPU there, or is exchanged with the first
//! vCPU there that nobody holds. Who finds no room stays and tries again next quantum. While somebody is on the way, nothing
//! else moves: an order is rare, and what it does to the others is to be seen before it is weighed.
//!
//! Who is where it was ordered may be there by chance: the kernel takes a thread that nobody bound anywhere at any time. So each
//! is asked once to be held, by a move to where it is. That costs nothing, and is no reason for others to wait.
//!
//! # Properties
//!
//! Nobody who is held, cools down or was ordered where it is moves. No domain gets fuller than it has CPUs.

use super::Policy;
use super::view::{Choice, View};
use crate::counters::VcpuId;
use crate::placement::rules::Rules;
use crate::placement::{Move, Placement};

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

impl Policy {
    /// What leads to `placement`, and holds who is ordered where they are, before and after, and was not asked to stay there
    /// yet.
    pub(super) fn moves_to(&self, placement: &Placement) -> Vec<Move> {
        let mut moves = self.placement.moves_to(placement);
        moves.extend(self.rules.homes().filter_map(|(vcpu, home)| {
            let is_home = [&self.placement, placement].iter().all(|placement| placement.0.get(&vcpu) == Some(&home));
            (is_home && !self.held.contains(&vcpu)).then_some(Move { vcpu, from: home, to: home })
        }));
        moves.sort_by_key(|moved| moved.vcpu);
        moves
    }

    /// The moves among these that change something. Whoever was to be held is not asked again, whether or not it could be
    /// done: who strays is brought back.
    pub(super) fn beside_holds(&mut self, moves: &[Move]) -> Vec<Move> {
        let (holds, real): (Vec<Move>, Vec<Move>) = moves.iter().partition(|moved| moved.from == moved.to);
        self.held.extend(holds.iter().map(|hold| hold.vcpu));
        real
    }
}
