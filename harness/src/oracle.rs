//! The best that placement could have done: what every policy is measured against.
//!
//! # Problem
//!
//! Which sequence of placements, one for each quantum, gets the guests furthest, when what they will do and how they slow
//! each other down is known, and every move costs what it costs?
//!
//! # Method
//!
//! A host that can be cloned answers what would happen. Survivors, as in Viterbi's algorithm: for each arrangement of the
//! guests ([`arrangements`]) keep the one host that has got furthest among all that end the quantum in it.
//!
//! ```text
//! survivors = one fresh host for each arrangement
//! for each quantum:
//!     for each arrangement:
//!         for each survivor, and each way to come from it to the arrangement with the fewest moves:
//!             clone the survivor, move, let the quantum pass
//!         keep the clone that is furthest
//! answer the survivor that is furthest
//! ```
//!
//! *Furthest* is the sum over guests of the time that each would have taken alone for what it has done; over the time that
//! has passed it is the mix's throughput (STP). Contention and the cost of moves are not estimated: the clone has really
//! played them. A model is nowhere in it.
//!
//! # What it is not
//!
//! A proof: the best sequence may pass through a host that was not the furthest at the time. It is at least as good as the
//! best static placement only as far as that is no obstacle, and its start is free: it begins in any arrangement without
//! a move. Both make the yardstick a little longer or shorter than the truth, by less than differences that matter here; a
//! test compares it with all sequences on a short run.

pub mod arrangements;

use std::time::Duration;

use predictor::counters::{Event, VcpuId};
use predictor::placement::{Move, Placement};

use self::arrangements::Arrangement;
use crate::host::{Host, HostError};
use crate::interrupt::{Interrupt, Interrupted};
use crate::report::metrics::Progress;

/// Why there is no best.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// A host could not go on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Somebody asked for it.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// How the best run went.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Instructions of each guest, in the order of their ids.
    pub instructions: Vec<f64>,
    /// How many times a vCPU moved.
    pub moves: u64,
    /// In which arrangement each quantum was spent.
    pub path: Vec<usize>,
}

/// A host on the way, and how it came there.
#[derive(Clone)]
struct Survivor<H> {
    host: H,
    placement: Placement,
    best: Best,
}

/// The best run over `quanta` quanta. `begin` makes a fresh host whose guests stand in a given placement; `alone` is what
/// each guest does alone, in the order of their ids, one vCPU each.
pub fn best<H: Host + Clone, E: From<OracleError>>(
    arrangements: &[Arrangement],
    begin: &dyn Fn(&Placement) -> Result<H, E>,
    alone: &[Progress],
    length: (u64, Duration),
    interrupt: &Interrupt,
) -> Result<Best, E> {
    let (quanta, quantum) = length;
    let fresh = |place: usize| -> Result<Survivor<H>, E> {
        let placement = arrangements[place].first().clone();
        let best = Best { instructions: vec![0.0; alone.len()], moves: 0, path: Vec::new() };
        let survivor = Survivor { host: begin(&placement)?, placement, best };
        Ok(survivor.after(&[], place, quantum)?)
    };
    let mut survivors = (0..arrangements.len()).map(fresh).collect::<Result<Vec<_>, E>>()?;
    for _ in 1..quanta {
        interrupt.check().map_err(OracleError::from)?;
        let next = |place: usize| -> Result<Survivor<H>, OracleError> {
            let mut furthest: Option<Survivor<H>> = None;
            for survivor in &survivors {
                for way in arrangements[place].ways_from(&survivor.placement) {
                    let candidate = survivor.clone().after(&way, place, quantum)?;
                    if furthest.as_ref().is_none_or(|best| candidate.reach(alone) > best.reach(alone)) {
                        furthest = Some(candidate);
                    }
                }
            }
            Ok(furthest.expect("an arrangement can be reached from itself"))
        };
        survivors = (0..arrangements.len()).map(next).collect::<Result<_, _>>()?;
    }
    let furthest =
        survivors.into_iter().reduce(|best, other| if other.reach(alone) > best.reach(alone) { other } else { best });
    Ok(furthest.map(|survivor| survivor.best).unwrap_or(Best { instructions: Vec::new(), moves: 0, path: Vec::new() }))
}

impl<H: Host> Survivor<H> {
    /// One quantum later, after `moves` into the arrangement at `place`.
    fn after(mut self, moves: &[Move], place: usize, quantum: Duration) -> Result<Self, OracleError> {
        if !moves.is_empty() {
            let outcomes = self.host.apply(moves)?;
            if let Some(refused) = outcomes.iter().find(|outcome| outcome.refusal.is_some()) {
                let action = format!("move {} as the best run wants it", refused.requested.vcpu);
                return Err(HostError { action, reason: "the host refused".to_owned() }.into());
            }
        }
        self.placement.0.extend(moves.iter().map(|change| (change.vcpu, change.to)));
        for sample in self.host.advance(quantum)?.samples {
            let VcpuId { guest, .. } = sample.vcpu;
            let done = sample.count(Event::Instructions).ok_or_else(|| HostError {
                action: format!("follow {}", sample.vcpu),
                reason: "its host did not count instructions".to_owned(),
            })?;
            self.best.instructions[guest.0 as usize] += done as f64;
        }
        self.best.moves += moves.len() as u64;
        self.best.path.push(place);
        Ok(self)
    }

    /// The time that each guest would have taken alone for what it has done, summed, in nanoseconds.
    fn reach(&self, alone: &[Progress]) -> f64 {
        let time =
            |(done, alone): (&f64, &Progress)| alone.nanoseconds_at(done.min(alone.instructions())).unwrap_or_default();
        self.best.instructions.iter().zip(alone).map(time).sum()
    }
}

#[cfg(test)]
mod tests;
