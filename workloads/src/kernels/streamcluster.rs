//! Online clustering, as in PARSEC's streamcluster: would one more centre pay? Every point's distance to it says.
//!
//! It presses **bandwidth, with reuse a whole sweep later**: a sweep reads all points in order, 128 bytes each, and
//! computes some 100 instructions for each; then the next candidate sweeps the same points. If they fit the LLC all of it hits;
//! if a neighbour takes a part, least-recently-used replacement loses nearly everything: a cliff. The misses are
//! in order and independent, so a prefetcher hides them as far as bandwidth lasts. It writes 4 bytes for each point.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 52.5;

/// Coordinates of a point: 128 bytes, two lines.
const DIMENSIONS: usize = 32;

/// What opening a centre costs, in units of squared distance, for each point there is.
const COST_PER_POINT: f32 = 0.001;

type Point = [f32; DIMENSIONS];

/// Points and what each pays for its centre. An operation is one point.
#[derive(Debug)]
pub struct Streamcluster {
    points: Vec<Point>,
    /// Squared distance to the centre each belongs to.
    costs: Vec<f32>,
    candidate: Point,
    at: usize,
    /// What the candidate would save, over the points of this sweep so far.
    gain: f32,
    /// Whether this sweep assigns points to the candidate, which the sweep before found worth its cost.
    assigning: bool,
    centres: u64,
    random: SplitMix64,
}

impl Streamcluster {
    /// `working_set_bytes` / 132 points, drawn around 16 places.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let count = (working_set_bytes / (size_of::<Point>() + 4)).max(1);
        let places: Vec<Point> = (0..16).map(|_| std::array::from_fn(|_| random.unit() as f32)).collect();
        let points: Vec<Point> = (0..count)
            .map(|_| {
                let place = random.pick(&places).to_owned();
                place.map(|coordinate| coordinate + 0.1 * random.unit() as f32)
            })
            .collect();
        let candidate = points[0];
        let costs = points.iter().map(|point| squared_distance(point, &candidate)).collect();
        Self { points, costs, candidate, at: 0, gain: 0.0, assigning: false, centres: 1, random }
    }

    fn sweep(&mut self, until: usize) {
        let range = self.at..until;
        for (point, cost) in self.points[range.clone()].iter().zip(&mut self.costs[range]) {
            let distance = squared_distance(point, &self.candidate);
            if distance < *cost {
                self.gain += *cost - distance;
                if self.assigning {
                    *cost = distance;
                }
            }
        }
        self.at = until;
    }

    /// The sweep is over: the candidate becomes a centre, or another point is the candidate.
    fn decide(&mut self) {
        self.at = 0;
        let pays = self.gain > COST_PER_POINT * self.points.len() as f32;
        if pays && !self.assigning {
            self.assigning = true;
        } else {
            self.centres += u64::from(self.assigning);
            self.assigning = false;
            self.candidate = *self.random.pick(&self.points);
        }
        self.gain = 0.0;
    }
}

/// Eight sums side by side, added in a fixed order: quick with vectors, the same without.
fn squared_distance(a: &Point, b: &Point) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

impl Kernel for Streamcluster {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            let now = left.min((self.points.len() - self.at) as u64);
            self.sweep(self.at + now as usize);
            left -= now;
            if self.at == self.points.len() {
                self.decide();
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.at as u64);
        hash.update_u64(self.centres);
        hash.update_u64(u64::from(self.gain.to_bits()));
        for cost in self.costs.iter().step_by((self.costs.len() / 2048).max(1)) {
            hash.update_u64(u64::from(cost.to_bits()));
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_are_opened_until_none_pays() {
        let mut clusters = Streamcluster::new(132 * 2000, 1);
        let paid = |clusters: &Streamcluster| clusters.costs.iter().map(|&cost| f64::from(cost)).sum::<f64>();
        let before = paid(&clusters);
        clusters.run(2000 * 400);
        // 16 places: one centre each, or a few more where a place drew many points.
        assert!((16..64).contains(&clusters.centres), "{}", clusters.centres);
        assert!(paid(&clusters) < before / 10.0);
        let then = clusters.centres;
        clusters.run(2000 * 400);
        assert!(clusters.centres - then < 8, "{} after {then}", clusters.centres);
    }

    #[test]
    fn distances_are_squared_and_summed() {
        let (mut a, b) = ([1.0; DIMENSIONS], [1.0; DIMENSIONS]);
        (a[0], a[31]) = (4.0, -3.0);
        assert_eq!(squared_distance(&a, &b), 25.0);
    }
}
