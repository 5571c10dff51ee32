//! The claims of the page, each by its name.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::forecast::markov::{Markov, TransitionCounts};

fn taught(path: &[u32], phases: usize) -> HiddenMarkov {
    let mut model = HiddenMarkov::new(phases);
    path.iter().for_each(|phase| model.observe(&Observation::of(PhaseId(*phase), 1)));
    model
}

/// Phases 0 and 2 in runs of `run`; an eighth of the quanta, at random, show as 1 whichever it is.
fn noisy(quanta: u32, run: u32) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..quanta).map(|quantum| if rng.next_u32().is_multiple_of(8) { 1 } else { (quantum / run) % 2 * 2 }).collect()
}

fn accuracy(mut model: impl Forecaster, path: &[u32]) -> f64 {
    let mut right = 0;
    for phase in path {
        right += u32::from(model.forecast(1).is_some_and(|forecast| forecast.most_likely().0 == *phase));
        model.observe(&Observation::of(PhaseId(*phase), 1));
    }
    f64::from(right) / path.len() as f64
}

#[test]
fn labels_that_flip_at_random_are_forecast_better_than_by_a_chain_over_labels() {
    let path = noisy(4000, 40);
    let hidden = accuracy(HiddenMarkov::new(4), &path);
    let markov = accuracy(Markov::new(&TransitionCounts::new(4)), &path);
    assert!(hidden > markov + 0.02, "{hidden} and {markov}");
}

#[test]
fn a_phase_at_two_places_with_different_sequels_is_told_apart() {
    let path: Vec<u32> = (0..4000).map(|quantum| [0, 1, 0, 2][quantum % 4]).collect();
    let hidden = accuracy(HiddenMarkov::new(4), &path);
    let markov = accuracy(Markov::new(&TransitionCounts::new(4)), &path);
    assert!(hidden > 0.95 && markov < 0.8, "{hidden} and {markov}");
}

#[test]
fn memory_is_constant_however_long_it_runs_and_phases_beyond_the_states_are_noise() {
    let mut model = HiddenMarkov::new(40);
    let before = model.memory_bytes();
    for quantum in 0..5000u32 {
        model.observe(&Observation::of(PhaseId((quantum.wrapping_mul(2_654_435_761) >> 8) % 39), 1));
        let forecast = model.forecast(3).expect("observed");
        assert!((forecast.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
    assert_eq!(model.memory_bytes(), before);
    model.observe(&Observation::of(PhaseId(39), 1));
    assert_eq!(model.forecast(0), Some(Forecast::certain(PhaseId(39), 40)));
}

/// The probability of `path` by adding up every sequence of states.
fn every_path(model: &HiddenMarkov, path: &[PhaseId], start: &Row) -> f64 {
    let states = model.owners.len();
    let row = |from: usize| {
        let mut certain = [0.0; STATES_MOST];
        certain[from] = 1.0;
        model.chain.step(&certain)
    };
    let rows: Vec<Row> = (0..states).map(row).collect();
    let mut total = 0.0;
    for code in 0..states.pow(path.len() as u32) {
        let at = |step: usize| code / states.pow(step as u32) % states;
        let mut product = start[at(0)];
        for (step, phase) in path.iter().enumerate() {
            product *= model.shows[phase.index()][at(step)];
            if step > 0 {
                product *= rows[at(step - 1)][at(step)];
            }
        }
        total += product;
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn m_plus_n_quanta_ahead_is_m_and_then_n(path in prop::collection::vec(0u32..4, 2..200), m in 1u32..8, n in 0u32..8) {
        let model = taught(&path, 4);
        let staged = (0..n).fold(model.ahead(m), |now, _| model.chain.step(&now));
        for (direct, staged) in model.ahead(m + n).iter().zip(staged) {
            prop_assert!((direct - staged).abs() < 1e-12);
        }
    }

    #[test]
    fn the_forward_filter_agrees_with_adding_up_every_path(
        taught_by in prop::collection::vec(0u32..3, 64..150), path in prop::collection::vec(0u32..3, 1..6)
    ) {
        let model = taught(&[vec![0, 1, 2], taught_by].concat(), 3);
        let path: Vec<PhaseId> = path.into_iter().map(PhaseId).collect();
        let mut chain = model.chain.clone();
        chain.start = model.ahead(1);
        let mut shares: Vec<Row> = path.iter().map(|phase| model.shows[phase.index()]).collect();
        let expected = chain.expect(&mut shares, Lanes::Portable);
        let all = every_path(&model, &path, &chain.start);
        prop_assert!((expected.log_likelihood - all.ln()).abs() < 1e-9, "{} and {}", expected.log_likelihood, all.ln());
        for shares in &shares {
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        let moves: f64 = expected.moves.iter().flatten().sum();
        prop_assert!((moves - (path.len() - 1) as f64).abs() < 1e-9);
    }
}
