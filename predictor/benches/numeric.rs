//! What forecasting two rates of one vCPU costs: observe one quantum, forecast at horizons 1, 4 and 16. The history is full,
//! so that every lag is compared.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use predictor::numeric::{NumericForecaster, NumericSettings};

/// CPI and LLC misses of a program with a loop of 90 quanta, and noise.
fn rates(quantum: u32) -> [Option<f64>; 2] {
    let noise = f64::from(quantum.wrapping_mul(2_654_435_761) >> 20) / 40_960.0;
    let cpi = if quantum % 90 < 50 { 0.6 } else { 1.4 } + noise;
    [Some(cpi), Some(4.0 * cpi * cpi + noise)]
}

fn quantum(criterion: &mut Criterion) {
    let settings = NumericSettings::default();
    let mut forecaster = NumericForecaster::new(2, &settings);
    let mut quanta = 0..;
    quanta.by_ref().take(5_000).for_each(|quantum| forecaster.observe(&rates(quantum)));
    criterion.bench_function("observe 2 rates, forecast 3 horizons each", |bench| {
        bench.iter(|| {
            forecaster.observe(&rates(quanta.next().unwrap_or_default()));
            for rate in 0..2 {
                for horizon in settings.horizons() {
                    black_box(forecaster.forecast(rate, *horizon));
                }
            }
        });
    });
}

criterion_group!(benches, quantum);
criterion_main!(benches);
