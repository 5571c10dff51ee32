//! Problems drawn by seed: the same ones for the tests and for the figures.

use std::collections::BTreeSet;

use predictor::contention::Demand;
use predictor::counters::{GuestId, VcpuId};
use predictor::placement::whatif::{Setup, Vcpu, WhatIf};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A vCPU's demand. A third ask for next to nothing, a third live in the cache, a third stream through memory.
fn demand(random: &mut ChaCha8Rng) -> Demand {
    let kind = random.gen_range(0..3);
    let (cache, memory) = [(0.02, 0.02), (1.0, 0.1), (0.1, 1.0)][kind];
    Demand {
        references_per_cycle: random.gen_range(0.0..0.06) * f64::max(cache, memory),
        bytes_per_cycle: random.gen_range(0.0..4.0) * memory,
        cache_sensitivity: random.gen_range(0.0..3.0) * cache,
        bandwidth_sensitivity: random.gen_range(0.0..0.8) * memory,
        ..Demand::default()
    }
}

/// `domains` of `cpus` each on two nodes, and `vcpus` in guests of two, placed by chance. Nothing but capacity
/// constrains.
pub(crate) fn free(seed: u64, domains: u32, cpus: u32, vcpus: u32) -> Setup {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(2 * id / domains),
        cpus: (id * cpus..(id + 1) * cpus).map(CpuId).collect(),
        llc_bytes: None,
    };
    let topology = Topology::new((0..domains).map(domain).collect()).expect("sound by construction");
    let mut slots: Vec<u32> = (0..domains * cpus).map(|slot| slot % domains).collect();
    let mut vcpu = |place: u32| {
        let present = slots.swap_remove(random.gen_range(0..slots.len()));
        Vcpu {
            id: VcpuId { guest: GuestId(place / 2), index: place % 2 },
            demand: demand(&mut random),
            weight: 1.0,
            present: Some(DomainId(present)),
            allowed: None,
        }
    };
    Setup {
        vcpus: (0..vcpus).map(&mut vcpu).collect(),
        memory_bytes_per_cycle: vec![Some(4.0); domains as usize],
        topology,
        miss_per_hit_time: 5.0,
        worst_share: 0.0,
        lost_share_per_move: 0.02,
        overcommit: 1.0,
        within_a_node: BTreeSet::new(),
        max_moves: None,
    }
}

/// A small problem with constraints, weights and objectives by chance: up to 12 vCPUs on up to 4 domains. It may have no
/// answer.
pub(crate) fn constrained(seed: u64, most_vcpus: u32, most_domains: u32) -> WhatIf {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let domains = random.gen_range(2..=most_domains);
    let cpus = random.gen_range(2..=4);
    let vcpus = random.gen_range(2..=most_vcpus.min(domains * cpus));
    let mut setup = free(seed, domains, cpus, vcpus);
    setup.worst_share = [0.0, 0.0, 0.5, 1.0][random.gen_range(0..4)];
    setup.lost_share_per_move = [0.0, 0.02, 0.1][random.gen_range(0..3)];
    setup.overcommit = [1.0, 1.0, 1.5, 2.0][random.gen_range(0..4)];
    setup.max_moves = [None, None, Some(2), Some(4)][random.gen_range(0..4)];
    if random.gen_bool(0.25) {
        setup.within_a_node = (0..vcpus.div_ceil(2)).filter(|_| random.gen_bool(0.5)).map(GuestId).collect();
    }
    for vcpu in &mut setup.vcpus {
        if random.gen_bool(0.3) {
            vcpu.weight = random.gen_range(0.5..4.0);
        }
        if random.gen_bool(0.1) {
            let first = random.gen_range(0..domains * cpus - 1);
            vcpu.allowed = Some([CpuId(first), CpuId(first + 1), CpuId(0)].into());
        }
        if random.gen_bool(0.05) {
            vcpu.present = None;
        }
    }
    if let Some(memory) = setup.memory_bytes_per_cycle.first_mut() {
        *memory = [None, Some(2.0), Some(8.0)][random.gen_range(0..3)];
    }
    WhatIf::new(setup).expect("sound by construction")
}
