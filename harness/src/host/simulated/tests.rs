//! Claims about the simulated host that other hosts need not keep; what all keep is in the host laws.

use std::collections::BTreeMap;

use predictor::contention::Contention;
use predictor::counters::PhaseMark;
use predictor::topology::{CpuId, LlcDomain, NodeId};

use super::hardware::Hardware;
use super::script::{PhaseKind, Stretch};
use super::sharing::Sharing;
use super::*;

const QUANTUM: Duration = Duration::from_millis(1);
/// Cycles in a quantum.
const CYCLES: u64 = 2_000_000;

fn kind(name: &str, cycles_per_instruction: f64, llc_references: f64) -> PhaseKind {
    PhaseKind {
        name: name.to_owned(),
        cycles_per_instruction,
        stall_share: 0.5,
        footprint_share: 1.0,
        idle_share: 0.0,
        kernel_share: 0.0,
        loads: 250.0,
        stores: 100.0,
        l1_misses: 2.0 * llc_references,
        llc_references,
        llc_miss_ratio: 0.1,
        profile: None,
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
        hardware: Hardware {
            topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
            cores: Vec::new(),
            frequency_hz: 2_000_000_000,
            sibling_slowdown: 1.6,
            remote_share: 0.5,
            refill_cycles: 100_000,
            contention: Contention::additive(5.0, Some(4.0)),
        },
        events: Event::ALL.into(),
        kinds: vec![kind("compute", 0.5, 0.1), kind("press", 2.0, 20.0)],
        sharing: Sharing::Table(BTreeMap::from([((KindId(1), KindId(1)), 1.0)])),
        guests,
        noise: 0.0,
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
        cpu: None,
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

/// One domain of two CPUs that are hardware threads of one core, and one like it on another node.
fn threaded(guests: Vec<ScriptedGuest>) -> Script {
    let mut script = script(guests);
    let mut domains = script.hardware.topology.domains().to_vec();
    domains[1].node = NodeId(1);
    script.hardware.topology = Topology::new(domains).expect("sound");
    script.hardware.cores = vec![vec![CpuId(0), CpuId(1)], vec![CpuId(2), CpuId(3)]];
    script
}

fn work(script: Script, quanta: u32, quantum: Duration) -> Vec<u64> {
    let mut host = SimulatedHost::new(script, 7).expect("a sound script");
    let mut sums = Vec::new();
    for _ in 0..quanta {
        let seen = instructions(&host.advance(quantum).expect("no fault"));
        sums.resize(seen.len(), 0);
        sums.iter_mut().zip(seen).for_each(|(sum, more)| *sum += more);
    }
    sums
}

#[test]
fn a_hardware_thread_of_the_same_core_slows_by_the_stated_factor() {
    let alone = work(threaded(vec![guest(0, &[(0, u64::MAX)])]), 1, QUANTUM)[0] as f64;
    let both = work(threaded(vec![guest(0, &[(0, u64::MAX)]); 2]), 1, QUANTUM);
    assert!(both.iter().all(|one| (alone / *one as f64 - 1.6).abs() < 1e-5), "{both:?} of {alone}");
}

#[test]
fn those_on_one_cpu_have_an_equal_share_of_it_and_do_not_press_each_other() {
    let on = |cpu| ScriptedGuest { cpu: Some(CpuId(cpu)), ..guest(0, &[(1, u64::MAX)]) };
    assert_eq!(work(script(vec![on(1), on(1)]), 1, QUANTUM), [CYCLES / 4; 2]);
    let mut host = SimulatedHost::new(script(vec![on(1), on(1)]), 7).expect("sound");
    let sample = host.advance(QUANTUM).expect("no fault").samples.remove(0);
    assert_eq!(sample.count(Event::Cycles), Some(CYCLES / 2), "waiting for a CPU is not running");
}

#[test]
fn memory_stays_behind_and_costs_those_who_wait_for_it() {
    let mut host = SimulatedHost::new(threaded(vec![guest(0, &[(1, u64::MAX)])]), 7).expect("sound");
    let near = instructions(&host.advance(QUANTUM).expect("no fault"))[0] as f64;
    host.apply(&[Move { vcpu: vcpu(0), from: DomainId(0), to: DomainId(1) }]).expect("no fault");
    host.advance(QUANTUM).expect("caches get warm");
    let far = instructions(&host.advance(QUANTUM).expect("no fault"))[0] as f64;
    // It waits for memory for 0.5 * 5 m / (h + 5 m) of its time, with h = 18 and m = 2, and does so half as long again.
    let expected = 1.0 + 0.5 * 0.5 * 10.0 / 28.0;
    assert!((near / far - expected).abs() < 1e-5, "{} is not {expected}", near / far);
}

#[test]
fn a_core_of_ones_own_comes_before_a_hardware_thread() {
    let mut script = threaded(vec![guest(0, &[(0, u64::MAX)]); 2]);
    let mut domains = script.hardware.topology.domains().to_vec();
    domains[0].cpus = [0, 1, 4].map(CpuId).to_vec();
    script.hardware.topology = Topology::new(domains).expect("sound");
    assert_eq!(work(script, 1, QUANTUM), [CYCLES * 2; 2]);
}

#[test]
fn what_happens_does_not_depend_on_how_long_a_quantum_is() {
    let guests = || vec![guest(0, &[(1, 700_000), (0, 900_000)]), guest(0, &[(0, 500_000), (1, 300_000)])];
    let (fine, coarse) = (work(script(guests()), 100, QUANTUM / 10), work(script(guests()), 1, QUANTUM * 10));
    for (fine, coarse) in fine.into_iter().zip(coarse) {
        assert!(fine.abs_diff(coarse) < 100, "{fine} and {coarse}: each quantum rounds by half an instruction");
    }
}

#[test]
fn a_copy_goes_on_as_the_original_and_leaves_it_alone() {
    let noisy = Script { noise: 0.05, ..script(vec![guest(0, &[(1, 800_000), (0, 900_000)]); 2]) };
    let mut host = SimulatedHost::new(noisy, 3).expect("sound");
    host.advance(QUANTUM).expect("no fault");
    let mut copy = host.clone();
    let seen: Vec<Observation> = (0..3).map(|_| copy.advance(QUANTUM).expect("no fault")).collect();
    assert!(seen.into_iter().all(|seen| seen == host.advance(QUANTUM).expect("no fault")));
}

#[test]
fn what_was_done_is_told_in_time_alone() {
    let mut host = host(vec![guest(0, &[(1, u64::MAX)]), guest(0, &[(1, u64::MAX)]), guest(1, &[(1, u64::MAX)])]);
    host.advance(QUANTUM).expect("no fault");
    let times: Vec<Duration> = host.alone_times().map(|(_, time)| time).collect();
    assert_eq!(times, [QUANTUM / 2, QUANTUM / 2, QUANTUM], "those who press each other take twice as long");
}

#[test]
fn the_phase_ahead_is_the_one_that_comes() {
    let mut host = host(vec![guest(0, &[(1, 1_500_000), (0, 6_000_000)])]);
    host.advance(QUANTUM).expect("no fault");
    // Half a quantum of the first phase is left, then one and a half of the second.
    let ahead = |tenths: u32| host.kind_ahead(vcpu(0), QUANTUM * tenths / 10);
    assert_eq!([4, 6, 19, 21].map(ahead), [KindId(1), KindId(0), KindId(0), KindId(1)].map(Some));
    assert_eq!(host.kind_ahead(vcpu(9), QUANTUM), None);
}
