//! First-order timing of an out-of-order core: when loads that leave the L1 overlap, and when the core waits.
//!
//! **Problem.** What contention costs depends on how many misses a program keeps under way: a pointer chase pays every
//! one in full, a stream hides most. A fixed degree of overlap gets one of them wrong by a factor. **Idea.** Derive it
//! from the instruction stream with interval analysis (Karkhanis and Smith, ISCA 2004; Eyerman et al., TOCS 2009):
//! between long accesses the core retires at its base rate; a long access delays retirement only when the reorder
//! window behind it is full; and it starts as soon as its address is known.
//!
//! Terms: position `p` of an instruction in the stream; clock `c(p) = p x CPI + stalls so far`, in ticks. A load at
//! `p` that misses the L1 and takes `t`:
//!
//! ```text
//! issue(p)    = max(c(p), when its address is known, when a miss register is free)
//! complete(p) = issue(p) + t                 of a line that a prefetcher has asked for: not before it is there
//! at position p + window:  stalls += max(0, complete(p) - c(p + window))        in program order
//! ```
//!
//! When an address is known follows from register dataflow ([`Dependences`]): a load's register is ready when the load
//! completes, and what is computed from it not before. Loads that hit the L1 pass on their address's readiness, so a
//! chase through lines that are already there still waits. A store that misses takes a miss register and waits for
//! none but that; if all are taken, the core stalls.
//!
//! Properties, each with a test: a chase never has two misses under way; independent loads reach the miss registers,
//! or what fits in the window, whichever is less; a load alone within a window that is long against its latency costs
//! nothing.
//!
//! Not modelled: mispredicted branches, dependence through memory, the time between a miss and a second load of the
//! same line.

use std::collections::VecDeque;

use crate::spec::CoreSpec;

/// Parts of a cycle that the clock counts in.
pub const TICKS_PER_CYCLE: u64 = 1024;

/// A duration or point of virtual time in ticks.
#[must_use]
pub fn ticks(cycles: f64) -> u64 {
    (cycles * TICKS_PER_CYCLE as f64).round() as u64
}

/// Registers that are followed: 16 general ones, 16 vector ones, the flags.
pub const REGISTERS: usize = 33;

/// Loads of one block that can be waited for.
pub const LOAD_SLOTS: usize = 64;

/// What a value waits for; transitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dependences {
    /// Bit i: the value of register i at the block's start.
    pub registers: u64,
    /// Bit i: the block's load in slot i.
    pub loads: u64,
}

impl Dependences {
    /// The value that register `index` has at the block's start.
    #[must_use]
    pub const fn register(index: usize) -> Self {
        Self { registers: 1 << index, loads: 0 }
    }

    /// Waits for both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { registers: self.registers | other.registers, loads: self.loads | other.loads }
    }
}

/// What the registers that a block changes wait for at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs {
    each: Vec<(u8, Dependences)>,
    /// What any of them waits for.
    any: Dependences,
    /// Bit i: register i is changed.
    changed: u64,
}

impl Outputs {
    /// Of a block that changes no register.
    pub const NONE: Self = Self { each: Vec::new(), any: Dependences { registers: 0, loads: 0 }, changed: 0 };

    /// The changed registers by their numbers, each with what its value waits for.
    #[must_use]
    pub fn new(each: Vec<(u8, Dependences)>) -> Self {
        let any = each.iter().fold(Dependences::default(), |any, (_, needs)| any.and(*needs));
        let changed = each.iter().fold(0, |changed, (register, _)| changed | 1 << register);
        Self { each, any, changed }
    }

    /// The changed registers, each with what its value waits for.
    pub(crate) fn each(&self) -> &[(u8, Dependences)] {
        &self.each
    }

    /// Bit i: register i is changed.
    pub(crate) const fn changed(&self) -> u64 {
        self.changed
    }
}

/// What the level that serves an access takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// From issue to use.
    pub latency_ticks: u64,
    /// The line is on its way already and not there before this; 0 if it is not.
    pub arrives_ticks: u64,
    /// Whether memory is asked.
    pub from_memory: bool,
}

impl Service {
    /// By a cache that has the line and takes this long.
    #[must_use]
    pub const fn by_cache(latency_ticks: u64) -> Self {
        Self { latency_ticks, arrives_ticks: 0, from_memory: false }
    }

    /// By memory.
    #[must_use]
    pub const fn by_memory(latency_ticks: u64) -> Self {
        Self { latency_ticks, arrives_ticks: 0, from_memory: true }
    }
}

/// A long access under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// When it left the core.
    pub issue_ticks: u64,
    /// When its line is there.
    pub complete_ticks: u64,
}

/// The core's state.
#[derive(Debug, Clone)]
pub struct Pipeline {
    ticks_per_instruction: u64,
    window: u64,
    stall_ticks: u64,
    /// All time that is not of instructions: stalls and what was skipped.
    extra_ticks: u64,
    /// When each miss register is free again.
    free_at: Vec<u64>,
    /// Loads in program order that will hold up retirement, each longer than those before it: where the window behind each
    /// is full, and the least [`Pipeline::extra_ticks`] with which the core can come past that place.
    unretired: VecDeque<(u64, u64)>,
    /// The first of these places; `u64::MAX` if there is none.
    window_full_at: u64,
    ready: [u64; REGISTERS],
    next_ready: [u64; REGISTERS],
    pending_registers: u64,
    loaded: [u64; LOAD_SLOTS],
    pending_loads: u64,
    /// The last deadline in ticks of instructions, and as a position.
    deadline: (u64, u64),
}

impl Pipeline {
    /// An idle core at time 0 and position 0.
    #[must_use]
    pub fn new(core: CoreSpec) -> Self {
        Self {
            ticks_per_instruction: ticks(core.cycles_per_instruction).max(1),
            window: core.reorder_window.into(),
            stall_ticks: 0,
            extra_ticks: 0,
            free_at: vec![0; core.miss_registers as usize],
            unretired: VecDeque::new(),
            window_full_at: u64::MAX,
            ready: [0; REGISTERS],
            next_ready: [0; REGISTERS],
            pending_registers: 0,
            loaded: [0; LOAD_SLOTS],
            pending_loads: 0,
            deadline: (0, 0),
        }
    }

    /// The time at which the core comes to `position`, as far as stalls are known.
    #[inline(always)]
    #[must_use]
    pub const fn clock(&self, position: u64) -> u64 {
        position * self.ticks_per_instruction + self.extra_ticks
    }

    /// Time in which the core waited for memory.
    #[must_use]
    pub const fn stall_ticks(&self) -> u64 {
        self.stall_ticks
    }

    /// Lets `ticks` pass without instructions. What is under way then completes.
    pub fn skip(&mut self, ticks: u64) {
        self.extra_ticks += ticks;
        self.unretired.clear();
        self.window_full_at = u64::MAX;
        (self.pending_registers, self.pending_loads) = (0, 0);
    }

    /// Brings stalls up to date for a core that has come to `position`.
    #[inline]
    pub fn retire(&mut self, position: u64) {
        while self.window_full_at <= position {
            self.stall_on_oldest();
        }
    }

    /// Lets a core that is at `from` go on to `to`. If its clock comes to `deadline_ticks` before that or there, answers the
    /// first place where it has.
    #[inline(always)]
    pub fn run_to(&mut self, from: u64, to: u64, deadline_ticks: u64) -> Option<u64> {
        let instruction_ticks = to * self.ticks_per_instruction;
        while self.window_full_at <= to {
            let Some((_, extra_ticks)) = self.unretired.front() else { break };
            if instruction_ticks + (*extra_ticks).max(self.extra_ticks) >= deadline_ticks {
                return self.run_to_deadline(from, to, deadline_ticks);
            }
            self.stall_on_oldest();
        }
        if instruction_ticks + self.extra_ticks >= deadline_ticks {
            return self.run_to_deadline(from, to, deadline_ticks);
        }
        None
    }

    /// As [`Pipeline::run_to`], where the deadline may come first.
    #[cold]
    #[inline(never)]
    fn run_to_deadline(&mut self, from: u64, to: u64, deadline_ticks: u64) -> Option<u64> {
        while self.window_full_at <= to {
            let full = self.window_full_at.max(from);
            if self.clock(full) >= deadline_ticks {
                return Some(self.first_place_at(deadline_ticks).max(from));
            }
            self.stall_on_oldest();
            if self.clock(full) >= deadline_ticks {
                return Some(full);
            }
        }
        (self.clock(to) >= deadline_ticks).then(|| self.first_place_at(deadline_ticks).max(from))
    }

    /// The first position at which the clock is at `ticks` or past it, if nothing stalls.
    fn first_place_at(&self, ticks: u64) -> u64 {
        ticks.saturating_sub(self.extra_ticks).div_ceil(self.ticks_per_instruction)
    }

    #[inline(always)]
    fn stall_on_oldest(&mut self) {
        if let Some((_, extra_ticks)) = self.unretired.pop_front() {
            self.stall_until(extra_ticks);
        }
        self.window_full_at = self.unretired.front().map_or(u64::MAX, |(full, _)| *full);
    }

    #[inline(always)]
    fn stall_until(&mut self, extra_ticks: u64) {
        let stall_ticks = extra_ticks.saturating_sub(self.extra_ticks);
        self.stall_ticks += stall_ticks;
        self.extra_ticks += stall_ticks;
    }

    /// A load at `position` that leaves the L1; the value arrives in `slot`.
    #[inline]
    pub fn load(&mut self, position: u64, slot: Option<u8>, address: Dependences, service: Service) -> Flight {
        let flight = self.load_known(position, self.known(address), service);
        if let Some(slot) = slot {
            let bit = 1 << slot;
            let earlier = if self.pending_loads & bit == 0 { 0 } else { self.loaded[usize::from(slot)] };
            self.loaded[usize::from(slot)] = earlier.max(flight.complete_ticks);
            self.pending_loads |= bit;
        }
        flight
    }

    /// As [`Pipeline::load`], for a caller who says when the address is known and whom nobody waits for here.
    #[inline(always)]
    pub fn load_known(&mut self, position: u64, known_ticks: u64, service: Service) -> Flight {
        self.retire(position);
        let flight = self.issue(self.clock(position).max(known_ticks), service);
        // Stalls only ever move the clock on: a load that is there before its window fills will hold nobody up, nor will
        // one that lets the core go on as early as the one before it does.
        let full = position + self.window;
        let extra_ticks = flight.complete_ticks.saturating_sub(full * self.ticks_per_instruction);
        match self.unretired.back() {
            Some((_, before)) if extra_ticks <= *before => {}
            None if extra_ticks <= self.extra_ticks => {}
            before => {
                if before.is_none() {
                    self.window_full_at = full;
                }
                self.unretired.push_back((full, extra_ticks));
            }
        }
        flight
    }

    /// A store at `position` that leaves the L1.
    #[inline]
    pub fn store(&mut self, position: u64, address: Dependences, service: Service) -> Flight {
        self.store_known(position, self.known(address), service)
    }

    /// As [`Pipeline::store`], for a caller who says when the address is known.
    #[inline(always)]
    pub fn store_known(&mut self, position: u64, known_ticks: u64, service: Service) -> Flight {
        self.retire(position);
        let now = self.clock(position);
        if self.free_at.iter().all(|free| *free > now) {
            let next = self.free_at.iter().copied().min().unwrap_or_default();
            self.stall_until(self.extra_ticks + next.saturating_sub(now));
        }
        self.issue(self.clock(position).max(known_ticks), service)
    }

    /// The block that loaded into slots is over: its registers wait for what `outputs` says. Brings stalls up to date.
    #[inline]
    pub fn end_block(&mut self, position: u64, outputs: &Outputs) {
        self.retire(position);
        if self.pending_loads | self.pending_registers == 0 {
            return;
        }
        let now = self.clock(position);
        let mut waiting = 0u64;
        if outputs.any.loads & self.pending_loads | outputs.any.registers & self.pending_registers != 0 {
            for &(register, needs) in &outputs.each {
                let at = self.known(needs);
                if at > now {
                    // Set aside, since later outputs ask for values at the block's start.
                    self.next_ready[usize::from(register)] = at;
                    waiting |= 1 << register;
                }
            }
            for register in bits(waiting) {
                self.ready[register] = self.next_ready[register];
            }
        }
        self.pending_registers &= !outputs.changed;
        for register in bits(self.pending_registers) {
            if self.ready[register] <= now {
                self.pending_registers &= !(1 << register);
            }
        }
        self.pending_registers |= waiting;
        self.pending_loads = 0;
    }

    /// The first position at which [`Pipeline::end_block`] has something to do, given that the caller wants to hear at
    /// `deadline_ticks` anyway. Until then the base rate holds.
    #[must_use]
    pub fn next_event(&mut self, deadline_ticks: u64) -> u64 {
        if self.pending_loads | self.pending_registers != 0 {
            return 0;
        }
        let left = deadline_ticks.saturating_sub(self.extra_ticks);
        // Most events move neither: the division is spared.
        if self.deadline.0 != left {
            self.deadline = (left, left.div_ceil(self.ticks_per_instruction));
        }
        let deadline = self.deadline.1;
        deadline.min(self.window_full_at)
    }

    /// When a value that waits for `needs` is known; 0 if it waits for nothing.
    #[inline]
    fn known(&self, needs: Dependences) -> u64 {
        let mut at = 0;
        for register in bits(needs.registers & self.pending_registers) {
            at = at.max(self.ready[register]);
        }
        for slot in bits(needs.loads & self.pending_loads) {
            at = at.max(self.loaded[slot]);
        }
        at
    }

    /// Takes a miss register for an access that could start at `wanted`: the first that is free by then, so that a
    /// chase, each of whose loads starts when the last one ends, keeps to one and leaves the others alone; else the one
    /// that is free next.
    #[inline]
    fn issue(&mut self, wanted: u64, service: Service) -> Flight {
        let free = self.free_at.iter_mut().find(|free| **free <= wanted);
        let Some(register) = free else { return self.issue_when_free(service) };
        *register = (wanted + service.latency_ticks).max(service.arrives_ticks);
        Flight { issue_ticks: wanted, complete_ticks: *register }
    }

    fn issue_when_free(&mut self, service: Service) -> Flight {
        let next = self.free_at.iter_mut().min().expect("a checked core has at least one miss register");
        let issue_ticks = *next;
        *next = (issue_ticks + service.latency_ticks).max(service.arrives_ticks);
        Flight { issue_ticks, complete_ticks: *next }
    }
}

/// The places of the bits that are set.
#[inline(always)]
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < 64).then_some(place as usize)
    })
}

#[cfg(test)]
mod tests;
