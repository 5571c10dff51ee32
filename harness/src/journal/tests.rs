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
        address_space: None,
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
    Turn { quantum, at: None, observation, scores, decision, outcomes }
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
        Journal {
            run: run(),
            part: Part::WHOLE,
            notes: vec![],
            turns,
            unfinished: None,
            ending: Some(Ending::Complete),
            cut_short: false
        }
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
        "failed to read journal J, line 1: it has format version 1, and this release reads versions 2 and 3; \
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

/// Journals in folders.
mod folders {
    use super::*;
    use crate::journal::folder::{JournalFolder, Rotation, files_in};

    fn tick() -> UnixMillis {
        UnixMillis(1_800_000_000_000)
    }

    const SMALL: Rotation = Rotation { file_bytes: 4000, files: 3, quiet_kept_one_in: 1 };

    fn open(folder: &Path, rotation: Rotation) -> JournalFolder {
        JournalFolder::open(folder, rotation, run(), Some(tick)).expect("a writable folder")
    }

    fn note(journal: &mut JournalFolder, turn: &Turn) {
        journal.writer().saw(turn.quantum, &turn.observation).expect("writable");
        journal.writer().decided(turn.quantum, &turn.decision).expect("writable");
        if !turn.outcomes.is_empty() {
            journal.writer().did(turn.quantum, &turn.outcomes).expect("writable");
        }
        journal.writer().flush().expect("writable");
        let present = || vec![Note::Present { vcpus: turn.observation.arrivals.clone() }];
        journal.rotate_if_full(turn.quantum + 1, present).expect("writable");
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_each_reads_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = open(folder.path(), SMALL);
        for quantum in 0..100 {
            note(&mut journal, &turn(quantum, usize::from(quantum % 7 == 0)));
            let files = files_in(folder.path()).expect("listed");
            assert!(files.len() <= 3);
            for (_, file) in files {
                assert!(file.metadata().expect("there").len() < 4000 + 2000, "{}", file.display());
            }
        }
        journal.end(100, Ending::Interrupted).expect("writable");
        let files = files_in(folder.path()).expect("listed");
        let read: Vec<Journal> = files.iter().map(|(_, file)| Journal::read(file).expect("a journal")).collect();
        let quanta: Vec<u64> = read.iter().flat_map(|file| &file.turns).map(|turn| turn.quantum).collect();
        assert!(quanta.windows(2).all(|pair| pair[0] + 1 == pair[1]) && quanta.last() == Some(&99), "{quanta:?}");
        for (place, file) in read.iter().enumerate() {
            assert_eq!(file.run, run());
            assert!(matches!(file.notes[0].note, Note::Present { .. }), "{:?}", file.notes);
            let last = place + 1 == read.len();
            assert_eq!(file.ending, Some(if last { Ending::Interrupted } else { Ending::GoesOn }));
            assert!(file.turns.iter().all(|turn| turn.at == Some(tick())));
        }
    }

    #[test]
    fn one_that_was_killed_is_left_as_it_is_and_the_next_begins_a_file_of_its_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = open(folder.path(), SMALL);
        note(&mut journal, &turn(0, 1));
        let killed = journal.file();
        drop(journal);
        let text = std::fs::read(&killed).expect("written");
        std::fs::write(&killed, &text[..text.len() - 9]).expect("writable");
        let mut journal = open(folder.path(), SMALL);
        note(&mut journal, &turn(0, 0));
        let files = files_in(folder.path()).expect("listed");
        assert_eq!(files.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        let torn = Journal::read(&killed).expect("as far as it goes");
        assert!(torn.cut_short && torn.unfinished.is_some() && torn.ending.is_none());
        assert_eq!(Journal::read(&files[1].1).expect("a journal").turns.len(), 1);
    }

    #[test]
    fn quiet_quanta_are_thinned_and_eventful_ones_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = open(folder.path(), Rotation { file_bytes: 1 << 20, quiet_kept_one_in: 10, ..SMALL });
        for quantum in 0..40 {
            let mut turn = turn(quantum, usize::from(quantum == 13));
            turn.observation.guest_events.clear();
            if quantum != 27 {
                turn.observation.arrivals.clear();
            }
            note(&mut journal, &turn);
        }
        let file = journal.file();
        journal.end(40, Ending::Interrupted).expect("writable");
        let read = Journal::read(&file).expect("a journal");
        assert_eq!(read.turns.iter().map(|turn| turn.quantum).collect::<Vec<_>>(), [0, 10, 13, 20, 27, 30]);
        assert_eq!(read.turns[2].outcomes.len(), 1);
        assert_eq!(read.unfinished, None);
    }
}
