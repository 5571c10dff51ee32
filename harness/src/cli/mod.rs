//! The command line: one file a command; the exit code is decided in one place.
//!
//! 0 done, 1 failed, 2 the input cannot be used, 130 interrupted.

pub mod cache;
pub mod catalogue;
pub mod contention;
pub mod daemon;
pub mod doctor;
pub mod experiment;
pub mod explain;
pub mod guests;
pub mod image;
pub mod import;
pub mod lab;
pub mod machine;
pub mod place;
pub mod qemu;
pub mod record;
pub mod restore;
pub mod score;
mod spinner;
pub mod stream;
pub mod survey;
pub mod top;
pub mod topology;
pub mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::input::InputError;
use crate::interrupt::{Interrupt, Interrupted};

/// Forecasts the execution phases of vCPUs and moves them between LLC domains ahead of time.
#[derive(Debug, Parser)]
#[command(name = "phasecast", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what this machine can do, and why not.
    Doctor(doctor::Args),
    /// Say which programs there are, what they press and what they read.
    Catalogue(catalogue::Args),
    /// Build the guest image, or show what is in it.
    Image(image::Args),
    /// Install a second QEMU, or list those that can be used.
    Qemu(qemu::Args),
    /// Say which CPUs share a last-level cache on this machine or another.
    Topology(topology::Args),
    /// Say which guests run on this machine, and what cannot be seen of them.
    Guests(guests::Args),
    /// Say which emulated machines there are and what one consists of.
    Machine(machine::Args),
    /// Run a mix of guests and keep their samples as a trace.
    Record(record::Args),
    /// Look at the recorded streams in the cache, or remove old ones.
    Stream(stream::Args),
    /// Read counters that perf stat or others recorded; write them as a trace or as JSON.
    Import(import::Args),
    /// Learn phases and their sequence from traces.
    Train(train::Args),
    /// Score forecasters on recorded series: predict, then learn.
    Score(score::Args),
    /// Say how much programs would slow each other down, from their profiles.
    Contention(contention::Args),
    /// Say where vCPUs would run best, and why.
    Place(place::Args),
    /// Give back the affinities of threads that a phasecast which ended badly left bound.
    Restore(restore::Args),
    /// Run an experiment and write its report.
    Experiment(experiment::Args),
    /// Watch this machine's guests and, if told to, move their vCPUs.
    Daemon(daemon::Args),
    /// Show what the daemon does, every second.
    Top(top::Args),
    /// Say why vCPUs were moved or not, from a journal.
    Explain(explain::Args),
    /// Try the daemon on real KVM guests, in an emulated machine: no hardware virtualisation is needed.
    Lab(lab::Args),
    #[command(hide = true)]
    Watchdog(daemon::WatchdogArgs),
    /// Measure the test bed itself: programs alone and together, and what the results depend on.
    Survey(survey::Args),
}

/// Parses the command line, runs the command and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Interrupt::on_signals().map_err(anyhow::Error::from).and_then(|interrupt| {
        let interrupt = &interrupt;
        match &arguments.command {
            Command::Doctor(args) => doctor::run(args, interrupt),
            Command::Catalogue(args) => catalogue::run(args, interrupt),
            Command::Image(args) => image::run(args, interrupt),
            Command::Qemu(args) => qemu::run(args, interrupt),
            Command::Topology(args) => topology::run(args, interrupt),
            Command::Guests(args) => guests::run(args, interrupt),
            Command::Machine(args) => machine::run(args, interrupt),
            Command::Record(args) => record::run(args, interrupt),
            Command::Stream(args) => stream::run(args, interrupt),
            Command::Import(args) => import::run(args, interrupt),
            Command::Train(args) => train::run(args, interrupt),
            Command::Score(args) => score::run(args, interrupt),
            Command::Contention(args) => contention::run(args, interrupt),
            Command::Place(args) => place::run(args, interrupt),
            Command::Restore(args) => restore::run(args, interrupt),
            Command::Experiment(args) => experiment::run(args, interrupt),
            Command::Daemon(args) => daemon::run(args, interrupt),
            Command::Top(args) => top::run(args, interrupt),
            Command::Explain(args) => explain::run(args, interrupt),
            Command::Lab(args) => lab::run(args, interrupt),
            Command::Watchdog(args) => daemon::watchdog(args, interrupt),
            Command::Survey(args) => survey::run(args, interrupt),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phasecast: {error:#}");
            exit_code(&error)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<InputError>()) {
        ExitCode::from(2)
    } else if error.chain().any(|cause| cause.is::<Interrupted>()) {
        ExitCode::from(130)
    } else {
        ExitCode::FAILURE
    }
}

/// Refuses to write over a file that the same command reads, or writes too, under whatever name.
pub(crate) fn refuse_overwriting(target: &Path, others: &[&Path]) -> Result<(), InputError> {
    let place = place_of(target);
    match others.iter().find(|other| place_of(other) == place) {
        Some(other) => {
            let problem = format!("this would overwrite {}, which the command needs as well", other.display());
            Err(InputError::new(problem, "give the name of another file").in_file(target))
        }
        None => Ok(()),
    }
}

/// Where a file is or would be, without links and dots.
fn place_of(file: &Path) -> PathBuf {
    let beside = || {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(file.file_name()?))
    };
    file.canonicalize().ok().or_else(beside).unwrap_or_else(|| file.to_owned())
}

/// Prints a text and a line's end; a reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error).context("failed to write to the standard output"))
        }
        _ => Ok(()),
    }
}
