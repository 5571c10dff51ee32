//! Writing a journal while a run goes on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use predictor::policy::Decision;
use predictor::policy::score::MoveScore;

use super::run::RunDescription;
use super::{Ending, JournalError, Line, VERSION};
use crate::host::{MoveOutcome, Observation};

/// A journal in the making, on a file or anything else that takes bytes.
#[derive(Debug)]
pub struct JournalWriter<Output: Write> {
    output: Output,
    file: PathBuf,
}

impl JournalWriter<BufWriter<File>> {
    /// Begins the journal of `run` at `file`, replacing what was there.
    pub fn create(file: &Path, run: &RunDescription) -> Result<Self, JournalError> {
        let created = File::create(file);
        let output = created.map_err(|cause| JournalError::Io { action: "create", file: file.to_owned(), cause })?;
        Self::begin(BufWriter::new(output), file, run)
    }
}

impl<Output: Write> JournalWriter<Output> {
    /// Begins the journal of `run` on `output`, which is no file.
    pub fn new(output: Output, run: &RunDescription) -> Result<Self, JournalError> {
        Self::begin(output, Path::new("(not a file)"), run)
    }

    fn begin(output: Output, file: &Path, run: &RunDescription) -> Result<Self, JournalError> {
        let mut journal = Self { output, file: file.to_owned() };
        journal.write(&Line::Header { version: VERSION, run: run.clone() })?;
        journal.flush()?;
        Ok(journal)
    }

    /// Notes what the host saw in a quantum.
    pub fn saw(&mut self, quantum: u64, observation: &Observation) -> Result<(), JournalError> {
        self.write(&Line::Saw { quantum, observation: observation.clone() })
    }

    /// Notes what earlier moves were worth.
    pub fn scored(&mut self, quantum: u64, scores: &[MoveScore]) -> Result<(), JournalError> {
        self.write(&Line::Scored { quantum, scores: scores.to_vec() })
    }

    /// Notes what the policy decided.
    pub fn decided(&mut self, quantum: u64, decision: &Decision) -> Result<(), JournalError> {
        self.write(&Line::Decided { quantum, decision: decision.clone() })
    }

    /// Notes how the host answered the decision's moves.
    pub fn did(&mut self, quantum: u64, outcomes: &[MoveOutcome]) -> Result<(), JournalError> {
        self.write(&Line::Did { quantum, outcomes: outcomes.to_vec() })
    }

    /// Notes how the run ended after `quanta` whole quanta, and hands out what was written on.
    pub fn end(mut self, quanta: u64, how: Ending) -> Result<Output, JournalError> {
        self.write(&Line::Ended { quanta, how })?;
        self.flush()?;
        Ok(self.output)
    }

    /// Makes sure that a reader, or a crash, finds all that was noted.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.output.flush().map_err(|cause| JournalError::Io { action: "write", file: self.file.clone(), cause })
    }

    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        let written = serde_json::to_writer(&mut self.output, line).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.output.write_all(b"\n"));
        written.map_err(|cause| JournalError::Io { action: "write", file: self.file.clone(), cause })
    }
}
