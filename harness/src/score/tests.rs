//! Claims about scores, on cases worked by hand.

use predictor::forecast::Forecast;
use predictor::phases::PhaseId;
use proptest::prelude::*;

use super::measures::{Outcome, Scores, accuracies_at, accuracy_at, cpi_variation, duration_error, length_class};

/// Outcomes at horizon 1 of what came (`actual`, whose first is only known) and what was forecast for it, sure of it.
fn outcomes(actual: &[u32], forecast: &[u32]) -> Vec<Outcome> {
    let one = |place: usize| {
        let certain = Forecast::certain(PhaseId(forecast[place]), 4);
        Outcome::of(place + 1, PhaseId(actual[place]), &certain, PhaseId(actual[place + 1]))
    };
    (0..forecast.len()).map(one).collect()
}

#[test]
fn accuracy_counts_all_and_change_accuracy_only_changes() {
    // known   0 0 1 1 2
    // actual  0 1 1 2 2
    // said    0 1 0 1 2
    let scores = Scores::of(&outcomes(&[0, 0, 1, 1, 2, 2], &[0, 1, 0, 1, 2]), 1, 0);
    assert_eq!(scores.accuracy, Some(0.6));
    assert_eq!(scores.last_value_accuracy, Some(0.6));
    assert_eq!(scores.misprediction_ratio, Some(1.0));
    assert_eq!(scores.change_accuracy, Some(0.5));
    // Changes were forecast at 1 and 2, and came at 1 and 3.
    assert_eq!((scores.change_precision, scores.change_recall, scores.change_f1), (Some(0.5), Some(0.5), Some(0.5)));
    assert_eq!(scores.lead_time_intervals, Some(1.0));
}

#[test]
fn a_tolerance_matches_each_change_once_the_nearest_first_and_early_forecasts_lead() {
    // Said at 1 and 2, came at 2: the exact one is matched, the other is not.
    let both = outcomes(&[0, 0, 0, 1, 1, 1], &[0, 1, 1, 1, 1]);
    let scores = Scores::of(&both, 1, 1);
    assert_eq!((scores.change_precision, scores.change_recall), (Some(0.5), Some(1.0)));
    assert_eq!(scores.lead_time_intervals, Some(1.0));
    // Said at 1, came at 2; and said at 2, came at 1.
    let early = outcomes(&[0, 0, 0, 1, 1], &[0, 1, 0, 1]);
    assert_eq!(Scores::of(&early, 1, 1).lead_time_intervals, Some(2.0));
    assert_eq!(Scores::of(&early, 1, 0).lead_time_intervals, None);
    let late = outcomes(&[0, 0, 1, 1], &[0, 0, 0]);
    assert_eq!(Scores::of(&late, 4, 1).lead_time_intervals, Some(3.0));
}

#[test]
fn last_value_never_forecasts_a_change() {
    let scores = Scores::of(&outcomes(&[0, 1, 0, 0], &[0, 1, 0]), 1, 1);
    assert_eq!((scores.change_accuracy, scores.misprediction_ratio), (Some(0.0), Some(1.0)));
    assert_eq!((scores.change_precision, scores.change_recall, scores.change_f1), (None, Some(0.0), Some(0.0)));
}

#[test]
fn what_cannot_be_scored_is_absent_and_not_zero() {
    let nothing = Scores::of(&[], 1, 0);
    assert!(Scores::FIELDS.iter().all(|(_, value)| value(&nothing).is_none()));
    let constant = Scores::of(&outcomes(&[0, 0, 0], &[0, 0]), 1, 0);
    assert_eq!((constant.accuracy, constant.change_accuracy, constant.misprediction_ratio), (Some(1.0), None, None));
}

#[test]
fn losses_are_those_of_the_distribution() {
    let forecast = Forecast::from_weights(vec![1.0, 3.0]).expect("a distribution");
    let scores = |actual| Scores::of(&[Outcome::of(1, PhaseId(0), &forecast, PhaseId(actual))], 1, 0);
    // Forecast (1/4, 3/4); what came is (0, 1): (1/4)^2 + (1/4)^2.
    assert_eq!(scores(1).brier, Some(0.125));
    assert!((scores(1).log_loss.expect("one forecast") + 0.75f64.ln()).abs() < 1e-12);
    assert_eq!(scores(0).brier, Some(1.125));
    let sure = Scores::of(&outcomes(&[0, 1], &[0]), 1, 0);
    assert!((sure.log_loss.expect("one forecast") - 1e6f64.ln()).abs() < 1e-9, "no loss is infinite");
}

#[test]
fn calibration_error_is_the_gap_between_confidence_and_accuracy() {
    let forecast = Forecast::from_weights(vec![0.75, 0.25]).expect("a distribution");
    let outcome = |actual| Outcome::of(1, PhaseId(0), &forecast, PhaseId(actual));
    let of = |actual: &[u32]| {
        let outcomes: Vec<Outcome> = actual.iter().map(|phase| outcome(*phase)).collect();
        Scores::of(&outcomes, 1, 0).calibration_error
    };
    assert_eq!(of(&[0, 0, 0, 1]), Some(0.0));
    assert_eq!(of(&[0, 0, 1, 1]), Some(0.25));
}

#[test]
fn coverage_takes_the_most_confident_and_shares_ties() {
    let outcome = |confidence: f64, hit: bool| {
        let forecast = Forecast::from_weights(vec![confidence, 1.0 - confidence]).expect("a distribution");
        Outcome::of(1, PhaseId(0), &forecast, PhaseId(u32::from(!hit)))
    };
    let outcomes =
        [outcome(0.6, false), outcome(0.9, true), outcome(0.9, true), outcome(0.6, true), outcome(0.6, false)];
    assert_eq!(accuracy_at(&outcomes, 0.4), Some(1.0));
    // Two of the three less sure ones are in, of which one in three came true.
    let at_80 = accuracy_at(&outcomes, 0.8).expect("some");
    assert!((at_80 - (2.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12, "{at_80}");
    assert_eq!(accuracies_at(&outcomes, &[0.0, 1.0]), [None, Some(0.6)]);
}

#[test]
fn lengths_are_compared_in_doublings() {
    assert_eq!([1, 2, 3, 4, 5, 8, 9, 16, 17, 1000].map(length_class), [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(duration_error(&[(0, 2), (5, 5), (3, 2)]), Some(1.0));
    assert_eq!(duration_error(&[]), None);
}

#[test]
fn cpi_varies_within_phases_and_not_between_them() {
    let labelled = [(PhaseId(0), Some(1.0)), (PhaseId(0), Some(3.0)), (PhaseId(7), Some(9.0)), (PhaseId(8), None)];
    let (phases, variation) = cpi_variation(&labelled);
    // Deviation 1 of mean 2 over two of three intervals.
    assert_eq!((phases, variation), (3, Some(0.5 * 2.0 / 3.0)));
}

proptest! {
    #[test]
    fn scores_stay_within_their_ranges(
        path in prop::collection::vec((0u32..4, prop::collection::vec(0.01f64..1.0, 4)), 2..60),
        tolerance in 0usize..4,
    ) {
        let outcomes: Vec<Outcome> = path
            .windows(2)
            .enumerate()
            .map(|(row, pair)| {
                let forecast = Forecast::from_weights(pair[0].1.clone()).expect("positive");
                Outcome::of(row + 1, PhaseId(pair[0].0), &forecast, PhaseId(pair[1].0))
            })
            .collect();
        let scores = Scores::of(&outcomes, 1, tolerance);
        for (name, value) in Scores::FIELDS {
            let most = match name {
                "brier" => 2.0,
                "log_loss" => 20.0,
                "lead_time_intervals" => 1.0 + tolerance as f64,
                "misprediction_ratio" => outcomes.len() as f64,
                _ => 1.0 + 1e-12,
            };
            let least = if name == "lead_time_intervals" { 1.0 - tolerance as f64 } else { -1e-12 };
            if let Some(value) = value(&scores) {
                prop_assert!((least..=most).contains(&value), "{name} = {value}");
            }
        }
        let full = accuracy_at(&outcomes, 1.0).expect("some");
        prop_assert!((full - scores.accuracy.expect("some")).abs() < 1e-12);
    }
}
