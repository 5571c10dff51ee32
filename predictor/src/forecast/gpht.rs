//! Global phase history table: what followed these last phases the last time they came in this order.
//!
//! # Method
//!
//! Isci, Contreras, Martonosi, "Live, runtime phase monitoring and prediction on real systems with application to
//! dynamic power management", MICRO 2006. A shift register holds the last `depth` phases. It is the tag of a fully
//! associative table of `entries`, the least recently used of which is replaced.
//!
//! ```text
//! observe(phase):  the entry that the last forecast came from now predicts `phase`
//!                  shift `phase` into the register
//!                  no entry with this tag: make one, without a prediction yet
//! forecast(1):     the entry's prediction; without one, the last phase
//! ```
//!
//! Until the register is full, the last phase is named.
//!
//! The published table names one phase and no probability. Here the named phase gets the share of namings that came
//! true so far, apart for those from the table and those that fell back on the last phase.
//!
//! # Properties
//!
//! Exact on any sequence that repeats, once it has repeated, whose every `depth` phases say the next. Named phases are
//! those of the published algorithm: a plain second implementation in the tests agrees on every quantum.

use super::history::History;
use super::one_step::{OneStep, Trust, iterate};
use super::recent::Recent;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// The published depth of the history.
pub const DEPTH: usize = 8;

/// The table and the register.
#[derive(Debug, Clone)]
pub struct Gpht {
    phases: usize,
    depth: usize,
    history: History,
    /// What followed; `None` in an entry that was just made.
    table: Recent<History, Option<PhaseId>>,
    from_table: Trust,
    from_last: Trust,
}

impl Gpht {
    /// For a model of `phases` phases, a history of `depth` of them and a table of `entries`.
    #[must_use]
    pub fn new(phases: usize, depth: usize, entries: usize) -> Self {
        Self {
            phases,
            depth: depth.max(1),
            history: History::default(),
            table: Recent::new(entries),
            from_table: Trust::default(),
            from_last: Trust::default(),
        }
    }

    /// What the table says for `history`.
    fn looked_up(&self, history: &History) -> Option<PhaseId> {
        self.table.peek(history).copied().flatten()
    }
}

impl OneStep for Gpht {
    type State = History;

    fn next(&self, history: &History) -> Forecast {
        match (self.looked_up(history), history.last()) {
            (Some(phase), _) => self.from_table.forecast(phase, self.phases),
            (None, Some(last)) => self.from_last.forecast(last, self.phases),
            (None, None) => Forecast::certain(PhaseId(0), self.phases),
        }
    }

    fn advance(&self, history: &History, phase: PhaseId) -> History {
        history.followed_by(phase, self.depth)
    }
}

impl Forecaster for Gpht {
    fn observe(&mut self, seen: &Observation<'_>) {
        let phase = seen.phase;
        match (self.looked_up(&self.history), self.history.last()) {
            (Some(named), _) => self.from_table.learn(named == phase),
            (None, Some(last)) => self.from_last.learn(last == phase),
            (None, None) => {}
        }
        if self.history.len() == self.depth {
            // Just looked up, so still there: the table drops the entry used longest ago.
            *self.table.touch(&self.history, || None) = Some(phase);
        }
        self.history = self.history.followed_by(phase, self.depth);
        if self.history.len() == self.depth {
            self.table.touch(&self.history, || None);
        }
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.history.last()?;
        Some(iterate(self, &self.history, last, self.phases, quanta))
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.table.memory_bytes(self.depth.next_power_of_two() * size_of::<PhaseId>(), 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The published table again, as plainly as it goes: a list of rows, the last used at the end.
    struct Plain {
        depth: usize,
        entries: usize,
        seen: Vec<u32>,
        rows: Vec<(Vec<u32>, Option<u32>)>,
    }

    impl Plain {
        fn tag(&self) -> Option<Vec<u32>> {
            Some(self.seen[self.seen.len().checked_sub(self.depth)?..].to_vec())
        }

        fn named(&self) -> Option<u32> {
            let row = self.tag().and_then(|tag| self.rows.iter().find(|row| row.0 == tag));
            row.and_then(|row| row.1).or_else(|| self.seen.last().copied())
        }

        fn observe(&mut self, phase: u32) {
            if self.tag().is_some() {
                self.rows.last_mut().expect("used last quantum").1 = Some(phase);
            }
            self.seen.push(phase);
            let Some(tag) = self.tag() else { return };
            let place = self.rows.iter().position(|row| row.0 == tag);
            let row = place.map_or_else(|| (tag, None), |place| self.rows.remove(place));
            if self.rows.len() == self.entries {
                self.rows.remove(0);
            }
            self.rows.push(row);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_table_on_every_quantum(
            path in prop::collection::vec(0u32..3, 1..400), depth in 1usize..5, entries in 1usize..20
        ) {
            let mut plain = Plain { depth, entries, seen: Vec::new(), rows: Vec::new() };
            let mut gpht = Gpht::new(3, depth, entries);
            for phase in path {
                prop_assert_eq!(gpht.forecast(1).map(|forecast| forecast.most_likely().0), plain.named());
                plain.observe(phase);
                gpht.observe(&Observation::of(PhaseId(phase), 1));
            }
        }
    }

    #[test]
    fn what_has_repeated_is_forecast_exactly_and_several_quanta_ahead() {
        let trace = |quantum: usize| PhaseId(u32::from(b"00011201"[quantum % 8] - b'0'));
        let mut gpht = Gpht::new(3, DEPTH, 128);
        (0..40).for_each(|quantum| gpht.observe(&Observation::of(trace(quantum), 1)));
        for ahead in 1..20u32 {
            assert_eq!(gpht.forecast(ahead).expect("observed").most_likely(), trace(39 + ahead as usize));
        }
    }
}
