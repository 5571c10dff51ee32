//! Claims about the simulated host that other hosts need not keep; what all keep is in the host laws.

use predictor::counters::PhaseMark;
use predictor::topology::{CpuId, LlcDomain, NodeId};

use super::script::{PhaseKind, Stretch};
use super::*;

const QUANTUM: Duration = Duration::from_millis(1);
/// Cycles in a quantum.
const CYCLES: u64 = 2_000_000;

fn kind(name: &'static str, cycles_per_instruction: f64, llc_references: f64) -> PhaseKind {
    PhaseKind {
        name,
        cycles_per_instruction,
        idle_share: 0.0,
        kernel_share: 0.0,
        loads: 250.0,
        stores: 100.0,
        l1_misses: 2.0 * llc_references,
        llc_references,
        llc_miss_ratio: 0.1,
    }
}

/// Two domains of two CPUs; kind 0 computes, kind 1 presses the cache and suffers 100 % from its like.
fn script(guests: Vec<ScriptedGuest>) -> Script {
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(0),
        cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)],
        llc_bytes: Some(1 << 20),
    };
    Script {
        topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
        frequency_hz: 2_000_000_000,
        events: Event::ALL.into(),
        kinds: vec![kind("compute", 0.5, 0.1), kind("press", 2.0, 20.0)],
        interference: BTreeMap::from([((KindId(1), KindId(1)), 1.0)]),
        guests,
        noise: 0.0,
        cold_cycles: 100_000,
    }
}

fn guest(domain: u32, stretches: &[(usize, u64)]) -> ScriptedGuest {
    let stretch = |&(kind, instructions): &(usize, u64)| Stretch {
        kind: KindId(kind),
        instructions,
        truth: Some(PhaseMark(kind as u32)),
    };
    ScriptedGuest {
        name: format!("guest of domain {domain}"),
        vcpus: 1,
        domain: DomainId(domain),
        stretches: stretches.iter().map(stretch).collect(),
        arrives: Duration::ZERO,
        departs: None,
    }
}

fn host(guests: Vec<ScriptedGuest>) -> SimulatedHost {
    SimulatedHost::new(script(guests), 7).expect("a sound script")
}

fn instructions(observation: &Observation) -> Vec<u64> {
    observation.samples.iter().filter_map(|sample| sample.count(Event::Instructions)).collect()
}

fn vcpu(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

#[test]
fn interference_stretches_a_phase_in_time_and_not_in_work() {
    let mut alone = host(vec![guest(0, &[(1, 1_000_000), (0, 4_000_000)])]);
    let mut beside = host(vec![guest(0, &[(1, 1_000_000), (0, 4_000_000)]), guest(0, &[(1, u64::MAX)])]);
    let quanta_of_pressing = |host: &mut SimulatedHost| {
        let mut quanta = 0;
        let mut done = 0;
        while done < 1_000_000 {
            done += instructions(&host.advance(QUANTUM).expect("no fault"))[0];
            quanta += 1;
        }
        quanta
    };
    assert_eq!(quanta_of_pressing(&mut alone), 1);
    assert_eq!(quanta_of_pressing(&mut beside), 2);
}

#[test]
fn parting_two_that_press_ends_their_interference_after_the_caches_are_warm() {
    let mut host = host(vec![guest(0, &[(1, u64::MAX)]), guest(0, &[(1, u64::MAX)])]);
    assert_eq!(instructions(&host.advance(QUANTUM).expect("no fault")), [CYCLES / 4, CYCLES / 4]);
    let moved = host.apply(&[Move { vcpu: vcpu(1), from: DomainId(0), to: DomainId(1) }]).expect("no fault");
    assert_eq!(moved[0].refusal, None);
    let cold = (CYCLES - 100_000) / 2;
    assert_eq!(instructions(&host.advance(QUANTUM).expect("no fault")), [CYCLES / 2, cold]);
    assert_eq!(instructions(&host.advance(QUANTUM).expect("no fault")), [CYCLES / 2, CYCLES / 2]);
}

#[test]
fn counters_that_placement_does_not_change_stay_the_same_per_instruction() {
    let rates = |guests| {
        let seen = host(guests).advance(QUANTUM).expect("no fault");
        let of = |event| seen.samples[0].count(event).expect("claimed") as f64;
        let references = of(Event::LlcReferences) / of(Event::Instructions);
        (references, of(Event::LlcMisses) / of(Event::LlcReferences))
    };
    let alone = rates(vec![guest(0, &[(1, u64::MAX)])]);
    let beside = rates(vec![guest(0, &[(1, u64::MAX)]), guest(0, &[(1, u64::MAX)])]);
    assert!((alone.0 - beside.0).abs() < 1e-6, "{alone:?} {beside:?}");
    assert!(beside.1 > 2.0 * alone.1, "{alone:?} {beside:?}");
}

#[test]
fn guests_come_and_go_by_the_script() {
    let late = ScriptedGuest { arrives: QUANTUM / 2, departs: Some(3 * QUANTUM), ..guest(0, &[(0, u64::MAX)]) };
    let mut host = host(vec![guest(0, &[(0, u64::MAX)]), late]);
    let story: Vec<_> = (0..4)
        .map(|_| {
            let seen = host.advance(QUANTUM).expect("no fault");
            (seen.arrivals.len(), seen.samples.len(), seen.departures)
        })
        .collect();
    assert_eq!(story, [(2, 1, vec![]), (0, 2, vec![]), (0, 2, vec![vcpu(1)]), (0, 1, vec![])]);
}

#[test]
fn a_completed_run_is_reported_once_with_its_number() {
    let mut host = host(vec![guest(0, &[(0, CYCLES * 3)])]);
    let runs: Vec<usize> = (0..4).map(|_| host.advance(QUANTUM).expect("no fault").guest_events.len()).collect();
    // Two thirds of a run fit in a quantum.
    assert_eq!(runs, [0, 1, 1, 0]);
}

#[test]
fn one_guests_noise_does_not_depend_on_who_else_is_there() {
    let noisy = |guests| Script { noise: 0.05, ..script(guests) };
    let mut first = SimulatedHost::new(noisy(vec![guest(0, &[(0, 900)])]), 3).expect("sound");
    let mut second = SimulatedHost::new(noisy(vec![guest(0, &[(0, 900)]), guest(1, &[(0, 5)])]), 3).expect("sound");
    for _ in 0..5 {
        let (one, two) = (first.advance(QUANTUM).expect("no fault"), second.advance(QUANTUM).expect("no fault"));
        assert_eq!(one.samples[0], two.samples[0]);
    }
}

#[test]
fn a_script_that_cannot_be_played_says_what_is_wrong() {
    let refusal = |guests| SimulatedHost::new(script(guests), 1).expect_err("wrong on purpose").to_string();
    assert_eq!(
        refusal(vec![guest(7, &[(0, 1)])]),
        "guest \"guest of domain 7\" starts in LLC domain 7, which this host does not have"
    );
    assert_eq!(refusal(vec![guest(0, &[(0, 1)]); 5]), "5 vCPUs are present at once, but the host has 4 CPUs");
    assert_eq!(
        refusal(vec![guest(0, &[(9, 1)])]),
        "a stretch of guest \"guest of domain 0\" names phase kind 9, but the script has 2"
    );
}
