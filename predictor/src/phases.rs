//! Which execution phase a vCPU is in: phase identity, and the ways of naming it.
//!
//! Owns learning phases and naming one online. What a phase costs is [`crate::contention`]'s business, which comes next
//! [`crate::forecast`]'s.
//!
//! | module | phases are | learned | source |
//! |---|---|---|---|
//! | [`bins`] | intervals of one number | not at all | Isci, Contreras, Martonosi, MICRO 2006 |
//! | [`clusters`] | k-means clusters with a radius: what a model holds | ahead, k by BIC | Sherwood et al., ASPLOS 2002 |
//! | [`centres`] | k-means clusters of any columns | ahead, k given | Lloyd 1982 |
//! | [`mixture`] | Gaussians with axes of their own | ahead, k by BIC | Dempster, Laird, Rubin, JRSS 1977 |
//! | [`leader`] | spheres around leaders that follow their members | online | Hartigan 1975; Dhodapkar, Smith, ISCA 2002 |
//! | [`two_level`] | any of these, and one more for what lasts too briefly | online | Lau, Schoenmackers, Calder, HPCA 2005 |
//!
//! [`kmeans`] is the clustering that training rests on, for itself useful on a million points.
//!
//! All of them name a sample by [`NamePhase`].

pub mod bins;

pub mod kmeans;

pub mod clusters;

pub mod centres;

pub mod mixture;

pub mod leader;

pub mod two_level;

use serde::{Deserialize, Serialize};

pub use clusters::{Backend, NOVELTY_BOUND, PhaseMatch, PhaseModel, PhaseSettings};

/// A phase, by its number in the model: 0 asks least of the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhaseId(pub u32);

impl PhaseId {
    /// Its place in lists with one entry for each phase.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The phase at a place in such a list, which is never as long as 2³².
    fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl std::fmt::Display for PhaseId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "phase {}", self.0)
    }
}

/// Names the phases of one vCPU, sample by sample in their order.
pub trait NamePhase {
    /// The phase of a sample with these coordinates. A way that learns online learns from it. `None` where a coordinate
    /// is not finite: nothing can be said then, and nothing is learned.
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId>;

    /// How many phases there can ever be: every name is below.
    fn phases(&self) -> usize;
}

fn finite(coordinates: &[f64]) -> Option<&[f64]> {
    coordinates.iter().all(|coordinate| coordinate.is_finite()).then_some(coordinates)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest centre and the squared distance to it; of several as near, the first.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|centre| squared_distance(point, centre)).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::INFINITY))
}

#[cfg(test)]
mod tests;
