//! What the lab tells: the lines of its second serial port, read once into types. `workloads/src/bin/lab/report.rs` writes
//! them and says what each means.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sysfs::CpuSet;

/// A line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Told {
    /// What is being done.
    Progress {
        /// Since the lab began.
        seconds: f64,
        /// What.
        text: String,
    },
    /// A claim was judged.
    Verdict {
        /// Since the lab began.
        seconds: f64,
        /// What is claimed.
        claim: String,
        /// What was seen.
        detail: String,
        /// Whether it is so.
        holds: bool,
    },
    /// A vCPU may run on other CPUs than before, as `/proc` says.
    Seen(Change),
    /// The lab itself set a vCPU's CPUs, as its owner would.
    Ordered(Change),
    /// A daemon wrote its journal and was not yet told to end.
    Daemon(Span),
    /// A line of a file.
    File {
        /// Its name.
        name: String,
        /// The line, without its end.
        line: String,
    },
    /// Nothing follows.
    End {},
}

/// The CPUs of a vCPU were changed, after `since` and not after `at`, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// Its guest.
    pub guest: String,
    /// Its thread.
    pub thread: u32,
    /// The new ones, as a list.
    pub cpus: String,
    /// When they were not these yet; 0 where nobody had looked.
    pub since: u64,
    /// When they were.
    pub at: u64,
}

impl Change {
    /// The new CPUs; `None` if it is no list of any.
    #[must_use]
    pub fn cpus(&self) -> Option<CpuSet> {
        CpuSet::from_list(&self.cpus).ok()
    }
}

/// For how long a daemon did as it liked, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// Which daemon, from 1: the number of its journal.
    pub number: u32,
    /// From when.
    pub since: u64,
    /// Until when.
    pub at: u64,
}

/// All that was told, but for progress and verdicts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// What `/proc` showed, in the order of time.
    pub seen: Vec<Change>,
    /// What the lab itself set.
    pub ordered: Vec<Change>,
    /// When which daemon was at work.
    pub daemons: Vec<Span>,
    /// Files by name.
    pub files: BTreeMap<String, String>,
}

impl Record {
    /// Takes in a line.
    pub fn take(&mut self, told: Told) {
        match told {
            Told::Seen(change) => self.seen.push(change),
            Told::Ordered(change) => self.ordered.push(change),
            Told::Daemon(span) => self.daemons.push(span),
            Told::File { name, line } => {
                let text = self.files.entry(name).or_default();
                text.push_str(&line);
                text.push('\n');
            }
            Told::Progress { .. } | Told::Verdict { .. } | Told::End {} => {}
        }
    }

    /// The journal of the daemon of this number.
    #[must_use]
    pub fn journal(&self, number: u32) -> Option<&str> {
        self.files.get(&format!("journal-{number:06}.jsonl")).map(String::as_str)
    }
}

/// A file's name that stays in its folder: whatever is not plain becomes an underscore.
pub(super) fn plain(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    plain.trim_start_matches('.').to_owned()
}
