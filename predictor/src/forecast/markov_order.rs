//! Markov of order k: what followed these last k phases before, follows them again.
//!
//! # Method
//!
//! One table for each order from 2 to `k` counts what followed the last so many phases; below them stands the chain of
//! the first order ([`super::markov`]). Each order refines the one below by what it counted itself:
//!
//! ```text
//! P_o(j) = (count of j after the last o phases + P_{o-1}(j)) / (total + 1)
//! ```
//!
//! so that a context never seen says what the shorter one says, and one seen once names what followed it. Each table
//! holds [`CONTEXTS`] contexts and drops the one used longest ago. Several quanta ahead it iterates its most likely
//! phase.

use super::history::History;
use super::markov::{Markov, TransitionCounts};
use super::one_step::{OneStep, iterate};
use super::recent::Recent;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Contexts kept of each order.
pub const CONTEXTS: usize = 4096;

/// Transition counts of every order up to the highest.
#[derive(Debug, Clone)]
pub struct MarkovOrder {
    phases: usize,
    first: Markov,
    /// The tables of order 2, 3, ...
    tables: Vec<Recent<Vec<PhaseId>, Vec<f64>>>,
    history: History,
}

impl MarkovOrder {
    /// For a model of `phases` phases; its chain of the first order starts from what training saw.
    #[must_use]
    pub fn new(phases: usize, order: usize, trained: &TransitionCounts) -> Self {
        let tables = (2..=order).map(|_| Recent::new(CONTEXTS)).collect();
        Self { phases, first: Markov::new(trained), tables, history: History::default() }
    }

    fn order(&self) -> usize {
        self.tables.len() + 1
    }
}

impl OneStep for MarkovOrder {
    type State = History;

    fn next(&self, history: &History) -> Forecast {
        let mut shares = history.last().map_or_else(|| vec![1.0; self.phases], |last| self.first.row(last));
        for (order, table) in (2..).zip(&self.tables) {
            let Some(counts) = history.latest(order).and_then(|context| table.peek(&context)) else { continue };
            let total = counts.iter().sum::<f64>() + 1.0;
            shares.iter_mut().zip(counts).for_each(|(share, count)| *share = (*share + count) / total);
        }
        Forecast::from_weights(shares).unwrap_or_else(|_| Forecast::certain(PhaseId(0), self.phases))
    }

    fn advance(&self, history: &History, phase: PhaseId) -> History {
        history.followed_by(phase, self.order())
    }
}

impl Forecaster for MarkovOrder {
    fn observe(&mut self, seen: &Observation<'_>) {
        for (order, table) in (2..).zip(&mut self.tables) {
            if let Some(context) = self.history.latest(order) {
                table.touch(&context, || vec![0.0; self.phases])[seen.phase.index()] += 1.0;
            }
        }
        self.first.observe(seen);
        self.history = self.advance(&self.history, seen.phase);
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.history.last()?;
        Some(iterate(self, &self.history, last, self.phases, quanta))
    }

    fn memory_bytes(&self) -> usize {
        let counts = self.phases * size_of::<f64>();
        let of_order =
            |(order, table): (usize, &Recent<_, _>)| table.memory_bytes(order * size_of::<PhaseId>(), counts);
        size_of::<Self>() + self.first.memory_bytes() + (2..).zip(&self.tables).map(of_order).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most likely phase by counting anew over all of `path`, from the highest order down.
    fn plainly(path: &[u32], order: usize, phases: u32) -> u32 {
        let last = path[path.len() - 1];
        let after = |order: usize, phase: u32| {
            let tail = &path[path.len() - order..];
            let seen = path.windows(order + 1).filter(|window| window[..order] == *tail && window[order] == phase);
            seen.count() as f64
        };
        let total = |order: usize| (0..phases).map(|phase| after(order, phase)).sum::<f64>();
        let share = |phase: u32| {
            let prior = if phase == last { 0.9 } else { 0.1 / f64::from(phases - 1) };
            let first = (after(1, phase) + prior) / (total(1) + 1.0);
            let orders = 2..=order.min(path.len());
            orders.fold(first, |below, order| (after(order, phase) + below) / (total(order) + 1.0))
        };
        (1..phases).fold(0, |best, phase| if share(phase) > share(best) + 1e-12 { phase } else { best })
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_anew_on_every_quantum(
            path in prop::collection::vec(0u32..3, 1..120), order in 1usize..5
        ) {
            let mut markov = MarkovOrder::new(3, order, &TransitionCounts::new(3));
            for end in 1..=path.len() {
                markov.observe(&Observation::of(PhaseId(path[end - 1]), 1));
                let forecast = markov.forecast(1).expect("observed");
                let named = PhaseId(plainly(&path[..end], order, 3));
                // Shares that tie are summed in another order here, so equality is to rounding.
                prop_assert!((forecast.confidence() - forecast.probability(named)).abs() < 1e-9);
            }
        }

        #[test]
        fn the_first_order_is_the_chain(path in prop::collection::vec(0u32..4, 1..80)) {
            let mut chain = Markov::new(&TransitionCounts::new(4));
            let mut markov = MarkovOrder::new(4, 1, &TransitionCounts::new(4));
            for phase in path {
                chain.observe(&Observation::of(PhaseId(phase), 1));
                markov.observe(&Observation::of(PhaseId(phase), 1));
                let pairs = chain.forecast(1).into_iter().zip(markov.forecast(1));
                for (chain, markov) in pairs {
                    prop_assert!(chain.iter().zip(markov.iter()).all(|(a, b)| (a.1 - b.1).abs() < 1e-12));
                }
            }
        }
    }
}
