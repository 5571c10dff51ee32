//! A host that misbehaves where it is told to, around any other: for showing that whatever stands above the seam
//! survives a host that fails, loses samples, reports late or refuses.
//!
//! Calls are counted from 1, separately for `advance` and `apply`. Between faults the wrapped host shines through
//! unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use predictor::counters::{Event, Readings, Sample};
use predictor::placement::Move;
use predictor::topology::Topology;

use super::{Host, HostError, MoveOutcome, Observation};

/// What goes wrong with one call of `advance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvanceFault {
    /// The host fails; time does not pass.
    Fail,
    /// Time passes, but no sample arrives.
    LoseSamples,
    /// Every sample arrives with every counter absent.
    LoseReadings,
    /// The samples are those of the call before; those of this one are lost.
    Delay,
}

/// What goes wrong with one call of `apply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyFault {
    /// The host fails; nothing moves.
    Fail,
    /// Every move is refused.
    Refuse,
}

/// Which calls go wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// By the number of the `advance` call, from 1.
    pub advance: BTreeMap<u64, AdvanceFault>,
    /// By the number of the `apply` call, from 1.
    pub apply: BTreeMap<u64, ApplyFault>,
}

/// A host with planned faults.
#[derive(Debug)]
pub struct FaultyHost<Inner> {
    inner: Inner,
    plan: FaultPlan,
    advances: u64,
    applies: u64,
    last_samples: Vec<Sample>,
}

impl<Inner: Host> FaultyHost<Inner> {
    /// `inner`, going wrong as `plan` says.
    pub fn new(inner: Inner, plan: FaultPlan) -> Self {
        Self { inner, plan, advances: 0, applies: 0, last_samples: Vec::new() }
    }
}

impl<Inner: Host> Host for FaultyHost<Inner> {
    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.inner.events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        self.advances += 1;
        let fault = self.plan.advance.get(&self.advances).copied();
        if fault == Some(AdvanceFault::Fail) {
            return Err(planned(format!("let a quantum pass (call {})", self.advances)));
        }
        let mut seen = self.inner.advance(quantum)?;
        let true_samples = seen.samples.clone();
        match fault {
            None | Some(AdvanceFault::Fail) => {}
            Some(AdvanceFault::LoseSamples) => seen.samples.clear(),
            Some(AdvanceFault::LoseReadings) => {
                seen.samples.iter_mut().for_each(|sample| sample.readings = Readings::default());
            }
            Some(AdvanceFault::Delay) => seen.samples = std::mem::take(&mut self.last_samples),
        }
        self.last_samples = true_samples;
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        self.applies += 1;
        let refusal =
            |request: &Move| MoveOutcome { requested: *request, refusal: Some("a planned refusal".to_owned()) };
        match self.plan.apply.get(&self.applies) {
            None => self.inner.apply(moves),
            Some(ApplyFault::Refuse) => Ok(moves.iter().map(refusal).collect()),
            Some(ApplyFault::Fail) => Err(planned(format!("apply {} moves (call {})", moves.len(), self.applies))),
        }
    }
}

fn planned(action: String) -> HostError {
    HostError { action, reason: "a planned fault; take it out of the plan".to_owned() }
}

#[cfg(test)]
mod tests {
    use predictor::counters::{GuestId, Reading, VcpuId};
    use predictor::topology::DomainId;

    use super::*;

    /// Counts its own calls into the samples it gives.
    struct Counter {
        topology: Topology,
        events: BTreeSet<Event>,
        calls: u64,
    }

    impl Host for Counter {
        fn topology(&self) -> &Topology {
            &self.topology
        }

        fn events(&self) -> &BTreeSet<Event> {
            &self.events
        }

        fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
            self.calls += 1;
            let sample = Sample {
                vcpu: VcpuId { guest: GuestId(0), index: 0 },
                domain: DomainId(0),
                elapsed: quantum,
                readings: Readings::new([(Event::Instructions, Reading::Exact(self.calls))]),
                address_space: None,
                truth: None,
            };
            Ok(Observation { samples: vec![sample], ..Observation::default() })
        }

        fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
            Ok(moves.iter().map(|request| MoveOutcome { requested: *request, refusal: None }).collect())
        }
    }

    fn seen(advance: &[(u64, AdvanceFault)]) -> Vec<String> {
        let domain = predictor::topology::LlcDomain {
            id: DomainId(0),
            node: predictor::topology::NodeId(0),
            cpus: vec![predictor::topology::CpuId(0)],
            llc_bytes: None,
        };
        let topology = Topology::new(vec![domain]).expect("sound");
        let inner = Counter { topology, events: BTreeSet::from([Event::Instructions]), calls: 0 };
        let plan = FaultPlan { advance: advance.iter().copied().collect(), apply: BTreeMap::new() };
        let mut host = FaultyHost::new(inner, plan);
        let mut describe = || match host.advance(Duration::from_millis(1)) {
            Err(error) => error.to_string(),
            Ok(seen) => format!("{:?}", seen.samples.iter().map(|s| s.count(Event::Instructions)).collect::<Vec<_>>()),
        };
        (0..4).map(|_| describe()).collect()
    }

    #[test]
    fn without_a_fault_the_wrapped_host_shines_through() {
        assert_eq!(seen(&[]), ["[Some(1)]", "[Some(2)]", "[Some(3)]", "[Some(4)]"]);
    }

    #[test]
    fn each_fault_hits_its_call_and_no_other() {
        assert_eq!(
            seen(&[(2, AdvanceFault::Fail)])[1..3],
            ["failed to let a quantum pass (call 2): a planned fault; take it out of the plan", "[Some(2)]"]
        );
        assert_eq!(seen(&[(2, AdvanceFault::LoseSamples)]), ["[Some(1)]", "[]", "[Some(3)]", "[Some(4)]"]);
        assert_eq!(seen(&[(2, AdvanceFault::LoseReadings)]), ["[Some(1)]", "[None]", "[Some(3)]", "[Some(4)]"]);
        assert_eq!(seen(&[(2, AdvanceFault::Delay)]), ["[Some(1)]", "[Some(1)]", "[Some(3)]", "[Some(4)]"]);
    }
}
