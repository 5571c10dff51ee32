//! Which earlier events of a stream a value waits for: register dataflow by name instead of by time.
//!
//! **Problem.** When a load's address is known depends on how long earlier loads take, which another neighbour, another
//! LLC or another memory changes. **Idea.** Follow registers as [`crate::pipeline`] does, but let each carry the *names* of the
//! loads that its value waits for; the replay turns names into times.
//!
//! Two rules keep the sets small. A load holds up retirement until it is there once the reorder window behind it is
//! full; so nothing that comes [`LONGEST_WINDOW`] instructions later still waits for it, and it is forgotten. And a load that
//! another of the set waits for ends before that one, and is dropped from the set. Of what is left the
//! [`Ancestors::MOST`] youngest are kept.

use crate::pipeline::{Dependences, LOAD_SLOTS, Outputs, REGISTERS, bits};

/// The longest reorder window, in instructions, of a machine that can play a stream.
pub const LONGEST_WINDOW: u64 = 384;

/// Events that can be named at once; a power of two, more than a window of instructions makes.
pub(crate) const NAMES: usize = 1024;

/// A timed event by its number, from 1.
pub(crate) type Name = u64;

/// The events that a value waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ancestors {
    /// The youngest first; 0 for none.
    names: [Name; Self::MOST],
}

impl Ancestors {
    /// How many are kept.
    pub(crate) const MOST: usize = 3;

    pub(crate) fn names(self) -> impl Iterator<Item = Name> {
        self.names.into_iter().take_while(|&name| name > 0)
    }

    pub(crate) const fn only(name: Name) -> Self {
        let mut names = [0; Self::MOST];
        names[0] = name;
        Self { names }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.names[0] == 0
    }

    /// These and one more.
    pub(crate) fn with(mut self, name: Name) -> Self {
        self.insert(name);
        self
    }

    fn contains(self, name: Name) -> bool {
        self.names.contains(&name)
    }

    /// Puts a name in its place by age; the oldest drops out.
    fn insert(&mut self, mut name: Name) {
        for place in &mut self.names {
            if *place == name {
                return;
            }
            if *place < name {
                std::mem::swap(place, &mut name);
            }
            if name == 0 {
                return;
            }
        }
    }
}

/// What is remembered of an event that others may wait for.
#[derive(Debug, Clone, Copy, Default)]
struct Remembered {
    position: u64,
    ancestors: Ancestors,
}

/// The state of all registers.
#[derive(Debug)]
pub(crate) struct Ancestry {
    registers: [Ancestors; REGISTERS],
    at_block_end: [Ancestors; REGISTERS],
    pending_registers: u64,
    slots: [Ancestors; LOAD_SLOTS],
    pending_loads: u64,
    remembered: Vec<Remembered>,
    /// The name that the next event gets.
    next: Name,
    /// Events before this one hold nobody up any more.
    oldest: Name,
}

impl Ancestry {
    pub(crate) fn new() -> Self {
        Self {
            registers: [Ancestors::default(); REGISTERS],
            at_block_end: [Ancestors::default(); REGISTERS],
            pending_registers: 0,
            slots: [Ancestors::default(); LOAD_SLOTS],
            pending_loads: 0,
            remembered: vec![Remembered::default(); NAMES],
            next: 1,
            oldest: 1,
        }
    }

    /// Whether some value waits for some event.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pending_loads | self.pending_registers != 0
    }

    /// Names an event at `position` that waits for `ancestors`.
    pub(crate) fn name(&mut self, position: u64, ancestors: Ancestors) -> Name {
        let name = self.next;
        self.next += 1;
        self.remembered[name as usize % NAMES] = Remembered { position, ancestors };
        self.forget_before(position);
        name
    }

    /// From now on what is loaded into `slot` waits for this event.
    pub(crate) fn arrives_in(&mut self, slot: u8, name: Name) {
        let bit = 1 << slot;
        let mut ancestors = Ancestors::only(name);
        if self.pending_loads & bit != 0 {
            self.merge(&mut ancestors, self.slots[usize::from(slot)]);
        }
        self.slots[usize::from(slot)] = ancestors;
        self.pending_loads |= bit;
    }

    /// What a value that needs this waits for.
    pub(crate) fn of(&self, needs: Dependences) -> Ancestors {
        let mut all = Ancestors::default();
        for register in bits(needs.registers & self.pending_registers) {
            self.merge(&mut all, self.registers[register]);
        }
        for slot in bits(needs.loads & self.pending_loads) {
            self.merge(&mut all, self.slots[slot]);
        }
        all
    }

    /// The block that loaded into slots is over: its registers wait for what `outputs` says.
    pub(crate) fn end_block(&mut self, position: u64, outputs: &Outputs) {
        self.forget_before(position);
        if !self.is_pending() {
            return;
        }
        let mut waiting = 0u64;
        for &(register, needs) in outputs.each() {
            let ancestors = self.of(needs);
            if !ancestors.is_empty() {
                // Set aside, since later outputs ask for values at the block's start.
                self.at_block_end[usize::from(register)] = ancestors;
                waiting |= 1 << register;
            }
        }
        for register in bits(waiting) {
            self.registers[register] = self.at_block_end[register];
        }
        self.pending_registers &= !outputs.changed();
        for register in bits(self.pending_registers) {
            if self.registers[register].names().all(|name| name < self.oldest) {
                self.pending_registers &= !(1 << register);
            }
        }
        self.pending_registers |= waiting;
        self.pending_loads = 0;
    }

    /// Nothing waits any more.
    pub(crate) const fn clear(&mut self) {
        (self.pending_registers, self.pending_loads) = (0, 0);
    }

    fn forget_before(&mut self, position: u64) {
        while self.oldest < self.next
            && (self.remembered[self.oldest as usize % NAMES].position + LONGEST_WINDOW <= position
                || self.next - self.oldest >= NAMES as u64 - 1)
        {
            self.oldest += 1;
        }
    }

    fn merge(&self, into: &mut Ancestors, other: Ancestors) {
        for name in other.names() {
            if name >= self.oldest && !into.names().any(|other| self.waits_for(other, name)) {
                into.insert(name);
            }
        }
        // The newcomers may wait for what was there before.
        let all = *into;
        let waited_for = |name| all.names().any(|other| self.waits_for(other, name));
        if all.names().any(waited_for) {
            *into = Ancestors::default();
            for name in all.names().filter(|&name| !waited_for(name)) {
                into.insert(name);
            }
        }
    }

    /// Whether `name` is known to wait for `earlier`; in two steps at most.
    fn waits_for(&self, name: Name, earlier: Name) -> bool {
        if name <= earlier {
            return false;
        }
        let ancestors = self.remembered[name as usize % NAMES].ancestors;
        let next = |name: Name| self.remembered[name as usize % NAMES].ancestors;
        ancestors.contains(earlier)
            || ancestors.names().filter(|&name| name >= self.oldest).any(|name| next(name).contains(earlier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAX: Dependences = Dependences::register(0);
    const NOTHING: Dependences = Dependences { registers: 0, loads: 0 };

    fn names(ancestry: &Ancestry, needs: Dependences) -> Vec<Name> {
        ancestry.of(needs).names().collect()
    }

    /// rax <- [address] at `position`, in a block of one instruction.
    fn load_rax(ancestry: &mut Ancestry, position: u64, address: Dependences) -> Name {
        let ancestors = ancestry.of(address);
        let name = ancestry.name(position, ancestors);
        ancestry.arrives_in(0, name);
        ancestry.end_block(position + 1, &Outputs::new(vec![(0, address.and(Dependences { registers: 0, loads: 1 }))]));
        name
    }

    #[test]
    fn a_chase_waits_for_its_last_load_alone() {
        let mut ancestry = Ancestry::new();
        load_rax(&mut ancestry, 0, RAX);
        let second = load_rax(&mut ancestry, 1, RAX);
        assert_eq!(names(&ancestry, RAX), [second]);
    }

    #[test]
    fn a_register_that_was_overwritten_waits_for_nothing() {
        let mut ancestry = Ancestry::new();
        load_rax(&mut ancestry, 0, RAX);
        ancestry.end_block(2, &Outputs::new(vec![(0, NOTHING)]));
        assert_eq!(names(&ancestry, RAX), [0; 0]);
        assert!(!ancestry.is_pending());
    }

    #[test]
    fn a_load_is_forgotten_when_the_longest_window_behind_it_is_full() {
        let mut ancestry = Ancestry::new();
        let name = load_rax(&mut ancestry, 0, RAX);
        ancestry.end_block(LONGEST_WINDOW - 1, &Outputs::NONE);
        assert_eq!(names(&ancestry, RAX), [name]);
        ancestry.end_block(LONGEST_WINDOW, &Outputs::NONE);
        assert_eq!(names(&ancestry, RAX), [0; 0]);
    }

    #[test]
    fn of_many_independent_loads_the_youngest_are_kept() {
        let mut ancestry = Ancestry::new();
        // rbx sums up what loads bring that do not depend on each other.
        for position in 0..5 {
            let name = ancestry.name(position, Ancestors::default());
            ancestry.arrives_in(0, name);
            let sum = Dependences::register(1).and(Dependences { registers: 0, loads: 1 });
            ancestry.end_block(position + 1, &Outputs::new(vec![(1, sum)]));
        }
        assert_eq!(names(&ancestry, Dependences::register(1)), [5, 4, 3]);
    }
}
