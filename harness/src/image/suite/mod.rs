//! Suites that a user supplies: SPEC CPU 2017 and PARSEC 3, which we may not ship.
//!
//! From a tree that was built, everything that guests need goes onto a disk of its own: executables, their shared
//! libraries, inputs, expected output, and how each benchmark is run. The disk is an ext4 image like the guest image's, made
//! without privileges and named by its content; a catalogue beside it makes its benchmarks programs that mixes may name,
//! as `spec2017/505.mcf_r`. What cannot be used is said, with the reason, and left out.
//!
//! ```text
//! CACHE/suites/spec2017/DIGEST/disk.ext4
//! CACHE/suites/spec2017/DIGEST/catalogue.toml
//! CACHE/suites/spec2017/current               the DIGEST last added
//! ```
//!
//! Reading a tree is [`spec2017`]'s and [`parsec`]'s; the disk is [`disk`]'s; what runs in the guest is [`workloads::suite`].

mod disk;
mod libraries;
mod parsec;
mod spec2017;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use workloads::catalogue::{Catalogue, Disk};
use workloads::suite::{Command, Tolerance};

use super::{Cache, ImageError, Progress};
use crate::input::InputError;
use crate::interrupt::Interrupt;

/// A suite that we know the layout of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Suite {
    /// SPEC CPU 2017, its rate benchmarks.
    Spec2017,
    /// PARSEC 3, its applications and kernels.
    Parsec,
}

impl Suite {
    const ALL: [Suite; 2] = [Suite::Spec2017, Suite::Parsec];

    /// The name before the slash in the names of its programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Suite::Spec2017 => "spec2017",
            Suite::Parsec => "parsec",
        }
    }
}

/// What a tree has.
#[derive(Debug)]
struct Found {
    version: String,
    benchmarks: Vec<Benchmark>,
    missing: Vec<Missing>,
}

/// A benchmark that can be run on at least one input.
#[derive(Debug)]
struct Benchmark {
    name: String,
    stresses: String,
    /// Programs by the names that commands call them.
    programs: Vec<(String, PathBuf)>,
    inputs: Vec<SuiteInput>,
}

/// One input of a benchmark.
#[derive(Debug)]
struct SuiteInput {
    name: String,
    /// What stands in the folder it runs in, one laid over the other.
    sources: Vec<Source>,
    /// A folder with expected output, if the suite has one.
    expected: Option<PathBuf>,
    commands: Vec<Command>,
    tolerance: Tolerance,
}

#[derive(Debug)]
enum Source {
    Folder(PathBuf),
    Tar(PathBuf),
}

/// Something that the disk does not have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Which benchmark, or `505.mcf_r/train` for one of its inputs.
    pub what: String,
    /// Why not, and what to do about it.
    pub reason: String,
}

impl Missing {
    fn new(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}

/// A suite that was added.
#[derive(Debug, serde::Serialize)]
pub struct Added {
    /// The suite's name.
    pub suite: &'static str,
    /// The version that the tree says it is.
    pub version: String,
    /// What names the disk's content, 64 hexadecimal digits.
    pub digest: String,
    /// The ext4 image.
    pub disk: PathBuf,
    /// Its size.
    pub disk_bytes: u64,
    /// Programs that mixes may name now, with their inputs; those whose output is compared with the suite's are marked so.
    pub programs: Vec<AddedProgram>,
    /// What was left out.
    pub missing: Vec<Missing>,
}

/// A program of a suite.
#[derive(Debug, serde::Serialize)]
pub struct AddedProgram {
    /// Its name in mixes.
    pub name: String,
    /// Its inputs.
    pub inputs: Vec<AddedInput>,
}

/// An input of a program of a suite.
#[derive(Debug, serde::Serialize)]
pub struct AddedInput {
    /// Its name in mixes.
    pub name: String,
    /// Whether the suite has expected output for it.
    pub verified: bool,
}

/// Why a suite could not be added.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The tree is not what it should be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The disk could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Makes the disk and the catalogue of the suite's tree at `root` and keeps them in `cache`, unless they are there.
pub fn add(
    cache: &Cache,
    suite: Suite,
    root: &Path,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<Added, SuiteError> {
    if !root.is_dir() {
        return Err(refused(root, "no such folder", "give the folder that the suite was installed in").into());
    }
    progress(&format!("look at {}", root.display()));
    let mut found = match suite {
        Suite::Spec2017 => spec2017::scan(root)?,
        Suite::Parsec => parsec::scan(root)?,
    };
    let libraries = libraries::resolve(&mut found)?;
    if found.benchmarks.is_empty() {
        let first = found.missing.iter().take(3).map(|missing| format!("{}: {}", missing.what, missing.reason));
        let problem = format!("nothing in this tree can be run ({})", first.collect::<Vec<_>>().join("; "));
        return Err(refused(root, problem, "build the suite and install its inputs, then try again").into());
    }
    Ok(disk::make(cache, suite, found, &libraries, interrupt, progress)?)
}

fn refused(root: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> InputError {
    InputError::new(problem, remedy).in_file(root)
}

/// Every program that mixes may name: the built-in ones and those of the suites in the cache, the user's if none is named.
pub fn catalogue(cache: Option<&Path>) -> Result<Catalogue, InputError> {
    let mut catalogue = Catalogue::builtin();
    let folder = cache.map(Path::to_owned).or_else(|| Cache::default_folder().ok());
    for suite in folder.iter().flat_map(|folder| Suite::ALL.map(|suite| folder.join("suites").join(suite.name()))) {
        let Ok(digest) = std::fs::read_to_string(suite.join(disk::CURRENT)) else { continue };
        let entry = suite.join(digest.trim());
        let broken = |problem: String| {
            let remedy = "add the suite again: phasecast image add-suite, or remove this folder";
            InputError::new(problem, remedy).in_file(&suite)
        };
        let text = crate::input::read_text(&entry.join(disk::CATALOGUE)).map_err(|error| broken(error.problem))?;
        let programs = Catalogue::parse(&text).map_err(|error| broken(error.to_string()))?;
        let disk = Disk { image: entry.join(disk::DISK), digest: digest.trim().to_owned() };
        if !disk.image.is_file() {
            return Err(broken(format!("{} is not there", disk.image.display())));
        }
        catalogue.extend(programs, &disk).map_err(|error| broken(error.to_string()))?;
    }
    Ok(catalogue)
}
