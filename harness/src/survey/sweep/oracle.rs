//! Where everybody would best be, by the truth about the horizon: what a policy could do whose forecasts are never wrong.
//!
//! The oracle weighs placements as the predictive policy does (same solver, horizon, costs, cool-down and budget of moves), but
//! over the phases that the script has in store, and with what each really asks for. It knows no more about neighbours' pace than
//! that all go on as fast as now, and it searches greedily as the others do: a very good policy, not a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use predictor::contention::{Calibration, Demand};
use predictor::counters::VcpuId;
use predictor::placement::{Move, Placement, Problem, Stretch};
use predictor::policy::Settings;

use crate::host::simulated::SimulatedHost;
use crate::host::simulated::script::KindId;

/// Who knows the future, and what it did so far.
#[derive(Debug)]
pub(super) struct Oracle {
    settings: Settings,
    demands: Vec<Demand>,
    cooling: BTreeMap<VcpuId, u32>,
    moves_left: f64,
}

impl Oracle {
    /// For guests on a host like this one.
    pub(super) fn new(settings: Settings, host: &SimulatedHost) -> Self {
        let script = host.script();
        let demand = |kind: &crate::host::simulated::script::PhaseKind| {
            script.hardware.contention.demand(&kind.pressure(), &Calibration::default())
        };
        let demands = script.kinds.iter().map(demand).collect();
        Self { settings, demands, cooling: BTreeMap::new(), moves_left: script.guests.len() as f64 }
    }

    /// Where everybody is to be after the coming quantum, of which `coming` is the end.
    pub(super) fn target(&self, coming: &SimulatedHost, quantum: Duration) -> Placement {
        let script = coming.script();
        let current = coming.placement();
        let demand = |kind: Option<KindId>| kind.map_or(Demand::default(), |kind| self.demands[kind.0]);
        let stretch = |(quanta, share): (u32, f64)| {
            // The middle of the quantum that stands for the stretch.
            let ahead = quantum * quanta - quantum / 2;
            let demands = current.0.keys().map(|vcpu| (*vcpu, demand(coming.kind_ahead(*vcpu, ahead)))).collect();
            Stretch { share, demands }
        };
        let outlook: Vec<Stretch> = self.settings.points().into_iter().map(stretch).collect();
        let pinned: BTreeSet<VcpuId> = self.cooling.keys().copied().collect();
        let problem = Problem {
            topology: &script.hardware.topology,
            contention: &script.hardware.contention,
            current,
            outlook: &outlook,
            pinned: &pinned,
            migration_cost: self.settings.migration_cost_quanta / f64::from(self.settings.horizon_quanta.max(1)),
            min_gain_share: self.settings.min_gain_share,
            most_moves: self.moves_left as usize,
        };
        problem.solve().placement
    }

    /// A quantum passed, after which these were moved.
    pub(super) fn confirm(&mut self, moved: impl Iterator<Item = Move>, vcpus: usize) {
        self.cooling.retain(|_, quanta| {
            *quanta -= 1;
            *quanta > 0
        });
        let most = vcpus as f64;
        self.moves_left = (self.moves_left + self.settings.moves_per_vcpu_quantum * most).min(most);
        for request in moved {
            self.moves_left -= 1.0;
            if self.settings.cooldown_quanta > 0 {
                self.cooling.insert(request.vcpu, self.settings.cooldown_quanta);
            }
        }
    }
}
