//! Claims about replayed streams against the vCPUs that they were recorded from.

mod synthetic;

use std::path::Path;
use std::sync::Arc;

use machine::counters::Counters;
use machine::replay::{ReplayError, ReplayedMachine};
use machine::spec::Machine;
use machine::stream::{ReferenceKind, Stream};
use synthetic::{
    Guest, Outcome, Plan, changing, chase, compute, emulate, gather, private_chase, record, replay, stay, stream,
};

fn small() -> Machine {
    Machine::preset("small-2x2").expect("preset")
}

/// Both ways of running the same guests by the same plan, their streams recorded on `recorded_on`.
fn both(recorded_on: &Machine, machine: &Machine, guests: &[Guest], plan: &Plan) -> (Outcome, Outcome) {
    // Recorded alone a guest is never slower, so as many quanta and one cover what it does beside others.
    let streams: Vec<Arc<Stream>> = guests.iter().map(|guest| record(recorded_on, guest, plan.len() + 2)).collect();
    let emulated = emulate(machine, guests, plan, None);
    (emulated, replay(machine, &streams, plan).expect("streams that are long enough"))
}

/// How far `replayed` is from `emulated`, as a share; events that are rare among instructions do not count.
fn off(emulated: Counters, replayed: Counters, what: fn(Counters) -> u64) -> f64 {
    let per_instruction = |counters: Counters| what(counters) as f64 / counters.instructions as f64;
    (per_instruction(replayed) - per_instruction(emulated)).abs() / per_instruction(emulated).max(1e-4)
}

fn assert_agree((emulated, replayed): &(Outcome, Outcome), cycles: f64, misses: f64) {
    for guest in 0..emulated.phases.len() {
        let (emulated, replayed) = (emulated.last(guest), replayed.last(guest));
        let told = format!("guest {guest}\nemulated {emulated:?}\nreplayed {replayed:?}");
        assert!(off(emulated, replayed, |counters| counters.cycles) < cycles, "cycles of {told}");
        assert!(off(emulated, replayed, |counters| counters.llc_references) < misses, "references of {told}");
        assert!(off(emulated, replayed, |counters| counters.llc_misses) < misses, "misses of {told}");
        assert!(off(emulated, replayed, |counters| counters.write_backs) < 3.0 * misses, "write-backs of {told}");
        assert!(off(emulated, replayed, |counters| counters.loads) < 0.01, "loads of {told}");
        assert!(off(emulated, replayed, |counters| counters.l1_misses) < 0.02, "L1 misses of {told}");
    }
}

#[test]
fn alone_every_guest_takes_the_cycles_it_took() {
    for guest in [chase(), private_chase(), gather(), stream(), compute(), changing()] {
        let outcomes = both(&small(), &small(), &[guest], &stay(&[0], 3));
        assert_agree(&outcomes, 0.0005, 0.0005);
    }
}

#[test]
fn beside_others_too() {
    for pair in [[chase(), stream()], [gather(), stream()], [chase(), gather()], [changing(), stream()]] {
        let outcomes = both(&small(), &small(), &pair, &stay(&[0, 1], 3));
        assert_agree(&outcomes, 0.005, 0.005);
    }
}

#[test]
fn guests_that_change_places_find_cold_caches() {
    let guests = [private_chase(), stream(), changing(), compute()];
    let plan: Plan = (0..6).map(|quantum| if quantum % 2 == 0 { vec![0, 1, 2, 3] } else { vec![2, 1, 0, 3] }).collect();
    let outcomes = both(&small(), &small(), &guests, &plan);
    assert_agree(&outcomes, 0.01, 0.02);
    let unmoved = replay_alone(&guests[0], 6).last(0);
    let refetched = outcomes.1.last(0).llc_references - unmoved.llc_references;
    assert!((4_800..5_300).contains(&refetched), "five moves, each of about 1024 lines: {refetched}");
}

fn replay_alone(guest: &Guest, quanta: usize) -> Outcome {
    let stream = record(&small(), guest, quanta + 1);
    replay(&small(), &[stream], &stay(&[0], quanta)).expect("long enough")
}

#[test]
fn a_stream_plays_on_machines_with_another_llc_memory_or_core() {
    let changes = [
        ("size_kib = 1024", "size_kib = 512"),
        ("latency_cycles = 200", "latency_cycles = 300"),
        ("bytes_per_cycle = 4.0", "bytes_per_cycle = 2.0"),
        ("reorder_window = 192", "reorder_window = 384"),
        ("miss_registers = 10", "miss_registers = 5"),
        ("epoch_cycles = 20_000", "epoch_cycles = 10_000"),
    ];
    for (from, to) in changes {
        let other = Machine::from_toml(&small().text().replacen(from, to, 1)).expect("sound");
        assert_ne!(other, small());
        let outcomes = both(&small(), &other, &[changing(), gather()], &stay(&[0, 1], 2));
        assert_agree(&outcomes, 0.01, 0.01);
    }
}

#[test]
fn a_machine_with_other_private_caches_refuses_a_stream() {
    let stream = record(&small(), &chase(), 1);
    let other = Machine::from_toml(&small().text().replacen("size_kib = 128", "size_kib = 256", 1)).expect("sound");
    let error = ReplayedMachine::new(&other, vec![stream], 1).expect_err("another L2").to_string();
    assert!(error.contains("l2-256x8") && error.contains("l2-512x8"), "{error}");
}

#[test]
fn halts_and_phases_are_where_they_were() {
    let (emulated, replayed) = both(&small(), &small(), &[changing()], &stay(&[0], 4));
    assert!(emulated.last(0).idle_cycles > 0);
    let off = emulated.last(0).idle_cycles.abs_diff(replayed.last(0).idle_cycles);
    assert!(off < 100, "an epoch begins with what the last block overshot: {off}");
    for (emulated, replayed) in emulated.phases[0].iter().zip(&replayed.phases[0]) {
        assert!(emulated.abs_diff(*replayed) < 100, "{emulated} {replayed}");
    }
}

#[test]
fn the_same_replay_twice_is_the_same_to_the_last_count() {
    let streams = [record(&small(), &changing(), 3), record(&small(), &stream(), 3)];
    let once = || replay(&small(), &streams, &stay(&[0, 1], 2)).expect("long enough");
    assert_eq!(once(), once());
}

#[test]
fn a_stream_that_ends_too_early_is_named() {
    let stream = record(&small(), &compute(), 1);
    let instructions = stream.instructions();
    let error = replay(&small(), &[stream], &stay(&[0], 2)).expect_err("two quanta of one");
    assert_eq!(error, ReplayError::Exhausted { slot: machine::segment::Slot(0), instructions });
}

#[test]
fn references_are_told_in_order_with_their_phases() {
    let stream = record(&small(), &changing(), 2);
    let (mut references, mut last, mut phases) = (0, 0, std::collections::BTreeSet::new());
    let told = stream.each_reference(|reference| {
        assert!(reference.position >= last && reference.kind != ReferenceKind::Prefetch);
        references += 1;
        last = reference.position;
        phases.insert(reference.phase);
    });
    assert_eq!(told, Ok(()));
    assert_eq!(references, stream.references());
    assert!(phases.len() > 2 && !phases.contains(&None), "{phases:?}");
}

#[test]
fn damaged_and_unfinished_files_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guest.stream");
    emulate(&small(), &[compute()], &stay(&[0], 1), Some(&path));
    let sound = std::fs::read(&path).expect("a stream");
    assert!(Stream::open(&path).is_ok());
    let refusal = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        Stream::open(&path).expect_err("not what was written").to_string()
    };
    for at in (0..sound.len()).step_by(997).chain([8, 12, sound.len() - 1]) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        let error = refusal(&bytes);
        assert!(error.contains("again") || error.contains("phasecast record"), "byte {at}: {error}");
    }
    for kept in (0..sound.len()).step_by(4999) {
        let error = refusal(&sound[..kept]);
        assert!(error.contains("cut short"), "{kept} bytes: {error}");
    }
    assert!(Stream::open(Path::new("/no/such/file")).is_err());
}

/// `small-2x2` with a prefetcher, a node for each domain and time slices.
fn with_everything() -> Machine {
    let text = small().text().replace("[llc]", "[prefetcher]\nstreams = 32\ndegree = 2\ndistance = 20\n\n[llc]");
    let text = text.replacen("[l1]", "node = 1\n\n[l1]", 1);
    let text = text.replacen("[memory]", "[memory]\nremote_latency_cycles = 100", 1);
    Machine::from_toml(&text.replacen("[core]", "[core]\ntimeslice_cycles = 1_000_000", 1)).expect("sound")
}

#[test]
fn prefetched_lines_arrive_when_they_did() {
    let machine = with_everything();
    for pair in [[stream(), gather()], [changing(), stream()]] {
        let outcomes = both(&machine, &machine, &pair, &stay(&[0, 1], 3));
        assert_agree(&outcomes, 0.005, 0.005);
    }
}

#[test]
fn guests_far_from_their_memory_wait_as_long() {
    let machine = with_everything();
    let plan: Plan = vec![vec![0, 1], vec![0, 3], vec![0, 3], vec![0, 3]];
    let outcomes = both(&machine, &machine, &[stream(), gather()], &plan);
    assert_agree(&outcomes, 0.01, 0.01);
}

#[test]
fn guests_share_a_cpu_by_time_slices_as_they_did() {
    let machine = with_everything();
    let outcomes = both(&machine, &machine, &[changing(), private_chase(), stream()], &stay(&[0, 0, 1], 6));
    for guest in 0..3 {
        let [emulated, replayed] = [&outcomes.0, &outcomes.1].map(|outcome| outcome.last(guest));
        assert!(emulated.cycles.abs_diff(replayed.cycles) < 40_000, "{emulated:?}\n{replayed:?}");
    }
    assert_agree(&outcomes, 0.02, 0.05);
}

#[test]
fn a_run_that_is_recorded_counts_as_one_that_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guest.stream");
    for machine in [small(), with_everything()] {
        let plan = stay(&[0, 1], 2);
        let guests = [changing(), stream()];
        let recorded = emulate(&machine, &guests, &plan, Some(&path));
        assert_eq!(recorded, emulate(&machine, &guests, &plan, None));
    }
}
