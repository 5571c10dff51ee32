//! Claims about vCPUs that share a domain's memory, with synthetic streams of instructions in the place of guests.

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

const QUANTUM: u64 = 10_000_000;

/// A program that repeats one block.
#[derive(Clone, Copy)]
struct Program {
    instructions_per_block: u32,
    /// The lines it walks over, one a block.
    lines: u64,
    /// How far it goes from one block to the next, in lines; odd, so that it comes to all of `lines`, a power of two.
    stride: u64,
    /// Every so many blocks a store instead of a load; 0 for never.
    store_every: u64,
    /// Whether each load's address comes from the load before.
    chases: bool,
}

const STREAM: Program =
    Program { instructions_per_block: 16, lines: 1 << 17, stride: 1, store_every: 3, chases: false };
const LIGHT: Program =
    Program { instructions_per_block: 20_000, lines: 1 << 17, stride: 1, store_every: 0, chases: false };
const CHASE: Program =
    Program { instructions_per_block: 4, lines: 1 << 17, stride: 40_503, store_every: 0, chases: true };

fn run(segment: &Segment, slot: u32, program: Program) -> JoinHandle<f64> {
    let mut seat = Seat::beside(segment, Slot(slot)).expect("free slot");
    std::thread::spawn(move || {
        let turn = seat.join().expect("a first turn");
        let mut vcpu = Vcpu::new(seat.machine(), slot, seat.seed(), Indexing::Coloured, turn);
        let rax = Dependences::register(0);
        let block: &'static Block = Box::leak(Box::new(Block {
            instructions: program.instructions_per_block,
            kernel_instructions: 0,
            outputs: Outputs::new(vec![(0, Dependences { registers: 1, loads: 1 })]),
        }));
        let address = if program.chases { rax } else { Dependences::default() };
        let site = AccessSite { instruction: 0, load_slot: Some(0), address };
        for step in 0u64.. {
            if vcpu.finish_block() && vcpu.event() {
                let lines = vcpu.take_lines_moved();
                match seat.pass(vcpu.counters(), &vcpu.phase_instructions(), lines) {
                    Some(turn) => vcpu.enter(turn),
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
        }
        vcpu.memory_level_parallelism()
    })
}

struct Outcome {
    /// Counts of each vCPU over each quantum.
    quanta: Vec<Vec<Counters>>,
    latency_cycles: f64,
    parallelism: Vec<f64>,
}

/// Runs programs together in domain 0 for this many quanta.
fn together(machine: &str, programs: &[Program], quanta: usize) -> Outcome {
    let machine = Machine::from_toml(machine).expect("sound");
    let segment = Segment::create(&machine, 4, 1).expect("memory");
    let slots: Vec<Slot> = (0..programs.len() as u32).map(Slot).collect();
    let mut threads = Vec::new();
    for (slot, program) in slots.iter().zip(programs) {
        segment.place(*slot, Cpu(slot.0)).expect("free");
        threads.push(run(&segment, slot.0, *program));
    }
    let parked = || assert_eq!(segment.wait(Duration::from_secs(60)), Progress::AllParked);
    let mut before: Vec<Counters> = vec![Counters::default(); slots.len()];
    let mut outcome = Outcome { quanta: Vec::new(), latency_cycles: 0.0, parallelism: Vec::new() };
    parked();
    for _ in 0..quanta {
        segment.grant(QUANTUM).expect("parked");
        parked();
        let now: Vec<Counters> = slots.iter().map(|slot| segment.counters(*slot)).collect();
        outcome.quanta.push(now.iter().zip(&before).map(|(now, before)| difference(*now, *before)).collect());
        before = now;
    }
    outcome.latency_cycles = segment.memory_latency_cycles(Domain(0));
    segment.release();
    outcome.parallelism = threads.into_iter().map(|thread| thread.join().expect("a released vCPU ends")).collect();
    outcome
}

fn difference(now: Counters, before: Counters) -> Counters {
    let (now, before) = (now.to_array(), before.to_array());
    Counters::from_array(std::array::from_fn(|at| now[at] - before[at]))
}

fn small() -> String {
    Machine::preset("small-2x2").expect("preset").text().to_owned()
}

fn bytes_moved(counts: &Counters) -> u64 {
    counts.memory_read_bytes + 64 * counts.write_backs
}

#[test]
fn two_streams_never_move_more_than_the_channel_carries() {
    let outcome = together(&small(), &[STREAM, STREAM], 3);
    for (quantum, counts) in outcome.quanta.iter().enumerate() {
        let share = counts.iter().map(bytes_moved).sum::<u64>() as f64 / (4.0 * QUANTUM as f64);
        assert!((0.9..=1.02).contains(&share), "quantum {quantum}: {share:.3} of the bandwidth");
    }
    let [first, second] = outcome.quanta[2][..] else { panic!("two guests") };
    let ratio = first.instructions as f64 / second.instructions as f64;
    assert!((ratio - 1.0).abs() < 0.01, "equal programs get equal shares: {ratio}");
}

#[test]
fn a_lone_light_user_sees_the_idle_latency() {
    let outcome = together(&small(), &[LIGHT], 2);
    assert!((200.0..201.0).contains(&outcome.latency_cycles), "{}", outcome.latency_cycles);
}

#[test]
fn a_chase_waits_longer_beside_a_stream_and_still_has_one_miss_under_way() {
    let cycles_per_instruction = |counts: &Counters| counts.cycles as f64 / counts.instructions as f64;
    let alone = together(&small(), &[CHASE], 2);
    let beside = together(&small(), &[CHASE, STREAM], 2);
    let slowdown = cycles_per_instruction(&beside.quanta[1][0]) / cycles_per_instruction(&alone.quanta[1][0]);
    assert!(slowdown > 1.1, "{slowdown:.2}");
    assert!((1.0..=1.2).contains(&alone.parallelism[0]), "{:?}", alone.parallelism);
    assert!((1.0..=1.2).contains(&beside.parallelism[0]), "{:?}", beside.parallelism);
    assert!(beside.parallelism[1] >= 4.0, "{:?}", beside.parallelism);
}

#[test]
fn halving_the_epoch_changes_no_program_by_one_percent() {
    let programs = [CHASE, STREAM];
    let whole = together(&small(), &programs, 2);
    let half = together(&small().replace("epoch_cycles = 20_000", "epoch_cycles = 10_000"), &programs, 2);
    for (whole, half) in whole.quanta.concat().iter().zip(&half.quanta.concat()) {
        let change = half.instructions as f64 / whole.instructions as f64 - 1.0;
        assert!(change.abs() < 0.01, "{change:+.4}");
    }
}

#[test]
fn the_same_run_twice_is_the_same_to_the_last_count() {
    let programs = [CHASE, STREAM];
    assert_eq!(together(&small(), &programs, 2).quanta, together(&small(), &programs, 2).quanta);
}

#[test]
fn samples_are_aligned_to_the_quantum() {
    for counts in together(&small(), &[CHASE, STREAM], 3).quanta.concat() {
        let off = (counts.cycles + counts.idle_cycles) as f64 / QUANTUM as f64 - 1.0;
        assert!(off.abs() < 0.001, "{off:+.5}");
    }
}
