//! k-means for millions of points: Lloyd's algorithm, fast, and the same on every machine.
//!
//! # Problem
//!
//! Given points `x` in `d` dimensions and a number `k`, find `k` centroids whose inertia, the sum of squared distances
//! from each point to its nearest centroid, is small. Lloyd's steps (assign each point to its nearest centroid, move
//! each centroid to the mean of its points) never raise it. A trained model has to be rebuilt bit by bit anywhere, so
//! neither the processor nor the number of threads may change a result.
//!
//! # Idea
//!
//! 1. **Dense kernel.** Points are centred and copied into tiles of 16, coordinate by coordinate, so that registers hold
//!    as many points as they have lanes. Distances are compared as `|c|^2 / 2 - x . c`, a product and a difference for
//!    each coordinate. Centring keeps that exact to a few units in the last place of the data's own spread.
//! 2. **Exact sums.** Coordinates enter the sums as integers, by adding what joined a cluster and taking away what left.
//!    Integer sums do not depend on order, and after the first steps few points change.
//!
//! ```text
//! until no point changes, or centroids move less than the tolerance, or steps run out:
//!     for each chunk of 8192 points (the executor's unit), for each tile of 16:
//!         find the nearest centroid of each point; where it changed, correct the chunk's sums
//!     add the chunks' sums; fill empty clusters     # rule: see the module `empties`
//!     centroids = sums / sizes
//! if the last step moved anything: assign once more
//! ```
//!
//! # Properties
//!
//! - Every point belongs to its nearest centroid, but for the rounding of `f32`; of several as near, to the lowest.
//! - Steps never raise the inertia, but for rounding.
//! - The same bits from the portable code and from AVX2, and on any number of threads.
//! - Points in another order have the same clusters, but for the rounding of the mean that centres them.
//! - Memory: the points once more, and 4 bytes a point.
//!
//! # What was rejected
//!
//! Triangle-inequality bounds (Hamerly, SDM 2010), here as one deadline a point, so that points that cannot have changed
//! are skipped: built, exact, and slower at every size tried (8 and 16 dimensions, 8 and 32 clusters). A tile is rarely
//! skipped as a whole, and a point alone costs as much as four in a tile.
//!
//! # Example
//!
//! ```
//! use predictor::phases::kmeans::{Points, Sequential, Settings, fit_from};
//! let values = [0.0, 1.0, 10.0, 12.0];
//! let points = Points::new(&values, 1)?;
//! let fit = fit_from(&points, &[vec![0.0], vec![1.0]], &Settings::default(), &Sequential)?;
//! assert_eq!(fit.centroids, [[0.5], [11.0]]);
//! assert_eq!((fit.owners, fit.inertia), (vec![0, 0, 1, 1], 2.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # References
//!
//! Lloyd, IEEE Trans. Information Theory 1982; Arthur and
//! Vassilvitskii, "k-means++", SODA 2007. `docs/clustering.md` has what this costs beside scikit-learn.

mod empties;
mod executor;
mod kernel;
mod lloyd;
mod points;
mod seeding;

use rand_chacha::ChaCha8Rng;

pub use executor::{Executor, Sequential};
pub use points::{FARTHEST, Points, PointsError};

use crate::simd::{Lanes, Vector, Work};
use lloyd::Run;
use points::{Chunk, Prepared};

/// When to stop, and how to compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Most steps of one run.
    pub steps_most: u32,
    /// A run ends when the squares of all centroids' moves sum to at most this share of the coordinates' mean variance.
    pub tolerance: f64,
    /// Instruction set; it does not change the result.
    pub lanes: Lanes,
}

impl Default for Settings {
    fn default() -> Self {
        Self { steps_most: 300, tolerance: 1e-4, lanes: Lanes::widest() }
    }
}

/// Where a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// One point for each cluster.
    pub centroids: Vec<Vec<f32>>,
    /// The cluster of each point.
    pub owners: Vec<u32>,
    /// Sum of squared distances from each point to the centroid of its cluster.
    pub inertia: f64,
    /// Steps taken.
    pub steps: u32,
}

/// Centroids that no run can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// None at all, or more than can be numbered.
    #[error("{0} centroids; start from 1 to {most}", most = kernel::CLUSTERS_MOST)]
    Count(usize),
    /// One that is not like the points.
    #[error("centroid {0} has other dimensions than the points, or a coordinate not within {FARTHEST} of 0")]
    Unlike(usize),
}

/// Runs from `start`.
pub fn fit_from(
    points: &Points<'_>,
    start: &[Vec<f32>],
    settings: &Settings,
    executor: &impl Executor,
) -> Result<Fit, StartError> {
    let sound = |centroid: &Vec<f32>| {
        centroid.len() == points.dimensions() && centroid.iter().all(|value| value.abs() <= FARTHEST)
    };
    if start.is_empty() || start.len() > kernel::CLUSTERS_MOST {
        return Err(StartError::Count(start.len()));
    }
    if let Some(unlike) = start.iter().position(|centroid| !sound(centroid)) {
        return Err(StartError::Unlike(unlike));
    }
    let mut prepared = Prepared::new(*points, settings.lanes, executor);
    let centred = |centroid: &Vec<f32>| centroid.iter().zip(&prepared.mean).map(|(value, mean)| value - mean).collect();
    let start = start.iter().map(centred).collect();
    let run = run(&mut prepared, start, settings, executor);
    Ok(run.in_place(&prepared))
}

/// The best of `restarts` runs from k-means++ starts, by inertia; of several as good, the first. Looks for at least one
/// cluster and at most as many as there are points.
pub fn fit(
    points: &Points<'_>,
    clusters: usize,
    restarts: usize,
    rng: &mut ChaCha8Rng,
    settings: &Settings,
    executor: &impl Executor,
) -> Fit {
    let clusters = clusters.clamp(1, points.len().min(kernel::CLUSTERS_MOST));
    let mut prepared = Prepared::new(*points, settings.lanes, executor);
    let mut best: Option<Fit> = None;
    for _ in 0..restarts.max(1) {
        let start = seeding::plus_plus(&mut prepared, clusters, rng, settings.lanes, executor);
        let fit = run(&mut prepared, start, settings, executor);
        if best.as_ref().is_none_or(|best| fit.inertia < best.inertia) {
            best = Some(fit);
        }
    }
    best.expect("at least one run").in_place(&prepared)
}

impl Fit {
    /// With centroids where the caller's points are.
    fn in_place(mut self, prepared: &Prepared<'_>) -> Self {
        for centroid in &mut self.centroids {
            centroid.iter_mut().zip(&prepared.mean).for_each(|(value, mean)| *value += mean);
        }
        self
    }
}

/// Steps from `start` until the settings say stop. All centroids are centred.
fn run(prepared: &mut Prepared<'_>, start: Vec<Vec<f32>>, settings: &Settings, executor: &impl Executor) -> Fit {
    let tolerance = settings.tolerance * prepared.variance;
    let mut run = Run::new(prepared, start);
    let mut steps = 0;
    let mut assigned = false;
    while steps < settings.steps_most && !assigned {
        steps += 1;
        assigned = run.assign(prepared, settings.lanes, executor) == 0;
        if !assigned && run.update(prepared, executor) <= tolerance {
            break;
        }
    }
    if !assigned {
        run.assign(prepared, settings.lanes, executor);
    }
    let (centroids, mean) = (run.centroids, &prepared.mean);
    executor.for_each(&mut prepared.chunks, |chunk| settings.lanes.run(Inertia { chunk, mean, centroids: &centroids }));
    let inertia = prepared.chunks.iter().map(|chunk| chunk.sum).sum();
    let count = |chunk: &Chunk<'_>| chunk.rows.len() / mean.len();
    let owners = prepared.chunks.iter().flat_map(|chunk| &chunk.owners[..count(chunk)]).copied().collect();
    Fit { centroids, owners, inertia, steps }
}

struct Inertia<'c, 'a> {
    chunk: &'c mut Chunk<'a>,
    mean: &'c [f32],
    centroids: &'c [Vec<f32>],
}

impl Work for Inertia<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let dimensions = self.mean.len();
        let mut sum = 0.0;
        for (row, owner) in self.chunk.rows.chunks_exact(dimensions).zip(&self.chunk.owners) {
            // Lane by lane, as wide as a row allows; the same lanes everywhere.
            let mut lanes = [0.0f32; 8];
            let centroid = &self.centroids[*owner as usize][..dimensions];
            for at in (0..dimensions).step_by(8) {
                let end = (at + 8).min(dimensions);
                let coordinates = row[at..end].iter().zip(&self.mean[at..end]).zip(&centroid[at..end]);
                for (lane, ((value, mean), centre)) in lanes.iter_mut().zip(coordinates) {
                    let difference = value - mean - centre;
                    *lane += difference * difference;
                }
            }
            sum += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
        }
        self.chunk.sum = sum;
    }
}

#[cfg(test)]
mod tests;
