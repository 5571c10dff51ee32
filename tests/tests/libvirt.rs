//! The live host on guests of a real libvirt: they are bound by asking it, so that it knows, and given back the same way.
//!
//! Needs libvirt's daemon and client library (`make test-libvirt`) and may start the daemon. The guest is emulated and
//! boots nothing: its firmware waits, on a vCPU thread like any other.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use harness::custody::{Mode, Outcome, restore};
use harness::discovery::{Discovery, Scope};
use harness::host::Host;
use harness::host::live::{LiveHost, LiveSettings};
use harness::procfs::{Pid, Proc};
use harness::sysfs::CpuSet;
use predictor::placement::Move;
use predictor::topology::DomainId;
use tests::live::{has_two_cpus, settings};

const URI: &str = "qemu:///system";

/// Daemons of libvirt that the test started.
struct Libvirt(Vec<Child>);

impl Libvirt {
    fn running() -> Self {
        if virsh(&["version"]).is_ok() {
            return Self(Vec::new());
        }
        let start = |program: &str| Command::new(program).spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let started = Self(vec![start("virtlogd"), start("libvirtd")]);
        wait("libvirtd answers", || virsh(&["version"]).ok());
        started
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            // They may have ended by themselves.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A guest with two vCPUs.
struct Guest {
    name: String,
    pid: Pid,
}

impl Guest {
    fn start(folder: &Path) -> Self {
        let name = format!("phasecast-{}", std::process::id());
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        );
        let file = folder.join("guest.xml");
        std::fs::write(&file, xml).expect("a file");
        virsh(&["create", file.to_str().expect("text")]).expect("the guest starts");
        let pid = wait("its process shows", || {
            let scope = Scope { include_tcg: true, ask_qmp: false };
            let scan = Discovery::new(Proc::open(Path::new("/")).expect("a proc"), scope).scan().expect("a proc");
            scan.guests.into_iter().find(|guest| guest.name == name && guest.vcpus.len() == 2).map(|guest| guest.pid)
        });
        Self { name, pid }
    }

    /// Where libvirt thinks that each vCPU may run.
    fn pins(&self) -> Vec<String> {
        let table = virsh(&["vcpupin", &self.name, "--live"]).expect("it runs");
        let rows = table.lines().filter_map(|line| {
            let (vcpu, cpus) = line.trim().split_once(' ')?;
            vcpu.parse::<u32>().is_ok().then(|| cpus.trim().to_owned())
        });
        rows.collect()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A failed test must not leave it running.
        let _ = virsh(&["destroy", &self.name]);
    }
}

fn virsh(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("virsh").args(["-c", URI]).args(arguments).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A host that may act on this guest alone, by the libvirt at `uri`, on two made-up LLC domains.
fn host_of(guest: &Guest, folder: &Path, uri: &str) -> LiveHost {
    let (within, libvirt) = (Some([guest.pid].into()), Some(uri.to_owned()));
    let settings = LiveSettings { include_tcg: true, within, libvirt, ..settings(folder, &[]) };
    LiveHost::new(settings).unwrap_or_else(|error| panic!("{error}"))
}

/// A running guest and a host that has seen it; everything of theirs is in the folder.
struct Scene {
    host: LiveHost,
    guest: Guest,
    folder: tempfile::TempDir,
    _libvirt: Libvirt,
}

impl Scene {
    /// `None`, loudly, where there are not two CPUs.
    fn set(uri: &str) -> Option<Self> {
        has_two_cpus().then(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let libvirt = Libvirt::running();
            let guest = Guest::start(folder.path());
            let mut host = host_of(&guest, folder.path(), uri);
            host.advance(Duration::from_millis(50)).expect("it lives");
            Self { host, guest, folder, _libvirt: libvirt }
        })
    }
}

/// Where the kernel lets each vCPU run.
fn masks(host: &LiveHost) -> Vec<CpuSet> {
    let vcpus = host.guests().into_iter().flat_map(|guest| guest.vcpus);
    vcpus.map(|vcpu| harness::affinity::mask_of(vcpu.thread.tid).expect("it lives")).collect()
}

#[test]
fn a_guest_of_libvirt_is_moved_and_given_back_by_libvirt() {
    let Some(Scene { _libvirt, folder, guest, mut host }) = Scene::set(URI) else { return };
    let before = guest.pins();
    let found = masks(&host);
    assert_eq!(found.len(), 2);

    for target in [[1, 0], [0, 1]] {
        let vcpus: Vec<_> = host.guests().into_iter().flat_map(|guest| guest.vcpus).collect();
        // One at a time would find no room: each domain has one CPU.
        let moves: Vec<Move> = vcpus
            .iter()
            .zip(target)
            .map(|(vcpu, to)| Move { vcpu: vcpu.id, from: vcpu.domain, to: DomainId(to) })
            .collect();
        for outcome in host.apply(&moves).expect("answers") {
            assert_eq!(outcome.refusal, None);
        }
        assert_eq!(masks(&host), target.map(|cpu| CpuSet::from_iter([cpu])));
        assert_eq!(guest.pins(), target.map(|cpu| cpu.to_string()), "libvirt knows");
    }

    // Another process finds the ledger of one that was killed.
    let left = folder.path().join("left.jsonl");
    std::fs::copy(&host.settings().ledger, &left).expect("a ledger");
    let report = restore(&left, Path::new("/"), Mode::Act, Duration::ZERO).expect("readable");
    assert!(report.threads.iter().all(|thread| matches!(thread.outcome, Outcome::GivenBack { .. })), "{report:?}");
    assert_eq!((masks(&host), guest.pins()), (found.clone(), before.clone()));

    let report = host.give_back_all();
    assert!(report.threads.iter().all(|thread| thread.outcome == Outcome::AsBefore), "{report:?}");
    assert_eq!((masks(&host), guest.pins()), (found, before));
}

#[test]
fn what_an_owner_asks_of_libvirt_meanwhile_stands() {
    let Some(Scene { _libvirt, folder: _folder, guest, mut host }) = Scene::set(URI) else { return };
    let before = masks(&host).swap_remove(0);
    let vcpu = host.guests().swap_remove(0).vcpus.swap_remove(0).id;
    let moved = Move { vcpu, from: DomainId(0), to: DomainId(1) };
    assert_eq!(host.apply(&[moved]).expect("answers")[0].refusal, None);
    // Also where that is what it had before.
    virsh(&["vcpupin", &guest.name, "0", &before.to_string(), "--live"]).expect("the owner may");
    let back = Move { vcpu, from: DomainId(1), to: DomainId(0) };
    let refusal = host.apply(&[back]).expect("answers").swap_remove(0).refusal.expect("it is the owner's");
    assert!(refusal.starts_with("taken over"), "{refusal}");
    assert_eq!(masks(&host)[0], before);
}

#[test]
fn without_an_answer_nobody_is_moved_and_the_reason_is_told() {
    let nowhere = "qemu+unix:///system?socket=/nowhere";
    let Some(Scene { _libvirt, folder: _folder, guest: _guest, mut host }) = Scene::set(nowhere) else { return };
    let found = masks(&host);
    let vcpu = &host.guests()[0].vcpus[0];
    let outcomes = host.apply(&[Move { vcpu: vcpu.id, from: vcpu.domain, to: vcpu.domain }]).expect("answers");
    let refusal = outcomes[0].refusal.clone().expect("nobody answers");
    assert!(refusal.contains("by libvirt at qemu+unix") && refusal.contains("nowhere"), "{refusal}");
    assert_eq!(masks(&host), found);
}
