//! Which vCPU runs in which LLC domain, and which assignment is best.
//!
//! Owns placements and the greedy search for a better one. Whether a better one is worth the disturbance over time
//! (cool-down, rationale) is [`crate::policy`]'s business.
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

impl Problem<'_> {
    /// The best placement that greedy steps find.
    #[must_use]
    pub fn solve(&self) -> Plan {
        let mut placement = self.current.clone();
        let cost_before = self.cost(&placement);
        // Every step lowers the cost, so this ends by itself; the bound guards against rounding.
        for _ in 0..=2 * placement.0.len() {
            let steps = self.steps(&placement);
            let worthwhile = steps.into_iter().filter(|step| step.gain > 1e-9 && step.gain >= step.needed);
            let Some(best) = first_best(worthwhile) else { break };
            self.take(&mut placement, &best);
        }
        let cost_after = self.cost(&placement);
        Plan { placement, cost_before, cost_after }
    }

    /// The step that would do most for the sum of slowdowns among those that move `vcpu` alone or in exchange, worth it
    /// or not; `None` where it cannot leave.
    #[must_use]
    pub fn best_step_of(&self, vcpu: VcpuId) -> Option<Step> {
        first_best(self.steps_of(self.current, vcpu))
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
        let domains = self.topology.domains().iter();
        let slowdowns: f64 = domains.map(|domain| self.domain_cost(placement, domain.id, None, None)).sum();
        slowdowns + placement.0.keys().map(|vcpu| self.price(*vcpu, placement.0[vcpu])).sum::<f64>()
    }

    fn demand(&self, vcpu: VcpuId) -> Demand {
        self.demands.get(&vcpu).copied().unwrap_or_default()
    }

    fn price(&self, vcpu: VcpuId, domain: DomainId) -> f64 {
        if self.current.0.get(&vcpu) == Some(&domain) { 0.0 } else { self.migration_cost }
    }

    /// The slowdowns of `domain`, with one vCPU gone and another come.
    fn domain_cost(&self, placement: &Placement, domain: DomainId, gone: Option<VcpuId>, come: Option<VcpuId>) -> f64 {
        let stay = placement.members(domain).filter(|vcpu| Some(*vcpu) != gone);
        let members: Vec<Demand> = stay.chain(come).map(|vcpu| self.demand(vcpu)).collect();
        self.contention.domain_cost(&members)
    }

    fn take(&self, placement: &mut Placement, step: &Step) {
        if let Some(home) = placement.0.insert(step.vcpu, step.to)
            && let Some(partner) = step.exchanged_with
        {
            placement.0.insert(partner, home);
        }
    }

    /// Every possible step, each exchange once.
    fn steps(&self, placement: &Placement) -> Vec<Step> {
        let of = |vcpu: &VcpuId| {
            let vcpu = *vcpu;
            let steps = self.steps_of(placement, vcpu).into_iter();
            steps.filter(move |step| step.exchanged_with.is_none_or(|partner| vcpu < partner)).collect::<Vec<_>>()
        };
        placement.0.keys().flat_map(of).collect()
    }

    /// Every possible step that takes `vcpu` elsewhere.
    fn steps_of(&self, placement: &Placement, vcpu: VcpuId) -> Vec<Step> {
        let Some(home) = placement.0.get(&vcpu).copied() else { return Vec::new() };
        if self.pinned.contains(&vcpu) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for to in self.topology.domains().iter().map(|domain| domain.id).filter(|id| *id != home) {
            let members: Vec<VcpuId> = placement.members(to).collect();
            if members.len() < self.topology.capacity(to) {
                steps.push(self.step(placement, vcpu, home, to, None));
            }
            for partner in members.into_iter().filter(|partner| !self.pinned.contains(partner)) {
                steps.push(self.step(placement, vcpu, home, to, Some(partner)));
            }
        }
        steps
    }

    fn step(
        &self,
        placement: &Placement,
        vcpu: VcpuId,
        home: DomainId,
        to: DomainId,
        exchanged_with: Option<VcpuId>,
    ) -> Step {
        let touched = self.domain_cost(placement, home, None, None) + self.domain_cost(placement, to, None, None);
        let after = self.domain_cost(placement, home, Some(vcpu), exchanged_with)
            + self.domain_cost(placement, to, exchanged_with, Some(vcpu));
        let mut price = self.price(vcpu, to) - self.price(vcpu, home);
        if let Some(partner) = exchanged_with {
            price += self.price(partner, home) - self.price(partner, to);
        }
        let needed = self.min_gain_share * touched;
        Step { vcpu, to, exchanged_with, gain: touched - after - price, needed }
    }
}

/// The step with the largest gain; of equals, the first.
fn first_best(steps: impl IntoIterator<Item = Step>) -> Option<Step> {
    steps.into_iter().reduce(|best, step| if step.gain > best.gain { step } else { best })
}

#[cfg(test)]
mod tests;
