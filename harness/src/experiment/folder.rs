//! The folder of an experiment's results: its name, and that it is complete when it bears it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use toml::Spanned;

use super::ExperimentError;
use super::description::Experiment;
use crate::input::read_text;
use crate::provenance::date_of;
use crate::results::{self, FileError};

const EXPERIMENT: &str = "experiment.toml";
const MIX: &str = "mix.toml";
const MACHINE: &str = "machine.toml";

/// A results folder in the making.
#[derive(Debug)]
pub(super) struct ResultsFolder {
    partial: PathBuf,
}

impl ResultsFolder {
    /// Makes the folder `<date>-<host>-<name>` in `results`, partial as yet.
    pub(super) fn create(results: &Path, experiment: &Experiment, now: SystemTime) -> Result<Self, ExperimentError> {
        let name = format!("{}-{}-{}", date_of(now), experiment.host.name(), experiment.name);
        Ok(Self { partial: results::begin(results, &name, &["raw"])? })
    }

    /// Where everything is written.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Where the raw data of the run called `run` goes: its journal and its trace.
    pub(super) fn raw(&self, run: &str, ending: &str) -> PathBuf {
        self.partial.join("raw").join(format!("{run}.{ending}"))
    }

    /// Keeps the files that described the experiment, each naming the others by the names they have here: what is kept
    /// can be run again as it stands.
    pub(super) fn keep_texts(&self, experiment: &Experiment) -> Result<(), ExperimentError> {
        let mix = &experiment.mix;
        self.keep(EXPERIMENT, &naming(&read_text(&experiment.file)?, "mix", MIX))?;
        let mix_text = read_text(&mix.file)?;
        let from_a_file = mix.machine_file.is_some();
        self.keep(MIX, &if from_a_file { naming(&mix_text, "machine", MACHINE) } else { mix_text })?;
        self.keep(MACHINE, mix.machine.text())
    }

    fn keep(&self, name: &str, text: &str) -> Result<(), ExperimentError> {
        let file = self.partial.join(name);
        Ok(std::fs::write(&file, text).map_err(FileError::io("write", &file))?)
    }

    /// Gives the folder its name: all of it is there.
    pub(super) fn complete(self) -> Result<PathBuf, ExperimentError> {
        Ok(results::complete(&self.partial)?)
    }
}

/// A text in TOML whose top-level `key` is `name` instead of what it was; all else, comments included, as before.
fn naming(text: &str, key: &str, name: &str) -> String {
    let table: Option<BTreeMap<String, Spanned<toml::Value>>> = toml::from_str(text).ok();
    let mut text = text.to_owned();
    // What was parsed once is TOML and has the key.
    if let Some(value) = table.as_ref().and_then(|table| table.get(key)) {
        text.replace_range(value.span(), &format!("{name:?}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_text_names_its_neighbour_and_is_else_as_it_was() {
        let text = "# why\nname = \"a\"\nmix = \"../else/where.toml\" # which\n[policy]\nmix = 1\n";
        let kept = "# why\nname = \"a\"\nmix = \"mix.toml\" # which\n[policy]\nmix = 1\n";
        assert_eq!(naming(text, "mix", MIX), kept);
        assert_eq!(naming(text, "machine", MACHINE), text);
    }
}
