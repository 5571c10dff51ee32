//! Claims about journals: what is written is read again, what a killed run left is read as far as it goes, and what is
//! no journal is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use predictor::counters::{Event, GuestId, Reading, Readings, Sample, VcpuId};
use predictor::placement::Move;
use predictor::policy::PolicyKind;
use predictor::policy::rationale::Rationale;
use predictor::policy::score::MoveScore;
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

use super::*;
use crate::host::{Arrival, GuestEvent};

fn run() -> RunDescription {
    let domain =
        |id: u32| LlcDomain { id: DomainId(id), node: NodeId(0), cpus: vec![CpuId(id)], llc_bytes: Some(1 << 20) };
    RunDescription {
        purpose: "mix".to_owned(),
        host: "simulated".to_owned(),
        machine: "two".to_owned(),
        mix: "example".to_owned(),
        policy: "reactive".to_owned(),
        seed: 1,
        quantum: Duration::from_millis(5),
        frequency_hz: None,
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
        events: BTreeSet::from([Event::Instructions]),
        guests: BTreeMap::new(),
        revision: "0.1.0".to_owned(),
    }
}

fn turn(quantum: u64, moves: usize) -> Turn {
    let vcpu = VcpuId { guest: GuestId(0), index: 0 };
    let request = Move { vcpu, from: DomainId(0), to: DomainId(1) };
    let sample = Sample {
        vcpu,
        domain: DomainId(0),
        elapsed: Duration::from_millis(5),
        readings: Readings::new([(Event::Instructions, Reading::Scaled { estimate: 7, coverage: 0.1 })]),
        truth: None,
    };
    let observation = Observation {
        samples: vec![sample],
        arrivals: vec![Arrival { vcpu, name: "alpha".to_owned(), domain: DomainId(0) }],
        departures: vec![],
        guest_events: vec![GuestEvent::RunCompleted { guest: GuestId(0), run: quantum, checksum: None }],
    };
    let rationale = Rationale {
        policy: PolicyKind::Reactive,
        note: String::new(),
        pause_quanta: 0,
        cost_before: 0.1 + 0.2,
        cost_after: 1.0 / 3.0,
        vcpus: vec![],
    };
    let score = MoveScore { decided: 1, moves: vec![request; 2], quanta: 1, predicted_gain: 0.1, realised_gain: -0.3 };
    let scores = if quantum == 2 { vec![score] } else { vec![] };
    let decision = Decision { moves: vec![request; moves], forecasts: vec![], rationale };
    let outcomes = vec![MoveOutcome { requested: request, refusal: Some("full".to_owned()) }; moves];
    Turn { quantum, observation, scores, decision, outcomes }
}

/// The journal of three turns, of which the second moves somebody.
fn written() -> (Vec<u8>, Vec<Turn>) {
    let turns = vec![turn(0, 0), turn(1, 2), turn(2, 0)];
    let mut journal = JournalWriter::new(Vec::new(), &run()).expect("memory");
    for turn in &turns {
        journal.saw(turn.quantum, &turn.observation).expect("memory");
        if !turn.scores.is_empty() {
            journal.scored(turn.quantum, &turn.scores).expect("memory");
        }
        journal.decided(turn.quantum, &turn.decision).expect("memory");
        if !turn.outcomes.is_empty() {
            journal.did(turn.quantum, &turn.outcomes).expect("memory");
        }
    }
    (journal.end(3, Ending::Complete).expect("memory"), turns)
}

fn read(text: &[u8]) -> Result<Journal, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("j.jsonl");
    std::fs::write(&path, text).expect("writable");
    Journal::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "J"))
}

#[test]
fn what_is_written_is_read_again() {
    let (text, turns) = written();
    let journal = read(&text).expect("just written");
    assert_eq!(
        journal,
        Journal { run: run(), turns, unfinished: None, ending: Some(Ending::Complete), cut_short: false }
    );
}

#[test]
fn a_journal_cut_short_anywhere_is_read_as_far_as_it_goes() {
    let (text, turns) = written();
    let header = text.iter().position(|byte| *byte == b'\n').expect("a first line");
    for length in header + 1..text.len() {
        let journal = read(&text[..length]).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!(journal.cut_short, text[length - 1] != b'\n', "{length} bytes");
        assert!(turns.starts_with(&journal.turns), "{length} bytes");
        assert_eq!(journal.ending, None, "{length} bytes");
    }
}

#[test]
fn a_quantum_that_was_decided_and_not_done_is_unfinished() {
    let (text, turns) = written();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let journal = read(&lines[..5].concat()).expect("whole lines");
    assert_eq!(journal.turns, turns[..1]);
    let unfinished = journal.unfinished.expect("the second quantum");
    assert_eq!((unfinished.quantum, unfinished.decision), (1, Some(turns[1].decision.clone())));
}

#[test]
fn what_is_no_journal_of_this_version_is_refused_by_line() {
    let refusal = |text: &str| read(text.as_bytes()).expect_err("no journal");
    assert_eq!(
        refusal(""),
        "failed to read journal J, line 1: it is no journal of Phasecast; give one that a run wrote"
    );
    assert!(refusal("PAR1\n").contains("it is no journal of Phasecast"));
    assert_eq!(
        refusal("{\"header\":{\"version\":1,\"run\":{}}}\n"),
        "failed to read journal J, line 1: it has format version 1, and this release reads version 2; \
         run the experiment again"
    );
    let (text, _) = written();
    let text = String::from_utf8(text).expect("JSON");
    let lines: Vec<&str> = text.lines().collect();
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(place, _)| *place != left_out);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(refusal(&without(1)), "failed to read journal J, line 2: a decision for quantum 0, which was not seen");
    assert_eq!(
        refusal(&without(2)),
        "failed to read journal J, line 3: quantum 1 begins where quantum 0 is not finished"
    );
    assert!(refusal(&without(0)).starts_with("failed to read journal J, line 1: it is no journal"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = JournalWriter::create(Path::new("/nowhere/j.jsonl"), &run()).expect_err("not there").to_string();
    assert!(error.starts_with("failed to create journal /nowhere/j.jsonl: No such file"), "{error}");
}
