//! How long a halted vCPU stays idle.
//!
//! **Problem.** A halt ends with the next interrupt, and when that comes is not known here. With a clock that follows
//! instructions QEMU skips at once to the guest's next timer, so a guest that has nothing to do would be woken at the end of
//! each epoch, thousands of times more often than on a real machine, and spend a fifth of its time in its timer
//! interrupt. **Rule.** A halt lasts one epoch after the guest has executed user instructions, and twice as long
//! as the one before otherwise, up to a millisecond of virtual time: a program that sleeps and works answers at
//! once, and a guest that only idles is counted idle.

use crate::spec::Machine;

/// No halt lasts longer, so that whatever wakes the guest is noticed: a quarter of a tick of Linux's clock.
const LONGEST_MICROSECONDS: u64 = 1000;

/// The halts of one vCPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idleness {
    longest_epochs: u64,
    last_epochs: u64,
    user_instructions: u64,
}

impl Idleness {
    /// A vCPU that has not halted yet.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        let longest = LONGEST_MICROSECONDS * u64::from(machine.frequency_mhz()) / machine.epoch_cycles();
        Self { longest_epochs: longest.max(1), last_epochs: 0, user_instructions: 0 }
    }

    /// How many epochs' ends the halt that begins now waits for, at least 1. `user_instructions` is the vCPU's running
    /// sum.
    pub fn epochs_of_halt(&mut self, user_instructions: u64) -> u64 {
        let worked = user_instructions > self.user_instructions;
        self.user_instructions = user_instructions;
        self.last_epochs = if worked { 1 } else { (2 * self.last_epochs).clamp(1, self.longest_epochs) };
        self.last_epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idleness() -> Idleness {
        Idleness::new(&Machine::preset("small-2x2").expect("it comes with the program"))
    }

    #[test]
    fn a_guest_that_only_idles_is_woken_ever_more_rarely() {
        let mut idleness = idleness();
        let halts: Vec<u64> = (0..9).map(|_| idleness.epochs_of_halt(0)).collect();
        assert_eq!(halts, [1, 2, 4, 8, 16, 32, 64, 100, 100], "2 M cycles are 100 epochs");
    }

    #[test]
    fn a_program_that_sleeps_and_works_is_woken_at_the_next_epoch() {
        let mut idleness = idleness();
        assert!((1..10).all(|halt| idleness.epochs_of_halt(halt * 1000) == 1));
        assert_eq!(idleness.epochs_of_halt(9000), 2);
        assert_eq!(idleness.epochs_of_halt(9001), 1);
    }
}
