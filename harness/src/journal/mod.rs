//! The journal of a run: what was seen, what was decided and why, what became of it. JSON lines, for people with `jq`
//! and for the report; `docs/journal-format.md` describes each line.
//!
//! The journal is written under its own name, line by line, and flushed at the end of each quantum, so that a run that
//! is killed leaves what it did up to there. It asks no clock: the same run on a host that repeats itself writes the
//! same bytes. A daemon hands it one, and writes a journal without end into a [`folder`].

pub mod folder;
pub mod note;
mod read;
pub mod run;
mod write;

use std::path::PathBuf;

use predictor::policy::Decision;
use predictor::policy::score::MoveScore;
use serde::{Deserialize, Serialize};

use crate::host::{MoveOutcome, Observation};

pub use read::{Journal, Noted, Unfinished};
pub use write::JournalWriter;

use note::{Note, Part, UnixMillis};
use run::RunDescription;

/// The version of the format that this release writes.
pub const VERSION: u32 = 3;

/// The oldest version that this release reads: it knew no notes and no parts.
pub const OLDEST: u32 = 2;

/// One quantum from seeing to doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The number of the quantum, from 0.
    pub quantum: u64,
    /// When it was over, where the run kept wall time.
    pub at: Option<UnixMillis>,
    /// What the host saw.
    pub observation: Observation,
    /// What moves of earlier quanta were worth that the policy could tell now.
    pub scores: Vec<MoveScore>,
    /// What the policy made of it.
    pub decision: Decision,
    /// What became of the decision's moves, one outcome for each, in their order.
    pub outcomes: Vec<MoveOutcome>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// After all its quanta.
    Complete,
    /// On somebody's request.
    Interrupted,
    /// It goes on in the next file.
    GoesOn,
    /// Because of this.
    Failed(String),
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// The first line.
    Header {
        version: u32,
        #[serde(default = "Part::whole", skip_serializing_if = "Part::is_whole")]
        part: Part,
        run: RunDescription,
    },
    /// The host let the quantum pass.
    Saw {
        quantum: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<UnixMillis>,
        observation: Observation,
    },
    /// The policy told what earlier moves were worth; absent where it told nothing.
    Scored { quantum: u64, scores: Vec<MoveScore> },
    /// The policy decided.
    Decided { quantum: u64, decision: Decision },
    /// The host answered the decision's moves; absent where there were none.
    Did { quantum: u64, outcomes: Vec<MoveOutcome> },
    /// Something beside the quanta, after so many of them.
    Noted {
        quantum: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<UnixMillis>,
        note: Note,
    },
    /// The last line; absent from a run that was killed.
    Ended { quanta: u64, how: Ending },
}

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("failed to {action} journal {}: {cause}", file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The file is no journal that this release can read.
    #[error("failed to read journal {}, line {line}: {problem}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

#[cfg(test)]
mod tests;
