//! The daemon's binary over real KVM descriptors: it moves, and however it ends, every affinity is as it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use harness::journal::folder::files_in;
use harness::journal::{Ending, Journal};
use tests::live::{KvmGuest, has_two_cpus, two_domains};

/// No test: what the guests here run. See [`tests::live::kvm`].
#[test]
fn kvm_guest() {
    tests::live::kvm::play();
}

/// A daemon on these guests alone, with two LLC domains and all its files in a folder.
struct Running {
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Running {
    /// Waits until its page answers.
    fn start(folder: &Path, guests: &[&KvmGuest]) -> Self {
        let file = folder.join("c.toml");
        let place = folder.display();
        let text = format!(
            "act = true\nquantum_milliseconds = 50\nrescan_quanta = 2\nwatchdog_seconds = 2\n\
             ledger = \"{place}/custody.jsonl\"\n[policy]\nmoves_per_vcpu_minute = 6000.0\n\
             [journal]\nfolder = \"{place}/journal\"\nfile_mebibytes = 1\nfiles = 2\n[status]\naddress = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&file, text).expect("writable");
        let log = std::fs::File::create(folder.join("log")).expect("writable");
        let mut command = Command::new(cargo_bin("phasecast"));
        command.arg("daemon").arg("--config").arg(&file);
        command.arg("--sysfs-root").arg(two_domains(folder, [0, 0]));
        for guest in guests {
            command.arg("--within").arg(guest.pid().0.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it was built");
        let mut running = Self { child, folder: folder.to_owned(), address: String::new() };
        wait("the page", || {
            let log = running.log();
            assert!(!log.contains("failed"), "{log}");
            let rest = log.split("http://").nth(1).and_then(|rest| rest.split('/').next());
            rest.map(|address| running.address = address.to_owned()).is_some()
        });
        running
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid()]).status().expect("kill runs").success());
    }

    /// Sends bytes, answers what came back.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(request).expect("it reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes())
    }

    fn journals(&self) -> Vec<Journal> {
        let files = files_in(&self.folder.join("journal")).expect("a folder");
        files.iter().map(|(_, file)| Journal::read(file).unwrap_or_else(|error| panic!("{error}"))).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The CPUs of each of a guest's threads.
fn masks(guest: &KvmGuest) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", guest.pid().0)).expect("it runs");
    let mask = |thread: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(thread.expect("listed").path().join("status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap_or_default().to_owned()
    };
    let mut masks: Vec<String> = threads.map(mask).collect();
    masks.sort();
    masks
}

/// Two guests that spin and whose vCPUs belong in domain 1 by the operator's order, so that they are bound for certain.
fn two_guests() -> Option<(KvmGuest, KvmGuest)> {
    let start = |name| has_two_cpus().then(|| KvmGuest::start("qemu", "spin", 1, name)).flatten();
    Some((start("one")?, start("two")?))
}

const PINNED: &str = "[[guest]]\nname = \"*\"\ndomain = 1";

fn bound(guests: &(KvmGuest, KvmGuest)) -> bool {
    masks(&guests.0).contains(&"1".to_owned()) && masks(&guests.1).contains(&"1".to_owned())
}

#[test]
fn sigterm_gives_every_affinity_back_and_ends_well() {
    let Some(guests) = two_guests() else { return };
    let before = (masks(&guests.0), masks(&guests.1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut running = Running::start(folder.path(), &[&guests.0, &guests.1]);
    append_rules(&running);
    wait("a move", || bound(&guests));
    running.signal("-TERM");
    assert!(running.child.wait().expect("our child").success(), "{}", running.log());
    assert_eq!((masks(&guests.0), masks(&guests.1)), before);
    let journals = running.journals();
    assert_eq!(journals.last().and_then(|journal| journal.ending.clone()), Some(Ending::Interrupted));
    let moved = journals.iter().flat_map(|journal| &journal.turns).flat_map(|turn| &turn.outcomes);
    assert!(moved.filter(|outcome| outcome.refusal.is_none()).count() >= 2, "the journal says what /proc said");
}

/// Adds the rules and has them read: a reload is how they come to a daemon at work.
fn append_rules(running: &Running) {
    let file = running.folder.join("c.toml");
    let text = std::fs::read_to_string(&file).expect("written");
    std::fs::write(&file, format!("{text}{PINNED}\n")).expect("writable");
    running.signal("-HUP");
    wait("the reload", || running.log().contains("the new configuration is in force, what was learned is kept"));
}

#[test]
fn a_daemon_that_is_killed_or_stuck_is_undone_by_its_watchdog_and_its_journal_is_readable() {
    let Some(guests) = two_guests() else { return };
    let before = (masks(&guests.0), masks(&guests.1));
    for signal in ["-KILL", "-STOP"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut running = Running::start(folder.path(), &[&guests.0, &guests.1]);
        append_rules(&running);
        wait("a move", || bound(&guests));
        running.signal(signal);
        wait("the restore", || (masks(&guests.0), masks(&guests.1)) == before);
        // A stuck one is ended, or it would go on binding when it wakes up.
        assert!(!running.child.wait().expect("our child").success());
        let journals = running.journals();
        assert!(journals.iter().any(|journal| !journal.turns.is_empty()));
        assert_eq!(journals.last().and_then(|journal| journal.ending.clone()), None);
        // The next one begins where nothing is owed.
        let next = Running::start(folder.path(), &[&guests.0, &guests.1]);
        assert_eq!(files_in(&folder.path().join("journal")).expect("a folder").len(), 2);
        drop(next);
        wait("the restore", || (masks(&guests.0), masks(&guests.1)) == before);
    }
}

#[test]
fn the_page_is_for_reading_on_loopback_and_survives_whoever_asks() {
    let Some(guests) = two_guests() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(folder.path(), &[&guests.0, &guests.1]);
    wait("the guests", || running.get("/").contains("<td>one</td>"));
    assert!(running.get("/metrics").contains("phasecast_guests 2"));
    assert!(running.ask(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(running.ask(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").starts_with("HTTP/1.1 403 "));
    assert!(running.ask(b"\x16\x03\x01\x02\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(running.ask(&[b'a'; 20_000]).starts_with("HTTP/1.1 431 "));
    // Those who say nothing hold their places for two seconds and no longer; those who come then are told so.
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(&running.address).expect("it listens")).collect();
    wait("a place", || running.get("/status.json").starts_with("HTTP/1.1 200 "));
    drop(silent);
    // Nothing else than loopback is listened on.
    let (port, tables) = (running.address.rsplit(':').next().expect("a port"), ["tcp", "tcp6"]);
    let port = format!(":{:04X} ", port.parse::<u16>().expect("a number"));
    for table in tables {
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let listening = table.lines().filter(|line| line.contains(&port) && line.contains(" 0A "));
        assert!(listening.clone().all(|line| line.contains("0100007F:")), "{table}");
    }
    let top = Command::new(cargo_bin("phasecast")).args(["top", "--once", "--address", &running.address]).output();
    let top = String::from_utf8(top.expect("it runs").stdout).expect("text");
    assert!(top.contains("ACTING") && top.contains("one") && top.contains("two"), "{top}");
}

/// What a process holds: resident memory in KiB, and descriptors.
fn held(pid: &str) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    let resident = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    (resident, std::fs::read_dir(format!("/proc/{pid}/fd")).expect("ours").count())
}

/// `PHASECAST_SOAK_SECONDS` says for how long; without it, for a minute.
#[test]
fn while_guests_come_and_go_memory_descriptors_and_journal_stay_flat() {
    let Some(guests) = two_guests() else { return };
    let seconds = std::env::var("PHASECAST_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut coming = KvmGuest::start("qemu", "sleep", 2, "coming").expect("the others are there");
    let running = Running::start(folder.path(), &[&guests.0, &guests.1, &coming]);
    append_rules(&running);
    let (begun, mut early) = (Instant::now(), None);
    while begun.elapsed() < Duration::from_secs(seconds) {
        coming.order("plug");
        std::thread::sleep(Duration::from_millis(300));
        assert!(running.get("/").starts_with("HTTP/1.1 200 "));
        coming.order("unplug");
        std::thread::sleep(Duration::from_millis(300));
        if early.is_none() && begun.elapsed() > Duration::from_secs(seconds / 3) {
            early = Some(held(&running.pid()));
        }
    }
    let (early, late) = (early.expect("long enough"), held(&running.pid()));
    eprintln!("after {} s {early:?} KiB and descriptors, after {seconds} s {late:?}", seconds / 3);
    assert!(late.0 <= early.0 + 4096, "memory: {early:?} {late:?}");
    assert!(late.1 <= early.1 + 4, "descriptors: {early:?} {late:?}");
    let files = files_in(&folder.path().join("journal")).expect("a folder");
    let bytes: u64 = files.iter().map(|(_, file)| file.metadata().expect("there").len()).sum();
    assert!(files.len() <= 2 && bytes < 3 << 20, "{bytes} bytes in {} files", files.len());
}

#[test]
fn a_wrong_configuration_is_refused_with_code_2_and_the_default_one_is_sound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("c.toml");
    let check =
        || Command::new(cargo_bin("phasecast")).args(["daemon", "--check"]).arg(&file).output().expect("it runs");
    let printed = Command::new(cargo_bin("phasecast")).args(["daemon", "--print-default-config"]).output();
    std::fs::write(&file, printed.expect("it runs").stdout).expect("writable");
    assert!(check().status.success());
    std::fs::write(&file, "[status]\naddress = \"0.0.0.0:9917\"").expect("writable");
    let refused = check();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).expect("text");
    assert!(said.contains("status.address: 0.0.0.0 is reachable from other machines"), "{said}");
}
