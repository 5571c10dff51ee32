//! Recorded streams of guests, played on an emulated machine in this process: no QEMU, no image, the same caches, memory
//! and clock as the emulated host, and the same bytes every time.
//!
//! A stream is a guest's references to the LLC with what their timing depends on, recorded once while the guest was
//! alone; the machine works out anew when each is served, so any mix and placement can be asked. Recording and keeping
//! streams is [`crate::streams`]'s business, playing them the `machine` crate's; what is approximated is told in
//! docs/replayed-host.md.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use machine::replay::{ReplayError, ReplayedMachine};
use machine::segment::Slot;
use machine::spec::{Cpu, Machine};
use machine::stream::Stream;
use predictor::counters::{Event, Sample, VcpuId};
use predictor::placement::Move;
use predictor::topology::Topology;
use serde::{Deserialize, Serialize};

use super::sampling::{self, Sums};
use super::seating::{Answer, Seating, cycles_in};
use super::{Arrival, GuestEvent, Host, HostError, MoveOutcome, Observation};

/// A guest's program ran to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// Instructions of the guest after which this had been heard, from the begin mark.
    pub instructions: u64,
    /// How many runs came before.
    pub run: u64,
    /// FNV-1a 64 of the program's output, 16 hexadecimal digits.
    pub checksum: Option<String>,
}

/// A guest to play.
#[derive(Debug, Clone)]
pub struct ReplayedGuest {
    /// Its name.
    pub name: String,
    /// What it does.
    pub stream: Arc<Stream>,
    /// When its program ran to its end, in the order of time.
    pub completions: Arc<[Completion]>,
    /// Where it starts.
    pub cpu: Cpu,
}

/// A machine on which streams play. A clone goes on by itself from the same moment.
#[derive(Debug, Clone)]
pub struct ReplayedHost {
    machine: Machine,
    seating: Seating,
    events: BTreeSet<Event>,
    guests: Vec<Playing>,
    replay: ReplayedMachine,
    announced: bool,
    failed: bool,
}

#[derive(Debug, Clone)]
struct Playing {
    guest: ReplayedGuest,
    sums: Sums,
    heard: usize,
}

impl ReplayedHost {
    /// Each guest at its begin mark on its CPU. Guest `n` has slot `n`; `seed` chooses the page colours, as on the emulated
    /// host.
    pub fn new(machine: &Machine, guests: Vec<ReplayedGuest>, seed: u64) -> Result<Self, ReplayError> {
        let streams = guests.iter().map(|guest| Arc::clone(&guest.stream)).collect();
        let mut replay = ReplayedMachine::new(machine, streams, seed)?;
        for (slot, guest) in (0..).map(Slot).zip(&guests) {
            // Refuses a CPU that the machine does not have.
            replay.place(slot, guest.cpu)?;
        }
        Ok(Self {
            machine: machine.clone(),
            seating: Seating::new(machine, guests.iter().map(|guest| guest.cpu).collect()),
            events: Event::ALL.into_iter().collect(),
            guests: guests.into_iter().map(|guest| Playing { guest, sums: Sums::zero(), heard: 0 }).collect(),
            replay,
            announced: false,
            failed: false,
        })
    }

    /// The machine that is emulated.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn observe(&mut self, quantum: Duration, cycles: u64) -> Result<Observation, HostError> {
        self.replay.advance(cycles).map_err(|error| self.explain(error))?;
        let samples = self.seating.ids().map(|vcpu| self.sample(vcpu, quantum)).collect();
        let guest_events = self.seating.ids().flat_map(|vcpu| self.completed(vcpu)).collect();
        let arrivals = if self.announced { Vec::new() } else { self.arrivals() };
        self.announced = true;
        Ok(Observation { samples, arrivals, guest_events, ..Observation::default() })
    }

    fn sample(&mut self, vcpu: VcpuId, elapsed: Duration) -> Sample {
        let slot = Slot(vcpu.guest.0);
        let now = Sums { counters: self.replay.counters(slot), marks: self.replay.phase_instructions(slot) };
        let before = std::mem::replace(&mut self.guests[slot.0 as usize].sums, now);
        let readings = sampling::readings(&before.counters, &now.counters);
        let (domain, truth) = (self.seating.domain(vcpu), sampling::truth(&before.marks, &now.marks));
        Sample { vcpu, domain, elapsed, readings, address_space: None, truth }
    }

    /// The runs that the guest has completed since it was last asked, by the instructions of its last sample.
    fn completed(&mut self, vcpu: VcpuId) -> Vec<GuestEvent> {
        let playing = &mut self.guests[vcpu.guest.0 as usize];
        let instructions = playing.sums.counters.instructions;
        let coming = &playing.guest.completions[playing.heard..];
        let now: Vec<&Completion> = coming.iter().take_while(|done| done.instructions <= instructions).collect();
        playing.heard += now.len();
        let event = |done: &Completion| {
            let (run, checksum) = (done.run, done.checksum.clone());
            GuestEvent::RunCompleted { guest: vcpu.guest, run, checksum }
        };
        now.into_iter().map(event).collect()
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let arrival = |(vcpu, playing): (VcpuId, &Playing)| Arrival {
            vcpu,
            name: playing.guest.name.clone(),
            domain: self.seating.domain(vcpu),
        };
        self.seating.ids().zip(&self.guests).map(arrival).collect()
    }

    fn explain(&self, error: ReplayError) -> HostError {
        match error {
            ReplayError::Exhausted { slot, instructions } => HostError {
                action: format!("replay guest \"{}\"", self.guests[slot.0 as usize].guest.name),
                reason: format!(
                    "its stream ends after {instructions} instructions; record a longer one (phasecast record MIX --stream \
                     --quanta N) or replay fewer quanta"
                ),
            },
            ReplayError::Refused { action, reason } => HostError { action, reason },
            ReplayError::Stream(error) => HostError { action: error.action, reason: error.reason },
        }
    }
}

impl Host for ReplayedHost {
    fn topology(&self) -> &Topology {
        self.seating.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.events
    }

    /// `quantum` is virtual time; it has to be a multiple of the machine's epoch.
    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        if self.failed {
            let action = "advance the replayed host".to_owned();
            return Err(HostError { action, reason: "it has stopped after an earlier failure".to_owned() });
        }
        let cycles = cycles_in("replayed", quantum, &self.machine)?;
        let observed = self.observe(quantum, cycles);
        // Some domains may have gone further than others.
        self.failed = observed.is_err();
        observed
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        let Answer { outcomes, changes } = self.seating.answer(moves)?;
        for (slot, cpu) in changes {
            self.replay.place(slot, cpu).map_err(|error| self.explain(error))?;
        }
        Ok(outcomes)
    }
}
