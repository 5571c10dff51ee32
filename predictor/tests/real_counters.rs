//! Numeric forecasts on series of real counters, which are not part of the repository. Without them the claim is not
//! tested, and says so.

#[path = "../examples/numeric_forecasts/score.rs"]
#[allow(dead_code, reason = "the example that scores settings uses all of it")]
mod score;

use std::path::Path;

use predictor::numeric::NumericSettings;
use predictor::numeric::quantiles::SHARES;

use self::score::{HORIZONS, RATES, SLOTS, Sums, mean, read, score};

#[test]
fn errors_are_below_four_fifths_of_last_value_s_and_quantiles_cover_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/counters/spec-skylake");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not there; nothing is known of forecasts of real counters", folder.display());
        return;
    }
    let series = read(&folder, 5000);
    assert!(!series.is_empty(), "{} is empty", folder.display());
    let sums: Vec<[Sums; SLOTS]> = series.iter().map(|one| score(one, &NumericSettings::default())).collect();
    for (slot, share_of_last_value) in mean(&sums).into_iter().enumerate() {
        let (rate, horizon) = (RATES[slot / HORIZONS.len()], HORIZONS[slot % HORIZONS.len()]);
        assert!(share_of_last_value < 0.65, "{rate} {horizon} ahead: {share_of_last_value} of last value's error");
        for (place, share) in SHARES.into_iter().enumerate() {
            let covered = |sums: &[Sums; SLOTS]| sums[slot].below[place] / sums[slot].count;
            let mean = sums.iter().map(covered).sum::<f64>() / sums.len() as f64;
            assert!((mean - share).abs() < 0.02, "{rate} {horizon} ahead: quantile {share} covers {mean}");
        }
    }
}
