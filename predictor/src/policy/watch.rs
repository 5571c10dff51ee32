//! What a policy knows about one vCPU: the phase it is in, the one to come, and how it differs from the model's mean.

use std::collections::BTreeMap;

use super::PolicyKind;
use super::rationale::VcpuState;
use crate::contention::{Calibration, Demand};
use crate::counters::{Event, Sample};
use crate::features::Observed;
use crate::forecast::kind::ForecasterKind;
use crate::forecast::{Forecast, Forecaster, Observation};
use crate::model::Model;
use crate::phases::PhaseId;

/// One vCPU, as it was last seen.
pub(super) struct Watch {
    forecaster: Option<Box<dyn Forecaster + Send>>,
    state: VcpuState,
    calibrations: BTreeMap<PhaseId, Calibration>,
    cooling_quanta: u32,
    /// Whether it moved since it was last seen: it starts with cold caches.
    just_moved: bool,
    /// Whether the quantum just seen was like the one before, in the same place.
    settled: bool,
    /// CPI of the quantum just seen.
    observed_cpi: Option<f64>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Watch").field("state", &self.state).field("next", &self.next()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(kind: PolicyKind, model: Option<&Model>) -> Self {
        let foresight = match kind {
            PolicyKind::Reactive => ForecasterKind::LastValue,
            // Not the default forecaster: it learns a vCPU from nothing, and a policy must be right in its first rounds,
            // for which the model's run lengths are a prior.
            PolicyKind::StayPut | PolicyKind::Predictive => ForecasterKind::SemiMarkov,
        };
        Self {
            forecaster: model.map(|model| model.forecaster(foresight)),
            state: VcpuState::Unseen,
            calibrations: BTreeMap::new(),
            cooling_quanta: 0,
            just_moved: false,
            settled: false,
            observed_cpi: None,
        }
    }

    pub(super) const fn state(&self) -> &VcpuState {
        &self.state
    }

    pub(super) const fn cooling_quanta(&self) -> u32 {
        self.cooling_quanta
    }

    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self.state, VcpuState::Unseen | VcpuState::Missing { .. })
    }

    pub(super) fn observe(&mut self, model: &Model, sample: &Sample) {
        let before = self.phase();
        self.observed_cpi = None;
        self.state = match model.parts().phases.features.observe(sample) {
            Observed::Idle => VcpuState::Idle,
            Observed::Missing(events) => VcpuState::Missing { events },
            Observed::Active(vector) => {
                let found = model.parts().phases.classify(&vector);
                if let (Some(forecaster), Some(instructions)) =
                    (&mut self.forecaster, sample.count(Event::Instructions))
                {
                    let signals: Vec<Option<f64>> = vector.0.iter().copied().map(Some).collect();
                    forecaster.observe(&Observation { phase: found.phase, instructions, signals: &signals });
                    self.observed_cpi = sample.count(Event::Cycles).map(|cycles| cycles as f64 / instructions as f64);
                }
                VcpuState::Active { phase: found.phase, novelty: found.novelty }
            }
        };
        self.settled = self.phase() == before && !std::mem::take(&mut self.just_moved);
    }

    /// The phase it was in, if it was in one.
    fn phase(&self) -> Option<PhaseId> {
        match self.state {
            VcpuState::Active { phase, .. } => Some(phase),
            VcpuState::Unseen | VcpuState::Idle | VcpuState::Missing { .. } => None,
        }
    }

    /// The coming quantum's phase; `None` where there was none to go on from.
    pub(super) fn next(&self) -> Option<Forecast> {
        self.phase()?;
        self.forecaster.as_ref()?.forecast(1)
    }

    fn demand(&self, model: &Model, phase: PhaseId) -> Demand {
        model.demand(phase, &self.calibrations.get(&phase).copied().unwrap_or_default())
    }

    /// What it asked for in the quantum just seen; `None` where that is not known.
    pub(super) fn present_demand(&self, model: &Model) -> Option<Demand> {
        match self.state {
            VcpuState::Active { phase, .. } => Some(self.demand(model, phase)),
            VcpuState::Idle => Some(Demand::default()),
            VcpuState::Unseen | VcpuState::Missing { .. } => None,
        }
    }

    /// What it will ask for: the mean over its forecast. An idle vCPU is expected to stay idle; one of which nothing is
    /// known is taken as typical, not as the perfect neighbour.
    pub(super) fn expected_demand(&self, model: &Model) -> Demand {
        match (&self.state, self.next()) {
            (VcpuState::Idle, _) => Demand::default(),
            (_, Some(next)) => Demand::expected(next.iter().map(|(phase, share)| (share, self.demand(model, phase)))),
            (_, None) => model.typical_demand(),
        }
    }

    /// Learns from the quantum just seen beside `neighbours`, unless it was the first after a move or a phase change.
    pub(super) fn calibrate(&mut self, model: &Model, neighbours: &[Demand]) {
        let (Some(phase), Some(cpi)) = (self.phase(), self.observed_cpi) else { return };
        if self.settled {
            let parts = model.parts();
            let calibration = self.calibrations.entry(phase).or_default();
            calibration.learn(&parts.contention, &parts.pressures[phase.index()], cpi, neighbours);
        }
    }

    pub(super) fn cool_down(&mut self, quanta: u32) {
        self.cooling_quanta = quanta;
    }

    pub(super) fn moved(&mut self) {
        self.just_moved = true;
    }

    pub(super) fn end_quantum(&mut self) {
        self.cooling_quanta = self.cooling_quanta.saturating_sub(1);
    }
}
