//! What the forest adds to the chain, and what it never does.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Runs of two phases, as long as a die says; the first signal rises in the last quantum of each.
fn announced(quanta: usize) -> Vec<(PhaseId, f64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut path = Vec::new();
    for run in 0u32.. {
        let length = rng.gen_range(2..12);
        path.extend((1..=length).map(|quantum| {
            let sign = if quantum == length { 1.0 } else { 0.0 };
            (PhaseId(run % 2), sign + rng.gen_range(-0.3..0.3))
        }));
        if path.len() >= quanta {
            break;
        }
    }
    path.truncate(quanta);
    path
}

/// The share of quanta after the first `skipped` whose phase was named.
fn accuracy(forecaster: &mut dyn Forecaster, path: &[(PhaseId, f64)], skipped: usize) -> f64 {
    let mut hits = 0;
    for (quantum, (phase, signal)) in path.iter().enumerate() {
        let named = forecaster.forecast(1).map(|forecast| forecast.most_likely());
        hits += usize::from(quantum >= skipped && named == Some(*phase));
        forecaster.observe(&Observation {
            phase: *phase,
            instructions: 1,
            signals: &[Some(*signal)],
            address_space: None,
        });
    }
    hits as f64 / (path.len() - skipped) as f64
}

#[test]
fn a_change_that_signals_announce_is_forecast() {
    let path = announced(600);
    let counts = TransitionCounts::new(2);
    let chain = accuracy(&mut Markov::new(&counts), &path, 300);
    let forest = accuracy(&mut ChangePredictor::new(&counts), &path, 300);
    assert!(chain < 0.9, "{chain}");
    assert!(forest > 0.98, "{forest}");
}

#[test]
fn the_same_quanta_grow_the_same_forest() {
    let path = announced(300);
    let [mut one, mut other] = [(); 2].map(|()| ChangePredictor::new(&TransitionCounts::new(2)));
    for (phase, signal) in path {
        let signals = [Some(signal)];
        let seen = Observation { phase, instructions: 1, signals: &signals, address_space: None };
        one.observe(&seen);
        other.observe(&seen);
        assert_eq!(one.forecast(1), other.forecast(1));
    }
    assert!(one.forest.is_some() && one.forests == 4);
}

#[test]
fn a_window_without_changes_leaves_the_word_to_the_chain() {
    let counts = TransitionCounts::new(3);
    let (mut predictor, mut markov) = (ChangePredictor::new(&counts), Markov::new(&counts));
    for quantum in 0..800 {
        let seen = Observation::of(PhaseId(u32::from(quantum < 20)), 1);
        predictor.observe(&seen);
        markov.observe(&seen);
    }
    assert!(predictor.forest.is_none());
    assert_eq!(predictor.forecast(2), markov.forecast(2));
}

#[test]
fn a_signal_that_was_not_read_is_as_it_was_before() {
    let seen = |signals: &[Option<f64>]| {
        read(&Observation { phase: PhaseId(0), instructions: 1, signals, address_space: None }, [7.0; 3])
    };
    assert_eq!(seen(&[Some(1.0), None]), [1.0, 7.0, 7.0]);
    assert_eq!(seen(&[Some(f64::NAN)]), [7.0; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_held_stays_within_the_bound(path in prop::collection::vec((0u32..3, -1.0f64..1.0), 1500)) {
        let mut predictor = ChangePredictor::new(&TransitionCounts::new(3));
        for (phase, signal) in path {
            predictor.observe(&Observation { phase: PhaseId(phase), instructions: 1, signals: &[Some(signal)], address_space: None });
            prop_assert!(predictor.window.len() <= WINDOW && predictor.memory_bytes() < 512 * 1024);
        }
    }
}
