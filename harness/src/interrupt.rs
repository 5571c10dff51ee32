//! Ctrl-C and SIGTERM: a flag that long work asks between steps, so that guests end and files close before the
//! process does. A second Ctrl-C ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::TERM_SIGNALS;

/// The work was stopped by a signal; exit code 130.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; what was written up to here is complete and readable")]
pub struct Interrupted;

/// Whether somebody asked this process to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGQUIT from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        for &signal in TERM_SIGNALS {
            // The order matters: the second signal finds the flag set and ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupt.0))?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    /// Asks for a stop from within the process.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `Err` once a stop was asked for.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}
