//! Which lags are the nearest: the least distance of each block of lags, and the blocks of least distance.
//!
//! Owns the choice of [`NEIGHBOURS`] lags out of all, at most one of each [`BLOCK`]. A sort would cost more than all else in a
//! forecast: so blocks are named first that may be among the nearest ([`Candidates`], found while distances go on), and
//! only these are looked into and put in order, without a branch that depends on what a program does:
//!
//! ```text
//! least[c] = the least distance in block c, for each candidate c
//! rank[c]  = how many candidates have a lesser one; of equals the earlier block comes first
//! ```
//!
//! Where too many blocks may be, as when all distances are equal, all are looked at one by one.

use crate::simd::{Vector, WIDTH};

/// Analogues that are looked for.
pub(super) const NEIGHBOURS: usize = 8;

/// Consecutive lags of which at most one is an analogue.
pub(super) const BLOCK: usize = 16;

/// Most blocks that are put in order by rank.
const CANDIDATES: usize = 32;

/// A moment of the past that was like the present.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Neighbour {
    /// How long ago, in quanta.
    pub(super) lag: usize,
    /// How unlike it was.
    pub(super) distance: f32,
    /// Its weight beside the others.
    pub(super) weight: f32,
}

/// The moments that were most like the present, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Nearest {
    all: [Neighbour; NEIGHBOURS],
    count: usize,
}

impl Nearest {
    /// As many as are looked for.
    pub(super) const fn is_full(&self) -> bool {
        self.count == NEIGHBOURS
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Neighbour> {
        self.all[..self.count].iter()
    }

    fn push(&mut self, lag: usize, distance: f32) {
        self.all[self.count] = Neighbour { lag, distance, weight: 0.0 };
        self.count += 1;
    }

    /// Weighs all by how far they are beside the nearest.
    #[inline(always)]
    fn weighed(mut self) -> Self {
        let nearest = self.all[0].distance;
        for one in &mut self.all {
            one.weight = 1.0 / (20.0 * one.distance + nearest + 0.02);
        }
        self
    }
}

/// Blocks that may be among the nearest, in order, as far as there is room for them.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    blocks: [u32; CANDIDATES],
    count: usize,
}

impl Candidates {
    /// One more, if so it is.
    #[inline(always)]
    pub(super) fn add_if(&mut self, may_be: bool, block: u32) {
        self.blocks[self.count.min(CANDIDATES - 1)] = block;
        self.count += usize::from(may_be);
    }
}

/// The nearest of the lags up to `lags`, one of each block. `distances` has whole blocks; what is left out has no finite one.
#[inline(always)]
pub(super) fn nearest<V: Vector>(distances: &[f32], lags: usize, candidates: &Candidates) -> Nearest {
    // The last place of a full list may hold a block that is none.
    if candidates.count >= CANDIDATES {
        return nearest_of_all::<V>(distances, lags);
    }
    let blocks = &candidates.blocks[..candidates.count];
    let mut least = [f32::INFINITY; CANDIDATES];
    for (least, block) in least.iter_mut().zip(blocks) {
        *least = least_of::<V>(&of_block(distances, lags, *block as usize));
    }
    let mut found = Nearest::default();
    for place in order(&least, blocks.len()).into_iter().take(blocks.len().min(NEIGHBOURS)) {
        let (block, distance) = (blocks[place as usize] as usize, least[place as usize]);
        if distance < f32::INFINITY {
            found.push(block * BLOCK + place_of::<V>(distance, &of_block(distances, lags, block)), distance);
        }
    }
    found.weighed()
}

/// The places of the first `count` numbers, the least first, of equals the first; beyond them anything.
#[inline(always)]
fn order(numbers: &[f32; CANDIDATES], count: usize) -> [u32; CANDIDATES] {
    let mut ranks = [0u32; CANDIDATES];
    for one in &numbers[..count] {
        for (rank, other) in ranks.iter_mut().zip(numbers) {
            *rank += u32::from(one < other);
        }
    }
    let mut order = [u32::MAX; CANDIDATES];
    for (place, rank) in (0u32..).zip(&ranks[..count]) {
        let mut rank = *rank as usize;
        // Taken by an equal one.
        while order[rank] != u32::MAX {
            rank += 1;
        }
        order[rank] = place;
    }
    order
}

/// The distances of one block; those that reach back before the beginning are infinite.
#[inline(always)]
fn of_block(distances: &[f32], lags: usize, block: usize) -> [f32; BLOCK] {
    let mut own = distances.as_chunks().0[block];
    let known = lags + 1 - block * BLOCK;
    if known < BLOCK {
        own[known..].fill(f32::INFINITY);
    }
    own
}

/// The least of a block.
#[inline(always)]
fn least_of<V: Vector>(block: &[f32; BLOCK]) -> f32 {
    let [low, high] = halves::<V>(block);
    least_lane(low.min(high))
}

/// Where in a block its least distance stands first.
#[inline(always)]
fn place_of<V: Vector>(least: f32, block: &[f32; BLOCK]) -> usize {
    // Every place is looked at: to stop at the first would be a branch that nothing can foresee. None is below the least.
    let (least, none) = (V::splat(least), V::splat(BLOCK as f32 - 1.0));
    let [low, high] = halves::<V>(block);
    let [low_places, high_places] = halves::<V>(&PLACES);
    least_lane(least.select_below(low, none, low_places).min(least.select_below(high, none, high_places))) as usize
}

/// Every place of a block, as numbers that stand beside distances.
const PLACES: [f32; BLOCK] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

#[inline(always)]
fn halves<V: Vector>(block: &[f32; BLOCK]) -> [V; 2] {
    [V::load(&std::array::from_fn(|lane| block[lane])), V::load(&std::array::from_fn(|lane| block[WIDTH + lane]))]
}

#[inline(always)]
fn least_lane<V: Vector>(numbers: V) -> f32 {
    let eight = numbers.store();
    let four: [f32; 4] = std::array::from_fn(|lane| lesser(eight[lane], eight[lane + 4]));
    lesser(lesser(four[0], four[2]), lesser(four[1], four[3]))
}

#[inline(always)]
fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

/// The same without candidates.
fn nearest_of_all<V: Vector>(distances: &[f32], lags: usize) -> Nearest {
    // Distances are not negative, so that their bits are in the order of their values; the lag breaks ties.
    let mut keys = [u64::MAX; NEIGHBOURS];
    for block in 0..distances.len() / BLOCK {
        let own = of_block(distances, lags, block);
        let least = least_of::<V>(&own);
        let mut key = (u64::from(least.to_bits()) << 32) | (block as u64);
        if least < f32::INFINITY && key < keys[NEIGHBOURS - 1] {
            for slot in &mut keys {
                (*slot, key) = ((*slot).min(key), (*slot).max(key));
            }
        }
    }
    let mut found = Nearest::default();
    for key in keys.into_iter().filter(|key| *key != u64::MAX) {
        let (block, distance) = ((key & 0xffff_ffff) as usize, f32::from_bits((key >> 32) as u32));
        found.push(block * BLOCK + place_of::<V>(distance, &of_block(distances, lags, block)), distance);
    }
    found.weighed()
}
