//! A full host for measurements: four vCPUs in each LLC domain, two kinds of phases of about ten quanta each.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::host::simulated::hardware::Hardware;
use harness::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use harness::host::simulated::sharing::Sharing;
use predictor::contention::Contention;
use predictor::counters::Event;
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

/// How long a quantum is.
pub(crate) const QUANTUM: Duration = Duration::from_millis(5);
/// vCPUs of each LLC domain.
pub(crate) const PER_DOMAIN: u32 = 4;

/// So many vCPUs, as many as CPUs.
pub(crate) fn script(vcpus: u32, sharing: Sharing) -> Script {
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(0),
        cpus: (0..PER_DOMAIN).map(|cpu| CpuId(PER_DOMAIN * id + cpu)).collect(),
        llc_bytes: None,
    };
    let kind = |name, cycles_per_instruction, llc_references| PhaseKind {
        name: String::from(name),
        cycles_per_instruction,
        stall_share: 0.5,
        footprint_share: 0.5,
        idle_share: 0.0,
        kernel_share: 0.01,
        loads: 250.0,
        stores: 100.0,
        l1_misses: 2.0 * llc_references,
        llc_references,
        llc_miss_ratio: 0.1,
        profile: None,
    };
    let guest = |number: u32| ScriptedGuest {
        name: format!("guest {number}"),
        vcpus: 1,
        domain: DomainId(number / PER_DOMAIN),
        cpu: None,
        stretches: (0..2)
            .map(|kind| Stretch {
                kind: KindId(kind),
                instructions: 70_000_000 + 1_000_000 * u64::from(number % 7),
                truth: None,
            })
            .collect(),
        arrives: Duration::ZERO,
        departs: None,
    };
    Script {
        hardware: Hardware {
            topology: Topology::new((0..vcpus / PER_DOMAIN).map(domain).collect()).expect("sound"),
            cores: Vec::new(),
            frequency_hz: 2_000_000_000,
            sibling_slowdown: 1.6,
            remote_share: 0.5,
            refill_cycles: 100_000,
            contention: Contention::additive(5.0, Some(4.0)),
        },
        events: BTreeSet::from(Event::ALL),
        kinds: vec![kind("compute", 0.7, 0.1), kind("press", 2.0, 20.0)],
        sharing,
        guests: (0..vcpus).map(guest).collect(),
        noise: 0.02,
    }
}
