//! One vCPU's way through its guest's script: how far it is, how fast it goes, and what it counts on the way.
//!
//! Between two events (a phase ends, caches are warm again, the quantum ends) everything goes at one rate, so that time
//! passes in steps from event to event and nothing is approximated within a quantum.

use std::ops::Range;
use std::time::Duration;

use predictor::counters::{Event, PhaseMark, Reading, Readings, Sample, VcpuId};
use predictor::topology::{DomainId, NodeId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::script::{KindId, LINE_BYTES, PhaseKind, Stretch};

/// Fewer instructions than these are rounding: there are no parts of instructions.
const ROUNDING_INSTRUCTIONS: f64 = 0.5;

/// Which events a host claims to count, in the order of [`Event::ALL`].
pub(super) type Claims = [bool; Event::ALL.len()];

/// Where a vCPU is and how far it is in its script.
#[derive(Debug, Clone)]
pub(super) struct Vcpu {
    pub(super) id: VcpuId,
    /// Its guest, by its place in the script.
    pub(super) guest: usize,
    pub(super) domain: DomainId,
    /// Its CPU, by its place among all of the host's.
    pub(super) cpu: usize,
    /// The node that its memory is on: where it started.
    pub(super) home: NodeId,
    /// Cycles that the work it did would have taken alone on a core and an LLC domain of its own.
    pub(super) alone_cycles: f64,
    stretch: usize,
    left_instructions: f64,
    completed_runs: u64,
    cold_cycles: f64,
    past_kind: KindId,
    pace: Pace,
    noise: Noise,
    tally: Tally,
    rng: ChaCha8Rng,
}

/// How fast a vCPU goes for the time being.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The share of time that it has its CPU.
    pub(super) share: f64,
    /// By how much its neighbours in the LLC domain slow it down.
    pub(super) crowding: f64,
    /// By how much everything slows it down.
    pub(super) slowdown: f64,
}

/// A quantum's deviation from the script.
#[derive(Debug, Clone, Copy)]
struct Noise {
    cost: f64,
    rate: f64,
}

/// What is counted in a quantum.
#[derive(Debug, Clone, Default)]
struct Tally {
    first_run: u64,
    counts: [f64; Event::ALL.len()],
    marks: Vec<(Option<PhaseMark>, f64)>,
}

impl Vcpu {
    /// At the start of the script. Each vCPU has its own noise, the same whoever else is on the host.
    pub(super) fn new(
        seed: u64,
        id: VcpuId,
        stretches: &[Stretch],
        (domain, cpu, home): (DomainId, usize, NodeId),
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((u64::from(id.guest.0) << 32) | u64::from(id.index));
        Self {
            id,
            guest: id.guest.0 as usize,
            domain,
            cpu,
            home,
            alone_cycles: 0.0,
            stretch: 0,
            left_instructions: stretches[0].instructions as f64,
            completed_runs: 0,
            cold_cycles: 0.0,
            past_kind: stretches[0].kind,
            pace: Pace { share: 1.0, crowding: 1.0, slowdown: 1.0 },
            noise: Noise { cost: 1.0, rate: 1.0 },
            tally: Tally::default(),
            rng,
        }
    }

    /// The kind of phase it is in.
    pub(super) fn kind(&self, stretches: &[Stretch]) -> KindId {
        stretches[self.stretch].kind
    }

    /// The kind it was in when the last quantum began.
    pub(super) const fn past_kind(&self) -> KindId {
        self.past_kind
    }

    /// The kind it will be in after so many cycles of the clock if everything goes on at the present pace.
    pub(super) fn kind_after(&self, kinds: &[PhaseKind], stretches: &[Stretch], cycles: f64) -> KindId {
        let cycles_of = |kind: KindId, instructions: f64| {
            let kind = &kinds[kind.0];
            instructions * kind.cycles_per_instruction * self.pace.slowdown / (1.0 - kind.idle_share)
        };
        let mut kind = self.kind(stretches);
        let mut ahead = cycles * self.pace.share - self.cold_cycles - cycles_of(kind, self.left_instructions);
        let mut later = (self.stretch + 1..stretches.len()).chain(0..=self.stretch);
        while ahead >= 0.0
            && let Some(next) = later.next().map(|place| stretches[place])
        {
            kind = next.kind;
            ahead -= cycles_of(kind, next.instructions as f64);
        }
        kind
    }

    /// Loses so many cycles before it goes on.
    pub(super) fn grow_cold(&mut self, cycles: f64) {
        self.cold_cycles += cycles;
    }

    /// Goes at this pace from now on.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// A quantum begins, with a deviation of at most `most` from the script.
    pub(super) fn begin_quantum(&mut self, stretches: &[Stretch], most: f64) {
        self.past_kind = self.kind(stretches);
        if most > 0.0 {
            let mut deviate = || 1.0 + most * self.rng.gen_range(-1.0..=1.0);
            self.noise = Noise { cost: deviate(), rate: deviate() };
        }
        self.tally.first_run = self.completed_runs;
        self.tally.counts = [0.0; Event::ALL.len()];
        self.tally.marks.clear();
    }

    /// Busy cycles of each instruction now.
    fn busy_each(&self, kind: &PhaseKind) -> f64 {
        kind.cycles_per_instruction * self.pace.slowdown * self.noise.cost
    }

    /// Cycles of the clock until it does something else than now.
    pub(super) fn cycles_to_event(&self, kinds: &[PhaseKind], stretches: &[Stretch]) -> f64 {
        if self.cold_cycles > 0.0 {
            return self.cold_cycles / self.pace.share;
        }
        let kind = &kinds[self.kind(stretches).0];
        self.left_instructions * self.busy_each(kind) / ((1.0 - kind.idle_share) * self.pace.share)
    }

    /// Lets cycles of the clock pass, no more than to its next event. Whether it is in another kind of phase now.
    pub(super) fn pass(&mut self, cycles: f64, kinds: &[PhaseKind], stretches: &[Stretch]) -> bool {
        let own = cycles * self.pace.share;
        if self.cold_cycles > 0.0 {
            // What is left of less than a cycle is rounding.
            self.cold_cycles = if self.cold_cycles - own < 1.0 { 0.0 } else { self.cold_cycles - own };
            self.tally.counts[Event::Cycles as usize] += own;
            self.tally.counts[Event::StallCycles as usize] += own;
            return false;
        }
        let before = stretches[self.stretch];
        let kind = &kinds[before.kind.0];
        let busy_each = self.busy_each(kind);
        let work = own * (1.0 - kind.idle_share) / busy_each;
        self.tally.add(kind, work, (busy_each, self.pace.crowding, self.noise.rate));
        self.tally.mark(before.truth, work);
        self.alone_cycles += work * kind.cycles_per_instruction * self.noise.cost / (1.0 - kind.idle_share);
        self.left_instructions -= work;
        if self.left_instructions >= ROUNDING_INSTRUCTIONS {
            return false;
        }
        self.stretch += 1;
        if self.stretch == stretches.len() {
            self.stretch = 0;
            self.completed_runs += 1;
        }
        self.left_instructions = stretches[self.stretch].instructions as f64;
        stretches[self.stretch].kind != before.kind
    }

    /// Runs that ended in this quantum.
    pub(super) fn completed(&self) -> Range<u64> {
        self.tally.first_run..self.completed_runs
    }

    /// What was counted in this quantum of so many cycles.
    pub(super) fn sample(&self, elapsed: Duration, total_cycles: f64, claims: &Claims) -> Sample {
        let own_cycles = (total_cycles * self.pace.share).round();
        let counts = &self.tally.counts;
        // Busy and idle cycles add up to the vCPU's share of the quantum exactly.
        let busy = counts[Event::Cycles as usize].round().min(own_cycles);
        let readings = Readings::from_fn(|event| {
            let count = match event {
                Event::Cycles => busy,
                Event::IdleCycles => own_cycles - busy,
                Event::StallCycles => counts[event as usize].round().min(busy),
                _ => counts[event as usize].round(),
            };
            if claims[event as usize] { Reading::Exact(count as u64) } else { Reading::Absent }
        });
        Sample { vcpu: self.id, domain: self.domain, elapsed, readings, address_space: None, truth: self.tally.truth() }
    }
}

impl Tally {
    fn add(&mut self, kind: &PhaseKind, work: f64, (busy_each, crowding, rate_noise): (f64, f64, f64)) {
        let kilo = work * 1e-3 * rate_noise;
        let references = kilo * kind.llc_references;
        // A neighbour takes cache: what hits alone hits `crowding` times less often.
        let misses = references * (1.0 - (1.0 - kind.llc_miss_ratio) / crowding);
        let busy = work * busy_each;
        let core = kind.cycles_per_instruction * (1.0 - kind.stall_share);
        let mut add = |event: Event, count: f64| self.counts[event as usize] += count;
        add(Event::Instructions, work);
        add(Event::KernelInstructions, work * kind.kernel_share);
        add(Event::Cycles, busy);
        add(Event::StallCycles, work * (busy_each - core).max(0.0));
        add(Event::Loads, kilo * kind.loads);
        add(Event::Stores, kilo * kind.stores);
        add(Event::L1Misses, kilo * kind.l1_misses);
        add(Event::LlcReferences, references);
        add(Event::LlcMisses, misses);
        add(Event::WriteBacks, misses * kind.written_back_per_miss());
        add(Event::MemoryReadBytes, misses * LINE_BYTES);
    }

    fn mark(&mut self, mark: Option<PhaseMark>, work: f64) {
        match self.marks.iter_mut().find(|(known, _)| *known == mark) {
            Some((_, sum)) => *sum += work,
            None => self.marks.push((mark, work)),
        }
    }

    /// The mark with the most instructions, the lowest among equals; none if most work was unmarked or none was done.
    fn truth(&self) -> Option<PhaseMark> {
        let order = |one: &&(Option<PhaseMark>, f64), other: &&(Option<PhaseMark>, f64)| {
            one.1.total_cmp(&other.1).then(other.0.cmp(&one.0))
        };
        let most = self.marks.iter().max_by(order)?;
        if most.1 > 0.0 { most.0 } else { None }
    }
}
