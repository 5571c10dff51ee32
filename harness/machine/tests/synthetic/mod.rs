//! Guests without QEMU: programs of a few blocks that are fed to vCPUs, run and recorded or replayed by the same plan.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine::cache::Direction;
use machine::counters::Counters;
use machine::marks::{Mark, PHASES};
use machine::pipeline::{Dependences, Outputs};
use machine::replay::{ReplayError, ReplayedMachine};
use machine::seat::Seat;
use machine::segment::{Progress, Segment, Slot};
use machine::spec::{Cpu, Machine};
use machine::stream::{Header, Recorder, Stream};
use machine::uncore::Indexing;
use machine::vcpu::{AccessSite, Block, Vcpu};

pub(crate) const QUANTUM: u64 = 2_000_000;

/// One access of a block.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) direction: Direction,
    pub(crate) site: AccessSite,
    /// Where, in which step.
    pub(crate) address: fn(u64) -> u64,
}

/// A block that is repeated so many times.
#[derive(Clone)]
pub(crate) struct Kernel {
    pub(crate) instructions: u32,
    pub(crate) accesses: Vec<Access>,
    pub(crate) outputs: Vec<(u8, Dependences)>,
    pub(crate) steps: u64,
    /// Whether the guest halts when it is done with these steps.
    pub(crate) halts: bool,
}

/// What a guest repeats for ever.
pub(crate) type Guest = Vec<Kernel>;

pub(crate) const NOTHING: Dependences = Dependences { registers: 0, loads: 0 };
pub(crate) const RAX: Dependences = Dependences::register(0);
const LOADED: Dependences = Dependences { registers: 0, loads: 1 };

/// A number that looks random.
pub(crate) fn scramble(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn load(instruction: u32, slot: u8, needs: Dependences, address: fn(u64) -> u64) -> Access {
    let site = AccessSite { instruction, load_slot: Some(slot), address: needs };
    Access { direction: Direction::Read, site, address }
}

fn store(instruction: u32, needs: Dependences, address: fn(u64) -> u64) -> Access {
    let site = AccessSite { instruction, load_slot: None, address: needs };
    Access { direction: Direction::Write, site, address }
}

fn kernel(instructions: u32, accesses: Vec<Access>, outputs: Vec<(u8, Dependences)>) -> Kernel {
    Kernel { instructions, accesses, outputs, steps: 1 << 20, halts: false }
}

/// rax <- [rax] over 3/4 of the LLC.
pub(crate) fn chase() -> Guest {
    vec![kernel(4, vec![load(0, 0, RAX, |step| step * 40_503 % 12_288 * 64)], vec![(0, RAX.and(LOADED))])]
}

/// rax <- [rax] over half of the L2: no reference once it is warm.
pub(crate) fn private_chase() -> Guest {
    vec![kernel(4, vec![load(0, 0, RAX, |step| step * 709 % 1024 * 64)], vec![(0, RAX.and(LOADED))])]
}

/// Independent loads of twice the LLC, each address from a table that is read in order.
pub(crate) fn gather() -> Guest {
    let second = load(3, 1, LOADED, |step| (1 << 30) + scramble(step) % 32_768 * 64);
    vec![kernel(9, vec![load(0, 0, NOTHING, |step| step * 4 % (1 << 22)), second], vec![(0, LOADED)])]
}

/// a[i] = b[i] over 8 MiB each, 8 bytes at a time.
pub(crate) fn stream() -> Guest {
    let from = load(0, 0, NOTHING, |step| step * 8 % (1 << 24));
    let to = store(2, NOTHING, |step| (1 << 28) + step * 8 % (1 << 24));
    vec![kernel(5, vec![from, to], vec![(0, LOADED)])]
}

/// Much arithmetic, a table in the L1 and one that nearly fits in the L2.
pub(crate) fn compute() -> Guest {
    let near = load(5, 0, NOTHING, |step| step * 24 % (1 << 14));
    let far = load(20, 1, NOTHING, |step| (1 << 26) + scramble(step) % 1_500 * 64);
    vec![kernel(60, vec![near, far], vec![(0, LOADED)])]
}

/// All of these in turn, and a halt.
pub(crate) fn changing() -> Guest {
    let mut all = Vec::new();
    for guest in [chase(), gather(), compute(), private_chase(), stream()] {
        all.extend(guest.into_iter().map(|kernel| Kernel { steps: 40_000, ..kernel }));
    }
    all[2].halts = true;
    all
}

/// A guest with its blocks where vCPUs want them.
struct Program {
    guest: Guest,
    blocks: Vec<&'static Block>,
}

impl Program {
    fn new(guest: Guest) -> Self {
        let block = |kernel: &Kernel| -> &'static Block {
            let outputs = Outputs::new(kernel.outputs.clone());
            Box::leak(Box::new(Block { instructions: kernel.instructions, kernel_instructions: 0, outputs }))
        };
        let blocks = guest.iter().map(block).collect();
        Self { guest, blocks }
    }
}

/// Runs until released.
fn run(mut seat: Seat, program: &Program, recorded: Option<&Path>) {
    let turn = seat.join().expect("a first turn");
    let mut vcpu = Vcpu::new(seat.machine(), seat.slot().0, seat.seed(), Indexing::Coloured, turn);
    if let Some(path) = recorded {
        let mut file = std::fs::File::create(path).expect("a file");
        let header = Header {
            program: vec!["synthetic".into()],
            image: "none".into(),
            machine: seat.machine().name().into(),
            private: seat.machine().private_digest(),
        };
        header.write(&mut file).expect("written");
        vcpu.record(Recorder::new(file, seat.machine()));
    }
    let mut kernel = 0;
    loop {
        let Kernel { accesses, steps, halts, .. } = &program.guest[kernel];
        for step in 0..*steps {
            if vcpu.finish_block() && vcpu.event() && !pass(&mut vcpu, &mut seat) {
                return;
            }
            vcpu.start_block(program.blocks[kernel]);
            if step == 0 {
                vcpu.mark(Mark::Phase(kernel as u8), 0);
            }
            for Access { direction, site, address } in accesses {
                serve(&mut vcpu, *direction, site, address(step), &mut seat);
            }
        }
        if *halts {
            vcpu.halt();
            if !pass(&mut vcpu, &mut seat) {
                return;
            }
        }
        kernel = (kernel + 1) % program.guest.len();
    }
}

fn serve(vcpu: &mut Vcpu, direction: Direction, site: &AccessSite, at: u64, seat: &mut Seat) {
    let served = match direction {
        Direction::Read => vcpu.read_hits::<56>(at),
        Direction::Write => vcpu.write_hits::<56>(at),
    };
    if !served && !vcpu.hits_first_level(at, direction) {
        vcpu.access(at, direction, site, || 8, Some, seat.llc());
    }
}

fn pass(vcpu: &mut Vcpu, seat: &mut Seat) -> bool {
    let turn = seat.pass(&vcpu.end_turn());
    match turn {
        Some(turn) => vcpu.enter(turn, seat.llc()),
        None => vcpu.finish_recording().unwrap_or(Ok(())).expect("a sound recording"),
    }
    turn.is_some()
}

/// Where each guest is in each quantum.
pub(crate) type Plan = Vec<Vec<u32>>;

/// Each on a CPU of its own, `quanta` quanta long.
pub(crate) fn stay(cpus: &[u32], quanta: usize) -> Plan {
    vec![cpus.to_vec(); quanta]
}

/// What each guest has counted after each quantum, and its instructions by phase at the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) counters: Vec<Vec<Counters>>,
    pub(crate) phases: Vec<[u64; PHASES + 1]>,
}

impl Outcome {
    pub(crate) fn last(&self, guest: usize) -> Counters {
        self.counters[self.counters.len() - 1][guest]
    }
}

/// Runs guests; records the first if a path is given.
pub(crate) fn emulate(machine: &Machine, guests: &[Guest], plan: &Plan, recorded: Option<&Path>) -> Outcome {
    let segment = Segment::create(machine, guests.len() as u32, 1).expect("memory");
    let slots: Vec<Slot> = (0..guests.len() as u32).map(Slot).collect();
    let place = |cpus: &[u32]| {
        for (slot, cpu) in slots.iter().zip(cpus) {
            segment.place(*slot, Cpu(*cpu)).expect("a CPU");
        }
    };
    place(&plan[0]);
    std::thread::scope(|scope| {
        for (slot, guest) in slots.iter().zip(guests) {
            let seat = Seat::beside(&segment, *slot).expect("a free slot");
            let program = Program::new(guest.clone());
            let recorded = if slot.0 == 0 { recorded } else { None };
            scope.spawn(move || run(seat, &program, recorded));
        }
        let parked = || assert_eq!(segment.wait(Duration::from_secs(60)), Progress::AllParked);
        parked();
        let mut counters = Vec::new();
        for cpus in plan {
            place(cpus);
            segment.grant(QUANTUM).expect("parked");
            parked();
            counters.push(slots.iter().map(|slot| segment.counters(*slot)).collect());
        }
        let phases = slots.iter().map(|slot| segment.mark_instructions(*slot)).collect();
        segment.release();
        Outcome { counters, phases }
    })
}

/// Replays streams.
pub(crate) fn replay(machine: &Machine, streams: &[Arc<Stream>], plan: &Plan) -> Result<Outcome, ReplayError> {
    let mut replayed = ReplayedMachine::new(machine, streams.to_vec(), 1)?;
    let slots: Vec<Slot> = (0..streams.len() as u32).map(Slot).collect();
    let mut counters = Vec::new();
    for cpus in plan {
        for (slot, cpu) in slots.iter().zip(cpus) {
            replayed.place(*slot, Cpu(*cpu))?;
        }
        replayed.advance(QUANTUM)?;
        counters.push(slots.iter().map(|slot| replayed.counters(*slot)).collect());
    }
    Ok(Outcome { counters, phases: slots.iter().map(|slot| replayed.phase_instructions(*slot)).collect() })
}

/// A guest's stream, recorded alone. Its file has no name any more.
pub(crate) fn record(machine: &Machine, guest: &Guest, quanta: usize) -> Arc<Stream> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guest.stream");
    emulate(machine, std::slice::from_ref(guest), &stay(&[0], quanta), Some(&path));
    Arc::new(Stream::open(&path).expect("a complete stream"))
}
