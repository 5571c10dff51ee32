//! The claims of the page, each by its name.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::simd::PortableDoubles;

/// A model of `states` states whose centres lie along a line, and a sequence that wanders among them.
fn scene(states: usize, dimensions: usize, steps: usize, seed: u64) -> (GaussianHmm, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let others = 0.3 / (states as f64 - 1.0).max(1.0);
    let stay = if states > 1 { 0.7 } else { 1.0 };
    let row = |from: usize| (0..states).map(|to| if to == from { stay } else { others }).collect();
    let means: Vec<Vec<f64>> = (0..states).map(|state| vec![state as f64 * 1.5; dimensions]).collect();
    let mut state = 0;
    let mut sequence = Vec::new();
    for _ in 0..steps {
        if rng.r#gen::<f64>() < 0.2 {
            state = (rng.r#gen::<f64>() * states as f64) as usize;
        }
        sequence.extend(means[state].iter().map(|mean| mean + 2.0 * (rng.r#gen::<f64>() - 0.5)));
    }
    let model = GaussianHmm::new(
        vec![1.0 / states as f64; states],
        (0..states).map(row).collect(),
        means,
        vec![vec![1.0; dimensions]; states],
    );
    (model.expect("sound"), sequence)
}

fn log_density(point: &[f64], mean: &[f64], variance: &[f64]) -> f64 {
    let terms = point.iter().zip(mean).zip(variance);
    terms.map(|((x, m), v)| -0.5 * ((x - m).powi(2) / v + (std::f64::consts::TAU * v).ln())).sum()
}

fn every_path(model: &GaussianHmm, sequence: &[f64]) -> f64 {
    let (states, dimensions) = (model.start.len(), model.means[0].len());
    let steps = sequence.len() / dimensions;
    let mut total = 0.0;
    for code in 0..states.pow(steps as u32) {
        let at = |step: usize| code / states.pow(step as u32) % states;
        let mut product = model.start[at(0)];
        for (step, point) in sequence.chunks(dimensions).enumerate() {
            product *= log_density(point, &model.means[at(step)], &model.variances[at(step)]).exp();
            if step > 0 {
                product *= model.transitions[at(step - 1)][at(step)];
            }
        }
        total += product;
    }
    total.ln()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_likelihood_is_that_of_adding_up_every_path(
        states in 1usize..4, dimensions in 1usize..3, steps in 1usize..7, seed in 0u64..1000
    ) {
        let (model, sequence) = scene(states, dimensions, steps, seed);
        let ours = model.baum_welch(&[&sequence], 1, Lanes::widest()).expect("sound").log_likelihoods[0];
        let all = every_path(&model, &sequence);
        prop_assert!((ours - all).abs() < 1e-9 * all.abs().max(1.0), "{ours} and {all}");
    }

    #[test]
    fn a_step_never_lowers_the_likelihood(
        states in 1usize..7, dimensions in 1usize..4, steps in 30usize..200, seed in 0u64..1000
    ) {
        let (model, sequence) = scene(states, dimensions, steps, seed);
        let half = sequence.len() / dimensions / 2 * dimensions;
        let trained = model.baum_welch(&[&sequence[..half], &sequence[half..]], 15, Lanes::widest()).expect("sound");
        let floored = trained.model.variances.iter().flatten().any(|variance| *variance <= 2.0 * VARIANCE_FLOOR);
        for pair in trained.log_likelihoods.windows(2) {
            prop_assert!(floored || pair[1] >= pair[0] - 1e-7 * pair[0].abs(), "{:?}", trained.log_likelihoods);
        }
    }

    #[test]
    fn portable_and_avx2_agree_bit_by_bit(states in 1usize..20, dimensions in 1usize..6, seed in 0u64..1000) {
        let (model, sequence) = scene(states, dimensions, 100, seed);
        let by = |lanes| model.baum_welch(&[&sequence], 3, lanes).expect("sound");
        prop_assert_eq!(by(Lanes::Portable), by(Lanes::widest()));
    }

    #[test]
    fn the_exponential_is_that_of_the_library(x in -800.0f64..0.0) {
        let (ours, theirs) = (exp(PortableDoubles::splat(x)).store()[0], x.max(-700.0).exp());
        prop_assert!((ours - theirs).abs() <= 5e-16 * theirs, "{x}: {ours} and {theirs}");
    }
}

#[test]
fn an_outlier_leaves_the_likelihood_finite() {
    let (model, mut sequence) = scene(3, 2, 50, 1);
    sequence[20] = 1e6;
    let trained = model.baum_welch(&[&sequence], 5, Lanes::widest()).expect("finite");
    assert!(trained.log_likelihoods.iter().all(|likelihood| likelihood.is_finite()));
}

#[test]
fn models_and_sequences_that_make_no_sense_are_refused() {
    let new = |start: &[f64], row: &[f64], variance: f64| {
        let count = start.len();
        GaussianHmm::new(start.to_vec(), vec![row.to_vec(); count], vec![vec![0.0]; count], vec![vec![variance]; count])
    };
    assert_eq!(new(&[], &[], 1.0), Err(HmmError::States));
    assert_eq!(new(&[0.5, 0.5], &[1.0], 1.0), Err(HmmError::States));
    assert_eq!(new(&[0.5, 0.4], &[0.5, 0.5], 1.0), Err(HmmError::Probabilities));
    assert_eq!(new(&[1.0], &[1.0], 0.0), Err(HmmError::Densities));
    let model = new(&[1.0], &[1.0], 1.0).expect("sound");
    assert_eq!(model.baum_welch(&[&[1.0], &[f64::NAN]], 1, Lanes::Portable), Err(HmmError::Sequence(1)));
}
