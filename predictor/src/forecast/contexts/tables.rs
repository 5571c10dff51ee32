//! What followed a context before, for contexts of every kind, in one table of fixed size.
//!
//! A context is a 64-bit hash of its kind and symbols. The table has pairs of slots; a context lives in one of the two
//! that its hash names, known by the rest of its hash; a new one takes the slot that was used longest ago. A slot counts
//! up to [`FOLLOWERS`] phases; each visit first lets all counts decay, and a phase that finds no room replaces the one
//! counted least. Two contexts with the same 64 bits would be taken for one.

/// Phases that one context keeps counts of.
pub(super) const FOLLOWERS: usize = 4;

/// A context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context(u64);

impl Context {
    /// The empty context of a kind.
    pub(super) const fn of_kind(kind: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(kind + 1)).with(0x51)
    }

    /// The context with one more symbol.
    pub(super) const fn with(self, symbol: u64) -> Self {
        // splitmix64's finaliser: every bit of the symbol reaches every bit of the hash.
        let mixed = self.0.wrapping_add(symbol.wrapping_mul(0xbf58_476d_1ce4_e5b9)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(mixed ^ (mixed >> 31))
    }
}

/// What followed one context.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    check: u32,
    /// The quantum of the last visit; 0 is never.
    used: u32,
    /// Visits, up to the largest number.
    pub(super) visits: u16,
    phases: [u16; FOLLOWERS],
    counts: [f32; FOLLOWERS],
}

impl Slot {
    /// Phases that followed, with their decayed counts; of a phase that never did, none.
    #[inline(always)]
    pub(super) fn followers(&self) -> impl Iterator<Item = (u16, f32)> + '_ {
        self.phases.into_iter().zip(self.counts)
    }

    /// `came` follows; earlier counts decay by `keep`, and go altogether where `keep` is 0.
    #[inline(always)]
    fn count(&mut self, came: usize, keep: f32) {
        let came = u16::try_from(came).unwrap_or(u16::MAX);
        let counts = self.counts.map(|count| count * keep);
        // The place of the phase, else of the least count. Which it is nothing can foresee: all are looked at, without a branch.
        let (mut place, mut least) = (0, counts[0]);
        for (index, count) in counts.into_iter().enumerate().skip(1) {
            (place, least) = if count < least { (index, count) } else { (place, least) };
        }
        let mut before = 0.0;
        for index in (0..FOLLOWERS).rev() {
            let is = (counts[index] > 0.0) & (self.phases[index] == came);
            (place, before) = if is { (index, counts[index]) } else { (place, before) };
        }
        self.counts = std::array::from_fn(|index| if index == place { before + 1.0 } else { counts[index] });
        self.phases = std::array::from_fn(|index| if index == place { came } else { self.phases[index] });
        self.visits = self.visits.saturating_add(1);
    }
}

/// The contexts of one vCPU.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    slots: Vec<Slot>,
    now: u32,
}

impl Tables {
    /// Room for 2 to the `bits` contexts.
    pub(super) fn new(bits: u32) -> Self {
        Self { slots: vec![Slot::default(); 1 << bits.max(1)], now: 0 }
    }

    /// Another quantum has come.
    pub(super) fn tick(&mut self) {
        self.now = self.now.saturating_add(1);
    }

    /// The slot of `context`, if it has one, else the one of its pair that was used longest ago; and whether it has one.
    #[inline(always)]
    fn slot(&self, context: Context) -> (usize, bool) {
        let place = (context.0 as usize & (self.slots.len() - 1)) & !1;
        let check = (context.0 >> 32) as u32;
        let [one, other] = [&self.slots[place], &self.slots[place + 1]];
        let is = |slot: &Slot| (slot.used > 0) & (slot.check == check);
        let older = usize::from(other.used < one.used);
        let index = if is(one) {
            0
        } else if is(other) {
            1
        } else {
            older
        };
        (place + index, is(one) | is(other))
    }

    /// What followed `context`, if it was seen and is still there.
    #[inline(always)]
    pub(super) fn get(&self, context: Context) -> Option<&Slot> {
        let (place, known) = self.slot(context);
        known.then(|| &self.slots[place])
    }

    /// `context` was followed by `came`; earlier counts decay by `keep`.
    #[inline(always)]
    pub(super) fn count(&mut self, context: Context, came: usize, keep: f32) {
        let (place, known) = self.slot(context);
        let slot = &mut self.slots[place];
        // One that makes room keeps nothing.
        slot.visits = if known { slot.visits } else { 0 };
        slot.check = (context.0 >> 32) as u32;
        slot.used = self.now.max(1);
        slot.count(came, if known { keep } else { 0.0 });
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_decay_at_each_visit() {
        let mut tables = Tables::new(4);
        let context = Context::of_kind(1).with(7);
        tables.count(context, 3, 0.5);
        tables.count(context, 5, 0.5);
        tables.count(context, 5, 0.5);
        let slot = tables.get(context).expect("counted");
        assert_eq!(slot.followers().filter(|(_, count)| *count > 0.0).collect::<Vec<_>>(), [(3, 0.25), (5, 1.5)]);
        assert_eq!(slot.visits, 3);
    }

    #[test]
    fn a_phase_without_room_replaces_the_one_counted_least() {
        let mut tables = Tables::new(4);
        let context = Context::of_kind(0);
        [1, 1, 2, 3, 3, 4, 4, 5].iter().for_each(|came| tables.count(context, *came, 1.0));
        let followers: Vec<_> = tables.get(context).expect("counted").followers().collect();
        assert_eq!(followers, [(1, 2.0), (5, 1.0), (3, 2.0), (4, 2.0)]);
    }

    #[test]
    fn the_context_used_longest_ago_makes_room() {
        let mut tables = Tables::new(1);
        let contexts = [1, 2, 3].map(|symbol| Context::of_kind(0).with(symbol));
        for context in contexts {
            tables.tick();
            tables.count(context, 0, 0.9);
        }
        assert_eq!(contexts.map(|context| tables.get(context).is_some()), [false, true, true]);
    }

    #[test]
    fn order_and_kind_make_different_contexts() {
        let ab = Context::of_kind(0).with(1).with(2);
        assert_ne!(ab, Context::of_kind(0).with(2).with(1));
        assert_ne!(ab, Context::of_kind(1).with(1).with(2));
        assert_ne!(ab, Context::of_kind(0).with(1).with(2).with(0));
    }
}
