//! From points to fewer coordinates: what moves together is one axis.
//!
//! # Problem
//!
//! Counters repeat each other: a program that misses its first cache more often also asks the shared cache more often. Such
//! a pair counts twice in a distance, and an axis in which nothing but noise happens counts like any other.
//!
//! # Method
//!
//! Principal component analysis (Pearson 1901; Jolliffe, *Principal Component Analysis*, 2002) of the scaled points `x` of
//! the training data, dimensionless deviations:
//!
//! ```text
//! mean        = the points' mean
//! components  = orthonormal directions, each that of the most variance left by those before it
//! share[i]    = variance along component i / variance of the points
//! project(x)  = components (x - mean)
//! lift(y)     = mean + components^T y
//! residual(x) = |x - lift(project(x))|^2, what the projection does not see
//! ```
//!
//! [`Keep`] says how many stay: a number, or the fewest that explain a share of the variance. Never more than vary.
//!
//! A component and its opposite are as good. The coordinate of largest magnitude, of several the first, is positive.
//! Coordinates are rounded to multiples of 2⁻³², far above what order of sums and fused operations change.
//!
//! The eigenvectors of the covariance matrix, a few columns wide, are smartcore's: Householder's tridiagonal form and implicit QL steps. The first
//! version used `linfa-reduction`, whose iteration for the largest components (LOBPCG) panics on a NaN of its own making where one
//! column never varies and the others nearly say the same.
//!
//! # Properties
//!
//! - Components are orthonormal.
//! - Projecting, then lifting loses exactly the variance that is not explained.
//! - Components are the eigenvectors of the covariance matrix, largest eigenvalue first.
//! - A column that never varies is in no component; where nothing varies there is no projection.
//! - Fewer points than columns, and one column, are as good as any.
//! - The same points give the same projection.
//!
//! # Example
//!
//! ```
//! use predictor::features::{Keep, Projection};
//!
//! // Two counters that say the same, and one that never varies.
//! let points: Vec<Vec<f64>> = [-1.0, 0.0, 1.0].map(|x| vec![3.0 * x, 4.0 * x, 7.0]).into();
//! let projection = Projection::fit(&points, "0.95".parse::<Keep>()?).expect("they vary");
//! assert_eq!(projection.components().len(), 1);
//! assert!((projection.project(&[3.0, 4.0, 7.0])[0] - 5.0).abs() < 1e-8);
//! assert!((projection.residual(&[3.0, 4.0, 9.0]) - 4.0).abs() < 1e-8);
//! # Ok::<(), String>(())
//! ```

use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::evd::EVDDecomposable;

/// A mean square below which points do not vary.
const VARIANCE_LEAST: f64 = 1e-12;

/// A share of the variance below which a direction does not vary.
const SHARE_LEAST: f64 = 1e-10;

/// What rounding may take off a share of variance that was asked for.
const SHARE_SLACK: f64 = 1e-12;

/// What coordinates of components are multiples of.
const GRID: f64 = 1.0 / (1u64 << 32) as f64;

/// How far from orthonormal the components of a file may be.
const ORTHONORMAL_WITHIN: f64 = 1e-6;

/// How many components are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// So many, or as many as vary where these are fewer.
    Components(NonZeroUsize),
    /// The fewest that explain this share of the variance.
    Share(Share),
}

/// A share of variance, above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl FromStr for Keep {
    type Err = String;

    /// A whole number is one of components, a number with a point is a share: `3`, `0.95`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Components(count));
        }
        match text.parse::<f64>() {
            Ok(share) if text.contains('.') && share > 0.0 && share <= 1.0 => Ok(Self::Share(Share(share))),
            _ => Err(format!(
                "{text:?} is neither a number of components from 1, as 3, nor a share of variance up to 1, as 0.95"
            )),
        }
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Components(count) => write!(out, "{count}"),
            // With a point also where it is 1.
            Self::Share(Share(share)) => write!(out, "{share:?}"),
        }
    }
}

/// Directions of most variance, at least one, of points of at least as many coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ProjectionParts", into = "ProjectionParts")]
pub struct Projection(ProjectionParts);

/// How a projection is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionParts {
    /// Mean of the points it was fitted on.
    pub mean: Vec<f64>,
    /// Orthonormal rows, that of most variance first.
    pub components: Vec<Vec<f64>>,
    /// For each of them its share of the points' variance.
    pub variance_shares: Vec<f64>,
}

/// Why parts are no projection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("phases.projection {0}; the file is damaged, train the model again")]
pub struct ProjectionError(String);

impl Projection {
    /// The components of `points`, all of one length, that `keep` asks for; `None` where nothing varies.
    #[must_use]
    pub fn fit(points: &[Vec<f64>], keep: Keep) -> Option<Self> {
        let mean = mean(points)?;
        let centred: Vec<Vec<f64>> = points.iter().map(|point| differences(point, &mean)).collect();
        let variance = centred.iter().map(|point| dot(point, point)).sum::<f64>() / points.len() as f64;
        if !(VARIANCE_LEAST..f64::INFINITY).contains(&variance) {
            return None;
        }
        let along = |component: &Vec<f64>| {
            let squares: f64 = centred.iter().map(|point| dot(component, point).powi(2)).sum();
            squares / points.len() as f64 / variance
        };
        let mut ranked: Vec<(f64, Vec<f64>)> =
            directions(&centred, mean.len())?.into_iter().map(|component| (along(&component), component)).collect();
        ranked.retain(|(share, _)| *share > SHARE_LEAST);
        // Stable: of equal shares the order is that in which they were found.
        ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        ranked.truncate(kept(&ranked.iter().map(|(share, _)| *share).collect::<Vec<_>>(), keep));
        let (variance_shares, components) = ranked.into_iter().unzip();
        Self::new(ProjectionParts { mean, components, variance_shares }).ok()
    }

    /// Checks that `parts` are a projection.
    pub fn new(parts: ProjectionParts) -> Result<Self, ProjectionError> {
        let ProjectionParts { mean, components, variance_shares } = &parts;
        let refuse = |what: String| Err(ProjectionError(what));
        if components.is_empty() || components.len() > mean.len() || components.len() != variance_shares.len() {
            let (rows, columns, shares) = (components.len(), mean.len(), variance_shares.len());
            return refuse(format!("has {rows} components of {columns} columns with {shares} variance_shares"));
        }
        if let Some(row) = components.iter().find(|row| row.len() != mean.len()) {
            return refuse(format!("has a component of {} coordinates and a mean of {}", row.len(), mean.len()));
        }
        if let Some(value) = mean.iter().find(|value| !(-1e15..=1e15).contains(*value)) {
            return refuse(format!("has {value} in its mean, where a number from -1e15 to 1e15 is needed"));
        }
        if let Some(share) = variance_shares.iter().find(|share| !(0.0..=1.0 + ORTHONORMAL_WITHIN).contains(*share)) {
            return refuse(format!("has {share} in variance_shares, where a share in [0, 1] is needed"));
        }
        for (place, one) in components.iter().enumerate() {
            for (other_place, other) in components[..=place].iter().enumerate() {
                let product = dot(one, other);
                let expected = f64::from(u8::from(place == other_place));
                if product.is_nan() || (product - expected).abs() > ORTHONORMAL_WITHIN {
                    return refuse(format!(
                        "has components {other_place} and {place} with product {product}, where {expected} is needed"
                    ));
                }
            }
        }
        Ok(Self(parts))
    }

    /// How many coordinates points have before they are projected.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.0.mean.len()
    }

    /// The directions, orthonormal, that of most variance first.
    #[must_use]
    pub fn components(&self) -> &[Vec<f64>] {
        &self.0.components
    }

    /// For each component its share of the variance of the points it was fitted on.
    #[must_use]
    pub fn variance_shares(&self) -> &[f64] {
        &self.0.variance_shares
    }

    /// `point` along each component.
    #[must_use]
    pub fn project(&self, point: &[f64]) -> Vec<f64> {
        let centred = differences(point, &self.0.mean);
        self.0.components.iter().map(|component| dot(component, &centred)).collect()
    }

    /// The point of which `projected` is the projection and that has no residual.
    #[must_use]
    pub fn lift(&self, projected: &[f64]) -> Vec<f64> {
        let mut point = self.0.mean.clone();
        for (component, along) in self.0.components.iter().zip(projected) {
            point.iter_mut().zip(component).for_each(|(coordinate, direction)| *coordinate += along * direction);
        }
        point
    }

    /// The squared distance from `point` to what its projection lifts to: 0 where all components are kept.
    #[must_use]
    pub fn residual(&self, point: &[f64]) -> f64 {
        let lost = differences(point, &self.lift(&self.project(point)));
        dot(&lost, &lost)
    }
}

impl TryFrom<ProjectionParts> for Projection {
    type Error = ProjectionError;

    fn try_from(parts: ProjectionParts) -> Result<Self, Self::Error> {
        Self::new(parts)
    }
}

impl From<Projection> for ProjectionParts {
    fn from(projection: Projection) -> Self {
        projection.0
    }
}

/// The eigenvectors of the covariance of `centred` points.
fn directions(centred: &[Vec<f64>], columns: usize) -> Option<Vec<Vec<f64>>> {
    let covariance = (0..columns * columns).map(|place| {
        let (row, column) = (place / columns, place % columns);
        centred.iter().map(|point| point[row] * point[column]).sum::<f64>() / centred.len() as f64
    });
    let found = DenseMatrix::new(columns, columns, covariance.collect(), false).ok()?.evd(true).ok()?.V;
    let direction = |column| canonical((0..columns).map(|row| *found.get((row, column))).collect());
    Some((0..columns).map(direction).collect())
}

/// Of a direction and its opposite the one whose largest coordinate is positive, on the grid.
fn canonical(mut direction: Vec<f64>) -> Vec<f64> {
    direction.iter_mut().for_each(|coordinate| *coordinate = (*coordinate / GRID).round() * GRID);
    let largest = direction.iter().fold(0.0f64, |most, value| if value.abs() > most.abs() { *value } else { most });
    if largest < 0.0 {
        direction.iter_mut().for_each(|coordinate| *coordinate = -*coordinate);
    }
    // No negative zeros: they would be written as such.
    direction.iter_mut().for_each(|coordinate| *coordinate += 0.0);
    direction
}

/// How many of the components with these shares `keep` asks for.
fn kept(shares: &[f64], keep: Keep) -> usize {
    match keep {
        Keep::Components(count) => count.get(),
        Keep::Share(Share(wanted)) => {
            let mut explained = 0.0;
            let enough = |share: &f64| {
                explained += share;
                explained >= wanted - SHARE_SLACK
            };
            shares.iter().position(enough).map_or(shares.len(), |place| place + 1)
        }
    }
}

fn mean(points: &[Vec<f64>]) -> Option<Vec<f64>> {
    let mut mean = vec![0.0; points.first()?.len()];
    for point in points {
        mean.iter_mut().zip(point).for_each(|(sum, coordinate)| *sum += coordinate);
    }
    mean.iter_mut().for_each(|sum| *sum /= points.len() as f64);
    Some(mean)
}

fn differences(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one - other).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests;
