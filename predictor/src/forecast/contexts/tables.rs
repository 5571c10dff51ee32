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
    /// Phases that followed, with their decayed counts.
    pub(super) fn followers(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let phases = self.phases.iter().map(|phase| usize::from(*phase));
        phases.zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0.0)
    }

    fn count(&mut self, came: usize, keep: f32) {
        let came = u16::try_from(came).unwrap_or(u16::MAX);
        self.counts.iter_mut().for_each(|count| *count *= keep);
        let mut place = 0;
        for index in 0..FOLLOWERS {
            if self.counts[index] > 0.0 && self.phases[index] == came {
                place = index;
                break;
            }
            if self.counts[index] < self.counts[place] {
                place = index;
            }
        }
        if self.phases[place] != came || self.counts[place] <= 0.0 {
            self.phases[place] = came;
            self.counts[place] = 0.0;
        }
        self.counts[place] += 1.0;
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

    fn pair(&self, context: Context) -> (usize, u32) {
        let place = (context.0 as usize & (self.slots.len() - 1)) & !1;
        (place, (context.0 >> 32) as u32)
    }

    /// What followed `context`, if it was seen and is still there.
    pub(super) fn get(&self, context: Context) -> Option<&Slot> {
        let (place, check) = self.pair(context);
        self.slots[place..place + 2].iter().find(|slot| slot.used > 0 && slot.check == check)
    }

    /// `context` was followed by `came`; earlier counts decay by `keep`.
    pub(super) fn count(&mut self, context: Context, came: usize, keep: f32) {
        let now = self.now.max(1);
        let (place, check) = self.pair(context);
        let pair = &mut self.slots[place..place + 2];
        let known = pair.iter().position(|slot| slot.used > 0 && slot.check == check);
        let slot = match known {
            Some(index) => &mut pair[index],
            None => {
                let index = usize::from(pair[1].used < pair[0].used);
                pair[index] = Slot { check, ..Slot::default() };
                &mut pair[index]
            }
        };
        slot.used = now;
        slot.count(came, keep);
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
        assert_eq!(slot.followers().collect::<Vec<_>>(), [(3, 0.25), (5, 1.5)]);
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
