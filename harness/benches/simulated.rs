//! What a quantum of the simulated host costs: advance alone, on 4 and on 64 vCPUs, with slowdowns from a table and from the
//! contention model.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::host::Host;
use harness::host::simulated::SimulatedHost;
use harness::host::simulated::script::KindId;
use harness::host::simulated::sharing::Sharing;

#[path = "../examples/simulated_speed/script.rs"]
mod script;

use script::{PER_DOMAIN, QUANTUM, script};

fn advance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulated host, advance");
    for vcpus in [PER_DOMAIN, 16 * PER_DOMAIN] {
        group.throughput(Throughput::Elements(vcpus.into()));
        let table = Sharing::Table(BTreeMap::from([((KindId(1), KindId(1)), 0.4)]));
        for (name, sharing) in [("table", table), ("model", Sharing::Model)] {
            let mut host = SimulatedHost::new(script(vcpus, sharing), 1).expect("a sound script");
            group.bench_function(format!("{vcpus} vCPUs, {name}"), |bencher| {
                bencher.iter(|| black_box(host.advance(QUANTUM).expect("no fault")));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, advance);
criterion_main!(benches);
