//! QEMU processes: describe, start, talk to, watch and end them.
//!
//! A [`Qemu`] is one guest's process. It dies with the harness, even on SIGKILL, and every call on it has a deadline. It
//! is spoken to through inherited socket pairs, so that nothing of it has a name in the file system but its console log.
//! What runs inside, and what its counters mean, is left to the hosts.

pub mod accelerator;
pub(crate) mod child;
pub(crate) mod console;
mod control;
pub mod description;
pub mod folder;
mod port;
mod process;
pub mod program;
pub mod snapshot;

use std::io;

pub use accelerator::Accelerator;
pub use description::{Description, Plugin, Uncounted};
pub use folder::RunFolder;
pub(crate) use process::end_of;
pub use process::{Qemu, SavedState, Start};
pub use program::{PluginInterface, Program};

use crate::interrupt::Interrupted;

/// What went wrong with QEMU or with a guest in it.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// QEMU is missing or of a version that cannot be used.
    #[error("failed to use {program}: {problem}; {remedy}")]
    Program {
        /// The program as it was called.
        program: String,
        /// What is wrong with it.
        problem: String,
        /// What to install.
        remedy: String,
    },
    /// A guest died, hung or said that something is wrong.
    #[error("failed to {action} guest \"{guest}\": {reason}{}", last_words(.console))]
    Guest {
        /// What was tried.
        action: String,
        /// The guest's name.
        guest: String,
        /// What happened instead.
        reason: String,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The operating system refused something.
    #[error("failed to {action}")]
    System {
        /// What was tried, and on what.
        action: String,
        /// The refusal.
        source: io::Error,
    },
    /// Somebody asked the harness to stop.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
}

impl QemuError {
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}

/// The end of a message about a guest.
pub(crate) fn last_words(console: &[String]) -> String {
    if console.is_empty() {
        return "; its console is empty".to_owned();
    }
    format!("; last lines of its console:\n  {}", console.join("\n  "))
}
