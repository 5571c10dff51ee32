//! A small world for tests: guests that run scripts of work on a host of two LLC domains with two CPUs each, slowed by
//! each other as the contention model says. Counters come from the script, not from the model under test.

use std::time::Duration;

use crate::contention::{Calibration, Contention, Demand, Pressure};
use crate::counters::{Event, GuestId, PhaseMark, Reading, Readings, Sample, VcpuId};
use crate::features::Keep;
use crate::model::{Machine, Model};
use crate::placement::Placement;
use crate::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use crate::train::{Series, TrainSettings, train};

pub(crate) const QUANTUM_CYCLES: f64 = 10_000_000.0;

/// Slices of a quantum between which the world looks again at who is doing what.
const SLICES: u32 = 20;

pub(crate) const TRUTH: Contention = Contention::additive(6.0, Some(4.0));

pub(crate) const MACHINE: Machine = Machine {
    quantum_nanoseconds: 5_000_000,
    llc_bytes: Some(1 << 20),
    memory_bytes_per_cycle: Some(4.0),
    miss_per_hit_time: Some(6.0),
};

/// A kind of work: what a quantum of it counts, per kilo-instruction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A pointer chase that just fits the LLC alone.
    Chase,
    /// A stream through memory.
    Stream,
    /// Arithmetic in registers.
    Compute,
}

impl Kind {
    /// Its pressure, its loads and its first-level misses per kilo-instruction.
    fn nature(self) -> (Pressure, f64, f64) {
        let pressure = |references, misses, cycles_per_instruction, stall_share| Pressure {
            llc_references_per_kilo_instruction: references,
            llc_misses_per_kilo_instruction: misses,
            memory_bytes_per_kilo_instruction: misses * 64.0,
            cycles_per_instruction,
            stall_share,
            profile: None,
        };
        match self {
            Kind::Chase => (pressure(150.0, 0.5, 7.0, 0.9), 300.0, 180.0),
            Kind::Stream => (pressure(60.0, 60.0, 1.2, 0.5), 400.0, 65.0),
            Kind::Compute => (pressure(0.01, 0.01, 0.5, 0.02), 150.0, 2.0),
        }
    }

    fn demand(self) -> Demand {
        TRUTH.demand(&self.nature().0, &Calibration::default())
    }

    /// Millions of instructions that one quantum alone retires.
    pub(crate) fn quanta(self, quanta: f64) -> (Kind, f64) {
        (self, quanta * QUANTUM_CYCLES / self.nature().0.cycles_per_instruction)
    }
}

/// A guest that repeats a script of (kind of work, instructions).
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    script: Vec<(Kind, f64)>,
    part: usize,
    left: f64,
}

impl Guest {
    pub(crate) fn new(script: &[(Kind, f64)]) -> Self {
        Self { script: script.to_vec(), part: 0, left: script[0].1 }
    }

    fn kind(&self) -> Kind {
        self.script[self.part].0
    }

    fn retire(&mut self, instructions: f64) {
        self.left -= instructions;
        while self.left <= 0.0 {
            self.part = (self.part + 1) % self.script.len();
            self.left += self.script[self.part].1;
        }
    }
}

/// What one vCPU counted so far in a quantum.
#[derive(Debug, Clone, Copy, Default)]
struct Counts([f64; Event::ALL.len()]);

impl Counts {
    fn add(&mut self, event: Event, count: f64) {
        self.0[event as usize] += count;
    }

    /// `cycles` of `kind`, slowed; gives the instructions retired.
    fn run(&mut self, kind: Kind, cycles: f64, slowdown: f64) -> f64 {
        let (pressure, loads, l1_misses) = kind.nature();
        let instructions = cycles / (pressure.cycles_per_instruction * slowdown);
        let kilo = instructions / 1000.0;
        let lost_hits = if slowdown > 1.01 { 0.5 } else { 0.0 };
        let hits = pressure.llc_references_per_kilo_instruction - pressure.llc_misses_per_kilo_instruction;
        self.add(Event::Instructions, instructions);
        self.add(Event::KernelInstructions, instructions * 0.002);
        self.add(Event::Cycles, cycles);
        self.add(Event::IdleCycles, 0.0);
        self.add(Event::Loads, loads * kilo);
        self.add(Event::Stores, 80.0 * kilo);
        self.add(Event::L1Misses, l1_misses * kilo);
        self.add(Event::LlcReferences, pressure.llc_references_per_kilo_instruction * kilo);
        self.add(Event::LlcMisses, (pressure.llc_misses_per_kilo_instruction + lost_hits * hits) * kilo);
        self.add(Event::WriteBacks, 0.0);
        self.add(Event::MemoryReadBytes, pressure.memory_bytes_per_kilo_instruction * kilo);
        self.add(Event::StallCycles, cycles * (1.0 - (1.0 - pressure.stall_share) / slowdown));
        instructions
    }

    fn sample(self, vcpu: VcpuId, domain: DomainId, truth: Kind) -> Sample {
        let reading = |event: Event| (event, Reading::Exact(self.0[event as usize].round() as u64));
        Sample {
            vcpu,
            domain,
            elapsed: Duration::from_nanos(MACHINE.quantum_nanoseconds),
            readings: Readings::new(Event::ALL.map(reading)),
            address_space: None,
            truth: Some(PhaseMark(truth as u32)),
        }
    }
}

pub(crate) fn vcpu(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

pub(crate) fn two_by_two() -> Topology {
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(0),
        cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)],
        llc_bytes: MACHINE.llc_bytes,
    };
    Topology::new(vec![domain(0), domain(1)]).expect("sound")
}

/// Guests at work, and where.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) guests: Vec<Guest>,
    pub(crate) placement: Placement,
    /// Quanta of work that each guest would have done alone in the time that passed.
    pub(crate) progress: Vec<f64>,
}

impl World {
    /// Guests 0, 1, ... dealt to domains two by two.
    pub(crate) fn new(guests: &[Guest]) -> Self {
        let homes = (0u32..).zip(guests).map(|(guest, _)| (vcpu(guest), DomainId(guest / 2)));
        Self { guests: guests.to_vec(), placement: Placement(homes.collect()), progress: vec![0.0; guests.len()] }
    }

    /// Lets one quantum pass.
    pub(crate) fn advance(&mut self) -> Vec<Sample> {
        let mut counts = vec![Counts::default(); self.guests.len()];
        let truth: Vec<Kind> = self.guests.iter().map(Guest::kind).collect();
        for _ in 0..SLICES {
            let demands: Vec<Demand> = self.guests.iter().map(|guest| guest.kind().demand()).collect();
            for (place, guest) in self.guests.iter_mut().enumerate() {
                let own = vcpu(u32::try_from(place).expect("few"));
                let home = self.placement.0[&own];
                let beside = self.placement.members(home).filter(|other| *other != own);
                let neighbours: Vec<Demand> = beside.map(|other| demands[other.guest.0 as usize]).collect();
                let slowdown = TRUTH.slowdown(&demands[place], &neighbours).0;
                let cycles = QUANTUM_CYCLES / f64::from(SLICES);
                guest.retire(counts[place].run(guest.kind(), cycles, slowdown));
                self.progress[place] += 1.0 / (slowdown * f64::from(SLICES));
            }
        }
        let sample = |(place, counts): (usize, Counts)| {
            let own = vcpu(u32::try_from(place).expect("few"));
            counts.sample(own, self.placement.0[&own], truth[place])
        };
        counts.into_iter().enumerate().map(sample).collect()
    }
}

/// Each guest's run alone.
pub(crate) fn solo(guests: &[Guest], quanta: usize) -> Vec<Series> {
    let series = |(number, guest): (usize, &Guest)| {
        let mut world = World::new(std::slice::from_ref(guest));
        Series { name: format!("guest-{number}"), samples: (0..quanta).flat_map(|_| world.advance()).collect() }
    };
    guests.iter().enumerate().map(series).collect()
}

/// Four guests of which two press at any time, never the same two for long: no fixed placement suits.
pub(crate) fn changing_partners() -> Vec<Guest> {
    partners_changing_every(20.0)
}

/// The same, with parts of so many quanta.
pub(crate) fn partners_changing_every(quanta: f64) -> Vec<Guest> {
    let (once, twice) = (quanta, 2.0 * quanta);
    let scripts = [
        vec![Kind::Chase.quanta(twice), Kind::Compute.quanta(once)],
        vec![Kind::Chase.quanta(once), Kind::Compute.quanta(once), Kind::Chase.quanta(once)],
        vec![Kind::Compute.quanta(once), Kind::Chase.quanta(twice)],
        vec![Kind::Compute.quanta(3.0 * quanta)],
    ];
    scripts.iter().map(|script| Guest::new(script)).collect()
}

pub(crate) fn trained(guests: &[Guest]) -> Model {
    train(&solo(guests, 200), &MACHINE, &TrainSettings::default()).expect("enough samples")
}

/// The same, with phases told apart by principal components.
pub(crate) fn trained_by_components(guests: &[Guest], keep: Keep) -> Model {
    let settings = TrainSettings { components: Some(keep), ..TrainSettings::default() };
    train(&solo(guests, 200), &MACHINE, &settings).expect("enough samples")
}
