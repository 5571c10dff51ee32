//! Writes a vCPU's stream while it runs: decides which events matter, names what each waits for, and appends blocks to
//! a file. What is recorded and why is told in [`crate::stream`].

use std::collections::{HashSet, VecDeque};
use std::fs::File;

use super::ancestry::{Ancestors, Ancestry, LONGEST_WINDOW, NAMES, Name};
use super::event::{Encoder, Event, Kind, Sums, Touch};
use super::frames::{BLOCK_BYTES, FrameWriter, Totals};
use super::{CHECKPOINT_INSTRUCTIONS, SUMS_INSTRUCTIONS, StreamError};
use crate::cache::{Direction, Line};
use crate::marks::Mark;
use crate::pipeline::{Dependences, Outputs, ticks};
use crate::spec::Machine;
use crate::vcpu::AccessSite;

/// Events of which something is known: those that are pending and the oldest that these wait for.
const KNOWN: usize = 4 * NAMES;

/// A lag that lasts as long as anybody may wait.
const LONG: u64 = u64::MAX / 2;

/// So many references under way at once that an access which a private cache serves may find no miss register.
const CROWD: usize = 4;

/// Private accesses in a row, each waiting for the one before, that may hold up retirement.
const CHAIN: f64 = 2.5;

/// Who serves an access that misses the L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// The private second level.
    Private {
        /// It is the first access to a line that was prefetched, and may be under way.
        prefetched: bool,
    },
    /// The LLC or memory.
    Shared,
}

/// An event that is not written yet: a later one may still make it matter.
#[derive(Debug)]
struct Pending {
    event: Event,
    sums: Sums,
    /// 0 for events that nobody waits for.
    name: Name,
    /// Whether it hit the L1, which takes no time.
    in_first_level: bool,
    ancestors: Ancestors,
}

/// What is known of a named event.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    position: u64,
    ancestors: Ancestors,
    /// By how much its value comes later than the core at its place, if nothing stalled.
    lag_ticks: u64,
    /// Whether it is written.
    matters: bool,
    /// Whether how long it takes matters.
    timed: bool,
    /// Which of the written timed events it became; 0 before.
    written_as: u64,
}

/// Told by a vCPU of everything that its references to the LLC and their timing consist of.
#[derive(Debug)]
pub struct Recorder {
    writer: FrameWriter,
    encoder: Encoder,
    block: Vec<u8>,
    block_began: u64,
    totals: Totals,
    timed_events: u64,
    ancestry: Ancestry,
    /// The last access.
    last_name: Name,
    named: Vec<Named>,
    pending: VecDeque<Pending>,
    /// Where the last references were, the oldest first.
    recent: VecDeque<u64>,
    last_position: u64,
    l2_ticks: u64,
    ticks_per_instruction: u64,
    sums: Sums,
    next_sums: u64,
    next_checkpoint: u64,
    /// Lines told of since the last checkpoint.
    touched: HashSet<Line>,
    error: Option<StreamError>,
}

impl Recorder {
    /// Appends to a file that has a header and nothing else.
    #[must_use]
    pub fn new(file: File, machine: &Machine) -> Self {
        Self {
            writer: FrameWriter::new(file),
            encoder: Encoder::new(0),
            block: Vec::with_capacity(2 * BLOCK_BYTES),
            block_began: 0,
            totals: Totals::default(),
            timed_events: 0,
            ancestry: Ancestry::new(),
            last_name: 0,
            named: vec![Named::default(); KNOWN],
            pending: VecDeque::new(),
            recent: VecDeque::new(),
            last_position: 0,
            l2_ticks: machine.l2().map_or(0, |l2| ticks(l2.latency_cycles.into())),
            ticks_per_instruction: ticks(machine.core().cycles_per_instruction).max(1),
            sums: Sums::default(),
            next_sums: SUMS_INSTRUCTIONS,
            next_checkpoint: 0,
            touched: HashSet::new(),
            error: None,
        }
    }

    /// Ends the stream of a vCPU that has come to `instructions`, with what it has counted: without this the file is
    /// refused by its reader.
    pub(crate) fn finish(mut self, instructions: u64, sums: Sums) -> Result<(), StreamError> {
        self.sums(instructions, sums);
        while !self.pending.is_empty() {
            self.write_oldest();
        }
        self.end_block();
        if let Some(error) = self.error {
            return Err(error);
        }
        let totals = Totals { instructions, ..self.totals };
        self.writer.trailer(totals).map_err(|error| StreamError::new("end a recorded stream", error))
    }

    /// Why nothing more is recorded, if so.
    pub(crate) const fn error(&self) -> Option<&StreamError> {
        self.error.as_ref()
    }

    /// The recording cannot be used, for a reason that the vCPU knows.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.error.get_or_insert_with(|| StreamError::new("record a stream", reason));
    }

    /// The position at which the next block's end is to be told.
    pub(crate) fn next_event(&self) -> u64 {
        if self.ancestry.is_pending() { 0 } else { self.next_sums.min(self.next_checkpoint) }
    }

    /// A block has ended before `position`.
    pub(crate) fn end_of_block(&mut self, position: u64, outputs: &Outputs) {
        self.ancestry.end_block(position, outputs);
    }

    /// Whether the sums are due.
    pub(crate) const fn wants_sums(&self, position: u64) -> bool {
        position >= self.next_sums
    }

    /// What was counted up to `position`.
    pub(crate) fn sums(&mut self, position: u64, sums: Sums) {
        let since = sums.minus(self.sums);
        self.sums = sums;
        self.next_sums = position + SUMS_INSTRUCTIONS;
        self.note(position, Kind::Sums, 0, since);
    }

    /// Whether a checkpoint is due, at which first touches begin to be told again.
    pub(crate) const fn wants_checkpoint(&self, position: u64) -> bool {
        position >= self.next_checkpoint
    }

    /// A checkpoint at which so many lines are dirty in the private caches.
    pub(crate) fn checkpoint(&mut self, position: u64, dirty_lines: u64) {
        self.next_checkpoint = position + CHECKPOINT_INSTRUCTIONS;
        self.touched.clear();
        self.note(position, Kind::Checkpoint, dirty_lines, Sums::default());
    }

    /// An access missed the L1 and was served.
    pub(crate) fn access(&mut self, position: u64, direction: Direction, site: &AccessSite, line: Line, by: Server) {
        let position = self.at(position);
        let (ancestors, wait) = self.waits(position, site.address);
        let first = self.touched.insert(line);
        let stores = direction == Direction::Write;
        let touch = Touch::default().with(Touch::STORES, stores).with(Touch::FIRST, first);
        let (kind, touch, lag, timed) = match by {
            Server::Shared => {
                self.totals.references += 1;
                self.recent.push_back(position);
                if self.recent.len() > CROWD {
                    self.recent.pop_front();
                }
                (if stores { Kind::Store } else { Kind::Load }, Touch::default(), LONG, true)
            }
            Server::Private { prefetched: true } => (Kind::Touch, touch.with(Touch::PREFETCHED, true), LONG, true),
            Server::Private { prefetched: false } => {
                let lag = wait.saturating_add(self.l2_ticks).min(LONG);
                let timed = lag > (self.l2_ticks as f64 * CHAIN) as u64 || self.is_crowded(position);
                let kind = if stores { Kind::PrivateStore } else { Kind::PrivateLoad };
                if first { (Kind::Touch, touch, lag, timed) } else { (kind, Touch::default(), lag, timed) }
            }
        };
        let event = Event { position, number: line.0, ancestors: 0, kind, touch };
        let name = self.name(event, false, ancestors, lag);
        if timed {
            self.matters(name);
        }
        if let (Direction::Read, Some(slot)) = (direction, site.load_slot) {
            self.ancestry.arrives_in(slot, name);
        }
    }

    /// An access hit a line of the L1 for the first time since the last checkpoint.
    pub(crate) fn touch(&mut self, position: u64, direction: Direction, site: &AccessSite, line: Line) {
        if !self.touched.insert(line) {
            return;
        }
        let position = self.at(position);
        let (ancestors, _) = self.waits(position, site.address);
        let touch = Touch::FIRST.with(Touch::STORES, direction == Direction::Write);
        let event = Event { position, number: line.0, ancestors: 0, kind: Kind::Touch, touch };
        let name = self.name(event, true, ancestors, LONG);
        if let (Direction::Read, Some(slot)) = (direction, site.load_slot) {
            self.ancestry.arrives_in(slot, name);
        }
    }

    /// The prefetcher asked for a line because of the last access, and with it.
    pub(crate) fn prefetch(&mut self, position: u64, line: Line) {
        self.totals.references += 1;
        self.touched.insert(line);
        self.matters(self.last_name);
        self.note(position, Kind::Prefetch, line.0, Sums::default());
    }

    /// A dirty line left the private caches.
    pub(crate) fn written_out(&mut self, position: u64, line: Line) {
        self.note(position, Kind::WrittenOut, line.0, Sums::default());
    }

    /// The phase changed.
    pub(crate) fn mark(&mut self, position: u64, mark: Mark) {
        match mark {
            Mark::Phase(phase) => self.note(position, Kind::Phase, phase.into(), Sums::default()),
            Mark::EndOfTruth => self.note(position, Kind::EndOfTruth, 0, Sums::default()),
            Mark::Begin => {}
        }
    }

    /// The vCPU halts with these sums.
    pub(crate) fn halt(&mut self, position: u64, sums: Sums) {
        self.ancestry.clear();
        self.sums(position, sums);
        self.note(position, Kind::Halt, 0, Sums::default());
    }

    /// Positions never go back, also where a block that faulted half-way is begun again.
    fn at(&mut self, position: u64) -> u64 {
        self.last_position = self.last_position.max(position);
        self.last_position
    }

    /// What an access waits for, as far as that may not be there yet, and how long if nothing stalls.
    fn waits(&self, position: u64, address: Dependences) -> (Ancestors, u64) {
        let (mut still, mut longest) = (Ancestors::default(), 0);
        for name in self.ancestry.of(address).names() {
            let named = &self.named[name as usize % KNOWN];
            let wait = named.lag_ticks.saturating_sub((position - named.position) * self.ticks_per_instruction);
            if wait > 0 {
                still = still.with(name);
                longest = longest.max(wait);
            }
        }
        (still, if longest > LONG / 2 { LONG } else { longest })
    }

    fn is_crowded(&self, position: u64) -> bool {
        self.recent.len() == CROWD && self.recent[0] + LONGEST_WINDOW > position
    }

    fn name(&mut self, event: Event, in_first_level: bool, ancestors: Ancestors, lag_ticks: u64) -> Name {
        let Event { position, kind, .. } = event;
        let name = self.ancestry.name(position, ancestors);
        let matters = kind == Kind::Touch;
        self.named[name as usize % KNOWN] =
            Named { position, ancestors, lag_ticks, matters, timed: false, written_as: 0 };
        self.last_name = name;
        self.push(Pending { event, sums: Sums::default(), name, in_first_level, ancestors });
        name
    }

    /// How long this event takes matters, and so it does of those that it waits for.
    fn matters(&mut self, name: Name) {
        let oldest = self.pending.iter().map(|pending| pending.name).find(|&name| name > 0).unwrap_or(name);
        let mut all = vec![name];
        while let Some(name) = all.pop() {
            let named = &mut self.named[name as usize % KNOWN];
            if !named.timed {
                (named.matters, named.timed) = (true, true);
                all.extend(named.ancestors.names().filter(|&ancestor| ancestor >= oldest));
            }
        }
    }

    fn note(&mut self, position: u64, kind: Kind, number: u64, sums: Sums) {
        let event = Event { number, ..Event::note(self.at(position), kind) };
        self.push(Pending { event, sums, name: 0, in_first_level: false, ancestors: Ancestors::default() });
    }

    fn push(&mut self, event: Pending) {
        self.pending.push_back(event);
        while self.pending.len() > NAMES / 2
            || self.pending.front().is_some_and(|oldest| oldest.event.position + LONGEST_WINDOW < self.last_position)
        {
            self.write_oldest();
        }
    }

    fn write_oldest(&mut self) {
        let Some(Pending { mut event, sums, name, in_first_level, ancestors }) = self.pending.pop_front() else {
            return;
        };
        let position = event.position;
        if name > 0 {
            let Named { matters, timed, .. } = self.named[name as usize % KNOWN];
            if !matters {
                return;
            }
            event.touch = event.touch.with(Touch::TIMED, event.kind == Kind::Touch && timed && !in_first_level);
            self.timed_events += 1;
            self.named[name as usize % KNOWN].written_as = self.timed_events;
            let written = ancestors.names().map(|name| self.named[name as usize % KNOWN].written_as);
            let far = written.filter(|&written| written > 0).map(|written| self.timed_events - written);
            for (nth, far) in far.filter(|&far| far < NAMES as u64).enumerate() {
                event.ancestors |= far << (16 * nth);
            }
        }
        if self.encoder.append(&event, sums, &mut self.block).is_err() {
            self.fail("memory beyond 128 GiB of guest-physical addresses was accessed; give the guest less memory");
        }
        if self.block.len() >= BLOCK_BYTES {
            self.end_block();
            (self.block_began, self.encoder) = (position, Encoder::new(position));
        }
    }

    fn end_block(&mut self) {
        if self.error.is_none()
            && !self.block.is_empty()
            && let Err(error) = self.writer.block(self.block_began, &self.block)
        {
            self.error = Some(StreamError::new("append to a recorded stream", error));
        }
        self.block.clear();
    }
}
