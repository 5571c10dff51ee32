//! `phasecast doctor`: says what this machine can do, and why not. Always exits 0: an absence is an answer.

use std::io::{ErrorKind, Write};

use crate::doctor::{self, Roots};
use crate::interrupt::Interrupt;

/// Arguments of `phasecast doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast doctor                                  what works here, what does not, what to do
  phasecast doctor --json | jq '.verdicts'          the same for a program")]
pub struct Args {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let report = doctor::examine(&Roots::default(), None);
    let text = if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { report.to_string() };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read it has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}
