//! What a recording is of: its key, and the file beside its stream.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use machine::spec::Machine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::emulated::{GuestPlan, description};
use crate::host::replayed::Completion;
use crate::image::Image;
use crate::input::InputError;
use crate::qemu::Program;

/// What to do about every broken recording.
pub(super) const REMEDY: &str = "remove it with `phasecast stream prune`; it is recorded again when it is needed";

/// Part of every key: another number makes every recording anew.
const FORMAT: u32 = 1;

/// What decides a recording's content, as the first half of its folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a guest's stream on `machine`. The guest's name, its place and the seed do not matter, nor do LLC and memory.
    #[must_use]
    pub fn of(program: &Program, image: &Image, plan: &GuestPlan, machine: &Machine) -> Self {
        let mut hasher = Sha256::new();
        let (format, private) = (FORMAT.to_string(), machine.private_digest());
        let arguments = description(plan, image).machine_arguments();
        let fixed = [format.as_str(), program.version(), &image.digest, &private];
        for part in fixed.into_iter().chain(arguments.iter().map(String::as_str)) {
            // With its length before it, no part can pass for two.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hexadecimal(&hasher.finalize())[..32].to_owned())
    }

    /// As it stands in names.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What a recording is of. Written as `about.json`, format 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The format of this file.
    pub format: u32,
    /// The guest's program with its arguments.
    pub program: Vec<String>,
    /// Digest of the image it booted.
    pub image: String,
    /// The version of QEMU that ran it.
    pub qemu: String,
    /// The guest's memory.
    pub memory_mib: u32,
    /// The name of the machine that it ran on.
    pub machine: String,
    /// SHA-256 of that machine's description.
    pub machine_digest: String,
    /// [`Machine::private_digest`]: the recording plays on every machine that has the same.
    pub private: String,
    /// Virtual cycles that it took, idle ones included: alone on that machine.
    pub cycles: u64,
    /// Instructions that it covers.
    pub instructions: u64,
    /// References to the LLC in it.
    pub references: u64,
    /// When the guest completed runs of its program, in the order of time.
    pub completions: Vec<Completion>,
}

impl About {
    /// The format this release writes and reads.
    pub(super) const FORMAT: u32 = 1;

    /// Reads the file and keeps it open, locked against removal.
    pub(super) fn read(path: &Path) -> Result<(Self, File), InputError> {
        let broken = |problem: String| InputError::new(problem, REMEDY).in_file(path);
        let read = || -> io::Result<(String, File)> {
            let mut file = File::open(path)?;
            file.lock_shared()?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok((text, file))
        };
        let (text, file) = read().map_err(|error| broken(format!("cannot be read: {error}")))?;
        let about: Self =
            serde_json::from_str(&text).map_err(|error| broken(format!("does not describe a stream: {error}")))?;
        if about.format != Self::FORMAT {
            let problem = format!("it has format {}, this release reads {}", about.format, Self::FORMAT);
            return Err(broken(problem));
        }
        Ok((about, file))
    }
}

/// The digest by which a machine is known again.
pub(super) fn digest_of(machine: &Machine) -> String {
    hexadecimal(&Sha256::digest(machine.text().as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
