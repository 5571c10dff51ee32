//! A journal without end, in a folder of files of bounded size and number.
//!
//! # Format
//!
//! `journal-000001.jsonl`, `journal-000002.jsonl`, ... Each is a journal by itself: it begins with the run's header and
//! with who was there, and ends with the word that it goes on in the next. Numbers only grow: a daemon that starts goes on
//! after the highest there is, and never writes into a file that another left.
//!
//! # Properties
//!
//! There are at most as many files as asked for, and each is longer than asked for by at most one quantum. A file is closed at the
//! end of a quantum, never within one. What was written is in the file by the end of its quantum, whatever happens to the
//! process.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::note::{Clock, Note, Part};
use super::run::RunDescription;
use super::{Ending, JournalError, JournalWriter};

/// How much of a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file is closed when it is as long as this.
    pub file_bytes: u64,
    /// This many files are kept, at least 1.
    pub files: u32,
    /// Of quanta in which nothing happened, one in so many is kept, at least 1.
    pub quiet_kept_one_in: u32,
}

/// A journal in a folder, in the making.
#[derive(Debug)]
pub struct JournalFolder {
    folder: PathBuf,
    rotation: Rotation,
    run: RunDescription,
    clock: Option<Clock>,
    number: u32,
    writer: JournalWriter<BufWriter<File>>,
}

impl JournalFolder {
    /// Makes the folder where there is none, and begins the next file in it.
    pub fn open(
        folder: &Path,
        rotation: Rotation,
        run: RunDescription,
        clock: Option<Clock>,
    ) -> Result<Self, JournalError> {
        let failed = |action, cause| JournalError::Io { action, file: folder.to_owned(), cause };
        std::fs::create_dir_all(folder).map_err(|cause| failed("make the folder of", cause))?;
        let last = files_in(folder)?.last().map_or(0, |(number, _)| *number);
        let number = last + 1;
        let writer = begin(folder, number, &run, rotation, clock, 0)?;
        let journal = Self { folder: folder.to_owned(), rotation, run, clock, number, writer };
        journal.prune()?;
        Ok(journal)
    }

    /// What the loop writes to.
    pub const fn writer(&mut self) -> &mut JournalWriter<BufWriter<File>> {
        &mut self.writer
    }

    /// The file that is written now.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        file_of(&self.folder, self.number)
    }

    /// Goes on in the next file if this one is full, which `opening` begins. `next` is the coming quantum. Answers whether it
    /// did.
    pub fn rotate_if_full(&mut self, next: u64, opening: impl FnOnce() -> Vec<Note>) -> Result<bool, JournalError> {
        if self.writer.bytes() < self.rotation.file_bytes {
            return Ok(false);
        }
        let writer = begin(&self.folder, self.number + 1, &self.run, self.rotation, self.clock, next)?;
        self.number += 1;
        std::mem::replace(&mut self.writer, writer).end(next, Ending::GoesOn)?;
        for note in opening() {
            self.writer.noted(next, note)?;
        }
        self.writer.flush()?;
        self.prune()?;
        Ok(true)
    }

    /// Ends it after `quanta` whole quanta.
    pub fn end(self, quanta: u64, how: Ending) -> Result<(), JournalError> {
        self.writer.end(quanta, how).map(drop)
    }

    /// Removes the oldest files that are too many.
    fn prune(&self) -> Result<(), JournalError> {
        let files = files_in(&self.folder)?;
        let too_many = files.len().saturating_sub(self.rotation.files.max(1) as usize);
        for (_, file) in &files[..too_many] {
            let removed = std::fs::remove_file(file);
            removed.map_err(|cause| JournalError::Io { action: "remove the old", file: file.clone(), cause })?;
        }
        Ok(())
    }
}

fn begin(
    folder: &Path,
    number: u32,
    run: &RunDescription,
    rotation: Rotation,
    clock: Option<Clock>,
    first_quantum: u64,
) -> Result<JournalWriter<BufWriter<File>>, JournalError> {
    let part = Part { first_quantum, quiet_kept_one_in: rotation.quiet_kept_one_in };
    JournalWriter::create_part(&file_of(folder, number), run, part, clock)
}

fn file_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("journal-{number:06}.jsonl"))
}

/// The files of a journal, with their numbers, the oldest first; what else lies in the folder is left alone.
pub fn files_in(folder: &Path) -> Result<Vec<(u32, PathBuf)>, JournalError> {
    let failed = |cause| JournalError::Io { action: "list the folder of", file: folder.to_owned(), cause };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
            name.strip_prefix("journal-")?.strip_suffix(".jsonl").filter(|digits| digits.len() >= 6)?.parse().ok()
        });
        files.extend(number.map(|number: u32| (number, path)));
    }
    files.sort();
    Ok(files)
}
