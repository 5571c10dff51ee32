//! Mixes: which guests run together on which machine, as a person wrote it in TOML, checked once.
//!
//! A [`Mix`] names only what exists and fits: programs and inputs of the catalogue, LLC domains of the machine, no more
//! guests than CPUs. Every mistake is an [`InputError`] that names the file and the key. Launching the guests is the
//! business of the host's test bed.

mod parse;
mod places;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::cache::seed_of_slot;
use machine::spec::Machine;
use predictor::counters::{Event, GuestId};
use predictor::topology::{CpuId, DomainId, Topology};
use workloads::catalogue::{Catalogue, Family, Launch};

use crate::host::seating::topology;
use crate::input::InputError;
use crate::journal::run::{GuestDescription, RunDescription};

/// Memory of a guest whose mix does not say, in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 256;

/// Guests to run together, and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// The file's name without its ending.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// The machine to run on.
    pub machine: Machine,
    /// The file that the machine was read from; absent for a preset.
    pub machine_file: Option<PathBuf>,
    /// The control period in cycles; a multiple of the machine's epoch and a whole number of nanoseconds.
    pub quantum_cycles: u64,
    /// The seed of everything random in a run.
    pub seed: u64,
    /// The guests, at least one; the n-th becomes guest n of the run.
    pub guests: Vec<MixGuest>,
}

/// One guest of a mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixGuest {
    /// Its name, unique in the mix.
    pub name: String,
    /// Its program's name in the catalogue.
    pub program: String,
    /// What kind of program that is.
    pub family: Family,
    /// Whether the program marks its phases.
    pub truth: bool,
    /// The name of the program's input.
    pub input: String,
    /// How to start the program.
    pub launch: Launch,
    /// Where it starts.
    pub domain: DomainId,
    /// The CPU of that domain on which it starts, if it has to be this one; else the first without a guest. Several
    /// guests may name one CPU on a machine with time slices.
    pub cpu: Option<CpuId>,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its number of vCPUs.
    pub vcpus: u32,
}

impl Mix {
    /// Reads and checks the mix at `file`, with the programs of `catalogue`.
    pub fn read(file: &Path, catalogue: &Catalogue) -> Result<Self, InputError> {
        Self::parse(file, &crate::input::read_text(file)?, catalogue)
    }

    /// Checks `text`, which stands in `file`. Paths in it are relative to the file's folder.
    pub fn parse(file: &Path, text: &str, catalogue: &Catalogue) -> Result<Self, InputError> {
        parse::parse(file, text, catalogue).map_err(|mistake| mistake.in_file(file))
    }

    /// The control period on the machine's clock.
    #[must_use]
    pub fn quantum(&self) -> Duration {
        Duration::from_nanos(self.quantum_cycles * 1000 / u64::from(self.machine.frequency_mhz()))
    }

    /// The machine's LLC domains.
    #[must_use]
    pub fn topology(&self) -> Topology {
        topology(&self.machine)
    }

    /// Refuses guests that share a CPU, for those who cannot cope with it: `who` begins the sentence.
    pub fn refuse_shared_cpus(&self, who: &str) -> Result<(), InputError> {
        let shared = |(index, guest): &(usize, &MixGuest)| {
            guest.cpu.is_some() && self.guests[..*index].iter().any(|other| other.cpu == guest.cpu)
        };
        let Some((index, guest)) = self.guests.iter().enumerate().find(shared) else { return Ok(()) };
        let problem = format!("{who}, and {:?} shares its CPU with another guest", guest.name);
        Err(InputError::new(problem, "give each guest a CPU of its own").at(format!("guest[{index}].cpu")))
    }

    /// The same mix with nobody but guest `index`, in the machine's first LLC domain: for what it does alone. Its seed is
    /// one under which the guest has the page colours that it has in the mix.
    #[must_use]
    pub fn alone(&self, index: usize) -> Option<Self> {
        let guest = MixGuest { domain: DomainId(0), cpu: None, ..self.guests.get(index)?.clone() };
        let seed = seed_of_slot(self.seed, u32::try_from(index).ok()?);
        Some(Self { guests: vec![guest], seed, ..self.clone() })
    }

    /// A run of this mix, for the head of its journal and trace.
    #[must_use]
    pub fn describe(&self, purpose: &str, host: &str, policy: &str, events: &BTreeSet<Event>) -> RunDescription {
        let guest = |guest: &MixGuest| GuestDescription {
            name: guest.name.clone(),
            program: guest.program.clone(),
            input: guest.input.clone(),
        };
        RunDescription {
            purpose: purpose.to_owned(),
            host: host.to_owned(),
            machine: self.machine.name().to_owned(),
            mix: self.name.clone(),
            policy: policy.to_owned(),
            seed: self.seed,
            quantum: self.quantum(),
            frequency_hz: Some(u64::from(self.machine.frequency_mhz()) * 1_000_000),
            llc_latency_cycles: Some(self.machine.llc().latency_cycles),
            memory_latency_cycles: Some(self.machine.memory().latency_cycles),
            memory_bytes_per_cycle: Some(self.machine.memory().bytes_per_cycle),
            topology: self.topology(),
            events: events.clone(),
            guests: (0..).map(GuestId).zip(self.guests.iter().map(guest)).collect(),
            revision: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Refuses a control period that `machine` cannot have. A mistake is at key `quantum_cycles`.
pub fn check_quantum(quantum_cycles: u64, machine: &Machine) -> Result<(), InputError> {
    parse::check_quantum(quantum_cycles, machine)
}

#[cfg(test)]
mod tests;
