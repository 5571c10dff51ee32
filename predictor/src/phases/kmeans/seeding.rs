//! Where a run starts: k-means++ with several candidates for each centroid.
//!
//! Arthur and Vassilvitskii (SODA 2007): the first centroid is any point; each next one is a point drawn with a
//! probability proportional to its squared distance from the nearest centroid so far. As their own program does, each
//! draw is made `2 + ln k` times and the point kept that leaves the smallest sum of squared distances; of several, the
//! first drawn. Where every point lies on a centroid already, the draws are of point 0.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::executor::Executor;
use super::points::{Chunk, Prepared, TILE};
use crate::simd::{Lanes, Vector, Work};

/// Centred coordinates of `clusters` points.
pub(super) fn plus_plus(
    prepared: &mut Prepared<'_>,
    clusters: usize,
    rng: &mut ChaCha8Rng,
    lanes: Lanes,
    executor: &impl Executor,
) -> Vec<Vec<f32>> {
    let count = prepared.points.len();
    let candidates = 2 + (clusters as f64).ln() as usize;
    let first = ((unit(rng) * count as f64) as usize).min(count - 1);
    let mut chosen = vec![centred(prepared, first)];
    for chunk in &mut prepared.chunks {
        chunk.squares.clear();
        chunk.squares.resize(chunk.owners.len(), f32::INFINITY);
    }
    measure(prepared, &chosen[0], true, lanes, executor);
    while chosen.len() < clusters {
        let draws: Vec<usize> = (0..candidates).map(|_| draw(prepared, unit(rng))).collect();
        let mut best: Option<(f64, Vec<f32>)> = None;
        for draw in draws {
            let candidate = centred(prepared, draw);
            let left = measure(prepared, &candidate, false, lanes, executor);
            if best.as_ref().is_none_or(|(least, _)| left < *least) {
                best = Some((left, candidate));
            }
        }
        if let Some((_, candidate)) = best {
            measure(prepared, &candidate, true, lanes, executor);
            chosen.push(candidate);
        }
    }
    chosen
}

/// Uniform in [0, 1).
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn centred(prepared: &Prepared<'_>, point: usize) -> Vec<f32> {
    prepared.points.row(point).iter().zip(&prepared.mean).map(|(value, mean)| value - mean).collect()
}

/// The point at `share` of the way through all squared distances.
fn draw(prepared: &Prepared<'_>, share: f64) -> usize {
    let total: f64 = prepared.chunks.iter().map(|chunk| chunk.sum).sum();
    let mut left = total * share;
    let (mut start, mut last) = (0, 0);
    for chunk in &prepared.chunks {
        let points = chunk.rows.len() / prepared.points.dimensions();
        if left >= chunk.sum {
            left -= chunk.sum;
            start += points;
            continue;
        }
        for (place, square) in chunk.squares[..points].iter().enumerate().filter(|(_, square)| **square > 0.0) {
            last = start + place;
            left -= f64::from(*square);
            if left < 0.0 {
                return last;
            }
        }
        start += points;
    }
    last
}

/// The sum of squared distances if `candidate` were a centroid too; `keep` makes it one.
fn measure(prepared: &mut Prepared<'_>, candidate: &[f32], keep: bool, lanes: Lanes, executor: &impl Executor) -> f64 {
    // A candidate that is not kept leaves `sum` as it was, for the draws.
    let before: Vec<f64> = prepared.chunks.iter().map(|chunk| chunk.sum).collect();
    executor.for_each(&mut prepared.chunks, |chunk| lanes.run(Closer { chunk, candidate, keep }));
    let left = prepared.chunks.iter().map(|chunk| chunk.sum).sum();
    if !keep {
        prepared.chunks.iter_mut().zip(before).for_each(|(chunk, sum)| chunk.sum = sum);
    }
    left
}

struct Closer<'c, 'a> {
    chunk: &'c mut Chunk<'a>,
    candidate: &'c [f32],
    keep: bool,
}

impl Work for Closer<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (Chunk { rows, tiles, squares, sum, .. }, candidate) = (self.chunk, self.candidate);
        let points = rows.len() / candidate.len();
        let mut sums = [0.0f64; TILE];
        for (tile, (lines, squares)) in
            tiles.chunks_exact(TILE * candidate.len()).zip(squares.chunks_exact_mut(TILE)).enumerate()
        {
            let mut found = [0.0f32; TILE];
            for (line, value) in lines.as_chunks::<TILE>().0.iter().zip(candidate) {
                for lane in 0..TILE {
                    found[lane] += (line[lane] - value) * (line[lane] - value);
                }
            }
            for lane in 0..TILE {
                let present = tile * TILE + lane < points;
                found[lane] = if !present {
                    0.0
                } else if found[lane] < squares[lane] {
                    found[lane]
                } else {
                    squares[lane]
                };
                sums[lane] += f64::from(found[lane]);
            }
            if self.keep {
                squares.copy_from_slice(&found);
            }
        }
        *sum = sums.iter().sum();
    }
}
