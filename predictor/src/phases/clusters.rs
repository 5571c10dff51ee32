//! Phases as k-means clusters of feature vectors: the phases of a model.
//!
//! Owns fitting clusters at training, naming the nearest one online, and saying how far off a vector is.
//!
//! # Method
//!
//! Vectors become points by [`Scale`], and where it is asked for by a [`Projection`] after it. For each `k` in a range,
//! k-means (several k-means++ starts, by a [`Backend`]) proposes centroids, which plain Lloyd steps in `f64` then settle.
//! The number of phases is chosen as SimPoint does (Sherwood, Perelman, Hamerly, Calder, ASPLOS 2002): score each `k` by
//! the Bayesian information criterion of equal round Gaussians,
//!
//! ```text
//! BIC(k) = log likelihood of the points - k (d + 1) / 2 * ln n
//! ```
//!
//! and take the smallest `k` that reaches [`BIC_SHARE`] of the way from the worst score to the best. The variance of a
//! cluster is taken as at least [`VARIANCE_FLOOR`], or clusters that are tight already would be split for ever.
//!
//! Phases are numbered by their references to the shared cache, lightest first, so that numbers mean something and do
//! not depend on the seed's luck. They belong to the model, not to a guest: guests share them.
//!
//! # With a projection
//!
//! Clusters are those of the projected points, and centroids have as many coordinates as there are components. What the
//! projection does not see, its residual, is as far from every centroid and so says nothing about which phase is
//! nearest; but work unlike any in training shows first in directions in which training hardly varied. So distances and
//! radii are those in the space of all features, from the vector's point to the lifted centroid,
//!
//! ```text
//! distance^2 = |project(point) - centroid|^2 + residual(point)
//! ```
//!
//! as process control watches both (Jackson, Mudholkar, Technometrics 21, 1979), and novelty is not blind to what was
//! left out.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use linfa::prelude::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kmeans::{self, Points, Sequential};
use super::{NamePhase, PhaseId, finite, nearest};
use crate::features::{FeatureSet, FeatureVector, Keep, Projection, Scale};

/// Share of the way from the worst to the best score at which more phases are not worth it (SimPoint's rule).
pub const BIC_SHARE: f64 = 0.9;

/// Smallest variance of a cluster along each axis, in squared deviations of the training data.
pub const VARIANCE_FLOOR: f64 = 0.02;

/// A distance beyond this many radii of the phase is novel.
pub const NOVELTY_BOUND: f64 = 3.0;

/// Share of a phase's training points that lie within its radius.
const RADIUS_SHARE: f64 = 0.95;

/// Smallest radius, so that a phase that never varied in training does not find everything novel.
const RADIUS_FLOOR: f64 = 0.3;

const LLOYD_STEPS_MOST: usize = 100;

/// Which k-means proposes centroids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// [`kmeans`](super::kmeans).
    #[default]
    Own,
    /// `linfa-clustering`, as a second opinion.
    Linfa,
}

/// How phases are learned.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseSettings {
    /// What proposes centroids.
    pub backend: Backend,
    /// Numbers of phases to try.
    pub counts: RangeInclusive<usize>,
    /// Starts for each of them.
    pub restarts: usize,
    /// Principal components to cluster by; `None` clusters by the scaled features themselves.
    pub components: Option<Keep>,
}

/// The phase a vector was given to, and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseMatch {
    /// The nearest phase; of several as near, the lowest.
    pub phase: PhaseId,
    /// Distance to its centroid, in deviations of the training data; with a projection, what it leaves out included.
    pub distance: f64,
    /// The distance in radii of the phase: 95 % of its training vectors lie within 1.
    pub novelty: f64,
}

impl PhaseMatch {
    /// Whether the vector looks like nothing seen in training.
    #[must_use]
    pub fn is_novel(&self) -> bool {
        self.novelty > NOVELTY_BOUND
    }
}

/// The phases of a model: at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseModel {
    /// What the coordinates are.
    pub features: FeatureSet,
    /// How vectors become points.
    pub scale: Scale,
    /// On which components the points are projected, if on any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
    /// One point for each phase, projected where there is a projection.
    pub centroids: Vec<Vec<f64>>,
    /// The distance within which 95 % of each phase's training points lie.
    pub radii: Vec<f64>,
}

impl PhaseModel {
    /// Learns phases from `vectors`, of which there must be at least one. Tries every number of phases in
    /// `settings.counts` that there are distinct vectors for.
    #[must_use]
    pub fn fit(features: FeatureSet, vectors: &[FeatureVector], settings: &PhaseSettings, rng: &ChaCha8Rng) -> Self {
        let scale = Scale::fit(vectors);
        let scaled: Vec<Vec<f64>> = vectors.iter().map(|vector| scale.point(vector)).collect();
        let projection = settings.components.and_then(|keep| Projection::fit(&scaled, keep));
        let (points, residuals): (Vec<Vec<f64>>, Vec<f64>) =
            scaled.into_iter().map(|point| seen(projection.as_ref(), point)).unzip();
        let distinct = distinct(&points);
        let least = (*settings.counts.start()).clamp(1, distinct);
        let most = (*settings.counts.end()).clamp(least, distinct);
        let fits: Vec<Vec<Vec<f64>>> =
            (least..=most).map(|count| cluster(&points, count, settings.restarts, settings.backend, rng)).collect();
        let scores: Vec<f64> = fits.iter().map(|centroids| bic(&points, centroids)).collect();
        let mut centroids = fits.into_iter().nth(elbow(&scores)).unwrap_or_default();
        // The first coordinate is the rate of LLC references, in every feature set.
        match &projection {
            Some(projection) => centroids.sort_by(|a, b| coordinate_order(&projection.lift(a), &projection.lift(b))),
            None => centroids.sort_by(|a, b| coordinate_order(a, b)),
        }
        let radii = radii(&points, &residuals, &centroids);
        Self { features, scale, projection, centroids, radii }
    }

    /// How many phases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.centroids.len()
    }

    /// Whether there is no phase, which no fitted model has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.centroids.is_empty()
    }

    /// Every phase, in order.
    pub fn ids(&self) -> impl Iterator<Item = PhaseId> + use<> {
        (0..self.centroids.len()).map(PhaseId::at)
    }

    /// The phase nearest to `vector`, which must be of this model's features.
    #[must_use]
    pub fn classify(&self, vector: &FeatureVector) -> PhaseMatch {
        let (point, residual) = seen(self.projection.as_ref(), self.scale.point(vector));
        let (index, squared) = nearest(&point, &self.centroids);
        let distance = (squared + residual).sqrt();
        PhaseMatch { phase: PhaseId::at(index), distance, novelty: distance / self.radii[index] }
    }
}

impl NamePhase for PhaseModel {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        let vector = FeatureVector(finite(coordinates)?.to_vec());
        Some(self.classify(&vector).phase)
    }

    fn phases(&self) -> usize {
        self.len()
    }
}

/// The coordinates that phases are told apart by, and what `projection` leaves out of `point`, squared.
fn seen(projection: Option<&Projection>, point: Vec<f64>) -> (Vec<f64>, f64) {
    match projection {
        Some(projection) => (projection.project(&point), projection.residual(&point)),
        None => (point, 0.0),
    }
}

/// By the first coordinate, of equals by the next, and so on.
fn coordinate_order(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn distinct(points: &[Vec<f64>]) -> usize {
    let mut sorted: Vec<&Vec<f64>> = points.iter().collect();
    sorted.sort_by(|a, b| coordinate_order(a, b));
    sorted.dedup();
    sorted.len().max(1)
}

/// At most `count` centroids, none without points.
fn cluster(points: &[Vec<f64>], count: usize, restarts: usize, backend: Backend, rng: &ChaCha8Rng) -> Vec<Vec<f64>> {
    let dimensions = points.first().map_or(0, Vec::len);
    let proposed = match backend {
        Backend::Own => propose(points, dimensions, count, restarts, rng),
        Backend::Linfa => propose_by_linfa(points, dimensions, count, restarts, rng),
    };
    // Only points without a finite distance end without; the mean of all is then as good as any.
    settle(points, proposed.unwrap_or_else(|| vec![mean(points.iter(), dimensions)]))
}

fn propose(
    points: &[Vec<f64>],
    dimensions: usize,
    count: usize,
    restarts: usize,
    rng: &ChaCha8Rng,
) -> Option<Vec<Vec<f64>>> {
    let values: Vec<f32> = points.iter().flatten().map(|value| *value as f32).collect();
    let points = Points::new(&values, dimensions).ok()?;
    let fit = kmeans::fit(&points, count, restarts, &mut rng.clone(), &kmeans::Settings::default(), &Sequential);
    Some(fit.centroids.into_iter().map(|centroid| centroid.into_iter().map(f64::from).collect()).collect())
}

fn propose_by_linfa(
    points: &[Vec<f64>],
    dimensions: usize,
    count: usize,
    restarts: usize,
    rng: &ChaCha8Rng,
) -> Option<Vec<Vec<f64>>> {
    let data = Array2::from_shape_fn((points.len(), dimensions), |(row, column)| points[row][column]);
    let fitted = KMeans::params_with_rng(count, rng.clone())
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(restarts.max(1))
        .tolerance(1e-4)
        .fit(&linfa::DatasetBase::new(data, Array1::from_elem(points.len(), ())))
        .ok()?;
    Some(fitted.centroids().outer_iter().map(|row| row.to_vec()).collect())
}

/// Lloyd's steps in `f64` until no point changes its cluster: the own backend stops at a tolerance, and linfa counts each
/// old centroid as one more point, which pulls small clusters off their mean.
fn settle(points: &[Vec<f64>], mut centroids: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let dimensions = points.first().map_or(0, Vec::len);
    let mut before: Vec<usize> = Vec::new();
    for _ in 0..LLOYD_STEPS_MOST {
        let owners: Vec<usize> = points.iter().map(|point| nearest(point, &centroids).0).collect();
        if owners == before {
            break;
        }
        let of = |cluster: usize| points.iter().zip(&owners).filter(move |(_, owner)| **owner == cluster);
        centroids = (0..centroids.len())
            .filter(|cluster| of(*cluster).next().is_some())
            .map(|cluster| mean(of(cluster).map(|(point, _)| point), dimensions))
            .collect();
        before = owners;
    }
    centroids
}

fn mean<'a>(points: impl Iterator<Item = &'a Vec<f64>>, dimensions: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dimensions];
    let mut count = 0.0;
    for point in points {
        sum.iter_mut().zip(point).for_each(|(sum, coordinate)| *sum += coordinate);
        count += 1.0;
    }
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}

/// The Bayesian information criterion of equal round Gaussians around `centroids`; more is better.
fn bic(points: &[Vec<f64>], centroids: &[Vec<f64>]) -> f64 {
    let (count, clusters) = (points.len() as f64, centroids.len() as f64);
    let dimensions = points.first().map_or(0, Vec::len) as f64;
    let mut sizes = vec![0.0f64; centroids.len()];
    let mut inertia = 0.0;
    for point in points {
        let (owner, squared) = nearest(point, centroids);
        sizes[owner] += 1.0;
        inertia += squared;
    }
    let freedom = (dimensions * (count - clusters)).max(1.0);
    let variance = (inertia / freedom).max(VARIANCE_FLOOR);
    let shares: f64 = sizes.iter().filter(|size| **size > 0.0).map(|size| size * (size / count).ln()).sum();
    let spread = -count * dimensions / 2.0 * (std::f64::consts::TAU * variance).ln() - inertia / (2.0 * variance);
    shares + spread - clusters * (dimensions + 1.0) / 2.0 * count.ln()
}

/// The first score that reaches [`BIC_SHARE`] of the way from the worst to the best.
fn elbow(scores: &[f64]) -> usize {
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let enough = worst + BIC_SHARE * (best - worst);
    scores.iter().position(|score| *score >= enough).unwrap_or(0)
}

/// For each centroid, the distance within which [`RADIUS_SHARE`] of its points lie, each of them with its residual.
fn radii(points: &[Vec<f64>], residuals: &[f64], centroids: &[Vec<f64>]) -> Vec<f64> {
    let mut distances: Vec<Vec<f64>> = vec![Vec::new(); centroids.len()];
    for (point, residual) in points.iter().zip(residuals) {
        let (owner, squared) = nearest(point, centroids);
        distances[owner].push((squared + residual).sqrt());
    }
    let radius = |mut distances: Vec<f64>| {
        distances.sort_by(f64::total_cmp);
        let place = (distances.len() as f64 * RADIUS_SHARE).ceil() as usize;
        distances.get(place.saturating_sub(1)).copied().unwrap_or(RADIUS_FLOOR).max(RADIUS_FLOOR)
    };
    distances.into_iter().map(radius).collect()
}

#[cfg(test)]
mod tests;
