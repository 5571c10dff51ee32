//! Claims about miss-ratio curves, against Mattson's stack taken literally.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// The miss ratio of all references at each size: the stack as a list, searched from its top.
fn by_stack(references: &[u64], sizes: &[u64]) -> Vec<f64> {
    let mut stack: Vec<u64> = Vec::new();
    let mut hits = vec![0u64; sizes.len()];
    for line in references {
        if let Some(depth) = stack.iter().position(|other| other == line) {
            stack.remove(depth);
            hits.iter_mut().zip(sizes).for_each(|(hits, size)| *hits += u64::from((depth as u64) < *size));
        }
        stack.insert(0, *line);
    }
    hits.into_iter().map(|hits| 1.0 - hits as f64 / references.len() as f64).collect()
}

fn overall(sampling: Sampling, references: &[u64], sizes: &[u64]) -> Curve {
    let mut ratios = MissRatios::new(sampling, sizes.to_vec());
    references.iter().for_each(|line| ratios.reference(*line, 0));
    ratios.overall().expect("there are references")
}

/// Sizes from 16 to 4096 times `scale` lines.
fn sizes(scale: u64) -> Vec<u64> {
    (0..=32).map(|step| (16.0 * scale as f64 * 2f64.powf(f64::from(step) / 4.0)).round() as u64).collect()
}

/// References as of a program: a hot set of 300 times `scale` lines, a loop over 2000 times as many, and a stream.
fn workload(seed: u64, references: usize, scale: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut turn, mut fresh) = (0, 1 << 30);
    let mut one = || match rng.gen_range(0..10) {
        0..=4 => rng.gen_range(0..300 * scale),
        5..=8 => {
            turn = (turn + 1) % (2000 * scale);
            10_000 + turn
        }
        _ => {
            fresh += 1;
            fresh
        }
    };
    (0..references).map(|_| one()).collect()
}

#[test]
fn a_tenth_of_the_lines_gives_the_curve_of_all_within_a_few_hundredths() {
    // 23,000 lines again and again, of which 2,300 are followed: their number is right within about 2 %.
    let references = workload(1, 300_000, 10);
    let [exact, sampled] = [Sampling::EVERYTHING, Sampling::of(0.1).expect("a share")]
        .map(|sampling| overall(sampling, &references, &sizes(10)).miss_ratios);
    let errors: Vec<f64> = exact.iter().zip(&sampled).map(|(exact, sampled)| (exact - sampled).abs()).collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    // Of the 300 hot lines some 30 are sampled, and each stands for a thirtieth of their references: that is the noise. Programs
    // have more lines, and their curves are closer.
    assert!(mean < 0.05, "mean {mean:.4}: {errors:.3?}");
}

#[test]
fn a_share_of_lines_is_above_none_and_at_most_all() {
    assert_eq!([0.0, -0.1, 1.1, f64::NAN, 1e-9].map(Sampling::of), [None; 5]);
    assert_eq!(Sampling::of(1.0), Some(Sampling::EVERYTHING));
    assert_eq!(Sampling::of(0.25).map(Sampling::rate), Some(0.25));
}

#[test]
fn a_line_that_is_touched_without_being_asked_for_is_recent_all_the_same() {
    // Two lines in a cache of two; a third one comes in between and pushes the first out, unless that was touched.
    let misses = |touched: bool| {
        let mut ratios = MissRatios::new(Sampling::EVERYTHING, vec![2]);
        ratios.reference(1, 0);
        ratios.reference(2, 0);
        if touched {
            ratios.touch(1);
        }
        ratios.reference(3, 0);
        ratios.reference(1, 0);
        ratios.curve(0).expect("seen").miss_ratios[0] * 4.0
    };
    assert_eq!((misses(false), misses(true)), (4.0, 3.0));
}

#[test]
fn a_phase_that_made_no_reference_has_no_curve() {
    let mut ratios = MissRatios::new(Sampling::EVERYTHING, vec![1]);
    assert_eq!(ratios.overall(), None);
    ratios.reference(7, 3);
    assert_eq!((ratios.curve(0), ratios.phases().collect::<Vec<_>>()), (None, vec![3]));
}

proptest! {
    #[test]
    fn with_every_line_followed_it_is_mattsons_stack(
        references in proptest::collection::vec(0u64..60, 1..600),
        sizes in proptest::collection::btree_set(1u64..80, 1..8),
    ) {
        let sizes: Vec<u64> = sizes.into_iter().collect();
        let found = overall(Sampling::EVERYTHING, &references, &sizes).miss_ratios;
        for (found, expected) in found.iter().zip(by_stack(&references, &sizes)) {
            prop_assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    /// Long enough that times are closed up several times.
    #[test]
    fn closing_up_times_changes_nothing(seed in 0u64..1000) {
        let references = workload(seed, 6000, 1);
        let found = overall(Sampling::EVERYTHING, &references, &sizes(1)).miss_ratios;
        for (found, expected) in found.iter().zip(by_stack(&references, &sizes(1))) {
            prop_assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    #[test]
    fn a_curve_never_rises_with_size(seed in 0u64..1000, rate in 0.01f64..1.0) {
        let curve = overall(Sampling::of(rate).expect("a share"), &workload(seed, 3000, 1), &sizes(1));
        prop_assert!(curve.miss_ratios.windows(2).all(|pair| pair[1] <= pair[0]), "{curve:?}");
        prop_assert!(curve.miss_ratios.iter().all(|ratio| (0.0..=1.0).contains(ratio)));
    }

    #[test]
    fn phases_add_up_to_the_whole(references in proptest::collection::vec((0u64..50, 0u32..4), 1..400)) {
        let mut ratios = MissRatios::new(Sampling::EVERYTHING, vec![1, 5, 20, 60]);
        references.iter().for_each(|(line, phase)| ratios.reference(*line, *phase));
        let whole = ratios.overall().expect("there are references");
        let curves: Vec<Curve> = ratios.phases().filter_map(|phase| ratios.curve(phase)).collect();
        prop_assert_eq!(curves.iter().map(|curve| curve.references).sum::<u64>(), whole.references);
        for (place, ratio) in whole.miss_ratios.iter().enumerate() {
            let misses: f64 = curves.iter().map(|curve| curve.miss_ratios[place] * curve.references as f64).sum();
            prop_assert!((misses / whole.references as f64 - ratio).abs() < 1e-9);
        }
    }
}
