//! One vCPU's way past its private caches: the LLC of its domain, the memory behind it, and what is counted there. It
//! serves a vCPU that runs and one whose recorded stream is played alike, so that both meet the same machine.
//!
//! A line that is not in the LLC is fetched from memory and takes a place in it; a dirty line dropped from the LLC is
//! written to memory. Each counts as a line moved, which is what the memory channel is charged for.
//!
//! Two ask for lines: loads and stores, by [`Uncore::reference`], and the prefetcher, by [`Uncore::prefetch`]. What the
//! prefetcher asked for may be wanted before it is there; [`Uncore::arrival`] says when it is.

use crate::cache::{Direction, Line, Outcome, SharedIndex};
use crate::pipeline::{Flight, Service, ticks};
use crate::prefetch::UnderWay;
use crate::spec::Machine;

/// How LLC sets are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    /// By page colours, as random as on a real host.
    Coloured,
    /// By the low bits of the line, for comparison with simulators that do so.
    Plain,
}

/// How many LLC misses of loads and stores were under way at once.
#[derive(Debug, Clone, Copy, Default)]
struct Overlap {
    flight_ticks: u64,
    covered_ticks: u64,
    covered_until: u64,
}

/// What was counted past the private caches; running sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UncoreCounts {
    /// Lines that the LLC was asked for, by loads, stores and the prefetcher.
    pub llc_references: u64,
    /// Those that it did not have.
    pub llc_misses: u64,
    /// References that were the prefetcher's.
    pub prefetches: u64,
    /// Dirty lines sent to memory, whoever had written them.
    pub write_backs: u64,
}

/// The way of one vCPU past its private caches.
#[derive(Debug, Clone)]
pub struct Uncore {
    llc: SharedIndex,
    llc_ticks: u64,
    memory_ticks: u64,
    counts: UncoreCounts,
    lines_moved: u64,
    overlap: Overlap,
    /// Where there is a prefetcher.
    under_way: Option<Box<UnderWay>>,
}

impl Uncore {
    /// For the vCPU in `slot`; `seed` chooses the page colours. The first turn says what memory takes.
    #[must_use]
    pub fn new(machine: &Machine, slot: u32, seed: u64, indexing: Indexing) -> Self {
        let llc = match indexing {
            Indexing::Coloured => SharedIndex::coloured(machine.llc(), slot, seed),
            Indexing::Plain => SharedIndex::plain(machine.llc()),
        };
        Self {
            llc,
            llc_ticks: ticks(machine.llc().latency_cycles.into()),
            memory_ticks: 0,
            counts: UncoreCounts::default(),
            lines_moved: 0,
            overlap: Overlap::default(),
            under_way: machine.prefetcher().map(|_| Box::default()),
        }
    }

    /// A turn begins in which memory takes this long.
    pub fn begin_turn(&mut self, memory_latency_cycles: f64) {
        self.memory_ticks = ticks(memory_latency_cycles);
    }

    /// A load or store asks for a line that no private cache has; `llc` are the tags of the domain's LLC.
    #[inline(always)]
    pub fn reference(&mut self, line: Line, llc: &mut [u64]) -> Service {
        self.counts.llc_references += 1;
        match self.llc.access(llc, line, Direction::Read) {
            Outcome::Hit => Service::by_cache(self.llc_ticks),
            Outcome::Miss { dirty_victim } => {
                self.counts.llc_misses += 1;
                self.lines_moved += 1;
                self.written_to_memory(dirty_victim.is_some().into());
                Service::by_memory(self.memory_ticks)
            }
        }
    }

    /// The prefetcher asks, at `now_ticks`, for a line that no private cache has.
    #[inline]
    pub fn prefetch(&mut self, line: Line, now_ticks: u64, llc: &mut [u64]) {
        self.counts.prefetches += 1;
        let service = self.reference(line, llc);
        if let Some(under_way) = &mut self.under_way {
            under_way.put(line, now_ticks + service.latency_ticks);
        }
    }

    /// A load or store has found a line in the L2: when the line is there, if the prefetcher asked for it and nobody has
    /// wanted it since.
    #[inline]
    pub fn arrival(&mut self, line: Line) -> Option<u64> {
        self.under_way.as_mut()?.take(line)
    }

    /// The private caches were emptied: nobody waits any more for what was prefetched into them.
    pub fn forget_prefetches(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.clear();
        }
    }

    /// A dirty line leaves the private caches and takes a place in the LLC.
    #[inline]
    pub fn written_out(&mut self, line: Line, llc: &mut [u64]) {
        if let Outcome::Miss { dirty_victim } = self.llc.access(llc, line, Direction::Write) {
            self.written_to_memory(dirty_victim.is_some().into());
        }
    }

    /// So many dirty lines go to memory.
    #[inline]
    pub fn written_to_memory(&mut self, lines: u64) {
        self.counts.write_backs += lines;
        self.lines_moved += lines;
    }

    /// When a reference that memory served was under way.
    #[inline]
    pub fn overlap(&mut self, flight: Flight) {
        let overlap = &mut self.overlap;
        overlap.flight_ticks += flight.complete_ticks - flight.issue_ticks;
        let from = flight.issue_ticks.max(overlap.covered_until);
        overlap.covered_ticks += flight.complete_ticks.saturating_sub(from);
        overlap.covered_until = overlap.covered_until.max(flight.complete_ticks);
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> UncoreCounts {
        self.counts
    }

    /// Lines moved to and from memory since the last call.
    pub fn take_lines_moved(&mut self) -> u64 {
        std::mem::take(&mut self.lines_moved)
    }

    /// Memory-level parallelism: LLC misses of loads and stores under way, on average over the time in which at least one was; 0 before
    /// the first. Misses are taken in program order, and time between two earlier ones is not filled in later.
    #[must_use]
    pub fn memory_level_parallelism(&self) -> f64 {
        self.overlap.flight_ticks as f64 / self.overlap.covered_ticks.max(1) as f64
    }
}
