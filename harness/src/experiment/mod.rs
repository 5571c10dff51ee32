//! An experiment: described in TOML, run into a results folder.
//!
//! Three stages, each from the same state of the guests:
//!
//! 1. every guest alone: what its work costs undisturbed, and what the model is learned from;
//! 2. a model is trained on those runs;
//! 3. the mix under each policy, several times under those that move guests.
//!
//! The folder is called `...-partial` until all is done, so that one without that ending is complete. A run that stops
//! half-way leaves its journals readable there, and no guest. What the numbers mean is [`crate::report`]'s business.

pub mod description;
mod folder;
mod manifest;
pub mod progress;
mod stages;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use predictor::train::TrainError;

use self::description::Experiment;
use self::folder::ResultsFolder;
use self::progress::Progress;
use crate::control::ControlError;
use crate::input::InputError;
use crate::interrupt::{Interrupt, Interrupted};
use crate::journal::JournalError;
use crate::qemu::Program;
use crate::report::collected::Collected;
use crate::report::{self, ReportError};
use crate::results::FileError;
use crate::testbed::{BedError, TestBed};
use crate::trace::TraceError;
use crate::workers::Shard;

/// The file of a results folder that a report is made from.
pub const COLLECTED: &str = "collected.json";

/// The file of a results folder that people read first.
pub const SUMMARY: &str = "summary.md";

/// Why an experiment has no results.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// Something a person wrote cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Guests could not be launched.
    #[error("failed to launch {what}")]
    Bed {
        /// Which run.
        what: String,
        /// Why not.
        source: Box<BedError>,
    },
    /// A run stopped.
    #[error("failed to finish {what}")]
    Run {
        /// Which run.
        what: String,
        /// Why it stopped.
        source: ControlError,
    },
    /// Somebody asked to stop between two runs.
    #[error("stopped before {what}")]
    Interrupted {
        /// What comes next.
        what: String,
        /// The request.
        source: Interrupted,
    },
    /// A journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A trace could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Nothing could be learned from the solo runs.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of the results cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Around an experiment: where its results go, and who is told what.
pub struct Surroundings<'a> {
    /// The folder in which the results folder is made.
    pub results: &'a Path,
    /// The image cache; the user's own if absent.
    pub cache: Option<&'a Path>,
    /// What executes guests; the machine's own QEMU if absent.
    pub qemu: Option<&'a Program>,
    /// The command line, for the manifest.
    pub command: &'a [String],
    /// Asked between steps.
    pub interrupt: &'a Interrupt,
    /// Told what is being done.
    pub progress: &'a Progress,
    /// Which of a survey's runs are to be done, if not all.
    pub shard: Option<Shard>,
}

/// A finished experiment.
#[derive(Debug)]
pub struct Outcome {
    /// The results folder.
    pub folder: PathBuf,
    /// What is in it.
    pub collected: Collected,
}

/// Runs `experiment` to its end, into a results folder of its own.
pub fn run(experiment: &Experiment, around: &Surroundings<'_>) -> Result<Outcome, ExperimentError> {
    experiment.check_now()?;
    let note = |line: &str| around.progress.note(line);
    let bed = TestBed::prepare_with(experiment.host, around.cache, around.qemu, around.interrupt, &note)
        .map_err(|source| ExperimentError::Bed { what: "the test bed".to_owned(), source: Box::new(source) })?;
    let began = SystemTime::now();
    let folder = ResultsFolder::create(around.results, experiment, began)?;
    around.progress.note(&format!("writing to {}", folder.partial().display()));
    folder.keep_texts(experiment)?;
    let stages = stages::Stages { experiment, bed: &bed, folder: &folder, around };
    let collected = stages.run()?;
    write_json(&folder.partial().join(COLLECTED), &collected)?;
    write_report(folder.partial(), &collected)?;
    let manifest = manifest::Manifest::of(experiment, &bed, &collected, around.command, began);
    write_json(&folder.partial().join("manifest.json"), &manifest)?;
    let folder = folder.complete()?;
    Ok(Outcome { folder, collected })
}

/// Makes summary and figures of the results in `folder` again, from what was collected.
pub fn report_again(folder: &Path) -> Result<Collected, ExperimentError> {
    let collected = read_collected(folder)?;
    write_report(folder, &collected)?;
    Ok(collected)
}

/// Reads what was collected in a results folder.
pub fn read_collected(folder: &Path) -> Result<Collected, ExperimentError> {
    let file = folder.join(COLLECTED);
    let text = std::fs::read_to_string(&file).map_err(|error| {
        InputError::new(error.to_string(), "give a folder that `phasecast experiment run` has completed").in_file(&file)
    })?;
    let unreadable = FileError::unreadable(&file);
    let collected: Collected = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    collected.check().map_err(unreadable)?;
    Ok(collected)
}

fn write_report(folder: &Path, collected: &Collected) -> Result<(), ExperimentError> {
    let report = report::render(collected)?;
    let figures = report.figures.iter().map(|figure| (figure.file.as_str(), figure.svg.as_str()));
    for (name, text) in figures.chain([(SUMMARY, report.summary.as_str())]) {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(FileError::io("write", &file))?;
    }
    Ok(())
}

fn write_json(file: &Path, value: &impl serde::Serialize) -> Result<(), ExperimentError> {
    let write = || std::fs::write(file, serde_json::to_string(value)? + "\n");
    Ok(write().map_err(FileError::io("write", file))?)
}
