//! The daemon at work: turn after turn until somebody asks it to stop or something fails, and then everything given back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use predictor::counters::VcpuId;
use predictor::model::Model;
use predictor::placement::rules::{Rule, Rules};
use predictor::policy::Policy;
use predictor::topology::Topology;

use super::chronicle::{Chronicle, Picture};
use super::config::Config;
use super::notify::Notifier;
use super::status::{Board, Snapshot};
use super::trial::{Arm, Trial, Verdict};
use super::undo::{Gate, Undoable};
use super::watchdog::Heartbeat;
use crate::control::{ControlError, turn_among};
use crate::host::{Arrival, Observation};
use crate::interrupt::Interrupt;
use crate::journal::folder::JournalFolder;
use crate::journal::note::{Mode, Note, UnixMillis};
use crate::journal::run::RunDescription;
use crate::journal::{Ending, JournalError, Turn};

/// Why a daemon ended that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The loop could not go on.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The journal could not be written: moves without a record are not made.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Some vCPUs may still be where they were put.
    #[error("failed to give placement back: {}; run `phasecast restore`", .0.join("; "))]
    NotGivenBack(Vec<String>),
}

/// What decides: a model, or none.
#[derive(Debug, Clone)]
pub struct Brain {
    model: Option<Model>,
    /// The model's file as text, to know one from another.
    text: Option<String>,
}

impl Brain {
    /// Without a model only the load is known.
    #[must_use]
    pub const fn without_model() -> Self {
        Self { model: None, text: None }
    }

    /// With `model`.
    #[must_use]
    pub fn with_model(model: Model) -> Self {
        let text = serde_json::to_string(&model).ok();
        Self { model: Some(model), text }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn policy(&self, config: &Config, topology: &Topology) -> Policy {
        match &self.model {
            Some(model) => Policy::new(config.policy, config.settings, topology.clone(), model.clone()),
            None => Policy::load_only(config.policy, config.settings, topology.clone()),
        }
    }
}

/// Reads the configuration and what it names again; the error is one line for people.
pub type Reread<'a> = dyn FnMut() -> Result<(Config, Brain), String> + 'a;

/// What keeps the daemon alive and ends it.
#[derive(Debug, Default)]
pub struct Life {
    /// Asks for the end.
    pub stop: Interrupt,
    /// Asks for the configuration to be read again.
    pub reload: Arc<std::sync::atomic::AtomicBool>,
    /// The service manager.
    pub notifier: Notifier,
    /// The watchdog.
    pub heartbeat: Option<Heartbeat>,
    /// Starts another watchdog where the first has gone.
    pub program: Option<PathBuf>,
}

/// A daemon at work on a host.
pub struct Daemon<'a> {
    config: Config,
    brain: Brain,
    host: &'a mut dyn Undoable,
    topology: Topology,
    policy: Policy,
    trial: Option<Trial>,
    journal: JournalFolder,
    board: Arc<Board>,
    chronicle: Chronicle,
    mode: Option<Mode>,
    quanta: u64,
}

impl std::fmt::Debug for Daemon<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Daemon").field("mode", &self.mode).field("quanta", &self.quanta).finish_non_exhaustive()
    }
}

/// The wall clock.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl<'a> Daemon<'a> {
    /// A daemon that has not begun. The journal's folder is made and its next file begun.
    pub fn new(config: Config, brain: Brain, host: &'a mut dyn Undoable) -> Result<Self, DaemonError> {
        let topology = host.topology().clone();
        let policy = brain.policy(&config, &topology);
        let run = describe(&config, host);
        let journal = JournalFolder::open(&config.journal_folder, config.rotation, run, Some(now))?;
        let begun = now();
        let empty = Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: begun,
            at: begun,
            mode: if config.act { Mode::Acting } else { Mode::DryRun },
            policy: config.policy.name().to_owned(),
            model: config.model.as_ref().map(|model| model.display().to_string()),
            quantum_milliseconds: u64::try_from(config.quantum.as_millis()).unwrap_or(u64::MAX),
            quanta: 0,
            topology: topology.clone(),
            vcpus: Vec::new(),
            cache_use: Vec::new(),
            totals: super::status::Totals::default(),
            slowdowns: Vec::new(),
            decisions: Vec::new(),
            trial: None,
            happened: Vec::new(),
        };
        Ok(Self {
            trial: config.trial.filter(|_| config.act).map(Trial::new),
            chronicle: Chronicle::new(begun),
            board: Arc::new(Board::new(empty)),
            config,
            brain,
            host,
            topology,
            policy,
            journal,
            mode: None,
            quanta: 0,
        })
    }

    /// Where it says how it goes.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Works until it is asked to stop, then gives everything back. So it does when something fails.
    pub fn run(mut self, life: &mut Life, reread: &mut Reread<'_>) -> Result<(), DaemonError> {
        let worked = self.work(life, reread);
        life.notifier.stopping();
        let given_back = self.give_back("the daemon ends");
        let ending = match &worked {
            Ok(()) => Ending::Interrupted,
            Err(error) => Ending::Failed(error.to_string()),
        };
        let Self { journal, quanta, .. } = self;
        let ended = journal.end(quanta, ending);
        if given_back.is_ok()
            && let Some(heartbeat) = life.heartbeat.take()
        {
            heartbeat.goodbye();
        }
        // What stopped it matters more than what failed after it.
        worked?;
        given_back?;
        Ok(ended?)
    }

    fn work(&mut self, life: &mut Life, reread: &mut Reread<'_>) -> Result<(), DaemonError> {
        while life.stop.check().is_ok() {
            if life.reload.swap(false, std::sync::atomic::Ordering::Relaxed) {
                life.notifier.reloading();
                self.reload(reread())?;
                life.notifier.ready();
            }
            self.enter_mode()?;
            self.step()?;
            if self.quanta == 1 {
                life.notifier.ready();
            }
            life.notifier.alive(&self.line());
            self.beat(life)?;
        }
        Ok(())
    }

    /// One quantum and what follows from it.
    fn step(&mut self) -> Result<(), DaemonError> {
        let begun = Instant::now();
        let mode = self.mode.unwrap_or(Mode::DryRun);
        let mut gate = Gate { host: &mut *self.host, mode };
        // Who comes and is to be left alone is left alone from its first quantum on.
        let (chronicle, config) = (&mut self.chronicle, &self.config);
        let mut greet = |seen: &Observation, policy: &mut Policy| {
            if chronicle.meet(seen) {
                policy.obey(rules(chronicle, config));
            }
        };
        let (policy, journal) = (&mut self.policy, self.journal.writer());
        let turn = turn_among(&mut gate, policy, journal, self.quanta, config.quantum, &mut greet)?;
        self.quanta += 1;
        let at = now();
        self.chronicle.turn(&turn, mode, at, begun.elapsed(), self.config.quantum);
        for text in self.host.news() {
            self.tell("notice", &text)?;
        }
        self.compare(&turn)?;
        self.publish(&turn, at);
        let (chronicle, quanta) = (&self.chronicle, self.quanta);
        let opening = || vec![present(chronicle), Note::Mode { mode }];
        self.journal.rotate_if_full(quanta, opening)?;
        Ok(())
    }

    /// Takes the quantum into the trial.
    fn compare(&mut self, turn: &Turn) -> Result<(), DaemonError> {
        let Some(found) = self.trial.as_mut().and_then(|trial| trial.observe(&turn.observation.samples)) else {
            return Ok(());
        };
        let verdict = match found.verdict {
            Verdict::Helps => "moving helps; it goes on without holding for a while",
            Verdict::DoesNotHelp => "moving does not help; nobody is moved for a while",
            Verdict::CannotTell => "no difference could be told; the trial begins again",
        };
        self.tell("trial", &format!("{verdict}: {}", super::status::page::gain_text(&found.gain)))
    }

    /// Once a second, and whenever something was decided.
    fn publish(&mut self, turn: &Turn, at: UnixMillis) {
        let each = (1000 / self.config.quantum.as_millis().max(1)).max(1);
        if !u128::from(turn.quantum).is_multiple_of(each) && turn.outcomes.is_empty() {
            return;
        }
        let trial = self.trial.as_ref().map(Trial::standing);
        let mode = self.mode.unwrap_or(Mode::DryRun);
        let cache_use = self.host.cache_use();
        let picture = Picture { at, mode, topology: &self.topology, trial, cache_use };
        self.board.put(self.chronicle.snapshot(turn, &self.config, picture));
    }

    /// Sees to it that the coming quantum is in the mode it should be.
    fn enter_mode(&mut self) -> Result<(), DaemonError> {
        let mode = match &self.trial {
            _ if !self.config.act => Mode::DryRun,
            Some(trial) if trial.arm() == Arm::Holding => Mode::Holding,
            _ => Mode::Acting,
        };
        if self.mode == Some(mode) {
            return Ok(());
        }
        let was_acting = self.mode.replace(mode) == Some(Mode::Acting);
        self.journal.writer().noted(self.quanta, Note::Mode { mode })?;
        if was_acting {
            self.give_back(&format!("the mode is {} now", mode.name()))?;
        }
        Ok(())
    }

    fn give_back(&mut self, because: &str) -> Result<(), DaemonError> {
        let given = self.host.give_back();
        self.policy.let_go();
        self.chronicle.totals.given_back += 1;
        if given.vcpus > 0 {
            self.tell("given_back", &format!("{} vCPUs may run where they might before: {because}", given.vcpus))?;
        }
        if given.failures.is_empty() { Ok(()) } else { Err(DaemonError::NotGivenBack(given.failures)) }
    }

    /// Takes in a configuration, or says why it does not.
    fn reload(&mut self, read: Result<(Config, Brain), String>) -> Result<(), DaemonError> {
        let (read, brain) = match read {
            Ok(read) => read,
            Err(problem) => return self.tell("reload", &format!("the old configuration stays in force: {problem}")),
        };
        let late = self.config.needs_restart(&read);
        let late =
            if late.is_empty() { String::new() } else { format!("; only at the next start: {}", late.join(", ")) };
        let trial_differs = self.config.trial != read.trial;
        let decides_anew = self.config.policy != read.policy
            || self.brain.text != brain.text
            || self.config.settings.horizon_quanta != read.settings.horizon_quanta;
        let old = &self.config;
        self.config = Config {
            act: old.act && read.act,
            quantum: old.quantum,
            cpus: old.cpus.clone(),
            nodes: old.nodes,
            ledger: old.ledger.clone(),
            watchdog: old.watchdog,
            journal_folder: old.journal_folder.clone(),
            rotation: old.rotation,
            status: old.status,
            ..read
        };
        let learned = if decides_anew {
            self.brain = brain;
            self.policy = self.brain.policy(&self.config, &self.topology);
            "policy or model are new and learn from here"
        } else {
            self.policy.adjust(self.config.settings);
            "what was learned is kept"
        };
        if trial_differs || !self.config.act {
            self.trial = self.config.trial.filter(|_| self.config.act).map(Trial::new);
        }
        self.policy.obey(rules(&self.chronicle, &self.config));
        self.chronicle.totals.reloads += 1;
        self.tell("reload", &format!("the new configuration is in force, {learned}{late}"))
    }

    /// Tells the journal, the page and the log.
    fn tell(&mut self, kind: &str, text: &str) -> Result<(), DaemonError> {
        eprintln!("phasecast: {kind}: {text}");
        self.chronicle.happened(now(), kind, text);
        let note = Note::Happened { kind: kind.to_owned(), text: text.to_owned() };
        self.journal.writer().noted(self.quanta, note)?;
        Ok(self.journal.writer().flush()?)
    }

    fn beat(&mut self, life: &mut Life) -> Result<(), DaemonError> {
        let Some(error) = life.heartbeat.as_mut().and_then(|heartbeat| heartbeat.beat().err()) else { return Ok(()) };
        life.heartbeat = None;
        let again = life.program.as_ref().map(|program| {
            Heartbeat::start(program, &self.config.ledger, self.config.watchdog)
                .map(|started| life.heartbeat = Some(started))
        });
        match again {
            Some(Ok(())) => self.tell("notice", &format!("the watchdog was gone ({error}); another was started")),
            _ => self.tell("notice", &format!("the watchdog is gone ({error}) and no other can be started")),
        }
    }

    /// One line for `systemctl status`.
    fn line(&self) -> String {
        let mode = self.mode.unwrap_or(Mode::DryRun).name();
        let totals = &self.chronicle.totals;
        let vcpus = self.chronicle.present().count();
        format!("{mode}: {vcpus} vCPUs, {} moves made, {} only written down", totals.done, totals.withheld)
    }
}

/// Rules for everybody who is there, by their guests' names.
fn rules(chronicle: &Chronicle, config: &Config) -> Rules {
    let of = |known: &Arrival| (known.vcpu, config.rule_for(&known.name));
    let rules: BTreeMap<VcpuId, Rule> = chronicle.present().map(of).collect();
    Rules::new(rules, config.nodes)
}

fn present(chronicle: &Chronicle) -> Note {
    Note::Present { vcpus: chronicle.present().cloned().collect() }
}

fn describe(config: &Config, host: &dyn Undoable) -> RunDescription {
    let whole: Duration = config.quantum;
    RunDescription {
        purpose: "daemon".to_owned(),
        host: "live".to_owned(),
        machine: "this machine".to_owned(),
        mix: "guests found".to_owned(),
        policy: config.policy.name().to_owned(),
        seed: config.settings.seed,
        quantum: whole,
        frequency_hz: None,
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: host.topology().clone(),
        events: host.events().clone(),
        guests: BTreeMap::new(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
