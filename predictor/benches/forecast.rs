//! What a forecast costs for one vCPU: observe a quantum and forecast the next, for every kind of forecaster, at 16
//! phases and 8 signals, after 4096 quanta have filled its tables. The shipped model has fewer of both, as its bench says:
//! what it starts from is in its phases, transitions and run lengths.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use predictor::forecast::kind::{ForecasterKind, Trained};
use predictor::forecast::{Forecaster, Observation};
use predictor::model::Model;
use predictor::phases::PhaseId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const QUANTA: usize = 4096;

const SHIPPED: &str = include_str!("../../models/emulated-small-2x2/model.json");

type Quantum = (PhaseId, [Option<f64>; 8]);

/// A program that goes round in 37.3 quanta, with noise: the first signal has 16 levels, which are its phases.
fn quanta() -> Vec<Quantum> {
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
        timed(criterion, &format!("observe and forecast, {kind}"), &quanta, &|| kind.start(16, &Trained::default()));
    }
    let far = Trained { horizons: &[4, 16], ..Trained::default() };
    timed(criterion, "observe and forecast, default that also learns 4 and 16 quanta ahead", &quanta, &|| {
        ForecasterKind::Default.start(16, &far)
    });
    let model: Model = serde_json::from_str(SHIPPED).expect("the shipped model is sound");
    let (phases, features) = (model.parts().phases.len(), model.parts().phases.features.features().len());
    let name = format!("observe and forecast, default of the shipped model, {phases} phases, {features} features");
    let within = |(phase, signals): &Quantum| (PhaseId(phase.0 % phases as u32), signals[..features].to_vec());
    let fewer: Vec<_> = quanta.iter().map(within).collect();
    timed(criterion, &name, &fewer, &|| model.forecaster(ForecasterKind::Default));
}

fn timed<S: AsRef<[Option<f64>]>>(
    criterion: &mut Criterion,
    name: &str,
    quanta: &[(PhaseId, S)],
    start: &dyn Fn() -> Box<dyn Forecaster + Send>,
) {
    criterion.bench_function(name, |bench| {
        let mut forecaster = start();
        let mut observe = |(phase, signals): &(PhaseId, S)| {
            let signals = signals.as_ref();
            forecaster.observe(&Observation { phase: *phase, instructions: 100_000_000, signals, address_space: None });
            forecaster.forecast(1)
        };
        for seen in quanta {
            observe(seen);
        }
        let mut next = quanta.iter().cycle();
        bench.iter(|| next.next().map(|seen| black_box(observe(seen))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = quantum
}
criterion_main!(benches);
