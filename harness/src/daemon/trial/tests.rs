//! Claims about trials, on progress that is made up.

use std::time::Duration;

use predictor::counters::{Event, GuestId, Reading, Readings, VcpuId};
use predictor::topology::DomainId;
use proptest::prelude::*;
use rand::Rng;

use super::*;

const SETTINGS: TrialSettings =
    TrialSettings { block_quanta: 6, settle_quanta: 2, pairs: 8, promised_gain: 0.0, rest_quanta: 50, seed: 1 };

fn sample(guest: u32, instructions: f64) -> Sample {
    Sample {
        vcpu: VcpuId { guest: GuestId(guest), index: 0 },
        domain: DomainId(0),
        elapsed: Duration::from_millis(100),
        readings: Readings::new([(Event::Instructions, Reading::Exact(instructions as u64))]),
        address_space: None,
        truth: None,
    }
}

/// Runs trials over `quanta` in which acting multiplies progress, with noise from quantum to quantum and from block to
/// block; all that was found.
fn play(settings: TrialSettings, factor: f64, quanta: u32, seed: u64) -> (Vec<Found>, Trial) {
    let mut trial = Trial::new(settings);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut level = [1.0; 3];
    let mut found = Vec::new();
    for quantum in 0..quanta {
        if quantum % settings.block_quanta == 0 {
            level = level.map(|_: f64| random.gen_range(0.8..1.2));
        }
        let factor = if trial.arm() == Arm::Acting { factor } else { 1.0 };
        let samples: Vec<Sample> = (0..3u32)
            .zip(level)
            .map(|(guest, level)| sample(guest, 1e8 * level * factor * random.gen_range(0.95..1.05)))
            .collect();
        found.extend(trial.observe(&samples));
    }
    (found, trial)
}

#[test]
fn a_gain_is_found_and_then_relied_on() {
    let (found, trial) = play(SETTINGS, 1.3, 8 * 2 * 6, 7);
    let [Found { verdict: Verdict::Helps, gain }] = found.as_slice() else { panic!("{found:?}") };
    assert!(gain.low < 0.3 && 0.3 < gain.high, "{gain:?}");
    let standing = trial.standing();
    assert_eq!((standing.arm, standing.is_testing, standing.quanta_left), (Arm::Acting, false, 50));
    assert_eq!((standing.vcpus, standing.measure), (3, Some(Measure::Instructions)));
}

#[test]
fn a_loss_stops_acting_and_is_tested_again_after_a_rest() {
    let (found, trial) = play(SETTINGS, 0.7, 8 * 2 * 6 + 49, 7);
    assert_eq!(found.iter().map(|found| found.verdict).collect::<Vec<_>>(), [Verdict::DoesNotHelp]);
    assert_eq!((trial.arm(), trial.standing().quanta_left), (Arm::Holding, 1));
    let (_, trial) = play(SETTINGS, 0.7, 8 * 2 * 6 + 50, 7);
    assert!(trial.standing().is_testing);
}

#[test]
fn a_gain_below_what_was_promised_is_not_enough() {
    let promising = TrialSettings { promised_gain: 0.5, ..SETTINGS };
    let (found, _) = play(promising, 1.2, 8 * 2 * 6, 7);
    assert_eq!(found.iter().map(|found| found.verdict).collect::<Vec<_>>(), [Verdict::DoesNotHelp]);
}

#[test]
fn the_first_quanta_of_a_block_count_for_neither() {
    let mut trial = Trial::new(TrialSettings { pairs: 2, ..SETTINGS });
    let mut found = Vec::new();
    for quantum in 0..4 * 6 {
        // Acting looks splendid, but only where it does not count.
        let is_settling = quantum % 6 < 2;
        let progress = if trial.arm() == Arm::Acting && is_settling { 1e9 } else { 1e8 + f64::from(quantum) };
        found.extend(trial.observe(&[sample(0, progress)]));
    }
    let gain = trial.standing().gain.expect("two pairs");
    assert!(gain.mean.abs() < 1e-6, "{gain:?} {found:?}");
}

#[test]
fn where_acting_changes_nothing_at_most_one_trial_in_twenty_ends_with_a_verdict() {
    let trials = 200u32;
    let one_trial = 64 * 2 * 6;
    let wrong = (0..trials).filter(|seed| {
        let settings = TrialSettings { seed: u64::from(*seed), ..SETTINGS };
        let (found, _) = play(settings, 1.0, one_trial, u64::from(*seed) + 1000);
        found.first().is_some_and(|found| found.verdict != Verdict::CannotTell)
    });
    let wrong = wrong.count();
    // 10 are allowed; 18 is where chance would lead once in a hundred times.
    assert!(wrong <= 18, "{wrong} of {trials}");
}

#[test]
fn pairs_in_which_nobody_can_be_compared_are_void() {
    let mut trial = Trial::new(SETTINGS);
    assert!((0..2 * 6).all(|_| trial.observe(&[]).is_none()));
    assert!((0..2 * 6).all(|_| trial.observe(&[sample(0, 0.0)]).is_none()));
    let standing = trial.standing();
    assert_eq!((standing.pairs, standing.void_pairs, standing.gain), (0, 2, None));
}

#[test]
fn who_comes_for_one_block_only_has_no_say() {
    let mut trial = Trial::new(SETTINGS);
    for quantum in 0..2 * 6 {
        let mut samples = vec![sample(0, 1e8)];
        if quantum < 6 {
            samples.push(sample(1, 5e8));
        }
        trial.observe(&samples);
    }
    assert_eq!((trial.standing().pairs, trial.standing().vcpus), (1, 1));
}

proptest! {
    #[test]
    fn each_pair_has_a_block_of_each_kind_and_the_same_seed_the_same_order(
        seed: u64, block_quanta in 2u32..9, pairs in 2u32..20
    ) {
        let settings = TrialSettings { block_quanta, settle_quanta: 1, pairs: 1000, seed, ..SETTINGS };
        let arms = || {
            let mut trial = Trial::new(settings);
            (0..2 * block_quanta * pairs).map(|_| { let arm = trial.arm(); trial.observe(&[]); arm }).collect::<Vec<_>>()
        };
        let arms = (arms(), arms());
        prop_assert_eq!(&arms.0, &arms.1);
        for pair in arms.0.chunks(2 * block_quanta as usize) {
            let (first, second) = pair.split_at(block_quanta as usize);
            prop_assert!(first.iter().all(|arm| *arm == first[0]) && second.iter().all(|arm| *arm == second[0]));
            prop_assert_ne!(first[0], second[0]);
        }
    }

    #[test]
    fn exchanging_what_the_arms_did_turns_the_sign(ratio in 0.2f64..5.0, pairs in 2u32..7) {
        let mean = |ratio: f64| {
            let mut trial = Trial::new(SETTINGS);
            for quantum in 0..pairs * 12 {
                let own = if trial.arm() == Arm::Acting { ratio } else { 1.0 };
                trial.observe(&[sample(0, 1e12 * own * (1.0 + 0.01 * f64::from(quantum % 3)))]);
            }
            trial.standing().gain.expect("two pairs").mean.ln_1p()
        };
        prop_assert!((mean(ratio) + mean(1.0 / ratio)).abs() < 1e-6);
    }
}
