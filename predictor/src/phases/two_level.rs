//! A phase of its own for what lasts too briefly to be one.
//!
//! # Problem
//!
//! Between two long phases a program passes through intervals that look like neither and never come back the same. Given
//! a phase each they fill the tables of every forecaster with names seen once.
//!
//! # Method
//!
//! Lau, Schoenmackers and Calder (HPCA 2005): a first level groups samples; only a group that has been seen often enough
//! is a phase, and everything in between is one *transition phase*.
//!
//! ```text
//! name(x):
//!     g = first level's name of x;  seen[g] += 1
//!     seen[g] >= settled:  1 + the order in which g settled      else: 0, the transition phase
//! ```
//!
//! A group counts as seen when it comes, not how long it stays: with `by_visits` a group must come back, without it must
//! only last.
//!
//! # Properties
//!
//! - Phase 0 is the transition; a group keeps its number once it has one.
//! - With `settled` at 1 every group is a phase at once, and the partition is the first level's.

use super::{NamePhase, PhaseId};

/// What a group has to show to be a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// So many samples in all.
    Samples(u32),
    /// So many times come to from another group.
    Visits(u32),
}

/// Two levels of phases over any first level.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoLevel<N> {
    groups: N,
    settling: Settling,
    /// For each group, how much it has shown.
    seen: Vec<u32>,
    /// For each group, its phase once it has one.
    names: Vec<Option<PhaseId>>,
    settled: usize,
    last: Option<PhaseId>,
}

/// The transition phase.
pub const TRANSITION: PhaseId = PhaseId(0);

impl<N: NamePhase> TwoLevel<N> {
    /// Over the phases that `groups` names; none has settled yet.
    #[must_use]
    pub fn new(groups: N, settling: Settling) -> Self {
        let count = groups.phases();
        Self { groups, settling, seen: vec![0; count], names: vec![None; count], settled: 0, last: None }
    }
}

impl<N: NamePhase> NamePhase for TwoLevel<N> {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        let group = self.groups.name(coordinates)?;
        let (counts, enough) = match self.settling {
            Settling::Samples(enough) => (true, enough),
            Settling::Visits(enough) => (self.last != Some(group), enough),
        };
        self.last = Some(group);
        let seen = &mut self.seen[group.index()];
        *seen = seen.saturating_add(u32::from(counts));
        let name = &mut self.names[group.index()];
        if name.is_none() && *seen >= enough {
            self.settled += 1;
            *name = Some(PhaseId::at(self.settled));
        }
        Some(name.unwrap_or(TRANSITION))
    }

    fn phases(&self) -> usize {
        self.groups.phases() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::bins::Bins;

    fn names(settling: Settling, numbers: &[f64]) -> Vec<u32> {
        let mut phases = TwoLevel::new(Bins::of_edges(vec![1.0, 2.0, 3.0]).expect("rising"), settling);
        numbers.iter().map(|number| phases.name(&[*number]).expect("finite").0).collect()
    }

    #[test]
    fn what_lasts_too_briefly_is_the_transition_phase() {
        let numbers = [2.5, 2.5, 2.5, 1.5, 0.5, 0.5, 0.5, 2.5, 1.5];
        assert_eq!(names(Settling::Samples(3), &numbers), [0, 0, 1, 0, 0, 0, 2, 1, 0]);
    }

    #[test]
    fn by_visits_a_group_must_come_back() {
        let numbers = [2.5, 2.5, 2.5, 0.5, 2.5, 2.5, 0.5, 0.5];
        assert_eq!(names(Settling::Visits(2), &numbers), [0, 0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn settled_at_one_the_partition_is_the_first_levels() {
        assert_eq!(names(Settling::Samples(1), &[3.5, 0.5, 3.5, 1.5]), [1, 2, 1, 3]);
    }
}
