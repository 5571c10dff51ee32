//! What the operator of a host orders about single vCPUs, and what that does to the cost of a placement.
//!
//! Owns the rules as data and the worth of a slowdown. That excluded vCPUs stay and pinned ones go where they belong is
//! seen to by [`crate::policy`].
//!
//! # The worth of a slowdown
//!
//! Without rules a placement costs the sum of its slowdowns: everybody counts alike. With rules vCPU `i` costs
//!
//! ```text
//! weight(i) * (slowdown(i) + TARGET_PRICE * max(0, slowdown(i) - target(i)))
//! ```
//!
//! so that one that is slower than was promised is helped first, even at some loss to others, and a promise that nobody can
//! keep does not drown everything else.
//!
//! # Properties
//!
//! Without rules costs are those of the contention model, bit for bit. With a weight or a target, costs never fall when a
//! slowdown grows.
//!
//! ```
//! use predictor::contention::Slowdown;
//! use predictor::placement::rules::Rule;
//!
//! let rule = Rule { weight: 2.0, target: Some(Slowdown(1.1)), ..Rule::default() };
//! assert_eq!(rule.worth(Slowdown(1.0)), 2.0);
//! assert!((rule.worth(Slowdown(1.2)) - 2.0 * (1.2 + 4.0 * 0.1)).abs() < 1e-12);
//! ```

use std::collections::BTreeMap;

use crate::contention::Slowdown;
use crate::counters::VcpuId;
use crate::placement::Problem;
use crate::topology::DomainId;

/// How much more a slowdown counts that lies above its target.
pub const TARGET_PRICE: f64 = 4.0;

/// Where a vCPU may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whereabouts {
    /// Wherever it is best.
    #[default]
    Anywhere,
    /// Where it is: it is watched and never moved.
    Excluded,
    /// In this domain and no other.
    In(DomainId),
}

/// Whether a vCPU may leave the node its memory is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nodes {
    /// It may.
    #[default]
    Across,
    /// It stays on its node.
    Within,
}

/// What is ordered about one vCPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Where it may be.
    pub whereabouts: Whereabouts,
    /// How much its slowdown counts, where that of others counts 1.
    pub weight: f64,
    /// The slowdown that it is promised, if any.
    pub target: Option<Slowdown>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { whereabouts: Whereabouts::Anywhere, weight: 1.0, target: None }
    }
}

impl Rule {
    /// What `slowdown` of this vCPU costs.
    #[must_use]
    pub fn worth(&self, slowdown: Slowdown) -> f64 {
        let above = self.target.map_or(0.0, |target| (slowdown.0 - target.0).max(0.0));
        self.weight * (slowdown.0 + TARGET_PRICE * above)
    }

    /// Whether slowdowns count as without a rule.
    fn is_even(&self) -> bool {
        self.weight.total_cmp(&1.0).is_eq() && self.target.is_none()
    }
}

/// All rules of a host. A vCPU without one may go anywhere and counts 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    by_vcpu: BTreeMap<VcpuId, Rule>,
    nodes: Nodes,
    /// Whether somebody's slowdown counts otherwise than without a rule.
    is_uneven: bool,
}

/// No rules.
pub const NONE: &Rules = &Rules { by_vcpu: BTreeMap::new(), nodes: Nodes::Across, is_uneven: false };

impl Rules {
    /// Rules for single vCPUs, and for all whether they may leave their node.
    #[must_use]
    pub fn new(by_vcpu: BTreeMap<VcpuId, Rule>, nodes: Nodes) -> Self {
        let is_uneven = !by_vcpu.values().all(Rule::is_even);
        Self { by_vcpu, nodes, is_uneven }
    }

    /// What is ordered about `vcpu`.
    #[must_use]
    pub fn of(&self, vcpu: VcpuId) -> Rule {
        self.by_vcpu.get(&vcpu).copied().unwrap_or_default()
    }

    /// What `slowdown` of `vcpu` costs.
    #[must_use]
    pub fn worth(&self, vcpu: VcpuId, slowdown: Slowdown) -> f64 {
        if self.is_uneven { self.of(vcpu).worth(slowdown) } else { slowdown.0 }
    }

    /// Whether vCPUs may leave their node.
    #[must_use]
    pub const fn nodes(&self) -> Nodes {
        self.nodes
    }

    /// vCPUs that belong in one domain, in the order of ids.
    pub fn homes(&self) -> impl Iterator<Item = (VcpuId, DomainId)> + '_ {
        self.by_vcpu.iter().filter_map(|(vcpu, rule)| match rule.whereabouts {
            Whereabouts::In(home) => Some((*vcpu, home)),
            Whereabouts::Anywhere | Whereabouts::Excluded => None,
        })
    }
}

impl Problem<'_> {
    /// Whether the rules allow a vCPU to go from one domain to the other.
    pub(super) fn may_cross(&self, one: DomainId, other: DomainId) -> bool {
        let node = |id: DomainId| self.topology.domains().get(id.0 as usize).map(|domain| domain.node);
        self.rules.nodes == Nodes::Across || node(one) == node(other)
    }
}
