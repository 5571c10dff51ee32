//! How much longer the same work took than alone.

use super::super::collected::Series;

/// Work done against time passed, both since the start: a curve through the end of each quantum.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Instructions and nanoseconds at the end of each quantum, after a first point at zero.
    points: Vec<(f64, f64)>,
}

impl Progress {
    /// The curve of `series`, up to the first quantum whose instructions were not counted: beyond it the position is
    /// not known.
    #[must_use]
    pub fn of(series: &Series) -> Self {
        let mut points = vec![(0.0, 0.0)];
        let (mut instructions, mut nanoseconds) = (0.0, 0.0);
        for (counted, elapsed) in series.instructions.iter().zip(&series.elapsed_ns) {
            let Some(counted) = counted else { break };
            instructions += *counted as f64;
            nanoseconds += *elapsed as f64;
            points.push((instructions, nanoseconds));
        }
        Self { points }
    }

    /// Instructions at the end.
    #[must_use]
    pub fn instructions(&self) -> f64 {
        self.points.last().map_or(0.0, |(instructions, _)| *instructions)
    }

    /// When position `instructions` was reached, in nanoseconds; `None` beyond the end. A guest that stood still at
    /// that position had reached it when it stopped.
    #[must_use]
    pub fn nanoseconds_at(&self, instructions: f64) -> Option<f64> {
        let next = self.points.partition_point(|(position, _)| *position < instructions);
        let (right, right_time) = *self.points.get(next)?;
        let Some(before) = next.checked_sub(1) else { return Some(right_time) };
        let (left, left_time) = self.points[before];
        Some(left_time + (right_time - left_time) * (instructions - left) / (right - left))
    }

    /// The quantum in which the instruction at position `instructions` was retired, from 0; `None` beyond the end.
    #[must_use]
    pub fn quantum_at(&self, instructions: f64) -> Option<usize> {
        let next = self.points.partition_point(|(position, _)| *position <= instructions);
        (next < self.points.len()).then(|| next.saturating_sub(1))
    }

    /// Where each quantum begins and ends, in instructions.
    pub fn spans(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.windows(2).map(|pair| (pair[0].0, pair[1].0))
    }
}

/// How many times as long `mix` took as `solo` for the longest span of work that both completed. `None` if one of them
/// retired nothing, or nothing was counted.
#[must_use]
pub fn slowdown(solo: &Series, mix: &Series) -> Option<f64> {
    let (solo, mix) = (Progress::of(solo), Progress::of(mix));
    let work = solo.instructions().min(mix.instructions());
    if work <= 0.0 {
        return None;
    }
    Some(mix.nanoseconds_at(work)? / solo.nanoseconds_at(work)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(instructions: &[u64]) -> Series {
        Series {
            elapsed_ns: vec![1000; instructions.len()],
            instructions: instructions.iter().copied().map(Some).collect(),
            ..Series::default()
        }
    }

    #[test]
    fn slowdown_compares_equal_work_and_not_equal_time() {
        // Alone: a fast phase of 400 instructions, then a slow one. In the mix only the fast phase was finished, in
        // four quanta where it took two alone; the slow phase must not count.
        let solo = series(&[200, 200, 50, 50]);
        let mix = series(&[100, 100, 100, 100]);
        assert_eq!(slowdown(&solo, &mix), Some(2.0));
    }

    #[test]
    fn a_guest_that_got_further_than_alone_is_compared_where_both_have_been() {
        let solo = series(&[100, 100]);
        let mix = series(&[100, 150]);
        let expected = (1000.0 + 1000.0 * 100.0 / 150.0) / 2000.0;
        assert!((slowdown(&solo, &mix).expect("both worked") - expected).abs() < 1e-12);
    }

    #[test]
    fn an_uncounted_quantum_ends_the_comparison_instead_of_counting_as_nothing() {
        let solo = series(&[100, 100, 100]);
        let mut mix = series(&[50, 50, 50]);
        mix.instructions[1] = None;
        assert_eq!(slowdown(&solo, &mix), Some(2.0));
        mix.instructions[0] = None;
        assert_eq!(slowdown(&solo, &mix), None);
    }

    #[test]
    fn a_position_is_found_in_the_quantum_that_retired_it() {
        let progress = Progress::of(&series(&[10, 0, 10]));
        assert_eq!(
            [0.0, 9.9, 10.0, 19.0, 20.0].map(|at| progress.quantum_at(at)),
            [Some(0), Some(0), Some(2), Some(2), None]
        );
        assert_eq!(progress.nanoseconds_at(10.0), Some(1000.0));
    }

    proptest! {
        #[test]
        fn a_guest_compared_with_itself_is_not_slowed(instructions in prop::collection::vec(0..1000u64, 1..40)) {
            prop_assume!(instructions.iter().any(|count| *count > 0));
            let alone = series(&instructions);
            prop_assert_eq!(slowdown(&alone, &alone), Some(1.0));
        }

        #[test]
        fn half_the_pace_is_a_slowdown_of_two(halves in prop::collection::vec(1..500u64, 1..40)) {
            let solo = series(&halves.iter().map(|half| 2 * half).collect::<Vec<_>>());
            let halves: Vec<_> = halves.iter().flat_map(|half| [*half, *half]).collect();
            let found = slowdown(&solo, &series(&halves)).expect("both worked");
            prop_assert!((found - 2.0).abs() < 1e-9, "{}", found);
        }
    }
}
