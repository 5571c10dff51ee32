//! `phasecast image`: builds and inspects the guest image.

use crate::interrupt::Interrupt;

/// Arguments of `phasecast image`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    Ok(())
}
