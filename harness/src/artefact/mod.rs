//! Models as files: `model.json`, and a card beside it that says what the model is, made from the model alone.
//!
//! What a model holds and whether it makes sense is the predictor's business, and so is learning; reading traces for
//! it is [`series`]'s.

mod card;
pub mod series;

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use predictor::model::{Made, Model};
use predictor::train::{TrainError, TrainSettings, scores, train};

use self::series::TrainingData;
use crate::input::InputError;

pub use card::card;

/// The name of a model's file in a folder of its own.
pub const MODEL: &str = "model.json";

/// The name of the card, beside the model.
pub const CARD: &str = "README.md";

/// The first line of every card: what tells it from a file that somebody wrote.
const CARD_MARK: &str = "<!-- Written by `phasecast train`; do not edit. -->";

/// A model that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {}: {cause}", file.display())]
pub struct SaveError {
    /// Which file.
    pub file: PathBuf,
    /// Why not.
    pub cause: std::io::Error,
}

/// The model that `path` means: a path that ends in `.json` is the file itself, any other a folder with [`MODEL`].
#[must_use]
pub fn file_at(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|ending| ending == "json") { path.to_owned() } else { path.join(MODEL) }
}

/// Learns a model, scores models like it on programs left out, and writes into it what made it.
pub fn learn(data: &TrainingData, settings: &TrainSettings, made: Made) -> Result<Model, TrainError> {
    let model = train(&data.series, &data.machine, settings)?;
    Ok(model.recorded(made, scores(&data.series, &data.machine, settings)?)?)
}

/// Refuses a path at which saving a model would destroy something that is no model's.
pub fn check_target(model: &Path) -> Result<(), InputError> {
    let refuse = |problem: &str, remedy: &str| Err(InputError::new(problem, remedy).in_file(model));
    if model.is_dir() {
        return refuse("a folder stands there", "give a folder for the model, as models/NAME");
    }
    let folder = folder_of(model);
    if folder.exists() && !folder.is_dir() {
        let problem = "a model's folder cannot be made there, since it is a file";
        return Err(InputError::new(problem, "give a folder for the model, as models/NAME").in_file(folder));
    }
    let card = folder.join(CARD);
    match std::fs::read_to_string(&card) {
        Ok(text) if !text.starts_with(CARD_MARK) => {
            refuse("beside it stands a README.md that is no model's card", "give the model a folder of its own")
        }
        _ => Ok(()),
    }
}

/// Writes the model to `file` and its card beside it, creating the folder. Both are complete under other names before
/// either takes its own, so that a full disk or an interrupted write leaves what was there.
pub fn save(file: &Path, model: &Model) -> Result<(), SaveError> {
    let folder = folder_of(file);
    std::fs::create_dir_all(folder).map_err(|cause| SaveError { file: folder.to_owned(), cause })?;
    let text = serde_json::to_string_pretty(model).map_err(std::io::Error::from);
    let text = text.map_err(|cause| SaveError { file: file.to_owned(), cause })?;
    let card_file = folder.join(CARD);
    let model_ready = prepare(file, &(text + "\n"))?;
    let card_ready = prepare(&card_file, &format!("{CARD_MARK}\n\n{}", card(model)))?;
    for (ready, file) in [(card_ready, card_file.as_path()), (model_ready, file)] {
        ready.persist(file).map_err(|error| SaveError { file: file.to_owned(), cause: error.error })?;
    }
    Ok(())
}

/// Reads the model at `path`, a file or its folder; refuses what is none, or is another release's.
pub fn load(path: &Path) -> Result<Model, InputError> {
    let file = &file_at(path);
    let text = crate::input::read_text(file)?;
    serde_json::from_str(&text).map_err(|error| {
        let remedy = "give a model that `phasecast train` wrote, or train it again";
        InputError::new(format!("is no model that can be used: {error}"), remedy).in_file(file)
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A complete file beside `file`, under another name, that goes away unless it takes the name.
fn prepare(file: &Path, text: &str) -> Result<tempfile::NamedTempFile, SaveError> {
    let failed = |cause| SaveError { file: file.to_owned(), cause };
    let mut temporary = tempfile::Builder::new()
        .prefix(".model-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder_of(file))
        .map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    Ok(temporary)
}

#[cfg(test)]
mod tests;
