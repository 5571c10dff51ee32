//! What a vCPU was at in each address space, as if no other process had come between.
//!
//! # Problem
//!
//! Two processes that take turns on one vCPU weave their phases into one sequence. A memory of the last phases must learn each
//! thread of it again for every place at which the other may cut in, and never foresees what a process goes on with when it
//! comes back after longer than that memory. The address space says who runs, and so to which thread a quantum belongs.
//!
//! # Method
//!
//! The address space is that at the *end* of a quantum: who begins the next one. A quantum that ends where the one before it
//! ended is taken as that space's own, and its phase goes to the space's own past; one that ends elsewhere was shared, and
//! goes to nobody's. Then one expert says that the space goes on where it was, whoever ran since, and contexts are asked
//! what followed:
//!
//! ```text
//! own 1, 2, 4   the space, whether the quantum was its own, its own last 1, 2, 4 phases
//! own run       the space, its own last phase, for how many of its own quanta, and the phase before it
//! turn          the space, the one before it, for how many quanta it has had the vCPU, the phase just seen
//! ```
//!
//! All speak of the coming quantum and of a few after it. Farther ahead others have had their turns, and who runs then is not
//! known: there they cost more than they told (`docs/introspection.md`).
//!
//! # Properties
//!
//! Spaces are told apart and nothing else: their numbers are only hashed and compared. Where a space is not known nobody
//! speaks, and the forecast is that of the other experts. Memory is fixed: of [`SPACES`] spaces the one that ended a quantum
//! longest ago makes room.

use super::tables::Context;
use crate::counters::AddressSpace;

/// Address spaces whose own past is kept.
const SPACES: usize = 16;

/// Phases of a space's own past.
const OWN: usize = 4;

/// Contexts of an address space.
pub(super) const OF_SPACE: usize = 5;

/// No phase; beyond the beginning.
const NONE: u64 = u64::MAX;

/// One address space's own past.
#[derive(Debug, Clone, Copy)]
struct Past {
    space: Option<AddressSpace>,
    /// The quantum that it ended last; 0 is never.
    used: u64,
    /// Its own last phases, the newest first.
    own: [u64; OWN],
    /// Own quanta that the newest has lasted.
    lasted: u64,
    /// The phase before that.
    before: u64,
}

impl Past {
    const NEW: Self = Self { space: None, used: 0, own: [NONE; OWN], lasted: 0, before: NONE };

    fn push(&mut self, phase: u64) {
        if self.own[0] == phase {
            self.lasted += 1;
        } else {
            (self.before, self.lasted) = (self.own[0], 1);
        }
        self.own.copy_within(..OWN - 1, 1);
        self.own[0] = phase;
    }
}

/// The address spaces of one vCPU.
#[derive(Debug, Clone)]
pub(super) struct Spaces {
    pasts: [Past; SPACES],
    now: u64,
    current: Option<AddressSpace>,
    before: Option<AddressSpace>,
    /// Quanta in a row that ended in the current one.
    held: u64,
}

/// What is known of the coming quantum by the address space that begins it.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfSpace {
    pub(super) contexts: [Context; OF_SPACE],
    /// Where the space's own past ended; `None` of one without a past.
    pub(super) resumes: Option<u16>,
    /// Whether the quantum just seen was its own.
    pub(super) is_own: bool,
}

impl Spaces {
    pub(super) const fn new() -> Self {
        Self { pasts: [Past::NEW; SPACES], now: 0, current: None, before: None, held: 0 }
    }

    /// A quantum in `phase` ended in `space`. `None` where that is not known.
    #[inline(always)]
    pub(super) fn observe(&mut self, space: Option<AddressSpace>, phase: usize) -> Option<OfSpace> {
        self.now += 1;
        let is_own = space.is_some() && space == self.current;
        if is_own {
            self.held += 1;
        } else {
            (self.before, self.current, self.held) = (self.current, space, 1);
        }
        let space = space?;
        let now = self.now;
        let past = self.past(space);
        past.used = now;
        if is_own {
            past.push(phase as u64);
        }
        let Past { own, lasted, before, .. } = *past;
        let of_kind = |kind: u64| Context::of_kind(200 + kind).with(space.number());
        let mut contexts = [of_kind(0); OF_SPACE];
        let mut context = of_kind(0).with(u64::from(is_own)).with(own[0]);
        contexts[0] = context;
        context = context.with(own[1]);
        contexts[1] = context.with(2);
        contexts[2] = context.with(own[2]).with(own[3]).with(4);
        contexts[3] = of_kind(1).with(own[0]).with(lasted).with(before);
        let turn = of_kind(2).with(self.before.map_or(NONE, AddressSpace::number));
        contexts[4] = turn.with(self.held).with(phase as u64);
        Some(OfSpace { contexts, resumes: u16::try_from(own[0]).ok(), is_own })
    }

    /// The past of `space`: a new one, in the place of that which ended a quantum longest ago, where it has none.
    fn past(&mut self, space: AddressSpace) -> &mut Past {
        let known = self.pasts.iter().position(|past| past.space == Some(space));
        let oldest = || (0..SPACES).min_by_key(|place| self.pasts[*place].used).unwrap_or(0);
        let place = known.unwrap_or_else(oldest);
        if known.is_none() {
            self.pasts[place] = Past { space: Some(space), ..Past::NEW };
        }
        &mut self.pasts[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(number: u64) -> Option<AddressSpace> {
        AddressSpace::of_cr3(number << 13)
    }

    #[test]
    fn a_space_that_comes_back_goes_on_where_it_was() {
        let mut spaces = Spaces::new();
        for (ends_in, phase) in [(1, 7), (1, 7), (1, 3), (2, 5), (2, 6), (2, 6)] {
            spaces.observe(space(ends_in), phase);
        }
        let back = spaces.observe(space(1), 4).expect("the space is known");
        assert_eq!((back.resumes, back.is_own), (Some(3), false));
        assert_eq!(spaces.observe(space(1), 3).map(|of| (of.resumes, of.is_own)), Some((Some(3), true)));
    }

    #[test]
    fn a_shared_quantum_is_nobodys_own() {
        let mut spaces = Spaces::new();
        spaces.observe(space(1), 7);
        assert_eq!(spaces.observe(space(2), 8).and_then(|of| of.resumes), None);
        assert_eq!(spaces.observe(space(1), 9).and_then(|of| of.resumes), None);
    }

    #[test]
    fn a_space_that_is_not_known_says_nothing_and_ends_the_turn() {
        let mut spaces = Spaces::new();
        spaces.observe(space(1), 7);
        assert!(spaces.observe(None, 7).is_none());
        assert_eq!(spaces.observe(space(1), 7).map(|of| of.is_own), Some(false));
    }

    #[test]
    fn the_space_that_ended_a_quantum_longest_ago_makes_room() {
        let mut spaces = Spaces::new();
        for number in 1..=SPACES as u64 + 1 {
            spaces.observe(space(number), 1);
            spaces.observe(space(number), number as usize);
        }
        assert_eq!(spaces.observe(space(2), 0).and_then(|of| of.resumes), Some(2));
        assert_eq!(spaces.observe(space(1), 0).and_then(|of| of.resumes), None);
    }
}
