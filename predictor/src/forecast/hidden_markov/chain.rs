//! Expectations over the hidden states of a chain: forward, backward, and what is counted on the way.
//!
//! # Method
//!
//! Rabiner's scaled recursions (Proc. IEEE 1989). With `A[i][j]` the probability of `j` after `i`, and `b[t][j]` the
//! likelihood of step `t` in state `j` (any factor of a step may be left out):
//!
//! ```text
//! a[t]  = (a[t-1] A) * b[t],  c[t] = sum of a[t],  a[t] /= c[t]        ln likelihood = sum of ln c[t]
//! w[t]  = b[t] * B[t] / c[t],  B[t-1] = A w[t]                          B[last] = 1
//! state shares of step t:      a[t] * B[t]
//! expected moves from i to j:  A[i][j] * sum over t of a[t-1][i] w[t][j]
//! ```
//!
//! Each line is a row of `S` numbers, a constant multiple of 4, so that it becomes a few vector instructions. States that
//! do not exist have probability 0 everywhere.

use crate::simd::{Doubles, HALF, Lanes, PortableDoubles, Vector, Work};

/// How states start and follow each other.
#[derive(Debug, Clone)]
pub(super) struct Chain<const S: usize> {
    pub(super) start: [f64; S],
    /// `rows[i][j]`: the probability of `j` after `i`.
    rows: Box<[[f64; S]]>,
    /// The same by `j`.
    columns: Box<[[f64; S]]>,
}

/// What is expected of the states of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Expected<const S: usize> {
    /// Moves from each state to each.
    pub(super) moves: Box<[[f64; S]]>,
    /// Shares of the states in the first step.
    pub(super) first: [f64; S],
    /// Natural logarithm of the likelihood, less that of the factors left out.
    pub(super) log_likelihood: f64,
}

impl<const S: usize> Chain<S> {
    pub(super) fn new(start: [f64; S], rows: Box<[[f64; S]]>) -> Self {
        let mut chain = Self { start, columns: rows.clone(), rows };
        chain.transpose();
        chain
    }

    /// Replaces all transition probabilities.
    pub(super) fn set(&mut self, row: usize, probabilities: [f64; S]) {
        self.rows[row] = probabilities;
    }

    /// To be called after [`Self::set`].
    pub(super) fn transpose(&mut self) {
        for (to, column) in self.columns.iter_mut().enumerate() {
            *column = std::array::from_fn(|from| self.rows[from][to]);
        }
    }

    /// The states one step after `now`.
    pub(super) fn step(&self, now: &[f64; S]) -> [f64; S] {
        combine::<PortableDoubles, S>(&self.rows, now)
    }

    /// Takes the likelihoods of a sequence's steps and leaves the shares of the states there.
    pub(super) fn expect(&self, steps: &mut [[f64; S]], lanes: Lanes) -> Expected<S> {
        lanes.run(ForwardBackward { chain: self, steps })
    }
}

/// The sum of `rows`, each times its weight; even and odd rows apart, so that two sums are under way.
#[inline(always)]
fn combine<D: Doubles, const S: usize>(rows: &[[f64; S]], weights: &[f64; S]) -> [f64; S] {
    let mut sum = [0.0; S];
    for (quad, sum) in sum.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
        let (mut even, mut odd) = (D::splat(0.0), D::splat(0.0));
        for (rows, weights) in rows.as_chunks::<2>().0.iter().zip(weights.as_chunks::<2>().0) {
            even = even.plus(D::load(&rows[0].as_chunks::<HALF>().0[quad]).times(D::splat(weights[0])));
            odd = odd.plus(D::load(&rows[1].as_chunks::<HALF>().0[quad]).times(D::splat(weights[1])));
        }
        *sum = even.plus(odd).store();
    }
    sum
}

/// `a * b * factor`, lane by lane.
#[inline(always)]
fn scaled<D: Doubles, const S: usize>(a: &[f64; S], b: &[f64; S], factor: f64) -> [f64; S] {
    let mut product = [0.0; S];
    let quads = a.as_chunks::<HALF>().0.iter().zip(b.as_chunks::<HALF>().0);
    for (product, (a, b)) in product.as_chunks_mut::<HALF>().0.iter_mut().zip(quads) {
        *product = D::load(a).times(D::load(b)).times(D::splat(factor)).store();
    }
    product
}

#[inline(always)]
fn total<D: Doubles, const S: usize>(values: &[f64; S]) -> f64 {
    let quads = values.as_chunks::<HALF>().0;
    let [a, b, c, d] = quads.iter().fold(D::splat(0.0), |sum, quad| sum.plus(D::load(quad))).store();
    (a + b) + (c + d)
}

struct ForwardBackward<'c, const S: usize> {
    chain: &'c Chain<S>,
    steps: &'c mut [[f64; S]],
}

impl<const S: usize> Work for ForwardBackward<'_, S> {
    type Answer = Expected<S>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Expected<S> {
        let Self { chain, steps } = self;
        let mut alphas: Vec<[f64; S]> = Vec::with_capacity(steps.len());
        let mut scales: Vec<f64> = Vec::with_capacity(steps.len());
        let mut logs = LogOfProduct::default();
        let (mut now, mut scale) = (chain.start, 1.0);
        for (step, likelihoods) in steps.iter().enumerate() {
            // Scaled by the step before, since that is known before this step's sum is.
            let ahead = if step > 0 { combine::<V::Doubles, S>(&chain.rows, &now) } else { now };
            now = scaled::<V::Doubles, S>(&ahead, likelihoods, scale);
            let sum = total::<V::Doubles, S>(&now);
            logs.multiply(sum);
            scale = 1.0 / sum;
            alphas.push(now);
            scales.push(scale);
        }
        let mut moves = vec![[0.0; S]; S].into_boxed_slice();
        let mut beta = [1.0; S];
        for step in (0..steps.len()).rev() {
            let ahead = scaled::<V::Doubles, S>(&steps[step], &beta, scales[step]);
            steps[step] = scaled::<V::Doubles, S>(&alphas[step], &beta, scales[step]);
            if let Some(before) = step.checked_sub(1) {
                for (row, alpha) in moves.iter_mut().zip(&alphas[before]) {
                    let weight = V::Doubles::splat(alpha * scales[before]);
                    for (sum, ahead) in row.as_chunks_mut::<HALF>().0.iter_mut().zip(ahead.as_chunks::<HALF>().0) {
                        *sum = V::Doubles::load(sum).plus(V::Doubles::load(ahead).times(weight)).store();
                    }
                }
                beta = combine::<V::Doubles, S>(&chain.columns, &ahead);
            }
        }
        for (moves, row) in moves.iter_mut().zip(&chain.rows) {
            moves.iter_mut().zip(row).for_each(|(moves, probability)| *moves *= probability);
        }
        let first = steps.first().copied().unwrap_or([0.0; S]);
        Expected { moves, first, log_likelihood: logs.total() }
    }
}

/// The logarithm of a long product, with as few logarithms taken as its range allows.
struct LogOfProduct {
    sum: f64,
    product: f64,
}

impl Default for LogOfProduct {
    fn default() -> Self {
        Self { sum: 0.0, product: 1.0 }
    }
}

impl LogOfProduct {
    #[inline(always)]
    fn multiply(&mut self, factor: f64) {
        if !(1e-100..1e100).contains(&factor) {
            self.sum += factor.ln();
            return;
        }
        self.product *= factor;
        if !(1e-200..1e200).contains(&self.product) {
            self.sum += self.product.ln();
            self.product = 1.0;
        }
    }

    fn total(&self) -> f64 {
        self.sum + self.product.ln()
    }
}
