//! A map of bounded size: when it is full, the entry that was used longest ago makes room.
//!
//! Owns what the table forecasters ([`super::gpht`], [`super::markov_order`], [`super::rle_markov`], [`super::burst`])
//! remember. The order of use is counted, not timed, so that the same calls evict the same entries anywhere.

use std::collections::BTreeMap;

/// At most `capacity` entries, the least recently used of which is dropped first.
#[derive(Debug, Clone)]
pub(super) struct Recent<K, V> {
    capacity: usize,
    uses: u64,
    entries: BTreeMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    /// Room for `capacity` entries, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), uses: 0, entries: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// The entry of `key`, if there is one; it does not count as used.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The entry of `key`, which counts as used now; `fresh` where there was none, at the cost of the entry used
    /// longest ago if the table is full.
    pub(super) fn touch(&mut self, key: &K, fresh: impl FnOnce() -> V) -> &mut V {
        let full = self.entries.len() >= self.capacity && !self.entries.contains_key(key);
        if full && let Some((_, oldest)) = self.by_use.pop_first() {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let now = self.uses;
        let (used, value) = self.entries.entry(key.clone()).or_insert_with(|| (now, fresh()));
        self.by_use.remove(used);
        *used = now;
        self.by_use.insert(now, key.clone());
        value
    }

    /// Drops the entry of `key`, if there is one.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some((used, _)) = self.entries.remove(key) {
            self.by_use.remove(&used);
        }
    }

    /// What the entries take, in bytes: `key_bytes` is what a key holds on the heap and `value_bytes` what a value does.
    pub(super) fn memory_bytes(&self, key_bytes: usize, value_bytes: usize) -> usize {
        let entry = 2 * (size_of::<K>() + key_bytes) + 2 * size_of::<u64>() + size_of::<V>() + value_bytes;
        self.entries.len() * entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_longest_ago_makes_room() {
        let mut table = Recent::new(2);
        *table.touch(&"a", || 0) = 1;
        *table.touch(&"b", || 0) = 2;
        table.touch(&"a", || 0);
        table.touch(&"c", || 3);
        assert_eq!((table.peek(&"a"), table.peek(&"b"), table.peek(&"c")), (Some(&1), None, Some(&3)));
    }

    #[test]
    fn looking_is_no_use() {
        let mut table = Recent::new(2);
        table.touch(&"a", || 1);
        table.touch(&"b", || 2);
        assert_eq!(table.peek(&"a"), Some(&1));
        table.touch(&"c", || 3);
        assert_eq!(table.peek(&"a"), None);
    }

    #[test]
    fn what_is_dropped_is_gone_from_both_sides() {
        let mut table = Recent::new(2);
        table.touch(&"a", || 1);
        table.remove(&"a");
        table.touch(&"b", || 2);
        table.touch(&"c", || 3);
        assert_eq!((table.peek(&"b"), table.peek(&"c")), (Some(&2), Some(&3)));
    }
}
