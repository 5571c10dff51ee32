//! `phasecast experiment`: runs a described experiment and reports it.

use std::path::PathBuf;

use crate::cli::cache::CacheArg;
use crate::cli::print;
use crate::cli::qemu::QemuArg;
use crate::experiment::description::{Experiment, Overrides};
use crate::experiment::progress::Progress;
use crate::experiment::{self, ExperimentError, SUMMARY, Surroundings};
use crate::image::suite;
use crate::interrupt::Interrupt;
use crate::report::collected::Collected;
use crate::report::summary;

/// Arguments of `phasecast experiment`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast experiment run harness/experiments/quickstart.toml
  phasecast experiment report results/2026-01-31-emulated-quickstart")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Run every guest alone, train, and run the mix under each policy; write a results folder.
    Run(RunArgs),
    /// Make summary and figures of a results folder again.
    Report(ReportArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phasecast experiment run harness/experiments/quickstart.toml
  phasecast experiment run harness/experiments/quickstart.toml --quanta 400 --seed 7
  phasecast experiment run harness/experiments/quickstart-simulated.toml --out /tmp/results --json")]
struct RunArgs {
    /// The experiment's TOML file
    experiment: PathBuf,
    /// Folder in which the results folder is made
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Length of each run in quanta, in place of the file's
    #[arg(long, value_name = "N")]
    quanta: Option<u64>,
    /// Seed of everything random, in place of the file's
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[command(flatten)]
    cache: CacheArg,
    #[command(flatten)]
    qemu: QemuArg,
    /// Print where the results are and their scores as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  phasecast experiment report results/2026-01-31-emulated-quickstart")]
struct ReportArgs {
    /// A results folder
    folder: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    match &args.action {
        Action::Run(args) => run_experiment(args, interrupt),
        Action::Report(args) => {
            let collected = experiment::report_again(&args.folder).map_err(plainly)?;
            print(&for_people(&collected, &args.folder))
        }
    }
}

fn run_experiment(args: &RunArgs, interrupt: &Interrupt) -> anyhow::Result<()> {
    let overrides = Overrides { quanta: args.quanta, seed: args.seed };
    let described = Experiment::read(&args.experiment, &suite::catalogue(args.cache.named())?, overrides)?;
    let command: Vec<String> = std::env::args().collect();
    let progress = Progress::on_standard_error();
    let qemu = args.qemu.chosen(&args.cache)?;
    let around = Surroundings {
        shard: None,
        results: &args.out,
        cache: args.cache.named(),
        qemu: qemu.as_ref(),
        command: &command,
        interrupt,
        progress: &progress,
    };
    let outcome = experiment::run(&described, &around).map_err(plainly)?;
    if args.json {
        print(&format!("{:#}", for_programs(&outcome.collected, &outcome.folder)))
    } else {
        print(&for_people(&outcome.collected, &outcome.folder))
    }
}

/// What a person got wrong is said without more words, and is what the exit code is told by.
fn plainly(error: ExperimentError) -> anyhow::Error {
    match error {
        ExperimentError::Input(mistake) => mistake.into(),
        other => other.into(),
    }
}

fn for_people(collected: &Collected, folder: &std::path::Path) -> String {
    let verdict = summary::verdict(collected).replace("**", "");
    format!("{}\n{verdict}\n\nreport: {}", summary::table(collected), folder.join(SUMMARY).display())
}

fn for_programs(collected: &Collected, folder: &std::path::Path) -> serde_json::Value {
    let runs = collected.runs.iter().map(|run| {
        let scores = crate::report::metrics::scores(collected, run);
        serde_json::json!({
            "policy": run.policy,
            "repeat": run.repeat,
            "stp": scores.map(|scores| scores.stp),
            "antt": scores.map(|scores| scores.antt),
            "moves": run.moves,
            "refusals": run.refusals,
        })
    });
    serde_json::json!({
        "folder": folder,
        "verdict": summary::verdict(collected).replace("**", ""),
        "runs": runs.collect::<Vec<_>>(),
    })
}
