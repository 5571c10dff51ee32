//! Synthetic streams of instructions in the place of guests: programs, the threads that run them against a segment, and
//! what was counted.

use std::thread::JoinHandle;
use std::time::Duration;

use machine::cache::Direction;
use machine::counters::Counters;
use machine::pipeline::{Dependences, Outputs};
use machine::seat::Seat;
use machine::segment::{Progress, Segment, Slot};
use machine::spec::{Cpu, Domain, Machine};
use machine::uncore::Indexing;
use machine::vcpu::{AccessSite, Block, Vcpu};

pub(crate) const QUANTUM: u64 = 10_000_000;

/// A program that repeats one block.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) instructions_per_block: u32,
    /// The lines it walks over, one a block.
    pub(crate) lines: u64,
    /// How far it goes from one block to the next, in lines; odd, so that it comes to all of `lines`, a power of two.
    pub(crate) stride: u64,
    /// Every so many blocks a store instead of a load; 0 for never.
    pub(crate) store_every: u64,
    /// Whether each load's address comes from the load before.
    pub(crate) chases: bool,
    /// Whether it is the idle loop of a kernel, and halts after every block.
    pub(crate) idles: bool,
}

pub(crate) const STREAM: Program =
    Program { instructions_per_block: 16, lines: 1 << 17, stride: 1, store_every: 3, chases: false, idles: false };
/// In its L2, with stores.
pub(crate) const RESIDENT: Program =
    Program { instructions_per_block: 8, lines: 1 << 10, stride: 1, store_every: 2, chases: false, idles: false };
pub(crate) const IDLE: Program = Program { idles: true, ..RESIDENT };
pub(crate) const LIGHT: Program =
    Program { instructions_per_block: 20_000, lines: 1 << 17, stride: 1, store_every: 0, chases: false, idles: false };
pub(crate) const CHASE: Program =
    Program { instructions_per_block: 4, lines: 1 << 17, stride: 40_503, store_every: 0, chases: true, idles: false };

fn run(segment: &Segment, slot: u32, program: Program) -> JoinHandle<f64> {
    let mut seat = Seat::beside(segment, Slot(slot)).expect("free slot");
    std::thread::spawn(move || {
        let turn = seat.join().expect("a first turn");
        let mut vcpu = Vcpu::new(seat.machine(), slot, seat.seed(), Indexing::Coloured, turn);
        let rax = Dependences::register(0);
        let block: &'static Block = Box::leak(Box::new(Block {
            instructions: program.instructions_per_block,
            kernel_instructions: if program.idles { program.instructions_per_block } else { 0 },
            outputs: Outputs::new(vec![(0, Dependences { registers: 1, loads: 1 })]),
        }));
        let address = if program.chases { rax } else { Dependences::default() };
        let site = AccessSite { instruction: 0, load_slot: Some(0), address };
        for step in 0u64.. {
            if vcpu.finish_block() && vcpu.event() {
                match seat.pass(&vcpu.end_turn()) {
                    Some(turn) => vcpu.enter(turn, seat.llc()),
                    None => break,
                }
            }
            vcpu.start_block(block);
            let at = step.wrapping_mul(program.stride) % program.lines * 64;
            let (direction, served) = if program.store_every > 0 && step % program.store_every == 0 {
                (Direction::Write, vcpu.write_hits::<56>(at))
            } else {
                (Direction::Read, vcpu.read_hits::<56>(at))
            };
            if !served && !vcpu.hits_first_level(at, direction) {
                vcpu.access(at, direction, &site, || 8, Some, seat.llc());
            }
            if program.idles {
                vcpu.halt();
                match seat.pass(&vcpu.end_turn()) {
                    Some(turn) => vcpu.enter(turn, seat.llc()),
                    None => break,
                }
            }
        }
        vcpu.memory_level_parallelism()
    })
}

pub(crate) struct Outcome {
    /// Counts of each vCPU over each quantum.
    pub(crate) quanta: Vec<Vec<Counters>>,
    pub(crate) latency_cycles: f64,
    pub(crate) parallelism: Vec<f64>,
}

/// A machine with programs on it, parked between two quanta.
pub(crate) struct Bed {
    segment: Segment,
    threads: Vec<JoinHandle<f64>>,
    before: Vec<Counters>,
}

impl Bed {
    /// Starts each program in a slot of its own, on the CPU beside it.
    pub(crate) fn start(machine: &str, programs: &[(Program, u32)]) -> Self {
        let machine = Machine::from_toml(machine).expect("sound");
        let segment = Segment::create(&machine, programs.len() as u32, 1).expect("memory");
        let start = |(slot, (program, cpu)): (u32, &(Program, u32))| {
            segment.place(Slot(slot), Cpu(*cpu)).expect("such a CPU");
            run(&segment, slot, *program)
        };
        let threads = (0..).zip(programs).map(start).collect();
        let bed = Self { segment, threads, before: vec![Counters::default(); programs.len()] };
        bed.wait();
        bed
    }

    /// Moves a program.
    pub(crate) fn place(&self, slot: u32, cpu: u32) {
        self.segment.place(Slot(slot), Cpu(cpu)).expect("parked");
    }

    /// Lets a quantum pass; answers what each program did in it.
    pub(crate) fn quantum(&mut self) -> Vec<Counters> {
        self.pass(QUANTUM)
    }

    /// Lets so many cycles pass; answers what each program did in them.
    pub(crate) fn pass(&mut self, cycles: u64) -> Vec<Counters> {
        self.segment.grant(cycles).expect("parked");
        self.wait();
        let now: Vec<Counters> = (0..self.threads.len() as u32).map(|slot| self.segment.counters(Slot(slot))).collect();
        let counted = now.iter().zip(&self.before).map(|(now, before)| difference(*now, *before)).collect();
        self.before = now;
        counted
    }

    /// The latency of a domain's memory at present.
    pub(crate) fn latency_cycles(&self, domain: u32) -> f64 {
        self.segment.memory_latency_cycles(Domain(domain))
    }

    /// Ends the programs; answers how many misses each had under way.
    pub(crate) fn finish(self) -> Vec<f64> {
        self.segment.release();
        self.threads.into_iter().map(|thread| thread.join().expect("a released vCPU ends")).collect()
    }

    fn wait(&self) {
        assert_eq!(self.segment.wait(Duration::from_secs(60)), Progress::AllParked);
    }
}

/// Runs programs together for this many quanta, each on a CPU of its own from CPU 0 on.
pub(crate) fn together(machine: &str, programs: &[Program], quanta: usize) -> Outcome {
    let placed: Vec<(Program, u32)> = programs.iter().copied().zip(0..).collect();
    let mut bed = Bed::start(machine, &placed);
    let quanta = (0..quanta).map(|_| bed.quantum()).collect();
    Outcome { quanta, latency_cycles: bed.latency_cycles(0), parallelism: bed.finish() }
}

fn difference(now: Counters, before: Counters) -> Counters {
    let (now, before) = (now.to_array(), before.to_array());
    Counters::from_array(std::array::from_fn(|at| now[at] - before[at]))
}

/// The text of the machine of the tests.
pub(crate) fn small() -> String {
    Machine::preset("small-2x2").expect("preset").text().to_owned()
}
