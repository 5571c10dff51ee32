//! One vCPU of the emulated machine: private caches, the way to memory, the core's clock, and what is counted. It is
//! fed blocks and accesses, by the plugin or from a recorded stream, and says when its turn is over.
//!
//! The way of an access: L1, then the L2 if there is one, then the LLC of the domain, then memory; each level on the
//! way is filled. Levels do not include each other. A dirty line that is dropped goes one level down and takes a place
//! there; dropped from the LLC it is written to memory. A level's latency is from issue to use, in full. Where there is
//! a prefetcher it hears of every miss of the L1, and what it asks for goes the same way from the L2 on.
//!
//! ```text
//! finish_block -> (now and then) event -> over? leave, hand on the turn, enter the next
//! start_block;  each access:  read_hits / write_hits (the usual case), else access
//! ```

mod access;

use crate::cache::{Direction, FirstLevel, Line, PrivateCache};
use crate::counters::Counters;
use crate::idle::Away;
use crate::marks::{Mark, PHASES};
use crate::pipeline::{Dependences, Outputs, Pipeline, TICKS_PER_CYCLE, ticks};
use crate::prefetch::Streamer;
use crate::seat::{Turn, TurnEnd};
use crate::spec::{Domain, LINE_BYTES, Machine};
use crate::stream::{Recorder, StreamError, Sums};
use crate::uncore::{Indexing, Uncore, UncoreCounts};

/// The last place in a line at which any access ends in the same line: QEMU makes none wider than 8 bytes.
const WIDEST_SAFE: u64 = LINE_BYTES - 8;

/// What is known of a block of instructions before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// Its length.
    pub instructions: u32,
    /// How many of them are the kernel's: all or none.
    pub kernel_instructions: u32,
    /// What the registers it changes wait for at its end.
    pub outputs: Outputs,
}

/// What is known of an instruction's access to memory before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessSite {
    /// The instruction's position in its block.
    pub instruction: u32,
    /// The slot by which later instructions wait for what it loads.
    pub load_slot: Option<u8>,
    /// What its address waits for.
    pub address: Dependences,
}

static NO_BLOCK: Block = Block { instructions: 0, kernel_instructions: 0, outputs: Outputs::NONE };

/// A vCPU and its state.
pub struct Vcpu {
    /// Instructions of all blocks before the current one.
    position: u64,
    next_event: u64,
    block: &'static Block,
    loads: u64,
    stores: u64,
    l1: FirstLevel,
    kernel_instructions: u64,
    l2: Option<PrivateCache>,
    l2_ticks: u64,
    streamer: Option<Streamer>,
    uncore: Uncore,
    pipeline: Pipeline,
    epoch_end_ticks: u64,
    away: Away,
    domain: Domain,
    generation: u32,
    l1_misses: u64,
    phase: usize,
    phase_began: u64,
    phase_instructions: [u64; PHASES + 1],
    recorder: Option<Box<Recorder>>,
}

impl Vcpu {
    /// A vCPU with cold caches that starts with this turn.
    #[must_use]
    pub fn new(machine: &Machine, slot: u32, seed: u64, indexing: Indexing, turn: Turn) -> Self {
        let joined_ticks = turn.epoch_start_cycles * TICKS_PER_CYCLE;
        let mut vcpu = Self {
            position: 0,
            next_event: 0,
            block: &NO_BLOCK,
            loads: 0,
            stores: 0,
            l1: FirstLevel::new(machine.l1()),
            kernel_instructions: 0,
            l2: machine.l2().map(PrivateCache::new),
            l2_ticks: machine.l2().map_or(0, |l2| ticks(l2.latency_cycles.into())),
            streamer: machine.prefetcher().map(Streamer::new),
            uncore: Uncore::new(machine, slot, seed, indexing),
            pipeline: Pipeline::new(machine.core()),
            epoch_end_ticks: 0,
            away: Away::new(machine, joined_ticks),
            domain: turn.domain,
            generation: turn.generation,
            l1_misses: 0,
            phase: PHASES,
            phase_began: 0,
            phase_instructions: [0; PHASES + 1],
            recorder: None,
        };
        vcpu.pipeline.skip(joined_ticks);
        vcpu.begin(turn);
        vcpu
    }

    /// Begins a turn. Since the last one ended the vCPU was halted, or waited for others on its CPU, or neither. `llc` are
    /// the tags of the LLC where it runs now.
    pub fn enter(&mut self, turn: Turn, llc: &mut [u64]) {
        let skipped = self.away.until(turn.epoch_start_cycles * TICKS_PER_CYCLE, self.epoch_end_ticks);
        if skipped > 0 {
            self.pipeline.skip(skipped);
        }
        if turn.generation != self.generation {
            self.generation = turn.generation;
            if let Some(recorder) = &mut self.recorder {
                recorder
                    .fail("the vCPU did not have its CPU for itself all the time, and a stream is of one that does");
            }
            self.go_cold(turn.domain == self.domain, llc);
        }
        self.begin(turn);
    }

    fn begin(&mut self, turn: Turn) {
        self.domain = turn.domain;
        self.uncore.begin_turn(turn.memory_latency_cycles);
        self.epoch_end_ticks = turn.epoch_end_cycles * TICKS_PER_CYCLE;
        self.next_event = self.pipeline.next_event(self.epoch_end_ticks);
    }

    /// Empties the private caches. What was dirty in them goes to the LLC if that is still the same, else to memory, at
    /// the new domain's expense: the old one is no longer this vCPU's to touch.
    fn go_cold(&mut self, in_same_domain: bool, llc: &mut [u64]) {
        let dirty = self.dirty_private_lines();
        self.l1.flush(|_| {});
        if let Some(l2) = &mut self.l2 {
            l2.clear();
        }
        if in_same_domain {
            for line in dirty {
                self.uncore.written_out(line, llc);
            }
        } else {
            self.uncore.written_to_memory(dirty.len() as u64);
        }
        if let Some(streamer) = &mut self.streamer {
            streamer.clear();
        }
        self.uncore.forget_prefetches();
    }

    /// Lines that would have to be written out if the private caches were emptied, ascending. One that is dirty in both is
    /// written once.
    fn dirty_private_lines(&self) -> Vec<Line> {
        let mut dirty = Vec::new();
        self.l1.each_dirty(|line| dirty.push(line));
        if let Some(l2) = &self.l2 {
            l2.each_dirty(|line| dirty.push(line));
        }
        dirty.sort_unstable();
        dirty.dedup();
        dirty
    }

    /// Records from here on; to be called before the first block.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(Box::new(recorder));
        self.next_event = 0;
    }

    /// Why what is recorded cannot be used, if so.
    #[must_use]
    pub fn recording_error(&self) -> Option<&StreamError> {
        self.recorder.as_ref().and_then(|recorder| recorder.error())
    }

    /// Ends the recording, between two turns. Without it the stream is refused by its reader. `None` if nothing is
    /// recorded.
    pub fn finish_recording(&mut self) -> Option<Result<(), StreamError>> {
        let recorder = self.recorder.take()?;
        Some(recorder.finish(self.position, self.sums()))
    }

    /// The current block is over. `true` if [`Vcpu::event`] must be asked before the next begins.
    #[inline(always)]
    #[must_use]
    pub fn finish_block(&mut self) -> bool {
        self.position += u64::from(self.block.instructions);
        self.kernel_instructions += u64::from(self.block.kernel_instructions);
        self.position >= self.next_event
    }

    /// Brings the clock up to date between two blocks. `true` if the turn is over.
    #[inline]
    pub fn event(&mut self) -> bool {
        self.pipeline.end_block(self.position, &self.block.outputs);
        self.next_event = self.pipeline.next_event(self.epoch_end_ticks);
        if self.recorder.is_some() {
            self.keep_recording();
        }
        self.pipeline.clock(self.position) >= self.epoch_end_ticks
    }

    #[cold]
    fn keep_recording(&mut self) {
        let sums = self.sums();
        let Some(mut recorder) = self.recorder.take() else { return };
        recorder.end_of_block(self.position, &self.block.outputs);
        if recorder.wants_sums(self.position) {
            recorder.sums(self.position, sums);
        }
        if recorder.wants_checkpoint(self.position) {
            recorder.checkpoint(self.position, self.dirty_private_lines().len() as u64);
            self.l1.age();
        }
        self.next_event = self.next_event.min(recorder.next_event());
        self.recorder = Some(recorder);
    }

    fn sums(&self) -> Sums {
        Sums {
            kernel_instructions: self.kernel_instructions,
            loads: self.loads,
            stores: self.stores,
            l1_misses: self.l1_misses,
        }
    }

    /// Begins a block.
    #[inline(always)]
    pub fn start_block(&mut self, block: &'static Block) {
        self.block = block;
    }

    /// Counts a load; `true` if it is served by the L1 in the usual way and nothing more is to be done. `LAST_SAFE` is
    /// the last place in a line at which an access of its width ends in the same line.
    #[inline(always)]
    #[must_use]
    pub fn read_hits<const LAST_SAFE: u64>(&mut self, address: u64) -> bool {
        self.loads += 1;
        self.l1.is_most_recent(Line::of(address)) && address % LINE_BYTES <= LAST_SAFE
    }

    /// Counts a store; otherwise as [`Vcpu::read_hits`].
    #[inline(always)]
    #[must_use]
    pub fn write_hits<const LAST_SAFE: u64>(&mut self, address: u64) -> bool {
        self.stores += 1;
        self.l1.dirtied_most_recent(Line::of(address)) && address % LINE_BYTES <= LAST_SAFE
    }

    /// Whether an access that [`Vcpu::read_hits`] or [`Vcpu::write_hits`] did not serve hits the L1 all the same, in
    /// one line. If not, [`Vcpu::access`] has to serve it.
    #[inline]
    pub fn hits_first_level(&mut self, address: u64, direction: Direction) -> bool {
        address % LINE_BYTES <= WIDEST_SAFE && self.l1.hit(Line::of(address), direction)
    }

    /// The current block, which ends here, halts the vCPU: its clock goes to the end of the epoch, and the turn is over.
    /// The halt may last for more epochs.
    pub fn halt(&mut self) {
        // Blocks are entered before their end is known, so this one's instructions are counted here.
        let _ = self.finish_block();
        self.block = &NO_BLOCK;
        self.pipeline.end_block(self.position, &Outputs::NONE);
        let sums = self.sums();
        if let Some(recorder) = &mut self.recorder {
            recorder.halt(self.position, sums);
        }
        let user_instructions = self.position - self.kernel_instructions;
        let clock = self.pipeline.clock(self.position);
        let idle = self.away.begin_halt(user_instructions, clock, self.epoch_end_ticks);
        self.pipeline.skip(idle);
    }

    /// What there is to hand over with the turn that ends now.
    pub fn end_turn(&mut self) -> TurnEnd {
        TurnEnd {
            counters: self.counters(),
            phase_instructions: self.phase_instructions(),
            lines_moved: self.uncore.take_lines_moved(),
            halt: self.away.halt(),
        }
    }

    /// The current block's instruction at `instruction` is a mark; what follows belongs to its phase.
    pub fn mark(&mut self, mark: Mark, instruction: u32) {
        let here = self.position + u64::from(instruction.min(self.block.instructions));
        self.phase_instructions[self.phase] += here - self.phase_began;
        self.phase_began = here;
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(here, mark);
        }
        match mark {
            Mark::Phase(phase) => self.phase = usize::from(phase),
            Mark::EndOfTruth => self.phase = PHASES,
            Mark::Begin => {}
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let clock = self.pipeline.clock(self.position);
        let UncoreCounts { llc_references, llc_misses, write_backs, .. } = self.uncore.counts();
        Counters {
            instructions: self.position,
            kernel_instructions: self.kernel_instructions,
            cycles: (clock - self.away.ticks()) / TICKS_PER_CYCLE,
            idle_cycles: self.away.idle_ticks() / TICKS_PER_CYCLE,
            loads: self.loads,
            stores: self.stores,
            l1_misses: self.l1_misses,
            llc_references,
            llc_misses,
            write_backs,
            memory_read_bytes: llc_misses * LINE_BYTES,
            stall_cycles: self.pipeline.stall_ticks() / TICKS_PER_CYCLE,
        }
    }

    /// Instructions begun under each phase; the last of those under none.
    #[must_use]
    pub fn phase_instructions(&self) -> [u64; PHASES + 1] {
        let mut all = self.phase_instructions;
        all[self.phase] += self.position.saturating_sub(self.phase_began);
        all
    }

    /// As [`Uncore::memory_level_parallelism`].
    #[must_use]
    pub fn memory_level_parallelism(&self) -> f64 {
        self.uncore.memory_level_parallelism()
    }
}
