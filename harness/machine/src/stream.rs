//! Recorded streams of one vCPU's references to the LLC, with what their timing depends on: the file format, its
//! recorder and its reader. Playing them on a machine is [`crate::replay`]'s business; how a stream is made complete
//! by guests and kept is the harness's.

mod recorder;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::Line;

pub use recorder::Recorder;

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
    /// Begins a stream in an empty file: the recorder appends to it.
    pub fn write(&self, _file: &mut impl Write) -> Result<(), StreamError> {
        Err(StreamError::new("write a stream's header", "this build cannot record streams"))
    }
}

/// What kind of access asked the LLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A load that missed the private caches.
    Load,
    /// A store that missed the private caches.
    Store,
    /// A prefetch.
    Prefetch,
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

/// A complete recorded stream.
#[derive(Debug)]
pub struct Stream {
    header: Header,
    instructions: u64,
    references: u64,
    path: PathBuf,
}

impl Stream {
    /// Opens a stream and verifies every byte of it.
    pub fn open(path: &Path) -> Result<Self, StreamError> {
        Err(StreamError::new(format!("open the stream {}", path.display()), "this build cannot read streams"))
    }

    /// What it is of.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Instructions it covers, from the begin mark.
    #[must_use]
    pub const fn instructions(&self) -> u64 {
        self.instructions
    }

    /// References to the LLC in it, prefetches included.
    #[must_use]
    pub const fn references(&self) -> u64 {
        self.references
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its references in order.
    pub fn each_reference(&self, _visit: impl FnMut(Reference)) -> Result<(), StreamError> {
        Err(StreamError::new(format!("read the stream {}", self.path.display()), "this build cannot read streams"))
    }
}
