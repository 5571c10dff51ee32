//! What a live host could not see or do, for whoever operates it: data, each with what would help, told once.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::{Acting, RIGHTS};
use crate::custody::BindRefusal;
use crate::discovery::Hidden;
use crate::procfs::{Capability, Proc};

/// How many different notices are remembered, so that a machine with odd guests does not fill memory with them.
const MOST_REMEMBERED: usize = 4096;

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A right is missing.
    MissingRight,
    /// There is no PMU.
    NoPmu,
    /// Threads are not counted.
    NoCounters,
    /// Counters count more than the guest.
    NotGuestOnly,
    /// No cache occupancy and bandwidth.
    NoCacheMonitoring,
    /// Address spaces are not known.
    NoIntrospection,
    /// Something that may be a guest is left alone.
    Hidden,
    /// A vCPU runs where it cannot be watched.
    Outside,
    /// Somebody else has bound a thread.
    TakenOver,
    /// A thread was not bound.
    NotBound,
    /// The ledger cannot be written.
    NoLedger,
}

impl NoticeKind {
    /// Of which kind a refusal is; `None` for those that are no news.
    pub(super) const fn of_refusal(refusal: &BindRefusal) -> Option<Self> {
        match refusal {
            BindRefusal::Gone => None,
            BindRefusal::TakenOver { .. } | BindRefusal::LeftAlone { .. } => Some(Self::TakenOver),
            BindRefusal::NoLedger(_) => Some(Self::NoLedger),
            BindRefusal::Outside { .. } | BindRefusal::Unknown(_) | BindRefusal::Refused(_) => Some(Self::NotBound),
        }
    }
}

/// One thing that could not be seen or done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Notice {
    /// Of which kind.
    pub kind: NoticeKind,
    /// The guest it is about; `None` if about the whole host.
    pub guest: Option<String>,
    /// What it is, and what would help.
    pub what: String,
}

impl Notice {
    pub(super) fn of_host(kind: NoticeKind, what: String) -> Self {
        Self { kind, guest: None, what }
    }

    pub(super) fn of_guest(kind: NoticeKind, guest: &str, what: String) -> Self {
        Self { kind, guest: Some(guest.to_owned()), what }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.guest {
            Some(guest) => write!(out, "guest \"{guest}\": {}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

/// Notices that were told, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Notices {
    told: BTreeSet<Notice>,
    waiting: Vec<Notice>,
}

impl Notices {
    /// Adds a notice, unless it was told before.
    pub(super) fn tell(&mut self, notice: Notice) {
        if self.told.len() >= MOST_REMEMBERED {
            self.told.clear();
        }
        if self.waiting.len() < MOST_REMEMBERED && self.told.insert(notice.clone()) {
            self.waiting.push(notice);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn of_hidden(&mut self, hidden: &[Hidden]) {
        for hidden in hidden {
            let what = format!("process {}: {}; {}", hidden.pid.0, hidden.problem, hidden.remedy);
            self.tell(Notice::of_guest(NoticeKind::Hidden, &hidden.name, what));
        }
    }

    /// Tells of each right that this process lacks what is lost without it.
    pub(super) fn of_rights(&mut self, proc: &Proc, acting: Acting) {
        let Ok(status) = proc.own_status() else { return };
        let admin = status.has(Capability::SysAdmin) == Some(true);
        for right in RIGHTS {
            let lost = match right {
                Capability::Perfmon if admin => continue,
                Capability::Perfmon => "guests of other users are not counted, as perf_event_paranoid says",
                Capability::SysNice if acting == Acting::DryRun => continue,
                Capability::SysNice => "guests of other users are not moved",
                _ => "guests of other users are not found",
            };
            if status.has(right) == Some(false) {
                let what = format!("{} is missing: {lost}; grant it to the process or the unit", right.name());
                self.tell(Notice::of_host(NoticeKind::MissingRight, what));
            }
        }
    }
}
