//! `phasecast experiment`: runs a described experiment and reports it.

use crate::interrupt::Interrupt;

/// Arguments of `phasecast experiment`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    Ok(())
}
