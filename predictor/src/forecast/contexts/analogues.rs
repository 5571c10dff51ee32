//! Analogues: the moments of the past whose recent course was most like the present, by numbers and not by labels.
//!
//! # Problem
//!
//! Programs iterate, but not in whole quanta: a loop of 7.3 quanta shifts against the sampling, labels near the edge of
//! a bin flip, and a table keyed by the last eight labels never sees the same key twice. Numbers do not mind.
//!
//! # Method
//!
//! Nearest neighbours in delay coordinates (Lorenz's method of analogues, 1969; Farmer and Sidorowich, Physical Review
//! Letters 59, 1987). The distance between now and `lag` quanta ago forgets by a factor `keep` a quantum:
//!
//! ```text
//! e[lag] = sum over signals s of ((x[s][now] - x[s][now - lag]) / deviation[s])^2 / (s + 1)
//! D[lag] = keep * D[lag] + e[lag]                                     for every lag up to the window
//! ```
//!
//! so that one pass over the window a quantum replaces the comparison of whole histories. The analogues are the
//! [`NEIGHBOURS`] lags of least distance, at most one from each block of [`BLOCK`] consecutive lags: finding those costs
//! a fraction of finding the very nearest, and neighbours of neighbours say little that is new. What followed the
//! analogues is a vote on what comes.
//!
//! Only the first [`SIGNALS`] signals are compared: the most telling stand first, and each one costs a pass. A signal
//! that was not read counts as unchanged since it last was; one never read tells nothing. Where no signal was ever read,
//! the distance counts phases that differ.

use super::lags::{Advance, Differences};
use super::nearest::{BLOCK, NEIGHBOURS, Nearest};

/// Signals that take part in the distance.
pub(super) const SIGNALS: usize = 2;

/// Slowest that mean and deviation of a signal follow it, as a share of a quantum's weight.
const SLOWEST_RATE: f32 = 0.002;

/// The past of one number, newest first, contiguous in memory.
#[derive(Debug, Clone)]
struct Past<T> {
    window: usize,
    /// Twice the window; the newest stands at `start`.
    values: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Past<T> {
    fn new(window: usize) -> Self {
        Self { window, values: vec![T::default(); 2 * window], start: window }
    }

    fn push(&mut self, value: T) {
        if self.start == 0 {
            self.values.copy_within(0..self.window, self.window);
            self.start = self.window;
        }
        self.start -= 1;
        self.values[self.start] = value;
    }

    /// The value `lag` quanta ago at index `lag`, for lags below the window.
    fn newest_first(&self) -> &[T] {
        &self.values[self.start..self.start + self.window]
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

/// A signal, with the mean and deviation that it had of late.
#[derive(Debug, Clone)]
struct Signal {
    past: Past<f32>,
    mean: f32,
    variance: f32,
    read: u32,
}

impl Signal {
    fn push(&mut self, value: Option<f64>) {
        let value = match value {
            // Its square must stay a number.
            Some(value) if value.is_finite() => value.clamp(-1e15, 1e15) as f32,
            _ => return self.past.push(self.past.newest_first()[0]),
        };
        if self.read == 0 {
            self.past.values.fill(value);
        }
        self.read = self.read.saturating_add(1);
        let rate = (1.0 / self.read as f32).max(SLOWEST_RATE);
        let change = value - self.mean;
        self.mean += rate * change;
        self.variance = (1.0 - rate) * (self.variance + rate * change * change);
        self.past.push(value);
    }

    /// One over its variance; 0 for a signal that never varied.
    fn precision(&self) -> f32 {
        if self.variance > f32::MIN_POSITIVE { 1.0 / self.variance } else { 0.0 }
    }
}

/// What is kept for one rate of forgetting.
#[derive(Debug, Clone)]
struct Course {
    keep: f32,
    distances: Vec<f32>,
    nearest: Nearest,
}

/// The past of a vCPU and the moments of it that are like the present.
#[derive(Debug, Clone)]
pub(super) struct Analogues {
    window: usize,
    quanta: usize,
    phases: Past<u16>,
    signals: [Signal; SIGNALS],
    /// How much each lag differs this quantum.
    step: Vec<f32>,
    courses: Vec<Course>,
}

impl Analogues {
    /// Looks back `window` quanta, once for each of `keeps`.
    pub(super) fn new(window: usize, keeps: &[f32]) -> Self {
        let window = window.max(1).next_multiple_of(BLOCK);
        let signal = Signal { past: Past::new(window), mean: 0.0, variance: 0.0, read: 0 };
        Self {
            window,
            quanta: 0,
            phases: Past::new(window),
            signals: [signal.clone(), signal],
            step: vec![0.0; window],
            courses: keeps.iter().map(|keep| Course::new(*keep, window)).collect(),
        }
    }

    /// Takes in a quantum and finds its analogues.
    pub(super) fn push(&mut self, phase: usize, signals: &[Option<f64>]) {
        self.phases.push(u16::try_from(phase).unwrap_or(u16::MAX));
        for (place, signal) in self.signals.iter_mut().enumerate() {
            signal.push(signals.get(place).copied().flatten());
        }
        self.quanta += 1;
        // Longer lags reach back before the beginning.
        let lags = (self.quanta - 1).min(self.window - 1);
        self.compare();
        self.courses.iter_mut().for_each(|course| course.advance(&self.step, lags));
    }

    /// How much each lag differs from now.
    fn compare(&mut self) {
        if self.signals.iter().all(|signal| signal.read == 0) {
            let phases = self.phases.newest_first();
            for (step, then) in self.step.iter_mut().zip(phases) {
                *step = if *then == phases[0] { 0.0 } else { 1.0 };
            }
            return;
        }
        // A signal that was never read has no precision, and so no part in this.
        let [first, second] = &self.signals;
        let (firsts, seconds) = (first.past.newest_first(), second.past.newest_first());
        let (first, second) = (first.precision(), second.precision() * 0.5);
        Differences { step: &mut self.step, first: (firsts, first), second: (seconds, second) }.compute();
    }

    /// The analogues by the `course`-th rate of forgetting, the nearest first.
    pub(super) fn neighbours(&self, course: usize) -> &Nearest {
        &self.courses[course].nearest
    }

    /// The phase `quanta` after the moment `lag` quanta ago. Where that is yet to come, the past is taken to repeat
    /// itself every `lag` quanta.
    #[inline(always)]
    pub(super) fn phase_after(&self, lag: usize, quanta: usize) -> u16 {
        self.phases.newest_first()[ago(lag, quanta)]
    }

    /// The value of a signal now; `None` for one never read.
    pub(super) fn value(&self, signal: usize) -> Option<f32> {
        let signal = self.signals.get(signal)?;
        (signal.read > 0).then(|| signal.past.newest_first()[0])
    }

    /// The value of a signal `quanta` from now: the weighted mean of what followed the nearest analogues, half corrected by
    /// how far each was off.
    #[inline(always)]
    pub(super) fn coming_value(&self, course: usize, signal: usize, quanta: usize) -> Option<f32> {
        let now = self.value(signal)?;
        let past = self.signals[signal].past.newest_first();
        let (mut sum, mut weights) = (0.0, 0.0);
        for neighbour in self.neighbours(course).iter().take(NEIGHBOURS / 2) {
            sum += neighbour.weight * (past[ago(neighbour.lag, quanta)] + 0.5 * (now - past[neighbour.lag]));
            weights += neighbour.weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }

    /// A power of two near the deviation of a signal, as an exponent: how coarsely its values are worth telling apart.
    pub(super) fn deviation_exponent(&self, signal: usize) -> i32 {
        let variance = self.signals.get(signal).map_or(0.0, |signal| signal.variance);
        // The exponent of a floating-point number is the whole part of its binary logarithm.
        ((variance.max(f32::MIN_POSITIVE).to_bits() >> 23) as i32 - 127).div_euclid(2)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let courses = self.courses.iter();
        let courses: usize = courses.map(|course| size_of::<Course>() + size_of_val(course.distances.as_slice())).sum();
        let signals: usize = self.signals.iter().map(|signal| signal.past.bytes()).sum();
        self.phases.bytes() + size_of_val(self.step.as_slice()) + signals + courses
    }
}

/// How long ago it was `quanta` after the moment `lag` quanta ago, which repeats itself every `lag` quanta.
#[inline(always)]
fn ago(lag: usize, quanta: usize) -> usize {
    // Most lags are longer than one looks ahead, and a division is slow.
    let over = quanta.max(1) - 1;
    lag - 1 - if over < lag { over } else { over % lag }
}

impl Course {
    fn new(keep: f32, window: usize) -> Self {
        Self { keep, distances: vec![0.0; window], nearest: Nearest::default() }
    }

    /// Takes in how much each lag differs this quantum, and finds the nearest among those up to `lags`.
    fn advance(&mut self, step: &[f32], lags: usize) {
        let known = (lags / BLOCK + 1) * BLOCK;
        let (distances, before) = (&mut self.distances[..known], &self.nearest);
        self.nearest = Advance { keep: self.keep, distances, step: &step[..known], lags, before }.compute();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: usize = 48 * BLOCK;

    proptest! {
        #[test]
        fn the_nearest_of_each_block_are_those_of_a_full_sort(
            rows in prop::collection::vec(prop::collection::vec(0u8..20, WINDOW), 1..6),
            coarse in 1u8..10,
            first in 1..WINDOW,
        ) {
            let mut course = Course::new(0.5, WINDOW);
            for (quantum, row) in rows.iter().enumerate() {
                let lags = (first + quantum).min(WINDOW - 1);
                let steps: Vec<f32> = row.iter().map(|step| f32::from(*step / coarse)).collect();
                course.advance(&steps, lags);
                let nearer = |a: &usize, b: &usize| course.distances[*a].total_cmp(&course.distances[*b]);
                let of_block = |block: usize| (block * BLOCK..(block + 1) * BLOCK).filter(|lag| (1..=lags).contains(lag));
                let mut sorted: Vec<usize> = (0..WINDOW / BLOCK).filter_map(|block| of_block(block).min_by(nearer)).collect();
                sorted.sort_by(nearer);
                sorted.truncate(NEIGHBOURS);
                prop_assert_eq!(course.nearest.iter().map(|neighbour| neighbour.lag).collect::<Vec<_>>(), sorted);
            }
        }

        #[test]
        fn the_distance_is_that_of_whole_histories(path in prop::collection::vec(0usize..3, 2..60)) {
            let mut analogues = Analogues::new(128, &[0.5]);
            path.iter().for_each(|phase| analogues.push(*phase, &[]));
            let now = path.len() - 1;
            for neighbour in analogues.neighbours(0).iter() {
                let pairs = (0..=now - neighbour.lag).rev();
                let differ = pairs.map(|then| f64::from(u8::from(path[then] != path[then + neighbour.lag])));
                let distance: f64 = differ.zip(0i32..).map(|(differ, age)| differ * 0.5f64.powi(age)).sum();
                prop_assert!((distance - f64::from(neighbour.distance)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_period_that_is_no_whole_number_of_quanta_is_found() {
        let mut analogues = Analogues::new(512, &[0.9]);
        let wave = |quantum: f64| (quantum * std::f64::consts::TAU / 7.3).sin();
        (0..300).for_each(|quantum| analogues.push(0, &[Some(wave(f64::from(quantum)))]));
        // 73 quanta are exactly ten periods.
        assert!(analogues.neighbours(0).iter().take(4).all(|neighbour| neighbour.lag % 73 == 0));
        let coming = analogues.coming_value(0, 0, 1).expect("read");
        assert!((f64::from(coming) - wave(300.0)).abs() < 0.05, "{coming}");
    }

    #[test]
    fn a_signal_that_was_not_read_counts_as_unchanged() {
        let mut analogues = Analogues::new(16, &[0.5]);
        analogues.push(0, &[Some(3.0), None]);
        analogues.push(0, &[None]);
        assert_eq!((analogues.value(0), analogues.value(1)), (Some(3.0), None));
    }

    #[test]
    fn what_is_yet_to_come_repeats_with_the_lag() {
        let mut analogues = Analogues::new(16, &[0.5]);
        [0, 1, 2].iter().for_each(|phase| analogues.push(*phase, &[]));
        let said: Vec<u16> = (1..8).map(|quanta| analogues.phase_after(3, quanta)).collect();
        assert_eq!(said, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn deviations_are_told_by_powers_of_two() {
        let mut analogues = Analogues::new(16, &[0.5]);
        (0..400).for_each(|quantum| analogues.push(0, &[Some(if quantum % 2 == 0 { 0.0 } else { 0.5 })]));
        assert_eq!(analogues.deviation_exponent(0), -2);
    }
}
