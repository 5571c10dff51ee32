//! The daemon over hosts on which nobody is hurt: whatever happens, everything is given back, and the journal says what was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::daemon::config::Config;
use harness::daemon::status::{Board, Snapshot};
use harness::daemon::undo::{GivenBack, Returning, Undoable};
use harness::daemon::{Brain, Daemon, DaemonError, Life};
use harness::host::faulty::{AdvanceFault, ApplyFault, FaultPlan, FaultyHost};
use harness::host::{Arrival, Host, HostError, MoveOutcome, Observation};
use harness::interrupt::Interrupt;
use harness::journal::folder::files_in;
use harness::journal::note::{Mode, Note};
use harness::journal::{Ending, Journal};
use harness::resctrl::GuestUse;
use predictor::counters::{Event, GuestId, Reading, Readings, Sample, VcpuId};
use predictor::placement::Move;
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use tests::simulated;

/// A host that asks for the daemon's end after so many quanta, or does what else it was told to between two.
struct Until<Inner> {
    inner: Inner,
    stop: Interrupt,
    left: u64,
    quantum: Duration,
    between: Box<dyn FnMut(u64)>,
}

impl<Inner: Undoable> Host for Until<Inner> {
    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.inner.events()
    }

    fn advance(&mut self, _: Duration) -> Result<Observation, HostError> {
        self.left = self.left.saturating_sub(1);
        (self.between)(self.left);
        if self.left == 0 {
            self.stop.request();
        }
        // Virtual time: the fixture's quantum, whatever the daemon's.
        self.inner.advance(self.quantum)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        self.inner.apply(moves)
    }
}

impl<Inner: Undoable> Undoable for Until<Inner> {
    fn give_back(&mut self) -> GivenBack {
        self.inner.give_back()
    }

    fn news(&mut self) -> Vec<String> {
        self.inner.news()
    }

    fn cache_use(&self) -> Vec<GuestUse> {
        self.inner.cache_use()
    }
}

/// What came of a daemon.
struct Outcome {
    ended: Result<(), DaemonError>,
    journals: Vec<Journal>,
    board: Arc<Board>,
}

impl Outcome {
    fn shown(&self) -> Arc<Snapshot> {
        self.board.latest()
    }

    fn happened(&self) -> String {
        let notes = self.journals.iter().flat_map(|journal| &journal.notes);
        let told = notes.filter_map(|noted| match &noted.note {
            Note::Happened { kind, text } => Some(format!("{kind}: {text}\n")),
            Note::Present { .. } | Note::Mode { .. } => None,
        });
        told.collect()
    }
}

fn config(folder: &Path, text: &str) -> Config {
    let text = format!("{text}\n[journal]\nfolder = \"{}\"\n", folder.join("journal").display());
    Config::parse(Path::new("test.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a daemon with this configuration until the host asks for the end.
fn run<Inner: Undoable>(
    host: &mut Until<Inner>,
    folder: &Path,
    config: Config,
    brain: &Brain,
    reread: &mut dyn FnMut() -> Result<(Config, Brain), String>,
    reload: Arc<std::sync::atomic::AtomicBool>,
) -> Outcome {
    let mut life = Life { stop: host.stop.clone(), reload, ..Life::default() };
    let daemon = Daemon::new(config, brain.clone(), host).expect("a writable folder");
    let board = daemon.board();
    let ended = daemon.run(&mut life, reread);
    let files = files_in(&folder.join("journal")).expect("a folder");
    let read = |(_, file): &(u32, PathBuf)| Journal::read(file).unwrap_or_else(|error| panic!("{error}"));
    Outcome { ended, journals: files.iter().map(read).collect(), board }
}

fn until<Inner: Undoable>(inner: Inner, quanta: u64) -> Until<Inner> {
    let quantum = simulated::mix().quantum();
    Until { inner, stop: Interrupt::default(), left: quanta, quantum, between: Box::new(|_| ()) }
}

fn simple<Inner: Undoable>(host: &mut Until<Inner>, text: &str, brain: &Brain) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(folder.path(), text);
    run(host, folder.path(), config, brain, &mut || unreachable!("nobody asks"), Arc::default())
}

const PREDICTIVE: &str = "model = \"m\"\nact = true";
const STILL: &str = "model = \"m\"";

fn brain() -> Brain {
    Brain::with_model(simulated::model_of(&simulated::mix()))
}

fn fixture() -> Returning<Box<dyn Host>> {
    Returning::new(simulated::launch(&simulated::mix()))
}

#[test]
fn a_dry_run_moves_nobody_and_says_so_everywhere() {
    let mut host = until(fixture(), 100);
    let outcome = simple(&mut host, STILL, &brain());
    outcome.ended.as_ref().expect("asked to end");
    assert_eq!(host.inner.displaced(), []);
    let shown = outcome.shown();
    assert!(shown.mode == Mode::DryRun && shown.totals.withheld > 0 && shown.totals.done == 0, "{shown:?}");
    assert!(shown.decisions.iter().all(|decided| decided.refusal.as_deref() == Some("dry run: nobody is moved")));
    let journal = &outcome.journals[0];
    assert!(journal.notes.iter().any(|noted| noted.note == Note::Mode { mode: Mode::DryRun }));
    let outcomes: Vec<_> = journal.turns.iter().flat_map(|turn| &turn.outcomes).collect();
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.refusal.is_some()));
    assert_eq!(journal.ending, Some(Ending::Interrupted));
}

#[test]
fn acting_moves_and_the_end_gives_everything_back() {
    let mut host = until(fixture(), 100);
    let outcome = simple(&mut host, PREDICTIVE, &brain());
    outcome.ended.as_ref().expect("asked to end");
    assert!(outcome.shown().totals.done > 0);
    assert_eq!(host.inner.displaced(), []);
}

#[test]
fn whatever_call_fails_nobody_is_left_moved_and_the_journal_is_readable() {
    let brain = brain();
    for call in 1..=30 {
        let advance = FaultPlan { advance: [(call, AdvanceFault::Fail)].into(), ..FaultPlan::default() };
        let apply = FaultPlan { apply: [(call, ApplyFault::Fail)].into(), ..FaultPlan::default() };
        for plan in [advance, apply] {
            let faulty = FaultyHost::new(simulated::launch(&simulated::mix()), plan.clone());
            let mut host = until(Returning::new(faulty), 30);
            let outcome = simple(&mut host, PREDICTIVE, &brain);
            match &outcome.ended {
                // The fault met the very attempt to give back: then it is said, and by whom it can be undone.
                Err(DaemonError::NotGivenBack(_)) => {
                    let said = outcome.ended.as_ref().expect_err("matched").to_string();
                    assert!(said.contains("run `phasecast restore`"), "{said}");
                }
                _ => assert_eq!(host.inner.displaced(), [], "{plan:?}"),
            }
            assert!(plan.advance.is_empty() || outcome.ended.is_err(), "{plan:?}");
            let ending = outcome.journals[0].ending.as_ref().expect("it was ended");
            assert_eq!(matches!(ending, Ending::Failed(_)), matches!(&outcome.ended, Err(DaemonError::Control(_))));
        }
    }
}

#[test]
fn a_bad_configuration_changes_nothing_and_a_good_one_is_obeyed_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reload = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut host = until(fixture(), 120);
    let asks = Arc::clone(&reload);
    host.between = Box::new(move |left| {
        if left == 90 || left == 60 {
            asks.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let brain = brain();
    let mut read = 0;
    let everybody_excluded =
        format!("{PREDICTIVE}\nquantum_milliseconds = 50\n[[guest]]\nname = \"*\"\nexclude = true");
    let next = config(folder.path(), &everybody_excluded);
    let mut reread = || {
        read += 1;
        if read == 1 {
            Err("c.toml: cpus: wrong; write it right".to_owned())
        } else {
            Ok((next.clone(), brain.clone()))
        }
    };
    let before = config(folder.path(), PREDICTIVE);
    let outcome = run(&mut host, folder.path(), before, &brain, &mut reread, Arc::clone(&reload));
    outcome.ended.as_ref().expect("asked to end");
    let happened = outcome.happened();
    assert!(
        happened.contains("the old configuration stays in force: c.toml: cpus: wrong; write it right"),
        "{happened}"
    );
    assert!(
        happened.contains("in force, what was learned is kept; only at the next start: quantum_milliseconds"),
        "{happened}"
    );
    let turns = || outcome.journals.iter().flat_map(|journal| &journal.turns);
    assert!(turns().any(|turn| turn.quantum < 61 && !turn.outcomes.is_empty()), "before, somebody is");
    assert!(turns().all(|turn| turn.quantum < 61 || turn.outcomes.is_empty()), "then nobody is moved");
    let verdict = &outcome.shown().vcpus[0].verdict;
    assert_eq!(verdict, "stays: the operator wants it left alone");
}

/// Three vCPUs in one of two domains, all at work, faster by `factor` while somebody has been moved.
struct Made {
    topology: Topology,
    events: BTreeSet<Event>,
    homes: [DomainId; 3],
    factor: f64,
    quantum: u64,
}

impl Made {
    fn new(factor: f64) -> Self {
        let cpus = |id: u32| vec![CpuId(4 * id), CpuId(4 * id + 1), CpuId(4 * id + 2), CpuId(4 * id + 3)];
        let domain = |id| LlcDomain { id: DomainId(id), node: NodeId(0), cpus: cpus(id), llc_bytes: None };
        let topology = Topology::new(vec![domain(0), domain(1)]).expect("sound");
        Self { topology, events: [Event::Instructions].into(), homes: [DomainId(0); 3], factor, quantum: 0 }
    }

    fn vcpus(&self) -> impl Iterator<Item = (VcpuId, DomainId)> + '_ {
        (0..).map(|guest| VcpuId { guest: GuestId(guest), index: 0 }).zip(self.homes)
    }
}

impl Host for Made {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.events
    }

    fn advance(&mut self, elapsed: Duration) -> Result<Observation, HostError> {
        let is_moved = self.homes != [DomainId(0); 3];
        // A little restless, and the same for everybody.
        let restless = 1.0 + 0.05 * ((self.quantum % 7) as f64 - 3.0);
        let instructions = 1e8 * restless * if is_moved { self.factor } else { 1.0 };
        let reading = Reading::Exact(instructions as u64);
        let sample = |(vcpu, domain)| Sample {
            vcpu,
            domain,
            elapsed,
            readings: Readings::new([(Event::Instructions, reading)]),
            address_space: None,
            truth: None,
        };
        let named = |(vcpu, domain): (VcpuId, _)| Arrival { vcpu, name: format!("guest-{}", vcpu.guest.0), domain };
        let arrivals = if self.quantum == 0 { self.vcpus().map(named).collect() } else { Vec::new() };
        self.quantum += 1;
        Ok(Observation { samples: self.vcpus().map(sample).collect(), arrivals, ..Observation::default() })
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        for moved in moves {
            self.homes[moved.vcpu.guest.0 as usize] = moved.to;
        }
        Ok(moves.iter().map(|moved| MoveOutcome { requested: *moved, refusal: None }).collect())
    }
}

#[test]
fn a_guest_that_is_to_be_left_alone_is_so_from_the_quantum_in_which_it_comes() {
    // Without a rule somebody moves in the very first quantum, in which all have come.
    let outcome = simple(&mut until(Returning::new(Made::new(1.0)), 3), "act = true", &Brain::without_model());
    assert!(!outcome.journals[0].turns[0].outcomes.is_empty(), "or this would show nothing");
    let excluded = "act = true\n[[guest]]\nname = \"*\"\nexclude = true";
    let outcome = simple(&mut until(Returning::new(Made::new(1.0)), 3), excluded, &Brain::without_model());
    assert!(outcome.journals[0].turns.iter().all(|turn| turn.outcomes.is_empty()));
}

/// A trial of blocks of one second, where moving makes this much of progress; what was found, and what is done then.
fn tried(factor: f64) -> (String, Mode) {
    let text = "act = true\n[policy]\nmoves_per_vcpu_minute = 6000.0\n[trial]\nblock_seconds = 1.0\n\
                settle_seconds = 0.3\npairs = 6\nrest_minutes = 10.0";
    let mut host = until(Returning::new(Made::new(factor)), 300);
    let outcome = simple(&mut host, text, &Brain::without_model());
    outcome.ended.as_ref().expect("asked to end");
    assert_eq!(host.inner.displaced(), [], "the end gives back");
    let found = outcome.happened().lines().filter(|line| line.starts_with("trial: ")).map(str::to_owned).collect();
    (found, outcome.shown().mode)
}

#[test]
fn a_trial_goes_on_acting_where_it_helps_and_stops_where_it_hurts() {
    let (found, mode) = tried(1.2);
    assert!(found.starts_with("trial: moving helps;") && mode == Mode::Acting, "{found} {mode:?}");
    let (found, mode) = tried(0.8);
    assert!(found.starts_with("trial: moving does not help;") && mode == Mode::Holding, "{found} {mode:?}");
}

#[test]
fn a_trial_in_which_moving_changes_nothing_goes_on() {
    let (found, _) = tried(1.0);
    assert!(!found.contains("helps") && !found.contains("does not help"), "{found}");
}
