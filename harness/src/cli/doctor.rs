//! `phasecast doctor`: says what this machine can do, and why not.

use crate::interrupt::Interrupt;

/// Arguments of `phasecast doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    Ok(())
}
