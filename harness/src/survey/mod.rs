//! Surveys: the test bed measured by itself, as commands that anyone can run again.
//!
//! A survey is a list of runs that do not depend on each other. Each leaves one finding, kept in the survey's folder as soon
//! as it is there, so that a survey that was stopped goes on with what is missing ([`folder`]). When all findings are there,
//! they become one file, `findings.json`, from which [`render`] makes everything that people read: tables, figures, the page on
//! method and bias. The same findings give the same bytes, and a test makes the committed ones again.
//!
//! This file owns what surveys share; what is run and what it means is each survey's own module.

pub mod contention;
pub mod corun;
pub mod folder;
pub mod merge;
pub mod mixes;
pub mod pairs;
pub mod placements;
pub mod play;
pub mod replay;
pub mod sensitivity;
pub mod solo;
pub mod sweep;
mod urn;

use std::path::{Path, PathBuf};

use predictor::train::TrainError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::ControlError;
use crate::curves::CurvesError;
use crate::input::InputError;
use crate::interrupt::Interrupted;
use crate::oracle::OracleError;
use crate::report::ReportError;
use crate::report::figures::canvas::DrawError;
use crate::results::FileError;
use crate::testbed::BedError;
use crate::trace::TraceError;
use crate::workers::Shard;

/// The file of a survey's folder that everything else in it is made from.
pub const FINDINGS: &str = "findings.json";

/// The file that people read first.
pub const SUMMARY: &str = "summary.md";

/// The version of [`FINDINGS`] that this release writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// A text file of a results folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

impl TextFile {
    /// A file called `name` with this text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// A figure called `name`, if it could be drawn.
    fn figure(name: &str, drawn: Result<String, DrawError>) -> Result<Self, ReportError> {
        Ok(Self::new(name, drawn.map_err(ReportError::drawing(name))?))
    }
}

/// All that a survey found.
pub trait Collected: Serialize + DeserializeOwned {
    /// The survey's name, as in `phasecast survey NAME`.
    const SURVEY: &'static str;

    /// What is missing or does not fit together, if anything.
    fn check(&self) -> Result<(), String>;

    /// Every file that is made from it: [`SUMMARY`], tables, figures, the page on method and bias. A pure function.
    fn render(&self) -> Result<Vec<TextFile>, ReportError>;

    /// What a person wants to see at once, for a terminal.
    fn for_people(&self) -> String;

    /// The same for programs.
    fn for_programs(&self) -> serde_json::Value;
}

/// A finished survey.
#[derive(Debug)]
pub struct Outcome<Body> {
    /// Its folder.
    pub folder: PathBuf,
    /// What was found.
    pub found: Body,
}

/// How findings stand in their file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<Body> {
    survey: String,
    version: u32,
    findings: Body,
}

/// The files that the findings in `folder` come to.
pub fn render(folder: &Path) -> Result<Vec<TextFile>, SurveyError> {
    #[derive(Deserialize)]
    struct Head {
        survey: String,
        version: u32,
    }
    let file = folder.join(FINDINGS);
    let text = std::fs::read_to_string(&file).map_err(|error| {
        InputError::new(error.to_string(), "give a folder that `phasecast survey` has completed").in_file(&file)
    })?;
    let unreadable = FileError::unreadable(&file);
    let head: Head = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    if head.version != VERSION {
        return Err(unreadable(format!("it has version {}, and this release reads {VERSION}", head.version)).into());
    }
    match head.survey.as_str() {
        mixes::Mixes::SURVEY => rendered::<mixes::Mixes>(&text, &unreadable),
        contention::Contended::SURVEY => rendered::<contention::Contended>(&text, &unreadable),
        pairs::Pairs::SURVEY => rendered::<pairs::Pairs>(&text, &unreadable),
        replay::Replay::SURVEY => rendered::<replay::Replay>(&text, &unreadable),
        sensitivity::Sensitivity::SURVEY => rendered::<sensitivity::Sensitivity>(&text, &unreadable),
        placements::Placements::SURVEY => rendered::<placements::Placements>(&text, &unreadable),
        sweep::Sweeps::SURVEY => rendered::<sweep::Sweeps>(&text, &unreadable),
        solo::Solo::SURVEY => rendered::<solo::Solo>(&text, &unreadable),
        other => Err(unreadable(format!("this release knows no survey called {other:?}")).into()),
    }
}

/// What the complete survey of this kind in `folder` found.
fn found_in<Body: Collected>(folder: &Path) -> Result<Body, SurveyError> {
    let file = folder.join(FINDINGS);
    let wrong = |problem: String| {
        let remedy = format!("give a folder that `phasecast survey {}` has completed", Body::SURVEY);
        InputError::new(problem, remedy).in_file(&file)
    };
    let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
    let kept: Kept<Body> = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if (kept.survey.as_str(), kept.version) != (Body::SURVEY, VERSION) {
        return Err(wrong(format!("it is a survey called {:?}, version {}", kept.survey, kept.version)).into());
    }
    kept.findings.check().map_err(wrong)?;
    Ok(kept.findings)
}

fn rendered<Body: Collected>(
    text: &str,
    unreadable: &dyn Fn(String) -> FileError,
) -> Result<Vec<TextFile>, SurveyError> {
    let kept: Kept<Body> = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    kept.findings.check().map_err(unreadable)?;
    Ok(kept.findings.render()?)
}

/// Makes the files of the survey in `folder` again from its findings; answers their names.
pub fn report_again(folder: &Path) -> Result<Vec<String>, SurveyError> {
    let files = render(folder)?;
    for TextFile { name, text } in &files {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(FileError::io("write", &file))?;
    }
    Ok(files.into_iter().map(|file| file.name).collect())
}

/// Why a survey has no results.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
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
    /// Some runs failed; the others were done.
    #[error(
        "failed to finish {} of {of} runs of the survey ({}); mend it and give the same command again, which goes on in {} \
         with what is missing; the first failure",
        .failed.len(), .failed.join(", "), .folder.display()
    )]
    Failed {
        /// Their names.
        failed: Vec<String>,
        /// How many there are in all.
        of: usize,
        /// Where the others' findings are.
        folder: PathBuf,
        /// Why the first failed.
        source: Box<SurveyError>,
    },
    /// A shard did its share, and others' findings are missing: no failure, but no results either.
    #[error("did shard {shard} of the survey, {done} of {of} runs; `phasecast survey merge` puts shards together")]
    Part {
        /// Where its findings are.
        folder: PathBuf,
        /// Which shard.
        shard: Shard,
        /// How many findings are there.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Shards cannot be put together.
    #[error("failed to merge {}: {problem}", .folder.display())]
    Merge {
        /// Which folder.
        folder: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
    /// Somebody asked to stop between two runs.
    #[error("stopped; the same command goes on in {}", .folder.display())]
    Interrupted {
        /// Where the findings up to here are.
        folder: PathBuf,
        /// The request.
        source: Interrupted,
    },
    /// A trace could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// No phases could be found in a run.
    #[error("failed to find phases in {what}")]
    Phases {
        /// Which run.
        what: String,
        /// Why not.
        source: TrainError,
    },
    /// Nothing could be learned from runs alone.
    #[error("failed to train a model for {what}")]
    Model {
        /// Which mix.
        what: String,
        /// Why not.
        source: TrainError,
    },
    /// The best run could not be found.
    #[error("failed to find the best run of a mix")]
    Best(#[from] OracleError),
    /// A guest could not be profiled.
    #[error("failed to profile {what}")]
    Profile {
        /// Which run.
        what: String,
        /// Why not.
        source: Box<CurvesError>,
    },
    /// A guest retired nothing, so that there is no work to compare.
    #[error("failed to compare {what} with its guests alone: one of them retired no instruction; give more quanta")]
    NoWork {
        /// Which run.
        what: String,
    },
    /// The report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of the results cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SurveyError {
    /// Whether somebody asked for it.
    fn is_interruption(&self) -> bool {
        let mut causes = std::iter::successors(Some(self as &dyn std::error::Error), |cause| cause.source());
        causes.any(|cause| cause.is::<Interrupted>())
    }
}
