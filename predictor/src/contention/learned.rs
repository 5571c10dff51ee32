//! Slowdowns as co-runs on one machine taught them: products of sensitivity and intensity, each with a weight.
//!
//! Owns the rule and its weights, which [`Learned::fit`] takes from co-runs that somebody else observed: the least squares without a
//! negative weight, found one weight at a time (Franc, Hlavac, Navara, CAIP 2005).

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

/// One vCPU that was seen beside others.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What it asked for.
    pub own: Demand,
    /// What the others asked for.
    pub neighbours: Vec<Demand>,
    /// How much it was slowed.
    pub slowdown: Slowdown,
}

/// Rounds over all weights; three of them settle long before.
const ROUNDS: usize = 2000;

impl Learned {
    /// The weights that are least wrong, in squares, about what was observed; all 0 of nothing.
    #[must_use]
    pub fn fit(observed: &[Observed]) -> Self {
        let rows: Vec<([f64; 3], f64)> = observed
            .iter()
            .map(|one| (terms(&one.own, &Intensity::of(one.neighbours.iter())), one.slowdown.0 - 1.0))
            .collect();
        let mut weights = [0.0; 3];
        for _ in 0..ROUNDS {
            for term in 0..weights.len() {
                let square: f64 = rows.iter().map(|(terms, _)| terms[term] * terms[term]).sum();
                if square > 0.0 {
                    let left = |(terms, excess): &([f64; 3], f64)| {
                        excess - terms.iter().zip(&weights).map(|(term, weight)| term * weight).sum::<f64>()
                    };
                    let step = rows.iter().map(|row| row.0[term] * left(row)).sum::<f64>() / square;
                    weights[term] = (weights[term] + step).max(0.0);
                }
            }
        }
        let [cache, misses, references] = weights;
        Self { cache, misses, references }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(references: f64, misses: f64, cache: f64) -> Demand {
        Demand {
            references_per_cycle: references,
            misses_per_cycle: misses,
            cache_sensitivity: cache,
            ..Demand::default()
        }
    }

    #[test]
    fn the_weights_that_made_the_observations_are_found_again() {
        let truth = Learned { cache: 0.7, misses: 12.0, references: 0.0 };
        let kinds =
            [demand(0.02, 0.001, 2.0), demand(0.05, 0.04, 0.2), demand(0.01, 0.0, 0.5), demand(0.08, 0.02, 1.0)];
        let observed: Vec<Observed> = kinds
            .iter()
            .flat_map(|own| kinds.iter().map(move |other| (*own, *other)))
            .map(|(own, other)| Observed {
                own,
                neighbours: vec![other],
                slowdown: truth.slowdown(&own, &Intensity::of([other].iter())),
            })
            .collect();
        let found = Learned::fit(&observed);
        assert!((found.cache - 0.7).abs() < 0.01 && (found.misses - 12.0).abs() < 0.2, "{found:?}");
        assert!(found.references < 0.5, "{found:?}");
        assert_eq!(Learned::fit(&[]), Learned { cache: 0.0, misses: 0.0, references: 0.0 });
    }
}
