//! Names, and the laws that every forecaster keeps.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::forecast::{Forecast, Observation};
use crate::phases::PhaseId;

const PHASES: u32 = 4;

/// A quantum as a test draws it: phase, instructions, two signals that may be absent.
type Drawn = (u32, u64, [Option<f64>; 2]);

fn path() -> impl Strategy<Value = Vec<Drawn>> {
    let signal = || prop::option::of(-5.0f64..5.0);
    let quantum = (0..PHASES, 0u64..200_000_000, signal(), signal());
    prop::collection::vec(quantum.prop_map(|(phase, instructions, a, b)| (phase, instructions, [a, b])), 1..150)
}

fn show(forecaster: &mut dyn Forecaster, path: &[Drawn]) {
    for (phase, instructions, signals) in path {
        forecaster.observe(&Observation {
            phase: PhaseId(*phase),
            instructions: *instructions,
            signals,
            address_space: None,
        });
    }
}

fn shown(kind: ForecasterKind, path: &[Drawn]) -> Box<dyn Forecaster + Send> {
    let mut forecaster = kind.start(PHASES as usize, &Trained::default());
    show(&mut *forecaster, path);
    forecaster
}

fn bits(forecast: &Forecast) -> Vec<u64> {
    forecast.iter().map(|(_, share)| share.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_forecast_is_a_distribution_at_every_horizon(path in path(), quanta in 1u32..20) {
        for kind in ForecasterKind::ALL {
            let forecast = shown(kind, &path).forecast(quanta).expect("observed");
            let total: f64 = forecast.iter().map(|(_, share)| share).sum();
            prop_assert!((total - 1.0).abs() < 1e-9, "{kind}: {total}");
            prop_assert!(forecast.iter().all(|(_, share)| (0.0..=1.0).contains(&share)), "{kind}: {forecast:?}");
            prop_assert_eq!(forecast.iter().count(), PHASES as usize, "{}", kind);
            prop_assert!(forecast.confidence() >= 1.0 / f64::from(PHASES) - 1e-9, "{kind}: {forecast:?}");
        }
    }

    #[test]
    fn no_quanta_ahead_is_the_phase_last_observed(path in path()) {
        let last = PhaseId(path[path.len() - 1].0);
        for kind in ForecasterKind::ALL {
            prop_assert_eq!(shown(kind, &path).forecast(0), Some(Forecast::certain(last, PHASES as usize)), "{}", kind);
        }
    }

    #[test]
    fn the_same_quanta_give_the_same_forecasts_bit_by_bit(path in path(), quanta in 1u32..6) {
        for kind in ForecasterKind::ALL {
            let (one, other) = (shown(kind, &path).forecast(quanta), shown(kind, &path).forecast(quanta));
            prop_assert_eq!(one.as_ref().map(bits), other.as_ref().map(bits), "{}", kind);
        }
    }

    #[test]
    fn asking_changes_nothing(path in path(), more in path()) {
        for kind in ForecasterKind::ALL {
            let (mut asked, mut silent) = (shown(kind, &path), shown(kind, &path));
            for quanta in 0..5 {
                asked.forecast(quanta);
            }
            show(&mut *asked, &more);
            show(&mut *silent, &more);
            prop_assert_eq!(asked.forecast(1), silent.forecast(1), "{}", kind);
        }
    }
}

#[test]
fn nothing_is_forecast_before_anything_was_observed() {
    for kind in ForecasterKind::ALL {
        assert_eq!(kind.start(3, &Trained::default()).forecast(1), None, "{kind}");
    }
}

#[test]
fn a_model_of_one_phase_is_certain() {
    for kind in ForecasterKind::ALL {
        let mut forecaster = kind.start(1, &Trained::default());
        (0..50).for_each(|_| forecaster.observe(&Observation::of(PhaseId(0), 1)));
        for quanta in [0, 1, 3] {
            assert_eq!(forecaster.forecast(quanta), Some(Forecast::certain(PhaseId(0), 1)), "{kind}");
        }
    }
}

#[test]
fn a_phase_that_goes_on_and_on_is_expected_to_go_on() {
    for kind in ForecasterKind::ALL {
        let mut forecaster = kind.start(5, &Trained::default());
        (0..200).for_each(|_| forecaster.observe(&Observation::of(PhaseId(3), 1_000_000)));
        for quanta in [1, 8] {
            let forecast = forecaster.forecast(quanta).expect("observed");
            assert_eq!(forecast.most_likely(), PhaseId(3), "{kind}");
            assert!(forecast.confidence() > 0.9, "{kind}: {forecast:?}");
        }
    }
}

#[test]
fn memory_stays_bounded_under_a_long_stream_without_order() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for kind in ForecasterKind::ALL {
        let mut forecaster = kind.start(16, &Trained::default());
        let mut held = [0; 2];
        // Tables are full, or hold all that 16 phases can make, after the first round.
        for held in &mut held {
            for _ in 0..25_000 {
                let phase = PhaseId(rng.gen_range(0..16));
                let signals = [Some(rng.gen_range(0.0..4.0)), None];
                let instructions = rng.gen_range(1..200_000_000);
                forecaster.observe(&Observation { phase, instructions, signals: &signals, address_space: None });
            }
            *held = forecaster.memory_bytes();
        }
        // Run lengths fill slowly, since long runs are rare; their table ends far below this.
        let most = (held[0] + held[0] / 50).max(512 * 1024);
        assert!(held[1] <= most, "{kind}: {} bytes became {}", held[0], held[1]);
    }
}

#[test]
fn every_kind_is_found_by_its_name() {
    for kind in ForecasterKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    for name in ["markov-7", "gpht-4x256", "gpht-2048"] {
        assert_eq!(name.parse::<ForecasterKind>().map(ForecasterKind::name), Ok(name.to_owned()));
    }
}

#[test]
fn an_unknown_name_is_answered_by_those_there_are() {
    for name in ["magic", "markov-0", "markov-", "markov-65", "gpht-8x", "gpht-0", "gpht-1x2x3", "Default", ""] {
        let error = name.parse::<ForecasterKind>().expect_err("no such kind").to_string();
        assert!(error.contains(&format!("{name:?}")) && error.contains("semi-markov"), "{error}");
    }
}
