//! The plain mixture of contexts that [`super::contexts`] has to beat: labels only, nothing tuned.
//!
//! # Method
//!
//! For each length in [`LENGTHS`], a table from the last so many phases to counts of what followed. At each visit of a
//! context its counts decay by [`KEEP`]. Beside them stands the last value.
//!
//! ```text
//! context seen before:  p(j) = (count of j + 0.3 / phases) / (total + 0.3)
//! last value:           p(last) = 0.9, the rest even
//! weight:               exp(w);  w <- 0.9 w + ln p(what came); a context not seen before is charged the mixture's own p
//! forecast:             sum of weight * p over those that say something, normalised
//! ```
//!
//! After Willems, Shtarkov, Tjalkens, "The context-tree weighting method", IEEE Transactions on Information Theory 41,
//! 1995, and Cleary and Witten, 1984; weights in the manner of Herbster and Warmuth, 1998. It has no form for several
//! quanta: it iterates its most likely phase.

use super::history::History;
use super::one_step::{OneStep, iterate};
use super::recent::Recent;
use super::{Forecast, Forecaster, Observation};
use crate::phases::PhaseId;

/// Lengths of the contexts, in quanta.
pub const LENGTHS: [usize; 12] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// What a context keeps of its counts at each visit, and an expert of its losses at each quantum.
pub const KEEP: f64 = 0.9;

/// Pseudo-count, spread over all phases.
const PSEUDO: f64 = 0.3;

/// What the last value gives the last value.
const STAYS: f64 = 0.9;

/// Contexts that are kept of each length, so that memory is bounded; more than any series has quanta that was tried.
const CONTEXTS: usize = 8192;

const EXPERTS: usize = LENGTHS.len() + 1;

/// The mixture.
#[derive(Debug, Clone)]
pub struct ContextsBasic {
    phases: usize,
    history: History,
    tables: Vec<Recent<Vec<PhaseId>, Vec<f64>>>,
    /// Logarithms of the experts' weights.
    weights: [f64; EXPERTS],
    /// What is forecast for the coming quantum.
    coming: Option<Mixture>,
}

/// What each expert says, and what all say together.
#[derive(Debug, Clone)]
struct Mixture {
    experts: Vec<Option<Vec<f64>>>,
    together: Vec<f64>,
}

impl ContextsBasic {
    /// For a model of `phases` phases.
    #[must_use]
    pub fn new(phases: usize) -> Self {
        Self {
            phases,
            history: History::default(),
            tables: LENGTHS.iter().map(|_| Recent::new(CONTEXTS)).collect(),
            weights: [0.0; EXPERTS],
            coming: None,
        }
    }

    fn mixture(&self, history: &History) -> Option<Mixture> {
        let last = history.last()?.index();
        let even = PSEUDO / self.phases as f64;
        let estimate = |counts: &Vec<f64>| {
            let total: f64 = counts.iter().sum::<f64>() + PSEUDO;
            counts.iter().map(|count| (count + even) / total).collect::<Vec<f64>>()
        };
        let of_length = |(table, length): (&Recent<_, _>, &usize)| table.peek(&history.latest(*length)?).map(estimate);
        let mut experts: Vec<Option<Vec<f64>>> = self.tables.iter().zip(&LENGTHS).map(of_length).collect();
        let others = (1.0 - STAYS) / self.phases.saturating_sub(1).max(1) as f64;
        experts.push(Some((0..self.phases).map(|phase| if phase == last { STAYS } else { others }).collect()));
        let speak =
            || experts.iter().zip(&self.weights).filter_map(|(expert, weight)| Some((expert.as_ref()?, *weight)));
        let most = speak().map(|(_, weight)| weight).fold(f64::NEG_INFINITY, f64::max);
        let mut together = vec![0.0; self.phases];
        for (expert, weight) in speak() {
            let weight = (weight - most).exp();
            together.iter_mut().zip(expert).for_each(|(sum, share)| *sum += weight * share);
        }
        let total: f64 = together.iter().sum();
        together.iter_mut().for_each(|share| *share /= total);
        Some(Mixture { experts, together })
    }
}

impl OneStep for ContextsBasic {
    type State = History;

    fn next(&self, history: &History) -> Forecast {
        let weights = self.mixture(history).map_or_else(|| vec![1.0; self.phases], |mixture| mixture.together);
        Forecast::from_weights(weights).unwrap_or_else(|_| Forecast::certain(PhaseId(0), self.phases))
    }

    fn advance(&self, history: &History, phase: PhaseId) -> History {
        history.followed_by(phase, LENGTHS[LENGTHS.len() - 1])
    }
}

impl Forecaster for ContextsBasic {
    fn observe(&mut self, seen: &Observation<'_>) {
        let came = seen.phase.index();
        if let Some(mixture) = self.coming.take() {
            for (weight, expert) in self.weights.iter_mut().zip(&mixture.experts) {
                let share = expert.as_ref().unwrap_or(&mixture.together)[came];
                *weight = KEEP * *weight + share.max(1e-12).ln();
            }
            for (table, length) in self.tables.iter_mut().zip(LENGTHS) {
                if let Some(context) = self.history.latest(length) {
                    let counts = table.touch(&context, || vec![0.0; self.phases]);
                    counts.iter_mut().for_each(|count| *count *= KEEP);
                    counts[came] += 1.0;
                }
            }
        }
        self.history = self.advance(&self.history, seen.phase);
        self.coming = self.mixture(&self.history);
    }

    fn forecast(&self, quanta: u32) -> Option<Forecast> {
        let last = self.history.last()?;
        match (quanta, &self.coming) {
            (1, Some(mixture)) => Forecast::from_weights(mixture.together.clone()).ok(),
            _ => Some(iterate(self, &self.history, last, self.phases, quanta)),
        }
    }

    fn memory_bytes(&self) -> usize {
        let counts = self.phases * size_of::<f64>();
        let of_length =
            |(table, length): (&Recent<_, _>, usize)| table.memory_bytes(length * size_of::<PhaseId>(), counts);
        size_of::<Self>() + self.tables.iter().zip(LENGTHS).map(of_length).sum::<usize>() + (EXPERTS + 1) * counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_learned_and_iterated() {
        let trace = |quantum: usize| PhaseId(u32::from(b"0011120"[quantum % 7] - b'0'));
        let mut forecaster = ContextsBasic::new(3);
        (0..100).for_each(|quantum| forecaster.observe(&Observation::of(trace(quantum), 1)));
        for ahead in 1..15u32 {
            assert_eq!(forecaster.forecast(ahead).expect("observed").most_likely(), trace(99 + ahead as usize));
        }
    }

    #[test]
    fn by_hand_after_two_quanta() {
        let mut forecaster = ContextsBasic::new(2);
        [0, 0].iter().for_each(|phase| forecaster.observe(&Observation::of(PhaseId(*phase), 1)));
        // Before the second quantum only the last value spoke: 0.9 for what came; all are charged that.
        // Now lengths 0 and 1 have one count: (1 + 0.15) / 1.3, beside 0.9, at equal weights.
        let expected = (2.0 * (1.15 / 1.3) + 0.9) / 3.0;
        let said = forecaster.forecast(1).expect("observed").probability(PhaseId(0));
        assert!((said - expected).abs() < 1e-12, "{said} against {expected}");
    }
}
