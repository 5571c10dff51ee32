//! Giving masks back: the rule of [`super`] over one thread, and over a ledger that nobody holds any more.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::affinity::{self, AffinityError};
use crate::procfs::{Proc, ThreadIdentity};
use crate::sysfs::CpuSet;

use super::SetError;
use super::ledger::{self, Entry, Ledger, LedgerError, Lock};

/// Whether masks are given back or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Give back.
    Act,
    /// Only say what would be.
    DryRun,
}

/// What became of one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It runs where it did before us again.
    GivenBack {
        /// Where that is.
        mask: CpuSet,
    },
    /// It would be given back this mask.
    WouldGiveBack {
        /// Which one.
        mask: CpuSet,
    },
    /// It has the mask it had.
    AsBefore,
    /// It has ended, or its number is another thread's; nobody was touched.
    Gone,
    /// Somebody else has bound it since; that stands.
    TakenOver {
        /// Where it runs.
        mask: CpuSet,
    },
    /// It may still be bound by us. The ledger keeps it.
    Failed {
        /// Why, and what helps.
        reason: String,
    },
}

/// What became of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadReport {
    /// Which one.
    pub thread: ThreadIdentity,
    /// What it is called.
    pub comm: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of all threads of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// One for each thread that was owed something, in the order of their processes.
    pub threads: Vec<ThreadReport>,
    /// Lines of the ledger that could not be read; the last one is cut short when a machine dies while writing it.
    pub damaged_lines: usize,
}

impl Report {
    /// Threads that may still be bound by us.
    pub fn failures(&self) -> impl Iterator<Item = &ThreadReport> {
        self.threads.iter().filter(|thread| matches!(thread.outcome, Outcome::Failed { .. }))
    }
}

/// Gives back what the ledger at `path` says is owed to threads of the machine at `root` (`/`), and waits at most
/// `patience` for its holder to end. Only looking takes no lock.
///
/// Doing it again does nothing more. Fails where another process holds the ledger, or it cannot be read.
pub fn restore(path: &Path, root: &Path, mode: Mode, patience: Duration) -> Result<Report, LedgerError> {
    let exists = path.symlink_metadata().is_ok();
    if !exists {
        return Ok(Report::default());
    }
    let proc = Proc::open(root)?;
    if mode == Mode::DryRun {
        return Ok(give_back_ledger(&proc, path, mode)?.0);
    }
    let _lock = Lock::take(path, patience)?;
    let (report, owed) = give_back_ledger(&proc, path, mode)?;
    if owed.is_empty() {
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LedgerError::Io { action: "remove", file: path.to_owned(), source });
            }
            _ => {}
        }
    } else {
        Ledger::create(path, proc.boot_id(), &owed)?;
    }
    Ok(report)
}

/// Runs the rule over a ledger; answers with what is owed still.
pub(super) fn give_back_ledger(
    proc: &Proc,
    path: &Path,
    mode: Mode,
) -> Result<(Report, BTreeMap<ThreadIdentity, Entry>), LedgerError> {
    let contents = ledger::read(path)?;
    let boot = proc.boot_id();
    let is_this_boot = contents.boot_id.is_none() || boot.is_none() || contents.boot_id == boot;
    let mut report = Report { threads: Vec::new(), damaged_lines: contents.damaged_lines };
    let mut owed = BTreeMap::new();
    for (thread, entry) in contents.entries {
        let outcome = if is_this_boot { give_back_thread(proc, &thread, &entry, mode) } else { Outcome::Gone };
        report.threads.push(ThreadReport { thread, comm: entry.comm.clone(), outcome: outcome.clone() });
        if matches!(outcome, Outcome::Failed { .. }) {
            owed.insert(thread, entry);
        }
    }
    Ok((report, owed))
}

/// Runs the rule over one thread.
pub(super) fn give_back_thread(proc: &Proc, thread: &ThreadIdentity, entry: &Entry, mode: Mode) -> Outcome {
    let failed = |reason: &dyn std::fmt::Display| Outcome::Failed { reason: reason.to_string() };
    match proc.identity(thread.pid, thread.tid) {
        Ok(now) if now == *thread => {}
        Ok(_) => return Outcome::Gone,
        Err(error) if error.is_gone() => return Outcome::Gone,
        Err(error) => return failed(&error),
    }
    let mask = match affinity::mask_of(thread.tid) {
        Ok(mask) => mask,
        Err(AffinityError::Gone(_)) => return Outcome::Gone,
        Err(error) => return failed(&error),
    };
    let cpuset = proc.cpuset(thread.pid);
    let before = match &cpuset {
        Some(cpuset) if entry.is_whole => cpuset,
        _ => &entry.original,
    };
    let is_as_before = mask == *before;
    if !is_as_before && !entry.is_ours(&mask, cpuset.as_ref()) {
        return Outcome::TakenOver { mask };
    }
    if mode == Mode::DryRun {
        return if is_as_before { Outcome::AsBefore } else { Outcome::WouldGiveBack { mask: before.clone() } };
    }
    let set = match entry.is_whole {
        // Also where the mask looks right: the kernel may remember ours for when the cpuset grows.
        true => entry.unbind(thread.tid),
        // libvirt does what it is asked in turn, so what it was asked for before is undone.
        false if is_as_before && !entry.is_awaited => Ok(()),
        false => match entry.bind(thread.tid, &entry.original) {
            // Its CPUs are gone: anywhere it may is nearer to what it had than where we put it.
            Err(SetError::Affinity(AffinityError::NoSuchCpu { .. })) => entry.unbind(thread.tid),
            other => other,
        },
    };
    match set.and_then(|()| Ok(affinity::mask_of(thread.tid)?)) {
        Ok(_) if is_as_before => Outcome::AsBefore,
        Ok(mask) => Outcome::GivenBack { mask },
        Err(SetError::Affinity(AffinityError::Gone(_))) => Outcome::Gone,
        Err(error) => failed(&error),
    }
}
