//! What every way of choosing is shown, and the ways by which a placement is changed.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::settings::Settings;
use super::watch::Watch;
use crate::counters::VcpuId;
use crate::placement::Placement;
use crate::topology::{DomainId, Topology};

/// The host as a policy knows it before it chooses.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) topology: &'a Topology,
    pub(super) settings: &'a Settings,
    pub(super) placement: &'a Placement,
    pub(super) watches: &'a BTreeMap<VcpuId, Watch>,
    /// vCPUs that must stay where they are.
    pub(super) pinned: &'a BTreeSet<VcpuId>,
    /// How many vCPUs may move.
    pub(super) most_moves: usize,
    /// Quanta seen so far.
    pub(super) quanta: u64,
}

/// What a policy chose.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    pub(super) placement: Placement,
    /// Why, as a sentence; empty where the reasons of each vCPU say all.
    pub(super) note: String,
}

impl View<'_> {
    /// Nobody moves.
    pub(super) fn stay(&self, note: impl Into<String>) -> Choice {
        Choice { placement: self.placement.clone(), note: note.into() }
    }

    pub(super) fn is_movable(&self, vcpu: VcpuId) -> bool {
        !self.pinned.contains(&vcpu)
    }

    /// Whether it moved, or was refused, not long ago.
    pub(super) fn is_cooling(&self, vcpu: VcpuId) -> bool {
        self.watches.get(&vcpu).is_some_and(|watch| watch.cooling_quanta() > 0)
    }

    /// Whether `domain` has a CPU that nobody has in `placement`.
    pub(super) fn has_room(&self, placement: &Placement, domain: DomainId) -> bool {
        placement.members(domain).count() < self.topology.capacity(domain)
    }

    /// The present placement with `vcpu` in `to`, in exchange for somebody drawn at random where no CPU is free there;
    /// `None` where nobody there may move, or the budget does not reach.
    pub(super) fn sent(
        &self,
        vcpu: VcpuId,
        to: DomainId,
        random: &mut ChaCha8Rng,
    ) -> Option<(Placement, Option<VcpuId>)> {
        let home = *self.placement.0.get(&vcpu)?;
        let partner = if self.has_room(self.placement, to) {
            None
        } else {
            let there: Vec<VcpuId> = self.placement.members(to).filter(|other| self.is_movable(*other)).collect();
            Some(*there.get(below(random, there.len())?)?)
        };
        let moves = 1 + usize::from(partner.is_some());
        let mut placement = self.placement.clone();
        placement.0.insert(vcpu, to);
        partner.map(|partner| placement.0.insert(partner, home));
        (moves <= self.most_moves).then_some((placement, partner))
    }

    /// The placement on the way to `target` that the budget and the pinned allow: vCPUs in the order of their ids go to
    /// a free CPU of their domain, or are exchanged with somebody there who is not to stay, first of all one who is to
    /// come back in exchange.
    pub(super) fn towards(&self, target: &Placement) -> Placement {
        let mut reached = self.placement.clone();
        let wants = |reached: &Placement, vcpu: VcpuId| {
            let to = target.0.get(&vcpu).copied()?;
            (self.is_movable(vcpu) && reached.0.get(&vcpu) != Some(&to)).then_some(to)
        };
        // Every step brings one vCPU to its place for good, and none away from it.
        let vcpus: Vec<VcpuId> = self.placement.0.keys().copied().collect();
        for vcpu in vcpus {
            let (Some(to), Some(home)) = (wants(&reached, vcpu), reached.0.get(&vcpu).copied()) else { continue };
            let leaving = || reached.members(to).filter(|other| wants(&reached, *other).is_some());
            let back = leaving().find(|other| wants(&reached, *other) == Some(home));
            let partner = match back.or_else(|| leaving().next()) {
                _ if self.has_room(&reached, to) => None,
                Some(partner) => Some(partner),
                None => continue,
            };
            let mut next = reached.clone();
            next.0.insert(vcpu, to);
            partner.map(|partner| next.0.insert(partner, home));
            if self.placement.moves_to(&next).len() <= self.most_moves {
                reached = next;
            }
        }
        reached
    }
}

/// A number below `count`, each as likely; `None` of none.
pub(super) fn below(random: &mut ChaCha8Rng, count: usize) -> Option<usize> {
    (count > 0).then(|| ((u128::from(random.next_u64()) * count as u128) >> 64) as usize)
}

/// A number from [0, 1).
pub(super) fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
