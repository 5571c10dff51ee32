//! The best run on a host small enough to try everything.

use std::collections::BTreeSet;

use predictor::counters::{GuestId, Reading, Readings, Sample};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

use super::*;
use crate::host::{MoveOutcome, Observation};
use crate::report::collected::Series;

const QUANTUM: Duration = Duration::from_millis(1);
/// Instructions of a quantum that nothing disturbs.
const WHOLE: u64 = 1000;
/// What a move loses of the next quantum's.
const LOST: u64 = 100;

/// Four guests on two domains of two CPUs. A guest is slowed to half where its neighbour presses; who presses is told by
/// quantum.
#[derive(Debug, Clone)]
struct Small {
    topology: Topology,
    events: BTreeSet<Event>,
    placement: Placement,
    cold: BTreeSet<VcpuId>,
    pressing: &'static [[bool; 4]],
    now: usize,
}

fn vcpu(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

impl Small {
    fn new(pressing: &'static [[bool; 4]], placement: &Placement) -> Self {
        let domain = |id: u32| LlcDomain {
            id: DomainId(id),
            node: NodeId(0),
            cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)],
            llc_bytes: None,
        };
        Self {
            topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
            events: BTreeSet::from([Event::Instructions]),
            placement: placement.clone(),
            cold: BTreeSet::new(),
            pressing,
            now: 0,
        }
    }
}

impl Host for Small {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.events
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        let pressing = self.pressing[self.now];
        let sample = |(vcpu, domain): (&VcpuId, &DomainId)| {
            let disturbed =
                self.placement.members(*domain).any(|other| other != *vcpu && pressing[other.guest.0 as usize]);
            let done = if disturbed { WHOLE / 2 } else { WHOLE } - if self.cold.contains(vcpu) { LOST } else { 0 };
            let readings = Readings::new([(Event::Instructions, Reading::Exact(done))]);
            Sample { vcpu: *vcpu, domain: *domain, elapsed: quantum, readings, address_space: None, truth: None }
        };
        let samples = self.placement.0.iter().map(sample).collect();
        self.cold.clear();
        self.now += 1;
        Ok(Observation { samples, ..Observation::default() })
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        for change in moves {
            self.placement.0.insert(change.vcpu, change.to);
            self.cold.insert(change.vcpu);
        }
        Ok(moves.iter().map(|requested| MoveOutcome { requested: *requested, refusal: None }).collect())
    }
}

fn alone(quanta: usize) -> Vec<Progress> {
    let series = Series {
        elapsed_ns: vec![QUANTUM.as_nanos() as u64; quanta],
        instructions: vec![Some(WHOLE); quanta],
        ..Series::default()
    };
    vec![Progress::of(&series); 4]
}

fn arranged() -> Vec<Arrangement> {
    let host = Small::new(&[], &Placement::default());
    arrangements::all(&[0, 1, 2, 3].map(vcpu), &host.topology, 10).expect("three")
}

fn best_of(pressing: &'static [[bool; 4]]) -> Best {
    let begin = |placement: &Placement| Ok::<_, OracleError>(Small::new(pressing, placement));
    let length = (pressing.len() as u64, QUANTUM);
    best(&arranged(), &begin, &alone(pressing.len()), length, &Interrupt::default()).expect("nothing fails")
}

/// The most work that any sequence of arrangements does.
fn exhaustively(pressing: &'static [[bool; 4]]) -> f64 {
    let arranged = arranged();
    let mut ends: Vec<(Small, Placement, f64)> = Vec::new();
    for arrangement in &arranged {
        ends.push((Small::new(pressing, arrangement.first()), arrangement.first().clone(), 0.0));
    }
    for quantum in 0..pressing.len() {
        let mut next = Vec::new();
        for (host, placement, done) in &ends {
            let ways: Vec<Vec<Move>> = match quantum {
                0 => vec![Vec::new()],
                _ => arranged.iter().flat_map(|arrangement| arrangement.ways_from(placement)).collect(),
            };
            for way in ways {
                let (mut host, mut placement) = (host.clone(), placement.clone());
                host.apply(&way).expect("never refused");
                placement.0.extend(way.iter().map(|change| (change.vcpu, change.to)));
                let samples = host.advance(QUANTUM).expect("never fails").samples;
                let more: u64 = samples.iter().filter_map(|sample| sample.count(Event::Instructions)).sum();
                next.push((host, placement, done + more as f64));
            }
        }
        ends = next;
    }
    ends.into_iter().map(|(_, _, done)| done).fold(0.0, f64::max)
}

#[test]
fn it_gets_as_far_as_the_best_of_all_sequences() {
    const PRESSING: [&[[bool; 4]]; 3] = [
        &[
            [true, true, false, false],
            [true, true, false, false],
            [true, false, true, false],
            [true, false, true, false],
        ],
        &[
            [true, false, false, true],
            [false, true, true, false],
            [true, true, false, false],
            [true, false, false, true],
        ],
        &[[false; 4], [true; 4], [false, false, true, true], [false; 4]],
    ];
    for pressing in PRESSING {
        assert_eq!(best_of(pressing).instructions.iter().sum::<f64>(), exhaustively(pressing), "{pressing:?}");
    }
}

#[test]
fn it_does_not_move_for_a_gain_that_is_gone_before_it_pays() {
    // Who presses changes for good after one quantum: one exchange at most, and none forth and back.
    let lasting = best_of(&[
        [true, true, false, false],
        [true, false, true, false],
        [true, false, true, false],
        [true, false, true, false],
    ]);
    assert!(lasting.moves <= 2, "{lasting:?}");
    let calm = best_of(&[[false; 4]; 5]);
    assert_eq!((calm.moves, calm.instructions), (0, vec![5.0 * WHOLE as f64; 4]));
}

#[test]
fn a_request_to_stop_is_heard() {
    let interrupt = Interrupt::default();
    interrupt.request();
    let begin = |placement: &Placement| Ok::<_, OracleError>(Small::new(&[[false; 4]; 3], placement));
    let stopped = best(&arranged(), &begin, &alone(3), (3, QUANTUM), &interrupt);
    assert!(matches!(stopped, Err(OracleError::Interrupted(_))));
}
