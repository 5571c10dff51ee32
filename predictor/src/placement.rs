//! Which vCPU runs in which LLC domain, and which assignment is best.
//!
//! Owns placements and the greedy search for a better one. Whether a better one is worth the disturbance over time
//! (cool-down, rationale) is [`crate::policy`]'s business. Whole problems with constraints, as a person asks them, are
//! [`whatif`]'s, and are answered by [`exact`] or [`search`].
//!
//! # Problem
//!
//! Minimise the sum of predicted slowdowns over a stretch of time to come, plus a cost for every vCPU that leaves the
//! domain it is in, with no more vCPUs moved into a domain than it has CPUs and no more moved at all than allowed.
//! What is asked for may change within that time: an outlook is a list of [`Stretch`]es, and costs are means over it.
//!
//! # Method
//!
//! Steepest descent from the current placement. A step is one vCPU to a domain with a free CPU, or two vCPUs of
//! different domains exchanged: on a full host nothing but an exchange is possible. Each round takes the step with the
//! largest gain. What is far off and little known must not hide what is near, so a step is judged at the best end:
//!
//! ```text
//! gained(k) = sum over the first k stretches of share * (slowdowns before - slowdowns after)
//! gain(k)   = gained(k) - price of going - what is lost after k, or the price of going back where that is less
//! needed(k) = min_gain_share * sum over the first k stretches of share * slowdowns of the two domains
//! a step's gain and what it needs are those of the k with the largest gain(k) - needed(k)
//! ```
//!
//! A step is taken if it gains what it needs and begins to gain in the first stretch: what only pays later is better done
//! later, when more is known. Of equals the first, in the order of ids. Ends when no step is worth it.
//!
//! # Properties
//!
//! Never worse than staying put by its own cost. Each vCPU is placed exactly once. No domain ends with more vCPUs than
//! the larger of its CPUs and what it already held. Two domains of two CPUs are solved exactly where the outlook is one
//! stretch.

pub mod whatif;

pub mod exact;

pub mod search;

pub mod rules;

mod greedy;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::contention::experience::{Experience, Member};
use crate::contention::{Contention, CurveSource, Demand, Rule, Slowdown};
use crate::counters::VcpuId;
use crate::phases::PhaseId;
use crate::topology::{DomainId, Topology};

use self::rules::Rules;

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

/// A part of the time for which a placement is chosen, and what is asked for in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Its share of that time, in (0, 1]; the shares of all stretches are 1 together.
    pub share: f64,
    /// What each vCPU asks for; one without an entry asks for nothing.
    pub demands: BTreeMap<VcpuId, Demand>,
    /// The phases in which they are, as far as that is likely: by these they are known from what was seen of them before.
    pub phases: BTreeMap<VcpuId, PhaseId>,
}

impl Stretch {
    /// The whole time, alike.
    #[must_use]
    pub fn whole(demands: BTreeMap<VcpuId, Demand>) -> Vec<Self> {
        vec![Self { share: 1.0, demands, phases: BTreeMap::new() }]
    }
}

/// What to place, on what, at what price.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// The domains and their CPUs.
    pub topology: &'a Topology,
    /// How demands become slowdowns.
    pub contention: &'a Contention,
    /// What was seen of companies before, which is believed rather than that.
    pub experience: &'a Experience,
    /// Where everybody runs now.
    pub current: &'a Placement,
    /// What is asked for in the time that counts, the nearest stretch first; at least one.
    pub outlook: &'a [Stretch],
    /// vCPUs that must stay where they are.
    pub pinned: &'a BTreeSet<VcpuId>,
    /// What counts more, and what may not cross nodes; who stays is told by `pinned`.
    pub rules: &'a Rules,
    /// Price of each vCPU that ends in another domain than now, in slowdowns.
    pub migration_cost: f64,
    /// What a step must gain, as a share of the slowdowns of the two domains it touches.
    pub min_gain_share: f64,
    /// How many vCPUs may end in another domain than now.
    pub most_moves: usize,
}

/// A placement with its cost beside that of staying put.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The placement found; the current one if nothing is worth it.
    pub placement: Placement,
    /// The sum of predicted slowdowns if nobody moves, as the mean over the outlook.
    pub cost_before: f64,
    /// The same less what the steps to `placement` gain: for an outlook of one stretch, the cost of `placement` and the
    /// price of its moves; else no more than that, as it may be left again.
    pub cost_after: f64,
    /// For each vCPU, the step from the current placement that would do most for the sum of slowdowns among those that
    /// move it alone or in exchange, worth it or not; vCPUs that cannot leave have no entry.
    pub alternatives: BTreeMap<VcpuId, Step>,
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
    /// By how much the sum of slowdowns falls up to the best end, as a part of the mean over the outlook, migration costs
    /// deducted; may be negative.
    pub gain: f64,
    /// The same up to the end of the first stretch, migration costs left aside.
    pub gain_at_once: f64,
    /// What it must gain to be taken.
    pub needed: f64,
}

impl Step {
    /// Whether it gains enough, and does not only begin to later.
    #[must_use]
    pub fn is_worth_it(&self) -> bool {
        self.gain > NO_GAIN && self.gain >= self.needed && self.gain_at_once > NO_GAIN
    }

    /// The same seen from the other vCPU of an exchange, which leaves `home`.
    fn mirrored(&self, home: DomainId) -> Option<Self> {
        Some(Self { vcpu: self.exchanged_with?, to: home, exchanged_with: Some(self.vcpu), ..*self })
    }

    /// Whether it is to be taken rather than `other`: it gains more, or as much and stands first.
    fn is_before(&self, other: &Step) -> bool {
        let place = |step: &Step| (step.vcpu, step.to, step.exchanged_with);
        self.gain > other.gain || (self.gain == other.gain && place(self) < place(other))
    }
}

/// What is not worth calling a gain.
const NO_GAIN: f64 = 1e-9;

impl Problem<'_> {
    /// The best placement that greedy steps find.
    #[must_use]
    pub fn solve(&self) -> Plan {
        greedy::solve(self)
    }

    /// How much `vcpu` is slowed in `placement`, as the mean over the outlook.
    #[must_use]
    pub fn slowdown(&self, placement: &Placement, vcpu: VcpuId) -> Slowdown {
        let Some(home) = placement.0.get(&vcpu) else { return Slowdown::NONE };
        let members: Vec<VcpuId> = placement.members(*home).collect();
        let Some(place) = members.iter().position(|member| *member == vcpu) else { return Slowdown::NONE };
        let excess = |stretch: &Stretch| stretch.share * (self.slowdowns(&members, stretch)[place].0 - 1.0);
        Slowdown(1.0 + self.outlook.iter().map(excess).sum::<f64>())
    }

    /// Where the miss-ratio curve comes from that tells how `vcpu` is slowed, first of all; `None` where no curve is asked for.
    #[must_use]
    pub fn curve_source(&self, vcpu: VcpuId) -> Option<CurveSource> {
        let demand = self.outlook.first()?.demands.get(&vcpu)?;
        matches!(self.contention.rule, Rule::Analytic(_)).then_some(demand.curve_source)
    }

    /// The placement after `step` from the current one.
    #[must_use]
    pub fn after(&self, step: &Step) -> Placement {
        let mut placement = self.current.clone();
        if let Some(home) = placement.0.insert(step.vcpu, step.to)
            && let Some(partner) = step.exchanged_with
        {
            placement.0.insert(partner, home);
        }
        placement
    }

    /// The sum of predicted slowdowns of `placement`, as the mean over the outlook, and the price of the moves that lead
    /// to it.
    #[must_use]
    pub fn cost(&self, placement: &Placement) -> f64 {
        let domains = self.topology.domains().iter();
        let slowdowns: f64 = domains.map(|domain| self.domain_cost(placement, domain.id).iter().sum::<f64>()).sum();
        slowdowns + self.migration_cost * self.current.moves_to(placement).len() as f64
    }

    /// The sum of predicted slowdowns in `domain`, stretch by stretch, each by its share.
    #[must_use]
    pub fn domain_cost(&self, placement: &Placement, domain: DomainId) -> Vec<f64> {
        let members: Vec<VcpuId> = placement.members(domain).collect();
        let worth = |(vcpu, slowdown): (&VcpuId, &Slowdown)| self.rules.worth(*vcpu, *slowdown);
        let sum = |stretch: &Stretch| members.iter().zip(&self.slowdowns(&members, stretch)).map(worth).sum::<f64>();
        self.outlook.iter().map(|stretch| stretch.share * sum(stretch)).collect()
    }

    /// How much each of a domain's `members` is slowed in `stretch`, in their order.
    fn slowdowns(&self, members: &[VcpuId], stretch: &Stretch) -> Vec<Slowdown> {
        let known = |vcpu: &VcpuId| Some(Member::new(*vcpu, *stretch.phases.get(vcpu)?));
        let demand = |vcpu: &VcpuId| stretch.demands.get(vcpu).copied().unwrap_or_default();
        let together = members.iter().map(known).collect();
        let mut slowdowns = Vec::with_capacity(members.len());
        self.contention.tell_each(members.iter().map(|vcpu| (known(vcpu), demand(vcpu))), |member, told| {
            slowdowns.push(self.experience.corrected_among(member, together, told));
        });
        slowdowns
    }
}

#[cfg(test)]
mod tests;
