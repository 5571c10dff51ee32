//! Phases as the nearest of some centres, in coordinates of any kind: k-means for series whose columns are not a
//! model's features.
//!
//! Coordinates are standardised by the mean and deviation of the rows that were learned from, so that the unit of a
//! column does not matter; one that does not vary there counts for nothing. Phases are numbered by the first coordinate,
//! smallest first.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::kmeans::{self, Points, PointsError, Sequential};
use super::{NamePhase, PhaseId, finite, nearest};

/// Centres, and how coordinates become points among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Centres {
    means: Vec<f64>,
    /// 1 over the deviation; 0 where there was none.
    weights: Vec<f64>,
    centres: Vec<Vec<f64>>,
}

impl Centres {
    /// Learns at most `clusters` centres from rows of one length, from `restarts` starts. Fails where `rows` are no
    /// points.
    pub fn fit(rows: &[Vec<f64>], clusters: usize, restarts: usize, rng: &mut ChaCha8Rng) -> Result<Self, PointsError> {
        let dimensions = rows.first().map_or(0, Vec::len);
        let count = rows.len() as f64;
        let column = |place: usize| rows.iter().map(move |row| row.get(place).copied().unwrap_or(f64::NAN));
        let means: Vec<f64> = (0..dimensions).map(|place| column(place).sum::<f64>() / count).collect();
        let deviation =
            |place: usize| (column(place).map(|value| (value - means[place]).powi(2)).sum::<f64>() / count).sqrt();
        // A deviation that rounding alone makes is none.
        let weight = |place: usize| match deviation(place) {
            deviation if deviation > 1e-12 * means[place].abs() => 1.0 / deviation,
            _ => 0.0,
        };
        let weights: Vec<f64> = (0..dimensions).map(weight).collect();
        let mut found = Self { means, weights, centres: Vec::new() };
        let values: Vec<f32> = rows.iter().flat_map(|row| found.point(row)).map(|value| value as f32).collect();
        let points = Points::new(&values, dimensions)?;
        // One number is drawn whatever `clusters` is, so that the caller's later draws do not depend on it.
        let mut own = <ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(rng.next_u64());
        let fit = kmeans::fit(&points, clusters, restarts, &mut own, &kmeans::Settings::default(), &Sequential);
        found.centres = fit.centroids.iter().map(|row| row.iter().copied().map(f64::from).collect()).collect();
        found.centres.sort_by(|a, b| {
            a.iter()
                .zip(b)
                .map(|(a, b)| a.total_cmp(b))
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(found)
    }

    fn point(&self, row: &[f64]) -> Vec<f64> {
        let axes = self.means.iter().zip(&self.weights);
        row.iter().zip(axes).map(|(value, (mean, weight))| (value - mean) * weight).collect()
    }
}

impl NamePhase for Centres {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        Some(PhaseId::at(nearest(&self.point(finite(coordinates)?), &self.centres).0))
    }

    fn phases(&self) -> usize {
        self.centres.len()
    }
}
