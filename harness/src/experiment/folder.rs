//! The folder of an experiment's results: its name, and that it is complete when it bears it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use toml::Spanned;

use super::ExperimentError;
use super::description::Experiment;
use crate::input::read_text;
use crate::provenance::date_of;

/// Ends the name of a folder in which a run is going on, or stopped half-way.
const PARTIAL: &str = "-partial";

const EXPERIMENT: &str = "experiment.toml";
const MIX: &str = "mix.toml";
const MACHINE: &str = "machine.toml";

/// A results folder in the making.
#[derive(Debug)]
pub(super) struct ResultsFolder {
    partial: PathBuf,
    complete: PathBuf,
}

impl ResultsFolder {
    /// Makes `<results>/<date>-<host>-<name>-partial`; where that, or the complete folder, exists, a number follows the
    /// name.
    pub(super) fn create(results: &Path, experiment: &Experiment, now: SystemTime) -> Result<Self, ExperimentError> {
        std::fs::create_dir_all(results).map_err(ExperimentError::io("create", results))?;
        let base = format!("{}-{}-{}", date_of(now), experiment.host.name(), experiment.name);
        for number in 1u32.. {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let complete = results.join(&name);
            let partial = results.join(name + PARTIAL);
            if complete.exists() {
                continue;
            }
            match std::fs::create_dir(&partial) {
                Ok(()) => {
                    let raw = partial.join("raw");
                    std::fs::create_dir(&raw).map_err(ExperimentError::io("create", &raw))?;
                    return Ok(Self { partial, complete });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ExperimentError::io("create", &partial)(error)),
            }
        }
        unreachable!("there are fewer folders than numbers")
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
        std::fs::write(&file, text).map_err(ExperimentError::io("write", &file))
    }

    /// Gives the folder its name: all of it is there.
    pub(super) fn complete(self) -> Result<PathBuf, ExperimentError> {
        std::fs::rename(&self.partial, &self.complete).map_err(ExperimentError::io("complete", &self.complete))?;
        Ok(self.complete)
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
