//! The replayed host keeps its promises: it counts what the emulated host counts, to the byte the same every time, and
//! says what to do when a stream is missing, short, damaged or of something else.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use harness::control::{self, RunLength};
use harness::host::emulated::GuestPlan;
use harness::host::replayed::ReplayedHost;
use harness::host::{GuestEvent, Host, Observation};
use harness::interrupt::Interrupt;
use harness::journal::JournalWriter;
use harness::journal::run::RunDescription;
use harness::streams::{self, Streams};
use predictor::counters::{Event, GuestId, VcpuId};
use predictor::placement::Move;
use predictor::policy::Policy;
use predictor::topology::DomainId;
use tests::bench::{Bench, QUANTUM, Totals, guest, kernel, small_machine, small_machine_with, whole};

const QUANTA: u64 = 12;

/// Two guests in each LLC domain: kernels that press it, one that is done every few quanta, and a real program.
fn four_guests() -> [GuestPlan; 4] {
    [
        kernel("chase", "chase --size 768KiB --instructions 900G", 0),
        guest("bzip2", "bzip2", 1),
        kernel("short", "gather --size 768KiB --instructions 8M", 2),
        kernel("stream", "stream --size 8MiB --instructions 900G", 3),
    ]
}

fn request(guest: u32, from: u32, to: u32) -> Move {
    Move { vcpu: VcpuId { guest: GuestId(guest), index: 0 }, from: DomainId(from), to: DomainId(to) }
}

/// Twelve quanta; after the fourth the first and the last guest change places, after the eighth two move back.
fn run(host: &mut dyn Host) -> Vec<Observation> {
    let moves = |quantum| match quantum {
        4 => vec![request(0, 0, 1), request(3, 1, 0)],
        8 => vec![request(0, 1, 0), request(3, 0, 1)],
        _ => Vec::new(),
    };
    let one = |quantum| {
        let refused = host.apply(&moves(quantum)).expect("well").into_iter().find_map(|outcome| outcome.refusal);
        assert_eq!(refused, None);
        host.advance(QUANTUM).unwrap_or_else(|error| panic!("{error}"))
    };
    (0..QUANTA).map(one).collect()
}

/// Each guest's counts over all quanta, and how many runs of its program it completed.
fn sums(observed: &[Observation], guest: u32) -> (Totals, u64) {
    let samples = observed.iter().flat_map(|seen| &seen.samples).filter(|sample| sample.vcpu.guest == GuestId(guest));
    let totals = samples.map(Totals::of).reduce(|mut sum, other| {
        sum.add(other);
        sum
    });
    let done = observed.iter().flat_map(|seen| &seen.guest_events);
    let done = done.filter(|GuestEvent::RunCompleted { guest: of, .. }| *of == GuestId(guest)).count();
    (totals.expect("it has samples"), done as u64)
}

#[test]
fn a_replay_counts_what_the_emulated_host_counts_moves_included() {
    let Some(bench) = Bench::take() else { return };
    let machine = small_machine();
    let emulated = run(&mut bench.launch(&machine, &four_guests()));
    let replayed = run(&mut bench.replay(&machine, &four_guests(), QUANTA));
    for (place, plan) in (0..).zip(four_guests()) {
        let ((truth, done), (found, found_done)) = (sums(&emulated, place), sums(&replayed, place));
        let cycles = found.cycles_per_instruction() / truth.cycles_per_instruction() - 1.0;
        let per_instruction = |totals: Totals| totals.llc_misses as f64 / totals.instructions as f64;
        let misses = per_instruction(found) / per_instruction(truth) - 1.0;
        eprintln!("{}: cycles {:+.4} %, LLC misses {:+.4} %", plan.name, 100.0 * cycles, 100.0 * misses);
        assert!(cycles.abs() <= 0.02 && misses.abs() <= 0.03, "{}: {truth:?}, {found:?}", plan.name);
        assert!(done.abs_diff(found_done) <= 1, "{}: {done} and {found_done} runs completed", plan.name);
    }
    assert!(sums(&emulated, 2).1 > 0, "one guest completes runs");
    let truths = |observed: &[Observation]| -> Vec<_> {
        observed.iter().flat_map(|seen| &seen.samples).map(|sample| (sample.vcpu, sample.domain)).collect()
    };
    assert_eq!(truths(&emulated), truths(&replayed));
}

fn journal_of(mut host: ReplayedHost) -> Vec<u8> {
    let topology = host.topology().clone();
    let run = RunDescription {
        purpose: "test".to_owned(),
        host: "replayed".to_owned(),
        machine: host.machine().name().to_owned(),
        mix: "four".to_owned(),
        policy: "stay-put".to_owned(),
        seed: 1,
        quantum: QUANTUM,
        frequency_hz: None,
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: topology.clone(),
        events: Event::ALL.into(),
        guests: std::collections::BTreeMap::new(),
        revision: String::new(),
    };
    let journal = JournalWriter::new(Vec::new(), &run).expect("memory");
    let length = RunLength { quanta: QUANTA, quantum: QUANTUM };
    let mut policy = Policy::stay_put(topology);
    control::run(&mut host, &mut policy, journal, length, &Interrupt::default(), &mut |_| Ok(())).expect("it is well")
}

#[test]
fn the_same_streams_and_seed_give_the_same_journal_to_the_byte() {
    let Some(bench) = Bench::take() else { return };
    let journal = || journal_of(bench.replay(&small_machine(), &four_guests(), QUANTA));
    let first = journal();
    assert!(first.len() > 10_000 && first == journal());
}

#[test]
fn a_run_beyond_a_streams_end_stops_and_says_what_to_do() {
    let Some(bench) = Bench::take() else { return };
    let mut host = bench.replay(&small_machine(), &[four_guests()[3].clone()], 2);
    let ended = (0..200 * QUANTA).find_map(|_| host.advance(QUANTUM).err()).expect("streams end");
    let text = ended.to_string();
    assert!(text.contains("guest \"stream\"") && text.contains("record MIX --stream"), "{text}");
    assert!(host.advance(QUANTUM).expect_err("it has stopped").to_string().contains("earlier failure"));
}

#[test]
fn a_longer_run_gets_a_longer_stream_in_place_of_the_short_one() {
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let streams = Streams::open(folder.path()).expect("a folder");
    let guests = [kernel("stream", "stream --size 8MiB --instructions 900G", 0)];
    let record = |quanta| bench.record(&streams, &small_machine(), &guests, quanta).expect("recorded").swap_remove(0);
    let (short, again) = (record(2), record(1));
    assert_eq!(short.stream.path(), again.stream.path(), "a longer one serves a shorter need");
    drop((short, again));
    let long = record(4);
    let entries = streams.entries().expect("a list");
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].about.as_ref().map(|about| about.instructions).ok(), Some(long.stream.instructions()));
    assert!(!streams.remove(&entries[0]).expect("a folder"), "it is being used");
    drop(long);
    assert!(streams.remove(&entries[0]).expect("a folder") && streams.entries().expect("a list").is_empty());
}

/// The only recording in `streams`, as a path.
fn only_entry(streams: &Streams) -> PathBuf {
    let mut entries = streams.entries().expect("a list");
    assert_eq!(entries.len(), 1);
    entries.swap_remove(0).folder
}

fn refusal(folder: &Path) -> String {
    streams::open(folder).expect_err("it is broken").to_string()
}

#[test]
fn damaged_streams_and_streams_of_something_else_are_refused_and_recorded_anew() {
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let streams = Streams::open(folder.path()).expect("a folder");
    let guests = [kernel("stream", "stream --size 8MiB --instructions 900G", 0)];
    let machine = small_machine();
    let record = || drop(bench.record(&streams, &machine, &guests, 1).expect("recorded"));
    record();
    let entry = only_entry(&streams);

    let about = entry.join("about.json");
    let original = fs::read_to_string(&about).expect("text");
    for (from, to, says) in [
        (bench.image.digest.as_str(), "00", "another program, image or machine"),
        ("\"format\": 1", "\"format\": 9", "format 9, this release reads 1"),
        ("\"cycles\"", "\"circles\"", "does not describe a stream"),
    ] {
        fs::write(&about, original.replace(from, to)).expect("written");
        let refusal = refusal(&entry);
        assert!(refusal.contains(says) && refusal.contains("phasecast stream prune"), "{refusal}");
    }
    fs::write(&about, &original).expect("written");

    let other = small_machine_with(&[("size_kib = 128", "size_kib = 256")]);
    let recording = streams::open(&entry).expect("whole again");
    let error = bench.play(&other, &guests, vec![recording]).expect_err("another L2");
    assert!(error.to_string().contains("record it again"), "{}", whole(&error));

    let stream = entry.join("stream");
    let half = fs::metadata(&stream).expect("a file").len() / 2;
    File::options().write(true).open(&stream).and_then(|file| file.set_len(half)).expect("half a stream");
    let text = refusal(&entry);
    assert!(text.contains("/stream: it ends without a trailer"), "{text}");
    // Of the same cycles it may have been the longer one.
    let name = entry.file_name().and_then(OsStr::to_str).expect("text");
    let (key, instructions) = name.rsplit_once('-').expect("a length");
    let longer = instructions.parse::<u64>().expect("a number") + 1_000_000;
    fs::rename(&entry, entry.with_file_name(format!("{key}-{longer:015}"))).expect("renamed");
    record();
    assert!(streams::open(&only_entry(&streams)).is_ok(), "a broken one counts as absent");
}

fn stream_command(cache: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::cargo_bin("phasecast").expect("built");
    let output = command.arg("stream").args(arguments).arg("--cache").arg(cache).output().expect("run");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_is_broken_is_listed_as_such_and_pruned() {
    let cache = tempfile::tempdir().expect("a folder");
    let (ok, text) = stream_command(cache.path(), &["list"]);
    assert!(ok && text.contains("record some with: phasecast record MIX --stream"), "{text}");
    let broken = cache.path().join("streams/0123-000000000000009");
    fs::create_dir(&broken).expect("a folder");
    fs::write(broken.join("about.json"), "{").expect("written");
    let abandoned = cache.path().join("streams/.recording-x");
    fs::create_dir(&abandoned).expect("a folder");
    assert!(stream_command(cache.path(), &["list"]).1.contains("broken: "));
    let (ok, text) = stream_command(cache.path(), &["prune", "--dry-run"]);
    assert!(ok && text.contains("broken (") && broken.exists() && abandoned.exists(), "{text}");
    let (ok, text) = stream_command(cache.path(), &["prune"]);
    assert!(ok && text.contains("1 abandoned") && !broken.exists() && !abandoned.exists(), "{text}");
}
