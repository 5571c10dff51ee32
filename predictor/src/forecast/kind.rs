//! Which forecasters there are, by name, and how each is started for a vCPU.

use std::str::FromStr;

use super::Forecaster;
use super::burst::Burstwise;
use super::change::ChangePredictor;
use super::contexts::{Contexts, Settings};
use super::contexts_basic::ContextsBasic;
use super::gpht::{DEPTH, Gpht};
use super::hidden_markov::HiddenMarkov;
use super::last_value::LastValue;
use super::majority::Majority;
use super::markov::{Markov, TransitionCounts};
use super::markov_order::MarkovOrder;
use super::rle_markov::RleMarkov;
use super::run_length::{RunLengthMarkov, RunLengths};

/// The highest order of Markov, and the greatest depth of a history table, that a name may ask for.
pub const ORDER_MOST: usize = 64;

/// The largest history table that a name may ask for, in entries.
pub const ENTRIES_MOST: usize = 1 << 20;

/// A way to forecast phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForecasterKind {
    /// The phase goes on: [`LastValue`].
    LastValue,
    /// The phase that came most often comes: [`Majority`].
    Majority,
    /// What followed the last phases follows them again: [`Markov`] of order 1, [`MarkovOrder`] of a higher one.
    Markov {
        /// How many phases.
        order: usize,
    },
    /// A phase ends after as many quanta as before: [`RleMarkov`].
    RleMarkov,
    /// A phase lasts as long as it did after the same bursts: [`Burstwise`].
    Burst,
    /// Global phase history table: [`Gpht`].
    Gpht {
        /// Phases in the history.
        depth: usize,
        /// Entries of the table.
        entries: usize,
    },
    /// How long the phase has gone on, in instructions, says when it ends: [`RunLengthMarkov`].
    SemiMarkov,
    /// Phases are noisy signs of hidden states: [`HiddenMarkov`].
    HiddenMarkov,
    /// A forest on signals says whether the phase changes, Markov where to: [`ChangePredictor`].
    Change,
    /// The untuned mixture of contexts of labels: [`ContextsBasic`].
    ContextsBasic,
    /// The mixture of contexts and analogues: [`Contexts`].
    Contexts,
    /// The same with the address space as side information: [`Contexts`] by space.
    ContextsSpaces,
    /// The one that was chosen before the final comparison: [`ForecasterKind::Contexts`].
    Default,
}

/// What a forecaster may start from: what training knows, and what it will be asked; all of it may be absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trained<'a> {
    /// How often each phase followed each.
    pub transitions: Option<&'a TransitionCounts>,
    /// How long the phases lasted.
    pub run_lengths: Option<&'a RunLengths>,
    /// How many quanta ahead will be asked for beyond the coming one. Others may be asked for too; a forecaster that learns
    /// each horizon by itself does so for these.
    pub horizons: &'a [u32],
}

/// A name that no forecaster has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no forecaster is called {0:?}; there are {names}; markov-K takes an order up to {ORDER_MOST}, gpht-DxE a depth up \
     to that and up to {ENTRIES_MOST} entries",
    names = ForecasterKind::names().join(", ")
)]
pub struct UnknownForecaster(pub String);

impl ForecasterKind {
    /// Every kind, the simplest first; those with settings, with the usual ones.
    pub const ALL: [Self; 16] = [
        Self::LastValue,
        Self::Majority,
        Self::Markov { order: 1 },
        Self::Markov { order: 2 },
        Self::Markov { order: 3 },
        Self::RleMarkov,
        Self::Burst,
        Self::Gpht { depth: DEPTH, entries: 128 },
        Self::Gpht { depth: DEPTH, entries: 1024 },
        Self::SemiMarkov,
        Self::HiddenMarkov,
        Self::Change,
        Self::ContextsBasic,
        Self::Contexts,
        Self::ContextsSpaces,
        Self::Default,
    ];

    /// The name used in files, tables and messages.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::LastValue => "last-value".to_owned(),
            Self::Majority => "majority".to_owned(),
            Self::Markov { order } => format!("markov-{order}"),
            Self::RleMarkov => "rle-markov".to_owned(),
            Self::Burst => "burst".to_owned(),
            Self::Gpht { depth: DEPTH, entries } => format!("gpht-{entries}"),
            Self::Gpht { depth, entries } => format!("gpht-{depth}x{entries}"),
            Self::SemiMarkov => "semi-markov".to_owned(),
            Self::HiddenMarkov => "hidden-markov".to_owned(),
            Self::Change => "change".to_owned(),
            Self::ContextsBasic => "contexts-basic".to_owned(),
            Self::Contexts => "contexts".to_owned(),
            Self::ContextsSpaces => "contexts-spaces".to_owned(),
            Self::Default => "default".to_owned(),
        }
    }

    /// The names of [`Self::ALL`], in that order.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::ALL.map(Self::name).to_vec()
    }

    /// A forecaster for one vCPU of a model of `phases` phases: it is only ever shown phases below that number.
    #[must_use]
    pub fn start(self, phases: usize, trained: &Trained<'_>) -> Box<dyn Forecaster + Send> {
        let none = TransitionCounts::new(phases);
        let transitions = trained.transitions.unwrap_or(&none);
        match self {
            Self::LastValue => Box::new(LastValue::new(phases)),
            Self::Majority => Box::new(Majority::new(phases)),
            Self::Markov { order: 0 | 1 } => Box::new(Markov::new(transitions)),
            Self::Markov { order } => Box::new(MarkovOrder::new(phases, order, transitions)),
            Self::RleMarkov => Box::new(RleMarkov::new(phases)),
            Self::Burst => Box::new(Burstwise::new(phases)),
            Self::Gpht { depth, entries } => Box::new(Gpht::new(phases, depth, entries)),
            Self::SemiMarkov => Box::new(trained.run_lengths.map_or_else(
                || RunLengthMarkov::unmeasured(transitions, phases),
                |lengths| RunLengthMarkov::new(transitions, lengths),
            )),
            Self::HiddenMarkov => Box::new(HiddenMarkov::new(phases)),
            Self::Change => Box::new(ChangePredictor::new(transitions)),
            Self::ContextsBasic => Box::new(ContextsBasic::new(phases)),
            Self::ContextsSpaces => {
                let settings = Settings { by_space: true, ..Settings::default() };
                Box::new(Contexts::new(phases, &settings).looking_ahead(trained.horizons))
            }
            Self::Contexts | Self::Default => {
                Box::new(Contexts::new(phases, &Settings::default()).looking_ahead(trained.horizons))
            }
        }
    }

    /// A kind with settings of its own in its name.
    fn with_settings(text: &str) -> Option<Self> {
        let number = |text: &str, most: usize| {
            let number: usize = text.parse().ok()?;
            (number >= 1 && number <= most && !text.starts_with(['+', '0'])).then_some(number)
        };
        if let Some(order) = text.strip_prefix("markov-") {
            return Some(Self::Markov { order: number(order, ORDER_MOST)? });
        }
        let sizes = text.strip_prefix("gpht-")?;
        let (depth, entries) = match sizes.split_once('x') {
            Some((depth, entries)) => (number(depth, ORDER_MOST)?, entries),
            None => (DEPTH, sizes),
        };
        Some(Self::Gpht { depth, entries: number(entries, ENTRIES_MOST)? })
    }
}

impl FromStr for ForecasterKind {
    type Err = UnknownForecaster;

    fn from_str(text: &str) -> Result<Self, UnknownForecaster> {
        let plain = Self::ALL.into_iter().find(|kind| kind.name() == text);
        plain.or_else(|| Self::with_settings(text)).ok_or_else(|| UnknownForecaster(text.to_owned()))
    }
}

impl std::fmt::Display for ForecasterKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests;
