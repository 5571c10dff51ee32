//! Whoever is predicted to gain more than a move costs is moved: the reactive and the predictive policy.
//!
//! Owns what is expected of the coming quanta. Finding the placement is [`crate::placement`]'s business.
//!
//! # Problem
//!
//! A move costs once and gains as long as the placement suits the phases. What ends in the next quantum is not worth a
//! move; what begins there and lasts is worth it now.
//!
//! # Method
//!
//! ```text
//! gain(step) = sum over h up to `end` of share(h) * (cost(here, demands at h) - cost(there, demands at h))
//!              - moves * migration_cost_quanta / horizon_quanta
//!              - what is lost after `end`, or the price of going back where that is less
//! ```
//!
//! - `end` is whichever is best ([`crate::placement`]): a placement that suits for a while may be left again.
//! - `h` are 1, 2, 4, ... up to the horizon; `share(h)` is the part of the horizon from the `h` before to this one.
//! - `demands at h`: *predictive* takes the mean over the phases forecast for `h` quanta ahead; *reactive* takes the last phase
//!   for all of them. That is the only difference between the two.
//! - A step is taken if it gains at least `min_gain_share` of the slowdowns it touches and begins to gain in the coming
//!   quantum: what only begins to pay later is looked at again until then.
//!
//! # When forecasts are not acted on
//!
//! Where the forecast for a point ahead is unsure ([`super::Settings::min_confidence`]), what was expected at the point before
//! goes on, and at first the last phase; where the forecasts of a vCPU did worse than the last value of late (`trust`), its
//! last phase stands in for all. So a vCPU that cannot be forecast makes predictive no worse than reactive, and the others
//! keep their foresight. It has to be sure indeed: a move that follows a change which does not come costs what the move does and
//! one back, while a change that is missed costs one quantum. `phasecast survey sweep --over forecast-quality` has the
//! figure.
//!
//! # Properties
//!
//! With last value as its forecaster, predictive decides as reactive does. A gain that ends next quantum moves nobody; one
//! that begins next quantum and lasts does, at once.
//!
//! # Reference
//!
//! The cost-benefit of A-DRM (Wang et al., VEE 2015), with phases forecast in place of a mean.

use std::collections::BTreeMap;

use super::kind::PolicyKind;
use super::settings::Settings;
use super::watch::Watch;
use crate::counters::VcpuId;
use crate::model::Model;
use crate::placement::Stretch;

/// What everybody will ask for over the horizon.
pub(super) fn outlook(
    kind: PolicyKind,
    settings: &Settings,
    model: &Model,
    watches: &BTreeMap<VcpuId, Watch>,
) -> Vec<Stretch> {
    if kind != PolicyKind::Predictive {
        let demands = watches.iter().map(|(vcpu, watch)| (*vcpu, watch.lasting_demand(model))).collect();
        let phases = watches.iter().filter_map(|(vcpu, watch)| Some((*vcpu, watch.phase()?))).collect();
        return vec![Stretch { share: 1.0, demands, phases }];
    }
    let points = settings.points();
    let stretch = |(place, (_, share)): (usize, &(u32, f64))| Stretch {
        share: *share,
        demands: watches.iter().map(|(vcpu, watch)| (*vcpu, watch.expected_demand(model, place))).collect(),
        phases: watches.iter().filter_map(|(vcpu, watch)| Some((*vcpu, watch.expected_phase(place)?))).collect(),
    };
    points.iter().enumerate().map(stretch).collect()
}
