//! Two-level burst predictor: after these last bursts, this one lasts as long as it did then.
//!
//! # Method
//!
//! Vandeputte, Eeckhout, De Bosschere, "A detailed study on phase predictors", Euro-Par 2005, found this the most
//! accurate of the table predictors for its size. A *burst* is a phase with the number of quanta it lasted. The last
//! [`DEPTH`] bursts and the phase of the present one are the key of a table that holds how long such a burst lasted,
//! what came next, and a confidence from 0 to [`SURE`].
//!
//! ```text
//! forecast(1):      the burst is as long as its entry says, and the entry is confident: the phase it holds
//!                   otherwise the last phase
//! a burst ends:     the entry was right in length and phase: confidence + 1
//!                   it was wrong: confidence - 1, and at 0 it is replaced by what came (conditional update)
//! ```
//!
//! An entry of confidence 0 only learns. The table holds [`ENTRIES`] keys and drops the one used longest ago.

use std::collections::VecDeque;

use super::one_step::{OneStep, Trust, iterate};
use super::recent::Recent;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Completed bursts in a key.
pub const DEPTH: usize = 2;

/// Keys that are kept.
pub const ENTRIES: usize = 1024;

/// The highest confidence.
pub const SURE: u8 = 3;

/// A phase and the quanta it lasted, or has lasted so far.
type Burst = (PhaseId, u64);

/// Where a vCPU is: its completed bursts, the oldest first, and the present one.
#[derive(Debug, Clone)]
pub struct Bursts {
    past: VecDeque<Burst>,
    now: Burst,
}

impl Bursts {
    fn key(&self) -> (VecDeque<Burst>, PhaseId) {
        (self.past.clone(), self.now.0)
    }
}

/// How such a burst ended.
#[derive(Debug, Clone, Copy)]
struct End {
    quanta: u64,
    next: PhaseId,
    confidence: u8,
}

/// The table and the bursts.
#[derive(Debug, Clone)]
pub struct Burstwise {
    phases: usize,
    bursts: Option<Bursts>,
    table: Recent<(VecDeque<Burst>, PhaseId), End>,
    changes: Trust,
    stays: Trust,
}

impl Burstwise {
    /// For a model of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self { phases, bursts: None, table: Recent::new(ENTRIES), changes: Trust::default(), stays: Trust::default() }
    }

    /// The change that is due after the quantum just seen.
    fn due(&self, bursts: &Bursts) -> Option<PhaseId> {
        let end = self.table.peek(&bursts.key())?;
        (end.confidence > 0 && end.quanta == bursts.now.1).then_some(end.next)
    }

    fn learn(&mut self, bursts: &Bursts, came: PhaseId) {
        match self.due(bursts) {
            Some(named) => self.changes.learn(named == came),
            None => self.stays.learn(bursts.now.0 == came),
        }
        if bursts.now.0 == came {
            return;
        }
        let seen = End { quanta: bursts.now.1, next: came, confidence: 1 };
        let mut fresh = false;
        let end = self.table.touch(&bursts.key(), || {
            fresh = true;
            seen
        });
        if fresh {
            return;
        }
        if (end.quanta, end.next) == (seen.quanta, seen.next) {
            end.confidence = (end.confidence + 1).min(SURE);
        } else if end.confidence == 0 {
            *end = seen;
        } else {
            end.confidence -= 1;
        }
    }
}

impl OneStep for Burstwise {
    type State = Bursts;

    fn next(&self, bursts: &Bursts) -> Forecast {
        match self.due(bursts) {
            Some(next) => self.changes.forecast(next, self.phases),
            None => self.stays.forecast(bursts.now.0, self.phases),
        }
    }

    fn advance(&self, bursts: &Bursts, phase: PhaseId) -> Bursts {
        let mut bursts = bursts.clone();
        if bursts.now.0 == phase {
            bursts.now.1 += 1;
        } else {
            if bursts.past.len() == DEPTH {
                bursts.past.pop_front();
            }
            bursts.past.push_back(bursts.now);
            bursts.now = (phase, 1);
        }
        bursts
    }
}

impl Forecaster for Burstwise {
    fn observe(&mut self, seen: &Observation<'_>) {
        self.bursts = Some(match self.bursts.take() {
            None => Bursts { past: VecDeque::new(), now: (seen.phase, 1) },
            Some(bursts) => {
                self.learn(&bursts, seen.phase);
                self.advance(&bursts, seen.phase)
            }
        });
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let bursts = self.bursts.as_ref()?;
        Some(iterate(self, bursts, bursts.now.0, self.phases, quanta))
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.table.memory_bytes((DEPTH + 2) * size_of::<Burst>(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(forecaster: &mut Burstwise, trace: &str) -> usize {
        let mut wrong = 0;
        for digit in trace.chars() {
            let came = PhaseId(digit.to_digit(10).expect("a digit"));
            wrong += usize::from(forecaster.forecast(1).is_some_and(|forecast| forecast.most_likely() != came));
            forecaster.observe(&Observation::of(came, 1));
        }
        wrong
    }

    #[test]
    fn bursts_that_alternate_in_length_are_told_apart_by_those_before() {
        let mut forecaster = Burstwise::new(2);
        let round = "0001000001";
        wrong(&mut forecaster, &round.repeat(4));
        assert_eq!(wrong(&mut forecaster, &round.repeat(4)), 0);
    }

    #[test]
    fn one_odd_burst_does_not_unlearn_a_sure_one() {
        let mut forecaster = Burstwise::new(2);
        wrong(&mut forecaster, &"00011".repeat(10));
        wrong(&mut forecaster, "00000011");
        wrong(&mut forecaster, &"00011".repeat(2));
        assert_eq!(wrong(&mut forecaster, &"00011".repeat(4)), 0);
    }
}
