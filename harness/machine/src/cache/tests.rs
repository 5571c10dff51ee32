//! Claims about caches, private and shared.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// LRU as one would write it without thinking of speed: each set a map from line to (time of last use, dirty).
#[derive(Default)]
struct Reference {
    sets: BTreeMap<u64, BTreeMap<u64, (u64, bool)>>,
    time: u64,
}

impl Reference {
    fn access(&mut self, spec: CacheSpec, line: Line, direction: Direction) -> Outcome {
        self.time += 1;
        let set = self.sets.entry(line.0 % spec.sets as u64).or_default();
        let write = direction == Direction::Write;
        if let Some((used, dirty)) = set.get_mut(&line.0) {
            (*used, *dirty) = (self.time, *dirty || write);
            return Outcome::Hit;
        }
        let oldest = set.iter().min_by_key(|(_, (used, _))| *used).map(|(line, _)| *line);
        let victim = oldest.filter(|_| set.len() == spec.ways).and_then(|line| set.remove_entry(&line));
        set.insert(line.0, (self.time, write));
        Outcome::Miss { dirty_victim: victim.and_then(|(line, (_, dirty))| dirty.then_some(Line(line))) }
    }
}

fn streams() -> impl Strategy<Value = Vec<(u64, bool)>> {
    prop::collection::vec((0u64..64, any::<bool>()), 1..400)
}

fn direction(write: bool) -> Direction {
    if write { Direction::Write } else { Direction::Read }
}

proptest! {
    #[test]
    fn vector_instructions_answer_and_leave_what_portable_ones_do(stream in streams(), eights in 1usize..=2) {
        let (mut wide_set, mut portable_set) = (vec![0; 8 * eights], vec![0; 8 * eights]);
        for (line, write) in stream {
            let (line, direction) = (Line(line), direction(write));
            // `None` on a processor without: there is nothing to hold against the portable ones.
            let Some(answer) = wide::access(&mut wide_set, line, direction) else { return Ok(()) };
            prop_assert_eq!(answer, portable_access(&mut portable_set, line, direction));
            prop_assert_eq!(&wide_set, &portable_set);
        }
    }

    #[test]
    fn every_access_is_answered_as_by_a_naive_lru(stream in streams(), set_bits in 0u32..4, ways in 1usize..18) {
        let spec = CacheSpec { sets: 1 << set_bits, ways, latency_cycles: 1 };
        let (mut cache, mut reference) = (PrivateCache::new(spec), Reference::default());
        for (line, write) in stream {
            let expected = reference.access(spec, Line(line), direction(write));
            prop_assert_eq!(cache.access(Line(line), direction(write)), expected);
        }
    }

    #[test]
    fn the_first_level_is_the_same_lru_and_names_victims_physically(stream in streams(), ways in 1usize..6) {
        let spec = CacheSpec { sets: 4, ways, latency_cycles: 1 };
        let (mut cache, mut reference) = (FirstLevel::new(spec), Reference::default());
        let physical = |line: Line| Line(line.0 + 1000);
        for (line, write) in stream {
            let (line, direction) = (Line(line), direction(write));
            let recent = match direction {
                Direction::Read => cache.is_most_recent(line),
                Direction::Write => cache.dirtied_most_recent(line),
            };
            let found = if recent || cache.hit(line, direction) {
                Outcome::Hit
            } else {
                Outcome::Miss { dirty_victim: cache.fill(line, physical(line), direction) }
            };
            let expected = match reference.access(spec, line, direction) {
                Outcome::Miss { dirty_victim } => Outcome::Miss { dirty_victim: dirty_victim.map(physical) },
                Outcome::Hit => Outcome::Hit,
            };
            prop_assert_eq!(found, expected);
        }
    }
}

const LLC: CacheSpec = CacheSpec { sets: 1024, ways: 16, latency_cycles: 40 };

#[test]
fn two_guests_with_the_same_pages_do_not_find_each_others_lines() {
    let mut tags = vec![0; LLC.lines()];
    let [first, second] = [0, 1].map(|slot| SharedIndex::coloured(LLC, slot, 7));
    assert_ne!(first.access(&mut tags, Line(5), Direction::Read), Outcome::Hit);
    assert_ne!(second.access(&mut tags, Line(5), Direction::Read), Outcome::Hit);
    assert_eq!(first.access(&mut tags, Line(5), Direction::Read), Outcome::Hit);
}

#[test]
fn page_colours_spread_a_buffer_over_the_cache_and_change_with_seed_and_guest() {
    // Three quarters of the cache, contiguous: with random colours some sets overflow, most do not.
    let misses = |slot, seed| {
        let (index, mut tags) = (SharedIndex::coloured(LLC, slot, seed), vec![0; LLC.lines()]);
        let pass = |tags: &mut Vec<u64>| {
            (0..LLC.lines() as u64 * 3 / 4)
                .filter(|&line| index.access(tags, Line(line), Direction::Read) != Outcome::Hit)
                .count()
        };
        pass(&mut tags);
        pass(&mut tags)
    };
    let overflowing = misses(0, 1);
    assert!(overflowing > 0 && overflowing < LLC.lines() / 2, "{overflowing}");
    assert_eq!(misses(0, 1), overflowing);
    assert!((0..8).any(|slot| misses(slot, 1) != overflowing));
    assert!((0..8).any(|seed| misses(0, seed) != overflowing));
}

#[test]
fn a_guest_alone_can_have_the_page_colours_that_it_has_beside_others() {
    let misses = |index: SharedIndex| {
        let mut tags = vec![0; LLC.lines()];
        let mut pass = || {
            let lines = (0..LLC.lines() as u64 * 3 / 4).map(Line);
            lines.map(|line| index.access(&mut tags, line, Direction::Read) == Outcome::Hit).collect::<Vec<_>>()
        };
        pass();
        pass()
    };
    let beside = misses(SharedIndex::coloured(LLC, 3, 7));
    assert_eq!(misses(SharedIndex::coloured(LLC, 0, seed_of_slot(7, 3))), beside);
    assert_ne!(misses(SharedIndex::coloured(LLC, 0, 7)), beside);
}

#[test]
fn a_flush_hands_over_what_was_dirty_and_forgets_all() {
    let mut cache = FirstLevel::new(CacheSpec { sets: 4, ways: 2, latency_cycles: 1 });
    cache.fill(Line(1), Line(101), Direction::Write);
    cache.fill(Line(2), Line(102), Direction::Read);
    let mut written = Vec::new();
    cache.flush(|line| written.push(line));
    assert_eq!(written, [Line(101)]);
    assert!(!cache.hit(Line(1), Direction::Read) && !cache.hit(Line(2), Direction::Read));
}
