//! What the mixture promises beyond the laws of all forecasters.

use super::*;

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
        forecaster.observe(&Observation { phase: PhaseId(*phase), instructions: 1, signals: &signals });
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
