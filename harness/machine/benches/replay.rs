//! How many references to the LLC are replayed in a second on one core, decoding included: by guests on the machine, by
//! length of the replay, and by what the guests do. References per second is criterion's throughput; that the cost is
//! linear shows as the same throughput on every line of a group.

#[path = "../tests/synthetic/mod.rs"]
#[expect(dead_code, reason = "the bench needs half of what the tests do")]
mod synthetic;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use machine::spec::Machine;
use machine::stream::Stream;
use synthetic::{Guest, Plan, chase, gather, record, replay, stay, stream};

/// As `small-2x2`, with CPUs for eight guests.
fn machine() -> Machine {
    let small = Machine::preset("small-2x2").expect("preset");
    Machine::from_toml(&small.text().replace("cpus = 2", "cpus = 4")).expect("sound")
}

fn streams(guests: &[Guest], quanta: usize) -> Vec<Arc<Stream>> {
    guests.iter().map(|guest| record(&machine(), guest, quanta)).collect()
}

fn references(streams: &[Arc<Stream>], plan: &Plan) -> u64 {
    let outcome = replay(&machine(), streams, plan).expect("streams that are long enough");
    (0..streams.len()).map(|guest| outcome.last(guest).llc_references).sum()
}

fn cost(criterion: &mut Criterion) {
    let kinds = [("gather", gather()), ("chase", chase()), ("stream", stream())];
    let all: Vec<Guest> = kinds.iter().map(|(_, guest)| guest.clone()).collect();
    let recorded = streams(&all, 9);
    let mut run = |group: &str, name: String, streams: &[Arc<Stream>], quanta: usize| {
        let cpus: Vec<u32> = (0..streams.len() as u32).collect();
        let plan = stay(&cpus, quanta);
        let mut group = criterion.benchmark_group(group);
        group.sample_size(10).throughput(Throughput::Elements(references(streams, &plan)));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| black_box(references(streams, &plan)));
        });
        group.finish();
    };
    for ((name, _), stream) in kinds.iter().zip(&recorded) {
        run("alone", (*name).to_owned(), std::slice::from_ref(stream), 4);
    }
    for guests in [1, 2, 4, 8] {
        let streams: Vec<_> = recorded.iter().cycle().take(guests).cloned().collect();
        run("guests", guests.to_string(), &streams, 4);
    }
    for times in [1, 2, 4] {
        run("length", times.to_string(), &recorded, 2 * times);
    }
}

criterion_group!(benches, cost);
criterion_main!(benches);
