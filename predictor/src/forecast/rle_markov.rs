//! Run-length-encoded Markov: a phase that ended after so many quanta before, ends after as many again.
//!
//! # Method
//!
//! Sherwood, Sair, Calder, "Phase tracking and prediction", ISCA 2003. The key is the phase and the length of its run so
//! far, in quanta. The table has an entry only where a run ended at that key once; it holds what came then.
//!
//! ```text
//! forecast(1):     the entry of (phase, run so far); without one, the last phase
//! observe(phase):  the phase changed:       the entry of the key before now holds `phase`
//!                  it went on at an entry:  the entry was wrong, and is dropped
//! ```
//!
//! Run lengths here are in quanta, as published; [`super::run_length`] counts them in instructions, keeps all runs and
//! weighs them. The table holds [`ENTRIES`] keys and drops the one used longest ago.

use super::one_step::{OneStep, Trust, iterate};
use super::recent::Recent;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Keys that are kept.
pub const ENTRIES: usize = 1024;

/// A phase and how many quanta it has lasted.
type Run = (PhaseId, u64);

/// The table and the run.
#[derive(Debug, Clone)]
pub struct RleMarkov {
    phases: usize,
    now: Option<Run>,
    table: Recent<Run, PhaseId>,
    changes: Trust,
    stays: Trust,
}

impl RleMarkov {
    /// For a model of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self { phases, now: None, table: Recent::new(ENTRIES), changes: Trust::default(), stays: Trust::default() }
    }
}

impl OneStep for RleMarkov {
    type State = Run;

    fn next(&self, run: &Run) -> Forecast {
        match self.table.peek(run) {
            Some(next) => self.changes.forecast(*next, self.phases),
            None => self.stays.forecast(run.0, self.phases),
        }
    }

    fn advance(&self, run: &Run, phase: PhaseId) -> Run {
        if run.0 == phase { (phase, run.1 + 1) } else { (phase, 1) }
    }
}

impl Forecaster for RleMarkov {
    fn observe(&mut self, seen: &Observation<'_>) {
        self.now = Some(match self.now {
            None => (seen.phase, 1),
            Some(run) => {
                match self.table.peek(&run).copied() {
                    Some(named) => self.changes.learn(named == seen.phase),
                    None => self.stays.learn(run.0 == seen.phase),
                }
                if run.0 == seen.phase {
                    self.table.remove(&run);
                } else {
                    *self.table.touch(&run, || seen.phase) = seen.phase;
                }
                self.advance(&run, seen.phase)
            }
        });
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let run = self.now?;
        Some(iterate(self, &run, run.0, self.phases, quanta))
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.table.memory_bytes(0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said before each quantum of `trace`; `.` is right, a digit is the wrong phase said.
    fn said(forecaster: &mut dyn Forecaster, trace: &str) -> String {
        let mut said = String::new();
        for digit in trace.chars() {
            let came = PhaseId(digit.to_digit(10).expect("a digit"));
            said.push(match forecaster.forecast(1).map(|forecast| forecast.most_likely()) {
                None => '?',
                Some(phase) if phase == came => '.',
                Some(phase) => char::from_digit(phase.0, 10).expect("few phases"),
            });
            forecaster.observe(&Observation::of(came, 1));
        }
        said
    }

    #[test]
    fn a_run_of_known_length_is_called_to_end() {
        assert_eq!(said(&mut RleMarkov::new(2), "000110001100011"), "?..0.1.........");
    }

    #[test]
    fn an_end_that_did_not_come_is_forgotten() {
        // The third run of zeros is longer: its end is called once in vain, and then where it came.
        assert_eq!(said(&mut RleMarkov::new(2), "001001000010000100001"), "?.01....1.0..........");
    }
}
