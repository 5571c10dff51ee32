//! The command and its guests end together: an interrupted `phasecast record` closes its files and leaves no QEMU, and
//! QEMU does not outlive a command that is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::journal::{Ending, Journal};
use tests::bench::Bench;
use tests::mixes::TWO_BZIP2S;

/// Starts a recording that would take hours; answers once its journal has turns, with the processes of its guests.
fn recording(bench: &Bench, folder: &Path) -> (Child, Vec<u32>) {
    std::fs::write(folder.join("mix.toml"), TWO_BZIP2S).expect("writable");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("phasecast"))
        .current_dir(folder)
        .args(["record", "mix.toml", "--out", "t.parquet", "--journal", "j.jsonl", "--quanta", "1000000", "--cache"])
        .arg(&bench.cache)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let started = Instant::now();
    let turns = || std::fs::read_to_string(folder.join("j.jsonl")).map_or(0, |journal| journal.lines().count());
    while turns() < 4 {
        assert!(child.try_wait().expect("a child of ours").is_none(), "it has ended");
        assert!(started.elapsed() < Duration::from_secs(120), "it records nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    let guests = emulators_of(child.id());
    assert_eq!(guests.len(), 2, "{guests:?}");
    (child, guests)
}

/// The QEMU processes that any thread of `process` has started.
fn emulators_of(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|line| line.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    children.into_iter().filter(|child| is_emulator(*child)).collect()
}

/// Whether a process is there, runs QEMU and is not merely waiting to be reaped, which leaves it no command line.
fn is_emulator(process: u32) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).split('\0').next().is_some_and(|program| program.contains("qemu-system"))
}

#[test]
fn an_interrupted_recording_closes_its_files_and_leaves_no_guest() {
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut child, guests) = recording(&bench, folder.path());
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill is everywhere").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!guests.iter().any(|&guest| is_emulator(guest)), "still there: {guests:?}");
    let journal = Journal::read(&folder.path().join("j.jsonl")).expect("a journal");
    assert_eq!(journal.ending, Some(Ending::Interrupted));
    assert!(!journal.turns.is_empty());
}

#[test]
fn no_guest_survives_a_recording_that_is_killed() {
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut child, guests) = recording(&bench, folder.path());
    child.kill().expect("it is running");
    child.wait().expect("it is a child of ours");
    let deadline = Instant::now() + Duration::from_secs(5);
    while guests.iter().any(|&guest| is_emulator(guest)) {
        assert!(Instant::now() < deadline, "still there after 5 s: {guests:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
