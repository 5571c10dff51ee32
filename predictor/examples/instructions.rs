//! A fixed piece of work for `bench/instructions` to count the instructions of: k-means, the mixture, the hidden Markov
//! forecaster, the default forecaster, or the one that heeds address spaces, by name. k-means runs its portable code; what else is vectors follows the processor
//! that valgrind shows.

use predictor::counters::AddressSpace;
use predictor::forecast::hidden_markov::HiddenMarkov;
use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::forecast::{Forecaster, Observation};
use predictor::phases::PhaseId;
use predictor::phases::kmeans::{Points, Sequential, Settings, fit_from};
use predictor::phases::mixture::Mixture;
use predictor::simd::Lanes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn values(count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..count).map(|_| rng.r#gen::<f32>()).collect()
}

fn kmeans() -> Result<f64, Box<dyn std::error::Error>> {
    let values = values(8 * 10_000);
    let start: Vec<Vec<f32>> = values.chunks(8).take(16).map(<[f32]>::to_vec).collect();
    let settings = Settings { steps_most: 10, tolerance: 0.0, lanes: Lanes::Portable };
    Ok(fit_from(&Points::new(&values, 8)?, &start, &settings, &Sequential)?.inertia)
}

fn mixture() -> Result<f64, Box<dyn std::error::Error>> {
    let rows: Vec<Vec<f64>> =
        values(4 * 500).chunks(4).map(|row| row.iter().copied().map(f64::from).collect()).collect();
    let mixture = Mixture::fit(&rows, 4, 1, &mut ChaCha8Rng::seed_from_u64(1))?;
    Ok(mixture.log_likelihood(&rows))
}

fn hidden_markov() -> Option<f64> {
    let mut model = HiddenMarkov::new(16);
    for quantum in 0..2000u32 {
        model.observe(&Observation::of(PhaseId((quantum / 7).wrapping_mul(2_654_435_761) >> 28), 1));
    }
    Some(model.forecast(4)?.confidence())
}

/// A program that goes round in 37.3 quanta, with noise, shown quantum by quantum: 16 phases, 8 signals.
/// Its address space changes every 11 quanta, which only the forecaster that heeds it sees.
fn forecasts(kind: ForecasterKind) -> Option<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut forecaster = kind.start(16, &Trained::default());
    let mut confidence = 0.0;
    for quantum in 0..4096u64 {
        let angle = quantum as f64 * std::f64::consts::TAU / 37.3;
        let signals: [f64; 8] = std::array::from_fn(|signal| {
            1.0 + 0.9 * (angle * (1 + signal % 3) as f64).sin() + rng.gen_range(-0.05..0.05)
        });
        let phase = PhaseId((signals[0].clamp(0.0, 1.999) * 8.0) as u32);
        let address_space = AddressSpace::of_cr3((1 + quantum / 11 % 2) << 13);
        let seen = Observation { signals: &signals.map(Some), address_space, ..Observation::of(phase, 100_000_000) };
        forecaster.observe(&seen);
        confidence += forecaster.forecast(1)?.confidence();
    }
    Some(confidence)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = match std::env::args().nth(1).as_deref() {
        Some("kmeans") => kmeans()?,
        Some("mixture") => mixture()?,
        Some("hidden-markov") => hidden_markov().ok_or("nothing observed")?,
        Some("default") => forecasts(ForecasterKind::Default).ok_or("nothing observed")?,
        Some("spaces") => forecasts(ForecasterKind::ContextsSpaces).ok_or("nothing observed")?,
        _ => return Err("usage: instructions kmeans|mixture|hidden-markov|default|spaces".into()),
    };
    println!("{answer}");
    Ok(())
}
