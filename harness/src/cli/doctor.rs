//! `phasecast doctor`: says what this machine can do, and why not. Always exits 0: an absence is an answer.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use crate::doctor::{self, Roots};
use crate::image::Cache;
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
    let report = doctor::examine(&Roots::default(), existing_cache().as_deref(), kernel_of_an_image().as_deref());
    let text = if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { report.to_string() };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read it has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// The kernel of an image that was built before, for the probe boot.
fn kernel_of_an_image() -> Option<PathBuf> {
    let images = Cache::open(existing_cache()?).ok()?.images().ok()?;
    images.into_iter().flatten().next().map(|image| image.kernel)
}

/// The user's cache; an empty one is not made just to look into it.
fn existing_cache() -> Option<PathBuf> {
    Cache::default_folder().ok().filter(|folder| folder.is_dir())
}
