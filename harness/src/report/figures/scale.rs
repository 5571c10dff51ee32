//! From numbers to pixels, and the round numbers to write beside an axis.

/// A linear axis between two pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    values: (f64, f64),
    pixels: (i32, i32),
}

impl Axis {
    /// Maps `values.0` to `pixels.0` and `values.1` to `pixels.1`.
    pub(super) const fn new(values: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { values, pixels }
    }

    /// The pixel of `value`, kept within the axis.
    pub(super) fn pixel(&self, value: f64) -> i32 {
        let (from, to) = self.values;
        let share = if to > from { ((value - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        let (first, last) = self.pixels;
        first + (share * f64::from(last - first)).round() as i32
    }

    /// Round values on the axis, at most `most` steps apart from its first.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let (from, to) = self.values;
        let step = round_step((to - from) / most.max(1) as f64);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
pub(super) fn round_step(least: f64) -> f64 {
    if !least.is_finite() || least <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|multiple| multiple * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A tick's text: no more digits than the step needs.
pub(super) fn tick_text(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_stay_on_the_axis() {
        let axis = Axis::new((0.0, 2.3), (100, 0));
        assert_eq!(axis.ticks(3), [0.0, 1.0, 2.0]);
        assert_eq!((axis.pixel(0.0), axis.pixel(2.3), axis.pixel(9.0)), (100, 0, 0));
        assert_eq!([0.3, 1.2, 4.0, 70.0].map(round_step), [0.5, 2.0, 5.0, 100.0]);
        assert_eq!([tick_text(0.5, 0.5), tick_text(20.0, 20.0)], ["0.5", "20"]);
    }
}
