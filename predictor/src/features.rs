//! Rates per instruction that placement does not change, from counters that may be absent.
//!
//! Owns what a phase may be recognised by, and what it means that a counter is absent or a vCPU idle. Which phase a
//! vector belongs to is [`crate::phases`]' business.
//!
//! # What a phase may see
//!
//! A phase must stay the same phase when a neighbour arrives, or we would forecast our own actions. So features are
//! rates *per instruction* of what the core and its private caches do: loads, stores, first-level misses, references to
//! the shared cache. Cycles, misses of the shared cache and stalls depend on neighbours; they calibrate what a phase
//! costs (see [`crate::contention`]) and never say which phase it is. Nor does the kernel's share: timer ticks come with
//! time and not with work, so a slowed guest has more of them per instruction, and a phase of a few ticks a quantum
//! fell in two.
//!
//! # What absence means
//!
//! - Nothing retired, or the vCPU idle for more than [`IDLE_SHARE_BOUND`] of its cycles: [`Observed::Idle`]. Rates over
//!   almost no work are noise.
//! - A feature's counter absent, or counted for less than [`COVERAGE_BOUND`] of the quantum: [`Observed::Missing`], by
//!   name. Never zero: a guest without a counter would become the perfect neighbour.
//! - Idle cycles absent: the time on a CPU says as much, where the host knows it. Without either the sample is taken as
//!   it is, active if anything retired.
//!
//! How vectors become points between which distances may be taken is [`Scale`]'s business, and that of an optional
//! [`Projection`] after it.

mod projection;
mod scale;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::counters::{Event, Reading, Sample};

pub use self::projection::{Keep, Projection, ProjectionError, ProjectionParts, Share};
pub use self::scale::{SPREAD_FLOOR, Scale};

/// A vCPU idle for more than this share of its cycles, or of the time where its cycles are not counted, has no phase worth naming.
pub const IDLE_SHARE_BOUND: f64 = 0.9;

/// A counter that ran for less than this share of the quantum is taken as absent.
pub const COVERAGE_BOUND: f64 = 0.1;

/// One coordinate of a feature vector: an event per 1000 instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    /// What the shared cache is asked for.
    #[serde(rename = "llc_references_per_kilo_instruction")]
    LlcReferences,
    /// Misses of the private first-level cache.
    #[serde(rename = "l1_misses_per_kilo_instruction")]
    L1Misses,
    /// Data loads.
    #[serde(rename = "loads_per_kilo_instruction")]
    Loads,
    /// Data stores.
    #[serde(rename = "stores_per_kilo_instruction")]
    Stores,
}

impl Feature {
    /// Every feature, in the order in which vectors keep them.
    pub const ALL: [Feature; 4] = [Feature::LlcReferences, Feature::L1Misses, Feature::Loads, Feature::Stores];

    /// The event it is computed from, beside instructions.
    #[must_use]
    pub const fn event(self) -> Event {
        match self {
            Feature::LlcReferences => Event::LlcReferences,
            Feature::L1Misses => Event::L1Misses,
            Feature::Loads => Event::Loads,
            Feature::Stores => Event::Stores,
        }
    }
}

/// Events per 1000 instructions, in the order of the [`FeatureSet`] that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureVector(pub Vec<f64>);

/// What a sample says about a vCPU's phase.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// It worked, and this is what its work looked like.
    Active(FeatureVector),
    /// It did nothing, or too little to say.
    Idle,
    /// Instructions or these features' counters were not read.
    Missing(Vec<Event>),
}

/// The features in use: those that the counters at hand allow. Never empty, in the order of [`Feature::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Feature>", into = "Vec<Feature>")]
pub struct FeatureSet(Vec<Feature>);

/// A list of features that is no feature set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureSetError {
    /// The one feature that says what a vCPU asks of the shared cache.
    #[error("features must contain llc_references_per_kilo_instruction")]
    NoLlcReferences,
    /// The order says which coordinate is which.
    #[error("features must stand in their fixed order, each once")]
    Disordered,
}

impl FeatureSet {
    /// The features that `events` allow; `None` without instructions and LLC references, since nothing useful can be
    /// said about a vCPU then.
    #[must_use]
    pub fn of_events(events: &BTreeSet<Event>) -> Option<Self> {
        let present: Vec<Feature> =
            Feature::ALL.into_iter().filter(|feature| events.contains(&feature.event())).collect();
        if events.contains(&Event::Instructions) { Self::try_from(present).ok() } else { None }
    }

    /// The features, in order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.0
    }

    /// The events that must be counted for these features.
    #[must_use]
    pub fn events(&self) -> BTreeSet<Event> {
        self.0.iter().map(|feature| feature.event()).chain([Event::Instructions]).collect()
    }

    /// What `sample` says in these features.
    #[must_use]
    pub fn observe(&self, sample: &Sample) -> Observed {
        let missing: Vec<Event> =
            self.events().into_iter().filter(|event| usable(sample.readings.get(*event)).is_none()).collect();
        if idle_share(sample).is_some_and(|share| share > IDLE_SHARE_BOUND) {
            return Observed::Idle;
        }
        let Some(instructions) = usable(sample.readings.get(Event::Instructions)) else {
            return Observed::Missing(missing);
        };
        if instructions == 0.0 {
            return Observed::Idle;
        }
        let rates: Option<Vec<f64>> = self
            .0
            .iter()
            .map(|feature| Some(usable(sample.readings.get(feature.event()))? * 1000.0 / instructions))
            .collect();
        rates.map_or(Observed::Missing(missing), |rates| Observed::Active(FeatureVector(rates)))
    }
}

impl TryFrom<Vec<Feature>> for FeatureSet {
    type Error = FeatureSetError;

    fn try_from(features: Vec<Feature>) -> Result<Self, Self::Error> {
        if !features.contains(&Feature::LlcReferences) {
            return Err(FeatureSetError::NoLlcReferences);
        }
        if !features.is_sorted_by(|a, b| a < b) {
            return Err(FeatureSetError::Disordered);
        }
        Ok(Self(features))
    }
}

impl From<FeatureSet> for Vec<Feature> {
    fn from(set: FeatureSet) -> Self {
        set.0
    }
}

fn usable(reading: Reading) -> Option<f64> {
    match reading {
        Reading::Scaled { coverage, .. } if coverage < COVERAGE_BOUND => None,
        reading => reading.count().map(|count| count as f64),
    }
}

/// Whether the vCPU did next to nothing, as far as what was counted tells; one of which nothing was counted is not idle.
#[must_use]
pub fn is_idle(sample: &Sample) -> bool {
    let retired = sample.count(Event::Instructions);
    retired == Some(0) || idle_share(sample).is_some_and(|share| share > IDLE_SHARE_BOUND)
}

/// Idle cycles as a share of all cycles, where both were read and any passed; else the share of the time in which the
/// vCPU was on no CPU, where the host says.
fn idle_share(sample: &Sample) -> Option<f64> {
    let of_cycles = || {
        let idle = sample.count(Event::IdleCycles)? as f64;
        let all = idle + sample.count(Event::Cycles)? as f64;
        (all > 0.0).then(|| idle / all)
    };
    let of_time = || {
        let running = sample.count(Event::RunningNanoseconds)? as f64;
        let all = sample.elapsed.as_nanos() as f64;
        (all > 0.0).then(|| 1.0 - (running / all).min(1.0))
    };
    of_cycles().or_else(of_time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::counters::{GuestId, Readings, VcpuId};
    use crate::topology::DomainId;

    #[test]
    fn without_counters_the_time_on_a_cpu_tells_idle_from_unknown() {
        let features = FeatureSet::of_events(&Event::ALL.into()).expect("all events are there");
        let observe = |running: u64| features.observe(&sample(&[(Event::RunningNanoseconds, Reading::Exact(running))]));
        assert_eq!(observe(0), Observed::Idle);
        assert!(matches!(observe(5_000_000), Observed::Missing(_)), "it ran; nobody knows what");
    }

    fn sample(readings: &[(Event, Reading)]) -> Sample {
        Sample {
            vcpu: VcpuId { guest: GuestId(0), index: 0 },
            domain: DomainId(0),
            elapsed: Duration::from_millis(5),
            readings: Readings::new(readings.iter().copied()),
            address_space: None,
            truth: None,
        }
    }

    fn all() -> FeatureSet {
        FeatureSet::of_events(&Event::ALL.into()).expect("all events are there")
    }

    fn busy(cycles: u64, llc_misses: u64) -> Vec<(Event, Reading)> {
        vec![
            (Event::Instructions, Reading::Exact(1_000_000)),
            (Event::KernelInstructions, Reading::Exact(2_000)),
            (Event::Cycles, Reading::Exact(cycles)),
            (Event::IdleCycles, Reading::Exact(0)),
            (Event::Loads, Reading::Exact(250_000)),
            (Event::Stores, Reading::Exact(100_000)),
            (Event::L1Misses, Reading::Exact(30_000)),
            (Event::LlcReferences, Reading::Exact(12_000)),
            (Event::LlcMisses, Reading::Exact(llc_misses)),
            (Event::StallCycles, Reading::Exact(cycles / 2)),
        ]
    }

    #[test]
    fn features_are_rates_per_thousand_instructions() {
        let seen = all().observe(&sample(&busy(1_000_000, 0)));
        assert_eq!(seen, Observed::Active(FeatureVector(vec![12.0, 30.0, 250.0, 100.0])));
    }

    proptest! {
        #[test]
        fn contention_does_not_change_what_is_seen(cycles in 500_000u64..50_000_000, misses in 0u64..12_000) {
            let alone = all().observe(&sample(&busy(500_000, 0)));
            prop_assert_eq!(all().observe(&sample(&busy(cycles, misses))), alone);
        }

        #[test]
        fn any_absent_feature_is_named_and_never_zero(absent in 0usize..4) {
            let event = Feature::ALL[absent].event();
            let readings: Vec<_> = busy(1_000_000, 0).into_iter().filter(|(read, _)| *read != event).collect();
            prop_assert_eq!(all().observe(&sample(&readings)), Observed::Missing(vec![event]));
        }
    }

    #[test]
    fn a_vcpu_that_did_nothing_is_idle_and_not_a_phase() {
        let mut readings = busy(1_000_000, 0);
        readings.push((Event::Instructions, Reading::Exact(0)));
        assert_eq!(all().observe(&sample(&readings)), Observed::Idle);
        let mut readings = busy(1_000_000, 0);
        readings.push((Event::IdleCycles, Reading::Exact(10_000_000)));
        assert_eq!(all().observe(&sample(&readings)), Observed::Idle);
    }

    #[test]
    fn a_counter_that_hardly_ran_counts_as_absent() {
        let mut readings = busy(1_000_000, 0);
        readings.push((Event::Loads, Reading::Scaled { estimate: 250_000, coverage: 0.01 }));
        assert_eq!(all().observe(&sample(&readings)), Observed::Missing(vec![Event::Loads]));
    }

    #[test]
    fn a_host_with_fewer_counters_has_fewer_features_but_needs_llc_references() {
        let few = [Event::Instructions, Event::Cycles, Event::LlcReferences].into();
        assert_eq!(FeatureSet::of_events(&few).expect("enough").features(), [Feature::LlcReferences]);
        assert_eq!(FeatureSet::of_events(&[Event::Instructions, Event::Loads].into()), None);
    }
}
