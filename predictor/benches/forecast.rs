//! What a forecast costs for one vCPU: observe a quantum and forecast the next, for every kind of forecaster, at 16
//! phases and 8 signals, after 4096 quanta have filled its tables.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use predictor::forecast::Observation;
use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::phases::PhaseId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const QUANTA: usize = 4096;

/// A program that goes round in 37.3 quanta, with noise: the first signal has 16 levels, which are its phases.
fn quanta() -> Vec<(PhaseId, [Option<f64>; 8])> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let quantum = |quantum: usize| {
        let angle = quantum as f64 * std::f64::consts::TAU / 37.3;
        let signals: [f64; 8] = std::array::from_fn(|signal| {
            1.0 + 0.9 * (angle * (1 + signal % 3) as f64).sin() + rng.gen_range(-0.05..0.05)
        });
        (PhaseId((signals[0].clamp(0.0, 1.999) * 8.0) as u32), signals.map(Some))
    };
    (0..QUANTA).map(quantum).collect()
}

fn quantum(criterion: &mut Criterion) {
    let quanta = quanta();
    for kind in ForecasterKind::ALL {
        criterion.bench_function(&format!("observe and forecast, {kind}"), |bench| {
            let mut forecaster = kind.start(16, &Trained::default());
            let mut observe = |(phase, signals): &(PhaseId, [Option<f64>; 8])| {
                forecaster.observe(&Observation { phase: *phase, instructions: 100_000_000, signals });
                forecaster.forecast(1)
            };
            for seen in &quanta {
                observe(seen);
            }
            let mut next = quanta.iter().cycle();
            bench.iter(|| next.next().map(|seen| black_box(observe(seen))));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = quantum
}
criterion_main!(benches);
