//! Custody of real threads of this process.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::*;
use crate::procfs::{Pid, Tid};

/// A thread that waits until it is dropped.
struct Waiter {
    identity: ThreadIdentity,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waiter {
    fn start() -> Self {
        let (end, ended): (Sender<()>, Receiver<()>) = channel();
        let (say, said) = channel();
        let thread = std::thread::spawn(move || {
            let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).expect("positive");
            say.send(Tid(tid)).expect("the test listens");
            let _ = ended.recv();
        });
        let tid = said.recv().expect("it starts");
        let identity = proc().identity(Pid(std::process::id()), tid).expect("it lives");
        Self { identity, end: Some(end), thread: Some(thread) }
    }

    fn mask(&self) -> CpuSet {
        affinity::mask_of(self.identity.tid).expect("it lives")
    }

    fn asks(&self, cpus: &CpuSet) -> Binding {
        Binding { thread: self.identity, comm: "waiter".to_owned(), cpus: cpus.clone(), through: None }
    }

    fn end(&mut self) {
        drop(self.end.take());
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("no panic"));
        while proc().identity(self.identity.pid, self.identity.tid).is_ok() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.end.take());
    }
}

fn proc() -> Proc {
    Proc::open(Path::new("/")).expect("a proc")
}

fn open(ledger: &Path) -> Custody {
    Custody::open(ledger, Path::new("/")).expect("nobody holds it").0
}

/// Two different masks within what this process may use; `None` with one CPU, said aloud.
fn two_masks() -> Option<(CpuSet, CpuSet)> {
    let own = Tid(u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).expect("positive"));
    let cpus: Vec<u32> = affinity::mask_of(own).expect("our own").iter().collect();
    let [first, second, ..] = cpus[..] else {
        eprintln!("skipped: this machine has one CPU, so there is nowhere to bind a thread to");
        return None;
    };
    Some((CpuSet::from_iter([first]), CpuSet::from_iter([second])))
}

fn outcomes(report: &Report) -> Vec<&Outcome> {
    report.threads.iter().map(|thread| &thread.outcome).collect()
}

fn restored(ledger: &Path) -> Report {
    restore(ledger, Path::new("/"), Mode::Act, std::time::Duration::ZERO).expect("readable")
}

#[test]
fn what_was_bound_is_given_back_when_custody_ends() {
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("run/custody.jsonl");
    let waiter = Waiter::start();
    let before = waiter.mask();
    {
        let mut custody = open(&ledger);
        assert_eq!(custody.bind(&[waiter.asks(&one)]), [Ok(one.clone())]);
        assert_eq!(waiter.mask(), one);
        assert_eq!(custody.bind(&[waiter.asks(&other)]), [Ok(other.clone())]);
        assert_eq!((waiter.mask(), custody.held()), (other, 1));
    }
    assert_eq!(waiter.mask(), before);
}

#[test]
fn after_a_crash_the_ledger_gives_back_and_doing_it_again_does_nothing() {
    let Some((one, _)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, copy) = (folder.path().join("custody.jsonl"), folder.path().join("copy.jsonl"));
    let waiter = Waiter::start();
    let before = waiter.mask();
    let mut custody = open(&ledger);
    assert_eq!(custody.bind(&[waiter.asks(&one)]), [Ok(one.clone())]);
    // The lock goes with the process; a copy of the ledger is what a crash leaves.
    std::fs::copy(&ledger, &copy).expect("copied");
    std::mem::forget(custody);

    let look = restore(&copy, Path::new("/"), Mode::DryRun, std::time::Duration::ZERO).expect("readable");
    assert_eq!(outcomes(&look), [&Outcome::WouldGiveBack { mask: before.clone() }]);
    assert_eq!(waiter.mask(), one, "looking changes nothing");
    assert_eq!(outcomes(&restored(&copy)), [&Outcome::GivenBack { mask: before.clone() }]);
    assert_eq!(waiter.mask(), before);
    assert_eq!(restored(&copy), Report::default(), "nothing is owed any more");
    assert_eq!(
        outcomes(&restore(&ledger, Path::new("/"), Mode::DryRun, std::time::Duration::ZERO).expect("readable")),
        [&Outcome::AsBefore]
    );
}

#[test]
fn a_ledger_has_one_holder() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("custody.jsonl");
    let custody = open(&ledger);
    let refused = Custody::open(&ledger, Path::new("/")).map(drop).expect_err("it is held").to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())) && refused.contains("stop that"), "{refused}");
    let patience = std::time::Duration::from_millis(30);
    assert!(matches!(restore(&ledger, Path::new("/"), Mode::Act, patience), Err(LedgerError::Held { .. })));
    drop(custody);
    assert!(Custody::open(&ledger, Path::new("/")).is_ok());
}

#[test]
fn a_mask_of_somebody_elses_stands_and_the_second_time_the_thread_is_left_alone() {
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut custody = open(&folder.path().join("custody.jsonl"));
    let waiter = Waiter::start();
    let whole = waiter.mask();
    let thread = waiter.identity.tid;

    assert!(custody.bind(&[waiter.asks(&one)])[0].is_ok());
    affinity::bind(thread, &whole).expect("somebody else may");
    assert_eq!(
        custody.bind(&[waiter.asks(&other)]),
        [Err(BindRefusal::TakenOver { mask: whole.clone(), ours: one.clone() })]
    );
    assert_eq!(waiter.mask(), whole, "theirs stands");
    assert_eq!(custody.held(), 0, "and is what the thread keeps");

    assert!(custody.bind(&[waiter.asks(&one)])[0].is_ok(), "it lies within theirs");
    affinity::bind(thread, &other).expect("somebody else may");
    let takeovers = custody.takeovers();
    assert_eq!((takeovers.len(), takeovers[0].strikes, &takeovers[0].mask), (1, 2, &other));
    for _ in 0..2 {
        let left_alone = Err(BindRefusal::LeftAlone { mask: other.clone(), strikes: 2 });
        assert_eq!(custody.bind(&[waiter.asks(&one)]), [left_alone]);
    }
    affinity::bind(thread, &one).expect("somebody else may");
    assert_eq!(custody.bind(&[waiter.asks(&one)]), [Ok(one.clone())], "its mask is ours again");
    drop(custody);
    assert_eq!(waiter.mask(), one, "given back is the mask it was found with last");
}

#[test]
fn a_thread_never_leaves_the_mask_it_was_found_with() {
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut custody = open(&folder.path().join("custody.jsonl"));
    let waiter = Waiter::start();
    affinity::bind(waiter.identity.tid, &one).expect("pinned by its owner");
    let both: CpuSet = one.iter().chain(other.iter()).collect();
    assert_eq!(custody.bind(&[waiter.asks(&both)]), [Ok(one.clone())]);
    let refused = custody.bind(&[waiter.asks(&other)]).remove(0).expect_err("outside");
    assert!(refused.to_string().starts_with(&format!("CPUs {other} are not open to it: it was found bound to {one}")));
    assert_eq!(waiter.mask(), one);
}

#[test]
fn a_thread_that_ended_is_gone_and_nobody_else_is_touched() {
    let Some((one, _)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut custody = open(&folder.path().join("custody.jsonl"));
    let (mut ends, stays) = (Waiter::start(), Waiter::start());
    assert!(custody.bind(&[ends.asks(&one), stays.asks(&one)]).iter().all(Result::is_ok));
    ends.end();
    let answers = custody.bind(&[ends.asks(&one), stays.asks(&one)]);
    assert_eq!(answers, [Err(BindRefusal::Gone), Ok(one.clone())], "partial success");
    let mut impostor = stays.asks(&one);
    impostor.thread.thread_start_ticks -= 1;
    assert_eq!(custody.bind(&[impostor]), [Err(BindRefusal::Gone)]);
    let report = custody.give_back_all();
    let by_thread = |tid| report.threads.iter().find(|thread| thread.thread.tid == tid).map(|thread| &thread.outcome);
    assert_eq!(by_thread(ends.identity.tid), Some(&Outcome::Gone));
    assert!(matches!(by_thread(stays.identity.tid), Some(Outcome::GivenBack { .. })));
}

#[test]
fn a_ledger_that_cannot_be_written_stops_all_binding() {
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut custody = open(&folder.path().join("custody.jsonl"));
    let (held, new) = (Waiter::start(), Waiter::start());
    let before = new.mask();
    assert!(custody.bind(&[held.asks(&one)])[0].is_ok());
    // A device that is always full.
    custody.ledger.redirect_to(Path::new("/dev/full"));
    let answers = custody.bind(&[held.asks(&other), new.asks(&one), held.asks(&one)]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(BindRefusal::NoLedger(_)))), "{answers:?}");
    assert_eq!((held.mask(), new.mask()), (one, before));
    assert_eq!(custody.held(), 1, "what was bound before is still owed");
}

#[test]
fn a_ledger_cut_short_and_damaged_gives_back_what_can_be_read() {
    let Some((one, _)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, cut) = (folder.path().join("custody.jsonl"), folder.path().join("cut.jsonl"));
    let (first, second) = (Waiter::start(), Waiter::start());
    let before = first.mask();
    let mut custody = open(&ledger);
    assert!(custody.bind(&[first.asks(&one)])[0].is_ok() && custody.bind(&[second.asks(&one)])[0].is_ok());
    let text = std::fs::read_to_string(&ledger).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&cut, format!("{}\n\0garbage\n{}\n{}", lines[0], lines[1], &lines[2][..40])).expect("written");
    let report = restored(&cut);
    assert_eq!((outcomes(&report), report.damaged_lines), (vec![&Outcome::GivenBack { mask: before.clone() }], 2));
    assert_eq!((first.mask(), second.mask()), (before, one));
}

#[test]
fn a_ledger_of_another_boot_or_of_other_threads_touches_nobody() {
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("custody.jsonl");
    let waiter = Waiter::start();
    affinity::bind(waiter.identity.tid, &one).expect("by hand");
    let line = |thread: ThreadIdentity| {
        let (comm, original, mask) = (String::new(), other.clone(), one.clone());
        serde_json::to_string(&Line::Bound { thread, comm, original, is_whole: false, mask, through: None })
            .expect("plain data")
    };
    let header = |boot: &str| format!("{{\"ledger\":{{\"version\":1,\"boot_id\":\"{boot}\"}}}}");
    std::fs::write(&ledger, format!("{}\n{}\n", header("another"), line(waiter.identity))).expect("written");
    assert_eq!(outcomes(&restored(&ledger)), [&Outcome::Gone]);
    let later = ThreadIdentity { thread_start_ticks: waiter.identity.thread_start_ticks + 1, ..waiter.identity };
    let older = ThreadIdentity { process_start_ticks: 1, ..waiter.identity };
    std::fs::write(&ledger, format!("{}\n{}\n", line(later), line(older))).expect("written");
    assert_eq!(outcomes(&restored(&ledger)), [&Outcome::Gone, &Outcome::Gone]);
    assert_eq!(waiter.mask(), one);
    std::fs::write(&ledger, "{\"ledger\":{\"version\":3,\"boot_id\":null}}\n").expect("written");
    let refused = restore(&ledger, Path::new("/"), Mode::Act, std::time::Duration::ZERO).expect_err("another version");
    assert!(refused.to_string().contains("has version 3; this phasecast reads 1 to 2"), "{refused}");
    assert!(ledger.exists(), "what cannot be read is not removed");
}

#[test]
fn the_ledger_is_private_and_does_not_grow_with_moves_or_with_threads_that_ended() {
    use std::os::unix::fs::PermissionsExt;
    let Some((one, other)) = two_masks() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("custody.jsonl");
    let mut custody = open(&ledger);
    let waiter = Waiter::start();
    let lines = || std::fs::read_to_string(&ledger).expect("text").lines().count();
    for mask in [&one, &other].into_iter().cycle().take(50) {
        assert!(custody.bind(&[waiter.asks(mask)])[0].is_ok());
    }
    assert_eq!(lines(), 3, "a header and two masks");
    for _ in 0..400 {
        assert!(custody.bind(&[waiter.asks(&one)])[0].is_ok());
        custody.forget(&waiter.identity);
        affinity::unbind(waiter.identity.tid).expect("by hand");
    }
    assert!(lines() < 300, "{} lines", lines());
    assert_eq!(std::fs::metadata(&ledger).expect("there").permissions().mode() & 0o777, 0o600);
}
