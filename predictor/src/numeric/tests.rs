//! The properties of the module's page, each by its name.

use proptest::prelude::*;

use super::quantiles::SHARES;
use super::*;

fn forecaster(rates: usize) -> NumericForecaster {
    NumericForecaster::new(rates, &NumericSettings::default())
}

/// Noise that is the same everywhere, even over [0, 1).
fn noise(quantum: u32) -> f64 {
    f64::from(quantum.wrapping_mul(2_654_435_761).rotate_left(7).wrapping_mul(0x9e37_79b1) >> 8) / f64::from(1 << 24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_loop_within_the_history_is_forecast_all_but_without_error(
        values in prop::collection::vec(1u8..100, 17..150)
    ) {
        let mut forecaster = forecaster(1);
        let value = |quantum: usize| f64::from(values[quantum % values.len()]);
        // Weights need a while to leave the experts that were right by chance; values are up to 99.
        for now in 0..values.len() * 2 + 300 {
            forecaster.observe(&[Some(value(now))]);
        }
        let now = values.len() * 2 + 299;
        for horizon in [1, 4, 16] {
            let forecast = forecaster.forecast(0, horizon).expect("seen");
            let to_come = value(now + horizon as usize);
            prop_assert!((forecast.median() - to_come).abs() < 3.0, "{forecast:?} for {to_come}");
        }
    }

    #[test]
    fn a_rate_in_another_unit_is_forecast_alike(seed in 0u32..1000, power in -12i32..12) {
        let (mut plain, mut scaled) = (forecaster(1), forecaster(1));
        let unit = 2f64.powi(power);
        for quantum in 0..200 {
            let value = 1.0 + f64::from(quantum % 7) + noise(seed + quantum);
            plain.observe(&[Some(value)]);
            scaled.observe(&[Some(value * unit)]);
        }
        let (plain, scaled) = (plain.forecast(0, 4).expect("seen"), scaled.forecast(0, 4).expect("seen"));
        prop_assert_eq!(plain.quantiles.map(|quantile| quantile * unit), scaled.quantiles);
        prop_assert_eq!(plain.mean * unit, scaled.mean);
    }

    #[test]
    fn whatever_is_shown_forecasts_are_finite_in_order_and_not_negative(
        shown in prop::collection::vec((prop::option::of(0.0..1e12f64), prop::option::of(prop::num::f64::ANY)), 1..120)
    ) {
        let mut forecaster = forecaster(2);
        for (one, other) in shown {
            // No rate is negative; what is not finite is not a reading.
            forecaster.observe(&[one, other.map(f64::abs).filter(|value| *value < 1e30)]);
            for (rate, horizon) in [(0, 1), (0, 4), (0, 16), (1, 1), (1, 4), (1, 16)] {
                let Some(NumericForecast { mean, quantiles }) = forecaster.forecast(rate, horizon) else { continue };
                prop_assert!(mean.is_finite() && mean >= 0.0);
                prop_assert!(quantiles.iter().all(|quantile| quantile.is_finite() && *quantile >= 0.0));
                prop_assert!(quantiles.is_sorted());
            }
        }
    }
}

#[test]
fn quantiles_of_noise_cover_what_they_say_at_every_horizon() {
    let mut forecaster = forecaster(1);
    let mut below = [[0u32; 3]; 3];
    let quanta = 8_000u32;
    for quantum in 0..quanta {
        // Skewed, and wilder in every second thousand.
        let wild = if quantum / 1000 % 2 == 0 { 1.0 } else { 3.0 };
        let value = |quantum: u32| 5.0 + wild * noise(quantum).powi(3);
        forecaster.observe(&[Some(value(quantum))]);
        for (below, horizon) in below.iter_mut().zip([1, 4, 16]) {
            let forecast = forecaster.forecast(0, horizon).expect("seen");
            for (count, quantile) in below.iter_mut().zip(forecast.quantiles) {
                *count += u32::from(value(quantum + horizon) <= quantile);
            }
        }
    }
    for below in below {
        for (count, share) in below.into_iter().zip(SHARES) {
            assert!((f64::from(count) / f64::from(quanta) - share).abs() < 0.03, "{below:?}");
        }
    }
}

#[test]
fn an_absent_rate_is_never_zero_and_the_others_go_on() {
    let mut forecaster = forecaster(2);
    for _ in 0..100 {
        forecaster.observe(&[Some(2.0), None]);
    }
    assert_eq!(forecaster.forecast(1, 1), None, "it was never read");
    for quantum in 0..100 {
        forecaster.observe(&[(quantum % 3 > 0).then_some(2.0), Some(7.0)]);
    }
    for horizon in [1, 4, 16] {
        for (rate, value) in [(0, 2.0), (1, 7.0)] {
            let forecast = forecaster.forecast(rate, horizon).expect("read before");
            assert!(forecast.quantiles.iter().all(|quantile| (quantile - value).abs() < 1e-9), "{forecast:?}");
        }
    }
}

#[test]
fn memory_does_not_grow_and_is_a_few_dozen_kib() {
    let mut forecaster = forecaster(2);
    let at_first = forecaster.memory_bytes();
    (0..5_000).for_each(|quantum| forecaster.observe(&[Some(noise(quantum)), Some(noise(quantum + 9))]));
    assert_eq!(forecaster.memory_bytes(), at_first);
    assert!(at_first < 64 << 10, "{at_first} bytes");
}

#[test]
fn the_same_rates_give_the_same_forecasts() {
    let run = || {
        let mut forecaster = forecaster(2);
        (0..500).for_each(|quantum| forecaster.observe(&[Some(noise(quantum)), Some(noise(3 * quantum))]));
        [1, 4, 16].map(|horizon| (forecaster.forecast(0, horizon), forecaster.forecast(1, horizon)))
    };
    assert_eq!(run(), run());
}

#[test]
fn settings_out_of_range_are_refused_by_key() {
    let refused = |change: fn(&mut RawSettings)| {
        let mut raw = RawSettings::from(NumericSettings::default());
        change(&mut raw);
        NumericSettings::try_from(raw).expect_err("out of range").to_string()
    };
    assert_eq!(
        refused(|raw| raw.horizons = vec![4, 1]),
        "numeric.horizons must be 1 to 8 ascending numbers from 1 to 64"
    );
    assert_eq!(refused(|raw| raw.history_quanta = usize::MAX), "numeric.history_quanta must be from 64 to 16384");
    assert_eq!(refused(|raw| raw.loss_memory = f64::NAN), "numeric.loss_memory must be between 0 and 1, both excluded");
    assert_eq!(refused(|raw| raw.sharpness = 0), "numeric.sharpness must be from 1 to 64");
    assert_eq!(refused(|raw| raw.quantile_step = 1.0), "numeric.quantile_step must be between 0 and 1, both excluded");
}

#[test]
fn a_moment_yet_to_come_is_looked_up_a_whole_number_of_lags_earlier() {
    let past: Vec<f32> = (0..40u8).rev().map(f32::from).collect(); // the newest is 39, one ago 38
    assert_eq!(value_after(&past, 10, 4), Some(33.0), "29 + 4");
    assert_eq!(value_after(&past, 10, 10), Some(39.0));
    assert_eq!(value_after(&past, 10, 16), Some(35.0), "39 + 16 - 20");
    assert_eq!(value_after(&past, 1, 16), Some(39.0));
    assert_eq!(value_after(&past, 60, 16), None, "before the series began");
}
