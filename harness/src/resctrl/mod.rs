//! Cache occupancy and memory bandwidth of guests, from the kernel's resource monitoring under `/sys/fs/resctrl`.
//!
//! Owns one monitoring group for each guest, `mon_groups/phasecast-PID`, with the guest's vCPU threads in it: made when
//! the guest is first seen, filled as threads appear, removed with it, with this process, and at the next start. Groups of
//! others, their threads, and all allocation (`schemata`) are never touched: a thread that is in somebody else's
//! monitoring group stays there, and its guest is not monitored by us.
//!
//! A processor has few monitoring ids. Where they are used up (`ENOSPC`), the guests that came last go without; a group
//! is tried again for them when another guest has left.
//!
//! Values are the kernel's own text: bytes, or `Unavailable`, or `Error`. Bandwidth counters are sums, and told as such.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::procfs::{Pid, Tid};

/// Groups of ours are called so, and the guest's process.
const PREFIX: &str = "phasecast-";

/// Files here are short; lists of threads are the longest.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

/// Why a guest is not monitored.
#[derive(Debug, thiserror::Error)]
pub enum ResctrlError {
    /// There is no resctrl.
    #[error(
        "{0} has no mon_groups: the processor cannot monitor its caches, or: mount -t resctrl resctrl /sys/fs/resctrl"
    )]
    Absent(PathBuf),
    /// No monitoring id is left.
    #[error("no monitoring id is left for another guest; others use them, or there are more guests than ids")]
    NoIdLeft,
    /// Its threads are monitored by somebody else.
    #[error("its threads are in a monitoring group of somebody else's, and stay there")]
    Taken,
    /// Anything else.
    #[error("{action} {}: {source}", .file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// One value, as the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Bytes.
    Bytes(u64),
    /// Just now not known: the monitoring id was reused a moment ago.
    Unavailable,
    /// The hardware reported an error.
    Error,
    /// There is no such file, or it says something else.
    Absent,
}

impl Value {
    /// What the text of a file says.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.trim() {
            "Unavailable" => Self::Unavailable,
            "Error" => Self::Error,
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_or(Self::Absent, Self::Bytes)
            }
            _ => Self::Absent,
        }
    }

    /// The bytes, where they are known.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Unavailable | Self::Error | Self::Absent => None,
        }
    }
}

/// What one guest has in, and moves through, one last-level cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// The kernel's number of the cache.
    pub cache: u32,
    /// Bytes of the guest in it.
    pub occupancy: Value,
    /// Bytes moved from and to memory of its node, as a sum.
    pub local_bytes: Value,
    /// Bytes moved from and to all memory, as a sum.
    pub total_bytes: Value,
}

/// What one guest has in all last-level caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestUse {
    /// The guest's process.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// Cache by cache.
    pub caches: Vec<CacheUse>,
}

/// Monitoring groups of ours.
#[derive(Debug)]
pub struct Resctrl {
    folder: PathBuf,
    guests: BTreeMap<Pid, Watched>,
    /// Guests for whom no id was left, until another one leaves.
    waiting: BTreeSet<Pid>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    group: PathBuf,
    threads: BTreeSet<Tid>,
}

impl Resctrl {
    /// The monitoring of the machine at `root`. Removes groups that a predecessor left.
    pub fn open(root: &Path) -> Result<Self, ResctrlError> {
        let folder = root.join("sys/fs/resctrl");
        if !folder.join("mon_groups").is_dir() {
            return Err(ResctrlError::Absent(folder));
        }
        for group in folders(&folder.join("mon_groups")) {
            let is_ours = |name: &str| name.strip_prefix(PREFIX).is_some_and(|pid| pid.parse::<u32>().is_ok());
            if group.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
                let _ = fs::remove_dir(&group);
            }
        }
        Ok(Self { folder, guests: BTreeMap::new(), waiting: BTreeSet::new() })
    }

    /// Monitors a guest, and those of its threads that are not monitored yet. Threads that end meanwhile are passed over.
    pub fn watch(&mut self, pid: Pid, name: &str, threads: impl Iterator<Item = Tid>) -> Result<(), ResctrlError> {
        if self.waiting.contains(&pid) {
            return Ok(());
        }
        let known = self.guests.get(&pid);
        let new: Vec<Tid> = threads.filter(|tid| known.is_none_or(|known| !known.threads.contains(tid))).collect();
        if new.is_empty() {
            return Ok(());
        }
        let group = self.folder.join("mon_groups").join(format!("{PREFIX}{}", pid.0));
        let taken = self.taken(&group);
        if new.iter().any(|tid| taken.contains(tid)) {
            self.waiting.insert(pid);
            return Err(ResctrlError::Taken);
        }
        if known.is_none() {
            self.make(pid, name, &group)?;
        }
        for tid in new {
            let file = group.join("tasks");
            let wrote = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&file)
                .and_then(|mut open| writeln!(open, "{}", tid.0));
            match wrote {
                Err(source) if source.raw_os_error() != Some(libc::ESRCH) => {
                    self.forget(pid);
                    self.waiting.insert(pid);
                    return Err(ResctrlError::Io { action: "add a thread to", file, source });
                }
                _ => {}
            }
            if let Some(guest) = self.guests.get_mut(&pid) {
                guest.threads.insert(tid);
            }
        }
        Ok(())
    }

    fn make(&mut self, pid: Pid, name: &str, group: &Path) -> Result<(), ResctrlError> {
        if let Err(source) = fs::create_dir(group) {
            self.waiting.insert(pid);
            return Err(match source.raw_os_error() {
                Some(libc::ENOSPC) => ResctrlError::NoIdLeft,
                _ => ResctrlError::Io { action: "create", file: group.to_owned(), source },
            });
        }
        let watched = Watched { name: name.to_owned(), group: group.to_owned(), threads: BTreeSet::new() };
        self.guests.insert(pid, watched);
        Ok(())
    }

    /// Threads in monitoring groups other than `own`.
    fn taken(&self, own: &Path) -> BTreeSet<Tid> {
        let control = folders(&self.folder).into_iter().chain([self.folder.clone()]);
        let groups = control.flat_map(|control| folders(&control.join("mon_groups"))).filter(|group| group != own);
        groups.flat_map(|group| tasks(&text(&group.join("tasks")))).collect()
    }

    /// Ends the monitoring of a guest that has left; others may have its id then.
    pub fn forget(&mut self, pid: Pid) {
        if let Some(guest) = self.guests.remove(&pid) {
            let _ = fs::remove_dir(&guest.group);
            self.waiting.clear();
        }
        self.waiting.remove(&pid);
    }

    /// What every monitored guest uses now.
    #[must_use]
    pub fn read(&self) -> Vec<GuestUse> {
        let of = |(pid, guest): (&Pid, &Watched)| GuestUse {
            pid: *pid,
            name: guest.name.clone(),
            caches: read_group(&guest.group),
        };
        self.guests.iter().map(of).collect()
    }
}

impl Drop for Resctrl {
    fn drop(&mut self) {
        for guest in self.guests.values() {
            let _ = fs::remove_dir(&guest.group);
        }
    }
}

/// What one group uses of each last-level cache, by number.
#[must_use]
pub fn read_group(group: &Path) -> Vec<CacheUse> {
    let cache = |folder: PathBuf| {
        let cache = folder.file_name()?.to_str()?.strip_prefix("mon_L3_")?.parse().ok()?;
        let value = |file: &str| Value::of(&text(&folder.join(file)));
        let (occupancy, local_bytes) = (value("llc_occupancy"), value("mbm_local_bytes"));
        Some(CacheUse { cache, occupancy, local_bytes, total_bytes: value("mbm_total_bytes") })
    };
    let mut caches: Vec<CacheUse> = folders(&group.join("mon_data")).into_iter().filter_map(cache).collect();
    caches.sort_by_key(|one| one.cache);
    caches
}

/// The threads that a `tasks` file lists; lines that are no numbers are passed over.
#[must_use]
pub fn tasks(text: &str) -> Vec<Tid> {
    text.lines().filter_map(|line| line.trim().parse().ok()).map(Tid).collect()
}

/// The text of a file; empty where it cannot be read.
fn text(file: &Path) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|open| open.take(LONGEST_FILE_BYTES).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests;
