//! Slowdowns as co-runs on one machine taught them: products of sensitivity and intensity, each with a weight.
//!
//! Owns the rule that policies use. Learning the weights is [`fit`]'s, from observations that somebody else made.

use serde::{Deserialize, Serialize};

use super::{Demand, Intensity, Slowdown};

/// Weights of the products; none is negative, so that no neighbour helps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    /// Of what it would lose without the cache, times the neighbours' share of all references.
    pub cache: f64,
    /// Of the time in which it waits, for cache or memory, times the neighbours' misses per cycle.
    pub misses: f64,
    /// Of its references per cycle times the neighbours'.
    pub references: f64,
}

impl Learned {
    /// How much a vCPU is slowed by neighbours of this intensity.
    #[inline]
    pub(super) fn slowdown(&self, own: &Demand, neighbours: &Intensity) -> Slowdown {
        let [cache, misses, references] = terms(own, neighbours);
        Slowdown(1.0 + self.cache * cache + self.misses * misses + self.references * references)
    }
}

/// The products, before they are weighted.
fn terms(own: &Demand, neighbours: &Intensity) -> [f64; 3] {
    let all = own.references_per_cycle + neighbours.references_per_cycle;
    let lost = if all > 0.0 { neighbours.references_per_cycle / all } else { 0.0 };
    let waits = own.cache_sensitivity + own.bandwidth_sensitivity;
    [
        own.cache_sensitivity * lost,
        waits * neighbours.misses_per_cycle,
        own.sensitivity * own.references_per_cycle * neighbours.references_per_cycle,
    ]
}
