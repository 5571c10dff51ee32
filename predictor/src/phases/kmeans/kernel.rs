//! The inner loop: which centroid is nearest to each point of a tile.
//!
//! Nearest is what has the smallest score `|c|^2 / 2 - x . c`, which is half the squared distance less what all
//! centroids share. Each score is half the norm, less one product after the other in the order of the coordinates.

use super::points::TILE;
use crate::simd::{Vector, WIDTH};

/// Centroids taken at once: with two vectors of points, eight sums are under way, enough to hide how long one takes.
const GROUP: usize = 4;

/// Numbers of clusters are kept as `f32` in lanes, which is exact below this.
pub(super) const CLUSTERS_MOST: usize = 1 << 24;

/// Centroids as the kernel wants them. Places that fill up the last group have a score of infinity.
pub(super) struct Centroids {
    dimensions: usize,
    /// By group: coordinate by coordinate, one number for each centroid of the group.
    grouped: Vec<f32>,
    /// Half the squared norm.
    halves: Vec<f32>,
}

impl Centroids {
    pub(super) fn new(centroids: &[Vec<f32>]) -> Self {
        let dimensions = centroids.first().map_or(0, Vec::len);
        let mut halves = vec![f32::INFINITY; centroids.len().next_multiple_of(GROUP)];
        for (half, centroid) in halves.iter_mut().zip(centroids) {
            *half = (centroid.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 2.0) as f32;
        }
        let mut grouped = Vec::with_capacity(halves.len() * dimensions);
        for group in centroids.chunks(GROUP) {
            for place in 0..dimensions {
                grouped.extend((0..GROUP).map(|member| group.get(member).map_or(0.0, |centroid| centroid[place])));
            }
        }
        Self { dimensions, grouped, halves }
    }

    /// The number of the nearest centroid to each point of `tile`; of several as near, the lowest.
    #[inline(always)]
    pub(super) fn nearest<V: Vector>(&self, tile: &[f32]) -> [[f32; WIDTH]; 2] {
        let (mut owners, mut best) = ([V::splat(0.0); 2], [V::splat(f32::INFINITY); 2]);
        let lines = tile.as_chunks::<TILE>().0;
        let groups = self.grouped.chunks_exact(GROUP * self.dimensions).zip(self.halves.as_chunks::<GROUP>().0);
        let mut candidate = 0.0;
        for (group, halves) in groups {
            let [a, b, c, d] = halves.map(|half| V::splat(half));
            let (mut a, mut b, mut c, mut d) = ([a; 2], [b; 2], [c; 2], [d; 2]);
            for (line, values) in lines.iter().zip(group.as_chunks::<GROUP>().0) {
                let [low, high] = line.as_chunks::<WIDTH>().0 else { continue };
                let points = [V::load(low), V::load(high)];
                for (scores, value) in [&mut a, &mut b, &mut c, &mut d].into_iter().zip(values) {
                    let value = V::splat(*value);
                    scores[0] = scores[0].minus(points[0].times(value));
                    scores[1] = scores[1].minus(points[1].times(value));
                }
            }
            for scores in [a, b, c, d] {
                for half in 0..2 {
                    owners[half] = scores[half].select_below(best[half], V::splat(candidate), owners[half]);
                    best[half] = scores[half].min(best[half]);
                }
                candidate += 1.0;
            }
        }
        owners.map(|owners| owners.store())
    }
}
