//! Forecasts as prose: a trace in letters, and under it what was said the quantum before. `.` is the phase that was
//! said, where it is what came; a letter is a wrong forecast; `?` stands before anything was observed.

use proptest::prelude::*;

use super::*;

const QUANTUM: u64 = 1_000_000;

fn untaught(phases: usize) -> RunLengthMarkov {
    RunLengthMarkov::new(&TransitionCounts::new(phases), &RunLengths::new(&vec![QUANTUM; phases]))
}

fn letter(phase: PhaseId) -> char {
    char::from(b'A' + u8::try_from(phase.0).expect("few phases"))
}

/// What `forecaster` says before each quantum of `trace`, retiring `instructions` in each.
fn said(forecaster: &mut dyn Forecaster, trace: &str, instructions: u64) -> String {
    let mut said = String::new();
    for came in trace.bytes().map(|letter| PhaseId(u32::from(letter - b'A'))) {
        said.push(match forecaster.forecast(1).map(|forecast| forecast.most_likely()) {
            None => '?',
            Some(phase) if phase == came => '.',
            Some(phase) => letter(phase),
        });
        forecaster.observe(&Observation::of(came, instructions));
    }
    said
}

#[test]
fn after_one_round_the_end_of_each_phase_is_called() {
    let said = said(&mut untaught(2), "AAABBBAAABBBAAABBB", QUANTUM);
    //               AAABBBAAABBBAAABBB
    assert_eq!(said, "?..A..B...........");
}

#[test]
fn phases_of_different_length_end_each_in_their_own_time() {
    let said = said(&mut untaught(2), "AAAAABBAAAAABBAAAAABBAAAAABB", QUANTUM);
    //               AAAAABBAAAAABBAAAAABBAAAAABB
    assert_eq!(said, "?....A.B....................");
}

#[test]
fn a_phase_that_outlasts_all_before_is_expected_to_go_on() {
    let said = said(&mut untaught(2), "AABAABAAAAAAAA", QUANTUM);
    //               AABAABAAAAAAAA
    assert_eq!(said, "?.AB....B.....");
}

#[test]
fn a_change_is_called_at_the_same_work_when_contention_halves_the_pace() {
    let mut forecaster = untaught(2);
    said(&mut forecaster, "AAAABBBBAAAABBBBAAAABBBB", QUANTUM);
    let slowed = said(&mut forecaster, "AAAAAAAABBBBBBBBAAAAAAAA", QUANTUM / 2);
    //                 AAAAAAAABBBBBBBBAAAAAAAA
    assert_eq!(slowed, "........................");
}

#[test]
fn what_training_saw_calls_the_first_change_too() {
    let mut lengths = RunLengths::new(&[QUANTUM; 2]);
    let mut transitions = TransitionCounts::new(2);
    for _ in 0..5 {
        lengths.record(PhaseId(0), 3 * QUANTUM, PhaseId(1));
        lengths.record(PhaseId(1), 2 * QUANTUM, PhaseId(0));
        [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0)]
            .iter()
            .for_each(|(from, to)| transitions.record(PhaseId(*from), PhaseId(*to)));
    }
    let said = said(&mut RunLengthMarkov::new(&transitions, &lengths), "AAABBAAABB", QUANTUM);
    //               AAABBAAABB
    assert_eq!(said, "?.........");
}

#[test]
fn two_runs_of_its_own_outvote_what_other_programs_did() {
    let mut lengths = RunLengths::new(&[QUANTUM; 2]);
    (0..100).for_each(|_| lengths.record(PhaseId(0), 3 * QUANTUM, PhaseId(1)));
    let mut forecaster = RunLengthMarkov::new(&TransitionCounts::new(2), &lengths);
    said(&mut forecaster, "AAAAAABAAAAAABAAAAAAB", QUANTUM);
    let later = said(&mut forecaster, "AAAAAABAAAAAAB", QUANTUM);
    assert_eq!(later, "..............");
}

#[test]
fn the_run_table_reads_back_equal() {
    let mut lengths = RunLengths::new(&[QUANTUM, 333]);
    lengths.record(PhaseId(0), 3 * QUANTUM, PhaseId(1));
    lengths.record(PhaseId(1), 7, PhaseId(0));
    let lengths = lengths.weighing_at_most(0.3);
    let text = serde_json::to_string(&lengths).expect("plain data");
    assert_eq!(serde_json::from_str::<RunLengths>(&text).expect("own text"), lengths);
}

proptest! {
    #[test]
    fn without_evidence_it_is_first_order_markov(first in 0u32..3, quanta in 0u32..6) {
        let mut durations = untaught(3);
        let mut chain = Markov::new(&TransitionCounts::new(3));
        durations.observe(&Observation::of(PhaseId(first), QUANTUM));
        chain.observe(&Observation::of(PhaseId(first), QUANTUM));
        let (ours, theirs) = (durations.forecast(quanta).expect("seen"), chain.forecast(quanta).expect("seen"));
        for (phase, probability) in ours.iter() {
            prop_assert!((probability - theirs.probability(phase)).abs() < 1e-9);
        }
    }

    #[test]
    fn forecasts_sum_to_one_at_every_horizon(
        path in prop::collection::vec((0u32..4, 1u64..3 * QUANTUM), 1..80), quanta in 0u32..17
    ) {
        let mut forecaster = untaught(4);
        path.iter().for_each(|(phase, instructions)| forecaster.observe(&Observation::of(PhaseId(*phase), *instructions)));
        let forecast = forecaster.forecast(quanta).expect("seen");
        let total: f64 = forecast.iter().map(|(_, probability)| probability).sum();
        prop_assert!((total - 1.0).abs() < 1e-9);
        prop_assert!(forecast.iter().all(|(_, probability)| (0.0..=1.0).contains(&probability)));
    }
}
