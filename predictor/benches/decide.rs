//! What one quantum costs the controller: observe every vCPU's sample, then decide. On a host of 2 domains of 2 CPUs
//! and two of 64 CPUs in 8 or 16 domains, all full, phases changing all the time so that there is always something to decide.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use predictor::counters::{Event, GuestId, Reading, Readings, Sample, VcpuId};
use predictor::model::{Machine, Model};
use predictor::policy::{Policy, PolicyKind, Seen, Settings};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use predictor::train::{Series, TrainSettings, train};

/// Quanta that the benched policy is shown, over and over.
const QUANTA: u32 = 120;

/// One quantum of guest `guest`: it alternates between chasing, streaming and computing, each for its own while.
fn sample(guest: u32, domain: u32, quantum: u32) -> Sample {
    let spread = u64::from(guest * 7919 + quantum * 104_729) % 1000;
    // Instructions, LLC references, LLC misses and stall cycles of a quantum of 10 million cycles.
    let (instructions, references, misses, stalls) = match (quantum / (5 + guest % 11)) % 3 {
        0 => (1_500_000, 220_000, 1_000, 9_000_000),
        1 => (8_000_000, 480_000, 479_000, 5_000_000),
        _ => (20_000_000, 500, 400, 100_000),
    };
    let instructions = instructions + instructions * spread / 20_000;
    let counts = [
        (Event::Instructions, instructions),
        (Event::KernelInstructions, instructions / 500),
        (Event::Cycles, 10_000_000),
        (Event::IdleCycles, 0),
        (Event::Loads, instructions / 4),
        (Event::Stores, instructions / 10),
        (Event::L1Misses, references * 5 / 4),
        (Event::LlcReferences, references),
        (Event::LlcMisses, misses),
        (Event::WriteBacks, 0),
        (Event::MemoryReadBytes, misses * 64),
        (Event::StallCycles, stalls),
    ];
    Sample {
        vcpu: VcpuId { guest: GuestId(guest), index: 0 },
        domain: DomainId(domain),
        elapsed: Duration::from_millis(5),
        readings: Readings::new(counts.map(|(event, count)| (event, Reading::Exact(count)))),
        address_space: None,
        truth: None,
    }
}

fn host(domains: u32, cpus: u32) -> Topology {
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(0),
        cpus: (id * cpus..(id + 1) * cpus).map(CpuId).collect(),
        llc_bytes: Some(1 << 20),
    };
    Topology::new((0..domains).map(domain).collect()).expect("sound by construction")
}

fn model() -> Model {
    let machine = Machine {
        quantum_nanoseconds: 5_000_000,
        llc_bytes: Some(1 << 20),
        memory_bytes_per_cycle: Some(4.0),
        miss_per_hit_time: Some(6.0),
    };
    let series = |guest: u32| Series {
        name: format!("guest-{guest}"),
        samples: (0..200).map(|quantum| sample(guest, 0, quantum)).collect(),
    };
    train(&(0..4).map(series).collect::<Vec<_>>(), &machine, &TrainSettings::default()).expect("enough samples")
}

fn quantum(criterion: &mut Criterion) {
    let model = model();
    for (domains, cpus) in [(2, 2), (8, 8), (16, 4)] {
        let vcpus = domains * cpus;
        let seen: Vec<Vec<Sample>> =
            (0..QUANTA).map(|quantum| (0..vcpus).map(|guest| sample(guest, guest / cpus, quantum)).collect()).collect();
        criterion.bench_function(&format!("observe and decide, {vcpus} vCPUs on {domains} domains"), |bench| {
            let mut policy =
                Policy::new(PolicyKind::Predictive, Settings::default(), host(domains, cpus), model.clone());
            let mut quanta = seen.iter().cycle();
            bench.iter(|| {
                let samples = quanta.next().map_or(&[][..], Vec::as_slice);
                policy.observe(&Seen { samples, ..Seen::default() });
                black_box(policy.decide())
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = quantum
}
criterion_main!(benches);
