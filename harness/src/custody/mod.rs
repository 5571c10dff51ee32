//! Custody of threads' affinities: nothing is bound before its old mask is safe on disk, and everything bound is given
//! back.
//!
//! # Problem
//!
//! Whoever binds a stranger's thread owes it its old mask: at the end, after a crash, after `kill -9`, when somebody else
//! has changed it meanwhile, and when its number belongs to another thread by now.
//!
//! # Idea
//!
//! A *ledger* on disk ([`ledger`]) has for each thread that was bound: which one ([`ThreadIdentity`]: numbers and start
//! times), the mask it had, and each mask we gave it. A line is written and synced **before** the kernel is asked to
//! change anything, so a crash at any moment leaves a ledger that knows every thread that may be bound. [`restore`] and
//! [`Custody::give_back_all`] run the same rule over it.
//!
//! # The rule
//!
//! ```text
//! give back(thread):
//!   its number is free, or start times differ:        gone              nobody is touched
//!   its mask is the one it had:                       as before
//!   its mask is none that we gave it:                 taken over        somebody else's decision stands
//!   otherwise:                                        set the old mask
//! ```
//!
//! A mask that we gave and that the kernel has cut down to the present cpuset is still ours. A thread that could run
//! anywhere in its cpuset is given back with a mask of all CPUs: it follows its cpuset again, also when that grows.
//!
//! # Somebody else's masks
//!
//! Before each change the mask is compared with the one we set last. If it is none of ours, somebody else (libvirt, numad,
//! an operator) has decided: the thread is released to them and the move refused. Their mask is now the one the thread is
//! given back, and the bound that later moves must stay within. When it happens to the same thread again, it is left
//! alone until its mask is one of ours. Nor does a thread ever leave the mask it was found with: who pinned it had a
//! reason.
//!
//! # Properties
//!
//! - A thread is bound only if the ledger says so first; a ledger that cannot be written stops all binding.
//! - Giving back twice is giving back once.
//! - Dropping a [`Custody`] gives everything back.
//! - One process at a time holds a ledger; its lock ends with the process.
//!
//! # Limit
//!
//! The kernel offers no way to bind "this thread if it is still the same". Between comparing start times and setting the
//! mask lie microseconds in which the number would have to be freed and given out again; numbers are given out in
//! ascending order, so that takes as many new threads as there are numbers.

mod hand;
pub mod ledger;
mod restore;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::affinity::{self, AffinityError};
use crate::libvirt::LibvirtVcpu;
use crate::procfs::{Proc, ProcError, ThreadIdentity};
use crate::sysfs::CpuSet;

use ledger::{Entry, Ledger, Line, Lock};

pub use hand::SetError;
pub use ledger::{DEFAULT_LEDGER, LedgerError};
pub use restore::{Mode, Outcome, Report, ThreadReport, restore};

/// From this many times on that somebody else changed its mask, a thread is left alone.
const STRIKES: u32 = 2;

/// A thread that shall run on some CPUs only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Which one.
    pub thread: ThreadIdentity,
    /// What it is called, for people.
    pub comm: String,
    /// Where it shall run. Cut down to the mask it was found with and to its cpuset.
    pub cpus: CpuSet,
    /// What libvirt calls it, where libvirt shall be asked to bind it.
    pub through: Option<LibvirtVcpu>,
}

/// Why a thread was not bound. It runs where it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindRefusal {
    /// It has ended.
    #[error("the thread has ended")]
    Gone,
    /// Somebody else has bound it since we did; their mask stands.
    #[error("taken over: somebody else set its CPUs to {mask} where we had set {ours}; theirs stands")]
    TakenOver {
        /// The mask it has.
        mask: CpuSet,
        /// The mask we had set.
        ours: CpuSet,
    },
    /// Somebody else keeps binding it.
    #[error(
        "left alone: somebody else set its CPUs {strikes} times, now to {mask}; exclude the guest, or stop the other"
    )]
    LeftAlone {
        /// The mask it has.
        mask: CpuSet,
        /// How often.
        strikes: u32,
    },
    /// The mask it was found with, or its cpuset, has none of these CPUs.
    #[error("CPUs {asked} are not open to it: it was found bound to {found}, and its cpuset is {}", shown(.cpuset))]
    Outside {
        /// Where it should have run.
        asked: CpuSet,
        /// Where it may.
        found: CpuSet,
        /// What its cgroup lets it use, where that is known.
        cpuset: Option<CpuSet>,
    },
    /// The ledger could not be written, so nothing is bound.
    #[error("the ledger cannot be written, so nothing is moved: {0}")]
    NoLedger(String),
    /// `/proc` does not say who it is.
    #[error("cannot be told apart: {0}")]
    Unknown(String),
    /// The kernel or libvirt refused.
    #[error(transparent)]
    Refused(SetError),
}

fn shown(cpuset: &Option<CpuSet>) -> String {
    cpuset.as_ref().map_or("not known".to_owned(), ToString::to_string)
}

/// A thread whose mask somebody else has changed while it was ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// Which one.
    pub thread: ThreadIdentity,
    /// What it is called.
    pub comm: String,
    /// The mask it has now.
    pub mask: CpuSet,
    /// How often that happened to it.
    pub strikes: u32,
}

/// Threads that we have bound, and what we owe them.
#[derive(Debug)]
pub struct Custody {
    proc: Proc,
    ledger: Ledger,
    held: BTreeMap<ThreadIdentity, Entry>,
    struck: BTreeMap<ThreadIdentity, Struck>,
    // Freed last.
    _lock: Lock,
}

#[derive(Debug)]
struct Struck {
    count: u32,
    ours: Vec<CpuSet>,
}

impl Custody {
    /// Takes the ledger at `path`, of the processes below `root` (`/`), and gives back what a dead predecessor left.
    ///
    /// Fails where another process holds it, and where nothing can be written there.
    pub fn open(path: &Path, root: &Path) -> Result<(Self, Report), LedgerError> {
        ledger::create_folder(path)?;
        let lock = Lock::take(path, std::time::Duration::ZERO)?;
        let proc = Proc::open(root).map_err(|error| LedgerError::Proc(error.to_string()))?;
        let (report, held) = restore::give_back_ledger(&proc, path, Mode::Act)?;
        let ledger = Ledger::create(path, proc.boot_id(), &held)?;
        Ok((Self { proc, ledger, held, struck: BTreeMap::new(), _lock: lock }, report))
    }

    /// Where the ledger is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.ledger.path().to_owned()
    }

    /// How many threads are bound by us.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The CPUs that we bound a thread to; `None` for threads that are not ours.
    #[must_use]
    pub fn mask_of(&self, thread: &ThreadIdentity) -> Option<&CpuSet> {
        self.held.get(thread).and_then(Entry::last)
    }

    /// Binds threads, and says of each to which CPUs, in the order of the requests. All lines are in the ledger before the
    /// first mask changes.
    pub fn bind(&mut self, requests: &[Binding]) -> Vec<Result<CpuSet, BindRefusal>> {
        let mut answers: Vec<Result<CpuSet, BindRefusal>> = requests.iter().map(|asked| self.prepare(asked)).collect();
        let lines: Vec<Line> = requests
            .iter()
            .zip(&answers)
            .filter_map(|(asked, answer)| {
                let mask = answer.as_ref().ok()?;
                let entry = self.held.get(&asked.thread)?;
                (!entry.masks.contains(mask)).then(|| entry.line(asked.thread, mask.clone()))
            })
            .collect();
        if let Err(error) = self.ledger.append(&lines) {
            let refusal = BindRefusal::NoLedger(error.to_string());
            answers.iter_mut().filter(|answer| answer.is_ok()).for_each(|answer| *answer = Err(refusal.clone()));
            self.held.retain(|_, entry| !entry.masks.is_empty());
            return answers;
        }
        for (asked, answer) in requests.iter().zip(&mut answers) {
            if let Ok(mask) = answer
                && let Err(refusal) = self.carry_out(asked, mask)
            {
                *answer = Err(refusal);
            }
        }
        answers
    }

    /// Sets a mask that is in the ledger.
    fn carry_out(&mut self, asked: &Binding, mask: &CpuSet) -> Result<(), BindRefusal> {
        let Some(entry) = self.held.get_mut(&asked.thread) else { return Err(BindRefusal::Gone) };
        let outcome = entry.bind(asked.thread.tid, mask);
        entry.is_awaited = outcome.as_ref().is_err_and(SetError::may_be_done_yet);
        match &outcome {
            Ok(()) => entry.set_last(mask.clone()),
            Err(_) if entry.is_awaited => entry.set_last(mask.clone()),
            // Never bound by us, so that nothing is owed.
            Err(_) if entry.masks.is_empty() => self.release(&asked.thread),
            Err(_) => {}
        }
        outcome.map_err(|error| match error {
            SetError::Affinity(AffinityError::Gone(_)) => BindRefusal::Gone,
            error => BindRefusal::Refused(error),
        })
    }

    /// The mask for a request, with the thread's entry made where there is none.
    fn prepare(&mut self, asked: &Binding) -> Result<CpuSet, BindRefusal> {
        let thread = asked.thread;
        match self.proc.identity(thread.pid, thread.tid) {
            Ok(now) if now == thread => {}
            Ok(_) => return Err(BindRefusal::Gone),
            Err(error) if error.is_gone() => return Err(BindRefusal::Gone),
            Err(error) => return Err(BindRefusal::Unknown(error.to_string())),
        }
        let current = affinity::mask_of(thread.tid).map_err(|error| BindRefusal::Refused(error.into()))?;
        let cpuset = self.proc.cpuset(thread.pid);
        if let Some(takeover) = self.examine(&thread, &current, cpuset.as_ref()) {
            return Err(takeover);
        }
        let found = self.held.get(&thread).map_or(&current, |entry| &entry.original);
        let mut mask = asked.cpus.intersection(found);
        if let Some(cpuset) = &cpuset {
            mask = mask.intersection(cpuset);
        }
        if mask.is_empty() {
            return Err(BindRefusal::Outside { asked: asked.cpus.clone(), found: found.clone(), cpuset });
        }
        self.held.entry(thread).or_insert_with(|| Entry {
            comm: asked.comm.clone(),
            is_whole: cpuset.is_some_and(|cpuset| cpuset == current),
            original: current,
            masks: Vec::new(),
            through: asked.through.clone(),
            is_awaited: false,
        });
        Ok(mask)
    }

    /// Whether somebody else has set this mask; if so, the thread is theirs from now on.
    fn examine(&mut self, thread: &ThreadIdentity, mask: &CpuSet, cpuset: Option<&CpuSet>) -> Option<BindRefusal> {
        if let Some(entry) = self.held.get(thread).filter(|entry| !entry.is_ours(mask, cpuset)) {
            let ours = entry.last().cloned().unwrap_or_default();
            let struck = self.struck.entry(*thread).or_insert(Struck { count: 0, ours: Vec::new() });
            struck.count += 1;
            struck.ours.extend(entry.masks.iter().cloned());
            let strikes = struck.count;
            self.release(thread);
            let mask = mask.clone();
            return Some(match strikes {
                STRIKES.. => BindRefusal::LeftAlone { mask, strikes },
                _ => BindRefusal::TakenOver { mask, ours },
            });
        }
        let struck = self.struck.get(thread).filter(|struck| struck.count >= STRIKES)?;
        if struck.ours.contains(mask) {
            self.struck.remove(thread);
            return None;
        }
        Some(BindRefusal::LeftAlone { mask: mask.clone(), strikes: struck.count })
    }

    /// Looks at every thread that is ours, and lets go of those that somebody else has bound.
    pub fn takeovers(&mut self) -> Vec<Takeover> {
        let threads: Vec<ThreadIdentity> = self.held.keys().copied().collect();
        let mut found = Vec::new();
        for thread in threads {
            let Ok(mask) = affinity::mask_of(thread.tid) else { continue };
            if self.held.get(&thread).is_none_or(|entry| entry.is_ours(&mask, None)) {
                continue;
            }
            // The number may be another thread's by now.
            if self.proc.identity(thread.pid, thread.tid).map_or(true, |now| now != thread) {
                continue;
            }
            let comm = self.held.get(&thread).map(|entry| entry.comm.clone()).unwrap_or_default();
            let cpuset = self.proc.cpuset(thread.pid);
            if self.examine(&thread, &mask, cpuset.as_ref()).is_some() {
                let strikes = self.struck.get(&thread).map_or(0, |struck| struck.count);
                found.push(Takeover { thread, comm, mask, strikes });
            }
        }
        found
    }

    /// Forgets a thread that has ended.
    pub fn forget(&mut self, thread: &ThreadIdentity) {
        self.struck.remove(thread);
        self.release(thread);
    }

    /// Takes a thread off the books. The ledger need not be synced: giving it back again would do no harm.
    fn release(&mut self, thread: &ThreadIdentity) {
        if self.held.remove(thread).is_some() {
            self.ledger.note_release(*thread, &self.held);
        }
    }

    /// Gives these threads back; those that are not ours are passed over.
    pub fn give_back(&mut self, threads: &[ThreadIdentity]) -> Report {
        let mut report = Report::default();
        for thread in threads {
            let Some(entry) = self.held.get(thread) else { continue };
            let outcome = restore::give_back_thread(&self.proc, thread, entry, Mode::Act);
            report.threads.push(ThreadReport { thread: *thread, comm: entry.comm.clone(), outcome: outcome.clone() });
            if !matches!(outcome, Outcome::Failed { .. }) {
                self.release(thread);
            }
        }
        report
    }

    /// Gives every thread back. Binding may go on afterwards.
    pub fn give_back_all(&mut self) -> Report {
        let threads: Vec<ThreadIdentity> = self.held.keys().copied().collect();
        self.give_back(&threads)
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        self.give_back_all();
        if self.held.is_empty() {
            self.ledger.remove();
        }
    }
}

impl From<ProcError> for LedgerError {
    fn from(error: ProcError) -> Self {
        Self::Proc(error.to_string())
    }
}
