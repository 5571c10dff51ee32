//! `phasecast explain`: a journal in sentences.

use std::path::PathBuf;

use crate::cli::print;
use crate::explain::{Moment, Question, as_text, explain, files};
use crate::input::InputError;
use crate::interrupt::Interrupt;

/// Arguments of `phasecast explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast explain /var/lib/phasecast/journal
      every move, why it was made, and what it was worth afterwards
  phasecast explain /var/lib/phasecast/journal --guest db-1
  phasecast explain journal-000003.jsonl --at 2026-01-31T12:00:00 --guest db-1
      why db-1 ran where it ran at that time, moved or not")]
pub struct Args {
    /// A journal, or a daemon's folder of them.
    #[arg(value_name = "JOURNAL|FOLDER")]
    journal: PathBuf,
    /// Of this guest alone, by name or number.
    #[arg(long, value_name = "GUEST")]
    guest: Option<String>,
    /// All that was known and decided at this moment: a quantum's number, or a time in UTC.
    #[arg(long, value_name = "T")]
    at: Option<Moment>,
    /// Answer as JSON, one object for each thing told.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    let files = files(&args.journal)?;
    let question = Question { guest: args.guest.clone(), at: args.at };
    let told = explain(&files, &question).map_err(|error| {
        InputError::new(error.to_string(), "give a journal that a run or a daemon wrote, as it was written")
    })?;
    if args.json {
        return told.iter().try_for_each(|one| print(&serde_json::to_string(one)?));
    }
    print(&as_text(&told))
}
