//! `phasecast train`: learns a model from traces.

use crate::interrupt::Interrupt;

/// Arguments of `phasecast train`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    Ok(())
}
