//! Which policies there are, by name.

use serde::{Deserialize, Serialize};

/// A way to choose who runs where. `policy` has a module for each that does more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Nobody moves.
    StayPut,
    /// Anybody moves anywhere: [`super::random`].
    Random,
    /// As many at work in each domain as in any other: [`super::load_balance`].
    LoadBalance,
    /// Everybody has everybody as a neighbour in turn: [`super::round_robin`].
    RoundRobin,
    /// Cache misses are spread evenly: [`super::di`].
    Di,
    /// Whoever waits for memory tries other domains, biased to where it waited less: [`super::brm`].
    Brm,
    /// The coming quanta will be like the last: [`super::weigh`].
    Reactive,
    /// The coming quanta are forecast: [`super::weigh`].
    Predictive,
    /// The coming quanta are told by the caller, who may know what nobody can: [`super::Policy::foretell`].
    Oracle,
}

impl PolicyKind {
    /// Every policy that chooses by itself, the simplest first.
    pub const ALL: [PolicyKind; 8] = [
        PolicyKind::StayPut,
        PolicyKind::Random,
        PolicyKind::LoadBalance,
        PolicyKind::RoundRobin,
        PolicyKind::Di,
        PolicyKind::Brm,
        PolicyKind::Reactive,
        PolicyKind::Predictive,
    ];

    /// The name used in files, tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PolicyKind::StayPut => "stay-put",
            PolicyKind::Random => "random",
            PolicyKind::LoadBalance => "load-balance",
            PolicyKind::RoundRobin => "round-robin",
            PolicyKind::Di => "di",
            PolicyKind::Brm => "brm",
            PolicyKind::Reactive => "reactive",
            PolicyKind::Predictive => "predictive",
            PolicyKind::Oracle => "oracle",
        }
    }

    /// Whether it weighs what a move is worth.
    #[must_use]
    pub const fn weighs(self) -> bool {
        self.expects() || matches!(self, PolicyKind::Oracle)
    }

    /// Whether it says by itself what will be asked for, and so can be wrong about it.
    pub(super) const fn expects(self) -> bool {
        matches!(self, PolicyKind::Reactive | PolicyKind::Predictive)
    }

    /// Whether it needs to know what a vCPU did to move it.
    pub(super) const fn reads_counters(self) -> bool {
        self.expects() || matches!(self, PolicyKind::Di | PolicyKind::Brm)
    }
}

impl std::fmt::Display for PolicyKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}
