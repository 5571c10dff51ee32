//! `phasecast stream`: lists the recorded streams of the cache, removes what is no longer of use, and draws miss-ratio
//! curves from them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use machine::spec::Machine;
use machine::stream::Stream;
use predictor::miss_ratio::Sampling;
use serde_json::{Value, json};

use crate::cli::cache::{CacheArg, CacheCommand};
use crate::cli::print;
use crate::cli::qemu::QemuArg;
use crate::curves::{self, GuestCurves, PhaseCurve, Phases, Settings};
use crate::image::{Cache, suite};
use crate::input::{InputError, suggest};
use crate::interrupt::Interrupt;
use crate::mix::Mix;
use crate::streams::{About, Entry, Recording, Streams};
use crate::testbed::{BedKind, TestBed};

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
        common: CacheCommand,
    },
    /// Say how often each guest would miss in LLCs of other sizes, from its stream.
    #[command(after_help = "Examples:
  phasecast stream curves mix.toml --by-phase
      a table: miss ratio against LLC size, for each phase of each guest
  phasecast stream curves mix.toml --by-phase --svg curves.svg --json
  phasecast stream curves mix.toml --guest alpha --rate 0.01 --check
      one line in a hundred, and how far that is from exact")]
    Curves(Box<CurvesArgs>),
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
        common: CacheCommand,
    },
}

#[derive(Debug, clap::Args)]
struct CurvesArgs {
    /// The mix of guests, a TOML file; or one stream, a file as `phasecast stream list --json` names it.
    source: PathBuf,
    /// A curve for each phase, marked by the program or else learned in a replay of the guest alone; of a stream
    /// without its mix only marked ones.
    #[arg(long)]
    by_phase: bool,
    /// Only this guest of the mix.
    #[arg(long, value_name = "GUEST")]
    guest: Option<String>,
    /// How much of each guest's time, in quanta of the mix.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// The share of lines that are followed; 1 for all, which is exact and slow.
    #[arg(long, value_name = "R", default_value_t = 0.1)]
    rate: f64,
    /// Also follow all lines, and tell the mean error of the share.
    #[arg(long)]
    check: bool,
    /// Draw the curves.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    qemu: QemuArg,
    #[command(flatten)]
    common: CacheCommand,
}

fn open(cache: &CacheArg) -> anyhow::Result<(Cache, Streams)> {
    let cache = cache.open()?;
    let streams = Streams::open(cache.folder())?;
    Ok((cache, streams))
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.action {
        Action::List { common } => list(common),
        Action::Curves(args) => curves_of(args, interrupt),
        Action::Prune { older_than, all, dry_run, common } => {
            let (cache, streams) = open(&common.cache)?;
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

fn curves_of(args: &CurvesArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let sampling = Sampling::of(args.rate).ok_or_else(|| {
        InputError::new(format!("{} is no share of lines", args.rate), "give one above 0 and at most 1").at("--rate")
    })?;
    let settings = Settings { sampling, check: args.check };
    let is_stream = args.source.extension().is_none_or(|ending| ending != "toml");
    let (found, llc_bytes) =
        if is_stream { curves_of_stream(args, settings)? } else { curves_of_mix(args, settings, interrupt)? };
    if let Some(file) = &args.svg {
        let svg = curves::figure::draw(&found, llc_bytes)?;
        std::fs::write(file, svg).with_context(|| format!("failed to write {}", file.display()))?;
    }
    if args.common.json {
        return print(&format!("{:#}", json!({ "rate": sampling.rate(), "guests": found })));
    }
    print(&found.iter().map(table_of).collect::<Vec<_>>().join("\n\n"))
}

fn curves_of_stream(args: &CurvesArgs, settings: Settings) -> anyhow::Result<(Vec<GuestCurves>, u64)> {
    let wrong = |problem: String, remedy: &str| InputError::new(problem, remedy).in_file(&args.source);
    if args.guest.is_some() {
        return Err(wrong("--guest names a guest of a mix, and this is a stream".to_owned(), "leave it out").into());
    }
    let stream = Stream::open(&args.source)
        .map_err(|error| wrong(error.reason, "name a mix (.toml) or a file of `phasecast stream list --json`"))?;
    // A stream knows its machine's name only; sizes are those of the smallest machine.
    let machine = Machine::preset(&stream.header().machine).or_else(|| Machine::preset("small-2x2"));
    let machine = machine.expect("it comes with the program");
    let phases = if args.by_phase { Phases::Marked } else { Phases::Whole };
    let name = stream.header().program.join(" ");
    let found = curves::curves(&name, &stream, phases, &curves::sizes_bytes(&machine), settings)?;
    Ok((vec![found], machine.llc().bytes()))
}

fn curves_of_mix(
    args: &CurvesArgs,
    settings: Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<(Vec<GuestCurves>, u64)> {
    let mix = Mix::read(&args.source, &suite::catalogue(args.common.cache.named())?)?;
    let names: Vec<&str> = mix.guests.iter().map(|guest| guest.name.as_str()).collect();
    if let Some(unknown) = args.guest.as_deref().filter(|name| !names.contains(name)) {
        let problem = format!("--guest names {unknown:?}, which is no guest of the mix");
        return Err(InputError::new(problem, suggest(unknown, &names)).in_file(&args.source).into());
    }
    BedKind::Replayed.check(&mix)?;
    let tell = |line: &str| eprintln!("{line}");
    let qemu = args.qemu.chosen(&args.common.cache)?;
    let bed = TestBed::prepare_with(BedKind::Replayed, args.common.cache.named(), qemu.as_ref(), interrupt, &tell)?;
    let recorded = bed.record(&[&mix], args.quanta, None, interrupt, &tell)?;
    let sizes = curves::sizes_bytes(&mix.machine);
    let mut found = Vec::new();
    for (index, (guest, recording)) in mix.guests.iter().zip(&recorded).enumerate() {
        if args.guest.as_ref().is_some_and(|name| *name != guest.name) {
            continue;
        }
        let learned = match args.by_phase && !guest.truth {
            true => Some(curves::learn(&bed, &mix, index, args.quanta, interrupt, &tell)?),
            false => None,
        };
        let phases = match &learned {
            Some(pieces) => Phases::Learned(pieces),
            None if args.by_phase => Phases::Marked,
            None => Phases::Whole,
        };
        found.push(curves::curves(&guest.name, &recording.stream, phases, &sizes, settings)?);
    }
    Ok((found, mix.machine.llc().bytes()))
}

/// Sizes down, phases across; every other size.
fn table_of(guest: &GuestCurves) -> String {
    let head = |phase: &PhaseCurve| phase.phase.map_or("no phase".to_owned(), |number| format!("phase {number}"));
    let line = |first: &str, cells: &mut dyn Iterator<Item = String>| {
        cells.fold(format!("{first:>16}"), |line, cell| format!("{line} {cell:>10}"))
    };
    let mut lines = vec![guest.name.clone(), line("LLC KiB", &mut guest.phases.iter().map(head))];
    for (place, bytes) in guest.sizes_bytes.iter().enumerate().step_by(2) {
        let ratio = |phase: &PhaseCurve| format!("{:.3}", phase.curve.miss_ratios[place]);
        lines.push(line(&(bytes >> 10).to_string(), &mut guest.phases.iter().map(ratio)));
    }
    lines.push(line("references", &mut guest.phases.iter().map(|phase| phase.curve.references.to_string())));
    if guest.phases.iter().any(|phase| phase.mean_error.is_some()) {
        let error = |phase: &PhaseCurve| phase.mean_error.map_or("-".to_owned(), |error| format!("{error:.4}"));
        lines.push(line("mean error", &mut guest.phases.iter().map(error)));
    }
    lines.join("\n")
}

fn list(common: &CacheCommand) -> anyhow::Result<()> {
    let (_, streams) = open(&common.cache)?;
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
