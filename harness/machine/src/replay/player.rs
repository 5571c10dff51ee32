//! One vCPU whose recorded stream is played: it asks the LLC and memory as the vCPU did, and computes anew when. The
//! core's timing, the LLC and memory are the code that a running vCPU uses.

use std::sync::Arc;

use super::cold::Cold;
use crate::cache::{Direction, Line};
use crate::counters::Counters;
use crate::idle::{Away, Halt};
use crate::marks::PHASES;
use crate::pipeline::{Pipeline, Service, TICKS_PER_CYCLE, ticks};
use crate::prefetch::Streamer;
use crate::seat::Turn;
use crate::spec::{LINE_BYTES, Machine};
use crate::stream::{Cursor, Event, Kind, NAMES, Stream, StreamError, Sums, Touch};
use crate::uncore::{Indexing, Uncore, UncoreCounts};

/// How a player's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// At the epoch's end.
    OfEpoch,
    /// At the end of its stream, before.
    OfStream,
}

/// What a vCPU left when its private caches went cold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// Its CPU, for another in the same LLC domain or to others by time slices.
    Cpu,
    /// Its LLC domain.
    Domain,
}

/// A vCPU that plays its stream.
#[derive(Debug, Clone)]
pub(super) struct Player {
    stream: Arc<Stream>,
    cursor: Cursor,
    /// The next event.
    upcoming: Event,
    position: u64,
    pipeline: Pipeline,
    uncore: Uncore,
    l2_ticks: u64,
    /// When the last timed events are there, by their number.
    complete_ticks: Vec<u64>,
    timed_events: usize,
    /// When the last timed event left the core.
    last_issue_ticks: u64,
    /// Where its last turn was, and with which generation; `None` before the first.
    last_turn: Option<Turn>,
    /// How the private caches went cold since the last checkpoint, if they did.
    leaving: Option<Leaving>,
    cold: Cold,
    /// Watches while they are cold.
    streamer: Option<Streamer>,
    away: Away,
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
            last_turn: None,
            leaving: None,
            cold: Cold::new(private_lines),
            streamer: machine.prefetcher().map(Streamer::new),
            away: Away::new(machine, 0),
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
        let mut event = self.upcoming;
        loop {
            if let Some(position) = self.pipeline.run_to(self.position, event.position, end_ticks) {
                (self.position, self.upcoming) = (position, event);
                return Ok(TurnEnd::OfEpoch);
            }
            self.position = event.position;
            match event.kind {
                Kind::Load => self.reference(&event, Direction::Read, llc),
                Kind::Store => self.reference(&event, Direction::Write, llc),
                Kind::PrivateLoad => self.private(&event, Direction::Read),
                Kind::PrivateStore => self.private(&event, Direction::Write),
                Kind::Touch => self.touch(&event, llc),
                Kind::WrittenOut => {
                    if !self.cold.is_active() || self.cold.has(event.line()) {
                        self.uncore.written_out(event.line(), llc);
                    }
                }
                Kind::Prefetch => {
                    if !self.cold.is_active() || self.cold.fetch(event.line()) {
                        self.uncore.prefetch(event.line(), self.last_issue_ticks, llc);
                    }
                }
                Kind::End => return Ok(TurnEnd::OfStream),
                _ => self.note(event.kind, event.number),
            }
            let halts = event.kind == Kind::Halt;
            event = self.cursor.next(&self.stream)?;
            if halts {
                self.upcoming = event;
                let user_instructions = self.position - self.sums.kernel_instructions;
                let clock = self.pipeline.clock(self.position);
                let idle = self.away.begin_halt(user_instructions, clock, end_ticks);
                self.pipeline.skip(idle);
                return Ok(TurnEnd::OfEpoch);
            }
        }
    }

    fn enter(&mut self, turn: Turn) {
        self.uncore.begin_turn(turn.memory_latency_cycles);
        let start_ticks = turn.epoch_start_cycles * TICKS_PER_CYCLE;
        match self.last_turn.replace(turn) {
            None => {
                self.away.join(start_ticks);
                self.pipeline.skip(start_ticks);
            }
            Some(last) => {
                let skipped = self.away.until(start_ticks, last.epoch_end_cycles * TICKS_PER_CYCLE);
                if skipped > 0 {
                    self.pipeline.skip(skipped);
                }
                if last.generation != turn.generation {
                    let far = last.domain != turn.domain || self.leaving == Some(Leaving::Domain);
                    self.leaving = Some(if far { Leaving::Domain } else { Leaving::Cpu });
                }
            }
        }
    }

    /// The halt that has begun and is not over.
    pub(super) fn halt(&self) -> Option<Halt> {
        self.away.halt()
    }

    #[inline(always)]
    fn reference(&mut self, event: &Event, direction: Direction, llc: &mut [u64]) {
        if self.cold.is_active() {
            self.cold.fetch(event.line());
        }
        let service = self.uncore.reference(event.line(), llc);
        self.timed(event, direction, service);
        if self.cold.is_active() {
            self.fetch_ahead(event.line(), llc);
        }
    }

    #[inline(always)]
    fn private(&mut self, event: &Event, direction: Direction) {
        self.timed(event, direction, Service::by_cache(self.l2_ticks));
    }

    fn touch(&mut self, event: &Event, llc: &mut [u64]) {
        let direction = if event.touch.is(Touch::STORES) { Direction::Write } else { Direction::Read };
        let line = event.line();
        let is_cold = self.cold.is_active();
        if event.touch.is(Touch::FIRST) && is_cold && self.cold.fetch(line) {
            let service = self.uncore.reference(line, llc);
            self.timed(event, direction, service);
            self.fetch_ahead(line, llc);
            return;
        }
        let may_arrive = is_cold || event.touch.is(Touch::PREFETCHED);
        let arrives_ticks = if may_arrive { self.uncore.arrival(line) } else { None };
        if arrives_ticks.is_some() || event.touch.is(Touch::TIMED) {
            let arrives_ticks = arrives_ticks.unwrap_or_default();
            self.timed(event, direction, Service { arrives_ticks, ..Service::by_cache(self.l2_ticks) });
        } else {
            // Free, but what depends on it waits for what its own address waited for.
            let known = self.known(event.ancestors);
            self.named(known);
            self.last_issue_ticks = known.max(self.pipeline.clock(event.position));
        }
        if is_cold {
            self.fetch_ahead(line, llc);
        }
    }

    /// The prefetcher of caches that went cold fetches what the stream knows to be there.
    fn fetch_ahead(&mut self, line: Line, llc: &mut [u64]) {
        let Some(streamer) = &mut self.streamer else { return };
        for ahead in streamer.observe(line) {
            if self.cold.fetch(ahead) {
                self.uncore.prefetch(ahead, self.last_issue_ticks, llc);
            }
        }
    }

    #[inline(always)]
    fn timed(&mut self, event: &Event, direction: Direction, service: Service) {
        let known = self.known(event.ancestors);
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
    #[inline(always)]
    fn named(&mut self, complete_ticks: u64) {
        self.timed_events += 1;
        self.complete_ticks[self.timed_events % NAMES] = complete_ticks;
    }

    /// When an address is known that waits for these.
    #[inline(always)]
    fn known(&self, mut ancestors: u64) -> u64 {
        let mut known = 0;
        while ancestors > 0 {
            let event = (self.timed_events + 1).wrapping_sub((ancestors & 0xffff) as usize);
            known = known.max(self.complete_ticks[event % NAMES]);
            ancestors >>= 16;
        }
        known
    }

    #[cold]
    fn note(&mut self, kind: Kind, number: u64) {
        match kind {
            Kind::Sums => {
                // The cursor has read this event and none after it.
                self.sums = self.sums.plus(self.cursor.sums());
                self.sums_position = self.position;
            }
            Kind::Checkpoint => {
                if let Some(leaving) = self.leaving.take() {
                    // Of what stays in the domain the LLC has a copy, which takes no way to memory.
                    self.uncore.written_to_memory(if leaving == Leaving::Domain { number } else { 0 });
                    self.uncore.forget_prefetches();
                    self.cold.begin();
                    if let Some(streamer) = &mut self.streamer {
                        streamer.clear();
                    }
                }
            }
            Kind::Phase => self.begin_phase(number as usize),
            Kind::EndOfTruth => self.begin_phase(PHASES),
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

    /// What was counted up to `now_cycles`, no earlier than the end of the last turn.
    pub(super) fn counters(&self, now_cycles: u64) -> Result<Counters, StreamError> {
        let clock = self.pipeline.clock(self.position);
        let UncoreCounts { llc_references, llc_misses, write_backs, .. } = self.uncore.counts();
        let sums = self.interpolated_sums()?;
        Ok(Counters {
            instructions: self.position,
            kernel_instructions: sums.kernel_instructions,
            cycles: (clock - self.away.ticks()) / TICKS_PER_CYCLE,
            idle_cycles: self.away.idle_ticks_at(now_cycles * TICKS_PER_CYCLE) / TICKS_PER_CYCLE,
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
        let mut event = self.upcoming;
        while event.kind != Kind::End {
            if event.kind == Kind::Sums {
                let (done, all) = (self.position - self.sums_position, event.position - self.sums_position);
                return Ok(if all == 0 { self.sums } else { self.sums.plus(cursor.sums().share(done, all)) });
            }
            event = cursor.next(&self.stream)?;
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
