//! `phasecast stream`: lists the recorded streams of the cache and removes what is no longer of use.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cli::print;
use crate::image::Cache;
use crate::interrupt::Interrupt;
use crate::streams::{About, Entry, Recording, Streams};

/// Arguments of `phasecast stream`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast stream list
  phasecast stream prune --older-than 30

Streams are recorded by `phasecast record MIX --stream`, or by any run with `--host replayed` that needs them.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say which streams the cache has: of which program, how long and how large.
    #[command(after_help = "Examples:
  phasecast stream list
  phasecast stream list --json")]
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Remove streams of images that the cache no longer has, broken ones, and what killed recordings left.
    #[command(after_help = "Examples:
  phasecast stream prune --dry-run
      what would be removed
  phasecast stream prune --older-than 30
      also what nobody has used for 30 days
  phasecast stream prune --all")]
    Prune {
        /// Also those that nobody has used for so many days.
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u64>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The folder with images and streams [default: $PHASECAST_CACHE, else $XDG_CACHE_HOME/phasecast, else
    /// ~/.cache/phasecast].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Common {
    fn open(&self) -> anyhow::Result<(Cache, Streams)> {
        let folder = match &self.cache {
            Some(folder) => folder.clone(),
            None => Cache::default_folder()?,
        };
        let cache = Cache::open(folder)?;
        let streams = Streams::open(cache.folder())?;
        Ok((cache, streams))
    }
}

/// Runs the command.
pub fn run(args: &Args, _interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.action {
        Action::List { common } => list(common),
        Action::Prune { older_than, all, dry_run, common } => {
            let (cache, streams) = common.open()?;
            let images: Vec<String> = cache.digests()?;
            let now = SystemTime::now();
            let reason = |entry: &Entry| match *all {
                true => Some("all were to go".to_owned()),
                false => why_not_keep(entry, &images, now, *older_than),
            };
            prune(&streams, common.json, *dry_run, &reason)
        }
    }
}

fn list(common: &Common) -> anyhow::Result<()> {
    let (_, streams) = common.open()?;
    let entries = streams.entries()?;
    if common.json {
        let described: Vec<Value> = entries.iter().map(describe).collect();
        return print(&format!("{:#}", json!({ "folder": streams.folder(), "streams": described })));
    }
    if entries.is_empty() {
        let folder = streams.folder().display();
        return print(&format!("{folder} has no stream; record some with: phasecast record MIX --stream"));
    }
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut lines = vec![heading()];
    lines.extend(entries.iter().map(|entry| match &entry.about {
        Ok(about) => line(about, entry.bytes, &program_of(about)),
        Err(problem) => format!("broken: {problem}"),
    }));
    lines.push(format!("{} streams, {} MiB in {}", entries.len(), bytes >> 20, streams.folder().display()));
    print(&lines.join("\n"))
}

/// Removes what has a reason to go, unless somebody is using it.
fn prune(
    streams: &Streams,
    as_json: bool,
    dry_run: bool,
    reason: &dyn Fn(&Entry) -> Option<String>,
) -> anyhow::Result<()> {
    let (mut told, mut freed) = (Vec::new(), 0);
    for entry in streams.entries()? {
        let Some(reason) = reason(&entry) else { continue };
        let removed = dry_run || streams.remove(&entry)?;
        freed += if removed { entry.bytes } else { 0 };
        told.push((entry, if removed { reason } else { "kept: it is being used".to_owned() }, removed));
    }
    let cleared = if dry_run { 0 } else { streams.clear_abandoned()? };
    if as_json {
        let entries: Vec<Value> = told
            .iter()
            .map(|(entry, reason, removed)| json!({ "folder": entry.folder, "reason": reason, "removed": removed }))
            .collect();
        let answer = json!({ "streams": entries, "abandoned": cleared, "bytes": freed, "dry_run": dry_run });
        return print(&format!("{answer:#}"));
    }
    let mut lines: Vec<String> =
        told.iter().map(|(entry, reason, _)| format!("{}: {reason}", entry.folder.display())).collect();
    let verb = if dry_run { "would be freed" } else { "freed" };
    lines.push(format!("{} streams, {} MiB {verb}; {cleared} abandoned recordings cleared", told.len(), freed >> 20));
    print(&lines.join("\n"))
}

fn why_not_keep(entry: &Entry, images: &[String], now: SystemTime, older_than_days: Option<u64>) -> Option<String> {
    let about = match &entry.about {
        Ok(about) => about,
        Err(problem) => return Some(format!("broken ({})", problem.problem)),
    };
    if !images.contains(&about.image) {
        return Some("the image that it was recorded from is gone".to_owned());
    }
    let days = older_than_days?;
    let unused = now.duration_since(entry.used?).ok()?;
    (unused > Duration::from_secs(days * 86_400)).then(|| format!("not used for {} days", unused.as_secs() / 86_400))
}

/// Says of each guest of a mix which stream it has now.
pub(super) fn show_recorded(guests: &[(&str, &Recording)], as_json: bool) -> anyhow::Result<()> {
    let bytes = |recording: &Recording| std::fs::metadata(recording.stream.path()).map_or(0, |file| file.len());
    if as_json {
        let described: Vec<Value> = guests
            .iter()
            .map(|(name, recording)| {
                let mut value = about_value(&recording.about);
                value["guest"] = (*name).into();
                value["stream"] = recording.stream.path().display().to_string().into();
                value["bytes"] = bytes(recording).into();
                value
            })
            .collect();
        return print(&format!("{:#}", Value::Array(described)));
    }
    let mut lines = vec![heading()];
    lines.extend(guests.iter().map(|(name, recording)| line(&recording.about, bytes(recording), name)));
    print(&lines.join("\n"))
}

fn heading() -> String {
    format!("{:>16} {:>13} {:>9} {:>6} {:>7}  of", "instructions", "references", "MiB", "bytes", "runs")
}

/// One stream; `of` says whose it is.
fn line(about: &About, bytes: u64, of: &str) -> String {
    let each = if about.references > 0 { bytes as f64 / about.references as f64 } else { 0.0 };
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let (instructions, references, runs) = (about.instructions, about.references, about.completions.len());
    format!("{instructions:>16} {references:>13} {mebibytes:>9.1} {each:>6.1} {runs:>7}  {of}")
}

fn program_of(about: &About) -> String {
    let program = about
        .program
        .first()
        .map_or("", |path| Path::new(path).file_name().map_or("", |name| name.to_str().unwrap_or("")));
    let arguments = about.program.iter().skip(1).map(String::as_str);
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn describe(entry: &Entry) -> Value {
    let mut value = match &entry.about {
        Ok(about) => about_value(about),
        Err(problem) => json!({ "broken": problem.to_string() }),
    };
    value["folder"] = entry.folder.display().to_string().into();
    value["bytes"] = entry.bytes.into();
    value
}

fn about_value(about: &About) -> Value {
    json!({
        "program": about.program,
        "image": about.image,
        "qemu": about.qemu,
        "machine": about.machine,
        "private": about.private,
        "memory_mib": about.memory_mib,
        "cycles": about.cycles,
        "instructions": about.instructions,
        "references": about.references,
        "completed_runs": about.completions.len(),
    })
}
