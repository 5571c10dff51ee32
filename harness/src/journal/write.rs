//! Writing a journal while a run goes on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use predictor::policy::Decision;
use predictor::policy::score::MoveScore;

use super::note::{Clock, Note, Part};
use super::run::RunDescription;
use super::{Ending, JournalError, Line, VERSION};
use crate::host::{MoveOutcome, Observation};

/// A journal in the making, on a file or anything else that takes bytes.
#[derive(Debug)]
pub struct JournalWriter<Output: Write> {
    output: Output,
    file: PathBuf,
    part: Part,
    clock: Option<Clock>,
    /// What was seen in a quantum that may not be worth keeping; where every quantum is kept, nothing.
    held: Option<Line>,
    /// One line in the making.
    line: Vec<u8>,
    bytes: u64,
}

impl JournalWriter<BufWriter<File>> {
    /// Begins the journal of `run` at `file`, replacing what was there.
    pub fn create(file: &Path, run: &RunDescription) -> Result<Self, JournalError> {
        let created = File::create(file);
        let output = created.map_err(|cause| JournalError::Io { action: "create", file: file.to_owned(), cause })?;
        Self::begin(BufWriter::new(output), file, run, Part::WHOLE, None)
    }

    /// Begins one part of a long journal at `file`, which must not exist. `clock` says when each quantum was seen.
    pub(super) fn create_part(
        file: &Path,
        run: &RunDescription,
        part: Part,
        clock: Option<Clock>,
    ) -> Result<Self, JournalError> {
        let created = File::create_new(file);
        let output = created.map_err(|cause| JournalError::Io { action: "create", file: file.to_owned(), cause })?;
        Self::begin(BufWriter::new(output), file, run, part, clock)
    }
}

impl<Output: Write> JournalWriter<Output> {
    /// Begins the journal of `run` on `output`, which is no file.
    pub fn new(output: Output, run: &RunDescription) -> Result<Self, JournalError> {
        Self::begin(output, Path::new("(not a file)"), run, Part::WHOLE, None)
    }

    fn begin(
        output: Output,
        file: &Path,
        run: &RunDescription,
        part: Part,
        clock: Option<Clock>,
    ) -> Result<Self, JournalError> {
        let file = file.to_owned();
        let mut journal = Self { output, file, part, clock, held: None, line: Vec::new(), bytes: 0 };
        journal.write(&Line::Header { version: VERSION, part, run: run.clone() })?;
        journal.flush()?;
        Ok(journal)
    }

    /// Notes what the host saw in a quantum.
    pub fn saw(&mut self, quantum: u64, observation: &Observation) -> Result<(), JournalError> {
        let at = self.clock.map(|clock| clock());
        let line = Line::Saw { quantum, at, observation: observation.clone() };
        let Observation { samples: _, arrivals, departures, guest_events } = observation;
        let is_eventful = !arrivals.is_empty() || !departures.is_empty() || !guest_events.is_empty();
        let is_due = quantum.is_multiple_of(u64::from(self.part.quiet_kept_one_in.max(1)));
        self.held = None;
        if is_eventful || is_due {
            return self.write(&line);
        }
        self.held = Some(line);
        Ok(())
    }

    /// Notes what earlier moves were worth.
    pub fn scored(&mut self, quantum: u64, scores: &[MoveScore]) -> Result<(), JournalError> {
        self.keep()?;
        self.write(&Line::Scored { quantum, scores: scores.to_vec() })
    }

    /// Notes what the policy decided. A quiet quantum that ends here is left out, unless all are kept.
    pub fn decided(&mut self, quantum: u64, decision: &Decision) -> Result<(), JournalError> {
        if decision.moves.is_empty() && self.held.take().is_some() {
            return Ok(());
        }
        self.keep()?;
        self.write(&Line::Decided { quantum, decision: decision.clone() })
    }

    /// Notes how the host answered the decision's moves.
    pub fn did(&mut self, quantum: u64, outcomes: &[MoveOutcome]) -> Result<(), JournalError> {
        self.write(&Line::Did { quantum, outcomes: outcomes.to_vec() })
    }

    /// Notes what is no part of a quantum, after `quantum` of them.
    pub fn noted(&mut self, quantum: u64, note: Note) -> Result<(), JournalError> {
        let at = self.clock.map(|clock| clock());
        self.write(&Line::Noted { quantum, at, note })
    }

    /// Notes how the run ended after `quanta` whole quanta, and hands out what was written on.
    pub fn end(mut self, quanta: u64, how: Ending) -> Result<Output, JournalError> {
        self.keep()?;
        self.write(&Line::Ended { quanta, how })?;
        self.flush()?;
        Ok(self.output)
    }

    /// How long it is so far, with what is not flushed yet.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes sure that a reader, or a crash, finds all that was noted.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.output.flush().map_err(|cause| JournalError::Io { action: "write", file: self.file.clone(), cause })
    }

    /// Writes what was held back: the quantum is not quiet.
    fn keep(&mut self) -> Result<(), JournalError> {
        self.held.take().map_or(Ok(()), |line| self.write(&line))
    }

    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, line).map_err(std::io::Error::from);
        self.line.push(b'\n');
        let written = written.and_then(|()| self.output.write_all(&self.line));
        self.bytes += self.line.len() as u64;
        written.map_err(|cause| JournalError::Io { action: "write", file: self.file.clone(), cause })
    }
}
