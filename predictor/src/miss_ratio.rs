//! Miss ratio against cache size, for each phase of a stream of references, in one pass and little memory.
//!
//! Owns the algorithm and the curve. Where lines come from, and which phase each reference belongs to, is the caller's
//! business; so is what is done with a curve.
//!
//! # Problem
//!
//! How often would a guest miss in an LLC of this size, or of that, without running it for each? A cache with
//! least-recently-used replacement hits exactly if fewer *other* lines than it holds were touched since the line was
//! touched last (Mattson, Gecsei, Slutz, Traiger, IBM Systems Journal 9(2), 1970). So one pass that finds each reference's
//! *distance*, the number of different lines since the last touch of this one, itself included, answers for all sizes at
//! once. Exact distances cost memory for every line ever touched, and time for each reference.
//!
//! # Idea
//!
//! SHARDS (Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015), with a fixed rate:
//! follow the lines whose hash falls below a threshold and no others. The sample is by line and not by reference, so a
//! followed line is seen every time, and of the lines between two touches the sample has a known share.
//!
//! Terms: `R` the share of lines that are followed; `d` a distance among followed lines; `d / R` the distance that it
//! stands for. A curve has a miss ratio for each *size*, in lines; distances beyond the largest, and first touches, are
//! misses everywhere.
//!
//! ```text
//! for each reference to a line, in a phase:
//!     references[phase] += 1
//!     if hash(line) mod 2^24 >= R 2^24: done
//!     d = followed lines touched since the last touch of this one, itself included   (a tree over times of last touch)
//!     hits[phase][smallest size >= d / R] += 1, or nothing if there is none, or if this is the first touch
//! hits[phase][0] += R references[phase] - references followed                        (SHARDS-adj)
//! miss ratio[size] = (R references - sum of hits up to size) / (R references)
//! ```
//!
//! The last step but one makes up for followed lines being referenced more or less often than the mean line: few hot lines
//! decide by how much the sample is off, hot lines have short distances, so the difference belongs to the smallest size.
//!
//! A touch that is no reference ([`MissRatios::touch`]), as a dirty line on its way down, makes a line recent and is not counted.
//!
//! # Properties
//!
//! Each with a test. With `R` = 1 it is exact. A curve never rises with size. Phases add up: the reference-weighted mean of
//! their curves is the curve of all. Cost is a logarithm of the followed lines for each followed reference, and a
//! hash for each other.
//!
//! ```
//! use predictor::miss_ratio::{MissRatios, Sampling};
//!
//! // Four lines again and again: all hits in a cache of four, none in one of three.
//! let mut ratios = MissRatios::new(Sampling::EVERYTHING, vec![3, 4]);
//! for time in 0..512 {
//!     ratios.reference(time % 4, 0);
//! }
//! let curve = ratios.curve(0).expect("phase 0 was seen");
//! assert_eq!(curve.references, 512);
//! assert_eq!(curve.miss_ratios, [1.0, 1.0 / 128.0]);
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Hashes are compared by so many bits.
const MODULUS: u64 = 1 << 24;

/// Which lines are followed: those whose hash is below a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    threshold: u64,
}

impl Sampling {
    /// Every line: distances are exact.
    pub const EVERYTHING: Self = Self { threshold: MODULUS };

    /// This share of lines, above 0 and at most 1; `None` for other shares.
    #[must_use]
    pub fn of(rate: f64) -> Option<Self> {
        let threshold = (rate * MODULUS as f64).round();
        (threshold >= 1.0 && threshold <= MODULUS as f64).then_some(Self { threshold: threshold as u64 })
    }

    /// The share of lines that are followed.
    #[must_use]
    pub fn rate(self) -> f64 {
        self.threshold as f64 / MODULUS as f64
    }

    const fn follows(self, line: u64) -> bool {
        hash(line) % MODULUS < self.threshold
    }
}

/// Miss ratio against size, of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// References that the phase made, followed or not.
    pub references: u64,
    /// For each size, in the order of sizes: the share of references that miss in a cache of so many lines, in [0, 1].
    pub miss_ratios: Vec<f64>,
}

/// A stream that is being followed.
#[derive(Debug, Clone)]
pub struct MissRatios {
    sampling: Sampling,
    sizes: Vec<u64>,
    recency: Recency,
    phases: BTreeMap<u32, Tally>,
}

/// One phase's references.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tally {
    references: u64,
    followed: u64,
    /// By the smallest size in which they hit.
    hits: Vec<u64>,
}

impl MissRatios {
    /// Nothing seen yet; curves will have these sizes, in lines. They are put in ascending order, each once.
    #[must_use]
    pub fn new(sampling: Sampling, mut sizes: Vec<u64>) -> Self {
        sizes.sort_unstable();
        sizes.dedup();
        Self { sampling, sizes, recency: Recency::default(), phases: BTreeMap::new() }
    }

    /// The sizes of every curve, in lines, ascending.
    #[must_use]
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// A reference to the cache line of this number, made in this phase.
    pub fn reference(&mut self, line: u64, phase: u32) {
        let sizes = self.sizes.len();
        let fresh = || Tally { references: 0, followed: 0, hits: vec![0; sizes] };
        let tally = self.phases.entry(phase).or_insert_with(fresh);
        tally.references += 1;
        if !self.sampling.follows(line) {
            return;
        }
        tally.followed += 1;
        let Some(distance) = self.recency.touch(line) else { return };
        let stands_for = distance as f64 / self.sampling.rate();
        let place = self.sizes.partition_point(|&size| (size as f64) < stands_for);
        if let Some(hits) = tally.hits.get_mut(place) {
            *hits += 1;
        }
    }

    /// The line is touched without being asked for.
    pub fn touch(&mut self, line: u64) {
        if self.sampling.follows(line) {
            self.recency.touch(line);
        }
    }

    /// The phases that were seen, ascending.
    pub fn phases(&self) -> impl Iterator<Item = u32> {
        self.phases.keys().copied()
    }

    /// The curve of one phase; `None` if it made no reference.
    #[must_use]
    pub fn curve(&self, phase: u32) -> Option<Curve> {
        self.phases.get(&phase).map(|tally| self.drawn(tally))
    }

    /// The curve of all phases together; `None` if there was no reference.
    #[must_use]
    pub fn overall(&self) -> Option<Curve> {
        let sum = self.phases.values().cloned().reduce(|mut sum, tally| {
            sum.references += tally.references;
            sum.followed += tally.followed;
            sum.hits.iter_mut().zip(&tally.hits).for_each(|(sum, hits)| *sum += hits);
            sum
        });
        sum.map(|tally| self.drawn(&tally))
    }

    fn drawn(&self, tally: &Tally) -> Curve {
        let expected = self.sampling.rate() * tally.references as f64;
        // At R = 1 the sample is everything and this is 0.
        let mut hits = expected - tally.followed as f64;
        let ratio = |new_hits: &u64| {
            hits += *new_hits as f64;
            ((expected - hits) / expected).clamp(0.0, 1.0)
        };
        let miss_ratios = tally.hits.iter().map(ratio).collect();
        Curve { references: tally.references, miss_ratios }
    }
}

/// Spreads line numbers evenly: a bijection of 64 bits (the finaliser of MurmurHash3, as varied by Stafford, "mix13").
const fn hash(line: u64) -> u64 {
    let mixed = (line ^ (line >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// In which order lines were touched last, and how many since a given one.
#[derive(Debug, Clone, Default)]
struct Recency {
    /// When each line was touched last; times are places in the tree.
    last: BTreeMap<u64, usize>,
    /// A Fenwick tree over times: 1 where a line was touched last. Place 0 is not used.
    tree: Vec<u32>,
    now: usize,
}

impl Recency {
    /// Touches a line; how many different lines were touched since the last time, this one included. `None` the first
    /// time.
    fn touch(&mut self, line: u64) -> Option<u64> {
        if self.now + 1 >= self.tree.len() {
            self.make_room();
        }
        self.now += 1;
        let before = self.last.insert(line, self.now);
        let distance = before.map(|time| {
            // The line itself is counted at its old time.
            let since = self.last.len() as u64 - self.up_to(time - 1);
            self.add(time, u32::MAX);
            since
        });
        self.add(self.now, 1);
        distance
    }

    /// Lines that were touched last at `time` or before.
    fn up_to(&self, mut time: usize) -> u64 {
        let mut sum = 0;
        while time > 0 {
            sum += u64::from(self.tree[time]);
            time &= time - 1;
        }
        sum
    }

    /// Adds to the count at `time`, modulo 2^32.
    fn add(&mut self, mut time: usize, count: u32) {
        while time < self.tree.len() {
            self.tree[time] = self.tree[time].wrapping_add(count);
            time += time & time.wrapping_neg();
        }
    }

    /// Times close up, in the same order, with as much room again behind them.
    fn make_room(&mut self) {
        let mut order: Vec<(usize, u64)> = self.last.iter().map(|(line, time)| (*time, *line)).collect();
        order.sort_unstable();
        self.tree = vec![0; 2 * order.len() + 1024];
        self.now = order.len();
        for (place, (_, line)) in (1..).zip(&order) {
            self.last.insert(*line, place);
            self.add(place, 1);
        }
    }
}

#[cfg(test)]
mod tests;
