//! Models as files: `model.json`, and a card beside it that says what the model is, made from the model alone.
//!
//! What a model holds and whether it makes sense is the predictor's business; learning one from traces is
//! [`series`]'s and the predictor's.

mod card;
pub mod series;

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use predictor::model::Model;

use crate::input::InputError;

pub use card::card;

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

/// Refuses a path at which saving a model would destroy something that is no model's.
pub fn check_target(model: &Path) -> Result<(), InputError> {
    let refuse = |problem: &str, remedy: &str| Err(InputError::new(problem, remedy).in_file(model));
    if model.file_name().is_none() || model.is_dir() {
        return refuse("a folder stands there", "give the path of a file, as models/NAME/model.json");
    }
    let card = folder_of(model).join(CARD);
    match std::fs::read_to_string(&card) {
        Ok(text) if !text.starts_with(CARD_MARK) => {
            refuse("beside it stands a README.md that is no model's card", "give the model a folder of its own")
        }
        _ => Ok(()),
    }
}

/// Writes the model to `file` and its card beside it, creating the folder. Each is whole or not there.
pub fn save(file: &Path, model: &Model) -> Result<(), SaveError> {
    let folder = folder_of(file);
    std::fs::create_dir_all(folder).map_err(|cause| SaveError { file: folder.to_owned(), cause })?;
    let text = serde_json::to_string_pretty(model).map_err(std::io::Error::from);
    let text = text.map_err(|cause| SaveError { file: file.to_owned(), cause })?;
    replace(file, &(text + "\n"))?;
    replace(&folder.join(CARD), &format!("{CARD_MARK}\n\n{}", card(model)))
}

/// Reads the model at `file`; refuses what is none, or is another release's.
pub fn load(file: &Path) -> Result<Model, InputError> {
    let text = crate::input::read_text(file)?;
    serde_json::from_str(&text).map_err(|error| {
        let remedy = "give a model that `phasecast train` wrote, or train it again";
        InputError::new(format!("is no model that can be used: {error}"), remedy).in_file(file)
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(file: &Path, text: &str) -> Result<(), SaveError> {
    let failed = |cause| SaveError { file: file.to_owned(), cause };
    let mut temporary = tempfile::Builder::new()
        .prefix(".model-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder_of(file))
        .map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
