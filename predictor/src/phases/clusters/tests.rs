//! Phases are found where there are some, and only there.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};

use super::*;
use crate::counters::Event;

fn features() -> FeatureSet {
    FeatureSet::of_events(&Event::ALL.into()).expect("all events are there")
}

/// `count` vectors around each of `centres`, each rate off by at most `noise` of itself.
fn around(centres: &[[f64; 5]], count: usize, noise: f64, seed: u64) -> Vec<FeatureVector> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut vector = |centre: &[f64; 5]| {
        FeatureVector(centre.iter().map(|rate| rate * (1.0 + noise * (2.0 * rng.r#gen::<f64>() - 1.0))).collect())
    };
    (0..count).flat_map(|_| centres.iter().map(&mut vector).collect::<Vec<_>>()).collect()
}

fn fit(vectors: &[FeatureVector], seed: u64) -> PhaseModel {
    fit_by(Backend::Own, None, vectors, seed)
}

fn fit_by(backend: Backend, components: Option<Keep>, vectors: &[FeatureVector], seed: u64) -> PhaseModel {
    let settings = PhaseSettings { backend, counts: 1..=10, restarts: 8, components };
    PhaseModel::fit(features(), vectors, &settings, &ChaCha8Rng::seed_from_u64(seed))
}

const MEMORY: [f64; 5] = [40.0, 60.0, 300.0, 50.0, 2.0];
const COMPUTE: [f64; 5] = [0.02, 1.0, 200.0, 80.0, 2.0];
const STENCIL: [f64; 5] = [9.0, 25.0, 400.0, 200.0, 2.0];

#[test]
fn three_kinds_of_work_are_three_phases_lightest_first() {
    let model = fit(&around(&[MEMORY, COMPUTE, STENCIL], 60, 0.1, 1), 7);
    assert_eq!(model.len(), 3);
    let phase = |rates: [f64; 5]| model.classify(&FeatureVector(rates.into())).phase;
    assert_eq!([phase(COMPUTE), phase(STENCIL), phase(MEMORY)], [PhaseId(0), PhaseId(1), PhaseId(2)]);
}

#[test]
fn one_kind_of_work_is_one_phase() {
    assert_eq!(fit(&around(&[STENCIL], 100, 0.05, 3), 7).len(), 1);
}

#[test]
fn vectors_all_equal_are_one_phase() {
    let model = fit(&vec![FeatureVector(MEMORY.into()); 50], 7);
    assert_eq!(model.len(), 1);
    assert_eq!(model.classify(&FeatureVector(MEMORY.into())).distance, 0.0);
}

#[test]
fn work_unlike_any_in_training_is_novel() {
    let model = fit(&around(&[COMPUTE, STENCIL], 60, 0.1, 1), 7);
    assert!(!model.classify(&FeatureVector(STENCIL.into())).is_novel());
    assert!(model.classify(&FeatureVector(vec![500.0, 600.0, 900.0, 1.0, 700.0])).is_novel());
}

#[test]
fn both_backends_find_the_same_phases_where_these_are_plain() {
    let vectors = around(&[MEMORY, COMPUTE, STENCIL], 60, 0.1, 1);
    let by = |backend| fit_by(backend, None, &vectors, 7).centroids;
    let (own, linfa) = (by(Backend::Own), by(Backend::Linfa));
    assert_eq!(own.len(), linfa.len());
    for (own, linfa) in own.iter().flatten().zip(linfa.iter().flatten()) {
        assert!((own - linfa).abs() < 1e-9, "{own} and {linfa}");
    }
}

fn keep(text: &str) -> Option<Keep> {
    Some(text.parse().expect("a number or a share"))
}

#[test]
fn two_components_tell_three_plain_phases_apart_lightest_first() {
    let model = fit_by(Backend::Own, keep("2"), &around(&[MEMORY, COMPUTE, STENCIL], 60, 0.1, 1), 7);
    assert!(model.centroids.iter().all(|centroid| centroid.len() == 2));
    let phase = |rates: [f64; 5]| model.classify(&FeatureVector(rates.into())).phase;
    assert_eq!([phase(COMPUTE), phase(STENCIL), phase(MEMORY)], [PhaseId(0), PhaseId(1), PhaseId(2)]);
}

#[test]
fn all_components_are_a_rotation_and_change_no_phase() {
    let vectors = around(&[MEMORY, COMPUTE, STENCIL], 60, 0.1, 1);
    let (plain, rotated) = (fit(&vectors, 7), fit_by(Backend::Own, keep("1.0"), &vectors, 7));
    for vector in &vectors {
        let (one, other) = (plain.classify(vector), rotated.classify(vector));
        assert_eq!(one.phase, other.phase);
        assert!((one.distance - other.distance).abs() < 1e-6 && (one.novelty - other.novelty).abs() < 1e-6);
    }
}

#[test]
fn novelty_sees_what_the_projection_leaves_out() {
    let model = fit_by(Backend::Own, keep("1"), &around(&[COMPUTE, MEMORY], 60, 0.1, 1), 7);
    // The fifth rate hardly varied in training, so that no component looks along it.
    let [references, misses, loads, stores, _] = MEMORY;
    let strange = FeatureVector(vec![references, misses, loads, stores, 400.0]);
    let projection = model.projection.as_ref().expect("the vectors vary");
    let beside = projection.project(&model.scale.point(&strange))[0]
        - projection.project(&model.scale.point(&FeatureVector(MEMORY.into())))[0];
    assert!(beside.abs() < 1.0, "{beside} along the component");
    assert!(model.classify(&strange).is_novel());
    assert!(!model.classify(&FeatureVector(MEMORY.into())).is_novel());
}

#[test]
fn vectors_that_do_not_vary_have_no_projection() {
    let model = fit_by(Backend::Own, keep("2"), &vec![FeatureVector(MEMORY.into()); 50], 7);
    assert_eq!((model.projection, model.centroids.len()), (None, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_same_seed_gives_the_same_phases_and_another_seed_the_same_kinds(seed in 0u64..1000) {
        let vectors = around(&[MEMORY, COMPUTE, STENCIL], 40, 0.1, 5);
        let model = fit(&vectors, seed);
        prop_assert_eq!(&fit(&vectors, seed), &model);
        prop_assert_eq!(model.len(), 3);
    }

    #[test]
    fn every_centroid_belongs_to_its_own_phase(count in 2usize..40, noise in 0.0f64..0.5, seed in 0u64..1000) {
        let model = fit(&around(&[MEMORY, COMPUTE], count, noise, seed), seed);
        for (index, centroid) in model.centroids.iter().enumerate() {
            prop_assert_eq!(nearest(centroid, &model.centroids).0, index);
        }
    }
}
