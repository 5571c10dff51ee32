//! A whole machine in this process that plays recorded streams: no QEMU, no shared memory, deterministic to the byte.
//!
//! Its time passes as in [`crate::segment`]: within a domain vCPUs take turns in the order of their slots, each until its
//! clock is at the end of the epoch, and the last one closes it; domains are independent of each other between two
//! grants, so here one runs after the other. A vCPU is a stream that is played ([`player`]); the LLC, the memory and the
//! core's timing are the code that a running vCPU uses. Recording and reading streams is [`crate::stream`]'s business.
//!
//! What is approximated: private caches that go cold do so at the stream's next checkpoint ([`cold`]), and kernel
//! instructions, loads, stores and L1 misses are interpolated between those of the stream.

mod cold;
mod occupancy;
mod player;

use std::collections::BTreeMap;
use std::sync::Arc;

use occupancy::{Awake, Chosen, Occupancy};
use player::{Player, TurnEnd};

use crate::bandwidth::Channel;
use crate::counters::Counters;
use crate::marks::PHASES;
use crate::pipeline::TICKS_PER_CYCLE;
use crate::seat::Turn;
use crate::segment::Slot;
use crate::spec::{Cpu, Domain, Machine, Node};
use crate::stream::{LONGEST_WINDOW, Stream, StreamError};

/// Why a replay could not begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The caller asked for what cannot be.
    #[error("failed to {action}: {reason}")]
    Refused {
        /// Finishes "failed to ...".
        action: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// A stream is at its end before the granted time is.
    #[error(
        "failed to replay slot {}: its stream ends after {instructions} instructions; record a longer one or replay fewer quanta",
        slot.0
    )]
    Exhausted {
        /// Whose stream.
        slot: Slot,
        /// How many it covers.
        instructions: u64,
    },
    /// A stream could not be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

fn refused(action: impl Into<String>, reason: impl Into<String>) -> ReplayError {
    ReplayError::Refused { action: action.into(), reason: reason.into() }
}

/// Where a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    cpu: Option<Cpu>,
    /// Raised whenever the CPU changes.
    generation: u32,
    /// Where its memory is: the node of its first CPU.
    home: Option<Node>,
}

/// An LLC domain's state.
#[derive(Debug, Clone)]
struct DomainState {
    /// The tags of its LLC.
    tags: Vec<u64>,
    latency_cycles: f64,
}

/// A machine and the streams that play on it: slot i plays the i-th. A clone goes on by itself from the same
/// moment.
#[derive(Debug, Clone)]
pub struct ReplayedMachine {
    machine: Machine,
    channel: Channel,
    players: Vec<Player>,
    places: Vec<Place>,
    counters: Vec<Counters>,
    domains: Vec<DomainState>,
    occupancy: Occupancy,
    horizon_cycles: u64,
}

impl ReplayedMachine {
    /// A machine with empty caches at virtual time 0. `seed` chooses the page colours, as on the emulated host. Refused
    /// if a stream was recorded with other private caches, or if the core's reorder window is longer than streams
    /// allow for.
    pub fn new(machine: &Machine, streams: Vec<Arc<Stream>>, seed: u64) -> Result<Self, ReplayError> {
        let action = || format!("replay on {}", machine.name());
        if u64::from(machine.core().reorder_window) > LONGEST_WINDOW {
            let window = machine.core().reorder_window;
            let reason =
                format!("its reorder window of {window} is beyond the {LONGEST_WINDOW} that streams allow for");
            return Err(refused(action(), reason));
        }
        for stream in &streams {
            let (private, own) = (&stream.header().private, machine.private_digest());
            if *private != own {
                let path = stream.path().display();
                let reason = format!("{path} was recorded with private caches {private}, not {own}; record it again");
                return Err(refused(action(), reason));
            }
        }
        let channel = Channel::new(machine);
        let domain =
            |_| DomainState { tags: vec![0; machine.llc().lines()], latency_cycles: channel.idle_latency_cycles() };
        Ok(Self {
            channel,
            occupancy: Occupancy::new(machine, streams.len()),
            places: vec![Place::default(); streams.len()],
            counters: vec![Counters::default(); streams.len()],
            players: (0..)
                .zip(streams)
                .map(|(slot, stream)| Player::new(machine, slot, seed, stream))
                .collect::<Result<_, _>>()?,
            domains: machine.domains().into_iter().map(domain).collect(),
            horizon_cycles: 0,
            machine: machine.clone(),
        })
    }

    /// The machine it was made for.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Virtual cycles that have passed.
    #[must_use]
    pub const fn horizon_cycles(&self) -> u64 {
        self.horizon_cycles
    }

    /// Puts a vCPU on a CPU; on another than before, its private caches go cold. Two vCPUs may share a CPU for a moment,
    /// so that they can change places; [`ReplayedMachine::advance`] refuses it unless the machine has time slices.
    pub fn place(&mut self, slot: Slot, cpu: Cpu) -> Result<(), ReplayError> {
        let action = || format!("place slot {} on CPU {}", slot.0, cpu.0);
        let domain = self.machine.domain_of(cpu).ok_or_else(|| refused(action(), "the machine has no such CPU"))?;
        let slots = self.places.len();
        let Some(place) = self.places.get_mut(slot.0 as usize) else {
            return Err(refused(action(), format!("{slots} streams are replayed")));
        };
        if place.cpu != Some(cpu) {
            let home = place.home.or(self.machine.node_of(domain));
            *place = Place { cpu: Some(cpu), generation: place.generation + 1, home };
        }
        Ok(())
    }

    /// Lets `cycles` of virtual time pass in every domain; a multiple of the epoch. After an error the machine is
    /// somewhere between two horizons and of no further use.
    pub fn advance(&mut self, cycles: u64) -> Result<(), ReplayError> {
        let action = || format!("replay {cycles} virtual cycles");
        let epoch = self.machine.epoch_cycles();
        if cycles == 0 || !cycles.is_multiple_of(epoch) {
            let reason = format!("the quantum must be a multiple of the machine's epoch of {epoch} cycles");
            return Err(refused(action(), reason));
        }
        self.check_sharing().map_err(|reason| refused(action(), reason))?;
        let end = self.horizon_cycles + cycles;
        for domain in (0..self.domains.len() as u32).map(Domain) {
            self.advance_domain(domain, end)?;
        }
        for (counters, player) in self.counters.iter_mut().zip(&self.players) {
            *counters = player.counters(end)?;
        }
        self.horizon_cycles = end;
        Ok(())
    }

    /// Two vCPUs on one CPU take turns by time slices, if the machine has them.
    fn check_sharing(&self) -> Result<(), String> {
        if self.machine.timeslice_cycles().is_some() {
            return Ok(());
        }
        let mut taken: BTreeMap<Cpu, usize> = BTreeMap::new();
        for (slot, cpu) in self.places.iter().enumerate().filter_map(|(slot, place)| Some((slot, place.cpu?))) {
            if let Some(other) = taken.insert(cpu, slot) {
                return Err(format!(
                    "slots {other} and {slot} are on the same CPU, and the machine has no core.timeslice_cycles"
                ));
            }
        }
        Ok(())
    }

    fn advance_domain(&mut self, domain: Domain, end_cycles: u64) -> Result<(), ReplayError> {
        let epoch = self.machine.epoch_cycles();
        let resident = |(slot, place): (usize, &Place)| {
            place.cpu.filter(|cpu| self.machine.domain_of(*cpu) == Some(domain)).map(|cpu| Awake { slot, cpu })
        };
        let residents: Vec<Awake> = self.places.iter().enumerate().filter_map(resident).collect();
        let state = domain.0 as usize;
        let mut epoch_start_cycles = self.horizon_cycles;
        if residents.is_empty() {
            let epochs = (end_cycles - epoch_start_cycles) / epoch;
            let latency_cycles = &mut self.domains[state].latency_cycles;
            *latency_cycles = self.channel.calmed_latency_cycles(*latency_cycles, epochs);
            return Ok(());
        }
        while epoch_start_cycles < end_cycles {
            let lines = self.epoch(domain, &residents, epoch_start_cycles)?;
            let latency_cycles = &mut self.domains[state].latency_cycles;
            *latency_cycles = self.channel.next_latency_cycles(*latency_cycles, lines);
            epoch_start_cycles += epoch;
        }
        Ok(())
    }

    /// Lets one epoch pass in a domain; answers the lines moved to and from memory.
    fn epoch(&mut self, domain: Domain, residents: &[Awake], epoch_start_cycles: u64) -> Result<u64, ReplayError> {
        let start_ticks = epoch_start_cycles * TICKS_PER_CYCLE;
        let is_awake = |slot: usize| self.players[slot].halt().is_none_or(|halt| halt.until_ticks <= start_ticks);
        let awake: Vec<Awake> = residents.iter().copied().filter(|resident| is_awake(resident.slot)).collect();
        let DomainState { tags, latency_cycles } = &mut self.domains[domain.0 as usize];
        let mut lines = 0;
        for Chosen { slot, took_over } in self.occupancy.choose(&awake, epoch_start_cycles) {
            let place = &mut self.places[slot];
            place.generation += u32::from(took_over);
            let remote = place.home.map_or(0, |home| self.machine.remote_latency_cycles(home, domain));
            let turn = Turn {
                epoch_start_cycles,
                epoch_end_cycles: epoch_start_cycles + self.machine.epoch_cycles(),
                memory_latency_cycles: *latency_cycles + f64::from(remote),
                domain,
                generation: place.generation,
            };
            let player = &mut self.players[slot];
            if player.turn(turn, tags)? == TurnEnd::OfStream {
                let instructions = player.stream_instructions();
                return Err(ReplayError::Exhausted { slot: Slot(slot as u32), instructions });
            }
            self.occupancy.turn_ended(slot, player.halt().is_some());
            lines += player.take_lines_moved();
        }
        Ok(lines)
    }

    /// The vCPU's counts up to the horizon.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn counters(&self, slot: Slot) -> Counters {
        self.counters[slot.0 as usize]
    }

    /// Instructions the vCPU began under each phase of its ground truth, running sums; the last is of those under none.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn phase_instructions(&self, slot: Slot) -> [u64; PHASES + 1] {
        self.players[slot.0 as usize].phase_instructions()
    }

    /// LLC misses that the vCPU had under way at once, on average over the time in which there was at least one.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn memory_level_parallelism(&self, slot: Slot) -> f64 {
        self.players[slot.0 as usize].memory_level_parallelism()
    }

    /// The current latency of a domain's memory in cycles, queueing included.
    ///
    /// # Panics
    /// If the machine has no such domain.
    #[must_use]
    pub fn memory_latency_cycles(&self, domain: Domain) -> f64 {
        self.domains[domain.0 as usize].latency_cycles
    }
}
