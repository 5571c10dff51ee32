//! From numbers to pixels, and the round numbers to write beside an axis.

/// A linear axis between two pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    values: (f64, f64),
    pixels: (i32, i32),
}

impl Axis {
    /// Maps `values.0` to `pixels.0` and `values.1` to `pixels.1`.
    pub(crate) const fn new(values: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { values, pixels }
    }

    /// The pixel of `value`, kept within the axis.
    pub(crate) fn pixel(&self, value: f64) -> i32 {
        let (from, to) = self.values;
        let share = if to > from { ((value - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        let (first, last) = self.pixels;
        first + (share * f64::from(last - first)).round() as i32
    }

    /// Round values on the axis, at most `most` steps apart from its first.
    pub(crate) fn ticks(&self, most: usize) -> Vec<f64> {
        let (from, to) = self.values;
        let step = round_step((to - from) / most.max(1) as f64);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// A logarithmic axis between two pixels: equal ratios are equally far apart, so that a slowdown looks the same whatever
/// it slows down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RatioAxis {
    values: (f64, f64),
    exponents: Axis,
}

impl RatioAxis {
    /// From just below the smallest of `values` to just above the largest; others than positive ones are left out.
    pub(crate) fn around(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (least, most) =
            positive.fold((f64::MAX, 0.0f64), |(least, most), value| (least.min(value), most.max(value)));
        // An empty or flat curve still gets an axis, with the curve in its middle.
        let (least, most) = if most <= 0.0 { (1.0, 1.0) } else { (least, most) };
        let (least, most) = if most < 1.5 * least { (least / 1.25, most * 1.25) } else { (least / 1.08, most * 1.08) };
        Self { values: (least, most), exponents: Axis::new((least.ln(), most.ln()), pixels) }
    }

    /// The pixel of `value`, kept within the axis.
    pub(crate) fn pixel(&self, value: f64) -> i32 {
        self.exponents.pixel(value.max(f64::MIN_POSITIVE).ln())
    }

    /// Round values on the axis: powers of ten, with 2 and 5 times them where that makes no more than `most`.
    pub(crate) fn ticks(&self, most: usize) -> Vec<f64> {
        let (least, largest) = self.values;
        let powers = least.log10().floor() as i32..=largest.log10().ceil() as i32;
        let of = |multiples: &[f64]| -> Vec<f64> {
            let all =
                powers.clone().flat_map(|power| multiples.iter().map(move |multiple| multiple * 10f64.powi(power)));
            all.filter(|tick| (least..=largest).contains(tick)).collect()
        };
        let choices: [&[f64]; 3] = [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0]];
        choices.into_iter().map(of).find(|ticks| ticks.len() <= most).unwrap_or_default()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    if !least.is_finite() || least <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|multiple| multiple * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A linear axis that begins and ends at round numbers and holds all from `least` to `most`.
pub(crate) fn round_axis(least: f64, most: f64, steps: usize, pixels: (i32, i32)) -> Axis {
    let step = round_step((most - least) / steps.max(1) as f64);
    Axis::new(((least / step).floor() * step, (most / step).ceil() * step), pixels)
}

/// A number of an axis of ratios: at most three digits behind the point, and none that is not needed.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A tick's text: no more digits than the step to the next needs.
pub(crate) fn tick_text(value: f64, step: f64) -> String {
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
        assert_eq!([7.0 * 0.1, 20.0, 0.05].map(short), ["0.7", "20", "0.05"]);
    }

    #[test]
    fn equal_ratios_are_equally_far_apart() {
        let axis = RatioAxis::around([0.5, 20.0].into_iter(), (300, 0));
        assert!((axis.pixel(1.0) - axis.pixel(2.0) - (axis.pixel(5.0) - axis.pixel(10.0))).abs() <= 1);
        assert_eq!(axis.ticks(5), [1.0, 10.0]);
        assert_eq!(axis.ticks(6), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn a_flat_or_empty_curve_still_has_an_axis() {
        let flat = RatioAxis::around([0.7, 0.7].into_iter(), (100, 0));
        assert_eq!(flat.pixel(0.7), 50);
        assert!(!flat.ticks(6).is_empty());
        assert!(RatioAxis::around(std::iter::empty(), (100, 0)).ticks(6).contains(&1.0));
    }
}
