//! Lloyd's steps over prepared points: assign each to its nearest centroid, move each centroid to the mean of its points.

use super::empties;
use super::executor::Executor;
use super::kernel::Centroids;
use super::points::{Chunk, NOBODY, Prepared, TILE};
use crate::simd::{Lanes, Vector, WIDTH, Work};

/// What joined clusters less what left them: an exact sum, so that its order does not matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// For each cluster, for each coordinate, in [`Grid`] units.
    pub(super) sums: Vec<i64>,
    /// For each cluster, in points.
    pub(super) sizes: Vec<i64>,
    /// How many points changed their cluster.
    pub(super) changed: usize,
}

impl Tally {
    fn new(clusters: usize, dimensions: usize) -> Self {
        Self { sums: vec![0; clusters * dimensions], sizes: vec![0; clusters], changed: 0 }
    }

    fn add(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, part)| *sum += part);
        self.sizes.iter_mut().zip(&other.sizes).for_each(|(size, part)| *size += part);
        self.changed += other.changed;
    }

    /// A point with these centred coordinates leaves one cluster for another.
    #[inline(always)]
    pub(super) fn transfer(&mut self, row: impl Iterator<Item = f32> + Clone, from: u32, to: u32, grid: Grid) {
        let dimensions = self.sums.len() / self.sizes.len();
        let of = |cluster: u32| cluster as usize * dimensions..(cluster as usize + 1) * dimensions;
        self.sizes[to as usize] += 1;
        self.sums[of(to)].iter_mut().zip(row.clone()).for_each(|(sum, value)| *sum += grid.units(value));
        if from != NOBODY {
            self.sizes[from as usize] -= 1;
            self.sums[of(from)].iter_mut().zip(row).for_each(|(sum, value)| *sum -= grid.units(value));
        }
        self.changed += 1;
    }
}

/// Coordinates as whole numbers of a unit so small that it does not matter and so large that no sum overflows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    units_per_one: f64,
}

impl Grid {
    /// For `count` coordinates within `farthest` of 0: their sum stays below 2^62 units, each below 2^50.
    fn new(count: usize, farthest: f32) -> Self {
        let count_bits = usize::BITS - count.leading_zeros();
        // Of 0 everywhere, any unit will do.
        let farthest_bits = f64::from(farthest.max(f32::MIN_POSITIVE)).log2().floor() as i32 + 1;
        Self { units_per_one: 2f64.powi((62 - count_bits as i32).min(50) - farthest_bits) }
    }

    /// Rounded to nearest by adding what leaves no room for a fraction: the low bits of the sum are the whole number.
    #[inline(always)]
    fn units(self, value: f32) -> i64 {
        const ROOM: f64 = 1.5 * (1u64 << 52) as f64;
        (f64::from(value) * self.units_per_one + ROOM).to_bits() as i64 - ROOM.to_bits() as i64
    }

    fn ones(self, units: i64) -> f64 {
        units as f64 / self.units_per_one
    }
}

/// The state of one run.
pub(super) struct Run {
    /// Centred.
    pub(super) centroids: Vec<Vec<f32>>,
    pub(super) total: Tally,
    pub(super) grid: Grid,
}

impl Run {
    /// From these centred centroids. Points forget what cluster they were in.
    pub(super) fn new(prepared: &mut Prepared<'_>, centroids: Vec<Vec<f32>>) -> Self {
        let (clusters, dimensions) = (centroids.len(), prepared.points.dimensions());
        for chunk in &mut prepared.chunks {
            chunk.owners.fill(NOBODY);
            chunk.tally = Tally::new(clusters, dimensions);
        }
        let grid = Grid::new(prepared.points.len(), prepared.farthest);
        Self { centroids, total: Tally::new(clusters, dimensions), grid }
    }

    /// Gives every point to its nearest centroid; how many changed.
    pub(super) fn assign(&mut self, prepared: &mut Prepared<'_>, lanes: Lanes, executor: &impl Executor) -> usize {
        let centroids = Centroids::new(&self.centroids);
        let (mean, grid) = (&prepared.mean[..], self.grid);
        executor.for_each(&mut prepared.chunks, |chunk| {
            lanes.run(Pass { chunk, centroids: &centroids, mean, grid });
        });
        self.total.changed = 0;
        for chunk in prepared.chunks.iter().filter(|chunk| chunk.tally.changed > 0) {
            self.total.add(&chunk.tally);
        }
        self.total.changed
    }

    /// Moves each centroid to the mean of its points, after filling empty clusters. How far they moved: the sum of
    /// their squares.
    pub(super) fn update(&mut self, prepared: &mut Prepared<'_>, executor: &impl Executor) -> f64 {
        if self.total.sizes.contains(&0) {
            empties::fill(self, prepared, executor);
        }
        let dimensions = prepared.points.dimensions();
        let mut moved = 0.0;
        let sums = self.total.sums.chunks_exact(dimensions);
        for ((centroid, size), sums) in self.centroids.iter_mut().zip(&self.total.sizes).zip(sums) {
            // A cluster that could not be filled stays where it is.
            for (value, sum) in centroid.iter_mut().zip(sums).filter(|_| *size > 0) {
                let mean = (self.grid.ones(*sum) / *size as f64) as f32;
                moved += (f64::from(mean) - f64::from(*value)).powi(2);
                *value = mean;
            }
        }
        moved
    }
}

struct Pass<'c, 'a> {
    chunk: &'c mut Chunk<'a>,
    centroids: &'c Centroids,
    mean: &'c [f32],
    grid: Grid,
}

impl Work for Pass<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Chunk { rows, tiles, owners, tally, .. } = self.chunk;
        if tally.changed > 0 {
            tally.sums.fill(0);
            tally.sizes.fill(0);
            tally.changed = 0;
        }
        let dimensions = self.mean.len();
        let points = rows.len() / dimensions;
        let each = tiles.chunks_exact(TILE * dimensions).zip(owners.as_chunks_mut::<TILE>().0);
        for (tile, (lines, owners)) in each.enumerate() {
            let found = self.centroids.nearest::<V>(lines);
            let found: [u32; TILE] = std::array::from_fn(|lane| found[lane / WIDTH][lane % WIDTH] as u32);
            if found == *owners {
                continue;
            }
            let first = tile * TILE;
            for lane in (0..TILE.min(points - first)).filter(|lane| found[*lane] != owners[*lane]) {
                let row = &rows[(first + lane) * dimensions..][..dimensions];
                let centred = row.iter().zip(self.mean).map(|(value, mean)| value - mean);
                tally.transfer(centred, owners[lane], found[lane], self.grid);
            }
            // Points that fill up the last tile have owners too; nobody asks for them.
            *owners = found;
        }
    }
}
