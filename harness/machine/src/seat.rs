//! The guest's side of the shared segment: a vCPU's seat in it. It announces the vCPU, waits for the turn in its
//! domain, and passes it on. How turns make up virtual time is told in [`crate::segment`].

#![expect(unsafe_code, reason = "the LLC tags in the segment belong to whoever has the turn")]

use std::fs::File;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use crate::bandwidth::Channel;
use crate::counters::{AddressSpace, Counters};
use crate::idle::Halt;
use crate::layout::{ARRIVED, ATTACHED, EMPTY, Mapping};
use crate::marks::PHASES;
use crate::segment::{Segment, SegmentError, Slot, ring, sleep_on};
use crate::spec::{Domain, Machine, Node};
use crate::turns::Turns;

/// How often a waiting vCPU looks whether its harness is still there.
const HARNESS_CHECK: Duration = Duration::from_secs(1);

/// The right to run in one's domain until the epoch ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Where the epoch began, in virtual cycles.
    pub epoch_start_cycles: u64,
    /// Run until the vCPU's clock is here or past it.
    pub epoch_end_cycles: u64,
    /// What a load from memory takes in this epoch, queueing and the way to another node included.
    pub memory_latency_cycles: f64,
    /// Where the vCPU runs.
    pub domain: Domain,
    /// Raised whenever the vCPU was placed on another CPU, or another vCPU ran on this one: its private caches are cold.
    pub generation: u32,
}

/// What a vCPU hands over with its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnd {
    /// Its counts so far.
    pub counters: Counters,
    /// Instructions begun under each phase, running sums; the last of those under none.
    pub phase_instructions: [u64; PHASES + 1],
    /// Lines that it moved to and from memory in this turn.
    pub lines_moved: u64,
    /// That it has halted.
    pub halt: Option<Halt>,
}

/// One vCPU's seat. It has the turn from each [`Turn`] it is answered until the next call.
pub struct Seat {
    mapping: Mapping,
    machine: Machine,
    channel: Channel,
    slot: u32,
    domain: u32,
    harness: Option<i32>,
}

impl Seat {
    /// Takes a seat in the segment behind `file`, which this process was handed by its parent.
    pub fn attach(file: File, slot: Slot) -> Result<Self, SegmentError> {
        Self::take(file, slot, Some(parent()))
    }

    /// Takes a seat in a segment of this same process.
    pub fn beside(segment: &Segment, slot: Slot) -> Result<Self, SegmentError> {
        let file = segment.mapping.file().try_clone();
        let file = file.map_err(|error| SegmentError::new("attach to the shared segment", error.to_string()))?;
        Self::take(file, slot, None)
    }

    fn take(file: File, slot: Slot, harness: Option<i32>) -> Result<Self, SegmentError> {
        let (mapping, machine) = Mapping::attach(file)?;
        let refuse = |reason: &str| SegmentError::new(format!("take slot {} of the shared segment", slot.0), reason);
        if slot.0 as usize >= mapping.slots() {
            return Err(refuse("the segment has no such slot"));
        }
        let status = &mapping.slot(slot.0).status;
        if status.compare_exchange(EMPTY, ATTACHED, AcqRel, Relaxed).is_err() {
            return Err(refuse("another vCPU has it; give each guest its own slot"));
        }
        let channel = Channel::new(&machine);
        Ok(Self { mapping, machine, channel, slot: slot.0, domain: u32::MAX, harness })
    }

    /// The machine this vCPU runs on.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The seed of the page colours.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.mapping.header().seed.load(Relaxed)
    }

    /// This vCPU's slot.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot(self.slot)
    }

    /// Tells the harness that this vCPU cannot go on, and why.
    pub fn fail(&self, message: &str) {
        self.mapping.slot(self.slot).set_failure(message);
        ring(&self.mapping.header().doorbell);
    }

    /// Announces that the vCPU has passed its begin mark: from now on time may be granted.
    pub fn arrive(&self) {
        self.mapping.slot(self.slot).status.store(ARRIVED, Release);
        ring(&self.mapping.header().doorbell);
    }

    /// Arrives and waits for the first turn. `None` once all are released.
    pub fn join(&mut self) -> Option<Turn> {
        self.arrive();
        self.await_turn()
    }

    /// Ends the turn: publishes the counts, charges the lines moved to the domain's memory channel, hands the turn on and
    /// waits for the next, which after a halt is not before its end. `None` once all are released.
    pub fn pass(&mut self, end: &TurnEnd) -> Option<Turn> {
        let slot = self.mapping.slot(self.slot);
        slot.publish(end);
        self.mapping.domain(self.domain).lines_moved.fetch_add(end.lines_moved, Relaxed);
        slot.turn.store(0, Relaxed);
        Turns::of(&self.mapping, &self.machine, &self.channel, self.domain).hand_on(self.slot);
        self.await_turn()
    }

    /// Publishes the address space that the vCPU is in, with the turn that ends next.
    pub fn tell_address_space(&self, address_space: AddressSpace) {
        self.mapping.slot(self.slot).set_address_space(address_space);
    }

    /// The LLC tags of this vCPU's domain.
    pub fn llc(&mut self) -> &mut [u64] {
        // SAFETY: a `Seat` hands tags out only while its vCPU has the turn: before the first turn `domain` names no
        // domain and the call panics, and `pass` borrows the seat exclusively until the next turn has come. After a
        // release nobody takes turns any more, and the caller has been told to stop.
        unsafe { self.mapping.tags(self.domain) }
    }

    fn await_turn(&mut self) -> Option<Turn> {
        let slot = self.mapping.slot(self.slot);
        let header = self.mapping.header();
        while slot.turn.load(Acquire) == 0 {
            if header.released.load(Acquire) == 1 {
                return None;
            }
            sleep_on(&slot.turn, 0, HARNESS_CHECK);
            if self.harness.is_some_and(|harness| harness != parent()) {
                // The harness is gone and nobody will ever give a turn again. Nothing here is worth keeping, and an
                // orderly exit could wait for this very vCPU.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
        }
        if header.released.load(Acquire) == 1 {
            return None;
        }
        self.domain = slot.domain.load(Relaxed);
        let remote = self.machine.remote_latency_cycles(Node(slot.home.load(Relaxed)), Domain(self.domain));
        let domain = self.mapping.domain(self.domain);
        let end = domain.epoch_end_cycles.load(Relaxed);
        Some(Turn {
            epoch_start_cycles: end - self.machine.epoch_cycles(),
            epoch_end_cycles: end,
            memory_latency_cycles: f64::from_bits(domain.latency_bits.load(Relaxed)) + f64::from(remote),
            domain: Domain(self.domain),
            generation: slot.generation.load(Relaxed),
        })
    }
}

fn parent() -> i32 {
    rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get())
}
