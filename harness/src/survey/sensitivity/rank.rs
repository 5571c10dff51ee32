//! How well two lists of numbers agree in their order.
//!
//! Kendall's tau-b (M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33(3), 1945): of all pairs of
//! places, those that both lists order alike minus those that they order contrarily, over the geometric mean of the pairs
//! that each list orders at all. 1: the same order; -1: the reverse; about 0: nothing to do with each other. Numbers that differ by
//! less than `tolerance`, as a share of the larger, are a tie.
//!
//! With a tolerance ties are not transitive, so tau-b is computed from the pairs, not from ranks; for the few places here
//! that costs nothing.

use std::cmp::Ordering;

/// Tau-b of two lists of the same length; `None` if one of them orders nothing.
pub(super) fn kendall(left: &[f64], right: &[f64], tolerance: f64) -> Option<f64> {
    let places = left.len().min(right.len());
    let (mut alike, mut ordered_left, mut ordered_right) = (0.0, 0.0, 0.0);
    for first in 0..places {
        for second in first + 1..places {
            let sign = |list: &[f64]| sign(compare(list[first], list[second], tolerance));
            let (left, right) = (sign(left), sign(right));
            alike += left * right;
            ordered_left += left.abs();
            ordered_right += right.abs();
        }
    }
    (ordered_left > 0.0 && ordered_right > 0.0).then(|| alike / f64::sqrt(ordered_left * ordered_right))
}

/// Which is larger; equal if they differ by less than `tolerance` of the larger.
pub(super) fn compare(left: f64, right: f64, tolerance: f64) -> Ordering {
    if (left - right).abs() < tolerance * left.max(right) { Ordering::Equal } else { left.total_cmp(&right) }
}

fn sign(order: Ordering) -> f64 {
    match order {
        Ordering::Less => -1.0,
        Ordering::Equal => 0.0,
        Ordering::Greater => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_textbook_example() {
        // Six pairs of places, one of them ordered contrarily: (5 - 1) / 6.
        assert_eq!(kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 4.0, 3.0], 0.0), Some(4.0 / 6.0));
        // With a tie in one list: (5 - 0) / sqrt(6 * 5).
        let tied = kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 3.0], 1e-9).expect("both order something");
        assert!((tied - 5.0 / 30f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_nearly_equal_has_no_order() {
        assert_eq!(kendall(&[1.0, 1.01], &[1.0, 2.0], 0.02), None);
        assert_eq!(kendall(&[1.0, 1.01], &[1.0, 2.0], 0.001), Some(1.0));
    }

    proptest! {
        #[test]
        fn a_list_agrees_with_itself_and_contradicts_its_reverse(values in prop::collection::vec(1.0..9.0f64, 2..20)) {
            let inverse: Vec<f64> = values.iter().map(|value| 1.0 / value).collect();
            if let Some(tau) = kendall(&values, &values, 0.02) {
                prop_assert!((tau - 1.0).abs() < 1e-12);
                // Rounding may make a tie of what is just none.
                if let Some(reverse) = kendall(&values, &inverse, 0.02) {
                    prop_assert!((reverse + 1.0).abs() < 0.2, "{}", reverse);
                }
            }
        }

        #[test]
        fn it_stays_within_its_bounds_and_is_symmetric(
            left in prop::collection::vec(1.0..9.0f64, 2..15),
            right in prop::collection::vec(1.0..9.0f64, 15),
        ) {
            let right = &right[..left.len()];
            if let Some(tau) = kendall(&left, right, 0.02) {
                prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&tau));
                prop_assert_eq!(Some(tau), kendall(right, &left, 0.02));
            }
        }
    }
}
