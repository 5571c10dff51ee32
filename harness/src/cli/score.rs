//! `phasecast score`: how well forecasters do on recorded series.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use predictor::forecast::kind::ForecasterKind;

use crate::cli::spinner::Spinner;
use crate::cli::{print, refuse_overwriting};
use crate::input::{InputError, suggest};
use crate::interrupt::Interrupt;
use crate::score::labels::PhaseDefinition;
use crate::score::{self, Request, ScoreError, answer, figures, summary};

const EXAMPLES: &str = "Examples:
  phasecast score traces/*.csv.gz --phases ipc-bins:0.25
      the frozen default beside last value, one interval ahead
  phasecast score traces/*.csv.gz --phases isci --forecasters all --first 5000 --out results/isci
      every forecaster; tables, figures and JSON go into a folder
  phasecast score solo/*.parquet --phases model:models/mine --horizon 1 --horizon 4 --horizon 16
      phases of a trained model, several horizons
  phasecast score guest.parquet --phases kmeans:6 --json --predictions predictions.csv
      for programs: all scores as JSON, and what was forecast for each interval at the first horizon

TRACE is a trace, an output of perf stat -I -x, or -j, or a table whose header is known (phasecast import lists them).
docs/scores.md defines the scores.";

/// Arguments of `phasecast score`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Recorded series; gzip or plain.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// What a phase is: ipc-bins:WIDTH, isci (LLC misses per instruction), kmeans:K, mixture:K, two-level:K or leader[:RADIUS]
    /// (learned on other programs), model:DIR. What is learned may be followed by +pca:N or +pca:SHARE: by so many principal
    /// components, or the fewest that explain this share of variance, as kmeans:6+pca:0.95.
    #[arg(long, value_name = "PHASES", default_value = "ipc-bins:0.25")]
    phases: PhaseDefinition,
    /// Forecasters by name, separated by commas, or all. contexts-spaces heeds the address spaces of a trace recorded with QEMU 10.0.
    #[arg(long, value_name = "LIST", default_value = "default,last-value")]
    forecasters: String,
    /// Only the first so many intervals of each series.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    first: Option<u32>,
    /// How many intervals ahead; may be given several times.
    #[arg(long = "horizon", value_name = "H", default_values_t = [1], value_parser = clap::value_parser!(u32).range(1..=64))]
    horizons: Vec<u32>,
    /// Intervals within which a forecast change matches one that came.
    #[arg(long, value_name = "W", default_value_t = 1)]
    tolerance: usize,
    /// The seed of clusterings and of the bootstrap behind intervals.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print the scores as JSON.
    #[arg(long)]
    json: bool,
    /// Write what was forecast at the first horizon, as CSV: series,index,forecaster,predicted_phase.
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// Write summary.md, scores.json and figures into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    let request = Request {
        files: args.traces.clone(),
        phases: args.phases.clone(),
        forecasters: forecasters(&args.forecasters)?,
        first: args.first.map(|first| first as usize),
        horizons: horizons(&args.horizons)?,
        tolerance: args.tolerance,
        seed: args.seed,
    };
    if let Some(file) = &args.predictions {
        let read: Vec<&Path> = args.traces.iter().map(PathBuf::as_path).collect();
        refuse_overwriting(file, &read)?;
    }
    let spinner = Spinner::start();
    let findings = score::score(&request, interrupt, &|line| spinner.tell_if_seen(line)).map_err(plainly)?;
    drop(spinner);
    if let Some(file) = &args.predictions {
        write(file, &answer::predictions(&findings))?;
    }
    let found = answer::json(&findings);
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let figures = figures::all(&findings)?;
        let command: Vec<String> = std::env::args().collect();
        write(&folder.join("summary.md"), &summary::markdown(&findings, &command.join(" "), &figures))?;
        write(&folder.join("scores.json"), &format!("{found:#}\n"))?;
        for figure in &figures {
            write(&folder.join(&figure.file), &figure.svg)?;
        }
    }
    if args.json {
        return print(&format!("{found:#}"));
    }
    print(&summary::terminal(&findings))
}

fn forecasters(list: &str) -> Result<Vec<ForecasterKind>, InputError> {
    if list.trim() == "all" {
        // `default` is `contexts` by another name, and so is `contexts-spaces` where no address space is known.
        let same = [ForecasterKind::Contexts, ForecasterKind::ContextsSpaces];
        return Ok(ForecasterKind::ALL.into_iter().filter(|kind| !same.contains(kind)).collect());
    }
    let names = ForecasterKind::names();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut kinds = Vec::new();
    for name in list.split(',').map(str::trim) {
        let kind: ForecasterKind = name.parse().map_err(|_| {
            InputError::new(format!("no forecaster is called {name:?}"), suggest(name, &known)).at("--forecasters")
        })?;
        if kinds.contains(&kind) {
            return Err(InputError::new(format!("{name} is given twice"), "give each once").at("--forecasters"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// In the order in which they were given: predictions are those of the first.
fn horizons(given: &[u32]) -> Result<Vec<u32>, InputError> {
    if given.iter().collect::<BTreeSet<_>>().len() != given.len() {
        return Err(InputError::new("a horizon given twice", "give each once").at("--horizon"));
    }
    Ok(given.to_vec())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}

/// What a person got wrong is said without more words, and is what the exit code is told by.
fn plainly(error: ScoreError) -> anyhow::Error {
    match error {
        ScoreError::Input(mistake) => mistake.into(),
        ScoreError::Interrupted(interrupted) => interrupted.into(),
    }
}
