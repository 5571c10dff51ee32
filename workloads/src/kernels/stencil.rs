//! Relaxation of a three-dimensional grid, as lbm sweeps its lattice: two grids, read one, write the other, swap.
//!
//! It presses **bandwidth and arithmetic together**: a sweep reads one grid in seven streams (a cell and its six
//! neighbours, three planes apart) and writes the other. If three planes fit a cache, each cell is fetched once a
//! sweep; less cache, more traffic. The loads are independent, so the misses overlap.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 9.5;

/// Two grids of `side` x `side` x `planes` cells. An operation is one cell.
#[derive(Debug)]
pub struct Stencil {
    from: Vec<f64>,
    to: Vec<f64>,
    /// Cells in a row, rows in a plane.
    side: usize,
    /// The next inner cell to compute, as an index into the grid.
    at: usize,
    sweeps: u64,
}

/// Cells in a row and rows in a plane: three planes of doubles take 24 KiB, so they fit an ordinary first-level cache.
const SIDE: usize = 32;

impl Stencil {
    /// Two grids that share `working_set_bytes`, of at least four planes (or, below that, of a smaller side).
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let cells = working_set_bytes / 16;
        let side = if cells >= 4 * SIDE * SIDE { SIDE } else { 8 };
        let planes = (cells / (side * side)).max(3);
        let mut random = SplitMix64::new(seed);
        let from: Vec<f64> = (0..planes * side * side).map(|_| random.unit()).collect();
        let to = from.clone();
        let at = side * side;
        Self { from, to, side, at, sweeps: 0 }
    }

    /// Computes cells `at..until`; rows wrap into each other at the sides, which keeps the loop free of branches.
    fn relax(&mut self, until: usize) {
        let plane = self.side * self.side;
        let count = until - self.at;
        let read = |offset: usize| &self.from[offset..offset + count];
        let (below, above) = (read(self.at - plane), read(self.at + plane));
        let (north, south) = (read(self.at - self.side), read(self.at + self.side));
        let (west, east) = (read(self.at - 1), read(self.at + 1));
        let here = read(self.at);
        let out = &mut self.to[self.at..until];
        for cell in 0..count {
            let around = (below[cell] + above[cell]) + (north[cell] + south[cell]) + (west[cell] + east[cell]);
            out[cell] = here[cell] * 0.5 + around * (0.5 / 6.0);
        }
    }

    fn end(&self) -> usize {
        self.from.len() - self.side * self.side
    }
}

impl Kernel for Stencil {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            let now = left.min((self.end() - self.at) as u64);
            let until = self.at + now as usize;
            self.relax(until);
            left -= now;
            self.at = until;
            if until == self.end() {
                std::mem::swap(&mut self.from, &mut self.to);
                self.at = self.side * self.side;
                self.sweeps += 1;
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.sweeps);
        hash.update_u64(self.at as u64);
        for grid in [&self.from, &self.to] {
            for cell in grid.iter().step_by((grid.len() / 2048).max(1)) {
                hash.update_u64(cell.to_bits());
            }
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relaxation_stays_within_the_range_it_started_from_and_levels_it() {
        let mut stencil = Stencil::new(512 * 1024, 2);
        let spread = |grid: &[f64]| {
            let plane = SIDE * SIDE;
            let inner = &grid[plane * 4..plane * 8];
            inner.iter().copied().fold(f64::MIN, f64::max) - inner.iter().copied().fold(f64::MAX, f64::min)
        };
        let before = spread(&stencil.from);
        stencil.run(((stencil.end() - SIDE * SIDE) * 10) as u64);
        assert_eq!(stencil.sweeps, 10);
        assert!(stencil.from.iter().all(|cell| (0.0..1.0).contains(cell)));
        assert!(spread(&stencil.from) < before / 2.0);
    }
}
