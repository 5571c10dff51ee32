//! From a vCPU's running sums on the emulated machine to one quantum's sample, for every host that has such sums.

use machine::counters::Counters;
use machine::marks::PHASES;
use predictor::counters::{Event, PhaseMark, Reading, Readings};

/// Running sums at a horizon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) counters: Counters,
    pub(super) marks: [u64; PHASES + 1],
}

impl Sums {
    /// All zero, as at the begin mark.
    pub(super) fn zero() -> Self {
        Self { counters: Counters::default(), marks: [0; PHASES + 1] }
    }
}

/// What was counted between two horizons. A sum that went backwards is no count, and so absent.
pub(super) fn readings(before: &Counters, after: &Counters) -> Readings {
    let sums = before.to_array().into_iter().zip(after.to_array());
    let differences = sums.map(|(before, after)| after.checked_sub(before).map_or(Reading::Absent, Reading::Exact));
    // Both lists have the same order, which a test below holds them to.
    Readings::new(Event::ALL.into_iter().zip(differences))
}

/// The phase under which most instructions of the quantum were executed; the lower of two equals; `None` if most were
/// under none, or there were none.
pub(super) fn truth(before: &[u64; PHASES + 1], after: &[u64; PHASES + 1]) -> Option<PhaseMark> {
    let executed = |place: usize| after[place].saturating_sub(before[place]);
    let most = (0..=PHASES).rev().max_by_key(|&place| executed(place))?;
    (most < PHASES && executed(most) > 0).then(|| PhaseMark(u32::try_from(most).expect("there are 64 phases")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_the_order_of_events() {
        let after = Counters {
            instructions: 1,
            kernel_instructions: 2,
            cycles: 3,
            idle_cycles: 4,
            loads: 5,
            stores: 6,
            l1_misses: 7,
            llc_references: 8,
            llc_misses: 9,
            write_backs: 10,
            memory_read_bytes: 11,
            stall_cycles: 12,
        };
        let counted = readings(&Counters::default(), &after);
        let expected = [
            (Event::Instructions, 1),
            (Event::KernelInstructions, 2),
            (Event::Cycles, 3),
            (Event::IdleCycles, 4),
            (Event::Loads, 5),
            (Event::Stores, 6),
            (Event::L1Misses, 7),
            (Event::LlcReferences, 8),
            (Event::LlcMisses, 9),
            (Event::WriteBacks, 10),
            (Event::MemoryReadBytes, 11),
            (Event::StallCycles, 12),
        ];
        for (event, count) in expected {
            assert_eq!(counted.get(event), Reading::Exact(count), "{}", event.name());
        }
    }

    #[test]
    fn a_counter_that_went_backwards_is_absent() {
        let before = Counters { cycles: 5, loads: 5, ..Counters::default() };
        let after = Counters { cycles: 4, loads: 5, ..Counters::default() };
        let counted = readings(&before, &after);
        assert_eq!(counted.get(Event::Cycles), Reading::Absent);
        assert_eq!(counted.get(Event::Loads), Reading::Exact(0));
    }

    #[test]
    fn the_truth_is_the_phase_of_most_instructions() {
        let before = [10; PHASES + 1];
        let with = |counts: &[(usize, u64)]| {
            let mut after = before;
            for &(place, count) in counts {
                after[place] += count;
            }
            truth(&before, &after)
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[(3, 5), (1, 4)]), Some(PhaseMark(3)));
        assert_eq!(with(&[(3, 5), (1, 5)]), Some(PhaseMark(1)));
        assert_eq!(with(&[(3, 5), (PHASES, 6)]), None);
    }
}
