//! The last phases of a vCPU, as the forecasters that look things up by them keep them.
//!
//! Owns how a history grows and what its latest phases are. What followed them is remembered in [`super::recent`].

use std::collections::VecDeque;

use crate::phases::PhaseId;

/// The last phases, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct History(VecDeque<PhaseId>);

impl History {
    /// How many phases it holds.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The phase that came last.
    pub(super) fn last(&self) -> Option<PhaseId> {
        self.0.back().copied()
    }

    /// The last `length` phases; `None` before there were so many.
    pub(super) fn latest(&self, length: usize) -> Option<Vec<PhaseId>> {
        Some(self.0.range(self.0.len().checked_sub(length)?..).copied().collect())
    }

    /// This history after another quantum in `phase`, of which the last `most` phases are kept, at least that one.
    pub(super) fn followed_by(&self, phase: PhaseId, most: usize) -> Self {
        let over = (self.0.len() + 1).saturating_sub(most.max(1));
        Self(self.0.iter().skip(over).copied().chain([phase]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_history_forgets_its_oldest_phase() {
        let history = (0..5).map(PhaseId).fold(History::default(), |history, phase| history.followed_by(phase, 3));
        assert_eq!((history.len(), history.last()), (3, Some(PhaseId(4))));
        assert_eq!(history.latest(2), Some(vec![PhaseId(3), PhaseId(4)]));
        assert_eq!((history.latest(0), history.latest(4)), (Some(vec![]), None));
    }
}
