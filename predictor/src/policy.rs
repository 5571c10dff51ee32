//! What to do each quantum: observe samples, decide moves, say why, and learn what the moves were worth.
//!
//! Owns the loop that all policies share, the state kept for each vCPU (`watch`), the reasons given ([`rationale`]) and
//! the scores of moves ([`score`]). Watching a host and carrying decisions out is the harness's business.
//!
//! # The policies
//!
//! [`PolicyKind`] names them. All share one model, one budget of moves, one cool-down and one way to change a placement;
//! they differ in how they choose, and each has a module that says how and from where. An oracle weighs moves as reactive and
//! predictive do, by what [`Policy::foretell`] says will be asked for.
//!
//! # Each quantum
//!
//! ```text
//! observe   which phase was each vCPU in? teach its forecaster; correct its pressure by the CPI seen; score the moves
//!           made before (score)
//! decide    choose a placement among those that budget and cool-down allow; list the moves that lead there
//! confirm   what the host really moved; those moved, and those refused, cool down; open accounts for what moved
//! ```
//!
//! # What holds for all
//!
//! - A vCPU that moved, or whose move was refused, stays where it is for [`Settings::cooldown_quanta`].
//! - In the long run there are at most [`Settings::moves_per_vcpu_quantum`] moves for each vCPU and quantum.
//! - What the operator ordered ([`Rules`]) holds under every policy: who is excluded stays, and who belongs in a domain is
//!   brought there and stays. Orders are not counted against the budget's room, only spent from it.
//! - A policy that reads counters does not move a vCPU of which nothing is known.
//! - Every move is scored. A policy that weighs its moves stops for a while when those of late did not pay; the others
//!   claim nothing, and go on.

pub mod rationale;

pub mod score;

mod brm;
mod budget;
mod di;
mod kind;
mod load_balance;
mod load_only;
mod orders;
mod random;
mod round_robin;
mod settings;
mod trust;
mod view;
mod watch;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use self::brm::Brm;
use self::budget::Budget;
use self::rationale::{Alternative, Basis, Likely, Rationale, VcpuRationale, Verdict};
use self::score::{BackOff, Ledger, MoveScore};
use self::view::{Choice, View};
use self::watch::Watch;
use crate::contention::experience::{Company, Experience, Member};
use crate::contention::{Demand, Slowdown};
use crate::counters::{Sample, VcpuId};
use crate::forecast::Forecast;
use crate::model::Model;
use crate::phases::PhaseId;
use crate::placement::rules::{self, Rules, Whereabouts};
use crate::placement::{Move, Placement, Plan, Problem, Step, Stretch};
use crate::topology::{DomainId, Topology};

pub use self::kind::PolicyKind;
pub use self::settings::{HORIZON_MOST, OutOfRange, Settings};

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
    random: ChaCha8Rng,
    brm: Brm,
    budget: Budget,
    experience: Experience,
    /// How everybody fared in the quantum before the last, by company.
    fared: Vec<(Company, Vec<(Member, Slowdown)>)>,
    ledger: Ledger,
    back_off: BackOff,
    /// Moves whose worth became known with the last quantum.
    scores: Vec<MoveScore>,
    /// Moves whose time of being scored was ended by others since.
    settled: Vec<MoveScore>,
    /// What is expected over the horizon, after the last quantum.
    outlook: Vec<Stretch>,
    rules: Rules,
    /// Who was asked to be held where they are, since orders or their whereabouts changed last.
    held: BTreeSet<VcpuId>,
    quanta: u64,
}

impl Policy {
    /// A policy of `kind` for a host of `topology`, with what `model` knows. Forecasts are made and reported under every
    /// kind: under [`PolicyKind::Reactive`] the last value, else by [`Settings::forecaster`].
    #[must_use]
    pub fn new(kind: PolicyKind, settings: Settings, topology: Topology, model: Model) -> Self {
        Self::with(kind, settings, topology, Some(model))
    }

    /// Never moves anybody, forecasts nothing and needs no model: for runs that are only recorded.
    #[must_use]
    pub fn stay_put(topology: Topology) -> Self {
        Self::with(PolicyKind::StayPut, Settings::default(), topology, None)
    }

    /// Knows nothing but who is at work: stays put, or balances the load if `kind` is [`PolicyKind::LoadBalance`]; any other
    /// kind needs a model, and moves nobody without one.
    #[must_use]
    pub fn load_only(kind: PolicyKind, settings: Settings, topology: Topology) -> Self {
        Self::with(kind, settings, topology, None)
    }

    fn with(kind: PolicyKind, settings: Settings, topology: Topology, model: Option<Model>) -> Self {
        Self {
            kind,
            settings,
            topology,
            model,
            placement: Placement::default(),
            watches: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(settings.seed),
            brm: Brm::default(),
            budget: Budget::full(),
            experience: Experience::default(),
            fared: Vec::new(),
            ledger: Ledger::default(),
            back_off: BackOff::default(),
            scores: Vec::new(),
            settled: Vec::new(),
            outlook: Vec::new(),
            rules: Rules::default(),
            held: BTreeSet::new(),
            quanta: 0,
        }
    }

    /// Which policy it is.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// From now on it goes by these rules. Whoever they name and is not here is kept in mind for when it comes.
    pub fn obey(&mut self, rules: Rules) {
        self.held.retain(|vcpu| rules.of(*vcpu).whereabouts == self.rules.of(*vcpu).whereabouts);
        self.rules = rules;
    }

    /// Everybody may run where they might before they were first moved: whoever was held is so no more.
    pub fn let_go(&mut self) {
        self.held.clear();
    }

    /// From now on it weighs by these settings, and keeps all that it has learned. Its forecaster and the horizon for which that
    /// was made ready stay as they are for vCPUs that are here.
    pub fn adjust(&mut self, settings: Settings) {
        let Settings { forecaster, horizon_quanta, seed, .. } = self.settings;
        self.settings = Settings { forecaster, horizon_quanta, seed, ..settings };
    }

    /// Where it believes everybody runs.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Moves whose worth became known with the last quantum observed.
    #[must_use]
    pub fn scores(&self) -> &[MoveScore] {
        &self.scores
    }

    /// Tells an oracle what everybody will ask for over the horizon that begins after the coming quantum, the shares of the
    /// stretches being 1 together. Who is told nothing moves nobody; other kinds do not listen.
    pub fn foretell(&mut self, outlook: Vec<Stretch>) {
        if self.kind == PolicyKind::Oracle {
            self.outlook = outlook;
        }
    }

    /// Takes in one quantum.
    pub fn observe(&mut self, seen: &Seen<'_>) {
        for vcpu in seen.departures {
            self.placement.0.remove(vcpu);
            self.watches.remove(vcpu);
            self.held.remove(vcpu);
            self.brm.forget(*vcpu);
        }
        let present = seen.samples.iter().map(|sample| (sample.vcpu, sample.domain));
        for (vcpu, domain) in seen.arrivals.iter().copied().chain(present) {
            // A sample tells where the vCPU was, whatever was believed.
            self.placement.0.insert(vcpu, domain);
            let watch = || Watch::new(self.kind, &self.settings, self.model.as_ref());
            self.watches.entry(vcpu).or_insert_with(watch);
        }
        self.quanta += 1;
        let Some(model) = &self.model else { return self.observe_load(seen.samples) };
        for sample in seen.samples {
            if let Some(watch) = self.watches.get_mut(&sample.vcpu) {
                watch.observe(model, sample);
                if let Some(stalls) = watch.stalls_per_instruction() {
                    self.brm.observe(sample.vcpu, sample.domain, stalls);
                }
            }
        }
        self.scores = std::mem::take(&mut self.settled);
        self.scores.extend(self.ledger.observe(model, &self.placement, &self.watches));
        self.back_off.end_quantum();
        self.back_off.learn(&self.scores);
        self.budget.refill(self.settings.moves_per_vcpu_quantum, self.watches.len());
        self.gain_experience();
        self.calibrate();
        self.watches.values_mut().for_each(Watch::end_quantum);
        if let Some(model) = &self.model
            && self.kind != PolicyKind::Oracle
        {
            self.outlook = weigh::outlook(self.kind, &self.settings, model, &self.watches);
        }
    }

    /// Says what to do now. Call once after each [`Policy::observe`].
    #[must_use]
    pub fn decide(&mut self) -> Decision {
        let Some(model) = &self.model else { return self.without_model() };
        let mut random = self.random.clone();
        let decision = self.decision(model, &mut random);
        self.random = random;
        decision
    }

    fn decision(&self, model: &Model, random: &mut ChaCha8Rng) -> Decision {
        let pinned = self.pinned();
        let problem = self.problem(model, &pinned);
        let ordered = orders::choose(&self.view(&pinned), &self.rules);
        let (plan, note) = if self.kind.weighs() && ordered.is_none() {
            (problem.solve(), String::new())
        } else {
            let Choice { placement, note } = ordered.unwrap_or_else(|| self.choose(&pinned, random));
            let (cost_before, cost_after) = (problem.cost(&self.placement), problem.cost(&placement));
            (Plan { placement, cost_before, cost_after, alternatives: BTreeMap::new() }, note)
        };
        let reasons = |(vcpu, watch): (&VcpuId, &Watch)| self.reasons(*vcpu, watch, &problem, &plan);
        let vcpus = self.watches.iter().map(reasons).collect();
        let rationale = Rationale {
            policy: self.kind,
            note,
            pause_quanta: self.pause_quanta(),
            cost_before: plan.cost_before,
            cost_after: plan.cost_after,
            vcpus,
        };
        Decision { moves: self.moves_to(&plan.placement), forecasts: self.forecasts(), rationale }
    }

    /// Takes in what became of the moves that were decided.
    pub fn confirm(&mut self, done: &[Move], refused: &[Move]) {
        let (done, refused) = (&self.beside_holds(done)[..], &self.beside_holds(refused)[..]);
        let mut ledger = std::mem::take(&mut self.ledger);
        if let Some(model) = &self.model {
            // What a move was worth is told in slowdowns, whoever counts for more.
            let pinned = BTreeSet::new();
            let problem = Problem { rules: rules::NONE, ..self.problem(model, &pinned) };
            let quantum = self.quanta.saturating_sub(1);
            let settled = ledger.open(quantum, done, &problem, &self.settings.points(), &self.watches);
            self.settled.extend(settled);
        }
        self.ledger = ledger;
        for moved in done {
            self.placement.0.insert(moved.vcpu, moved.to);
            // Being moved holds it.
            self.held.insert(moved.vcpu);
        }
        self.budget.spend(done.len());
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

    /// How a policy that does not weigh its moves chooses.
    fn choose(&self, pinned: &BTreeSet<VcpuId>, random: &mut ChaCha8Rng) -> Choice {
        let view = self.view(pinned);
        match self.kind {
            PolicyKind::Random => random::choose(&view, random),
            PolicyKind::LoadBalance => load_balance::choose(&view),
            PolicyKind::RoundRobin => round_robin::choose(&view),
            PolicyKind::Di => di::choose(&view),
            PolicyKind::Brm => self.brm.choose(&view, random),
            PolicyKind::StayPut | PolicyKind::Reactive | PolicyKind::Predictive | PolicyKind::Oracle => {
                view.stay(String::new())
            }
        }
    }

    fn view<'a>(&'a self, pinned: &'a BTreeSet<VcpuId>) -> View<'a> {
        View {
            topology: &self.topology,
            settings: &self.settings,
            placement: &self.placement,
            watches: &self.watches,
            pinned,
            most_moves: self.most_moves(),
            quanta: self.quanta,
        }
    }

    fn problem<'a>(&'a self, model: &'a Model, pinned: &'a BTreeSet<VcpuId>) -> Problem<'a> {
        Problem {
            topology: &self.topology,
            contention: &model.parts().contention,
            experience: &self.experience,
            current: &self.placement,
            outlook: &self.outlook,
            pinned,
            rules: &self.rules,
            migration_cost: self.settings.migration_cost_quanta / f64::from(self.settings.horizon_quanta.max(1)),
            min_gain_share: self.settings.min_gain_share,
            most_moves: self.most_moves(),
        }
    }

    fn pinned(&self) -> BTreeSet<VcpuId> {
        let is_held = |vcpu: VcpuId| self.rules.of(vcpu).whereabouts != Whereabouts::Anywhere;
        let is_pinned = |watch: &Watch| self.kind.reads_counters() && watch.is_unknown() || watch.cooling_quanta() > 0;
        let pinned = self.watches.iter().filter(|(vcpu, watch)| is_held(**vcpu) || is_pinned(watch));
        pinned.map(|(vcpu, _)| *vcpu).collect()
    }

    fn most_moves(&self) -> usize {
        match self.kind {
            PolicyKind::StayPut => 0,
            _ if self.pause_quanta() > 0 => 0,
            _ => self.budget.moves(),
        }
    }

    /// Quanta for which a policy whose expectations did not come true makes no move.
    const fn pause_quanta(&self) -> u32 {
        if self.kind.expects() { self.back_off.pause_quanta() } else { 0 }
    }

    /// Remembers how everybody fared in domains where nothing changed: not in the quantum before, and not in the one after,
    /// since a quantum called by one phase may end in another.
    fn gain_experience(&mut self) {
        let Some(model) = &self.model else { return };
        let mut fared = Vec::new();
        for domain in self.topology.domains() {
            let known = |vcpu| {
                let watch: &Watch = self.watches.get(&vcpu)?;
                let (phase, seen) = watch.seen_slowdown(model, watch.differences())?;
                watch.is_settled().then(|| (Member::new(vcpu, phase), seen))
            };
            let members: Option<Vec<(Member, Slowdown)>> = self.placement.members(domain.id).map(known).collect();
            let Some(members) = members else { continue };
            let company = members.iter().map(|(member, _)| *member).collect();
            if let Some((_, before)) = self.fared.iter().find(|(before, _)| *before == company) {
                for (member, seen) in before {
                    self.experience.learn(*member, company.without(*member), *seen);
                }
            }
            fared.push((company, members));
        }
        self.fared = fared;
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
            Some(VcpuForecast { vcpu: *vcpu, current: watch.phase()?, next: watch.next()?.clone() })
        };
        self.watches.iter().filter_map(forecast).collect()
    }

    fn reasons(&self, vcpu: VcpuId, watch: &Watch, problem: &Problem<'_>, plan: &Plan) -> VcpuRationale {
        let domain = self.placement.0.get(&vcpu).copied();
        let step = plan.alternatives.get(&vcpu);
        VcpuRationale {
            vcpu,
            domain: domain.unwrap_or(DomainId(0)),
            state: watch.state().clone(),
            forecast: watch.next().map(Likely::of),
            basis: if self.kind == PolicyKind::Predictive { watch.basis() } else { Basis::Forecast },
            slowdown_here: problem.slowdown(problem.current, vcpu),
            curve: problem.curve_source(vcpu),
            alternative: step.map(|step| Alternative {
                to: step.to,
                exchanged_with: step.exchanged_with,
                slowdown_there: problem.slowdown(&problem.after(step), vcpu),
                gain: step.gain,
                needed: step.needed,
            }),
            verdict: self.verdict((vcpu, watch), domain, plan.placement.0.get(&vcpu).copied(), step),
        }
    }

    fn verdict(
        &self,
        (vcpu, watch): (VcpuId, &Watch),
        home: Option<DomainId>,
        target: Option<DomainId>,
        step: Option<&Step>,
    ) -> Verdict {
        let whereabouts = self.rules.of(vcpu).whereabouts;
        let is_short = |step: &Step| self.budget.moves() < 1 + usize::from(step.exchanged_with.is_some());
        match (step, target) {
            (_, Some(to)) if home != Some(to) => Verdict::Moves { to },
            _ if whereabouts == Whereabouts::Excluded => Verdict::Excluded,
            _ if whereabouts != Whereabouts::Anywhere => Verdict::Ordered,
            _ if self.kind == PolicyKind::StayPut => Verdict::NeverMoves,
            _ if self.kind.reads_counters() && watch.is_unknown() => Verdict::NothingKnown,
            _ if watch.cooling_quanta() > 0 => Verdict::CoolsDown { quanta: watch.cooling_quanta() },
            _ if self.pause_quanta() > 0 => Verdict::Pauses { quanta: self.pause_quanta() },
            _ if !self.kind.weighs() => Verdict::NotChosen,
            (None, _) => Verdict::NoRoom,
            (Some(step), _) if step.gain <= 0.0 => Verdict::NoGain,
            (Some(step), _) if step.gain < step.needed => Verdict::GainTooSmall,
            (Some(step), _) if !step.is_worth_it() => Verdict::TooEarly,
            (Some(step), _) if is_short(step) => Verdict::BudgetSpent,
            _ => Verdict::OthersMove,
        }
    }
}

#[cfg(test)]
mod damaged_models;

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests;
