//! A sparse matrix times a vector, again and again, as in soplex, milc's solvers or PageRank.
//!
//! It presses **bandwidth and cache capacity at the same time**: the matrix is a stream, 12 bytes for each element,
//! read once a sweep; the vector is gathered from, half near the diagonal and half anywhere. Only the vector, a tenth of the
//! working set, is worth keeping, and the stream keeps driving it out of the LLC. All misses are independent.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 136.0;

/// Elements in a row that are not zero.
const ELEMENTS: usize = 16;

/// How far from the diagonal the near half of them lies.
const BAND: usize = 64;

/// What remains of the old vector in each sweep.
const KEPT: f64 = 0.85;

/// A matrix whose rows sum to 1, and the vector it is applied to. An operation is one row.
#[derive(Debug)]
pub struct Spmv {
    /// Columns and values of the elements, [`ELEMENTS`] for each row.
    columns: Vec<[u32; ELEMENTS]>,
    values: Vec<[f64; ELEMENTS]>,
    /// What is added to each element of the product.
    source: Vec<f64>,
    from: Vec<f64>,
    to: Vec<f64>,
    at: usize,
    sweeps: u64,
}

impl Spmv {
    /// A matrix of `working_set_bytes` / 216 rows.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let rows = (working_set_bytes / (ELEMENTS * 12 + 24)).max(1);
        let mut columns = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut chosen: [u32; ELEMENTS] = std::array::from_fn(|place| {
                let near = (row + rows + random.below(2 * BAND.min(rows)) - BAND.min(rows)) % rows;
                (if place % 2 == 0 { near } else { random.below(rows) }) as u32
            });
            chosen.sort_unstable();
            let weights: [f64; ELEMENTS] = std::array::from_fn(|_| random.unit() + 0.01);
            let sum: f64 = weights.iter().sum();
            columns.push(chosen);
            values.push(weights.map(|weight| weight / sum));
        }
        let source: Vec<f64> = (0..rows).map(|_| random.unit()).collect();
        Self { columns, values, from: source.clone(), to: vec![0.0; rows], source, at: 0, sweeps: 0 }
    }

    fn multiply(&mut self, until: usize) {
        for row in self.at..until {
            let elements = self.columns[row].iter().zip(&self.values[row]);
            let product: f64 = elements.map(|(&column, value)| self.from[column as usize] * value).sum();
            self.to[row] = KEPT * product + (1.0 - KEPT) * self.source[row];
        }
        self.at = until;
    }
}

impl Kernel for Spmv {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            let now = left.min((self.to.len() - self.at) as u64);
            self.multiply(self.at + now as usize);
            left -= now;
            if self.at == self.to.len() {
                std::mem::swap(&mut self.from, &mut self.to);
                self.at = 0;
                self.sweeps += 1;
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.sweeps);
        hash.update_u64(self.at as u64);
        for element in self.from.iter().chain(&self.to).step_by((self.from.len() / 1024).max(1)) {
            hash.update_u64(element.to_bits());
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_converge_to_what_solves_the_equation() {
        let mut system = Spmv::new(216 * 200, 4);
        system.run(200 * 300);
        for row in 0..200 {
            let product: f64 =
                (0..ELEMENTS).map(|at| system.values[row][at] * system.from[system.columns[row][at] as usize]).sum();
            assert!((system.from[row] - KEPT * product - (1.0 - KEPT) * system.source[row]).abs() < 1e-12);
        }
        assert!(system.from.iter().all(|element| (0.0..1.0).contains(element)));
    }
}
