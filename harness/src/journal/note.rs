//! What a journal notes beside quanta: who was there when a file of it began, whether moves are made, and what happened.

use serde::{Deserialize, Serialize};

use crate::host::Arrival;

/// A moment on the wall clock, in milliseconds since 1970. Journals of hosts that live in virtual time hold none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Where the wall clock's time comes from: the journal itself asks no clock.
pub type Clock = fn() -> UnixMillis;

/// What becomes of the moves that are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// They are written down and nothing else.
    DryRun,
    /// They are made.
    Acting,
    /// They are not made for now: the host is watched without Phasecast, to know what it is worth.
    Holding,
}

impl Mode {
    /// Its name in tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::DryRun => "dry run",
            Mode::Acting => "acting",
            Mode::Holding => "holding",
        }
    }
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Who was there when this file began, so that it can be read without those before it.
    Present {
        /// Everybody, in the order of ids.
        vcpus: Vec<Arrival>,
    },
    /// What becomes of moves from now on.
    Mode {
        /// How they are treated.
        mode: Mode,
    },
    /// Something happened that is no part of the loop.
    Happened {
        /// Of which kind: `notice`, `trial`, `reload`, `given_back`.
        kind: String,
        /// What, as a sentence.
        text: String,
    },
}

/// Which part of a long journal a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The first quantum that may stand in it.
    pub first_quantum: u64,
    /// Of quanta in which nothing happened, one in so many is kept.
    pub quiet_kept_one_in: u32,
}

impl Part {
    /// A journal in one file that keeps everything.
    pub const WHOLE: Self = Self { first_quantum: 0, quiet_kept_one_in: 1 };

    pub(super) fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    pub(super) const fn whole() -> Self {
        Self::WHOLE
    }
}
