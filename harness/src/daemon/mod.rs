//! The daemon: the control loop on a live host for as long as the machine runs, such that an operator can trust, explain and
//! undo every move.
//!
//! Owns the loop around [`crate::control::turn`], what is kept of a run for people, and the order in which things end. The
//! host is anything that can be undone ([`undo`]), so that the loop is tested where nobody is hurt.
//!
//! # Modes
//!
//! ```text
//! dry run    decided moves are written down and refused by the gate; the host was never asked
//! acting     they are made
//! holding    a trial compares: placement was given back, moves are refused by the gate
//! ```
//!
//! A dry run is the default, and cannot become acting while the daemon runs: a configuration read again may stop moving, and
//! only a start with `act = true` or `--act` begins it.
//!
//! # How it ends
//!
//! By a signal: placement is given back, the journal is ended, the watchdog is told goodbye; exit code 0. By an error of the host or
//! the journal: the same, and exit code 1. By `kill -9`, a crash or a hang: the watchdog gives placement back by the ledger; failing
//! that the service manager's `ExecStopPost`; failing that the next start.

pub mod trial;

pub mod config;

pub mod undo;

pub mod status;

pub mod notify;

pub mod watchdog;

mod chronicle;
mod running;

pub use self::running::{Brain, Daemon, DaemonError, Life, Reread, now};
