//! A policy without a model: it knows who is at work and nothing else.

use super::rationale::Rationale;
use super::watch::Watch;
use super::{Decision, Policy, PolicyKind, load_balance, orders};
use crate::counters::Sample;

impl Policy {
    pub(super) fn observe_load(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.watches.get_mut(&sample.vcpu).into_iter().for_each(|watch| watch.observe_load(sample));
        }
        self.budget.refill(self.settings.moves_per_vcpu_quantum, self.watches.len());
        self.watches.values_mut().for_each(Watch::end_quantum);
    }

    /// What can be done by one who only knows who is at work.
    pub(super) fn without_model(&self) -> Decision {
        let pinned = self.pinned();
        let view = self.view(&pinned);
        let choice = orders::choose(&view, &self.rules).unwrap_or_else(|| match self.kind {
            PolicyKind::LoadBalance => load_balance::choose(&view),
            _ => view.stay(String::new()),
        });
        let rationale = Rationale {
            policy: self.kind,
            note: choice.note,
            pause_quanta: 0,
            cost_before: 0.0,
            cost_after: 0.0,
            vcpus: Vec::new(),
        };
        Decision { moves: self.moves_to(&choice.placement), forecasts: Vec::new(), rationale }
    }
}
