//! Whoever waits for memory tries other domains, biased to where it waited less: biased random migration.
//!
//! # Problem
//!
//! Lower the time that all vCPUs together wait for what lies outside their cores (the *uncore penalty*), without a model
//! of why they wait.
//!
//! # Method
//!
//! Each vCPU remembers what it paid in each domain, and one of them at a time is drawn to move where it pays less.
//!
//! ```text
//! penalty(i)  = stalled cycles per instruction of vCPU i in the last quantum
//! paid(i, d)  = mean of penalty(i) over its quanta in domain d, which forgets 1/5 each quantum
//! cost(i, d)  = paid(i, d) where i has been in d; elsewhere penalty(i) times (penalties of d's members and i's own)
//!               over (penalties of its present domain's members, i's own among them)
//! each quantum in which the budget has an exchange: draw i from all that may move, each as likely
//!     draw d from the other domains with probability proportional to 1 / cost(i, d)
//!     with probability max(1 - cost(i, d) / cost(i, home), 1/50): i goes to d, in exchange with one drawn there if full
//! ```
//!
//! # How it was adapted
//!
//! The published policy balances NUMA nodes in Xen, where vCPUs share run queues and a move needs no partner; its
//! penalty is a counter of Intel's uncore. Here domains are last-level caches, a full one needs an exchange (the partner is
//! drawn blindly, as the paper's target CPU is), and the penalty is the cycles that the core stalls for memory. That a vCPU's
//! own history biases where it goes, and the system's present penalties decide where there is none, is the idea
//! as published; the exact probabilities are ours.
//!
//! # Properties
//!
//! The same samples and the same generator give the same moves. Where nobody ever stalls, nobody is moved.
//!
//! # Reference
//!
//! Rao, Wang, Zhou, Xu, "Optimizing virtual machine scheduling in NUMA multicore systems", HPCA 2013.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use super::view::{Choice, View, below, unit};
use crate::counters::VcpuId;
use crate::topology::DomainId;

/// Weight of the last quantum in what is remembered.
const RATE: f64 = 0.2;
/// The least probability of a move that was drawn: a domain that was once bad is tried again.
const CURIOSITY: f64 = 0.02;

/// What was paid where.
#[derive(Debug, Clone, Default)]
pub(super) struct Brm {
    paid: BTreeMap<(VcpuId, DomainId), f64>,
}

impl Brm {
    /// A quantum passed in which `vcpu` paid so many stalled cycles for each instruction in `domain`.
    pub(super) fn observe(&mut self, vcpu: VcpuId, domain: DomainId, penalty: f64) {
        let paid = self.paid.entry((vcpu, domain)).or_insert(penalty);
        *paid += RATE * (penalty - *paid);
    }

    /// `vcpu` left.
    pub(super) fn forget(&mut self, vcpu: VcpuId) {
        self.paid.retain(|(who, _), _| *who != vcpu);
    }

    pub(super) fn choose(&self, view: &View<'_>, random: &mut ChaCha8Rng) -> Choice {
        let movable: Vec<VcpuId> = view.placement.0.keys().copied().filter(|vcpu| view.is_movable(*vcpu)).collect();
        if view.most_moves < 2 {
            return view.stay("saves moves for an exchange");
        }
        let drawn = below(random, movable.len()).and_then(|place| movable.get(place));
        let Some((vcpu, home)) = drawn.and_then(|vcpu| Some((*vcpu, *view.placement.0.get(vcpu)?))) else {
            return view.stay("nobody may move");
        };
        let here = self.cost(view, vcpu, home, home);
        if here <= 0.0 {
            return view.stay(format!("drew {vcpu}, which does not wait"));
        }
        let others = view.topology.domains().iter().map(|domain| domain.id).filter(|id| *id != home);
        let costs: Vec<(DomainId, f64)> = others.map(|id| (id, self.cost(view, vcpu, home, id))).collect();
        let bias = |cost: f64| 1.0 / cost.max(1e-9 * here);
        let mut left = unit(random) * costs.iter().map(|(_, cost)| bias(*cost)).sum::<f64>();
        let wins = |(_, cost): &&(DomainId, f64)| {
            left -= bias(*cost);
            left < 0.0
        };
        let Some((to, there)) = costs.iter().find(wins).or(costs.last()).copied() else {
            return view.stay("there is one domain only");
        };
        let told = format!(
            "drew {vcpu}, which waits {here:.2} cycles for an instruction here, {there:.2} expected in domain {}",
            to.0
        );
        if unit(random) >= (1.0 - there / here).max(CURIOSITY) {
            return view.stay(told);
        }
        match view.sent(vcpu, to, random) {
            Some((placement, _)) => Choice { placement, note: told },
            None => view.stay(told + ", where nobody may make room"),
        }
    }

    /// What `vcpu` of `home` pays in `domain`, as far as can be told.
    fn cost(&self, view: &View<'_>, vcpu: VcpuId, home: DomainId, domain: DomainId) -> f64 {
        let penalty =
            |vcpu: VcpuId| view.watches.get(&vcpu).and_then(|watch| watch.stalls_per_instruction()).unwrap_or(0.0);
        if let Some(paid) = self.paid.get(&(vcpu, domain)) {
            return *paid;
        }
        let sum = |id: DomainId| view.placement.members(id).map(penalty).sum::<f64>();
        let (own, at_home) = (penalty(vcpu), sum(home));
        if at_home > 0.0 { own * (sum(domain) + own) / at_home } else { 0.0 }
    }
}
