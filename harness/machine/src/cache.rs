//! Set-associative caches with least-recently-used replacement, and where a guest's lines lie in a shared one.
//!
//! A set is a slice of words, most recently used first: an access moves its line to the front, a miss drops the last.
//! That makes LRU exact, needs no clocks, and finds the usual case, the most recent line, with one comparison. The
//! words may lie anywhere, also in memory shared between processes; all zero is an empty cache.
//!
//! Which level is asked after which is [`crate::vcpu`]'s business.

mod wide;

use crate::spec::{CacheSpec, LINE_BYTES};

const VALID: u64 = 1;
const DIRTY: u64 = 2;
const FLAG_BITS: u32 = 2;
/// Of a line that was not accessed since [`FirstLevel::age`]. Addresses leave the top four bits of a word free.
const AGED: u64 = 1 << 63;

/// A line's name within one cache: its address divided by the line size, or anything else below 2^62.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(pub u64);

impl Line {
    /// The line that holds the byte at `address`.
    #[inline(always)]
    #[must_use]
    pub const fn of(address: u64) -> Self {
        Self(address / LINE_BYTES)
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        self.0 << FLAG_BITS | VALID
    }
}

/// Whether an access only reads its line or dirties it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The line stays as it is.
    Read,
    /// The line becomes dirty.
    Write,
}

impl Direction {
    #[inline(always)]
    const fn flag(self) -> u64 {
        match self {
            Direction::Read => 0,
            Direction::Write => DIRTY,
        }
    }
}

/// What an access found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The line was there.
    Hit,
    /// It was not and now is; the line that made room for it has to be written out if it was dirty.
    Miss {
        /// The dirty line that was dropped.
        dirty_victim: Option<Line>,
    },
}

/// Accesses `line` in the set that holds it; on a miss it takes the place of the least recently used one.
#[inline]
pub fn access(set: &mut [u64], line: Line, direction: Direction) -> Outcome {
    wide::access(set, line, direction).unwrap_or_else(|| portable_access(set, line, direction))
}

/// [`access`] on any processor and for any number of ways.
fn portable_access(set: &mut [u64], line: Line, direction: Direction) -> Outcome {
    let wanted = line.word();
    // One pass: every word moves back by one until the wanted one, or the last, has left its place. Four at a time, so
    // that less is spent on counting.
    let mut carried = wanted | direction.flag();
    let mut step = |word: &mut u64| {
        std::mem::swap(word, &mut carried);
        carried & !DIRTY == wanted
    };
    let (fours, rest) = set.as_chunks_mut::<4>();
    let mut fours = fours.iter_mut();
    let found = fours.any(|[a, b, c, d]| step(a) || step(b) || step(c) || step(d)) || rest.iter_mut().any(step);
    if found {
        set[0] |= carried & DIRTY;
        return Outcome::Hit;
    }
    let dirty = carried & DIRTY != 0;
    Outcome::Miss { dirty_victim: dirty.then_some(Line(carried >> FLAG_BITS)) }
}

/// Puts `first` before the others and answers the last, which drops out. The slices are a few words long: a loop beats
/// a call that moves memory.
#[inline(always)]
fn push_front<T: Copy>(slice: &mut [T], first: T) -> T {
    let mut carried = first;
    for place in slice {
        std::mem::swap(place, &mut carried);
    }
    carried
}

/// The words of the set numbered `set`.
pub fn set_of(words: &mut [u64], ways: usize, set: usize) -> &mut [u64] {
    &mut words[set * ways..][..ways]
}

/// A private cache that is indexed by its lines' low bits.
#[derive(Debug, Clone)]
pub struct PrivateCache {
    words: Vec<u64>,
    ways: usize,
    set_mask: u64,
}

impl PrivateCache {
    /// An empty cache.
    #[must_use]
    pub fn new(spec: CacheSpec) -> Self {
        Self { words: vec![0; spec.lines()], ways: spec.ways, set_mask: spec.sets as u64 - 1 }
    }

    /// Accesses `line`.
    #[inline]
    pub fn access(&mut self, line: Line, direction: Direction) -> Outcome {
        let set = (line.0 & self.set_mask) as usize;
        access(set_of(&mut self.words, self.ways, set), line, direction)
    }

    /// Whether `line` is there; changes nothing.
    #[inline]
    #[must_use]
    pub fn contains(&self, line: Line) -> bool {
        let set = (line.0 & self.set_mask) as usize;
        self.words[set * self.ways..][..self.ways].iter().any(|word| word & !DIRTY == line.word())
    }

    /// Hands every dirty line to `visit`.
    pub fn each_dirty(&self, mut visit: impl FnMut(Line)) {
        for word in self.words.iter().filter(|&&word| word & DIRTY != 0) {
            visit(Line(word >> FLAG_BITS));
        }
    }

    /// Empties the cache.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }
}

/// A first-level cache: found by virtual line, so that a hit needs no translation, and it remembers the physical line
/// of each, so that a dirty one can be written out.
#[derive(Debug, Clone)]
pub struct FirstLevel {
    words: Vec<u64>,
    physical: Vec<Line>,
    ways: usize,
    /// Distance between sets, a power of two, so that the usual case shifts instead of multiplying.
    stride_bits: u32,
    set_mask: u64,
}

impl FirstLevel {
    /// An empty cache.
    #[must_use]
    pub fn new(spec: CacheSpec) -> Self {
        let stride = spec.ways.next_power_of_two();
        Self {
            words: vec![0; spec.sets * stride],
            physical: vec![Line(0); spec.sets * stride],
            ways: spec.ways,
            stride_bits: stride.trailing_zeros(),
            set_mask: spec.sets as u64 - 1,
        }
    }

    /// Whether `line` is the most recently used of its set, and so a read changes nothing.
    #[inline(always)]
    #[must_use]
    pub fn is_most_recent(&self, line: Line) -> bool {
        let at = ((line.0 & self.set_mask) as usize) << self.stride_bits;
        self.words[at] | DIRTY == line.word() | DIRTY
    }

    /// Whether `line` is the most recently used of its set; if so it becomes dirty.
    #[inline(always)]
    #[must_use]
    pub fn dirtied_most_recent(&mut self, line: Line) -> bool {
        let at = ((line.0 & self.set_mask) as usize) << self.stride_bits;
        let word = &mut self.words[at];
        let found = *word | DIRTY == line.word() | DIRTY;
        if found {
            *word |= DIRTY;
        }
        found
    }

    /// Accesses `line` if it is there; `false`, and nothing changes, if it is not.
    #[inline]
    pub fn hit(&mut self, line: Line, direction: Direction) -> bool {
        let at = ((line.0 & self.set_mask) as usize) << self.stride_bits;
        let set = &mut self.words[at..][..self.ways];
        let Some(way) = set.iter().position(|word| word & !DIRTY == line.word()) else { return false };
        let word = set[way] | direction.flag();
        push_front(&mut set[..=way], word);
        let physical = &mut self.physical[at..][..=way];
        push_front(physical, physical[way]);
        true
    }

    /// Brings in a line that is not there; answers the physical line of a dirty one that was dropped.
    #[inline]
    pub fn fill(&mut self, line: Line, physical_line: Line, direction: Direction) -> Option<Line> {
        let at = ((line.0 & self.set_mask) as usize) << self.stride_bits;
        let dropped = push_front(&mut self.words[at..][..self.ways], line.word() | direction.flag());
        let victim = push_front(&mut self.physical[at..][..self.ways], physical_line);
        (dropped & DIRTY != 0).then_some(victim)
    }

    /// Hands every dirty line's physical line to `visit`.
    pub fn each_dirty(&self, mut visit: impl FnMut(Line)) {
        for (_, physical) in self.words.iter().zip(&self.physical).filter(|(word, _)| **word & DIRTY != 0) {
            visit(*physical);
        }
    }

    /// Makes the next access to each line be told: it is not found in the usual way, and [`FirstLevel::renew`] has to
    /// be asked. Nothing else changes.
    pub fn age(&mut self) {
        for word in self.words.iter_mut().filter(|word| **word & VALID != 0) {
            *word |= AGED;
        }
    }

    /// Accesses `line` if it is there and was not accessed since [`FirstLevel::age`]; `false`, and nothing changes,
    /// otherwise.
    pub fn renew(&mut self, line: Line, direction: Direction) -> bool {
        let at = ((line.0 & self.set_mask) as usize) << self.stride_bits;
        let set = &mut self.words[at..][..self.ways];
        let aged = |word: &u64| word & !DIRTY == line.word() | AGED;
        let Some(way) = set.iter().position(aged) else { return false };
        set[way] &= !AGED;
        self.hit(line, direction)
    }

    /// Empties the cache and hands every dirty line's physical line to `written_out`.
    pub fn flush(&mut self, written_out: impl FnMut(Line)) {
        self.each_dirty(written_out);
        self.words.fill(0);
    }
}

/// Where a vCPU's lines lie in the LLC of its domain.
///
/// Guests that boot from one image touch identical physical pages, which on a real host lie anywhere. So the part of
/// the set's number that is above the page offset is a hash of the seed, the vCPU's slot and the page, and a line's
/// name says whose it is.
#[derive(Debug, Clone, Copy)]
pub struct SharedIndex {
    ways: usize,
    set_mask: u64,
    owner: Option<Owner>,
}

/// The seed under which slot 0 has the page colours that `slot` has under `seed`: a guest that runs alone, in slot 0,
/// then meets the colours it has beside others. Colours are luck worth several percent, which would otherwise pass for
/// slowdown.
#[must_use]
pub const fn seed_of_slot(seed: u64, slot: u32) -> u64 {
    seed.wrapping_add((slot as u64) << 32)
}

/// Whose lines they are.
#[derive(Debug, Clone, Copy)]
struct Owner {
    /// Told apart in a line's name.
    prefix: u64,
    /// Told apart in the choice of page colours.
    salt: u64,
}

const LINES_PER_PAGE_BITS: u32 = 6;
/// Lines of a 52-bit physical address space.
const PHYSICAL_LINE_BITS: u32 = 46;

impl SharedIndex {
    /// Random page colours, told apart by slot.
    #[must_use]
    pub fn coloured(spec: CacheSpec, slot: u32, seed: u64) -> Self {
        let salt = scramble(scramble(seed_of_slot(seed, slot)));
        let owner = Owner { prefix: u64::from(slot) << PHYSICAL_LINE_BITS, salt };
        Self { ways: spec.ways, set_mask: spec.sets as u64 - 1, owner: Some(owner) }
    }

    /// Indexed by the line's low bits: for comparison with simulators that do so.
    #[must_use]
    pub fn plain(spec: CacheSpec) -> Self {
        Self { ways: spec.ways, set_mask: spec.sets as u64 - 1, owner: None }
    }

    /// Accesses a physical line in the LLC whose tags are `tags`.
    #[inline]
    pub fn access(&self, tags: &mut [u64], physical: Line, direction: Direction) -> Outcome {
        let (set, line) = match self.owner {
            None => (physical.0, physical),
            Some(Owner { prefix, salt }) => {
                let colour = scramble(salt ^ physical.0 >> LINES_PER_PAGE_BITS);
                let in_page = physical.0 & ((1 << LINES_PER_PAGE_BITS) - 1);
                (colour << LINES_PER_PAGE_BITS | in_page, Line(prefix | physical.0))
            }
        };
        access(set_of(tags, self.ways, (set & self.set_mask) as usize), line, direction)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every output bit depends on every input bit.
const fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests;
