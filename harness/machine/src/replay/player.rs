//! One vCPU whose recorded stream is played: it asks the LLC and memory as the vCPU did, and computes anew when. The
//! core's timing, the LLC and memory are the code that a running vCPU uses.

use std::sync::Arc;

use super::cold::Cold;
use crate::cache::{Direction, Line};
use crate::counters::Counters;
use crate::idle::Idleness;
use crate::marks::PHASES;
use crate::pipeline::{Pipeline, Service, TICKS_PER_CYCLE, ticks};
use crate::seat::Turn;
use crate::spec::{LINE_BYTES, Machine};
use crate::stream::{Ancestors, Cursor, Event, NAMES, Stream, StreamError, Sums, Touch, What};
use crate::uncore::{Indexing, Uncore, UncoreCounts};

/// How a player's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// At the epoch's end.
    OfEpoch,
    /// At the end of its stream, before.
    OfStream,
}

/// A vCPU that plays its stream.
#[derive(Debug)]
pub(super) struct Player {
    stream: Arc<Stream>,
    cursor: Cursor,
    /// The next event; `None` at the stream's end.
    upcoming: Option<Event>,
    position: u64,
    pipeline: Pipeline,
    uncore: Uncore,
    l2_ticks: u64,
    /// When the last timed events are there, by their number.
    complete_ticks: Vec<u64>,
    timed_events: usize,
    /// When the last timed event left the core.
    last_issue_ticks: u64,
    generation: Option<u32>,
    /// The private caches went cold since the last checkpoint.
    moved: bool,
    cold: Cold,
    idleness: Idleness,
    halted_epochs: u64,
    joined_ticks: u64,
    idle_ticks: u64,
    sums: Sums,
    sums_position: u64,
    phase: usize,
    phase_began: u64,
    phase_instructions: [u64; PHASES + 1],
}

impl Player {
    pub(super) fn new(machine: &Machine, slot: u32, seed: u64, stream: Arc<Stream>) -> Result<Self, StreamError> {
        let mut cursor = Cursor::new();
        let upcoming = cursor.next(&stream)?;
        let private_lines = machine.l1().lines() + machine.l2().map_or(0, |l2| l2.lines());
        Ok(Self {
            stream,
            cursor,
            upcoming,
            position: 0,
            pipeline: Pipeline::new(machine.core()),
            uncore: Uncore::new(machine, slot, seed, Indexing::Coloured),
            l2_ticks: machine.l2().map_or(0, |l2| ticks(l2.latency_cycles.into())),
            complete_ticks: vec![0; NAMES],
            timed_events: 0,
            last_issue_ticks: 0,
            generation: None,
            moved: false,
            cold: Cold::new(private_lines),
            idleness: Idleness::new(machine),
            halted_epochs: 0,
            joined_ticks: 0,
            idle_ticks: 0,
            sums: Sums::default(),
            sums_position: 0,
            phase: PHASES,
            phase_began: 0,
            phase_instructions: [0; PHASES + 1],
        })
    }

    /// Runs to the end of the epoch; `llc` are the tags of the domain's LLC.
    pub(super) fn turn(&mut self, turn: Turn, llc: &mut [u64]) -> Result<TurnEnd, StreamError> {
        self.enter(turn);
        let end_ticks = turn.epoch_end_cycles * TICKS_PER_CYCLE;
        if self.halted_epochs > 0 {
            self.halted_epochs -= 1;
            self.idle_until(end_ticks);
            return Ok(TurnEnd::OfEpoch);
        }
        loop {
            let next = self.upcoming.as_ref().map_or(self.stream.instructions(), |event| event.position);
            self.position = self.pipeline.run_to(self.position, next, end_ticks);
            if self.pipeline.clock(self.position) >= end_ticks {
                return Ok(TurnEnd::OfEpoch);
            }
            let Some(event) = self.upcoming else { return Ok(TurnEnd::OfStream) };
            self.upcoming = self.cursor.next(&self.stream)?;
            match event.what {
                What::Reference(direction, line) => self.reference(&event, direction, line, llc),
                What::Private(direction) => self.private(&event, direction),
                What::Touch(direction, line, touch) => self.touch(&event, direction, line, touch, llc),
                What::WrittenOut(line) => {
                    if !self.cold.is_active() || self.cold.has(line) {
                        self.uncore.written_out(line, llc);
                    }
                }
                What::Prefetch(line) => {
                    if self.cold.is_active() {
                        self.cold.fetch(line);
                    }
                    self.uncore.prefetch(line, self.last_issue_ticks, llc);
                }
                What::Halt => {
                    self.halted_epochs =
                        self.idleness.epochs_of_halt(self.position - self.sums.kernel_instructions) - 1;
                    self.idle_until(end_ticks);
                    return Ok(TurnEnd::OfEpoch);
                }
                What::Sums(_) | What::Checkpoint { .. } | What::Phase(_) | What::EndOfTruth => self.note(event.what),
            }
        }
    }

    fn enter(&mut self, turn: Turn) {
        self.uncore.begin_turn(turn.memory_latency_cycles);
        if self.generation.is_none() {
            self.joined_ticks = turn.epoch_start_cycles * TICKS_PER_CYCLE;
            self.pipeline.skip(self.joined_ticks);
        }
        self.moved |= self.generation.is_some_and(|generation| generation != turn.generation);
        self.generation = Some(turn.generation);
    }

    fn idle_until(&mut self, end_ticks: u64) {
        let idle = end_ticks.saturating_sub(self.pipeline.clock(self.position));
        self.idle_ticks += idle;
        self.pipeline.skip(idle);
    }

    #[inline]
    fn reference(&mut self, event: &Event, direction: Direction, line: Line, llc: &mut [u64]) {
        if self.cold.is_active() {
            self.cold.fetch(line);
        }
        let service = self.uncore.reference(line, llc);
        self.timed(event, direction, service);
    }

    #[inline]
    fn private(&mut self, event: &Event, direction: Direction) {
        self.timed(event, direction, Service::by_cache(self.l2_ticks));
    }

    fn touch(&mut self, event: &Event, direction: Direction, line: Line, touch: Touch, llc: &mut [u64]) {
        if touch.first && self.cold.is_active() && self.cold.fetch(line) {
            let service = self.uncore.reference(line, llc);
            self.timed(event, direction, service);
        } else if touch.prefetched {
            let arrives_ticks = self.uncore.arrival(line).unwrap_or_default();
            self.timed(event, direction, Service { arrives_ticks, ..Service::by_cache(self.l2_ticks) });
        } else if touch.timed {
            self.private(event, direction);
        } else {
            // Free, but what depends on it waits for what its own address waited for.
            let known = self.known(&event.ancestors);
            self.named(known);
            self.last_issue_ticks = known.max(self.pipeline.clock(event.position));
        }
    }

    #[inline]
    fn timed(&mut self, event: &Event, direction: Direction, service: Service) {
        let known = self.known(&event.ancestors);
        let flight = match direction {
            Direction::Read => self.pipeline.load_known(event.position, known, service),
            Direction::Write => self.pipeline.store_known(event.position, known, service),
        };
        if service.from_memory {
            self.uncore.overlap(flight);
        }
        self.named(flight.complete_ticks);
        self.last_issue_ticks = flight.issue_ticks;
    }

    /// Remembers when a timed event is there.
    #[inline]
    fn named(&mut self, complete_ticks: u64) {
        self.timed_events += 1;
        self.complete_ticks[self.timed_events % NAMES] = complete_ticks;
    }

    /// When an address is known that waits for these.
    #[inline]
    fn known(&self, ancestors: &[u16; Ancestors::MOST]) -> u64 {
        let mut known = 0;
        for &back in ancestors.iter().take_while(|&&back| back > 0) {
            let event = (self.timed_events + 1).wrapping_sub(usize::from(back));
            known = known.max(self.complete_ticks[event % NAMES]);
        }
        known
    }

    #[cold]
    fn note(&mut self, what: What) {
        match what {
            What::Sums(since) => {
                self.sums = self.sums.plus(since);
                self.sums_position = self.position;
            }
            What::Checkpoint { dirty_lines } if self.moved => {
                self.moved = false;
                self.uncore.written_to_memory(dirty_lines);
                self.uncore.forget_prefetches();
                self.cold.begin();
            }
            What::Phase(phase) => self.begin_phase(phase.into()),
            What::EndOfTruth => self.begin_phase(PHASES),
            _ => {}
        }
    }

    fn begin_phase(&mut self, phase: usize) {
        self.phase_instructions[self.phase] += self.position - self.phase_began;
        (self.phase, self.phase_began) = (phase, self.position);
    }

    /// Lines moved to and from memory since the last call.
    pub(super) fn take_lines_moved(&mut self) -> u64 {
        self.uncore.take_lines_moved()
    }

    /// What was counted so far.
    pub(super) fn counters(&self) -> Result<Counters, StreamError> {
        let clock = self.pipeline.clock(self.position);
        let UncoreCounts { llc_references, llc_misses, write_backs, .. } = self.uncore.counts();
        let sums = self.interpolated_sums()?;
        Ok(Counters {
            instructions: self.position,
            kernel_instructions: sums.kernel_instructions,
            cycles: (clock - self.joined_ticks - self.idle_ticks) / TICKS_PER_CYCLE,
            idle_cycles: self.idle_ticks / TICKS_PER_CYCLE,
            loads: sums.loads,
            stores: sums.stores,
            l1_misses: sums.l1_misses,
            llc_references,
            llc_misses,
            write_backs,
            memory_read_bytes: llc_misses * LINE_BYTES,
            stall_cycles: self.pipeline.stall_ticks() / TICKS_PER_CYCLE,
        })
    }

    /// The sums at the present position, on the straight line between those before and those after it.
    fn interpolated_sums(&self) -> Result<Sums, StreamError> {
        let mut cursor = self.cursor.clone();
        let mut next = self.upcoming;
        while let Some(event) = next {
            if let What::Sums(since) = event.what {
                let (done, all) = (self.position - self.sums_position, event.position - self.sums_position);
                return Ok(if all == 0 { self.sums } else { self.sums.plus(since.share(done, all)) });
            }
            next = cursor.next(&self.stream)?;
        }
        Ok(self.sums)
    }

    /// Instructions begun under each phase; the last of those under none.
    pub(super) fn phase_instructions(&self) -> [u64; PHASES + 1] {
        let mut all = self.phase_instructions;
        all[self.phase] += self.position - self.phase_began;
        all
    }

    /// How many instructions the stream covers.
    pub(super) fn stream_instructions(&self) -> u64 {
        self.stream.instructions()
    }

    /// As [`Uncore::memory_level_parallelism`].
    pub(super) fn memory_level_parallelism(&self) -> f64 {
        self.uncore.memory_level_parallelism()
    }
}
