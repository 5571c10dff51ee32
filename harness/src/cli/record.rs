//! `phasecast record`: runs a mix and keeps its samples as a trace, or its guests' streams. Nobody is moved.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use predictor::counters::{Event, GuestId};
use predictor::policy::{Policy, PolicyKind};
use serde::Serialize;

use crate::cli::cache::CacheArg;
use crate::cli::qemu::QemuArg;
use crate::cli::{print, refuse_overwriting, stream};
use crate::control::{self, RunLength};
use crate::host::{GuestEvent, Host};
use crate::image::suite;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::journal::run::RunDescription;
use crate::journal::{JournalWriter, Turn};
use crate::mix::Mix;
use crate::testbed::{BedKind, TestBed};
use crate::trace::TraceWriter;

const EXAMPLES: &str = "Examples:
  phasecast record mix.toml --out trace.parquet
      200 quanta of all guests of the mix on the emulated host
  phasecast record mix.toml --out alpha.parquet --alone alpha --quanta 400
      one guest of the mix with the machine to itself: what training wants
  phasecast record mix.toml --out trace.parquet --host simulated --json
      scripted phases in place of guests, in milliseconds; a summary as JSON
  phasecast record mix.toml --stream --quanta 400
      each guest's stream of LLC references, recorded alone and kept in the cache, for runs of 400 quanta of any mix
      of these guests with --host replayed";

/// Arguments of `phasecast record`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The mix of guests, a TOML file.
    mix: PathBuf,
    /// Where the trace goes, a Parquet file; one of that name is replaced when the new one is complete.
    #[arg(long, value_name = "FILE", required_unless_present = "stream")]
    out: Option<PathBuf>,
    /// Record the guests' streams of LLC references into the cache, each guest alone, instead of a trace.
    #[arg(long, conflicts_with_all = ["out", "journal", "host", "seed"])]
    stream: bool,
    /// How many quanta to record.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    quanta: u64,
    /// The seed of everything random, in place of the mix's.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Record only this guest of the mix, alone on the machine.
    #[arg(long, value_name = "GUEST")]
    alone: Option<String>,
    /// Where the guests run.
    #[arg(long, value_enum, default_value_t = BedKind::Emulated)]
    host: BedKind,
    /// Also keep the run's journal, as JSON lines.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArg,
    #[command(flatten)]
    qemu: QemuArg,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mix = read_mix(args)?;
    let Some(out) = &args.out else { return record_streams(args, &mix, interrupt) };
    args.host.check(&mix)?;
    check_file(out)?;
    args.journal.as_deref().map(check_file).transpose()?;
    let read: Vec<&Path> = [Some(args.mix.as_path()), mix.machine_file.as_deref()].into_iter().flatten().collect();
    refuse_overwriting(out, &read)?;
    if let Some(journal) = &args.journal {
        refuse_overwriting(journal, &[&read[..], &[out]].concat())?;
    }

    let bar = progress_bar(args.quanta);
    let tell = |line: &str| bar.set_message(line.to_owned());
    let qemu = args.qemu.chosen(&args.cache)?;
    let bed = TestBed::prepare_with(args.host, args.cache.named(), qemu.as_ref(), interrupt, &tell)?;
    let mut host = bed.launch(&mix, args.quanta, None, interrupt, &tell)?;
    bar.set_message("recording");

    let purpose = if args.alone.is_some() { "solo" } else { "record" };
    let run = mix.describe(purpose, args.host.name(), PolicyKind::StayPut.name(), host.events());
    let mut summary = Summary::of(&run);
    let outcome = record(args, out, &run, host.as_mut(), interrupt, &mut |turn| {
        summary.add(turn);
        bar.inc(1);
    });
    bar.finish_and_clear();
    if summary.quanta > 0 {
        summary.show(out, args.json)?;
    }
    outcome
}

/// Records the streams that are missing or too short; says of each guest what there is now.
fn record_streams(args: &Args, mix: &Mix, interrupt: &Interrupt) -> anyhow::Result<()> {
    BedKind::Replayed.check(mix)?;
    let tell = |line: &str| eprintln!("{line}");
    let qemu = args.qemu.chosen(&args.cache)?;
    let bed = TestBed::prepare_with(BedKind::Replayed, args.cache.named(), qemu.as_ref(), interrupt, &tell)?;
    let recorded = bed.record(&[mix], args.quanta, None, interrupt, &tell)?;
    let guests: Vec<_> = mix.guests.iter().map(|guest| guest.name.as_str()).zip(&recorded).collect();
    stream::show_recorded(&guests, args.json)
}

fn read_mix(args: &Args) -> Result<Mix, InputError> {
    let mut mix = Mix::read(&args.mix, &suite::catalogue(args.cache.named())?)?;
    mix.seed = args.seed.unwrap_or(mix.seed);
    let Some(name) = &args.alone else { return Ok(mix) };
    let index = mix.guests.iter().position(|guest| guest.name == *name);
    index.and_then(|index| mix.alone(index)).ok_or_else(|| {
        let names: Vec<&str> = mix.guests.iter().map(|guest| guest.name.as_str()).collect();
        let problem = format!("--alone names {name:?}, which is no guest of the mix");
        InputError::new(problem, crate::input::suggest(name, &names)).in_file(&args.mix)
    })
}

/// Whether a file can stand there once it is complete.
fn check_file(file: &Path) -> Result<(), InputError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() || file.file_name().is_none() {
        return Err(InputError::new("a folder stands there", "give the name of a file").in_file(file));
    }
    if !folder.is_dir() {
        let problem = format!("there is no folder {}", folder.display());
        return Err(InputError::new(problem, "create it, or give a file in another").in_file(file));
    }
    Ok(())
}

/// Runs the quanta. Whatever stops it, what was recorded up to there becomes a complete trace.
fn record(
    args: &Args,
    out: &Path,
    run: &RunDescription,
    host: &mut dyn Host,
    interrupt: &Interrupt,
    watch: &mut dyn FnMut(&Turn),
) -> anyhow::Result<()> {
    let mut trace = TraceWriter::create(out, run)?;
    let mut policy = Policy::stay_put(run.topology.clone());
    let length = RunLength { quanta: args.quanta, quantum: run.quantum };
    let mut recorded = 0;
    let mut follow = |turn: &Turn| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        trace.add_quantum(turn.quantum, &turn.observation.samples)?;
        recorded += 1;
        watch(turn);
        Ok(())
    };
    let outcome = match &args.journal {
        Some(file) => {
            let journal = JournalWriter::create(file, run)?;
            control::run(host, &mut policy, journal, length, interrupt, &mut follow).map(drop)
        }
        None => {
            let journal = JournalWriter::new(std::io::sink(), run)?;
            control::run(host, &mut policy, journal, length, interrupt, &mut follow).map(drop)
        }
    };
    if recorded > 0 {
        trace.finish()?;
    }
    outcome.with_context(|| format!("recorded {recorded} of {} quanta", args.quanta))
}

fn progress_bar(quanta: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(quanta), target);
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} quanta, {eta} left: {msg}");
    // The template is a constant; without it the bar is plain and works as well.
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What was recorded, for people and programs.
#[derive(Debug, Serialize)]
struct Summary {
    quanta: u64,
    samples: u64,
    guests: BTreeMap<GuestId, GuestSummary>,
}

#[derive(Debug, Serialize)]
struct GuestSummary {
    name: String,
    program: String,
    samples: u64,
    completed_runs: u64,
    /// Absent as soon as one sample lacks the count.
    instructions: Option<u64>,
    cycles: Option<u64>,
    idle_cycles: Option<u64>,
    llc_misses: Option<u64>,
}

impl Summary {
    fn of(run: &RunDescription) -> Self {
        let guest = |(id, guest): (&GuestId, &crate::journal::run::GuestDescription)| {
            let (name, program) = (guest.name.clone(), guest.program.clone());
            let none = Some(0);
            let (samples, completed_runs) = (0, 0);
            let (instructions, cycles, idle_cycles, llc_misses) = (none, none, none, none);
            let summary =
                GuestSummary { name, program, samples, completed_runs, instructions, cycles, idle_cycles, llc_misses };
            (*id, summary)
        };
        Self { quanta: 0, samples: 0, guests: run.guests.iter().map(guest).collect() }
    }

    fn add(&mut self, turn: &Turn) {
        self.quanta += 1;
        for sample in &turn.observation.samples {
            self.samples += 1;
            let Some(guest) = self.guests.get_mut(&sample.vcpu.guest) else { continue };
            guest.samples += 1;
            for (sum, event) in [
                (&mut guest.instructions, Event::Instructions),
                (&mut guest.cycles, Event::Cycles),
                (&mut guest.idle_cycles, Event::IdleCycles),
                (&mut guest.llc_misses, Event::LlcMisses),
            ] {
                *sum = sum.zip(sample.count(event)).map(|(sum, count)| sum.saturating_add(count));
            }
        }
        for event in &turn.observation.guest_events {
            let GuestEvent::RunCompleted { guest, .. } = event;
            if let Some(guest) = self.guests.get_mut(guest) {
                guest.completed_runs += 1;
            }
        }
    }

    fn show(&self, trace: &Path, json: bool) -> anyhow::Result<()> {
        if json {
            let mut value = serde_json::to_value(self)?;
            value["trace"] = trace.display().to_string().into();
            return print(&format!("{value:#}"));
        }
        let line = |cells: [&str; 6]| {
            let [guest, program, runs, instructions, cpi, mpki] = cells;
            format!("{guest:<16} {program:<24} {runs:>6} {instructions:>16} {cpi:>8} {mpki:>8}")
        };
        let mut lines = vec![line(["guest", "program", "runs", "instructions", "CPI", "MPKI"])];
        for guest in self.guests.values() {
            lines.push(line([
                &guest.name,
                &guest.program,
                &guest.completed_runs.to_string(),
                &guest.instructions.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                &ratio(guest.cycles, guest.instructions, 1.0),
                &ratio(guest.llc_misses, guest.instructions, 1000.0),
            ]));
        }
        lines.push(format!("{} quanta, {} samples in {}", self.quanta, self.samples, trace.display()));
        print(&lines.join("\n"))
    }
}

fn ratio(part: Option<u64>, whole: Option<u64>, scale: f64) -> String {
    match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => format!("{:.3}", scale * part as f64 / whole as f64),
        _ => "-".to_owned(),
    }
}
