//! A hidden Markov model of real numbers: each state a Gaussian with a width of its own along each axis.
//!
//! # Method
//!
//! Baum-Welch: the expectations of [`super::chain`], then shares, means and variances of the steps, each weighing the share
//! of the state in it. Log densities of a step are taken relative to the likeliest state's before the exponential, so
//! that an outlier leaves at least one likelihood of 1.
//!
//! # Properties
//!
//! - A step never lowers the likelihood, as long as no variance stands at [`VARIANCE_FLOOR`].
//! - The likelihood is that of adding up every path, to rounding.

use super::chain::{Chain, Expected};
use crate::simd::{Doubles, HALF, Lanes, Vector, Work};

/// Smallest variance along an axis.
pub const VARIANCE_FLOOR: f64 = 1e-6;

/// Most states.
pub const STATES_MOST: usize = 64;

/// Start, transitions, and a Gaussian for each state; probabilities sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianHmm {
    start: Vec<f64>,
    transitions: Vec<Vec<f64>>,
    means: Vec<Vec<f64>>,
    variances: Vec<Vec<f64>>,
}

/// Numbers that make no hidden Markov model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HmmError {
    /// No state, too many, or lists that do not agree about how many.
    #[error("start, transitions, means and variances must be of the same 1 to {STATES_MOST} states")]
    States,
    /// Probabilities that do not sum to 1.
    #[error("the start and each row of transitions must be probabilities that sum to 1")]
    Probabilities,
    /// Means or variances of different lengths, not finite, or a variance below the floor.
    #[error("means and variances must be finite and of one length, variances at least {VARIANCE_FLOOR}")]
    Densities,
    /// A sequence whose numbers are not rows, or not finite.
    #[error("sequence {0} is not one or more rows of finite numbers, as many as a mean has")]
    Sequence(usize),
}

/// What training went through: the log likelihood before each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model after the last step.
    pub model: GaussianHmm,
    /// Of all sequences together.
    pub log_likelihoods: Vec<f64>,
}

impl GaussianHmm {
    /// A model of these states.
    pub fn new(
        start: Vec<f64>,
        transitions: Vec<Vec<f64>>,
        means: Vec<Vec<f64>>,
        variances: Vec<Vec<f64>>,
    ) -> Result<Self, HmmError> {
        let states = start.len();
        let counts = [transitions.len(), means.len(), variances.len()];
        let square = transitions.iter().all(|row| row.len() == states);
        if states == 0 || states > STATES_MOST || counts != [states; 3] || !square {
            return Err(HmmError::States);
        }
        let sound =
            |row: &Vec<f64>| row.iter().all(|share| *share >= 0.0) && (row.iter().sum::<f64>() - 1.0).abs() < 1e-6;
        if !sound(&start) || !transitions.iter().all(sound) {
            return Err(HmmError::Probabilities);
        }
        let dimensions = means[0].len();
        let alike = means.iter().chain(&variances).all(|row| row.len() == dimensions);
        let finite = means.iter().chain(&variances).flatten().all(|value| value.is_finite());
        let wide = variances.iter().flatten().all(|variance| *variance >= VARIANCE_FLOOR);
        if dimensions == 0 || !alike || !finite || !wide {
            return Err(HmmError::Densities);
        }
        Ok(Self { start, transitions, means, variances })
    }

    /// The probability of each state at the start.
    #[must_use]
    pub fn start(&self) -> &[f64] {
        &self.start
    }

    /// For each state, the probability of each after it.
    #[must_use]
    pub fn transitions(&self) -> &[Vec<f64>] {
        &self.transitions
    }

    /// The centre of each state.
    #[must_use]
    pub fn means(&self) -> &[Vec<f64>] {
        &self.means
    }

    /// The variance of each state along each axis.
    #[must_use]
    pub fn variances(&self) -> &[Vec<f64>] {
        &self.variances
    }

    /// `steps` steps of Baum-Welch over `sequences`, each of which is rows one after the other.
    pub fn baum_welch(&self, sequences: &[&[f64]], steps: usize, lanes: Lanes) -> Result<Trained, HmmError> {
        let dimensions = self.means[0].len();
        let sound = |rows: &[f64]| {
            !rows.is_empty() && rows.len().is_multiple_of(dimensions) && rows.iter().all(|value| value.is_finite())
        };
        if let Some(wrong) = sequences.iter().position(|rows| !sound(rows)) {
            return Err(HmmError::Sequence(wrong));
        }
        let mut trained = Trained { model: self.clone(), log_likelihoods: Vec::new() };
        for _ in 0..steps {
            let (next, log_likelihood) = trained.model.any_step(sequences, lanes);
            trained.log_likelihoods.push(log_likelihood);
            trained.model = next;
        }
        Ok(trained)
    }

    /// A step with room for at least as many states as there are.
    fn any_step(&self, sequences: &[&[f64]], lanes: Lanes) -> (Self, f64) {
        match self.start.len() {
            0..=4 => self.step::<4>(sequences, lanes),
            5..=8 => self.step::<8>(sequences, lanes),
            9..=16 => self.step::<16>(sequences, lanes),
            17..=32 => self.step::<32>(sequences, lanes),
            _ => self.step::<STATES_MOST>(sequences, lanes),
        }
    }

    fn step<const S: usize>(&self, sequences: &[&[f64]], lanes: Lanes) -> (Self, f64) {
        let states = self.start.len();
        let rows = (0..S).map(|from| padded(self.transitions.get(from).map_or(&[][..], Vec::as_slice))).collect();
        let chain = Chain::<S>::new(padded(&self.start), rows);
        let densities = Densities::<S>::new(&self.means, &self.variances);
        let mut sums = Sums::<S>::new(self.means[0].len());
        let mut moves = vec![vec![0.0; states]; states];
        let mut first = vec![0.0; states];
        let mut log_likelihood = 0.0;
        let mut shares: Vec<[f64; S]> = Vec::new();
        for rows in sequences {
            shares.clear();
            log_likelihood += lanes.run(Likelihoods { densities: &densities, rows, out: &mut shares });
            let expected: Expected<S> = chain.expect(&mut shares, lanes);
            log_likelihood += expected.log_likelihood;
            lanes.run(Collect { densities: &densities, rows, shares: &shares, sums: &mut sums });
            first.iter_mut().zip(expected.first).for_each(|(sum, share)| *sum += share);
            for (sums, row) in moves.iter_mut().zip(&expected.moves) {
                sums.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
            }
        }
        (self.maximised(&first, &moves, &sums), log_likelihood)
    }

    /// What nobody was in stays as it was.
    fn maximised<const S: usize>(&self, first: &[f64], moves: &[Vec<f64>], sums: &Sums<S>) -> Self {
        let mut next = self.clone();
        next.start = share(first).unwrap_or(next.start);
        for (row, moves) in next.transitions.iter_mut().zip(moves) {
            *row = share(moves).unwrap_or_else(|| row.clone());
        }
        for state in (0..self.start.len()).filter(|state| sums.weights[*state] > 1e-9) {
            let weight = sums.weights[state];
            for axis in 0..self.means[state].len() {
                let shift = sums.firsts[axis][state] / weight;
                next.means[state][axis] += shift;
                next.variances[state][axis] = (sums.seconds[axis][state] / weight - shift * shift).max(VARIANCE_FLOOR);
            }
        }
        next
    }
}

fn share(counts: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = counts.iter().sum();
    (total > 1e-9).then(|| counts.iter().map(|count| count / total).collect())
}

fn padded<const S: usize>(values: &[f64]) -> [f64; S] {
    std::array::from_fn(|place| values.get(place).copied().unwrap_or(0.0))
}

/// Gaussians by axis, each line one number for each state.
struct Densities<const S: usize> {
    means: Vec<[f64; S]>,
    /// Half of 1 over the variance.
    halved: Vec<[f64; S]>,
    /// The part of the log density that no step changes; of states that do not exist, minus infinity.
    constants: [f64; S],
}

impl<const S: usize> Densities<S> {
    fn new(means: &[Vec<f64>], variances: &[Vec<f64>]) -> Self {
        let line = |rows: &[Vec<f64>], axis: usize| padded::<S>(&rows.iter().map(|row| row[axis]).collect::<Vec<_>>());
        let axes = 0..means[0].len();
        let halved = |axis| line(variances, axis).map(|variance| if variance > 0.0 { 0.5 / variance } else { 0.0 });
        let constant = |state: usize| match variances.get(state) {
            Some(variances) => {
                -0.5 * variances.iter().map(|variance| (std::f64::consts::TAU * variance).ln()).sum::<f64>()
            }
            None => f64::NEG_INFINITY,
        };
        Self {
            means: axes.clone().map(|axis| line(means, axis)).collect(),
            halved: axes.map(halved).collect(),
            constants: std::array::from_fn(constant),
        }
    }
}

/// The likelihood of each step in each state, relative to the likeliest; answers the sum of what was taken out.
struct Likelihoods<'c, const S: usize> {
    densities: &'c Densities<S>,
    rows: &'c [f64],
    out: &'c mut Vec<[f64; S]>,
}

impl<const S: usize> Work for Likelihoods<'_, S> {
    type Answer = f64;

    #[inline(always)]
    fn run<V: Vector>(self) -> f64 {
        let Densities { means, halved, constants } = self.densities;
        let mut taken = 0.0;
        for row in self.rows.chunks_exact(means.len()) {
            let mut logs = *constants;
            let mut most = V::Doubles::splat(f64::NEG_INFINITY);
            for (quad, logs) in logs.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
                let mut log = V::Doubles::load(logs);
                for ((value, means), halved) in row.iter().zip(means).zip(halved) {
                    let difference = V::Doubles::splat(*value).minus(V::Doubles::load(&means.as_chunks().0[quad]));
                    let halved = V::Doubles::load(&halved.as_chunks().0[quad]);
                    log = log.minus(difference.times(difference).times(halved));
                }
                most = log.max(most);
                *logs = log.store();
            }
            let most = most.store().into_iter().fold(f64::NEG_INFINITY, |a, b| if a > b { a } else { b });
            for logs in logs.as_chunks_mut::<HALF>().0 {
                *logs = exp(V::Doubles::load(logs).minus(V::Doubles::splat(most))).store();
            }
            taken += most;
            self.out.push(logs);
        }
        taken
    }
}

/// `e^x` of numbers not above 0, within 4e-16 of its size; what is below -700 is taken as -700, so that the likelihood of a
/// step is never 0.
#[inline(always)]
fn exp<D: Doubles>(x: D) -> D {
    const ROOM: f64 = 1.5 * (1u64 << 52) as f64;
    // 1 / 13!, 1 / 12!, ..., 1 / 0!
    const INVERSES: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let x = x.max(D::splat(-700.0));
    // x = n ln 2 + r with |r| at most half of ln 2, which is taken in two parts.
    let shifted = x.times(D::splat(std::f64::consts::LOG2_E)).plus(D::splat(ROOM));
    let n = shifted.minus(D::splat(ROOM));
    let r = x.minus(n.times(D::splat(6.931_471_803_691_238e-1))).minus(n.times(D::splat(1.908_214_929_270_587_7e-10)));
    let sum = INVERSES.into_iter().fold(D::splat(0.0), |sum, inverse| sum.times(r).plus(D::splat(inverse)));
    // The low bits of the shifted number are n, which belongs into the exponent.
    let power = shifted.store().map(|shifted| f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52)));
    sum.times(D::load(&power))
}

/// Weights, and sums around the old means, by axis and state.
struct Sums<const S: usize> {
    weights: [f64; S],
    firsts: Vec<[f64; S]>,
    seconds: Vec<[f64; S]>,
}

impl<const S: usize> Sums<S> {
    fn new(dimensions: usize) -> Self {
        Self { weights: [0.0; S], firsts: vec![[0.0; S]; dimensions], seconds: vec![[0.0; S]; dimensions] }
    }
}

struct Collect<'c, const S: usize> {
    densities: &'c Densities<S>,
    rows: &'c [f64],
    shares: &'c [[f64; S]],
    sums: &'c mut Sums<S>,
}

impl<const S: usize> Work for Collect<'_, S> {
    type Answer = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let means = &self.densities.means;
        let Sums { weights, firsts, seconds } = self.sums;
        for (row, shares) in self.rows.chunks_exact(means.len()).zip(self.shares) {
            for (quad, shares) in shares.as_chunks::<HALF>().0.iter().enumerate() {
                let shares = V::Doubles::load(shares);
                let weight = &mut weights.as_chunks_mut::<HALF>().0[quad];
                *weight = V::Doubles::load(weight).plus(shares).store();
                let axes = row.iter().zip(means).zip(firsts.iter_mut().zip(seconds.iter_mut()));
                for ((value, means), (firsts, seconds)) in axes {
                    let difference = V::Doubles::splat(*value).minus(V::Doubles::load(&means.as_chunks().0[quad]));
                    let weighted = shares.times(difference);
                    let first = &mut firsts.as_chunks_mut::<HALF>().0[quad];
                    *first = V::Doubles::load(first).plus(weighted).store();
                    let second = &mut seconds.as_chunks_mut::<HALF>().0[quad];
                    *second = V::Doubles::load(second).plus(weighted.times(difference)).store();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
