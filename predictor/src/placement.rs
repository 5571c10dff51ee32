//! Which vCPU runs in which LLC domain, and which assignment is best.
//!
//! Owns placements and the greedy search for a better one. Whether a better one is worth the disturbance over time
//! (cool-down, rationale) is [`crate::policy`]'s business. Whole problems with constraints, as a person asks them, are
//! [`whatif`]'s, and are answered by [`exact`] or [`search`].
//!
//! # Problem
//!
//! Minimise the sum of predicted slowdowns, plus a cost for every vCPU that leaves the domain it is in, with no more
//! vCPUs moved into a domain than it has CPUs.
//!
//! # Method
//!
//! Steepest descent from the current placement. A step is one vCPU to a domain with a free CPU, or two vCPUs of
//! different domains exchanged: on a full host nothing but an exchange is possible. Each round takes the step with the
//! largest gain, provided it is at least a share of the slowdowns of the two domains it touches; of equals the first,
//! in the order of ids. Ends when no step is worth it.
//!
//! # Properties
//!
//! Never worse than staying put by its own cost. Each vCPU is placed exactly once. No domain ends with more vCPUs than
//! the larger of its CPUs and what it already held. Two domains of two CPUs are solved exactly.

pub mod whatif;

pub mod exact;

pub mod search;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::contention::{Contention, Demand, Slowdown};
use crate::counters::VcpuId;
use crate::topology::{DomainId, Topology};

/// The LLC domain of every vCPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement(pub BTreeMap<VcpuId, DomainId>);

impl Placement {
    /// Who runs in `domain`, in the order of ids.
    pub fn members(&self, domain: DomainId) -> impl Iterator<Item = VcpuId> + '_ {
        self.0.iter().filter(move |(_, home)| **home == domain).map(|(vcpu, _)| *vcpu)
    }

    /// The moves that lead from here to `target`, in the order of ids.
    #[must_use]
    pub fn moves_to(&self, target: &Placement) -> Vec<Move> {
        let change = |(vcpu, to): (&VcpuId, &DomainId)| {
            let from = *self.0.get(vcpu)?;
            (from != *to).then_some(Move { vcpu: *vcpu, from, to: *to })
        };
        target.0.iter().filter_map(change).collect()
    }
}

/// One vCPU's change of LLC domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Who moves.
    pub vcpu: VcpuId,
    /// Where it ran.
    pub from: DomainId,
    /// Where it is to run.
    pub to: DomainId,
}

/// What to place, on what, at what price.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// The domains and their CPUs.
    pub topology: &'a Topology,
    /// How demands become slowdowns.
    pub contention: &'a Contention,
    /// Where everybody runs now.
    pub current: &'a Placement,
    /// What each vCPU of `current` asks for; one without an entry asks for nothing.
    pub demands: &'a BTreeMap<VcpuId, Demand>,
    /// vCPUs that must stay where they are.
    pub pinned: &'a BTreeSet<VcpuId>,
    /// Price of each vCPU that ends in another domain than now, in slowdowns.
    pub migration_cost: f64,
    /// What a step must gain, as a share of the slowdowns of the two domains it touches.
    pub min_gain_share: f64,
}

/// A placement with its cost beside that of staying put.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The placement found; the current one if nothing is worth it.
    pub placement: Placement,
    /// The sum of predicted slowdowns if nobody moves.
    pub cost_before: f64,
    /// The sum of predicted slowdowns of `placement` plus its migration costs.
    pub cost_after: f64,
}

/// One change of a placement: a vCPU to a free CPU, or two exchanged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Who goes.
    pub vcpu: VcpuId,
    /// Where to.
    pub to: DomainId,
    /// Who comes in exchange, where there is no free CPU or an exchange is better.
    pub exchanged_with: Option<VcpuId>,
    /// By how much the sum of slowdowns falls, migration costs deducted; may be negative.
    pub gain: f64,
    /// What it must gain to be taken.
    pub needed: f64,
}

/// A placement by domain: who runs there, what they ask for, and the sum of their slowdowns.
struct Layout {
    domains: Vec<(Vec<(VcpuId, Demand)>, f64)>,
}

impl Problem<'_> {
    /// The best placement that greedy steps find.
    #[must_use]
    pub fn solve(&self) -> Plan {
        let mut placement = self.current.clone();
        let cost_before = self.cost(&placement);
        // Every step lowers the cost, so this ends by itself; the bound guards against rounding.
        for _ in 0..=2 * placement.0.len() {
            let layout = self.layout(&placement);
            // Each exchange is looked at once, from the side of the lower id.
            let once = |step: &Step| step.exchanged_with.is_none_or(|partner| step.vcpu < partner);
            let steps = placement.0.iter().flat_map(|(vcpu, home)| self.steps_of(&layout, *vcpu, *home, once));
            let worthwhile = steps.filter(|step| step.gain > 1e-9 && step.gain >= step.needed);
            let Some(best) = first_best(worthwhile) else { break };
            self.take(&mut placement, &best);
        }
        let cost_after = self.cost(&placement);
        Plan { placement, cost_before, cost_after }
    }

    /// For each vCPU, the step that would do most for the sum of slowdowns among those that move it alone or in
    /// exchange, worth it or not; vCPUs that cannot leave have no entry.
    #[must_use]
    pub fn best_steps(&self) -> BTreeMap<VcpuId, Step> {
        let layout = self.layout(self.current);
        let best = |(vcpu, home): (&VcpuId, &DomainId)| {
            Some((*vcpu, first_best(self.steps_of(&layout, *vcpu, *home, |_| true))?))
        };
        self.current.0.iter().filter_map(best).collect()
    }

    /// How much `vcpu` is slowed in `placement`.
    #[must_use]
    pub fn slowdown(&self, placement: &Placement, vcpu: VcpuId) -> Slowdown {
        let Some(home) = placement.0.get(&vcpu) else { return Slowdown::NONE };
        let neighbours: Vec<Demand> =
            placement.members(*home).filter(|other| *other != vcpu).map(|other| self.demand(other)).collect();
        self.contention.slowdown(&self.demand(vcpu), &neighbours)
    }

    /// The placement after `step` from the current one.
    #[must_use]
    pub fn after(&self, step: &Step) -> Placement {
        let mut placement = self.current.clone();
        self.take(&mut placement, step);
        placement
    }

    /// The sum of predicted slowdowns of `placement` and the price of the moves that lead to it.
    #[must_use]
    pub fn cost(&self, placement: &Placement) -> f64 {
        let slowdowns: f64 = self.layout(placement).domains.iter().map(|(_, cost)| cost).sum();
        slowdowns + placement.0.iter().map(|(vcpu, domain)| self.price(*vcpu, *domain)).sum::<f64>()
    }

    fn demand(&self, vcpu: VcpuId) -> Demand {
        self.demands.get(&vcpu).copied().unwrap_or_default()
    }

    fn price(&self, vcpu: VcpuId, domain: DomainId) -> f64 {
        if self.current.0.get(&vcpu) == Some(&domain) { 0.0 } else { self.migration_cost }
    }

    fn layout(&self, placement: &Placement) -> Layout {
        let mut domains = vec![(Vec::new(), 0.0); self.topology.domains().len()];
        for (vcpu, home) in &placement.0 {
            if let Some((members, _)) = domains.get_mut(home.0 as usize) {
                members.push((*vcpu, self.demand(*vcpu)));
            }
        }
        for (members, cost) in &mut domains {
            *cost = self.contention.domain_cost(members.iter().map(|(_, demand)| *demand));
        }
        Layout { domains }
    }

    /// The slowdowns of `members`, with one of them gone and another vCPU come.
    fn changed_cost(&self, members: &[(VcpuId, Demand)], gone: Option<VcpuId>, come: Option<Demand>) -> f64 {
        let stay = members.iter().filter(|(vcpu, _)| Some(*vcpu) != gone).map(|(_, demand)| *demand);
        self.contention.domain_cost(stay.chain(come))
    }

    fn take(&self, placement: &mut Placement, step: &Step) {
        if let Some(home) = placement.0.insert(step.vcpu, step.to)
            && let Some(partner) = step.exchanged_with
        {
            placement.0.insert(partner, home);
        }
    }

    /// The possible steps that take `vcpu` elsewhere and are `wanted`.
    fn steps_of(&self, layout: &Layout, vcpu: VcpuId, home: DomainId, wanted: impl Fn(&Step) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.pinned.contains(&vcpu) {
            return steps;
        }
        let own = (vcpu, self.demand(vcpu));
        for to in self.topology.domains().iter().map(|domain| domain.id).filter(|id| *id != home) {
            let (members, _) = &layout.domains[to.0 as usize];
            let free = (members.len() < self.topology.capacity(to)).then_some(None);
            let partners = members.iter().filter(|(partner, _)| !self.pinned.contains(partner)).map(Some);
            for partner in free.into_iter().chain(partners) {
                let exchanged_with = partner.map(|(partner, _)| *partner);
                let step = Step { vcpu, to, exchanged_with, gain: 0.0, needed: 0.0 };
                if wanted(&step) {
                    steps.push(self.weighed(layout, own, home, partner.copied(), step));
                }
            }
        }
        steps
    }

    /// `step` with what it gains and what it needs to gain.
    fn weighed(
        &self,
        layout: &Layout,
        (vcpu, demand): (VcpuId, Demand),
        home: DomainId,
        partner: Option<(VcpuId, Demand)>,
        step: Step,
    ) -> Step {
        let Some((leaving, cost_leaving)) = layout.domains.get(home.0 as usize) else { return step };
        let (entering, cost_entering) = &layout.domains[step.to.0 as usize];
        let touched = cost_leaving + cost_entering;
        let after = self.changed_cost(leaving, Some(vcpu), partner.map(|(_, demand)| demand))
            + self.changed_cost(entering, step.exchanged_with, Some(demand));
        let mut price = self.price(vcpu, step.to) - self.price(vcpu, home);
        if let Some((partner, _)) = partner {
            price += self.price(partner, home) - self.price(partner, step.to);
        }
        Step { gain: touched - after - price, needed: self.min_gain_share * touched, ..step }
    }
}

/// The step with the largest gain; of equals, the first.
fn first_best(steps: impl IntoIterator<Item = Step>) -> Option<Step> {
    steps.into_iter().reduce(|best, step| if step.gain > best.gain { step } else { best })
}

#[cfg(test)]
mod tests;
