//! What everybody will really ask for: what a policy could be told whose forecasts are never wrong.
//!
//! The oracle weighs placements as reactive and predictive do (the same solver, horizon, costs, cool-down and budget of moves), but
//! over the phases that the script has in store, with what each really asks for, and by the rule by which the host slows its guests.
//! It knows no more about neighbours' pace than that all go on as fast as now, and it searches greedily as the others do: a very
//! good policy, not a bound. On a host with few ways to place its guests [`crate::oracle`] finds a better one.

use std::collections::BTreeMap;
use std::time::Duration;

use predictor::contention::{Calibration, Demand};
use predictor::model::Model;
use predictor::placement::Stretch;
use predictor::policy::Settings;

use crate::host::simulated::SimulatedHost;
use crate::host::simulated::script::{KindId, PhaseKind, Script};

/// Who knows the future.
#[derive(Debug)]
pub(super) struct Oracle {
    points: Vec<(u32, f64)>,
    demands: Vec<Demand>,
}

impl Oracle {
    /// For the guests of `script`, over the horizon of `settings`.
    pub(super) fn new(settings: &Settings, script: &Script) -> Self {
        let contention = &script.hardware.contention;
        let demand = |kind: &PhaseKind| contention.demand(&kind.pressure(), &Calibration::default());
        Self { points: settings.points(), demands: script.kinds.iter().map(demand).collect() }
    }

    /// What everybody asks for after the coming quantum, of which `coming` is the end.
    pub(super) fn outlook(&self, coming: &SimulatedHost, quantum: Duration) -> Vec<Stretch> {
        let demand = |kind: Option<KindId>| kind.map_or(Demand::default(), |kind| self.demands[kind.0]);
        let stretch = |(quanta, share): &(u32, f64)| {
            // The middle of the quantum that stands for the stretch.
            let ahead = quantum * *quanta - quantum / 2;
            let vcpus = coming.placement().0.keys();
            Stretch {
                share: *share,
                demands: vcpus.map(|vcpu| (*vcpu, demand(coming.kind_ahead(*vcpu, ahead)))).collect(),
                // The rule is the host's own: nothing is to be learned of it.
                phases: BTreeMap::new(),
            }
        };
        self.points.iter().map(stretch).collect()
    }
}

/// `model` with the rule by which the host of `script` slows its guests.
pub(super) fn enlightened(model: &Model, script: &Script) -> Model {
    let mut parts = model.parts().clone();
    parts.contention = script.hardware.contention;
    Model::new(parts).expect("a checked model and a checked host")
}
