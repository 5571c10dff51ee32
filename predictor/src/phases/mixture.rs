//! Phases as Gaussians with a width of their own along each axis.
//!
//! # Problem
//!
//! k-means takes every cluster as round and equally wide. Phases are not: a streaming phase may have steady loads and
//! restless misses, and a tight phase beside a wide one loses points to neither by distance alone.
//!
//! # Method
//!
//! A mixture of `k` Gaussians with diagonal covariances, fitted by expectation and maximisation (Dempster, Laird, Rubin,
//! JRSS 1977) from k-means clusters:
//!
//! ```text
//! until the mean log likelihood rises by less than 1e-6, or 200 times:
//!     r[i][c] = w[c] N(x[i]; m[c], v[c]) / sum over c of the same     # in logarithms: log-sum-exp
//!     w[c], m[c], v[c] = share, mean and variance of the points, each weighing r[i][c]; v at least FLOOR
//! ```
//!
//! An outlier far from every component has densities that underflow to 0; in logarithms its largest term is taken out
//! first, so that the sum is at least 1 and nothing is divided by 0. The number of components is the one with the best
//! BIC, `log likelihood - (2 k d + k - 1) / 2 ln n`.
//!
//! # Properties
//!
//! - A step never lowers the likelihood, as long as no variance stands at its floor.
//! - Responsibilities of a point sum to 1, however far away it is.
//! - On clusters far apart, components are those of `linfa-clustering`.
//!
//! Phases are numbered by the first coordinate of their means, smallest first.

use std::ops::RangeInclusive;

use rand_chacha::ChaCha8Rng;

use super::kmeans::{self, Points, PointsError, Sequential};
use super::{NamePhase, PhaseId, finite};

/// Smallest variance along an axis, in squares of the coordinates' unit, which for a model's features are deviations of the
/// training data.
pub const VARIANCE_FLOOR: f64 = 1e-3;

/// A component that points give less weight than this, in points, keeps its mean and variance.
const WEIGHT_LEAST: f64 = 1e-6;

const STEPS_MOST: usize = 200;
const RISE_LEAST: f64 = 1e-6;

/// One Gaussian of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Share of the points.
    pub weight: f64,
    /// Centre.
    pub mean: Vec<f64>,
    /// Variance along each axis.
    pub variance: Vec<f64>,
}

/// A mixture of Gaussians: at least one, weights summing to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    components: Vec<Component>,
    /// Of each component, the part of its log density that no point changes.
    constants: Vec<f64>,
}

impl Mixture {
    /// Learns `count` components, or as many as k-means finds, from `rows` of one length.
    pub fn fit(rows: &[Vec<f64>], count: usize, restarts: usize, rng: &mut ChaCha8Rng) -> Result<Self, PointsError> {
        let mut mixture = Self::start(rows, count, restarts, rng)?;
        let mut before = f64::NEG_INFINITY;
        for _ in 0..STEPS_MOST {
            let likelihood = mixture.step(rows);
            if likelihood - before < RISE_LEAST {
                break;
            }
            before = likelihood;
        }
        mixture.components.sort_by(|a, b| a.mean[0].total_cmp(&b.mean[0]));
        Ok(Self::of(mixture.components))
    }

    /// The mixture with the best BIC, of all `counts`; of several as good, the smallest.
    pub fn fit_by_bic(
        rows: &[Vec<f64>],
        counts: RangeInclusive<usize>,
        restarts: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self, PointsError> {
        let mut best = Self::fit(rows, *counts.start(), restarts, rng)?;
        for count in counts.skip(1) {
            let next = Self::fit(rows, count, restarts, rng)?;
            if next.bic(rows) > best.bic(rows) {
                best = next;
            }
        }
        Ok(best)
    }

    fn of(components: Vec<Component>) -> Self {
        let constants = components.iter().map(Component::constant).collect();
        Self { components, constants }
    }

    /// Its Gaussians.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Natural logarithm of the density at `point`, and each component's share in it, which sum to 1.
    #[must_use]
    pub fn responsibilities(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let mut shares: Vec<f64> = self.log_densities(point).collect();
        let most = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        shares.iter_mut().for_each(|share| *share = (*share - most).exp());
        let total: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= total);
        (most + total.ln(), shares)
    }

    /// Natural logarithm of each component's weighted density.
    fn log_densities(&self, point: &[f64]) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator {
        let each = self.components.iter().zip(&self.constants);
        each.map(move |(component, constant)| constant - 0.5 * component.squared_deviations(point))
    }

    /// Mean log likelihood of `rows`.
    #[must_use]
    pub fn log_likelihood(&self, rows: &[Vec<f64>]) -> f64 {
        rows.iter().map(|row| self.responsibilities(row).0).sum::<f64>() / rows.len() as f64
    }

    fn bic(&self, rows: &[Vec<f64>]) -> f64 {
        let (count, dimensions) = (self.components.len() as f64, self.components[0].mean.len() as f64);
        let free = 2.0 * count * dimensions + count - 1.0;
        let rows_count = rows.len() as f64;
        self.log_likelihood(rows) * rows_count - free / 2.0 * rows_count.ln()
    }

    /// One component for each k-means cluster that has points.
    fn start(rows: &[Vec<f64>], count: usize, restarts: usize, rng: &mut ChaCha8Rng) -> Result<Self, PointsError> {
        let dimensions = rows.first().map_or(0, Vec::len);
        let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
        let points = Points::new(&values, dimensions)?;
        let fit = kmeans::fit(&points, count, restarts, rng, &kmeans::Settings::default(), &Sequential);
        let nothing = Component { weight: 0.0, mean: rows[0].clone(), variance: vec![1.0; dimensions] };
        let mut sums = Sums::new(fit.centroids.len(), dimensions);
        for (row, owner) in rows.iter().zip(&fit.owners) {
            sums.add(*owner as usize, row, &nothing.mean, 1.0);
        }
        let mut components = sums.components(&vec![nothing; fit.centroids.len()], rows.len() as f64);
        components.retain(|component| component.weight > 0.0);
        Ok(Self::of(components))
    }

    /// One expectation and one maximisation; the mean log likelihood before it.
    fn step(&mut self, rows: &[Vec<f64>]) -> f64 {
        let mut sums = Sums::new(self.components.len(), self.components[0].mean.len());
        let mut likelihood = 0.0;
        for row in rows {
            let (log_density, shares) = self.responsibilities(row);
            likelihood += log_density;
            // Around its own mean, or large coordinates would cancel in the variance.
            for (component, share) in shares.into_iter().enumerate() {
                sums.add(component, row, &self.components[component].mean, share);
            }
        }
        *self = Self::of(sums.components(&self.components, rows.len() as f64));
        likelihood / rows.len() as f64
    }
}

impl Component {
    fn constant(&self) -> f64 {
        let volume: f64 = self.variance.iter().map(|variance| (std::f64::consts::TAU * variance).ln()).sum();
        self.weight.ln() - 0.5 * volume
    }

    fn squared_deviations(&self, point: &[f64]) -> f64 {
        let axes = self.mean.iter().zip(&self.variance).zip(point);
        axes.map(|((mean, variance), value)| (value - mean) * (value - mean) / variance).sum()
    }
}

/// Weights, weighted sums and sums of squares of each component's points, around the mean that it had.
struct Sums {
    weights: Vec<f64>,
    firsts: Vec<Vec<f64>>,
    seconds: Vec<Vec<f64>>,
}

impl Sums {
    fn new(components: usize, dimensions: usize) -> Self {
        let zeros = vec![vec![0.0; dimensions]; components];
        Self { weights: vec![0.0; components], firsts: zeros.clone(), seconds: zeros }
    }

    fn add(&mut self, component: usize, row: &[f64], origin: &[f64], weight: f64) {
        self.weights[component] += weight;
        let sums = self.firsts[component].iter_mut().zip(&mut self.seconds[component]);
        for ((first, second), (value, origin)) in sums.zip(row.iter().zip(origin)) {
            let difference = value - origin;
            *first += weight * difference;
            *second += weight * difference * difference;
        }
    }

    /// The components that these sums make, where they weigh anything; else as they were.
    fn components(&self, before: &[Component], rows: f64) -> Vec<Component> {
        let one = |(place, before): (usize, &Component)| {
            let weight = self.weights[place];
            if weight < WEIGHT_LEAST {
                return Component { weight: weight / rows, ..before.clone() };
            }
            let shifts = self.firsts[place].iter().map(|first| first / weight);
            let mean = shifts.clone().zip(&before.mean).map(|(shift, origin)| origin + shift).collect();
            let squares = self.seconds[place].iter().map(|second| second / weight);
            let variance = squares.zip(shifts).map(|(square, shift)| (square - shift * shift).max(VARIANCE_FLOOR));
            Component { weight: weight / rows, mean, variance: variance.collect() }
        };
        before.iter().enumerate().map(one).collect()
    }
}

impl NamePhase for Mixture {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        let point = finite(coordinates)?;
        let densities = self.log_densities(point).enumerate();
        // Of several as likely, the lowest: max_by takes the last.
        let (likeliest, _) = densities.rev().max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(PhaseId::at(likeliest))
    }

    fn phases(&self) -> usize {
        self.components.len()
    }
}

#[cfg(test)]
mod tests;
