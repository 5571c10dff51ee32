//! Test beds: hosts whose guests we launch ourselves, from a mix. The emulated host needs an image and a plugin, the
//! replayed one a stream of each guest, which it records itself where it is missing, the simulated one nothing.
//!
//! A bed is prepared once and launches any number of mixes, each from the same state. What a launched host does is
//! behind [`Host`]; nothing above needs to know which bed it came from.

mod casting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use machine::replay::ReplayError;
use machine::spec::{Cpu, Domain};
use predictor::topology::{CpuId, DomainId};

use crate::emulators::{self, ChoiceError};
use crate::host::Host;
use crate::host::emulated::{self, EmulatedHost, GuestPlan, LaunchError, Setup};
use crate::host::replayed::{ReplayedGuest, ReplayedHost};
use crate::host::simulated::SimulatedHost;
use crate::host::simulated::script::ScriptError;
use crate::image::{Cache, Image, ImageError};
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::mix::Mix;
use crate::qemu::Program;
use crate::streams::{Lengths, Recorder, Recording, Streams, StreamsError, Wanted};

/// A kind of host that a test bed launches guests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BedKind {
    /// Linux guests in QEMU on the emulated machine.
    Emulated,
    /// Recorded streams of such guests on the same machine, in this process; what is not yet recorded is, once.
    Replayed,
    /// Scripted phases in place of programs; its figures mean nothing, but it takes milliseconds.
    Simulated,
}

impl BedKind {
    /// The name used in files and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BedKind::Emulated => "emulated",
            BedKind::Replayed => "replayed",
            BedKind::Simulated => "simulated",
        }
    }

    /// Whether a host of this kind can run `mix` on this machine now. Costs nothing: ask before anything is prepared.
    pub fn check(self, mix: &Mix) -> Result<(), InputError> {
        let checked = match self {
            BedKind::Emulated => emulated::check(&mix.machine, &plans(mix)),
            BedKind::Replayed => emulated::check_one_by_one(&mix.machine, &plans(mix)),
            BedKind::Simulated => mix.refuse_shared_cpus("the simulated host has no time slices"),
        };
        checked.map_err(|mistake| mistake.in_file(&mix.file))
    }
}

/// Why guests could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum BedError {
    /// What was asked for cannot be.
    #[error("failed to prepare the test bed")]
    Input(#[from] InputError),
    /// There is no image to boot.
    #[error("failed to prepare the guest image")]
    Image(#[from] ImageError),
    /// There is no QEMU to run guests in.
    #[error("failed to prepare the emulated host")]
    Qemu(#[from] ChoiceError),
    /// The emulated host did not come up.
    #[error("failed to start the emulated host")]
    Emulated(#[from] LaunchError),
    /// A stream is missing and could not be recorded.
    #[error("failed to get the guests' streams")]
    Streams(#[from] StreamsError),
    /// The streams do not play on the machine.
    #[error("failed to start the replayed host")]
    Replayed(#[from] ReplayError),
    /// The mix makes no script.
    #[error("failed to start the simulated host")]
    Simulated(#[from] ScriptError),
}

/// Where guests can be launched.
#[derive(Debug)]
pub struct TestBed(Prepared);

#[derive(Debug)]
enum Prepared {
    Emulated { image: Box<Image>, cache: PathBuf, qemu: Program },
    Replayed { image: Box<Image>, cache: PathBuf, qemu: Program, streams: Streams, lengths: Lengths },
    Simulated,
}

impl TestBed {
    /// Prepares a bed: except for the simulated host QEMU is found and the guest image made ready in `cache` (by default
    /// the user's), which takes minutes the first time. `progress` hears what is being done.
    pub fn prepare(
        kind: BedKind,
        cache: Option<&Path>,
        interrupt: &Interrupt,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, BedError> {
        Self::prepare_with(kind, cache, None, interrupt, progress)
    }

    /// As [`TestBed::prepare`], with guests in this QEMU, if one is given.
    pub fn prepare_with(
        kind: BedKind,
        cache: Option<&Path>,
        qemu: Option<&Program>,
        interrupt: &Interrupt,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, BedError> {
        if kind == BedKind::Simulated {
            return Ok(Self(Prepared::Simulated));
        }
        let folder = match cache {
            Some(folder) => folder.to_owned(),
            None => Cache::default_folder()?,
        };
        let cache = Cache::open(folder)?;
        // Asked before the image is built: without a QEMU that work would be lost.
        let qemu = qemu.cloned().map_or_else(|| emulators::choose(None, cache.folder()), Ok)?;
        let image = Image::ensure(&cache, interrupt, &mut |line| progress(line))?;
        let (image, cache) = (Box::new(image), cache.folder().to_owned());
        Ok(Self(match kind {
            BedKind::Replayed => {
                let streams = Streams::open(&cache)?;
                Prepared::Replayed { image, cache, qemu, streams, lengths: Lengths::default() }
            }
            _ => Prepared::Emulated { image, cache, qemu },
        }))
    }

    /// The kind of its hosts.
    #[must_use]
    pub const fn kind(&self) -> BedKind {
        match self.0 {
            Prepared::Emulated { .. } => BedKind::Emulated,
            Prepared::Replayed { .. } => BedKind::Replayed,
            Prepared::Simulated => BedKind::Simulated,
        }
    }

    /// What the guests boot, where they boot anything.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        match &self.0 {
            Prepared::Emulated { image, .. } | Prepared::Replayed { image, .. } => Some(image),
            Prepared::Simulated => None,
        }
    }

    /// What executes the guests, where anything does; on the replayed host while they are recorded.
    #[must_use]
    pub fn qemu(&self) -> Option<&Program> {
        match &self.0 {
            Prepared::Emulated { qemu, .. } | Prepared::Replayed { qemu, .. } => Some(qemu),
            Prepared::Simulated => None,
        }
    }

    /// Launches the guests of `mix`, each at the begin of its program, for a run of at most so many quanta; no time has
    /// passed for them yet. If a guest fails, its console log is kept in `consoles`, if given.
    pub fn launch(
        &self,
        mix: &Mix,
        quanta: u64,
        consoles: Option<&Path>,
        interrupt: &Interrupt,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Box<dyn Host>, BedError> {
        let (machine, seed) = (&mix.machine, mix.seed);
        match &self.0 {
            Prepared::Emulated { image, cache, qemu } => {
                let guests = plans(mix);
                let setup = Setup { machine, guests: &guests, qemu, image, cache, seed, consoles, progress };
                let host = EmulatedHost::launch(&setup, interrupt);
                Ok(Box::new(host.map_err(|error| in_file(error, &mix.file))?))
            }
            Prepared::Replayed { .. } => {
                Ok(Box::new(replayed(mix, self.record(&[mix], quanta, consoles, interrupt, progress)?)?))
            }
            Prepared::Simulated => Ok(Box::new(SimulatedHost::new(casting::script(mix), seed)?)),
        }
    }

    /// Makes sure that all guests of `mixes` can be launched for so many quanta without delay: on the replayed host their
    /// streams are recorded now, as many at once as there are CPUs, where they are missing or too short. Answers the
    /// recordings in the order of mixes and guests; on other hosts there is nothing to do and none.
    pub fn record(
        &self,
        mixes: &[&Mix],
        quanta: u64,
        consoles: Option<&Path>,
        interrupt: &Interrupt,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Recording>, BedError> {
        let Prepared::Replayed { image, cache, qemu, streams, lengths } = &self.0 else { return Ok(Vec::new()) };
        let plans: Vec<(&Mix, GuestPlan)> =
            mixes.iter().flat_map(|mix| plans(mix).into_iter().map(move |plan| (*mix, plan))).collect();
        let wanted: Vec<Wanted<'_>> = plans
            .iter()
            .map(|(mix, guest)| Wanted { machine: &mix.machine, guest, cycles: quanta * mix.quantum_cycles })
            .collect();
        let recorder = Recorder { streams, lengths, qemu, image, cache, consoles, interrupt, progress };
        Ok(recorder.ensure_all(&wanted)?)
    }
}

/// Plays these recordings, one for each guest.
pub fn replayed(mix: &Mix, recordings: Vec<Recording>) -> Result<ReplayedHost, BedError> {
    let play = |(plan, recording): (GuestPlan, Recording)| ReplayedGuest {
        name: plan.name,
        stream: recording.stream,
        completions: recording.completions,
        cpu: plan.cpu,
    };
    let guests = plans(mix).into_iter().zip(recordings).map(play).collect();
    Ok(ReplayedHost::new(&mix.machine, guests, mix.seed)?)
}

fn in_file(error: LaunchError, file: &Path) -> BedError {
    match error {
        LaunchError::Input(mistake) => BedError::Input(mistake.in_file(file)),
        error => BedError::Emulated(error),
    }
}

/// The guests as the emulated host wants them: each on the first CPU of its LLC domain that is free.
fn plans(mix: &Mix) -> Vec<GuestPlan> {
    let named: BTreeSet<CpuId> = mix.guests.iter().filter_map(|guest| guest.cpu).collect();
    let free = |(domain, cpus): (Domain, Vec<Cpu>)| {
        (DomainId(domain.0), cpus.into_iter().filter(|cpu| !named.contains(&CpuId(cpu.0))))
    };
    let mut free: BTreeMap<_, _> = mix.machine.domains().into_iter().map(free).collect();
    let plan = |guest: &crate::mix::MixGuest| GuestPlan {
        name: guest.name.clone(),
        launch: guest.launch.clone(),
        memory_mib: guest.memory_mib,
        vcpus: guest.vcpus,
        cpu: match guest.cpu {
            Some(cpu) => Cpu(cpu.0),
            // A checked mix has a CPU for each vCPU; the host itself refuses a CPU that does not exist.
            None => free.get_mut(&guest.domain).and_then(Iterator::next).unwrap_or(Cpu(u32::MAX)),
        },
    };
    mix.guests.iter().map(plan).collect()
}

#[cfg(test)]
mod tests;
