//! The KVM lab: the binary under test on real KVM guests, in an emulated machine with two LLC domains.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use harness::image::Cache;
use harness::journal::{Ending, Journal};
use harness::qemu::Program;
use tests::bench::{cache_folder, turn};

/// Some 70 s on two quiet CPUs.
const LIMIT_SECONDS: &str = "600";

/// The cache that tests share, for as long as it is this test's turn.
struct Place {
    cache: Cache,
    _turn: File,
}

impl Place {
    /// `None`, loudly, where this machine cannot emulate another, which is a failure if `REQUIRE_HOSTS` names `lab`.
    fn take() -> Option<Self> {
        let required =
            std::env::var("REQUIRE_HOSTS").is_ok_and(|hosts| hosts.split(',').any(|host| host.trim() == "lab"));
        let firmware = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin"];
        let has_firmware = firmware.iter().any(|file| Path::new(file).exists());
        let missing = match Program::of_system() {
            Err(error) => Some(error.to_string()),
            Ok(_) if !has_firmware => Some("seabios is not installed".to_owned()),
            Ok(_) => None,
        };
        if let Some(missing) = missing {
            assert!(!required, "REQUIRE_HOSTS names lab: {missing}");
            eprintln!("NOT TESTED: the KVM lab: {missing}");
            return None;
        }
        let cache = Cache::open(cache_folder()).expect("a folder for images");
        let turn = turn(&cache);
        Some(Self { cache, _turn: turn })
    }

    fn lab(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin("phasecast"));
        command.arg("lab").args(arguments).arg("--cache").arg(self.cache.folder()).stdin(Stdio::null());
        command
    }

    /// A lab whose outer machine has begun to run, and that machine's process.
    fn running(&self) -> (Child, u32) {
        let mut child = self.lab(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let look = |_| {
            std::thread::sleep(Duration::from_millis(20));
            machine_of(child.id())
        };
        let machine = (0..6000).find_map(look);
        let Some(machine) = machine else {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
            panic!("no machine was started");
        };
        (child, machine)
    }
}

#[test]
fn in_the_lab_every_claim_about_the_daemon_holds() {
    let Some(place) = Place::take() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let out_text = out.display().to_string();
    let run = || place.lab(&["--out", &out_text, "--json", "--timeout", LIMIT_SECONDS]).output().expect("it starts");
    let mut ran = run();
    if ran.stdout.is_empty() {
        // An emulated machine whose own kernel does not boot, as happens beside much else, says nothing of the daemon.
        eprintln!("the lab gave no answer, so it is started once more: {}", String::from_utf8_lossy(&ran.stderr));
        ran = run();
    }
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let told: serde_json::Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("no outcome: {error}\n{said}"));
    let verdicts = told["verdicts"].as_array().expect("a list");
    let failed: Vec<_> = verdicts.iter().filter(|verdict| verdict["holds"] != true).collect();
    assert!(ran.status.success() && failed.is_empty(), "{failed:#?}\n{said}");
    // A claim that was never judged is none that holds.
    let claims: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["claim"].as_str()).collect();
    for claim in CLAIMS {
        assert!(claims.contains(&claim), "{claim:?} was not judged: {claims:#?}");
    }
    // What is left behind is what it says.
    let ending = |number: u32| {
        let journal = Journal::read(&out.join(format!("journal-{number:06}.jsonl"))).expect("a journal");
        assert!(journal.turns.iter().any(|turn| !turn.outcomes.is_empty()), "nobody was moved");
        journal.ending
    };
    assert_eq!((ending(1), ending(2), ending(3)), (Some(Ending::Interrupted), None, None));
    let restored = std::fs::read_to_string(out.join("restore.txt")).expect("what restore said");
    assert!(restored.contains("given back") && restored.contains("has ended"), "{restored}");
}

/// What must be shown, by name.
const CLAIMS: [&str; 12] = [
    "guests and their vCPU threads are found",
    "a reload moves guests to the other domain",
    "the policy moves a guest to the domain that is idle",
    "a guest that comes while the daemon runs is moved",
    "what an owner sets meanwhile is seen",
    "the daemon goes on when guests pause, die and come",
    "SIGTERM gives every affinity back",
    "after SIGKILL the watchdog gives every affinity back",
    "phasecast restore gives every affinity back",
    "/proc and the journal of daemon 1 agree",
    "/proc and the journal of daemon 2 agree",
    "/proc and the journal of daemon 3 agree",
];

/// The QEMU that any thread of `process` has started.
fn machine_of(process: u32) -> Option<u32> {
    let threads: Vec<PathBuf> =
        std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten().map(|thread| thread.path()).collect();
    let children = threads.iter().filter_map(|thread| std::fs::read_to_string(thread.join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|line| line.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    children.into_iter().find(|child| runs_a_machine(*child))
}

/// Whether a process is there and runs QEMU for good, not just to tell its version.
fn runs_a_machine(process: u32) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.contains("qemu-system") && line.contains("-smp")
}

#[test]
fn however_the_lab_is_stopped_its_machine_ends_with_it() {
    let Some(place) = Place::take() else { return };
    for (signal, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let (mut child, machine) = place.running();
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("kill is everywhere").success());
        assert_eq!(child.wait().expect("it ends").code(), code, "{signal}");
        let ended = Instant::now();
        while runs_a_machine(machine) {
            assert!(ended.elapsed() < Duration::from_secs(10), "the machine goes on after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_lab_that_takes_too_long_is_ended_and_says_so() {
    let Some(place) = Place::take() else { return };
    let ran = place.lab(&["--timeout", "1"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("it was not done within 1 s"), "{said}");
}

#[test]
fn a_number_of_guests_that_cannot_be_halved_is_refused() {
    let ran = Command::new(cargo_bin("phasecast")).args(["lab", "--guests", "5"]).output().expect("it starts");
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("half of them for each LLC domain"));
}
