//! What a policy knows about one vCPU: the phase it is in, those to come, and how it differs from the model's mean.

use std::collections::BTreeMap;

use super::kind::PolicyKind;
use super::rationale::{Basis, VcpuState};
use super::settings::Settings;
use super::trust::Trust;
use crate::contention::{Calibration, Demand, Slowdown};
use crate::counters::{Event, Sample};
use crate::features;
use crate::features::Observed;
use crate::forecast::contexts::HORIZONS_MOST;
use crate::forecast::kind::{ForecasterKind, Trained};
use crate::forecast::{Forecast, Forecaster, Observation};
use crate::model::Model;
use crate::phases::PhaseId;

/// Weight of the last quantum in rates that are remembered.
const RATE: f64 = 0.2;

/// How one vCPU differs from the model's mean, phase by phase.
#[derive(Debug, Clone, Default)]
pub(super) struct Differences {
    calibrations: BTreeMap<PhaseId, Calibration>,
    /// Slowdown seen less slowdown predicted where it was, as a mean that forgets.
    excess: BTreeMap<PhaseId, f64>,
}

impl Differences {
    /// What the vCPU asks for in `phase`.
    pub(super) fn demand(&self, model: &Model, phase: PhaseId) -> Demand {
        model.demand(phase, &self.calibration(phase))
    }

    fn calibration(&self, phase: PhaseId) -> Calibration {
        self.calibrations.get(&phase).copied().unwrap_or_default()
    }

    /// How slow `cpi` is in `phase`, in times of alone.
    pub(super) fn slowdown(&self, model: &Model, phase: PhaseId, cpi: f64) -> f64 {
        let alone = model.parts().pressures[phase.index()].cycles_per_instruction;
        cpi / (alone * self.calibration(phase).alone_cpi_ratio)
    }

    /// By how much more the vCPU was slowed in `phase` than the model says; 0 where that was not seen.
    pub(super) fn excess(&self, phase: PhaseId) -> f64 {
        self.excess.get(&phase).copied().unwrap_or(0.0)
    }
}

/// One vCPU, as it was last seen.
pub(super) struct Watch {
    forecaster: Option<Box<dyn Forecaster + Send>>,
    /// Quanta ahead for which forecasts are made, each with its share of the horizon; the first is 1.
    points: Vec<(u32, f64)>,
    min_confidence: f64,
    trust: Trust,
    state: VcpuState,
    differences: Differences,
    cooling_quanta: u32,
    stay_quanta: u32,
    /// Whether it moved since it was last seen: it starts with cold caches.
    just_moved: bool,
    /// Whether the quantum just seen was like the one before, in the same place.
    settled: bool,
    /// CPI of the quantum just seen.
    observed_cpi: Option<f64>,
    misses_per_kilo_instruction: Option<f64>,
    stalls_per_instruction: Option<f64>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Watch").field("state", &self.state).field("next", &self.next()).finish_non_exhaustive()
    }
}

/// A forecaster that knows from the start how far ahead it will be asked. Where there are more such points than it can
/// learn apart, the near ones are, since a move is made for what comes next.
fn started(kind: ForecasterKind, model: &Model, points: &[(u32, f64)]) -> Box<dyn Forecaster + Send> {
    let far: Vec<u32> =
        points.iter().map(|(quanta, _)| *quanta).filter(|quanta| *quanta > 1).take(HORIZONS_MOST).collect();
    let trained = model.trained();
    kind.start(model.parts().phases.len(), &Trained { horizons: &far, ..trained })
}

impl Watch {
    pub(super) fn new(kind: PolicyKind, settings: &Settings, model: Option<&Model>) -> Self {
        let foresight = match kind {
            PolicyKind::Reactive => ForecasterKind::LastValue,
            _ => settings.forecaster,
        };
        // Who does not weigh the future makes forecasts of the coming quantum for the record alone.
        let points = if kind == PolicyKind::Predictive { settings.points() } else { vec![(1, 1.0)] };
        Self {
            forecaster: model.map(|model| started(foresight, model, &points)),
            points,
            min_confidence: settings.min_confidence,
            trust: Trust::default(),
            state: VcpuState::Unseen,
            differences: Differences::default(),
            cooling_quanta: 0,
            stay_quanta: 0,
            just_moved: false,
            settled: false,
            observed_cpi: None,
            misses_per_kilo_instruction: None,
            stalls_per_instruction: None,
        }
    }

    pub(super) const fn state(&self) -> &VcpuState {
        &self.state
    }

    pub(super) const fn cooling_quanta(&self) -> u32 {
        self.cooling_quanta
    }

    /// Quanta since it came to its domain.
    pub(super) const fn stay_quanta(&self) -> u32 {
        self.stay_quanta
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, VcpuState::Idle)
    }

    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self.state, VcpuState::Unseen | VcpuState::Missing { .. })
    }

    /// LLC misses of late; `None` where they are not counted.
    pub(super) const fn misses_per_kilo_instruction(&self) -> Option<f64> {
        self.misses_per_kilo_instruction
    }

    /// Stalled cycles for each instruction of the quantum just seen; `None` where they are not counted, or it was idle.
    pub(super) const fn stalls_per_instruction(&self) -> Option<f64> {
        self.stalls_per_instruction
    }

    pub(super) const fn differences(&self) -> &Differences {
        &self.differences
    }

    pub(super) fn observe(&mut self, model: &Model, sample: &Sample) {
        let before = self.phase();
        self.observed_cpi = None;
        self.observe_rates(sample);
        self.state = match model.parts().phases.features.observe(sample) {
            Observed::Idle => VcpuState::Idle,
            Observed::Missing(events) => VcpuState::Missing { events },
            Observed::Active(vector) => {
                let found = model.parts().phases.classify(&vector);
                if let Some(instructions) = sample.count(Event::Instructions) {
                    let signals: Vec<Option<f64>> = vector.0.iter().copied().map(Some).collect();
                    let seen = Observation { signals: &signals, ..Observation::of(found.phase, instructions) };
                    self.forecast(&Observation { address_space: sample.address_space, ..seen });
                    self.observed_cpi = sample.count(Event::Cycles).map(|cycles| cycles as f64 / instructions as f64);
                }
                VcpuState::Active { phase: found.phase, novelty: found.novelty }
            }
        };
        self.settled = self.phase() == before && !std::mem::take(&mut self.just_moved);
    }

    /// Learns whether it was at work, where there is no model to say at what.
    pub(super) fn observe_load(&mut self, sample: &Sample) {
        self.state = if features::is_idle(sample) { VcpuState::Idle } else { VcpuState::Busy };
    }

    fn observe_rates(&mut self, sample: &Sample) {
        let instructions = sample.count(Event::Instructions).filter(|count| *count > 0);
        let per_instruction = |event| Some(sample.count(event)? as f64 / instructions? as f64);
        self.stalls_per_instruction = per_instruction(Event::StallCycles);
        if let Some(misses) = per_instruction(Event::LlcMisses) {
            let mean = self.misses_per_kilo_instruction.get_or_insert(1000.0 * misses);
            *mean += RATE * (1000.0 * misses - *mean);
        }
    }

    fn forecast(&mut self, seen: &Observation<'_>) {
        let Some(forecaster) = &mut self.forecaster else { return };
        forecaster.observe(seen);
        self.trust.score(seen.phase, &self.points);
        let ahead = self.points.iter().map_while(|(quanta, _)| forecaster.forecast(*quanta)).collect();
        let farthest = self.points.last().map_or(1, |(quanta, _)| *quanta);
        self.trust.note(seen.phase, ahead, farthest);
    }

    /// The phase it was in, if it was in one.
    pub(super) const fn phase(&self) -> Option<PhaseId> {
        match self.state {
            VcpuState::Active { phase, .. } => Some(phase),
            VcpuState::Unseen | VcpuState::Idle | VcpuState::Busy | VcpuState::Missing { .. } => None,
        }
    }

    /// The coming quantum's phase; `None` where there was none to go on from.
    pub(super) fn next(&self) -> Option<&Forecast> {
        self.phase()?;
        self.trust.latest().first()
    }

    /// Whether its forecasts are to be acted on, by a policy that would.
    pub(super) fn basis(&self) -> Basis {
        match self.next() {
            Some(next) if next.confidence() < self.min_confidence => Basis::Unsure,
            Some(_) if !self.trust.is_earned() => Basis::WorseOfLate,
            _ => Basis::Forecast,
        }
    }

    /// What it asked for in the quantum just seen; `None` where that is not known.
    pub(super) fn present_demand(&self, model: &Model) -> Option<Demand> {
        self.present_demand_as(model, &self.differences)
    }

    /// The same, as it was known earlier.
    pub(super) fn present_demand_as(&self, model: &Model, known: &Differences) -> Option<Demand> {
        match self.state {
            VcpuState::Active { phase, .. } => Some(known.demand(model, phase)),
            VcpuState::Idle => Some(Demand::default()),
            VcpuState::Unseen | VcpuState::Busy | VcpuState::Missing { .. } => None,
        }
    }

    /// What it asks for as long as nothing changes. One of which nothing is known is taken as typical, not as the perfect
    /// neighbour.
    pub(super) fn lasting_demand(&self, model: &Model) -> Demand {
        self.present_demand(model).unwrap_or_else(|| model.typical_demand())
    }

    /// What it will ask for at one of the points ahead: the mean over its forecast for that point, where that is sure;
    /// else what it asks for at the point before, and at first as long as nothing changes. So it takes a sure change to
    /// differ from the last phase, and a sure return to go back to it. An idle vCPU is expected to stay idle.
    pub(super) fn expected_demand(&self, model: &Model, point: usize) -> Demand {
        self.acted_on(point).map_or_else(
            || self.lasting_demand(model),
            |ahead| Demand::expected(ahead.iter().map(|(phase, share)| (share, self.differences.demand(model, phase)))),
        )
    }

    /// The phase that is likeliest then, by the same rule; `None` of an idle one and of one of which nothing is known.
    pub(super) fn expected_phase(&self, point: usize) -> Option<PhaseId> {
        let last = self.phase()?;
        Some(self.acted_on(point).map_or(last, Forecast::most_likely))
    }

    /// The forecast that stands for a point ahead: that of the point if it is sure, else of the nearest before that is.
    fn acted_on(&self, point: usize) -> Option<&Forecast> {
        let is_heard = self.phase().is_some() && self.trust.is_earned();
        let sure = |ahead: &&Forecast| ahead.confidence() >= self.min_confidence;
        self.trust.latest().iter().take(point + 1).rev().find(sure).filter(|_| is_heard)
    }

    /// How slow the quantum just seen was with respect to `known`, with its phase; `None` where it was idle or not counted.
    pub(super) fn seen_slowdown(&self, model: &Model, known: &Differences) -> Option<(PhaseId, Slowdown)> {
        let phase = self.phase()?;
        Some((phase, Slowdown(known.slowdown(model, phase, self.observed_cpi?))))
    }

    /// Learns from the quantum just seen beside `neighbours`, unless it was the first after a move or a phase change.
    pub(super) fn calibrate(&mut self, model: &Model, neighbours: &[Demand]) {
        let (Some(phase), Some(cpi)) = (self.phase(), self.observed_cpi) else { return };
        if self.settled {
            let parts = model.parts();
            let calibration = self.differences.calibrations.entry(phase).or_default();
            calibration.learn(&parts.contention, &parts.pressures[phase.index()], cpi, neighbours);
            let predicted = parts.contention.slowdown(&self.differences.demand(model, phase), neighbours).0;
            let excess = self.differences.slowdown(model, phase, cpi) - predicted;
            let mean = self.differences.excess.entry(phase).or_insert(excess);
            *mean += RATE * (excess - *mean);
        }
    }

    /// Whether the quantum just seen was like the one before, in the same place.
    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) const fn cool_down(&mut self, quanta: u32) {
        self.cooling_quanta = quanta;
    }

    pub(super) const fn moved(&mut self) {
        self.just_moved = true;
        self.stay_quanta = 0;
    }

    pub(super) const fn end_quantum(&mut self) {
        self.cooling_quanta = self.cooling_quanta.saturating_sub(1);
        self.stay_quanta = self.stay_quanta.saturating_add(1);
    }
}
