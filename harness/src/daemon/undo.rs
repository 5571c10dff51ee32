//! Hosts on which everything that was done can be undone, and the gate that decides whether anything is done at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use predictor::counters::{Event, VcpuId};
use predictor::placement::Move;
use predictor::topology::{DomainId, Topology};

use crate::host::live::LiveHost;
use crate::host::{Host, HostError, MoveOutcome, Observation};
use crate::journal::note::Mode;
use crate::resctrl::GuestUse;

/// What became of giving placement back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenBack {
    /// How many were given back.
    pub vcpus: usize,
    /// Who may still be where we put them, and why.
    pub failures: Vec<String>,
}

/// A host that knows how it was found.
pub trait Undoable: Host {
    /// Gives every vCPU the freedom it had before it was first moved.
    fn give_back(&mut self) -> GivenBack;

    /// What could not be seen or done since this was last asked, as sentences with what would help.
    fn news(&mut self) -> Vec<String>;

    /// What each guest uses of the shared caches, where the host is told.
    fn cache_use(&self) -> Vec<GuestUse>;
}

impl Undoable for LiveHost {
    fn give_back(&mut self) -> GivenBack {
        let report = self.give_back_all();
        let failures: Vec<String> =
            report.failures().map(|thread| format!("{}: {:?}", thread.comm, thread.outcome)).collect();
        GivenBack { vcpus: report.threads.len() - failures.len(), failures }
    }

    fn news(&mut self) -> Vec<String> {
        self.take_notices().iter().map(ToString::to_string).collect()
    }

    fn cache_use(&self) -> Vec<GuestUse> {
        self.cache_use()
    }
}

/// Makes any host undoable: whoever was moved goes back to the domain in which it was found.
#[derive(Debug)]
pub struct Returning<Inner> {
    inner: Inner,
    found: BTreeMap<VcpuId, DomainId>,
    now: BTreeMap<VcpuId, DomainId>,
}

impl<Inner: Host> Returning<Inner> {
    /// Of `inner`, as it is found from now on.
    pub const fn new(inner: Inner) -> Self {
        Self { inner, found: BTreeMap::new(), now: BTreeMap::new() }
    }

    /// The host itself.
    pub const fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Who is not where it was found.
    #[must_use]
    pub fn displaced(&self) -> Vec<VcpuId> {
        self.way_back().iter().map(|back| back.vcpu).collect()
    }

    fn way_back(&self) -> Vec<Move> {
        let back = |(vcpu, from): (&VcpuId, &DomainId)| {
            let to = *self.found.get(vcpu)?;
            (to != *from).then_some(Move { vcpu: *vcpu, from: *from, to })
        };
        self.now.iter().filter_map(back).collect()
    }
}

impl<Inner: Host> Host for Returning<Inner> {
    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.inner.events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        let seen = self.inner.advance(quantum)?;
        for arrival in &seen.arrivals {
            self.found.insert(arrival.vcpu, arrival.domain);
            self.now.insert(arrival.vcpu, arrival.domain);
        }
        for gone in &seen.departures {
            self.found.remove(gone);
            self.now.remove(gone);
        }
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        let outcomes = self.inner.apply(moves)?;
        let done = outcomes.iter().filter(|outcome| outcome.refusal.is_none());
        self.now.extend(done.map(|outcome| (outcome.requested.vcpu, outcome.requested.to)));
        Ok(outcomes)
    }
}

impl<Inner: Host> Undoable for Returning<Inner> {
    fn give_back(&mut self) -> GivenBack {
        let back = self.way_back();
        if back.is_empty() {
            return GivenBack::default();
        }
        match self.apply(&back) {
            Ok(outcomes) => {
                let refused =
                    outcomes.iter().filter_map(|outcome| Some((outcome.requested.vcpu, outcome.refusal.as_ref()?)));
                let failures: Vec<String> = refused.map(|(vcpu, why)| format!("{vcpu}: {why}")).collect();
                GivenBack { vcpus: back.len() - failures.len(), failures }
            }
            Err(error) => {
                GivenBack { vcpus: 0, failures: back.iter().map(|back| format!("{}: {error}", back.vcpu)).collect() }
            }
        }
    }

    fn news(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn cache_use(&self) -> Vec<GuestUse> {
        Vec::new()
    }
}

/// A host whose moves are made in one mode only; in the others each is refused by name of the mode.
pub(super) struct Gate<'a> {
    pub(super) host: &'a mut dyn Undoable,
    pub(super) mode: Mode,
}

impl Host for Gate<'_> {
    fn topology(&self) -> &Topology {
        self.host.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.host.events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        self.host.advance(quantum)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        if self.mode == Mode::Acting {
            return self.host.apply(moves);
        }
        let refusal = format!("{}: nobody is moved", self.mode.name());
        Ok(moves.iter().map(|request| MoveOutcome { requested: *request, refusal: Some(refusal.clone()) }).collect())
    }
}
