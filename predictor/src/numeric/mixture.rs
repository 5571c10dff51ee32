//! One forecast of several: experts weighed by how far off they were of late.
//!
//! ```text
//! loss(e)   = decayed mean of |value - what e said of it|
//! weight(e) = (least loss / loss(e)) ^ sharpness
//! mixture   = weighted mean of what the experts say
//! doubt     = 5 / (5 + quanta judged)
//! forecast  = doubt * what the first expert says + (1 - doubt) * mixture
//! ```
//!
//! The first expert is the last value: before anybody was judged, weights mean nothing, and it errs least.
//!
//! The weights have no unit and no learning rate in the signal's unit: a signal in other units is forecast alike. An expert
//! that said nothing (its lag lies before the series began, or the value there was not read) says the last value.

use std::collections::VecDeque;

/// Quanta judged after which the mixture and the first expert count alike.
const DOUBT_QUANTA: f64 = 5.0;

/// Experts of one signal at one horizon, and what they said of quanta still to come.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    horizon: usize,
    experts: usize,
    /// Decayed mean loss of each expert, in the signal's unit.
    losses: Vec<f64>,
    weights: Vec<f64>,
    /// What each expert said, `experts` numbers a quantum, the oldest first.
    said: VecDeque<f32>,
    /// Total weight of the losses in their mean.
    settled: f64,
    /// Quanta judged.
    judged: f64,
}

/// How losses become weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighing {
    /// What a quantum's loss weighs, against that of the next.
    pub(super) memory: f64,
    /// The power.
    pub(super) sharpness: u8,
}

impl Mixture {
    pub(super) fn new(horizon: usize, experts: usize) -> Self {
        Self {
            horizon,
            experts,
            losses: vec![0.0; experts],
            weights: vec![1.0 / experts as f64; experts],
            said: VecDeque::with_capacity((horizon + 1) * experts),
            settled: 0.0,
            judged: 0.0,
        }
    }

    /// The value of the newest quantum, `None` where it was not read: what was said of it is judged.
    pub(super) fn judge(&mut self, value: Option<f64>, weighing: Weighing) {
        if self.said.len() < self.horizon * self.experts {
            return;
        }
        let said = self.said.drain(..self.experts);
        let Some(value) = value else { return };
        self.settled = weighing.memory * self.settled + 1.0;
        self.judged += 1.0;
        let share = 1.0 / self.settled;
        for (loss, said) in self.losses.iter_mut().zip(said) {
            *loss += share * ((f64::from(said) - value).abs() - *loss);
        }
        let least = self.losses.iter().fold(f64::INFINITY, |least, loss| if *loss < least { *loss } else { least });
        // Experts that are all but faultless are equals: rounding must not choose among them.
        let floor = least.max(value.abs() * f64::from(f32::EPSILON)).max(f64::MIN_POSITIVE);
        for (weight, loss) in self.weights.iter_mut().zip(&self.losses) {
            *weight = floor / if *loss > floor { *loss } else { floor };
        }
        raise(&mut self.weights, weighing.sharpness);
        let total: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= total);
    }

    /// Takes in what the experts say, one number each, and gives their mixture.
    pub(super) fn say(&mut self, said: &[f32]) -> f64 {
        self.said.extend(said);
        let mixed: f64 = self.weights.iter().zip(said).map(|(weight, said)| weight * f64::from(*said)).sum();
        let doubt = DOUBT_QUANTA / (DOUBT_QUANTA + self.judged);
        said.first().map_or(mixed, |first| mixed + doubt * (f64::from(*first) - mixed))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.losses.capacity() + self.weights.capacity()) * size_of::<f64>() + self.said.capacity() * size_of::<f32>()
    }
}

/// Raises every number to the power, at least 1: squares and multiplies all of them side by side.
fn raise(numbers: &mut [f64], power: u8) {
    let bases: Vec<f64> = if power.is_power_of_two() { Vec::new() } else { numbers.to_vec() };
    for bit in (0..power.ilog2()).rev() {
        numbers.iter_mut().for_each(|number| *number *= *number);
        if power >> bit & 1 == 1 {
            numbers.iter_mut().zip(&bases).for_each(|(number, base)| *number *= base);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHING: Weighing = Weighing { memory: 0.98, sharpness: 8 };

    /// Two experts at horizon 1, of which the first is always off by `off[0]`, the second by `off[1]`.
    fn after(quanta: usize, off: [f32; 2], unit: f32) -> f64 {
        let mut mixture = Mixture::new(1, 2);
        (0..quanta).fold(0.0, |_, _| {
            mixture.judge(Some(10.0 * f64::from(unit)), WEIGHING);
            mixture.say(&[(10.0 + off[0]) * unit, (10.0 + off[1]) * unit])
        })
    }

    #[test]
    fn the_expert_that_was_nearer_prevails() {
        assert!((after(1, [1.0, 5.0], 1.0) - 11.0).abs() < 1e-6, "the first, before anybody was judged");
        assert!((after(100, [5.0, 1.0], 1.0) - 11.0).abs() < 0.3, "the second was nearer, and doubt has gone");
    }

    #[test]
    fn a_signal_in_other_units_is_forecast_alike() {
        assert!((after(50, [1.0, 2.0], 1024.0) / after(50, [1.0, 2.0], 1.0) - 1024.0).abs() < 1e-3);
    }

    #[test]
    fn experts_are_judged_at_their_horizon_and_not_before() {
        let mut mixture = Mixture::new(3, 1);
        for quantum in 0..9u8 {
            mixture.judge(Some(f64::from(quantum)), WEIGHING);
            let settled = f64::from(quantum.saturating_sub(2));
            assert!(mixture.settled <= settled && (settled == 0.0) == (mixture.settled == 0.0));
            mixture.say(&[f32::from(quantum) + 3.0]);
        }
        assert_eq!(mixture.losses, [0.0], "what was said came true three quanta later");
    }

    #[test]
    fn a_power_is_the_product_it_stands_for() {
        for power in 1..=64u8 {
            let mut raised = [1.0, 0.5, 2.0];
            raise(&mut raised, power);
            assert_eq!(raised, [1.0, 0.5f64.powi(i32::from(power)), 2f64.powi(i32::from(power))]);
        }
    }

    #[test]
    fn a_value_that_was_not_read_judges_nobody() {
        let mut mixture = Mixture::new(1, 2);
        mixture.say(&[1.0, 2.0]);
        mixture.judge(None, WEIGHING);
        assert_eq!((mixture.losses, mixture.said.len()), (vec![0.0; 2], 0));
    }
}
