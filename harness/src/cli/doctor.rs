//! `phasecast doctor`: says what this machine can do, and why not. Always exits 0: an absence is an answer.

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
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
