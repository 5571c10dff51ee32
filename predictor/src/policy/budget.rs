//! How many moves may still be made: so many for each vCPU and quantum in the long run, whatever the policy.
//!
//! What is not used is saved, up to one move for each vCPU, so that everybody can be placed anew at once after a quiet
//! time; one exchange, two moves, can always be saved up for.

/// Moves that may be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Budget {
    saved: Option<f64>,
}

impl Budget {
    /// Full, whatever the host will be.
    pub(super) const fn full() -> Self {
        Self { saved: None }
    }

    /// A quantum passed with so many vCPUs present.
    pub(super) fn refill(&mut self, moves_per_vcpu_quantum: f64, vcpus: usize) {
        let most = (vcpus as f64).max(2.0);
        let saved = self.saved.unwrap_or(most) + moves_per_vcpu_quantum * vcpus as f64;
        self.saved = Some(saved.min(most));
    }

    /// So many moves were made.
    pub(super) fn spend(&mut self, moves: usize) {
        self.saved = self.saved.map(|saved| (saved - moves as f64).max(0.0));
    }

    /// How many may be made now. A sum of tenths is not short of a whole by a rounding error.
    pub(super) fn moves(&self) -> usize {
        self.saved.map_or(0, |saved| (saved + 1e-9) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_there_are_so_many_moves_for_each_vcpu_and_quantum() {
        let mut budget = Budget::full();
        let mut made = 0;
        for _ in 0..1000 {
            budget.refill(0.1, 4);
            let now = budget.moves();
            budget.spend(now);
            made += now;
        }
        // 400 come in, and the first 4 were there.
        assert_eq!(made, 403);
    }

    #[test]
    fn what_is_saved_is_one_move_for_each_vcpu_and_at_least_an_exchange() {
        for (vcpus, most) in [(1, 2), (2, 2), (8, 8)] {
            let mut budget = Budget::full();
            (0..100).for_each(|_| budget.refill(1.0, vcpus));
            assert_eq!(budget.moves(), most);
        }
    }
}
