//! `phasecast restore`: gives threads back the affinities they had, by the ledger of a process that ended badly.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::print;
use crate::custody::{self, DEFAULT_LEDGER, Mode, Outcome, Report};
use crate::interrupt::Interrupt;

/// Arguments of `phasecast restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast restore --dry-run
      what would be given back after a crash; nobody is touched
  phasecast restore
      give it back; doing it again does nothing
  phasecast restore --ledger /run/other/custody.jsonl --json

A thread is touched only if its number and start times are those of the ledger and its CPUs are still the ones that
phasecast set. While a phasecast holds the ledger, nothing is given back: it does so itself when it ends. Exit code 1
says that some thread may still be bound; the ledger keeps those, and the output says why.")]
pub struct Args {
    /// Where the process that ended kept what it owed.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_LEDGER)]
    ledger: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Wait at most so long for a phasecast that is just ending.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Act };
    let report = custody::restore(&args.ledger, Path::new("/"), mode, Duration::from_secs(args.wait))?;
    if args.json {
        print(&serde_json::to_string(&report)?)?;
    } else {
        print(&as_text(&report, &args.ledger))?;
    }
    let failures = report.failures().count();
    anyhow::ensure!(failures == 0, "{failures} threads may still be bound; run this again with the rights named above");
    Ok(())
}

fn as_text(report: &Report, ledger: &Path) -> String {
    if report.threads.is_empty() && report.damaged_lines == 0 {
        return format!("nothing is owed by {}", ledger.display());
    }
    let mut text = String::new();
    for thread in &report.threads {
        let outcome = match &thread.outcome {
            Outcome::GivenBack { mask } => format!("given back CPUs {mask}"),
            Outcome::WouldGiveBack { mask } => format!("would be given back CPUs {mask}"),
            Outcome::AsBefore => "has the CPUs it had".to_owned(),
            Outcome::Gone => "has ended".to_owned(),
            Outcome::TakenOver { mask } => format!("bound by somebody else to CPUs {mask}; left so"),
            Outcome::Failed { reason } => format!("failed: {reason}"),
        };
        let name = thread.comm.escape_default();
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "process {:7} thread {:7} {name:16} {outcome}", thread.thread.pid.0, thread.thread.tid.0);
    }
    if report.damaged_lines > 0 {
        let _ = writeln!(text, "{} lines of the ledger could not be read and were passed over", report.damaged_lines);
    }
    text.trim_end().to_owned()
}
