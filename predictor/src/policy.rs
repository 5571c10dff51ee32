//! What to do each quantum: observe samples, decide moves, say why.
//!
//! Owns the state kept for each vCPU (`watch`) and the reasons given ([`rationale`]). Watching a host and carrying
//! decisions out is the harness's business.
//!
//! # The policies
//!
//! All share one model, one pressure estimate, one greedy placement and one hysteresis; they differ in foresight alone.
//!
//! - [`PolicyKind::StayPut`] never moves anybody.
//! - [`PolicyKind::Reactive`] places for the phases that were last seen.
//! - [`PolicyKind::Predictive`] places for the phases forecast for the coming quantum.
//!
//! # Each quantum
//!
//! ```text
//! observe   which phase was each vCPU in? teach its forecaster; correct its pressure by the CPI seen
//! decide    the demand of each vCPU is the mean over its forecast; find a better placement; list the moves
//! confirm   what the host really moved; those moved, and those refused, cool down
//! ```
//!
//! # Hysteresis
//!
//! A step must gain [`Settings::min_gain_share`] of the slowdowns of the domains it touches, and earn back
//! [`Settings::migration_cost_quanta`] for each vCPU moved within [`Settings::payback_quanta`]. A vCPU that moved stays
//! where it is for [`Settings::cooldown_quanta`]. One of which nothing is known is not moved.

pub mod rationale;

mod watch;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::rationale::{Alternative, Likely, Rationale, VcpuRationale, VcpuState, Verdict};
use self::watch::Watch;
use crate::contention::Demand;
use crate::counters::{Sample, VcpuId};
use crate::forecast::Forecast;
use crate::model::Model;
use crate::phases::PhaseId;
use crate::placement::{Move, Placement, Plan, Problem, Step};
use crate::topology::{DomainId, Topology};

/// How far a policy looks ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Nobody moves.
    StayPut,
    /// The coming quantum will be like the last.
    Reactive,
    /// The coming quantum is forecast from run lengths and transitions.
    Predictive,
}

impl PolicyKind {
    /// Every policy, the simplest first.
    pub const ALL: [PolicyKind; 3] = [PolicyKind::StayPut, PolicyKind::Reactive, PolicyKind::Predictive];

    /// The name used in files, tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PolicyKind::StayPut => "stay-put",
            PolicyKind::Reactive => "reactive",
            PolicyKind::Predictive => "predictive",
        }
    }
}

impl std::fmt::Display for PolicyKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// When a move is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a step must gain, as a share of the slowdowns of the two domains it touches.
    pub min_gain_share: f64,
    /// Quanta for which a vCPU stays after it moved, or after its move was refused.
    pub cooldown_quanta: u32,
    /// Work that a vCPU loses by moving, in quanta: it refills the caches it finds cold.
    pub migration_cost_quanta: f64,
    /// Quanta within which a move must earn its cost back.
    pub payback_quanta: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { min_gain_share: 0.03, cooldown_quanta: 2, migration_cost_quanta: 0.2, payback_quanta: 4.0 }
    }
}

/// What happened in one quantum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// One sample for each vCPU that was present for the whole quantum.
    pub samples: &'a [Sample],
    /// vCPUs that came, and where they run.
    pub arrivals: &'a [(VcpuId, DomainId)],
    /// vCPUs that left.
    pub departures: &'a [VcpuId],
}

/// What is expected of one vCPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VcpuForecast {
    /// Of whom.
    pub vcpu: VcpuId,
    /// The phase it was in.
    pub current: PhaseId,
    /// The phase of the coming quantum.
    pub next: Forecast,
}

/// What to do now, what is expected, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// vCPUs to move, all at once, in the order of their ids.
    pub moves: Vec<Move>,
    /// For each vCPU with a known phase, in the order of their ids.
    pub forecasts: Vec<VcpuForecast>,
    /// Why so.
    pub rationale: Rationale,
}

/// A policy at work on one host.
#[derive(Debug)]
pub struct Policy {
    kind: PolicyKind,
    settings: Settings,
    topology: Topology,
    model: Option<Model>,
    placement: Placement,
    watches: BTreeMap<VcpuId, Watch>,
}

impl Policy {
    /// A policy of `kind` for a host of `topology`, with what `model` knows. Forecasts are made and reported under every
    /// kind: under [`PolicyKind::Reactive`] the last value, else run lengths.
    #[must_use]
    pub const fn new(kind: PolicyKind, settings: Settings, topology: Topology, model: Model) -> Self {
        Self {
            kind,
            settings,
            topology,
            model: Some(model),
            placement: Placement(BTreeMap::new()),
            watches: BTreeMap::new(),
        }
    }

    /// Never moves anybody, forecasts nothing and needs no model: for runs that are only recorded.
    #[must_use]
    pub fn stay_put(topology: Topology) -> Self {
        Self {
            kind: PolicyKind::StayPut,
            settings: Settings::default(),
            topology,
            model: None,
            placement: Placement::default(),
            watches: BTreeMap::new(),
        }
    }

    /// Which policy it is.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Where it believes everybody runs.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Takes in one quantum.
    pub fn observe(&mut self, seen: &Seen<'_>) {
        for vcpu in seen.departures {
            self.placement.0.remove(vcpu);
            self.watches.remove(vcpu);
        }
        let present = seen.samples.iter().map(|sample| (sample.vcpu, sample.domain));
        for (vcpu, domain) in seen.arrivals.iter().copied().chain(present) {
            // A sample tells where the vCPU was, whatever was believed.
            self.placement.0.insert(vcpu, domain);
            self.watches.entry(vcpu).or_insert_with(|| Watch::new(self.kind, self.model.as_ref()));
        }
        let Some(model) = &self.model else { return };
        for sample in seen.samples {
            if let Some(watch) = self.watches.get_mut(&sample.vcpu) {
                watch.observe(model, sample);
            }
        }
        self.calibrate();
        self.watches.values_mut().for_each(Watch::end_quantum);
    }

    /// Says what to do now. Call once after each [`Policy::observe`].
    #[must_use]
    pub fn decide(&self) -> Decision {
        let Some(model) = &self.model else { return self.without_model() };
        let demand = |(vcpu, watch): (&VcpuId, &Watch)| (*vcpu, watch.expected_demand(model));
        let demands: BTreeMap<VcpuId, Demand> = self.watches.iter().map(demand).collect();
        let pinned: BTreeSet<VcpuId> =
            self.watches.iter().filter(|(_, watch)| self.is_pinned(watch)).map(|(vcpu, _)| *vcpu).collect();
        let problem = Problem {
            topology: &self.topology,
            contention: &model.parts().contention,
            current: &self.placement,
            demands: &demands,
            pinned: &pinned,
            migration_cost: self.settings.migration_cost_quanta / self.settings.payback_quanta,
            min_gain_share: self.settings.min_gain_share,
        };
        let plan = problem.solve();
        let moves = self.placement.moves_to(&plan.placement);
        let steps = problem.best_steps();
        let reasons = |(vcpu, watch): (&VcpuId, &Watch)| self.reasons(*vcpu, watch, &problem, &plan, steps.get(vcpu));
        let vcpus = self.watches.iter().map(reasons).collect();
        let rationale =
            Rationale { policy: self.kind, cost_before: plan.cost_before, cost_after: plan.cost_after, vcpus };
        Decision { moves, forecasts: self.forecasts(), rationale }
    }

    /// Takes in what became of the moves that were decided.
    pub fn confirm(&mut self, done: &[Move], refused: &[Move]) {
        for moved in done {
            self.placement.0.insert(moved.vcpu, moved.to);
        }
        for asked in done.iter().chain(refused) {
            if let Some(watch) = self.watches.get_mut(&asked.vcpu) {
                watch.cool_down(self.settings.cooldown_quanta);
            }
        }
        for moved in done {
            if let Some(watch) = self.watches.get_mut(&moved.vcpu) {
                watch.moved();
            }
        }
    }

    fn is_pinned(&self, watch: &Watch) -> bool {
        self.kind == PolicyKind::StayPut || watch.cooling_quanta() > 0 || watch.is_unknown()
    }

    /// Corrects the pressure of every vCPU whose quantum was an ordinary one beside neighbours that are all known.
    fn calibrate(&mut self) {
        let Some(model) = &self.model else { return };
        let known: BTreeMap<VcpuId, Option<Demand>> =
            self.watches.iter().map(|(vcpu, watch)| (*vcpu, watch.present_demand(model))).collect();
        for (vcpu, watch) in &mut self.watches {
            let Some(home) = self.placement.0.get(vcpu) else { continue };
            let beside = self.placement.members(*home).filter(|other| other != vcpu);
            let neighbours: Option<Vec<Demand>> = beside.map(|other| known.get(&other).copied().flatten()).collect();
            if let Some(neighbours) = neighbours {
                watch.calibrate(model, &neighbours);
            }
        }
    }

    fn forecasts(&self) -> Vec<VcpuForecast> {
        let forecast = |(vcpu, watch): (&VcpuId, &Watch)| {
            let VcpuState::Active { phase, .. } = *watch.state() else { return None };
            Some(VcpuForecast { vcpu: *vcpu, current: phase, next: watch.next()? })
        };
        self.watches.iter().filter_map(forecast).collect()
    }

    fn reasons(
        &self,
        vcpu: VcpuId,
        watch: &Watch,
        problem: &Problem<'_>,
        plan: &Plan,
        step: Option<&Step>,
    ) -> VcpuRationale {
        let domain = self.placement.0.get(&vcpu).copied();
        let target = plan.placement.0.get(&vcpu).copied();
        let verdict = match (step, target) {
            (_, Some(to)) if domain != Some(to) => Verdict::Moves { to },
            _ if self.kind == PolicyKind::StayPut => Verdict::NeverMoves,
            _ if watch.is_unknown() => Verdict::NothingKnown,
            _ if watch.cooling_quanta() > 0 => Verdict::CoolsDown { quanta: watch.cooling_quanta() },
            (None, _) => Verdict::NoRoom,
            (Some(step), _) if step.gain <= 0.0 => Verdict::NoGain,
            (Some(step), _) if step.gain < step.needed => Verdict::GainTooSmall,
            _ => Verdict::OthersMove,
        };
        VcpuRationale {
            vcpu,
            domain: domain.unwrap_or(DomainId(0)),
            state: watch.state().clone(),
            forecast: watch.next().map(|next| Likely::of(&next)),
            slowdown_here: problem.slowdown(problem.current, vcpu),
            alternative: step.map(|step| Alternative {
                to: step.to,
                exchanged_with: step.exchanged_with,
                slowdown_there: problem.slowdown(&problem.after(step), vcpu),
                gain: step.gain,
                needed: step.needed,
            }),
            verdict,
        }
    }

    fn without_model(&self) -> Decision {
        let rationale = Rationale { policy: self.kind, cost_before: 0.0, cost_after: 0.0, vcpus: Vec::new() };
        Decision { moves: Vec::new(), forecasts: Vec::new(), rationale }
    }
}

#[cfg(test)]
mod damaged_models;

#[cfg(test)]
mod tests;
