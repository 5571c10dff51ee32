//! Points as the caller has them, checked, and as the kernels want them: centred, in tiles.

use super::executor::Executor;
use crate::simd::{Lanes, Vector, WIDTH, Work};

/// Points that stand side by side in a tile: coordinate by coordinate, [`TILE`] points each.
pub(super) const TILE: usize = 16;

/// Points of one chunk, the unit that an executor deals out. A constant, since sums are taken chunk by chunk.
pub(super) const CHUNK: usize = 8192;

/// Coordinates may not lie farther from 0, so that squares stay within `f32`.
pub const FARTHEST: f32 = 1e15;

/// Owner of a point that has none yet.
pub(super) const NOBODY: u32 = u32::MAX;

/// Points in rows, one after the other: at least one, of at least one coordinate, all finite.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    values: &'a [f32],
    dimensions: usize,
}

/// Numbers that are no points.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PointsError {
    /// No rows of one length.
    #[error("{values} numbers are not one or more rows of {dimensions}")]
    NoRows {
        /// How many numbers there are.
        values: usize,
        /// Coordinates of a point.
        dimensions: usize,
    },
    /// More than the sums have room for.
    #[error("{0} points are too many; take at most {most}", most = Points::MOST)]
    TooMany(usize),
    /// A coordinate that is no number, or beyond [`FARTHEST`].
    #[error("coordinate {coordinate} of point {point} is {value}; it must be finite and within {FARTHEST} of 0")]
    OutOfRange {
        /// Which point, from 0.
        point: usize,
        /// Which of its coordinates, from 0.
        coordinate: usize,
        /// What stands there.
        value: f32,
    },
}

impl<'a> Points<'a> {
    /// Most points of one fit.
    pub const MOST: usize = 1 << 30;

    /// `values` as rows of `dimensions` coordinates.
    pub fn new(values: &'a [f32], dimensions: usize) -> Result<Self, PointsError> {
        if dimensions == 0 || values.is_empty() || !values.len().is_multiple_of(dimensions) {
            return Err(PointsError::NoRows { values: values.len(), dimensions });
        }
        if values.len() / dimensions > Self::MOST {
            return Err(PointsError::TooMany(values.len() / dimensions));
        }
        // A maximum over all takes a fraction of the time that a search takes; NaN fails the comparison.
        let sound =
            values.chunks(1024).all(|some| some.iter().fold(true, |all, value| all & (value.abs() <= FARTHEST)));
        let wrong = |value: &f32| value.is_nan() || value.abs() > FARTHEST;
        match values.iter().position(wrong).filter(|_| !sound) {
            Some(place) => Err(PointsError::OutOfRange {
                point: place / dimensions,
                coordinate: place % dimensions,
                value: values[place],
            }),
            None => Ok(Self { values, dimensions }),
        }
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Coordinates of each.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The coordinates of point `index`.
    #[must_use]
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dimensions..(index + 1) * self.dimensions]
    }
}

/// Some thousand points, ready for the kernels, and what is known about each.
pub(super) struct Chunk<'a> {
    /// The caller's rows.
    pub(super) rows: &'a [f32],
    /// Centred coordinates: tile by tile, in a tile coordinate by coordinate. Points that fill up the last tile are 0.
    pub(super) tiles: Vec<f32>,
    /// The cluster of each point.
    pub(super) owners: Vec<u32>,
    /// What changed clusters in the last pass.
    pub(super) tally: super::lloyd::Tally,
    /// A number for each point, and their sum: squared distances while seeding, inertia at the end.
    pub(super) squares: Vec<f32>,
    /// See [`Self::squares`].
    pub(super) sum: f64,
    /// Largest coordinate in its size.
    pub(super) farthest: f32,
    means: Vec<f64>,
}

/// All points, ready for the kernels.
pub(super) struct Prepared<'a> {
    pub(super) points: Points<'a>,
    pub(super) chunks: Vec<Chunk<'a>>,
    /// The mean of all points, which the kernels take as the origin.
    pub(super) mean: Vec<f32>,
    /// Mean over the coordinates of their variance.
    pub(super) variance: f64,
    /// Largest centred coordinate in its size.
    pub(super) farthest: f32,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(points: Points<'a>, lanes: Lanes, executor: &impl Executor) -> Self {
        let dimensions = points.dimensions;
        let chunk = |rows: &'a [f32]| {
            let padded = (rows.len() / dimensions).div_ceil(TILE) * TILE;
            Chunk {
                rows,
                tiles: Vec::new(),
                owners: vec![NOBODY; padded],
                tally: super::lloyd::Tally::default(),
                squares: Vec::new(),
                sum: 0.0,
                farthest: 0.0,
                means: vec![0.0; dimensions],
            }
        };
        let mut chunks: Vec<Chunk<'a>> = points.values.chunks(CHUNK * dimensions).map(chunk).collect();
        executor.for_each(&mut chunks, |chunk| lanes.run(SumRows { chunk }));
        let mut sums = vec![0.0; dimensions];
        for chunk in &chunks {
            sums.iter_mut().zip(&chunk.means).for_each(|(sum, part)| *sum += part);
        }
        let count = points.len() as f64;
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
        executor.for_each(&mut chunks, |chunk| lanes.run(Tile { chunk, mean: &mean }));
        let squares: f64 = chunks.iter().map(|chunk| chunk.sum).sum();
        let farthest = chunks.iter().map(|chunk| chunk.farthest).fold(0.0, f32::max);
        let variance = squares / count / dimensions as f64;
        Self { points, chunks, mean, variance, farthest }
    }
}

struct SumRows<'c, 'a> {
    chunk: &'c mut Chunk<'a>,
}

impl Work for SumRows<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let sums = &mut self.chunk.means[..];
        for row in self.chunk.rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }
}

struct Tile<'c, 'a> {
    chunk: &'c mut Chunk<'a>,
    mean: &'c [f32],
}

impl Work for Tile<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (Chunk { rows, tiles, owners, farthest, sum, .. }, mean) = (self.chunk, self.mean);
        let dimensions = mean.len();
        tiles.resize(owners.len() * dimensions, 0.0);
        let (mut squares, mut largest) = ([0.0f64; TILE], V::splat(0.0));
        for (rows, tile) in rows.chunks(TILE * dimensions).zip(tiles.chunks_exact_mut(TILE * dimensions)) {
            for (lane, row) in rows.chunks_exact(dimensions).enumerate() {
                for (place, (value, mean)) in row.iter().zip(mean).enumerate() {
                    tile[place * TILE + lane] = value - mean;
                }
            }
            let mut norms = [V::splat(0.0); 2];
            for line in tile.as_chunks::<TILE>().0 {
                for (norm, values) in norms.iter_mut().zip(line.as_chunks::<WIDTH>().0) {
                    let values = V::load(values);
                    *norm = norm.plus(values.times(values));
                    largest = largest.max(values.max(V::splat(0.0).minus(values)));
                }
            }
            for (sums, norms) in squares.chunks_exact_mut(WIDTH).zip(norms) {
                sums.iter_mut().zip(norms.store()).for_each(|(sum, norm)| *sum += f64::from(norm));
            }
        }
        *sum = squares.iter().sum();
        *farthest = largest.store().into_iter().fold(0.0, f32::max);
    }
}
