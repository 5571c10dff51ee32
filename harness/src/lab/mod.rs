//! The KVM lab: real KVM guests on a machine without hardware virtualisation, and what must be true of the daemon on them.
//!
//! # Problem
//!
//! Whether the daemon finds, moves and gives back guests of KVM can be told only where KVM runs guests. Most machines on which
//! software is built have no KVM that does, and one last-level cache.
//!
//! # Method
//!
//! QEMU emulates a whole machine with AMD's virtualisation and two sockets, so two LLC domains. Debian's cloud kernel boots
//! on it and loads its own KVM. Everything else is in one initramfs: this very program with the libraries it names, the
//! host's QEMU with its libraries and firmware, a kernel for guests, and the [scenario](told) as process 1.
//!
//! ```text
//! this machine   phasecast lab             builds, starts, listens, compares
//!   QEMU (TCG)   Debian's kernel           kvm, kvm-amd; lab (process 1); phasecast daemon, guests, explain, restore
//!     QEMU (KVM) Debian's kernel           lab (process 1): a load
//! ```
//!
//! What is seen inside leaves by a second serial port, a line of JSON each. Verdicts are given inside, but for one: whether
//! what the journals say was done is what `/proc` showed is found out [here](agreement), by the journal's own reader.
//!
//! Where the processor virtualises and lets guests do so as well, the outer machine runs on KVM instead.
//!
//! # Properties
//!
//! The outer machine has a hard limit on its time and dies with this process. It has no network and no disk, and nothing of
//! this machine is written to but the run's own folder.

pub mod agreement;
mod contents;
mod outer;
pub mod told;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::image::{Cache, ImageError};
use crate::interrupt::{Interrupt, Interrupted};
use crate::qemu::{Accelerator, Program, QemuError, RunFolder};

use outer::Machine;
use told::{Record, Told};

/// What a run of the lab is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Guests at the beginning: an even number of at least 4. The machine has as many CPUs.
    pub guests: u32,
    /// After so long the outer machine is ended.
    pub limit: Duration,
    /// What executes the outer machine; found out where it is not said.
    pub accelerator: Option<Accelerator>,
    /// Where to leave what was told.
    pub out: Option<PathBuf>,
    /// Whether the machine is left there as well, to be booted by hand.
    pub keep_machine: bool,
}

/// Whether a claim holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What is claimed.
    pub claim: String,
    /// Whether it is so.
    pub holds: bool,
    /// What was seen.
    pub detail: String,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// One for each claim, in the order in which they were given.
    pub verdicts: Vec<Verdict>,
    /// What executed the outer machine.
    pub accelerator: Accelerator,
    /// Which QEMU.
    pub qemu: String,
    /// Which kernel, outside and inside.
    pub kernel: String,
    /// The size of the outer machine's initramfs.
    pub initramfs_bytes: u64,
    /// How long building took.
    pub building_seconds: f64,
    /// How long it ran.
    pub running_seconds: f64,
}

impl Outcome {
    /// How many claims do not hold.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.verdicts.iter().filter(|verdict| !verdict.holds).count()
    }
}

/// Why the lab gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// What goes in could not be put together.
    #[error("failed to build the lab")]
    Image(#[from] ImageError),
    /// QEMU is missing or does not start.
    #[error("failed to start the lab")]
    Qemu(#[from] QemuError),
    /// It ended or hung before it had told all.
    #[error("failed to hear the lab to its end: {reason}{}", crate::qemu::last_words(.console))]
    Silent {
        /// What happened instead.
        reason: String,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The file system said no.
    #[error("failed to {action}")]
    File {
        /// What was tried, and on what.
        action: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// Somebody asked to stop.
    #[error("failed to run the lab to its end")]
    Interrupted(#[from] Interrupted),
}

impl LabError {
    fn file(action: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let action = format!("{action} {}", path.display());
        move |source| Self::File { action, source }
    }
}

/// What happens while the lab runs.
#[derive(Debug)]
pub enum News<'a> {
    /// Something is being done.
    Doing(&'a str),
    /// A claim was judged.
    Judged(&'a Verdict),
}

/// Builds the lab, runs it to its end and judges what it told. `hear` is told as it goes.
pub fn run(
    settings: &Settings,
    cache: &Cache,
    interrupt: &Interrupt,
    hear: &mut dyn FnMut(News<'_>),
) -> Result<Outcome, LabError> {
    let began = Instant::now();
    let program = Program::of_system()?;
    let run = RunFolder::create()?;
    let contents = contents::build(&program, cache, run.path(), interrupt, &mut |line| hear(News::Doing(line)))?;
    let machine = Machine::describe(&program, &contents, settings, run.path());
    let building_seconds = began.elapsed().as_secs_f64();
    hear(News::Doing(&format!("start the outer machine on {}", machine.accelerator_name())));
    let mut record = Record::default();
    let mut verdicts = Vec::new();
    let mut listen = |told: Told| {
        match &told {
            Told::Progress { text, .. } => hear(News::Doing(text)),
            Told::Verdict { claim, holds, detail, .. } => {
                let verdict = Verdict { claim: claim.clone(), holds: *holds, detail: detail.clone() };
                hear(News::Judged(&verdict));
                verdicts.push(verdict);
            }
            _ => {}
        }
        record.take(told);
    };
    let heard = machine.run(settings.limit, interrupt, &mut listen);
    if let Some(folder) = &settings.out {
        keep(folder, &record, &machine, &contents, settings.keep_machine)?;
    }
    heard?;
    for verdict in agreement::judge(&record) {
        hear(News::Judged(&verdict));
        verdicts.push(verdict);
    }
    let outcome = Outcome {
        verdicts,
        accelerator: machine.accelerator,
        qemu: program.version().to_owned(),
        kernel: contents.kernel_release.clone(),
        initramfs_bytes: contents.initramfs_bytes,
        building_seconds,
        running_seconds: began.elapsed().as_secs_f64() - building_seconds,
    };
    if let Some(folder) = &settings.out {
        let path = folder.join("outcome.json");
        let text = serde_json::to_vec_pretty(&outcome).map_err(std::io::Error::other);
        text.and_then(|text| std::fs::write(&path, text)).map_err(LabError::file("write", &path))?;
    }
    Ok(outcome)
}

/// Leaves what was told in `folder`: consoles, the raw lines, journals and logs.
fn keep(
    folder: &Path,
    record: &Record,
    machine: &Machine,
    contents: &contents::Contents,
    keep_machine: bool,
) -> Result<(), LabError> {
    std::fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
    let copy = |from: &Path, to: &str| {
        let to = folder.join(to);
        std::fs::copy(from, &to).map(drop).map_err(LabError::file("write", &to))
    };
    copy(&machine.console, "console.log")?;
    copy(&machine.results, "told.jsonl")?;
    for (name, text) in &record.files {
        let path = folder.join(told::plain(name));
        std::fs::write(&path, text).map_err(LabError::file("write", &path))?;
    }
    if keep_machine {
        copy(&contents.kernel, "vmlinuz")?;
        copy(&contents.initramfs, "initramfs.cpio")?;
        let path = folder.join("boot.sh");
        std::fs::write(&path, machine.script()).map_err(LabError::file("write", &path))?;
    }
    Ok(())
}
