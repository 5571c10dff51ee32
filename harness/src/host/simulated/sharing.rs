//! By how much the vCPUs of one LLC domain slow each other down, by the kinds of phases they are in: from a table of pairs,
//! or from the contention model and what each kind does alone.

use std::collections::BTreeMap;

use predictor::contention::{Calibration, Contention, Demand};

use super::script::{KindId, PhaseKind};

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
    Model {
        contention: Contention,
        demands: Vec<Demand>,
        neighbours: Vec<Demand>,
    },
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
                let demands = kinds.iter().map(demand).collect();
                Shares::Model { contention: *contention, demands, neighbours: Vec::new() }
            }
        }
    }

    /// The slowdown of each of `members` beside the others, at least 1, into `slowdowns`.
    pub(super) fn slowdowns(&mut self, members: &[Member], slowdowns: &mut Vec<f64>) {
        slowdowns.clear();
        for (place, own) in members.iter().enumerate() {
            let others = members.iter().enumerate().filter(|(other, member)| *other != place && member.cpu != own.cpu);
            slowdowns.push(match self {
                Shares::Table { kinds, extra } => {
                    let row = &extra[own.kind.0 * *kinds..][..*kinds];
                    1.0 + others.map(|(_, other)| other.share * row[other.kind.0]).sum::<f64>()
                }
                Shares::Model { contention, demands, neighbours } => {
                    neighbours.clear();
                    neighbours.extend(others.map(|(_, other)| at(other.share, demands[other.kind.0])));
                    contention.slowdown(&demands[own.kind.0], neighbours.iter()).0
                }
            });
        }
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
        ..demand
    }
}
