//! What stands above a host survives a host that fails, loses samples, reports late or refuses, at every step of a run:
//! no panic, an error that says what and when, and a journal that is readable up to there.

use harness::host::Host;
use harness::host::faulty::{AdvanceFault, ApplyFault, FaultPlan, FaultyHost};
use harness::journal::{Ending, Journal, JournalWriter, Turn};
use predictor::counters::Reading;
use predictor::model::Model;
use predictor::policy::{Policy, PolicyKind, Settings};
use tests::simulated;

const QUANTA: u64 = 30;

/// Runs the fixture's mix with these faults into a file; answers the turns, the error if there was one, the journal.
fn run(model: &Model, plan: FaultPlan) -> (Vec<Turn>, Option<String>, Journal) {
    let mix = simulated::mix();
    let mut host = FaultyHost::new(simulated::launch(&mix), plan);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("journal.jsonl");
    let description = simulated::describe(&mix, &host, PolicyKind::Predictive);
    let journal = JournalWriter::create(&file, &description).expect("writable");
    let mut policy = Policy::new(PolicyKind::Predictive, Settings::default(), host.topology().clone(), model.clone());
    let length = harness::control::RunLength { quanta: QUANTA, quantum: mix.quantum() };
    let mut turns = Vec::new();
    let outcome = harness::control::run(&mut host, &mut policy, journal, length, &Default::default(), &mut |turn| {
        turns.push(turn.clone());
        Ok(())
    });
    let journal = Journal::read(&file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(journal.turns, turns, "the journal has every turn that was taken");
    assert!(!journal.cut_short);
    (turns, outcome.err().map(|error| error.to_string()), journal)
}

/// How often the fixture's policy asks for moves when nothing goes wrong.
fn undisturbed(model: &Model) -> usize {
    let (turns, error, journal) = run(model, FaultPlan::default());
    assert_eq!((turns.len() as u64, error, journal.ending), (QUANTA, None, Some(Ending::Complete)));
    turns.iter().filter(|turn| !turn.decision.moves.is_empty()).count()
}

#[test]
fn a_host_that_fails_to_let_time_pass_ends_the_run_there() {
    let model = simulated::model_of(&simulated::mix());
    for call in 1..=QUANTA {
        let plan = FaultPlan { advance: [(call, AdvanceFault::Fail)].into(), ..FaultPlan::default() };
        let (turns, error, journal) = run(&model, plan);
        let quantum = call - 1;
        assert_eq!(turns.len() as u64, quantum);
        let expected = format!(
            "failed to let a quantum pass (call {call}): a planned fault; take it out of the plan (quantum {quantum})"
        );
        assert_eq!(error.as_ref(), Some(&expected));
        assert_eq!(journal.ending, Some(Ending::Failed(expected)));
        assert_eq!(journal.unfinished, None);
    }
}

#[test]
fn samples_that_are_lost_late_or_empty_do_not_end_the_run() {
    let model = simulated::model_of(&simulated::mix());
    for fault in [AdvanceFault::LoseSamples, AdvanceFault::LoseReadings, AdvanceFault::Delay] {
        for call in 1..=QUANTA {
            let plan = FaultPlan { advance: [(call, fault)].into(), ..FaultPlan::default() };
            let (turns, error, journal) = run(&model, plan);
            assert_eq!((turns.len() as u64, error), (QUANTA, None), "{fault:?} at call {call}");
            assert_eq!(journal.ending, Some(Ending::Complete));
        }
    }
}

#[test]
fn a_counter_that_is_absent_all_the_time_moves_nobody() {
    let model = simulated::model_of(&simulated::mix());
    let plan = FaultPlan {
        advance: (1..=QUANTA).map(|call| (call, AdvanceFault::LoseReadings)).collect(),
        ..FaultPlan::default()
    };
    let (turns, error, _) = run(&model, plan);
    assert_eq!(error, None);
    assert!(turns.iter().all(|turn| turn.decision.moves.is_empty()), "nobody is moved without a reason");
    let absent =
        |turn: &Turn| turn.observation.samples.iter().all(|s| s.readings.iter().all(|r| r.1 == Reading::Absent));
    assert!(turns.iter().all(absent));
}

#[test]
fn a_host_that_fails_to_move_ends_the_run_with_the_decision_in_the_journal() {
    let model = simulated::model_of(&simulated::mix());
    let batches = undisturbed(&model);
    assert!(batches > 0, "the fixture moves somebody, or this shows nothing");
    for call in 1..=batches as u64 {
        let plan = FaultPlan { apply: [(call, ApplyFault::Fail)].into(), ..FaultPlan::default() };
        let (turns, error, journal) = run(&model, plan);
        let error = error.expect("the host failed");
        assert!(
            error.starts_with("failed to apply ") && error.ends_with(&format!("(quantum {})", turns.len())),
            "{error}"
        );
        let unfinished = journal.unfinished.expect("the quantum in which it failed");
        assert_eq!(unfinished.quantum, turns.len() as u64);
        assert!(unfinished.decision.is_some_and(|decision| !decision.moves.is_empty()));
        assert_eq!(journal.ending, Some(Ending::Failed(error)));
    }
}

#[test]
fn a_refusal_is_in_the_journal_and_the_policy_goes_on_from_the_truth() {
    let model = simulated::model_of(&simulated::mix());
    let batches = undisturbed(&model);
    for call in 1..=batches as u64 {
        let plan = FaultPlan { apply: [(call, ApplyFault::Refuse)].into(), ..FaultPlan::default() };
        let (turns, error, _) = run(&model, plan);
        assert_eq!((turns.len() as u64, error), (QUANTA, None));
        let refused = turns.iter().flat_map(|turn| &turn.outcomes).filter(|outcome| outcome.refusal.is_some());
        assert!(refused.count() > 0);
        // A policy that believed in a refused move would ask to move from where nobody is, and be refused for it.
        let misled = |turn: &&Turn| {
            let stale = |reason: &String| reason.contains("not in");
            turn.outcomes.iter().any(|outcome| outcome.refusal.as_ref().is_some_and(stale))
        };
        assert_eq!(turns.iter().find(misled), None);
    }
}
