//! What the mixture promises beyond the laws of all forecasters.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::counters::AddressSpace;

/// The share of the last `judged` quanta of `trace` that were forecast right, with `signals` of each quantum.
fn accuracy(trace: &[u32], signals: impl Fn(usize) -> Vec<Option<f64>>, judged: usize) -> f64 {
    let phases = trace.iter().max().map_or(1, |most| *most as usize + 1);
    let mut forecaster = Contexts::new(phases, &Settings::default());
    let mut right = 0;
    for (quantum, phase) in trace.iter().enumerate() {
        let said = forecaster.forecast(1).map(|forecast| forecast.most_likely());
        if quantum >= trace.len() - judged && said == Some(PhaseId(*phase)) {
            right += 1;
        }
        let signals = signals(quantum);
        forecaster.observe(&Observation {
            phase: PhaseId(*phase),
            instructions: 1,
            signals: &signals,
            address_space: None,
        });
    }
    f64::from(right) / judged as f64
}

#[test]
fn what_repeats_is_learned() {
    let trace: Vec<u32> = b"0011120".iter().cycle().take(200).map(|digit| u32::from(digit - b'0')).collect();
    assert!((accuracy(&trace, |_| Vec::new(), 100) - 1.0).abs() < 1e-9);
}

#[test]
fn a_round_of_no_whole_number_of_quanta_is_learned_from_numbers() {
    let wave = |quantum: usize| 1.0 + (quantum as f64 * std::f64::consts::TAU / 7.37).sin();
    let trace: Vec<u32> = (0..1500).map(|quantum| (wave(quantum) / 0.25) as u32).collect();
    let seeing = accuracy(&trace, |quantum| vec![Some(wave(quantum))], 500);
    let blind = accuracy(&trace, |_| Vec::new(), 500);
    assert!(seeing > 0.97, "{seeing}");
    assert!(seeing > blind, "{seeing} against {blind} from labels alone");
}

#[test]
fn several_quanta_ahead_a_repetition_is_still_exact() {
    let trace = |quantum: usize| PhaseId(u32::from(b"0011120"[quantum % 7] - b'0'));
    let mut forecaster = Contexts::new(3, &Settings::default());
    (0..300).for_each(|quantum| forecaster.observe(&Observation::of(trace(quantum), 1)));
    for ahead in 1..20u32 {
        let said = forecaster.forecast(ahead).expect("observed").most_likely();
        assert_eq!(said, trace(299 + ahead as usize), "{ahead} quanta ahead");
    }
}

#[test]
fn numbers_beyond_all_bounds_do_no_harm() {
    let mut forecaster = Contexts::new(2, &Settings::default());
    let wild = [f64::NAN, f64::INFINITY, -1e300, 1e300, 0.0, 1e-300, f64::MIN_POSITIVE];
    for quantum in 0..400 {
        let signals = [Some(wild[quantum % 7]), Some(wild[(quantum / 3) % 7])];
        forecaster.observe(&Observation {
            phase: PhaseId(u32::from(quantum % 5 == 0)),
            instructions: 1,
            signals: &signals,
            address_space: None,
        });
        let total: f64 = forecaster.forecast(1).expect("observed").iter().map(|(_, share)| share).sum();
        assert!((total - 1.0).abs() < 1e-9, "quantum {quantum}: {total}");
    }
}

#[test]
fn memory_is_fixed_from_the_first_quanta_on() {
    let mut forecaster = Contexts::new(16, &Settings::default());
    let phase = |quantum: u32| PhaseId((quantum.wrapping_mul(2_654_435_761) >> 13) % 16);
    (0..100).for_each(|quantum| forecaster.observe(&Observation::of(phase(quantum), 1)));
    let early = forecaster.memory_bytes();
    (100..20_000).for_each(|quantum| forecaster.observe(&Observation::of(phase(quantum), 1)));
    assert!(forecaster.memory_bytes() <= early + 4096, "{early} bytes became {}", forecaster.memory_bytes());
    assert!(early < 512 * 1024, "{early} bytes");
}

/// Phases that last for some ten quanta, with a glimpse of another now and then, so that last value is hard to beat.
fn restless() -> impl Iterator<Item = u32> {
    (0u32..4000).map(|quantum| {
        let drawn = quantum.wrapping_mul(2_654_435_761) >> 20;
        if drawn % 7 == 0 { 2 } else { (quantum / 97 + drawn / 4000) % 2 }
    })
}

#[test]
fn what_is_announced_leaves_the_coming_quantum_as_it_is() {
    let mut plain = Contexts::new(3, &Settings::default());
    let mut far = Contexts::new(3, &Settings::default()).looking_ahead(&[1, 4, 16, 4]);
    for phase in restless().take(300) {
        plain.observe(&Observation::of(PhaseId(phase), 1));
        far.observe(&Observation::of(PhaseId(phase), 1));
        assert_eq!(plain.forecast(1), far.forecast(1));
        assert_eq!(plain.forecast(3), far.forecast(3), "one that nobody announced");
    }
}

#[test]
fn far_ahead_an_announced_horizon_is_believed_as_far_as_it_earned() {
    let path: Vec<u32> = restless().collect();
    let right = |horizons: &[u32]| {
        let mut forecaster = Contexts::new(3, &Settings::default()).looking_ahead(horizons);
        let mut right = 0;
        for (quantum, phase) in path.iter().enumerate() {
            forecaster.observe(&Observation::of(PhaseId(*phase), 1));
            let said = forecaster.forecast(8).map(|forecast| forecast.most_likely().0);
            right += u32::from(path.get(quantum + 8).copied() == said);
        }
        right
    };
    let (learned, unlearned) = (right(&[8]), right(&[]));
    let last_value = path.iter().zip(&path[8..]).filter(|(now, then)| now == then).count();
    assert!(learned as usize > last_value && learned > unlearned, "{learned}, {unlearned}, last value {last_value}");
}

#[test]
fn an_announced_repetition_is_exact_however_far() {
    let trace = |quantum: usize| PhaseId(u32::from(b"0011120"[quantum % 7] - b'0'));
    let mut forecaster = Contexts::new(3, &Settings::default()).looking_ahead(&[4, 16]);
    for quantum in 0..400 {
        forecaster.observe(&Observation::of(trace(quantum), 1));
        for ahead in [4, 16] {
            let said = forecaster.forecast(ahead).expect("observed").most_likely();
            assert!(quantum < 200 || said == trace(quantum + ahead as usize), "{ahead} quanta ahead of {quantum}");
        }
    }
}

#[test]
fn only_so_many_horizons_are_learned() {
    let forecaster = Contexts::new(2, &Settings::default()).looking_ahead(&[2, 3, 4, 5, 6, 7]);
    assert_eq!(forecaster.outlooks.len(), 1 + HORIZONS_MOST);
    let bytes = |horizons: &[u32]| Contexts::new(2, &Settings::default()).looking_ahead(horizons).memory_bytes();
    assert_eq!(bytes(&[0, 1, AHEAD_MOST + 1]), bytes(&[]));
}

/// Two processes that take turns of 3 to 12 quanta, drawn at random. Each goes round its own phases, of which both have some,
/// while it has the vCPU, and on where it was when it comes back.
fn woven(quanta: usize) -> Vec<(u32, u64)> {
    let rounds: [&[u32]; 2] = [&[0, 0, 0, 1, 1, 2], &[3, 3, 1, 1, 1, 0, 0, 2]];
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut places, mut all, mut running) = ([0, 0], Vec::new(), 0);
    while all.len() < quanta {
        running = 1 - running;
        for _ in 0..rng.gen_range(3..12) {
            all.push((rounds[running][places[running] % rounds[running].len()], running as u64 + 1));
            places[running] += 1;
        }
    }
    // A quantum ends in the space that begins the next.
    let spaces: Vec<u64> = all.iter().skip(1).map(|(_, space)| *space).collect();
    all.into_iter().zip(spaces).map(|((phase, _), space)| (phase, space)).collect()
}

/// The share of the quanta after the first half that were forecast, and the forecaster's last word.
fn of_woven(by_space: bool, told: bool) -> (f64, Vec<f64>) {
    let mut forecaster = Contexts::new(4, &Settings { by_space, ..Settings::default() });
    let (mut right, mut judged) = (0, 0);
    let woven = woven(4000);
    for (quantum, (phase, space)) in woven.iter().enumerate() {
        if quantum > woven.len() / 2 {
            judged += 1;
            right += usize::from(forecaster.forecast(1).is_some_and(|coming| coming.most_likely().0 == *phase));
        }
        let address_space = AddressSpace::of_cr3(space << 13).filter(|_| told);
        forecaster.observe(&Observation { address_space, ..Observation::of(PhaseId(*phase), 1) });
    }
    (right as f64 / judged as f64, forecaster.forecast(1).expect("it was shown something").into())
}

#[test]
fn address_spaces_untangle_processes_that_take_turns() {
    let (with, without) = (of_woven(true, true).0, of_woven(false, true).0);
    assert!(with > without + 0.05, "{with} with address spaces, {without} without");
}

#[test]
fn address_spaces_that_are_not_known_or_not_heeded_change_nothing() {
    let plain = of_woven(false, false);
    assert_eq!(of_woven(true, false), plain, "not known");
    assert_eq!(of_woven(false, true), plain, "not heeded");
}

#[test]
fn address_spaces_have_no_say_in_what_lies_far_ahead() {
    let far = |by_space| {
        let settings = Settings { by_space, ..Settings::default() };
        let mut forecaster = Contexts::new(4, &settings).looking_ahead(&[4, 5]);
        for (phase, space) in woven(1000) {
            let address_space = AddressSpace::of_cr3(space << 13);
            forecaster.observe(&Observation { address_space, ..Observation::of(PhaseId(phase), 1) });
        }
        [4, 5].map(|quanta| forecaster.forecast(quanta).expect("it was shown something"))
    };
    let ([near, far_with], [near_without, far_without]) = (far(true), far(false));
    assert_ne!(near, near_without);
    assert_eq!(far_with, far_without);
}
