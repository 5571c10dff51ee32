//! The QEMUs of this machine: which there are, which of our plugins each can load, and how a person chooses one. A second
//! version can be [installed](install) beside the system's, without privileges. Running guests in them is
//! [`crate::qemu`]'s business.

pub mod install;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::host::emulated::plugin;
use crate::input::InputError;
use crate::qemu::{Program, QemuError};

/// Names the QEMU to use where no argument does.
pub const VARIABLE: &str = "PHASECAST_QEMU";

/// Why the QEMU that was asked for cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A version was named that is not installed.
    #[error("failed to choose a QEMU")]
    Input(#[from] InputError),
    /// What was named is no usable QEMU.
    #[error("failed to choose a QEMU")]
    Qemu(#[from] QemuError),
}

/// The QEMU of that `name`: a version that is [installed](install) in `cache`, as `10.0`, or a program, by its path or
/// looked up in PATH. Without a name, what `$PHASECAST_QEMU` names; without that, `qemu-system-x86_64` in PATH.
pub fn choose(name: Option<&str>, cache: &Path) -> Result<Program, ChoiceError> {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    match name.map(str::to_owned).or(variable) {
        Some(version) if is_version(&version) => installed(&version, cache),
        Some(path) => Ok(Program::at(path)?),
        None => Ok(Program::of_system()?),
    }
}

fn installed(version: &str, cache: &Path) -> Result<Program, ChoiceError> {
    let program = install::program_of(cache, version);
    if program.is_file() {
        return Ok(Program::at(program.display().to_string())?);
    }
    let problem = format!("QEMU {version} is not installed in {}", cache.display());
    Err(InputError::new(problem, "run `phasecast qemu install`, or name a program by its path").into())
}

/// Whether a person means a version, not a program: digits and dots.
fn is_version(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// One QEMU that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Emulator {
    /// How it is named on the command line: a version or a program.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What it says of itself; absent where it cannot be used.
    pub version: Option<String>,
    /// The plugin for its interface; absent where it cannot be used or the plugin was not built.
    pub plugin: Option<PathBuf>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Where a QEMU comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The system's search path.
    Path,
    /// `$PHASECAST_QEMU`.
    Variable,
    /// `phasecast qemu install`.
    Installed,
}

/// All QEMUs that this program would find: in PATH, in `$PHASECAST_QEMU`, and those installed in `cache`. The first is the
/// one that is used where none is named.
#[must_use]
pub fn all(cache: Option<&Path>) -> Vec<Emulator> {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let named = variable.map(|name| {
        let program = match cache {
            Some(cache) if is_version(&name) => install::program_of(cache, &name).display().to_string(),
            _ => name.clone(),
        };
        look_at(name, &program, Origin::Variable)
    });
    let in_path = look_at("qemu-system-x86_64".to_owned(), "qemu-system-x86_64", Origin::Path);
    let versions = cache.map(install::versions).unwrap_or_default().into_iter().map(|version| {
        let program = cache.map(|cache| install::program_of(cache, &version)).unwrap_or_default();
        look_at(version, &program.display().to_string(), Origin::Installed)
    });
    named.into_iter().chain([in_path]).chain(versions).collect()
}

fn look_at(name: String, program: &str, origin: Origin) -> Emulator {
    match Program::at(program) {
        Err(error) => Emulator { name, origin, version: None, plugin: None, problem: Some(error.to_string()) },
        Ok(found) => {
            let plugin = plugin::find(found.interface());
            let problem = plugin.as_ref().err().map(ToString::to_string);
            Emulator { name, origin, version: Some(found.version().to_owned()), plugin: plugin.ok(), problem }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_dots_are_a_version_and_anything_else_is_a_program() {
        assert!(is_version("10.0") && is_version("10"));
        assert!(
            !is_version("qemu-system-x86_64") && !is_version("./10.0") && !is_version("/opt/10.0") && !is_version("")
        );
    }

    #[test]
    fn a_version_that_is_not_installed_is_a_mistake_with_its_remedy() {
        let error = choose(Some("10.0"), Path::new("/nonexistent")).expect_err("it is not there");
        let ChoiceError::Input(mistake) = error else { panic!("{error}") };
        assert!(mistake.remedy.contains("phasecast qemu install"), "{mistake}");
    }

    #[test]
    fn a_program_that_is_missing_is_told_as_one() {
        let error = choose(Some("/nonexistent/qemu"), Path::new("/nonexistent")).expect_err("it is not there");
        assert!(matches!(error, ChoiceError::Qemu(_)), "{error}");
    }
}
