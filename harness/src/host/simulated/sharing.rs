//! By how much the vCPUs of one LLC domain slow each other down, by the kinds of phases they are in: from a table of pairs,
//! or from the contention model and what each kind does alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use predictor::contention::{Calibration, Contention, Demand, Slowdown};

use super::script::{KindId, PhaseKind};

/// Answers of the model that are kept.
const MOST_KNOWN: usize = 4096;

/// Where slowdowns in a shared cache come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Sharing {
    /// By how much a kind (first) is slowed down by one neighbour of a kind (second): 0.5 means half as long again.
    /// Neighbours add up; a pair that is not listed does not interfere.
    Table(BTreeMap<(KindId, KindId), f64>),
    /// What the contention model says of the kinds' profiles, on the hardware's caches and memory.
    Model,
}

/// One vCPU of a domain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    pub(super) kind: KindId,
    /// Its CPU: who shares it is never there at the same time.
    pub(super) cpu: usize,
    /// The share of time that it has the CPU.
    pub(super) share: f64,
}

/// [`Sharing`], ready for use.
#[derive(Debug, Clone)]
pub(super) enum Shares {
    /// A row for each victim.
    Table {
        kinds: usize,
        extra: Vec<f64>,
    },
    Model(Box<Model>),
}

/// The contention model, and what it said of those who met before.
#[derive(Debug, Clone)]
pub(super) struct Model {
    contention: Contention,
    demands: Vec<Demand>,
    /// By the kinds of all members, ascending; copies of a host share it, since the model says the same to all.
    known: Arc<Mutex<BTreeMap<Vec<KindId>, Vec<f64>>>>,
    kinds: Vec<KindId>,
    asked: Vec<Demand>,
    answer: Vec<Slowdown>,
}

impl Shares {
    pub(super) fn new(sharing: &Sharing, kinds: &[PhaseKind], contention: &Contention) -> Self {
        match sharing {
            Sharing::Table(table) => {
                let mut extra = vec![0.0; kinds.len() * kinds.len()];
                for ((victim, neighbour), more) in table {
                    extra[victim.0 * kinds.len() + neighbour.0] = *more;
                }
                Shares::Table { kinds: kinds.len(), extra }
            }
            Sharing::Model => {
                let demand = |kind: &PhaseKind| contention.demand(&kind.pressure(), &Calibration::default());
                Shares::Model(Box::new(Model {
                    contention: *contention,
                    demands: kinds.iter().map(demand).collect(),
                    known: Arc::default(),
                    kinds: Vec::new(),
                    asked: Vec::new(),
                    answer: Vec::new(),
                }))
            }
        }
    }

    /// The slowdown of each of `members` beside the others, at least 1, into `slowdowns`.
    pub(super) fn slowdowns(&mut self, members: &[Member], slowdowns: &mut Vec<f64>) {
        slowdowns.clear();
        match self {
            Shares::Table { kinds, extra } => slowdowns.extend(members.iter().map(|own| {
                let row = &extra[own.kind.0 * *kinds..][..*kinds];
                let others = members.iter().filter(|other| other.cpu != own.cpu);
                1.0 + others.map(|other| other.share * row[other.kind.0]).sum::<f64>()
            })),
            Shares::Model(model) if members.iter().all(|member| member.share >= 1.0) => {
                model.together(members, slowdowns);
            }
            Shares::Model(model) => {
                slowdowns.extend(members.iter().map(|own| model.taking_turns(own, members)));
            }
        }
    }
}

impl Model {
    /// Everybody is there all the time: what was said of these kinds once holds again.
    fn together(&mut self, members: &[Member], slowdowns: &mut Vec<f64>) {
        self.kinds.clear();
        self.kinds.extend(members.iter().map(|member| member.kind));
        self.kinds.sort_unstable();
        let mut known = self.known.lock().expect("no holder panics");
        if !known.contains_key(&self.kinds) {
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            self.asked.clear();
            self.asked.extend(self.kinds.iter().map(|kind| self.demands[kind.0]));
            self.contention.slowdowns(&self.asked, &mut self.answer);
            known.insert(self.kinds.clone(), self.answer.iter().map(|slowdown| slowdown.0).collect());
        }
        let known = &known[&self.kinds];
        // Members of one kind are slowed alike.
        slowdowns.extend(members.iter().map(|member| known[self.kinds.partition_point(|kind| *kind < member.kind)]));
    }

    /// Some are there for a part of the time, and never with those on their own CPU.
    fn taking_turns(&mut self, own: &Member, members: &[Member]) -> f64 {
        self.asked.clear();
        let others = members.iter().filter(|other| other.cpu != own.cpu);
        self.asked.extend(others.map(|other| at(other.share, self.demands[other.kind.0])));
        self.contention.slowdown(&self.demands[own.kind.0], &self.asked).0
    }
}

/// What is asked for by somebody who is there for a share of the time.
fn at(share: f64, demand: Demand) -> Demand {
    if share >= 1.0 {
        return demand;
    }
    Demand {
        references_per_cycle: share * demand.references_per_cycle,
        bytes_per_cycle: share * demand.bytes_per_cycle,
        misses_per_cycle: share * demand.misses_per_cycle,
        ..demand
    }
}
