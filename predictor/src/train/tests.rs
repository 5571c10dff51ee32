//! What is learned from runs alone is what the runs were made of.

use super::*;
use crate::counters::Readings;
use crate::forecast::run_length::RunCount;
use crate::scenes::{Guest, Kind, MACHINE, changing_partners, solo};

#[test]
fn phases_pressures_and_durations_are_those_of_the_programs() {
    let guest = Guest::new(&[Kind::Compute.quanta(10.0), Kind::Chase.quanta(5.0), Kind::Stream.quanta(10.0)]);
    let model = train(&solo(&[guest], 150), &MACHINE, &TrainSettings::default()).expect("enough samples");
    let parts = model.parts();
    assert_eq!(parts.phases.len(), 3, "{:?}", parts.pressures);
    let cpis: Vec<f64> = parts.pressures.iter().map(|pressure| pressure.cycles_per_instruction).collect();
    for (found, true_cpi) in cpis.iter().zip([0.5, 1.2, 7.0]) {
        assert!((found / true_cpi - 1.0).abs() < 0.05, "{cpis:?}");
    }
    let RunCount { phase, next, bucket, .. } = parts.run_lengths.runs().next().expect("runs ended");
    assert_eq!((phase, next), (PhaseId(0), PhaseId(2)));
    assert!((bucket / 4).abs_diff(10) <= 1, "{bucket} quarters of a quantum");
}

#[test]
fn the_same_samples_and_seed_give_the_same_model() {
    let series = solo(&changing_partners(), 80);
    let once = train(&series, &MACHINE, &TrainSettings::default()).expect("enough samples");
    assert_eq!(train(&series, &MACHINE, &TrainSettings::default()).expect("enough samples"), once);
}

#[test]
fn too_few_samples_are_refused_with_how_many_are_needed() {
    let series = solo(&changing_partners()[..1], 3);
    let refused = train(&series, &MACHINE, &TrainSettings::default()).expect_err("3 samples");
    assert_eq!(refused, TrainError::TooFewSamples { found: 3, needed: 20 });
    assert_eq!(
        train(&[], &MACHINE, &TrainSettings::default()).map(drop).map_err(|error| error.to_string()).unwrap_err(),
        "failed to train: 0 samples of vCPUs at work, at least 20 are needed; record longer runs"
    );
}

#[test]
fn a_series_without_a_needed_counter_is_refused_by_name() {
    let mut series = solo(&changing_partners()[..2], 30);
    for sample in &mut series[1].samples {
        let kept = sample.readings.iter().filter(|(event, _)| *event != Event::LlcMisses);
        sample.readings = Readings::new(kept.collect::<Vec<_>>());
    }
    let refused = train(&series, &MACHINE, &TrainSettings::default()).expect_err("no LLC misses");
    assert_eq!(
        refused.to_string(),
        "failed to train: no sample of guest-1 counts all of llc_misses; record it on a host that does"
    );
}

#[test]
fn a_feature_that_one_series_lacks_is_not_used() {
    let mut series = solo(&changing_partners()[..2], 30);
    for sample in &mut series[1].samples {
        let kept = sample.readings.iter().filter(|(event, _)| *event != Event::Stores);
        sample.readings = Readings::new(kept.collect::<Vec<_>>());
    }
    let model = train(&series, &MACHINE, &TrainSettings::default()).expect("enough is left");
    assert!(!model.events_required().contains(&Event::Stores));
}
