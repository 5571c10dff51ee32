//! A fixed piece of learning for `bench/instructions` to count the instructions of: k-means, the mixture, or the hidden
//! Markov forecaster, by name. k-means runs its portable code; what else is vectors follows the processor that valgrind shows.

use predictor::forecast::hidden_markov::HiddenMarkov;
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = match std::env::args().nth(1).as_deref() {
        Some("kmeans") => kmeans()?,
        Some("mixture") => mixture()?,
        Some("hidden-markov") => hidden_markov().ok_or("nothing observed")?,
        _ => return Err("usage: instructions kmeans|mixture|hidden-markov".into()),
    };
    println!("{answer}");
    Ok(())
}
