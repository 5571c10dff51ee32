//! `phasecast train`: learns a model from traces of guests that ran alone, and writes it with its card.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use predictor::features::Keep;
use predictor::model::Made;
use predictor::train::{TrainError, TrainSettings};
use serde_json::json;

use crate::artefact;
use crate::cli::{print, refuse_overwriting};
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::provenance;

const EXAMPLES: &str = "Examples:
  phasecast train alpha.parquet beta.parquet --out models/first
      models/first/model.json and its card; as many phases as the samples show, up to 12
  phasecast train solo/*.parquet --out models/four --phases 4 --seed 7
      exactly 4 phases, another start of the clustering

Record each guest alone for training: phasecast record MIX --alone GUEST --out FILE";

/// Arguments of `phasecast train`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Traces of guests alone, all of one machine and quantum.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The model's folder, which gets model.json and its card, README.md; or the file itself, ending in .json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The seed of the clustering.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many phases: a number, or a range to choose from, as 2-8.
    #[arg(long, value_name = "K", default_value = "1-12", value_parser = phases)]
    phases: RangeInclusive<usize>,
    /// Tell phases apart by principal components of the features: so many, as 3, or the fewest that explain a share of
    /// the variance, as 0.95.
    #[arg(long, value_name = "N|SHARE")]
    pca: Option<Keep>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Most phases that can be asked for.
const MOST_PHASES: usize = 64;

fn phases(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{text:?} is no number of phases"));
    let (least, most) = (number(least)?, number(most)?);
    if least == 0 || most > MOST_PHASES || least > most {
        return Err(format!("give a number from 1 to {MOST_PHASES}, or a range of them, as 2-8"));
    }
    Ok(least..=most)
}

/// The command as it can be given again: files by their names, since where they lay says nothing elsewhere.
fn command(args: &Args) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let traces: Vec<String> = args.traces.iter().map(name).collect();
    let (least, most) = (args.phases.start(), args.phases.end());
    let components = args.pca.map_or_else(String::new, |keep| format!(" --pca {keep}"));
    format!(
        "phasecast train {} --out {} --phases {least}-{most}{components} --seed {}",
        traces.join(" "),
        name(&args.out),
        args.seed
    )
}

/// Traces that are too short were named by a person: the mistake is the person's.
fn explain(error: TrainError, traces: &[PathBuf]) -> anyhow::Error {
    let TrainError::TooFewSamples { found, needed } = error else { return error.into() };
    let remedy = format!("record longer runs, so that there are at least {needed}");
    match traces {
        [trace] => InputError::new(format!("{found} samples of vCPUs at work are too few"), remedy).in_file(trace),
        traces => {
            let problem = format!("{found} samples of vCPUs at work in {} traces are too few", traces.len());
            InputError::new(problem, remedy)
        }
    }
    .into()
}

/// Runs the command.
pub fn run(args: &Args, interrupt: &Interrupt) -> anyhow::Result<()> {
    let traces: Vec<&Path> = args.traces.iter().map(PathBuf::as_path).collect();
    refuse_overwriting(&args.out, &traces)?;
    let file = artefact::file_at(&args.out);
    refuse_overwriting(&file, &traces)?;
    artefact::check_target(&file)?;
    let data = artefact::series::read(&args.traces)?;
    interrupt.check()?;
    let settings = TrainSettings {
        phases: args.phases.clone(),
        components: args.pca,
        seed: args.seed,
        ..TrainSettings::default()
    };
    let made = Made { command: command(args), revision: provenance::revision() };
    let model = artefact::learn(&data, &settings, made).map_err(|error| explain(error, &args.traces))?;
    interrupt.check()?;
    artefact::save(&file, &model)?;

    let parts = model.parts();
    let (phases, samples, series) = (parts.phases.len(), parts.provenance.active_samples, data.series.len());
    if args.json {
        let scores = &parts.provenance.scores;
        let summary =
            json!({ "model": file, "phases": phases, "active_samples": samples, "series": series, "scores": scores });
        print(&format!("{summary:#}"))
    } else {
        print(&format!("{phases} phases from {samples} samples of {series} vCPUs in {}", file.display()))
    }
}
