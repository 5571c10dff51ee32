//! The harness's side of the segment that guests and harness share: it places vCPUs, grants virtual time, waits until
//! it has passed, and reads counters. The guest's side, the turns within a domain, is [`crate::seat`].
//!
//! Virtual time passes in *epochs*. The LLC domains are independent of each other between two grants. Within a domain
//! the vCPUs that are placed there take turns in the order of their slots: one runs until its clock is at or past the
//! epoch's end, then the next; the last one closes the epoch. Those that share a CPU do so by time slices of whole
//! epochs. At the granted *horizon* the domain parks. A vCPU may
//! pass the end of an epoch by a few hundred cycles, by which it starts late in the next, so nothing is lost. Only
//! the vCPU that has the turn touches its domain's LLC and memory channel, so a run does not depend on how the host
//! schedules the processes.
//!
//! ```text
//!                grant(2 epochs)                                       parked: read, place, grant again
//! domain 0   slot 0 ====>|            |====>|            |                 .
//!            slot 2      |====>|            |     |====> |                 .
//! domain 1   slot 1 ====>|====>|                                           .   (its epochs are its own)
//! ```

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use rustix::thread::futex;

use crate::bandwidth::Channel;
use crate::counters::{AddressSpace, Counters};
use crate::layout::{ARRIVED, MAX_RESIDENTS, Mapping, NOWHERE, SlotState};
use crate::marks::PHASES;
use crate::spec::{Cpu, Domain, Machine};
use crate::turns::Turns;

/// A vCPU's place in the segment, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Why the segment could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to {action}: {reason}")]
pub struct SegmentError {
    /// Finishes "failed to ...".
    pub action: String,
    /// Why, and what to do about it.
    pub reason: String,
}

impl SegmentError {
    pub(crate) fn new(action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { action: action.into(), reason: reason.into() }
    }
}

/// What [`Segment::wait`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Every placed vCPU has arrived and is parked at the horizon.
    AllParked,
    /// The time is up and these have not arrived yet, or are in a domain that is still running.
    Pending(Vec<Slot>),
    /// This vCPU's plugin cannot go on; [`Segment::failure`] says why.
    Failed(Slot),
}

/// A segment created by this process.
pub struct Segment {
    machine: Machine,
    pub(crate) mapping: Mapping,
}

impl Segment {
    /// Room for `slots` vCPUs on `machine`, every cache empty, virtual time 0. `seed` chooses the page colours.
    pub fn create(machine: &Machine, slots: u32, seed: u64) -> Result<Self, SegmentError> {
        let mapping = Mapping::create(machine, slots, seed)?;
        for slot in 0..slots {
            mapping.slot(slot).cpu.store(NOWHERE, Relaxed);
        }
        let idle = Channel::new(machine).idle_latency_cycles();
        for domain in 0..mapping.domains() as u32 {
            mapping.domain(domain).latency_bits.store(idle.to_bits(), Relaxed);
        }
        for (domain, cpus) in machine.domains() {
            let state = mapping.domain(domain.0);
            state.first_cpu.store(cpus.first().map_or(0, |cpu| cpu.0), Relaxed);
            for hold in &state.holds {
                hold.slot.store(NOWHERE, Relaxed);
            }
        }
        Ok(Self { machine: machine.clone(), mapping })
    }

    /// The machine it was made for.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The descriptor to hand to a guest's process. It is closed on exec; the child must clear that flag on its copy.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.mapping.fd()
    }

    /// Virtual cycles granted so far.
    #[must_use]
    pub fn horizon_cycles(&self) -> u64 {
        self.mapping.header().horizon_cycles.load(Relaxed)
    }

    /// Puts a vCPU on a CPU; on another than before, its private caches go cold. Its memory is on the node of its first
    /// CPU, and stays there. Refused while time passes. Two vCPUs may always share a CPU for a moment, so that they can
    /// change places; [`Segment::grant`] refuses it unless the machine has time slices.
    pub fn place(&self, slot: Slot, cpu: Cpu) -> Result<(), SegmentError> {
        let refuse = |reason: String| SegmentError::new(format!("place slot {} on CPU {}", slot.0, cpu.0), reason);
        if slot.0 as usize >= self.mapping.slots() {
            return Err(refuse(format!("the segment has {} slots", self.mapping.slots())));
        }
        let domain = self.machine.domain_of(cpu).ok_or_else(|| refuse("the machine has no such CPU".into()))?;
        if !self.running().is_empty() {
            return Err(refuse("virtual time is passing; wait until all vCPUs are parked".into()));
        }
        let state = self.mapping.slot(slot.0);
        let node = self.machine.node_of(domain).ok_or_else(|| refuse("its domain is on no node".into()))?;
        let before = state.cpu.load(Relaxed);
        if before == NOWHERE {
            state.home.store(node.0, Relaxed);
        }
        if before != cpu.0 {
            state.domain.store(domain.0, Relaxed);
            state.generation.fetch_add(1, Relaxed);
            state.cpu.store(cpu.0, Release);
        }
        Ok(())
    }

    /// Lets `cycles` of virtual time pass in every domain; returns at once. `cycles` is a multiple of the epoch, every
    /// placed vCPU has arrived and is parked, and no two are on one CPU unless the machine has time slices.
    pub fn grant(&self, cycles: u64) -> Result<(), SegmentError> {
        let refuse = |reason: String| SegmentError::new(format!("grant {cycles} virtual cycles"), reason);
        let epoch = self.machine.epoch_cycles();
        if cycles == 0 || !cycles.is_multiple_of(epoch) {
            return Err(refuse(format!("the quantum must be a multiple of the machine's epoch of {epoch} cycles")));
        }
        if let Some(slot) = self.pending().first() {
            return Err(refuse(format!("slot {} has not arrived or is running; wait for it first", slot.0)));
        }
        self.check_sharing().map_err(refuse)?;
        let header = self.mapping.header();
        let start = header.horizon_cycles.fetch_add(cycles, Relaxed);
        let channel = Channel::new(&self.machine);
        let mut busy = Vec::new();
        for domain in 0..self.mapping.domains() as u32 {
            let residents = self.residents(domain);
            let state = self.mapping.domain(domain);
            for (cell, resident) in state.residents.iter().zip(&residents) {
                cell.store(resident.0, Relaxed);
            }
            state.resident_count.store(residents.len() as u32, Relaxed);
            if residents.is_empty() {
                // Nobody asks for memory: an empty domain's queue runs dry while the others' time passes.
                let latency = f64::from_bits(state.latency_bits.load(Relaxed));
                let latency = channel.calmed_latency_cycles(latency, cycles / epoch);
                state.latency_bits.store(latency.to_bits(), Relaxed);
            } else {
                state.running.store(1, Relaxed);
                busy.push(domain);
            }
        }
        for domain in busy {
            Turns::of(&self.mapping, &self.machine, &channel, domain).open(start);
        }
        Ok(())
    }

    /// Two vCPUs on one CPU take turns by time slices, if the machine has them.
    fn check_sharing(&self) -> Result<(), String> {
        for domain in 0..self.mapping.domains() as u32 {
            let residents = self.residents(domain).len();
            if residents > MAX_RESIDENTS {
                return Err(format!("{residents} vCPUs are in LLC domain {domain}, and it takes {MAX_RESIDENTS}"));
            }
        }
        if self.machine.timeslice_cycles().is_some() {
            return Ok(());
        }
        let mut taken = BTreeMap::new();
        for slot in self.placed() {
            if let Some(other) = taken.insert(self.slot(slot).cpu.load(Relaxed), slot) {
                return Err(format!(
                    "slots {} and {} are on the same CPU, and the machine has no core.timeslice_cycles",
                    other.0, slot.0
                ));
            }
        }
        Ok(())
    }

    /// Waits until every placed vCPU has arrived and is parked at the horizon, one has failed, or `timeout` is over.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Progress {
        let deadline = Instant::now() + timeout;
        let header = self.mapping.header();
        loop {
            let seen = header.doorbell.load(Acquire);
            if let Some(failed) = self.placed().into_iter().find(|&slot| self.failure(slot).is_some()) {
                return Progress::Failed(failed);
            }
            let pending = self.pending();
            if pending.is_empty() {
                return Progress::AllParked;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Progress::Pending(pending);
            }
            sleep_on(&header.doorbell, seen, left);
        }
    }

    /// Whether the vCPU has passed its begin mark.
    #[must_use]
    pub fn arrived(&self, slot: Slot) -> bool {
        self.slot(slot).status.load(Acquire) == ARRIVED
    }

    /// Whether it is this vCPU's turn: while virtual time passes, the one its domain waits for.
    #[must_use]
    pub fn has_turn(&self, slot: Slot) -> bool {
        self.slot(slot).turn.load(Acquire) == 1
    }

    /// The vCPU's counts up to the horizon; meaningful while parked.
    #[must_use]
    pub fn counters(&self, slot: Slot) -> Counters {
        self.slot(slot).counters(self.horizon_cycles())
    }

    /// The address space in which a vCPU was when it parked; `None` where its QEMU cannot tell.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn address_space(&self, slot: Slot) -> Option<AddressSpace> {
        self.slot(slot).address_space()
    }

    /// Instructions the vCPU began under each phase of its ground truth, running sums; the last is of those under none.
    #[must_use]
    pub fn mark_instructions(&self, slot: Slot) -> [u64; PHASES + 1] {
        self.slot(slot).marks()
    }

    /// The current latency of a domain's memory in cycles, queueing included; meaningful while parked.
    ///
    /// # Panics
    /// If the machine has no such domain.
    #[must_use]
    pub fn memory_latency_cycles(&self, domain: Domain) -> f64 {
        f64::from_bits(self.mapping.domain(domain.0).latency_bits.load(Relaxed))
    }

    /// Why the vCPU's plugin cannot go on, if it said so.
    #[must_use]
    pub fn failure(&self, slot: Slot) -> Option<String> {
        self.slot(slot).failure()
    }

    /// Ends the emulation: all waits return, and the guests run freely, uncounted. Before any request that needs a
    /// guest's vCPU to stop, since a parked vCPU does not answer.
    pub fn release(&self) {
        let header = self.mapping.header();
        header.released.store(1, Release);
        for slot in 0..self.mapping.slots() as u32 {
            let _ = futex::wake(&self.mapping.slot(slot).turn, futex::Flags::empty(), u32::MAX);
        }
        ring(&header.doorbell);
    }

    fn slot(&self, slot: Slot) -> &SlotState {
        self.mapping.slot(slot.0)
    }

    fn placed(&self) -> Vec<Slot> {
        (0..self.mapping.slots() as u32)
            .map(Slot)
            .filter(|&slot| self.slot(slot).cpu.load(Acquire) != NOWHERE)
            .collect()
    }

    fn residents(&self, domain: u32) -> Vec<Slot> {
        self.placed().into_iter().filter(|&slot| self.slot(slot).domain.load(Relaxed) == domain).collect()
    }

    fn running(&self) -> Vec<Domain> {
        // A domain's flag is dropped last when it parks: with it at 0 everything its guests wrote is visible.
        (0..self.mapping.domains() as u32)
            .map(Domain)
            .filter(|domain| self.mapping.domain(domain.0).running.load(Acquire) == 1)
            .collect()
    }

    fn pending(&self) -> Vec<Slot> {
        let running = self.running();
        let is_running = |slot| running.contains(&Domain(self.slot(slot).domain.load(Relaxed)));
        self.placed().into_iter().filter(|&slot| !self.arrived(slot) || is_running(slot)).collect()
    }
}

/// Hands the turn to a vCPU; everything written before is visible to it.
pub(crate) fn give_turn(slot: &SlotState) {
    slot.turn.store(1, Release);
    let _ = futex::wake(&slot.turn, futex::Flags::empty(), 1);
}

/// Tells the harness that something happened.
pub(crate) fn ring(doorbell: &std::sync::atomic::AtomicU32) {
    doorbell.fetch_add(1, Release);
    let _ = futex::wake(doorbell, futex::Flags::empty(), u32::MAX);
}

/// Sleeps until `word` is no longer `seen`, at most `limit`; may return early.
pub(crate) fn sleep_on(word: &std::sync::atomic::AtomicU32, seen: u32, limit: Duration) {
    let limit = futex::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    // Whatever ends the wait, the caller looks at the state again.
    let _ = futex::wait(word, futex::Flags::empty(), seen, Some(&limit));
}
