//! What learning costs: a step of k-means, a step of the mixture, a block of the hidden Markov forecaster.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use predictor::forecast::hidden_markov::HiddenMarkov;
use predictor::forecast::{Forecaster, Observation};
use predictor::phases::kmeans::{Points, Sequential, Settings, fit_from};
use predictor::phases::mixture::Mixture;
use predictor::phases::{NamePhase, PhaseId};
use predictor::simd::Lanes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const POINTS: usize = 50_000;

fn values(dimensions: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..POINTS * dimensions).map(|_| rng.r#gen::<f32>()).collect()
}

fn kmeans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("k-means, prepare and 10 steps of 50,000 points");
    group.throughput(Throughput::Elements(POINTS as u64 * 10));
    for (dimensions, clusters) in [(8, 8), (16, 32)] {
        let values = values(dimensions);
        let points = Points::new(&values, dimensions).expect("finite");
        let start: Vec<Vec<f32>> = values.chunks(dimensions).take(clusters).map(<[f32]>::to_vec).collect();
        for lanes in [Lanes::Portable, Lanes::widest()] {
            let settings = Settings { steps_most: 10, tolerance: 0.0, lanes };
            let name = BenchmarkId::new(format!("{lanes:?}"), format!("{dimensions} dimensions, {clusters} clusters"));
            group.bench_function(name, |bench| {
                bench.iter(|| black_box(fit_from(&points, &start, &settings, &Sequential)));
            });
        }
    }
}

fn mixture(criterion: &mut Criterion) {
    let rows: Vec<Vec<f64>> =
        values(4).chunks(4).take(5000).map(|row| row.iter().copied().map(f64::from).collect()).collect();
    criterion.bench_function("mixture, 5,000 points of 4 dimensions, 6 components", |bench| {
        bench.iter(|| black_box(Mixture::fit(&rows, 6, 1, &mut ChaCha8Rng::seed_from_u64(1))));
    });
    let mut mixture = Mixture::fit(&rows, 6, 1, &mut ChaCha8Rng::seed_from_u64(1)).expect("finite");
    criterion.bench_function("mixture, name one sample", |bench| {
        let mut rows = rows.iter().cycle();
        bench.iter(|| black_box(rows.next().and_then(|row| mixture.name(row))));
    });
}

fn hidden_markov(criterion: &mut Criterion) {
    let mut model = HiddenMarkov::new(16);
    let mut phases = (0u32..).map(|quantum| PhaseId((quantum / 7).wrapping_mul(2_654_435_761) >> 28));
    criterion.bench_function("hidden Markov, observe and forecast, 16 phases, learning included", |bench| {
        bench.iter(|| {
            let phase = phases.next().unwrap_or(PhaseId(0));
            model.observe(&Observation::of(phase, 1));
            black_box(model.forecast(1))
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = kmeans, mixture, hidden_markov
}
criterion_main!(benches);
