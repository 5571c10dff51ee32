//! Host laws: what every host promises to what stands above it. One list of claims, run over every host. A host that
//! this machine lacks says why and passes; `REQUIRE_HOSTS=simulated,emulated,replayed` turns that into a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::host::emulated::GuestPlan;
use harness::host::faulty::{ApplyFault, FaultPlan, FaultyHost};
use harness::host::foretold::{Foresight, ForetoldHost};
use harness::host::live::LiveHost;
use harness::host::simulated::SimulatedHost;
use harness::host::simulated::hardware::Hardware;
use harness::host::simulated::script::{KindId, PhaseKind, Script, ScriptedGuest, Stretch};
use harness::host::simulated::sharing::Sharing;
use harness::host::{Arrival, Host, HostError, MoveOutcome, Observation};
use predictor::contention::Contention;
use predictor::counters::{Event, GuestId, Reading, Sample, VcpuId};
use predictor::placement::{Move, Placement};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use tests::bench::{Bench, kernel, small_machine};
use tests::live::{self, KvmGuest, has_two_cpus};

const QUANTUM: Duration = Duration::from_millis(1);

/// The clock of every host here.
const CYCLES_PER_QUANTUM: f64 = 2_000_000.0;

/// A host under examination: three vCPUs, two in domain 0, one in domain 1, both domains with room for two. Every step
/// is held against what all samples must be, and followed by its own picture of who runs where.
struct Examined<'a> {
    host: &'a mut dyn Host,
    placement: Placement,
}

type Claim = fn(&mut Examined<'_>);

/// Every claim leaves the vCPUs where it found them, so that they can be checked in any order.
const CLAIMS: [(&str, Claim); 9] = [
    ("a move is done, and the next sample stands in the new domain", a_move_is_done),
    ("a full domain refuses", a_full_domain_refuses),
    ("two full domains can swap", full_domains_can_swap),
    ("an unknown vCPU is refused", an_unknown_vcpu_is_refused),
    ("an unknown domain is refused", an_unknown_domain_is_refused),
    ("a move from where the vCPU is not is refused", a_wrong_origin_is_refused),
    ("a second move of one vCPU in a batch is refused", a_second_move_is_refused),
    ("a batch without moves is answered with nothing", an_empty_batch_is_answered),
    ("what can be done is done beside what is refused", refusals_do_not_spread),
];

impl<'a> Examined<'a> {
    /// The first quantum: everybody arrives where the first samples stand.
    fn begin(host: &'a mut dyn Host) -> Self {
        let seen = host.advance(QUANTUM).unwrap_or_else(|error| panic!("{error}"));
        let placement = Placement(seen.arrivals.iter().map(|arrival| (arrival.vcpu, arrival.domain)).collect());
        assert_eq!(placement.0.len(), 3, "the first quantum reports who was there from the start");
        assert!(seen.departures.is_empty());
        let examined = Self { host, placement };
        examined.check(&seen);
        examined
    }

    fn step(&mut self) {
        let seen = self.host.advance(QUANTUM).unwrap_or_else(|error| panic!("{error}"));
        assert!(seen.arrivals.is_empty() && seen.departures.is_empty(), "nobody comes and nobody goes: {seen:?}");
        self.check(&seen);
    }

    fn check(&self, seen: &Observation) {
        let placed: BTreeMap<VcpuId, DomainId> = seen.samples.iter().map(|s| (s.vcpu, s.domain)).collect();
        assert_eq!(placed, self.placement.0, "each vCPU has a sample, in the domain where it was put");
        assert_eq!(placed.len(), seen.samples.len(), "no vCPU has two samples");
        assert!(seen.samples.is_sorted_by_key(|sample| sample.vcpu), "samples stand in the order of ids");
        for sample in &seen.samples {
            self.check_sample(sample);
        }
    }

    fn check_sample(&self, sample: &Sample) {
        let elapsed = sample.elapsed.as_secs_f64() / QUANTUM.as_secs_f64();
        assert!((0.99..=1.01).contains(&elapsed), "{}: the quantum is {elapsed} of what was asked", sample.vcpu);
        for (event, reading) in sample.readings.iter() {
            let claimed = self.host.events().contains(&event);
            let name = event.name();
            assert_eq!(reading != Reading::Absent, claimed, "{}: {name} is counted iff the host says so", sample.vcpu);
        }
        let count = |event| sample.count(event).map(|count| count as f64);
        if let (Some(cycles), Some(idle)) = (count(Event::Cycles), count(Event::IdleCycles)) {
            let share = (cycles + idle) / CYCLES_PER_QUANTUM;
            assert!((0.99..=1.01).contains(&share), "{}: busy and idle cycles are {share} of all", sample.vcpu);
        }
        if let (Some(all), Some(kernel)) = (count(Event::Instructions), count(Event::KernelInstructions)) {
            assert!(kernel <= all, "{}: the kernel's instructions are among all", sample.vcpu);
        }
        if let (Some(references), Some(misses)) = (count(Event::LlcReferences), count(Event::LlcMisses)) {
            assert!(misses <= references, "{}: LLC misses are among its references", sample.vcpu);
        }
    }

    /// Asks for moves and follows those that are done. Says of each whether it was refused.
    fn ask(&mut self, moves: &[Move]) -> Vec<bool> {
        let outcomes = self.host.apply(moves).unwrap_or_else(|error| panic!("{error}"));
        let requests: Vec<Move> = outcomes.iter().map(|outcome| outcome.requested).collect();
        assert_eq!(requests, moves, "every request is answered, in order");
        for MoveOutcome { requested, refusal } in &outcomes {
            match refusal {
                None => drop(self.placement.0.insert(requested.vcpu, requested.to)),
                Some(reason) => assert!(!reason.is_empty(), "a refusal says why"),
            }
        }
        outcomes.iter().map(|outcome| outcome.refusal.is_some()).collect()
    }
}

fn vcpu(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

fn request(guest: u32, from: u32, to: u32) -> Move {
    Move { vcpu: vcpu(guest), from: DomainId(from), to: DomainId(to) }
}

fn a_move_is_done(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(1, 0, 1)]), [false]);
    host.step();
    assert_eq!(host.ask(&[request(1, 1, 0)]), [false]);
    host.step();
}

fn a_full_domain_refuses(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(2, 1, 0)]), [true]);
    host.step();
}

fn full_domains_can_swap(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(0, 0, 1), request(2, 1, 0)]), [false, false]);
    host.step();
    assert_eq!(host.ask(&[request(0, 1, 0), request(2, 0, 1)]), [false, false]);
    host.step();
}

fn an_unknown_vcpu_is_refused(host: &mut Examined<'_>) {
    let second = Move { vcpu: VcpuId { guest: GuestId(0), index: 1 }, from: DomainId(0), to: DomainId(1) };
    assert_eq!(host.ask(&[request(99, 0, 1), second]), [true, true]);
    host.step();
}

fn an_unknown_domain_is_refused(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(0, 0, 2), request(1, 0, u32::MAX)]), [true, true]);
    host.step();
}

fn a_wrong_origin_is_refused(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(2, 0, 1)]), [true]);
    host.step();
}

fn a_second_move_is_refused(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(0, 0, 1), request(0, 0, 1)]), [false, true]);
    host.step();
    assert_eq!(host.ask(&[request(0, 1, 0)]), [false]);
}

fn an_empty_batch_is_answered(host: &mut Examined<'_>) {
    assert!(host.ask(&[]).is_empty());
    host.step();
}

fn refusals_do_not_spread(host: &mut Examined<'_>) {
    assert_eq!(host.ask(&[request(1, 0, 1), request(77, 0, 1)]), [false, true]);
    host.step();
    assert_eq!(host.ask(&[request(1, 1, 0)]), [false]);
    host.step();
}

fn check_laws(host: &mut dyn Host) {
    let mut examined = Examined::begin(host);
    for (claim, check) in CLAIMS {
        eprintln!("law: {claim}");
        check(&mut examined);
    }
}

fn simulated() -> SimulatedHost {
    let domain = |id: u32| LlcDomain {
        id: DomainId(id),
        node: NodeId(0),
        cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)],
        llc_bytes: None,
    };
    let kind = |idle_share| PhaseKind {
        name: "plain".to_owned(),
        cycles_per_instruction: 1.3,
        stall_share: 0.5,
        footprint_share: 1.0,
        idle_share,
        kernel_share: 0.1,
        loads: 300.0,
        stores: 100.0,
        l1_misses: 30.0,
        llc_references: 20.0,
        llc_miss_ratio: 0.3,
        profile: None,
    };
    let guest = |domain| ScriptedGuest {
        name: format!("of domain {domain}"),
        vcpus: 1,
        domain: DomainId(domain),
        cpu: None,
        stretches: [0, 1].map(|kind| Stretch { kind: KindId(kind), instructions: 700_000, truth: None }).into(),
        arrives: Duration::ZERO,
        departs: None,
    };
    let mut events: std::collections::BTreeSet<Event> = Event::ALL.into();
    events.remove(&Event::WriteBacks);
    let script = Script {
        hardware: Hardware {
            topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
            cores: Vec::new(),
            frequency_hz: 2_000_000_000,
            sibling_slowdown: 1.6,
            remote_share: 0.5,
            refill_cycles: 50_000,
            contention: Contention::additive(5.0, Some(4.0)),
        },
        events,
        kinds: vec![kind(0.0), kind(0.7)],
        sharing: Sharing::Table([((KindId(0), KindId(0)), 0.4)].into()),
        guests: [0, 0, 1].map(guest).into(),
        noise: 0.05,
    };
    SimulatedHost::new(script, 1).expect("a sound script")
}

#[test]
fn the_simulated_host_keeps_the_laws() {
    check_laws(&mut simulated());
}

/// The same on two nodes, with two hardware threads in each core and slowdowns from the contention model.
fn threaded() -> SimulatedHost {
    let mut script = simulated().script().clone();
    let mut domains = script.hardware.topology.domains().to_vec();
    domains[1].node = NodeId(1);
    script.hardware.topology = Topology::new(domains).expect("sound");
    script.hardware.cores = vec![vec![CpuId(0), CpuId(1)], vec![CpuId(2), CpuId(3)]];
    script.sharing = Sharing::Model;
    SimulatedHost::new(script, 1).expect("a sound script")
}

#[test]
fn a_simulated_host_with_hardware_threads_and_nodes_keeps_the_laws() {
    check_laws(&mut threaded());
}

#[test]
fn a_host_that_tells_of_the_future_keeps_the_laws() {
    check_laws(&mut ForetoldHost::new(threaded(), Foresight::PERFECT, 1));
}

#[test]
fn a_faulty_host_keeps_the_laws_between_its_faults() {
    check_laws(&mut FaultyHost::new(simulated(), FaultPlan::default()));
}

#[test]
fn a_host_that_refuses_leaves_everybody_where_they_are() {
    let plan = FaultPlan { apply: [(1, ApplyFault::Refuse)].into(), ..FaultPlan::default() };
    let mut host = FaultyHost::new(simulated(), plan);
    let mut examined = Examined::begin(&mut host);
    assert_eq!(examined.ask(&[request(1, 0, 1), request(2, 1, 0)]), [true, true]);
    examined.step();
}

/// Guests for hosts that have them.
fn three_guests() -> [GuestPlan; 3] {
    let compute = "blackscholes --size 64KiB --instructions 10G";
    [kernel("one", compute, 0), kernel("two", "chase --size 768KiB --instructions 10G", 1), kernel("three", compute, 2)]
}

#[test]
fn the_emulated_host_keeps_the_laws() {
    let Some(bench) = Bench::take() else { return };
    check_laws(&mut bench.launch(&small_machine(), &three_guests()));
}

/// A live host whose vCPUs were put where the laws want them before they look: arrivals are told when that is done.
struct Settled {
    host: LiveHost,
    arrivals: Vec<Arrival>,
}

impl Settled {
    fn begin(mut host: LiveHost) -> Self {
        let seen = host.advance(LIVE_QUANTUM).unwrap_or_else(|error| panic!("{error}"));
        let targets = [0, 0, 1].map(DomainId);
        let moves = seen.samples.iter().zip(targets);
        let moves: Vec<Move> = moves.map(|(seen, to)| Move { vcpu: seen.vcpu, from: seen.domain, to }).collect();
        let outcomes = host.apply(&moves).unwrap_or_else(|error| panic!("{error}"));
        assert!(outcomes.iter().all(|outcome| outcome.refusal.is_none()), "{outcomes:?}");
        let mut arrivals = seen.arrivals;
        arrivals.iter_mut().zip(targets).for_each(|(arrival, to)| arrival.domain = to);
        Self { host, arrivals }
    }
}

impl Host for Settled {
    fn topology(&self) -> &Topology {
        self.host.topology()
    }

    fn events(&self) -> &std::collections::BTreeSet<Event> {
        self.host.events()
    }

    fn advance(&mut self, _: Duration) -> Result<Observation, HostError> {
        // The laws' quantum is of a virtual clock; of a wall clock it would be lost in noise.
        let mut seen = self.host.advance(LIVE_QUANTUM)?;
        seen.arrivals.append(&mut self.arrivals);
        for sample in &mut seen.samples {
            // Whoever is late for one quantum on a busy machine has less of the next.
            assert!(sample.elapsed > Duration::ZERO, "{:?}", sample.elapsed);
            sample.elapsed = QUANTUM;
        }
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        self.host.apply(moves)
    }
}

const LIVE_QUANTUM: Duration = Duration::from_millis(10);

/// No test: what the live host's guests run. See [`tests::live::kvm`].
#[test]
fn kvm_guest() {
    live::kvm::play();
}

#[test]
fn the_live_host_keeps_the_laws() {
    let start = |name| KvmGuest::start("qemu", "half", 1, name);
    let (Some(one), Some(two), Some(three)) = (start("one"), start("two"), start("three")) else { return };
    if !has_two_cpus() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let host = LiveHost::new(live::settings(folder.path(), &[&one, &two, &three])).expect("a live host");
    check_laws(&mut Settled::begin(host));
}

#[test]
fn the_replayed_host_keeps_the_laws() {
    let Some(bench) = Bench::take() else { return };
    check_laws(&mut bench.replay(&small_machine(), &three_guests(), 10));
}
