//! Traces: the samples of a run as a Parquet file, one row a sample, for training, scoring and other people's tools.
//!
//! `docs/trace-format.md` describes every column; [`schema`] holds them. A trace is written to a temporary name beside
//! its own and renamed when it is complete, so a file of that name is always whole. Decisions are not in a trace: they
//! stand in the journal.

mod columns;
mod read;
pub mod schema;
mod write;

use std::path::PathBuf;

use predictor::counters::Sample;

use crate::input::InputError;

pub use read::Trace;
pub use write::TraceWriter;

/// The version of the format that this release writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// One sample with its place in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The number of the quantum, from 0.
    pub quantum: u64,
    /// The guest's name.
    pub guest_name: String,
    /// The program's name in the catalogue; empty where it is not known.
    pub program: String,
    /// The name of the program's input; empty where it is not known.
    pub input: String,
    /// Instructions that the vCPU had retired since its first sample when this quantum began; `None` from the first
    /// sample on whose instructions were not counted.
    pub instructions_at_start: Option<u64>,
    /// What was counted.
    pub sample: Sample,
}

/// Why a trace could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file system said no.
    #[error("failed to {action} trace {}: {cause}", file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The Parquet layer could not write.
    #[error("failed to write trace {}: {reason}", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is no trace that this release can read.
    #[error("failed to read trace {}: {problem}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl TraceError {
    /// A trace that cannot be read was named by a person: the mistake is the person's.
    #[must_use]
    pub fn into_input(self) -> InputError {
        match self {
            Self::Io { file, cause, .. } => {
                InputError::new(format!("cannot be read: {cause}"), "give the path of a trace").in_file(file)
            }
            Self::Write { file, reason } => InputError::new(reason, "give the path of a trace").in_file(file),
            Self::Unreadable { file, problem } => {
                InputError::new(format!("is no trace that can be used: {problem}"), "give another trace").in_file(file)
            }
        }
    }
}

#[cfg(test)]
mod tests;
