//! What a simulated host plays: on which hardware, kinds of phases with what they cost alone, how much they slow each
//! other down, and which guest runs which of them for how many instructions.
//!
//! What a kind does alone is its profile: chosen, drawn, or taken from somebody's measurements ([`super::profiles`]).
//! What becomes of kinds together is arithmetic. A script is checked when a host is made of it.

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::contention::{Pressure, Profile};
use predictor::counters::{Event, PhaseMark, Reading, Readings};
use predictor::topology::{CpuId, DomainId};

use super::hardware::Hardware;
use super::sharing::Sharing;

/// Bytes that a miss fetches from memory, and that a dirty line writes back.
pub(super) const LINE_BYTES: f64 = 64.0;

/// What a kind of phase does when it runs alone. Rates are per thousand instructions.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseKind {
    /// What it is called in messages.
    pub name: String,
    /// Busy cycles per instruction, alone.
    pub cycles_per_instruction: f64,
    /// The share of these in which the core waits for memory, 0 to 1.
    pub stall_share: f64,
    /// The share of a whole LLC that it keeps in use, 0 to 1: what it has to fetch again after a move.
    pub footprint_share: f64,
    /// The share of time in which the vCPU has nothing to run, at least 0 and below 1.
    pub idle_share: f64,
    /// The share of instructions in the guest's kernel, 0 to 1.
    pub kernel_share: f64,
    /// Data loads.
    pub loads: f64,
    /// Data stores.
    pub stores: f64,
    /// Accesses that miss the first-level cache.
    pub l1_misses: f64,
    /// Accesses that reach the LLC.
    pub llc_references: f64,
    /// The share of LLC references that miss, alone.
    pub llc_miss_ratio: f64,
    /// What it does with less of the LLC, where somebody measured that; else the contention model guesses.
    pub profile: Option<Profile>,
}

impl PhaseKind {
    /// Dirty lines that each miss sends to memory: as many as stores are among accesses.
    pub(super) fn written_back_per_miss(&self) -> f64 {
        self.stores / (self.loads + self.stores).max(f64::MIN_POSITIVE)
    }

    /// What placement does not change of a quantum alone of so many cycles; the rest is absent.
    #[must_use]
    pub fn unplaced_readings(&self, cycles: f64) -> Readings {
        let work = cycles * (1.0 - self.idle_share) / self.cycles_per_instruction;
        Readings::from_fn(|event| {
            let rate = match event {
                Event::Instructions => 1000.0,
                Event::Loads => self.loads,
                Event::Stores => self.stores,
                Event::L1Misses => self.l1_misses,
                Event::LlcReferences => self.llc_references,
                _ => return Reading::Absent,
            };
            Reading::Exact((work * rate / 1000.0).round() as u64)
        })
    }

    /// What it does alone, as the contention model wants it.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let misses = self.llc_references * self.llc_miss_ratio;
        Pressure {
            llc_references_per_kilo_instruction: self.llc_references,
            llc_misses_per_kilo_instruction: misses,
            memory_bytes_per_kilo_instruction: misses * LINE_BYTES * (1.0 + self.written_back_per_miss()),
            cycles_per_instruction: self.cycles_per_instruction,
            stall_share: self.stall_share,
            profile: self.profile,
        }
    }
}

/// A kind of phase, by its place in [`Script::kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub usize);

/// One phase of a guest's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// What it is like.
    pub kind: KindId,
    /// How long it is, in work.
    pub instructions: u64,
    /// The mark that the program sets when the phase begins, if it sets any.
    pub truth: Option<PhaseMark>,
}

/// A guest: its program's phases, over and over, on each of its vCPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedGuest {
    /// The guest's name.
    pub name: String,
    /// How many vCPUs run the script, each at its own pace.
    pub vcpus: u32,
    /// Where it starts; another domain if that one is full when it comes.
    pub domain: DomainId,
    /// The CPU of that domain on which its first vCPU starts, whoever is there already; else the one with fewest on it
    /// and on its core.
    pub cpu: Option<CpuId>,
    /// One run of its program.
    pub stretches: Vec<Stretch>,
    /// When it comes, on the host's clock.
    pub arrives: Duration,
    /// When it goes, on the host's clock; `None` to stay.
    pub departs: Option<Duration>,
}

/// All that a simulated host plays.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Where guests run.
    pub hardware: Hardware,
    /// What the host claims to count; the rest is absent from its samples.
    pub events: BTreeSet<Event>,
    /// The kinds of phases.
    pub kinds: Vec<PhaseKind>,
    /// By how much kinds slow each other down in an LLC domain.
    pub sharing: Sharing,
    /// The guests; the n-th has guest id n.
    pub guests: Vec<ScriptedGuest>,
    /// Largest relative deviation of a vCPU's cost and rates in one quantum, at least 0 and below 1.
    pub noise: f64,
}

/// Why a script cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A figure is out of its range.
    #[error("{what} must be {range}")]
    OutOfRange {
        /// Which figure.
        what: String,
        /// What it may be.
        range: &'static str,
    },
    /// A stretch or a pair names a kind that is not there.
    #[error("{what} names phase kind {kind}, but the script has {known}")]
    UnknownKind {
        /// Where.
        what: String,
        /// The number given.
        kind: usize,
        /// How many there are.
        known: usize,
    },
    /// A guest starts in a domain that is not there.
    #[error("guest {guest:?} starts in LLC domain {domain}, which this host does not have")]
    UnknownDomain {
        /// Which guest.
        guest: String,
        /// The number given.
        domain: u32,
    },
    /// More vCPUs at once than CPUs.
    #[error("{vcpus} vCPUs are present at once, but the host has {cpus} CPUs")]
    NoRoom {
        /// How many.
        vcpus: usize,
        /// How many fit.
        cpus: usize,
    },
}

impl Script {
    /// Whether a host can play this.
    pub fn check(&self) -> Result<(), ScriptError> {
        if let Some((what, range)) = self.hardware.mistake() {
            return Err(ScriptError::OutOfRange { what: what.to_owned(), range });
        }
        in_range((0.0..1.0).contains(&self.noise), "the noise", "at least 0 and below 1")?;
        self.kinds.iter().try_for_each(check_kind)?;
        if let Sharing::Table(table) = &self.sharing {
            for ((victim, neighbour), extra) in table {
                self.check_known(*victim, "the interference table")?;
                self.check_known(*neighbour, "the interference table")?;
                in_range(extra.is_finite() && *extra >= 0.0, "an interference", "finite and at least 0")?;
            }
        }
        self.guests.iter().try_for_each(|guest| self.check_guest(guest))?;
        self.check_room()
    }

    fn check_guest(&self, guest: &ScriptedGuest) -> Result<(), ScriptError> {
        let of = |what: &str| format!("{what} of guest {:?}", guest.name);
        let Some(domain) = self.hardware.topology.domain(guest.domain) else {
            return Err(ScriptError::UnknownDomain { guest: guest.name.clone(), domain: guest.domain.0 });
        };
        in_range(guest.cpu.is_none_or(|cpu| domain.cpus.contains(&cpu)), &of("the CPU"), "one of its LLC domain")?;
        in_range(guest.vcpus > 0, &of("the number of vCPUs"), "at least 1")?;
        in_range(guest.departs.is_none_or(|end| end > guest.arrives), &of("the departure"), "after its arrival")?;
        in_range(!guest.stretches.is_empty(), &of("the number of stretches"), "at least 1")?;
        for stretch in &guest.stretches {
            self.check_known(stretch.kind, &of("a stretch"))?;
            in_range(stretch.instructions > 0, &of("the length of a stretch"), "at least 1 instruction")?;
        }
        Ok(())
    }

    fn check_known(&self, kind: KindId, what: &str) -> Result<(), ScriptError> {
        if kind.0 < self.kinds.len() {
            return Ok(());
        }
        Err(ScriptError::UnknownKind { what: what.to_owned(), kind: kind.0, known: self.kinds.len() })
    }

    /// The number of vCPUs changes only when somebody comes, so those moments are all that need a look.
    fn check_room(&self) -> Result<(), ScriptError> {
        let cpus: usize = self.hardware.topology.domains().iter().map(|domain| domain.cpus.len()).sum();
        for moment in self.guests.iter().map(|guest| guest.arrives) {
            let here = |guest: &&ScriptedGuest| {
                guest.arrives <= moment && guest.departs.is_none_or(|departs| departs > moment)
            };
            let vcpus = self.guests.iter().filter(here).map(|guest| guest.vcpus as usize).sum();
            if vcpus > cpus {
                return Err(ScriptError::NoRoom { vcpus, cpus });
            }
        }
        Ok(())
    }
}

fn check_kind(kind: &PhaseKind) -> Result<(), ScriptError> {
    let of = |what: &str| format!("{what} of phase kind {:?}", kind.name);
    let cost = kind.cycles_per_instruction;
    in_range(cost.is_finite() && cost > 0.0, &of("the cycles per instruction"), "finite and above 0")?;
    in_range((0.0..=1.0).contains(&kind.stall_share), &of("the stall share"), "from 0 to 1")?;
    in_range((0.0..=1.0).contains(&kind.footprint_share), &of("the footprint's share"), "from 0 to 1")?;
    in_range((0.0..1.0).contains(&kind.idle_share), &of("the idle share"), "at least 0 and below 1")?;
    in_range((0.0..=1.0).contains(&kind.kernel_share), &of("the kernel share"), "from 0 to 1")?;
    in_range((0.0..=1.0).contains(&kind.llc_miss_ratio), &of("the LLC miss ratio"), "from 0 to 1")?;
    for rate in [kind.loads, kind.stores, kind.l1_misses, kind.llc_references] {
        in_range(rate.is_finite() && rate >= 0.0, &of("a rate"), "finite and at least 0")?;
    }
    Ok(())
}

fn in_range(holds: bool, what: &str, range: &'static str) -> Result<(), ScriptError> {
    if holds { Ok(()) } else { Err(ScriptError::OutOfRange { what: what.to_owned(), range }) }
}
