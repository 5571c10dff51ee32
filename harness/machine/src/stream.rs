//! Recorded streams of one vCPU's references to the LLC, with what their timing depends on: the file format, its
//! recorder and its reader. Playing them on a machine is [`crate::replay`]'s business; how a stream is made complete
//! by guests and kept is the harness's.
//!
//! **Problem.** What a guest asks of the LLC does not depend on its neighbours; how long that takes does. To try many
//! placements without running the guest again, keep the first without the second. **Idea.** A sequence of events at
//! positions in the instruction stream, each with the earlier events that its address waits for; no times at all.
//!
//! ```text
//! access misses the L1   -> a reference if the L2 has not got it; else a private access, if it may cost time
//! its address waits for  -> the names that its registers carry (`ancestry`), the youngest three
//! a dirty line leaves    -> written out
//! the prefetcher asks    -> prefetch, with the access before it
//! now and then           -> sums of what references do not tell; a checkpoint, after which first accesses to lines that
//!                           the private caches have are told again, for replays in which these caches are cold
//! ```
//!
//! Events are held back for [`LONGEST_WINDOW`] instructions: whether a private access matters may depend on what follows
//! it. Properties, each with a test: what was written is read; any changed or missing byte is noticed when a file is
//! opened; a run that is recorded counts as one that is not; played on the machine it was recorded on, a stream takes the
//! cycles it took. The format and what is approximated are in docs/reference-streams.md.

mod ancestry;
mod event;
mod frames;
mod recorder;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::Line;
use frames::Frames;

#[cfg(test)]
pub(crate) use ancestry::Ancestors;
pub use ancestry::LONGEST_WINDOW;
pub(crate) use ancestry::NAMES;
pub(crate) use event::{Decoder, Event, Kind, Sums, Touch};
pub use recorder::Recorder;
pub(crate) use recorder::Server;

/// Instructions after which the sums that references do not tell are recorded again; in between they are interpolated.
const SUMS_INSTRUCTIONS: u64 = 100_000;

/// Instructions between checkpoints, at which the caches can be taken to go cold.
const CHECKPOINT_INSTRUCTIONS: u64 = 200_000;

/// Why a stream could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to {action}: {reason}")]
pub struct StreamError {
    /// Finishes "failed to ...".
    pub action: String,
    /// Why, and what to do about it.
    pub reason: String,
}

impl StreamError {
    pub(crate) fn new(action: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { action: action.into(), reason: reason.to_string() }
    }
}

/// What a stream is of; stands in the file's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The guest's program with its arguments.
    pub program: Vec<String>,
    /// Digest of the guest's image.
    pub image: String,
    /// Name of the machine it was recorded on, for people.
    pub machine: String,
    /// [`crate::spec::Machine::private_digest`] of that machine: a stream plays on every machine that has the same.
    pub private: String,
}

impl Header {
    /// Begins a stream in an empty file; a [`Recorder`] appends to it.
    pub fn write(&self, file: &mut impl Write) -> Result<(), StreamError> {
        frames::write_header(file, self)
    }
}

/// What kind of access came to the LLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A load that missed the private caches.
    Load,
    /// A store that missed the private caches.
    Store,
    /// A prefetch.
    Prefetch,
    /// A dirty line that left the private caches. It is written there and no reference: nobody waits for it.
    WriteOut,
}

/// One reference to the LLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Instructions before it.
    pub position: u64,
    /// The line by its guest-physical address.
    pub line: Line,
    /// Who asked.
    pub kind: ReferenceKind,
    /// The phase of the ground truth that was marked, if one was.
    pub phase: Option<u8>,
}

/// A complete recorded stream. Its events stay in the file and are read a block at a time.
#[derive(Debug)]
pub struct Stream {
    path: PathBuf,
    frames: Frames,
}

impl Stream {
    /// Opens a stream and verifies every byte of it.
    pub fn open(path: &Path) -> Result<Self, StreamError> {
        Ok(Self { path: path.to_owned(), frames: Frames::open(path)? })
    }

    /// What it is of.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.frames.header
    }

    /// Instructions it covers, from the begin mark.
    #[must_use]
    pub const fn instructions(&self) -> u64 {
        self.frames.totals.instructions
    }

    /// References to the LLC in it, prefetches included.
    #[must_use]
    pub const fn references(&self) -> u64 {
        self.frames.totals.references
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows its references to `visit` in order.
    pub fn each_reference(&self, mut visit: impl FnMut(Reference)) -> Result<(), StreamError> {
        let mut cursor = Cursor::new();
        let mut phase = None;
        loop {
            let event = cursor.next(self)?;
            let kind = match event.kind {
                Kind::Load => ReferenceKind::Load,
                Kind::Store => ReferenceKind::Store,
                Kind::Prefetch => ReferenceKind::Prefetch,
                Kind::WrittenOut => ReferenceKind::WriteOut,
                Kind::Phase | Kind::EndOfTruth => {
                    phase = (event.kind == Kind::Phase).then_some(event.number as u8);
                    continue;
                }
                Kind::End => return Ok(()),
                _ => continue,
            };
            visit(Reference { position: event.position, line: event.line(), kind, phase });
        }
    }
}

/// A place in a stream.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    next_block: usize,
    block: Vec<u8>,
    decoder: Decoder,
}

impl Cursor {
    pub(crate) fn new() -> Self {
        Self { next_block: 0, block: Vec::new(), decoder: Decoder::new(0) }
    }

    /// The next event; at the stream's end [`Kind::End`], again and again.
    #[inline(always)]
    pub(crate) fn next(&mut self, stream: &Stream) -> Result<Event, StreamError> {
        let event = self.decoder.next(&self.block);
        if event.kind == Kind::End { self.next_of_next_block(stream) } else { Ok(event) }
    }

    #[cold]
    #[inline(never)]
    fn next_of_next_block(&mut self, stream: &Stream) -> Result<Event, StreamError> {
        while self.read_block(stream)? {
            let event = self.decoder.next(&self.block);
            if event.kind != Kind::End {
                return Ok(event);
            }
        }
        Ok(Event::note(stream.instructions(), Kind::End))
    }

    /// What the last event of [`Kind::Sums`] said.
    pub(crate) const fn sums(&self) -> Sums {
        self.decoder.sums()
    }

    fn read_block(&mut self, stream: &Stream) -> Result<bool, StreamError> {
        let Some(&place) = stream.frames.blocks.get(self.next_block) else { return Ok(false) };
        let failed = |error| StreamError::new(format!("read the stream {}", stream.path.display()), error);
        stream.frames.read(place, &mut self.block).map_err(failed)?;
        self.decoder = Decoder::new(place.first_position);
        self.next_block += 1;
        Ok(true)
    }
}
