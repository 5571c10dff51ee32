//! `phasecast import`: reads counters that other programs recorded, and writes them as a trace or as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use predictor::counters::Event;
use serde::Serialize;
use serde_json::json;

use crate::cli::{print, refuse_overwriting};
use crate::import::table::ColumnMap;
use crate::import::to_trace::{self, Imported};
use crate::import::{self, Import, Reading, Strictness};
use crate::input::InputError;
use crate::interrupt::Interrupt;

const EXAMPLES: &str = "Examples:
  perf stat -I 100 -x, -e instructions,cycles,LLC-loads,LLC-load-misses -p PID 2> guest.csv
  phasecast import guest.csv
      what the file holds: formats, series, intervals, and which of our events they have
  phasecast import guest.csv --out guest.parquet
      as a trace, which train and score read
  phasecast import guest.csv --json
      every reading, as a list of {time, event, value, unit, running_ratio[, group]}
  phasecast import table.csv.gz --columns time_s=t,instructions=inst,cycles=cyc,llc_misses=miss --out table.parquet
      a table with a header; columns that are not mapped are left out
  phasecast import torn.csv --lenient
      bad rows are counted and skipped

Reads perf stat -x and -j of all versions since 3.x, CSV with a header, and traces; gzip or plain.
docs/import.md says which event of perf is which of ours.";

/// Arguments of `phasecast import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What other programs recorded; gzip or plain.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write a trace of all files, each series a guest of its own.
    #[arg(long, value_name = "FILE.parquet")]
    out: Option<PathBuf>,
    /// Count and skip rows that cannot be read, instead of ending at the first.
    #[arg(long)]
    lenient: bool,
    /// Which column of a CSV table is what, as time_s=TIME,instructions=INST, or a TOML file of such pairs. On the left stand
    /// time_s (end of the interval), group (what the row is of) and events.
    #[arg(long, value_name = "MAP")]
    columns: Option<String>,
    /// Print the readings as JSON; with --out, the summary.
    #[arg(long)]
    json: bool,
}

/// A file, read.
struct File<'a> {
    path: &'a Path,
    import: Import,
    series: Vec<Imported>,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    let columns = args.columns.as_deref().map(ColumnMap::parse).transpose()?;
    let strictness = if args.lenient { Strictness::Lenient } else { Strictness::Strict };
    if let Some(out) = &args.out {
        let read: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
        refuse_overwriting(out, &read)?;
        if out.is_dir() {
            return Err(InputError::new("a folder stands there", "give the name of a file").in_file(out).into());
        }
    }
    let mut files = Vec::new();
    let mut guests = 0;
    for path in &args.files {
        interrupt.check()?;
        let import = import::read(path, columns.as_ref(), strictness)?;
        let series = to_trace::samples(path, &import, guests);
        guests += series.len();
        say_skipped(path, &import);
        files.push(File { path, import, series });
    }
    match &args.out {
        None if args.json => show_readings(&files),
        None => print(&summary(&files)),
        Some(out) => {
            let all: Vec<Imported> = files.iter().flat_map(|file| file.series.iter().cloned()).collect();
            let rows = to_trace::write(out, &all)?;
            let skipped: usize = files.iter().map(|file| file.import.skipped.len()).sum();
            if args.json {
                let series: Vec<&str> = all.iter().map(|series| series.name.as_str()).collect();
                let answer = json!({ "trace": out, "rows": rows, "series": series, "skipped": skipped });
                return print(&format!("{answer:#}"));
            }
            print(&format!("{}\n\n{rows} samples of {} series in {}", summary(&files), all.len(), out.display()))
        }
    }
}

fn say_skipped(path: &Path, import: &Import) {
    let Some(first) = import.skipped.first() else { return };
    let rows = import.skipped.len();
    eprintln!("phasecast: {}: {rows} bad rows skipped; the first: {first}", path.display());
}

/// A reading, with the file it stands in where there are several.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    reading: &'a Reading,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
}

fn show_readings(files: &[File<'_>]) -> anyhow::Result<()> {
    let several = files.len() > 1;
    let mut lines = Vec::new();
    for file in files {
        for reading in &file.import.readings {
            let shown = Shown { reading, file: several.then_some(file.path) };
            lines.push(format!(" {}", serde_json::to_string(&shown)?));
        }
    }
    print(&format!("[\n{}\n]", lines.join(",\n")))
}

fn summary(files: &[File<'_>]) -> String {
    files.iter().map(describe).collect::<Vec<_>>().join("\n\n")
}

fn describe(file: &File<'_>) -> String {
    let File { path, import, series } = file;
    let intervals: usize = series.iter().map(|series| series.samples.len()).sum();
    let mut lines = vec![format!(
        "{}: {}; {} readings, {} series, {intervals} intervals, {} bad rows skipped",
        path.display(),
        import.format,
        import.readings.len(),
        series.len(),
        import.skipped.len()
    )];
    let mut by_event: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for reading in &import.readings {
        let (all, absent) = by_event.entry(&reading.event).or_default();
        *all += 1;
        *absent += usize::from(reading.value.is_none());
    }
    let wide = by_event.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (event, (all, absent)) in by_event {
        let gaps = if absent > 0 { format!(", {absent} not counted") } else { String::new() };
        lines.push(format!("  {event:<wide$}  {all} readings{gaps}"));
    }
    let ours: BTreeSet<Event> = series.iter().flat_map(|series| series.events.iter().copied()).collect();
    let ours: Vec<&str> = ours.into_iter().map(Event::name).collect();
    lines.push(format!("  as our events: {}", if ours.is_empty() { "none".to_owned() } else { ours.join(", ") }));
    lines.join("\n")
}
