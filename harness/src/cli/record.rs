//! `phasecast record`: runs a mix and keeps its samples as a trace.

use crate::interrupt::Interrupt;

/// Arguments of `phasecast record`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    Ok(())
}
