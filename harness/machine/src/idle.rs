//! The time in which a vCPU does not run, and how long a halted one stays idle.
//!
//! **Problem.** A halt ends with the next interrupt, and when that comes is not known here. With a clock that follows
//! instructions QEMU skips at once to the guest's next timer, so a guest that has nothing to do would be woken at the end of
//! each epoch, thousands of times more often than on a real machine, and spend a fifth of its time in its timer
//! interrupt. **Rule.** A halt lasts one epoch after the guest has executed user instructions, and twice as long
//! as the one before otherwise, up to a millisecond of virtual time: a program that sleeps and works answers at
//! once, and a guest that only idles is counted idle.

use crate::pipeline::TICKS_PER_CYCLE;
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

/// That a vCPU is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Halt {
    /// What it has counted as idle reaches to here, the end of the epoch or the end of its last block.
    pub from_ticks: u64,
    /// The end of the epoch after which it runs again.
    pub until_ticks: u64,
    /// The idle time that it has counted.
    pub idle_before_ticks: u64,
}

/// The time in which a vCPU does not run: before it joined, while it is halted, and while others have its CPU. Skipping
/// that time on the core's clock is the caller's business.
#[derive(Debug, Clone)]
pub struct Away {
    idleness: Idleness,
    epoch_ticks: u64,
    joined_ticks: u64,
    idle_ticks: u64,
    waited_ticks: u64,
    halt: Option<Halt>,
}

impl Away {
    /// A vCPU that joins at `joined_ticks`.
    #[must_use]
    pub fn new(machine: &Machine, joined_ticks: u64) -> Self {
        Self {
            idleness: Idleness::new(machine),
            epoch_ticks: machine.epoch_cycles() * TICKS_PER_CYCLE,
            joined_ticks,
            idle_ticks: 0,
            waited_ticks: 0,
            halt: None,
        }
    }

    /// The vCPU joins only now.
    pub fn join(&mut self, joined_ticks: u64) {
        self.joined_ticks = joined_ticks;
    }

    /// A halt begins at `now_ticks`. Answers what passes of it at once, to the end of the epoch.
    pub fn begin_halt(&mut self, user_instructions: u64, now_ticks: u64, epoch_end_ticks: u64) -> u64 {
        let idle = epoch_end_ticks.saturating_sub(now_ticks);
        self.idle_ticks += idle;
        let epochs = self.idleness.epochs_of_halt(user_instructions);
        self.halt = Some(Halt {
            from_ticks: now_ticks + idle,
            until_ticks: epoch_end_ticks + (epochs - 1) * self.epoch_ticks,
            idle_before_ticks: self.idle_ticks,
        });
        idle
    }

    /// The vCPU's next turn begins at `start_ticks`, after one whose epoch ended at `left_ticks`. Answers what has passed
    /// meanwhile: first the rest of a halt, which is idle time, then waiting, which is neither that nor time in which
    /// the vCPU ran.
    pub fn until(&mut self, start_ticks: u64, left_ticks: u64) -> u64 {
        let halt = self.halt.take().unwrap_or_default();
        let idle = halt.until_ticks.saturating_sub(halt.from_ticks);
        let waited = start_ticks.saturating_sub(left_ticks.max(halt.until_ticks));
        self.idle_ticks += idle;
        self.waited_ticks += waited;
        idle + waited
    }

    /// The halt that has begun and is not over.
    #[must_use]
    pub const fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// Time in which the vCPU was halted, as far as it has passed on its clock.
    #[must_use]
    pub const fn idle_ticks(&self) -> u64 {
        self.idle_ticks
    }

    /// Time in which the vCPU was halted before `now_ticks`, which is no earlier than the end of its last turn.
    #[must_use]
    pub fn idle_ticks_at(&self, now_ticks: u64) -> u64 {
        let halt = self.halt.unwrap_or_default();
        self.idle_ticks + halt.until_ticks.min(now_ticks).saturating_sub(halt.from_ticks)
    }

    /// Time on its clock in which it did not run.
    #[must_use]
    pub const fn ticks(&self) -> u64 {
        self.joined_ticks + self.idle_ticks + self.waited_ticks
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
