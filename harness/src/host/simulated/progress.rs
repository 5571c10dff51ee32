//! One vCPU's way through its guest's script: how far it is, and what it counts on the way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use predictor::counters::{Event, PhaseMark, Reading, Readings, VcpuId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::script::{KindId, PhaseKind, Script, Stretch};

/// Bytes that a miss fetches from memory.
const LINE_BYTES: f64 = 64.0;

/// Cycles per instruction of a core that never waits; what a phase costs beyond it is stall.
const CORE_CYCLES_PER_INSTRUCTION: f64 = 0.5;

/// Where a vCPU stands in its script.
#[derive(Debug)]
pub(super) struct Progress {
    stretch: usize,
    instructions_done: u64,
    completed_runs: u64,
    cold_cycles: f64,
    rng: ChaCha8Rng,
}

/// What a vCPU did in one quantum.
pub(super) struct Played {
    pub(super) readings: Readings,
    pub(super) truth: Option<PhaseMark>,
    pub(super) completed_runs: Range<u64>,
}

/// Running sums over a quantum.
#[derive(Default)]
struct Counts {
    busy_cycles: f64,
    stall_cycles: f64,
    by_event: BTreeMap<Event, f64>,
    by_mark: BTreeMap<Option<PhaseMark>, u64>,
}

impl Progress {
    /// At the start of the script. Each vCPU has its own noise, the same whoever else is on the host.
    pub(super) fn new(seed: u64, vcpu: VcpuId) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((u64::from(vcpu.guest.0) << 32) | u64::from(vcpu.index));
        Self { stretch: 0, instructions_done: 0, completed_runs: 0, cold_cycles: 0.0, rng }
    }

    /// The kind of phase it is in.
    pub(super) fn kind(&self, stretches: &[Stretch]) -> KindId {
        stretches[self.stretch].kind
    }

    /// Loses `cycles` at the start of the next quantum.
    pub(super) fn grow_cold(&mut self, cycles: u64) {
        self.cold_cycles += cycles as f64;
    }

    /// Runs for `quantum`, every instruction taking `slowdown` times as long as alone.
    pub(super) fn play(&mut self, script: &Script, stretches: &[Stretch], slowdown: f64, quantum: Duration) -> Played {
        let total_cycles = (quantum.as_secs_f64() * script.frequency_hz as f64).round();
        let mut deviate = || 1.0 + script.noise * self.rng.gen_range(-1.0..=1.0);
        let (cost_noise, rate_noise) = (deviate(), deviate());
        let first_run = self.completed_runs;

        let mut counts = Counts::default();
        let cold = self.cold_cycles.min(total_cycles);
        self.cold_cycles -= cold;
        counts.busy_cycles += cold;
        counts.stall_cycles += cold;
        let mut left = total_cycles - cold;
        loop {
            let stretch = &stretches[self.stretch];
            let kind = &script.kinds[stretch.kind.0];
            let busy_each = kind.cycles_per_instruction * slowdown * cost_noise;
            let time_each = busy_each / (1.0 - kind.idle_share);
            let affordable = (left / time_each) as u64;
            let done = affordable.min(stretch.instructions - self.instructions_done);
            counts.add(kind, stretch.truth, done, busy_each, slowdown, rate_noise);
            left -= done as f64 * time_each;
            self.instructions_done += done;
            if self.instructions_done < stretch.instructions {
                break;
            }
            self.begin_next(stretches.len());
        }
        counts.busy_cycles += left.max(0.0);
        Played {
            readings: counts.readings(script, total_cycles),
            truth: counts.truth(),
            completed_runs: first_run..self.completed_runs,
        }
    }

    fn begin_next(&mut self, stretches: usize) {
        self.instructions_done = 0;
        self.stretch += 1;
        if self.stretch == stretches {
            self.stretch = 0;
            self.completed_runs += 1;
        }
    }
}

impl Counts {
    fn add(
        &mut self,
        kind: &PhaseKind,
        truth: Option<PhaseMark>,
        instructions: u64,
        busy_each: f64,
        slowdown: f64,
        rate_noise: f64,
    ) {
        let work = instructions as f64;
        let per_kilo = |rate: f64| work / 1000.0 * rate * rate_noise;
        let references = per_kilo(kind.llc_references);
        // A neighbour takes cache: what hits alone hits `slowdown` times less often.
        let misses = references * (1.0 - (1.0 - kind.llc_miss_ratio) / slowdown);
        let written = kind.stores / (kind.loads + kind.stores).max(f64::MIN_POSITIVE);
        let additions = [
            (Event::Instructions, work),
            (Event::KernelInstructions, work * kind.kernel_share),
            (Event::Loads, per_kilo(kind.loads)),
            (Event::Stores, per_kilo(kind.stores)),
            (Event::L1Misses, per_kilo(kind.l1_misses)),
            (Event::LlcReferences, references),
            (Event::LlcMisses, misses),
            (Event::WriteBacks, misses * written),
            (Event::MemoryReadBytes, misses * LINE_BYTES),
        ];
        for (event, count) in additions {
            *self.by_event.entry(event).or_default() += count;
        }
        self.busy_cycles += work * busy_each;
        self.stall_cycles += work * (busy_each - CORE_CYCLES_PER_INSTRUCTION).max(0.0);
        *self.by_mark.entry(truth).or_default() += instructions;
    }

    fn readings(&self, script: &Script, total_cycles: f64) -> Readings {
        // Busy and idle cycles add up to the quantum exactly.
        let busy = self.busy_cycles.round().min(total_cycles);
        let cycles = [
            (Event::Cycles, busy),
            (Event::IdleCycles, total_cycles - busy),
            (Event::StallCycles, self.stall_cycles.round().min(busy)),
        ];
        let counted = self.by_event.iter().map(|(event, count)| (*event, *count)).chain(cycles);
        let claimed = counted.filter(|(event, _)| script.events.contains(event));
        Readings::new(claimed.map(|(event, count)| (event, Reading::Exact(count.round() as u64))))
    }

    /// The mark with the most instructions, the lowest among equals; none if most work was unmarked or none was done.
    fn truth(&self) -> Option<PhaseMark> {
        let most =
            self.by_mark.iter().max_by_key(|(mark, instructions)| (**instructions, std::cmp::Reverse(**mark)))?;
        if *most.1 > 0 { *most.0 } else { None }
    }
}
