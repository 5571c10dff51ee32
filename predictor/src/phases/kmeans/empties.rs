//! What becomes of a cluster that has lost all its points.
//!
//! Exactly this: take the empty clusters from the lowest number up, and the points from the farthest from the centroid
//! that they were just given to (of several as far, the first). Each empty cluster takes the next point whose cluster
//! keeps another and whose distance is not 0. Where no such point is left, the cluster stays empty and its centroid where
//! it is; that happens only where there are fewer distinct points than clusters, or nearly so.

use super::executor::Executor;
use super::lloyd::Run;
use super::points::{CHUNK, Prepared};

pub(super) fn fill(run: &mut Run, prepared: &mut Prepared<'_>, executor: &impl Executor) {
    let dimensions = prepared.points.dimensions();
    let empty: Vec<usize> = (0..run.centroids.len()).filter(|cluster| run.total.sizes[*cluster] == 0).collect();
    let (centroids, mean) = (&run.centroids, &prepared.mean);
    executor.for_each(&mut prepared.chunks, |chunk| {
        chunk.squares.clear();
        for (row, owner) in chunk.rows.chunks_exact(dimensions).zip(&chunk.owners) {
            let coordinates = row.iter().zip(mean).zip(&centroids[*owner as usize]);
            chunk.squares.push(coordinates.map(|((value, mean), centre)| (value - mean - centre).powi(2)).sum());
        }
    });
    let all = prepared.chunks.iter().flat_map(|chunk| &chunk.squares).copied().enumerate();
    let mut far: Vec<(usize, f32)> = all.filter(|(_, squared)| *squared > 0.0).collect();
    far.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut far = far.into_iter();
    for cluster in empty {
        let taken =
            far.find(|(point, _)| run.total.sizes[prepared.chunks[point / CHUNK].owners[point % CHUNK] as usize] > 1);
        let Some((point, _)) = taken else { return };
        let chunk = &mut prepared.chunks[point / CHUNK];
        let (from, to) = (chunk.owners[point % CHUNK], cluster as u32);
        let row = prepared.points.row(point).iter().zip(&prepared.mean).map(|(value, mean)| value - mean);
        run.total.transfer(row, from, to, run.grid);
        chunk.owners[point % CHUNK] = to;
    }
}
