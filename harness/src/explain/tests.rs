//! Claims about explanations, on a journal that is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use expect_test::expect;
use predictor::contention::Slowdown;
use predictor::phases::PhaseId;
use predictor::placement::Move;
use predictor::policy::rationale::{Alternative, Basis, Likely, Rationale, VcpuRationale, VcpuState, Verdict};
use predictor::policy::{Decision, PolicyKind};
use predictor::topology::{CpuId, LlcDomain, NodeId, Topology};

use super::*;
use crate::host::{Arrival, MoveOutcome, Observation};
use crate::journal::folder::{JournalFolder, Rotation};
use crate::journal::run::RunDescription;

fn vcpu(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

fn tick() -> UnixMillis {
    UnixMillis(1_800_000_000_250)
}

fn reason(guest: u32, verdict: Verdict) -> VcpuRationale {
    VcpuRationale {
        vcpu: vcpu(guest),
        domain: DomainId(0),
        state: VcpuState::Active { phase: PhaseId(2), novelty: 0.5 },
        forecast: Some(Likely { phase: PhaseId(0), probability: 0.91 }),
        basis: Basis::Forecast,
        slowdown_here: Slowdown(1.85),
        curve: None,
        alternative: Some(Alternative {
            to: DomainId(1),
            exchanged_with: None,
            slowdown_there: Slowdown(1.02),
            gain: 1.2,
            needed: 0.15,
        }),
        verdict,
    }
}

/// Writes a journal of twelve quanta: in quantum 3 guest 0 is moved, from quantum 5 on guest 1 is wanted elsewhere in vain.
fn journal(folder: &Path) {
    let domain = |id| LlcDomain { id: DomainId(id), node: NodeId(0), cpus: vec![CpuId(id)], llc_bytes: None };
    let run = RunDescription {
        purpose: "daemon".to_owned(),
        host: "live".to_owned(),
        machine: "m".to_owned(),
        mix: "found".to_owned(),
        policy: "predictive".to_owned(),
        seed: 0,
        quantum: Duration::from_millis(100),
        frequency_hz: None,
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
        events: BTreeSet::new(),
        guests: BTreeMap::new(),
        revision: "0".to_owned(),
    };
    let rotation = Rotation { file_bytes: 1 << 20, files: 3, quiet_kept_one_in: 4 };
    let mut journal = JournalFolder::open(folder, rotation, run, Some(tick)).expect("writable");
    journal.writer().noted(0, Note::Mode { mode: Mode::Acting }).expect("writable");
    for quantum in 0..12u64 {
        let arrival =
            |guest: u32, name: &str| Arrival { vcpu: vcpu(guest), name: name.to_owned(), domain: DomainId(0) };
        let arrivals = if quantum == 0 { vec![arrival(0, "db-1"), arrival(1, "web")] } else { vec![] };
        let seen = Observation { arrivals, ..Observation::default() };
        let moving = |guest| Move { vcpu: vcpu(guest), from: DomainId(0), to: DomainId(1) };
        let moves = match quantum {
            3 => vec![moving(0)],
            5..9 => vec![moving(1)],
            _ => vec![],
        };
        let verdict = |guest| match moves.iter().any(|moved| moved.vcpu == vcpu(guest)) {
            true => Verdict::Moves { to: DomainId(1) },
            false => Verdict::GainTooSmall,
        };
        let rationale = Rationale {
            policy: PolicyKind::Predictive,
            note: String::new(),
            pause_quanta: 0,
            cost_before: 3.7,
            cost_after: 2.5,
            vcpus: vec![reason(0, verdict(0)), reason(1, verdict(1))],
        };
        let writer = journal.writer();
        writer.saw(quantum, &seen).expect("writable");
        if quantum == 10 {
            let score =
                MoveScore { decided: 3, moves: vec![moving(0)], quanta: 7, predicted_gain: 1.31, realised_gain: 1.1 };
            writer.scored(quantum, &[score]).expect("writable");
        }
        writer.decided(quantum, &Decision { moves: moves.clone(), forecasts: vec![], rationale }).expect("writable");
        let refusal = (quantum != 3).then(|| "CPUs are taken".to_owned());
        let outcomes: Vec<MoveOutcome> =
            moves.iter().map(|moved| MoveOutcome { requested: *moved, refusal: refusal.clone() }).collect();
        if !outcomes.is_empty() {
            writer.did(quantum, &outcomes).expect("writable");
        }
    }
    journal.writer().flush().expect("writable");
    // The writer is killed within a line.
    let file = journal.file();
    drop(journal);
    std::fs::File::options().append(true).open(file).expect("there").write_all(b"{\"saw\":").expect("writable");
}

fn told(question: &Question) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    journal(folder.path());
    let files = files(folder.path()).expect("a journal");
    as_text(&explain(&files, question).expect("readable"))
}

#[test]
fn every_move_is_told_with_its_reason_and_its_worth() {
    expect![[r#"
        2027-01-15T08:00:00.250Z quantum 0: From here on moves are made.
        2027-01-15T08:00:00.250Z quantum 3: db-1 vCPU 0 moved from LLC domain 0 to 1.
            db-1 vCPU 0 in domain 0: phase 2, next phase 0 (91 %), 1.85x; in domain 1 1.02x (gain 1.20, needs 0.15); moves to domain 1.
            Afterwards: over 7 quanta it paid, by +1.10 slowdown-quanta, where +1.31 were foreseen.
        2027-01-15T08:00:00.250Z quantum 5: web vCPU 0 was to move from LLC domain 0 to 1 and did not: CPUs are taken.
            web vCPU 0 in domain 0: phase 2, next phase 0 (91 %), 1.85x; in domain 1 1.02x (gain 1.20, needs 0.15); moves to domain 1.
        2027-01-15T08:00:00.250Z quantum 10: The journal breaks off here, in the middle of a line: it is being written, or its writer was killed."#]].assert_eq(&told(&Question::default()));
}

#[test]
fn one_moment_of_one_guest_is_told_moved_or_not() {
    let question = Question { guest: Some("web".to_owned()), at: Some(Moment::Quantum(7)) };
    expect![[r#"
        2027-01-15T08:00:00.250Z quantum 7: Policy predictive: 0 vCPUs were seen, 1 were to move (acting).
            Slowdowns were expected to sum up to 3.70, and to 2.50 after moving.
            web vCPU 0 in domain 0: phase 2, next phase 0 (91 %), 1.85x; in domain 1 1.02x (gain 1.20, needs 0.15); moves to domain 1.
            web vCPU 0 did not move: CPUs are taken."#]].assert_eq(&told(&question));
    let question = Question { guest: Some("0".to_owned()), at: Some("2027-01-15T08:00:00".parse().expect("a time")) };
    assert!(told(&question).starts_with("2027-01-15T08:00:00.250Z quantum 10: "), "{}", told(&question));
    let before = Question { at: Some("2027-01-15T07:59:59Z".parse().expect("a time")), ..Question::default() };
    assert_eq!(told(&before), "Nothing of that is in the journal.");
}

#[test]
fn what_is_no_moment_is_answered_with_how_to_write_one() {
    for text in ["noon", "2027-01-15", "2027-01-15T08:00", "-1", "2027-01-15T08:00:0x"] {
        assert!(text.parse::<Moment>().expect_err("wrong").contains("2026-01-31T23:59:59"), "{text}");
    }
}

#[test]
fn an_empty_folder_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = files(folder.path()).expect_err("empty").to_string();
    assert!(error.contains("no journal lies in this folder; give the journal.folder"), "{error}");
}
